# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The tables and the JSON of check.sh, from lines of
#
#   check SCENARIO ROW CPU-US REDIS-CPU-US COMMANDS CALLS REFUSED CHECKS/S P50-MS P99-MS
#   stop  KEYS P99-BEFORE-MS P99-MS LONGEST-MS ERRORS FRESH BACK-MS RELAPSES
#
# separated by tabs, one a round. Variables: json (path to write), kernel, cpu, date,
# quick, rounds, lease, nginx and redis (their versions). Runs with figures.awk. The
# best round of each figure counts, but for what Redis does in one, which is that of the
# median; JSON has the median of the CPU time besides. Of a stopped Redis the worst
# round counts, but for latencies under load. Exit status 1 when a bound does not hold
# or was not measured.

BEGIN {
	FS = "\t"
	add_row("memory", "nginx_get", "nginx " nginx " return 200, GET")
	add_row("memory", "nginx_post", "  the same, POST of a check")
	add_row("memory", "one", "check, one key")
	add_row("memory", "1000", "check, 1,000 keys")
	add_row("memory", "1000000", "check, 1,000,000 keys")
	add_row("memory", "denied", "check, one key, denied")
	add_redis("one", "One key")
	add_redis("1000", "1,000 keys")
	add_redis("1000000", "1,000,000 keys")
	add_redis("denied", "One key, denied")
}

function add_row(scenario, row, text) {
	row_of[scenario, ++rows[scenario]] = row
	text_of[scenario, row] = text
}

function add_redis(keys, title) {
	redis_of[++redis_count] = keys
	title_of[keys] = title
	add_row("redis_" keys, "lua", "nginx + Lua")
	add_row("redis_" keys, "shared", "xdp-throttle")
	add_row("redis_" keys, "leased", "  lease: " lease)
}

$1 == "check" {
	key = $2 SUBSEP $3
	split("cpu redis commands calls refused rate p50 p99", name, " ")
	for (i = 1; i in name; i++)
		if ($(i + 3) != "-")
			add_sample(key SUBSEP name[i], $(i + 3) + 0)
}
$1 == "stop" {
	if (!($2 in stops))
		stop_of[++stop_count] = $2
	stops[$2]++
	add_sample("before" SUBSEP $2, $3 + 0)
	add_sample("during" SUBSEP $2, $4 + 0)
	longest[$2] = larger(longest[$2], $5)
	errors[$2] += $6
	fresh[$2] += $7
	back[$2] = larger(back[$2], $8)
	relapses[$2] += $9
}

function has(scenario, row) { return ((scenario, row, "cpu") in samples) }

function best(scenario, row, figure) { return sample[scenario, row, figure, 1] }

function most(scenario, row, figure) { return sample[scenario, row, figure, samples[scenario, row, figure]] }

function median(scenario, row, figure) { return sample[scenario, row, figure, int((samples[scenario, row, figure] + 1) / 2)] }

function before(keys) { return sample["before", keys, 1] }

function during(keys) { return sample["during", keys, 1] }

# --- tables -------------------------------------------------------------------

function largest(scenario,    i, out) {
	for (i = 1; i <= rows[scenario]; i++)
		out = larger(out, best(scenario, row_of[scenario, i], "cpu"))
	return out
}

function print_memory(    i, row, base) {
	base = best("memory", "nginx_get", "cpu")
	print "\nMemory store, one worker, 64 connections: CPU microseconds a check (x: times nginx's)"
	printf "  %-32s%8s %8s%10s%9s%9s\n", "", "CPU us", "", "checks/s", "p50 ms", "p99 ms"
	for (i = 1; i <= rows["memory"]; i++) {
		row = row_of["memory", i]
		if (has("memory", row))
			printf "  %-32s%8.2f %8s%10.0f%9.2f%9.2f  %s\n", text_of["memory", row], best("memory", row, "cpu"),
				base ? sprintf("x%.2f", best("memory", row, "cpu") / base) : "", most("memory", row, "rate"),
				best("memory", row, "p50"), best("memory", row, "p99"),
				bar(best("memory", row, "cpu"), largest("memory"))
	}
}

function print_redis(keys,    i, scenario, row, base) {
	scenario = "redis_" keys
	base = has(scenario, "lua") ? best(scenario, "lua", "cpu") : 0
	print "  " title_of[keys]
	for (i = 1; i <= rows[scenario]; i++) {
		row = row_of[scenario, i]
		if (has(scenario, row))
			printf "    %-14s%8.2f %7s%10.2f%10.3f%8.3f%10.0f%8.2f%8.2f  %s\n", text_of[scenario, row],
				best(scenario, row, "cpu"), base ? sprintf("x%.2f", best(scenario, row, "cpu") / base) : "",
				best(scenario, row, "redis"), median(scenario, row, "commands"), median(scenario, row, "calls"),
				most(scenario, row, "rate"), best(scenario, row, "p50"), best(scenario, row, "p99"),
				bar(best(scenario, row, "cpu"), largest(scenario))
	}
}

function print_all_redis(    i) {
	print "\nRedis " redis ", one worker, 64 connections: a check (x: times nginx + Lua); commands are those"
	print "of scripts too, calls are of scripts"
	printf "    %-14s%8s %7s%10s%10s%8s%10s%8s%8s\n", "", "CPU us", "", "Redis us", "commands", "calls", "checks/s", "p50 ms", "p99 ms"
	for (i = 1; i <= redis_count; i++)
		print_redis(redis_of[i])
}

function stop_text(keys) { return keys ~ /^[0-9]+$/ ? keys " keys" : "one key" }

function print_stops(    i, keys) {
	if (!stop_count)
		return
	print "\nRedis stopped for half of a run under load: ms"
	printf "  %-16s%11s%9s%10s%9s%16s\n", "", "p99 before", "p99", "longest", "errors", "back after CONT"
	for (i = 1; i <= stop_count; i++) {
		keys = stop_of[i]
		printf "  %-16s%11.2f%9.2f%10.1f%9d%16d\n", stop_text(keys), before(keys), during(keys),
			longest[keys], errors[keys], back[keys]
	}
}

# --- bounds -------------------------------------------------------------------

function bound_memory(row,    peer) {
	peer = has("memory", "nginx_get") ? best("memory", "nginx_get", "cpu") : 0
	bound("memory_" row, text_of["memory", row] ": to nginx return 200, GET", peer && has("memory", row),
		peer ? best("memory", row, "cpu") / peer : 0, 1)
}

function bound_redis(keys,    scenario, peer) {
	scenario = "redis_" keys
	peer = has(scenario, "lua") ? best(scenario, "lua", "cpu") : 0
	bound(scenario, "Redis, " tolower(title_of[keys]) ": to nginx + Lua", peer && has(scenario, "shared"),
		peer ? best(scenario, "shared", "cpu") / peer : 0, 0.5)
}

function bound_stop(keys,    text) {
	text = "Redis stopped, " stop_text(keys) ": "
	bound("stop_" keys "_p99", text "p99 to that before", before(keys) > 0, before(keys) > 0 ? during(keys) / before(keys) : 0, 2)
	bound("stop_" keys "_errors", text "errors", 1, errors[keys], 0)
	bound("stop_" keys "_fresh", text "not said to be degraded", 1, fresh[keys], 0)
	bound("stop_" keys "_back", text "seconds until it is back", 1, back[keys] / 1000, 2)
	bound("stop_" keys "_relapses", text "degraded after that", 1, relapses[keys], 0)
}

function print_bounds(    i) {
	print "\nBounds: figure and bound"
	bound_memory("one")
	bound_memory("1000")
	bound_memory("1000000")
	bound_memory("denied")
	bound_redis("one")
	bound_redis("1000")
	bound_redis("1000000")
	bound("commands", "Redis, one key: commands a check", has("redis_one", "shared"),
		has("redis_one", "shared") ? median("redis_one", "shared", "commands") : 0, 0.1)
	for (i = 1; i <= stop_count; i++)
		bound_stop(stop_of[i])
	if (!stop_count)
		bound("stop", "Redis stopped", 0)
}

# --- JSON ---------------------------------------------------------------------

function redis_json(scenario, row) {
	if (!((scenario, row, "redis") in samples))
		return ""
	return sprintf(", \"redis_cpu_us\": %.3f, \"commands\": %.4f, \"calls\": %.4f", best(scenario, row, "redis"),
		median(scenario, row, "commands"), median(scenario, row, "calls"))
}

function row_json(scenario, row) {
	return sprintf("\"scenario\": \"%s\", \"row\": \"%s\", \"best_cpu_us\": %.3f, \"median_cpu_us\": %.3f, \"refused\": %.4f, \"checks_per_second\": %d, \"p50_ms\": %.3f, \"p99_ms\": %.3f%s",
		scenario, row, best(scenario, row, "cpu"), median(scenario, row, "cpu"), median(scenario, row, "refused"),
		most(scenario, row, "rate"), best(scenario, row, "p50"), best(scenario, row, "p99"), redis_json(scenario, row))
}

function rows_json(scenario, out,    i) {
	for (i = 1; i <= rows[scenario]; i++)
		if (has(scenario, row_of[scenario, i]))
			out = item(out, row_json(scenario, row_of[scenario, i]))
	return out
}

function load_json(    i, out) {
	out = rows_json("memory", "")
	for (i = 1; i <= redis_count; i++)
		out = rows_json("redis_" redis_of[i], out)
	return out
}

function stops_json(    i, out, keys) {
	for (i = 1; i <= stop_count; i++) {
		keys = stop_of[i]
		out = item(out, sprintf("\"keys\": \"%s\", \"p99_before_ms\": %.3f, \"p99_ms\": %.3f, \"longest_ms\": %.3f, \"errors\": %d, \"not_degraded\": %d, \"back_ms\": %d, \"relapses\": %d",
			stop_text(keys), before(keys), during(keys), longest[keys], errors[keys], fresh[keys], back[keys], relapses[keys]))
	}
	return out
}

function write_json() {
	printf "{\n  \"date\": %s,\n  \"kernel\": %s,\n  \"cpu\": %s,\n  \"quick\": %s,\n  \"rounds\": %d,\n",
		text_json(date), text_json(kernel), text_json(cpu), quick, rounds > json
	printf "  \"nginx\": %s,\n  \"redis\": %s,\n  \"lease\": %d,\n", text_json(nginx), text_json(redis), lease > json
	printf "  \"load\": [%s\n  ],\n", load_json() > json
	printf "  \"redis_stopped\": [%s\n  ],\n", stops_json() > json
	printf "  \"bounds\": [%s\n  ]\n}\n", bounds > json
	close(json)
}

END {
	if (!NR)
		exit 1
	print_memory()
	print_all_redis()
	print_stops()
	print_bounds()
	write_json()
	exit failed
}
