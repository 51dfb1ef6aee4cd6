# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The tables and the JSON of http.sh, from lines of
#
#   http   SCENARIO INSTANCE CPU-US REQUESTS/S P50-MS P99-MS          one a round
#   memory PROXY BYTES                                                an idle connection
#   slow   ATTACK P99-ALONE-MS P99-MS FAILURES CONNECTIONS-HELD
#
# separated by tabs. Variables: json (path to write), kernel, cpu, date, quick,
# rounds, nginx and haproxy (their versions). Runs with figures.awk. The best round
# of each figure counts; JSON has the median of the CPU time besides. Exit status 1
# when a bound does not hold or was not measured.

BEGIN {
	FS = "\t"

	add_scenario("body_52", "52-byte bodies")
	add_scenario("body_1024", "1 KB bodies")
	add_scenario("body_102400", "100 KB bodies")
	add_scenario("idle", "52-byte bodies, 10,000 idle connections besides")
	add_scenario("routes", "52-byte bodies, 10,000 routes")
	add_scenario("log", "52-byte bodies, a line in a file for each request")

	split("relay nginx haproxy ours", proxies, " ")
	text_of["relay"] = "relay, no parsing"
	text_of["nginx"] = "nginx " nginx
	text_of["haproxy"] = "HAProxy " haproxy
	text_of["ours"] = "xdp-throttle"
}

function add_scenario(name, text) {
	scenario_of[++scenarios] = name
	title_of[name] = text
}

$1 == "http" {
	proxy = $3
	sub(/_.*/, "", proxy)
	key = $2 SUBSEP proxy
	add_sample(key, $4 + 0)
	if (samples[key] == 1 || rate[key] < $5 + 0)
		rate[key] = $5 + 0
	if (samples[key] == 1 || p50[key] > $6 + 0)
		p50[key] = $6 + 0
	if (samples[key] == 1 || p99[key] > $7 + 0)
		p99[key] = $7 + 0
}
$1 == "memory" { memory[$2] = $3 }
$1 == "slow" {
	attack_of[++attacks] = $2
	alone[$2] = $3
	beside[$2] = $4
	failures[$2] = $5
	held[$2] = $6
}

function has(scenario, proxy) { return (scenario, proxy) in samples }

# CPU microseconds a request.
function cost(scenario, proxy) { return sample[scenario, proxy, 1] }

function median(scenario, proxy) { return sample[scenario, proxy, int((samples[scenario, proxy] + 1) / 2)] }

# --- tables -------------------------------------------------------------------

function print_scenario(scenario,    i, proxy, max, seen) {
	for (i = 1; i in proxies; i++)
		if (has(scenario, proxies[i]) && cost(scenario, proxies[i]) > max)
			max = cost(scenario, proxies[i])
	for (i = 1; i in proxies; i++) {
		proxy = proxies[i]
		if (!has(scenario, proxy))
			continue
		if (!seen++)
			printf "\n  %s\n  %-24s%8s %8s%12s%10s%9s\n", title_of[scenario], "", "CPU us",
				"x ours", "requests/s", "p50 ms", "p99 ms"
		printf "  %-24s%8.2f %8s%12.0f%10.2f%9.2f  %s\n", text_of[proxy], cost(scenario, proxy),
			has(scenario, "ours") ? sprintf("x%.2f", cost(scenario, proxy) / cost(scenario, "ours")) : "",
			rate[scenario, proxy], p50[scenario, proxy], p99[scenario, proxy],
			bar(cost(scenario, proxy), max)
	}
}

function print_load(    i) {
	print "\nA proxy with one worker, 64 connections: CPU microseconds a request of its own"
	print "  (x: times ours), requests a second, latency"
	for (i = 1; i <= scenarios; i++)
		print_scenario(scenario_of[i])
}

function print_memory(    i, proxy, max, seen) {
	for (i = 1; i in proxies; i++)
		if (proxies[i] in memory && memory[proxies[i]] > max)
			max = memory[proxies[i]]
	for (i = 1; i in proxies; i++) {
		proxy = proxies[i]
		if (!(proxy in memory))
			continue
		if (!seen++)
			print "\nBytes of user memory an idle connection, of 10,000 that made one request each"
		printf "  %-24s%8d  %s\n", text_of[proxy], memory[proxy], bar(memory[proxy], max)
	}
}

function print_slow(    i, name) {
	if (!attacks)
		return
	print "\nA client of xdp-throttle beside slowhttptest: ms"
	printf "  %-24s%10s %9s %9s %14s\n", "slow", "p99 alone", "p99", "failures", "attacker holds"
	for (i = 1; i <= attacks; i++) {
		name = attack_of[i]
		printf "  %-24s%10.3f %9.3f %9d %14d\n", name, alone[name], beside[name], failures[name], held[name]
	}
}

# --- bounds -------------------------------------------------------------------

function bound_load(scenario,    ours, peer, floor) {
	ours = cost(scenario, "ours")
	peer = min(cost(scenario, "nginx"), cost(scenario, "haproxy"))
	floor = cost(scenario, "relay")
	bound(scenario "_to_peers", title_of[scenario] ": to the cheaper of nginx and HAProxy",
		has(scenario, "ours") && peer, peer ? ours / peer : 0, 0.8)
	bound(scenario "_to_floor", title_of[scenario] ": to the relay",
		has(scenario, "ours") && floor, floor ? ours / floor : 0, 1.25)
}

function print_bounds(    i, name) {
	print "\nBounds: figure and bound"
	bound_load("body_52")
	bound_load("body_1024")
	bound_load("body_102400")
	bound("routes", "10,000 routes to one", has("routes", "ours") && has("body_52", "ours"),
		has("body_52", "ours") ? cost("routes", "ours") / cost("body_52", "ours") : 0, 1.1)
	bound("idle_bytes", "bytes an idle connection", "ours" in memory, memory["ours"], 2048)
	for (i = 1; i <= attacks; i++) {
		name = attack_of[i]
		bound("slow_" name, "slow " name ": the client's p99 to that without", alone[name] > 0,
			alone[name] > 0 ? beside[name] / alone[name] : 0, 2)
		bound("slow_" name "_failures", "slow " name ": requests of the client that failed", 1,
			failures[name], 0)
	}
	if (!attacks)
		bound("slow", "slow clients", 0)
}

# --- JSON ---------------------------------------------------------------------

function load_json(    i, j, out, scenario, proxy) {
	for (i = 1; i <= scenarios; i++)
		for (j = 1; j in proxies; j++) {
			scenario = scenario_of[i]
			proxy = proxies[j]
			if (has(scenario, proxy))
				out = item(out, sprintf("\"scenario\": \"%s\", \"proxy\": \"%s\", \"best_cpu_us\": %.3f, \"median_cpu_us\": %.3f, \"requests_per_second\": %d, \"p50_ms\": %.3f, \"p99_ms\": %.3f",
					scenario, proxy, cost(scenario, proxy), median(scenario, proxy),
					rate[scenario, proxy], p50[scenario, proxy], p99[scenario, proxy]))
		}
	return out
}

function memory_json(    i, out) {
	for (i = 1; i in proxies; i++)
		if (proxies[i] in memory)
			out = item(out, sprintf("\"proxy\": \"%s\", \"bytes\": %d", proxies[i], memory[proxies[i]]))
	return out
}

function slow_json(    i, out, name) {
	for (i = 1; i <= attacks; i++) {
		name = attack_of[i]
		out = item(out, sprintf("\"attack\": \"%s\", \"p99_alone_ms\": %.3f, \"p99_ms\": %.3f, \"failures\": %d, \"held\": %d",
			name, alone[name], beside[name], failures[name], held[name]))
	}
	return out
}

function write_json() {
	begin_json()
	printf "  \"nginx\": %s,\n  \"haproxy\": %s,\n", text_json(nginx), text_json(haproxy) > json
	printf "  \"load\": [%s\n  ],\n", load_json() > json
	printf "  \"idle_connection\": [%s\n  ],\n", memory_json() > json
	printf "  \"slow\": [%s\n  ],\n", slow_json() > json
	printf "  \"bounds\": [%s\n  ]\n}\n", bounds > json
	close(json)
}

END {
	if (!NR)
		exit 1
	print_load()
	print_memory()
	print_slow()
	print_bounds()
	write_json()
	exit failed
}
