# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The tables and the JSON of flood.sh, from lines of
#
#   testrun ROW FAMILY BITS BEST-NS MEDIAN-NS
#   veth    ROW BITS NS
#   sweep   ROW BITS  SYNS ADMITTED SECONDS ANSWERED CLIENTS P99-MS
#   replay  ROW ROUND SYNS ADMITTED SECONDS ANSWERED CLIENTS P99-MS
#   client  ROW MODE CORE RATE OFFERED TAKEN SECONDS REQUESTS/S
#
# separated by tabs, but for testrun one a round. Variables: json (path to write), kernel,
# cpu, date, quick, rounds, replays, bits and rates (lists), budget_rate, budget_burst.
# Runs with figures.awk. The best round of a cost and of a client's rate counts, but beside
# the highest flood the one with the highest; of the replayed flood all rounds together do. Exit status 1 when a bound does not hold or was
# not measured.

BEGIN {
	FS = "\t"
	LAST = "24"
	bit_count = split(bits, bit, " ")
	rate_count = split(rates, rate, " ")

	add("testrun", "vary_drop", "empty program that draws the source and drops")
	add("testrun", "drop", "xdp-throttle, beyond the budget: drop")
	add("testrun", "source", "  a limit for each source, no budget")
	add("testrun", "restored_drop", "empty program that draws it, writes the packet and drops")
	add("testrun", "challenge", "xdp-throttle, beyond the budget: challenge")

	add("veth", "empty", "XDP, empty program that drops")
	add("veth", "drop", "xdp-throttle, beyond the budget: drop")
	add("veth", "challenge", "  challenge")
	add("veth", "meter", "nft meter and budget")
	add("veth", "hashlimit", "iptables hashlimit and budget")
	add("veth", "synproxy", "nft SYNPROXY")
	add("veth", "cookies", "kernel SYN cookies alone")

	add("admission", "drop", "xdp-throttle: drop")
	add("admission", "challenge", "xdp-throttle: challenge")
	add("admission", "meter", "nft meter and budget")
	add("admission", "hashlimit", "iptables hashlimit and budget")
	add("admission", "synproxy", "nft SYNPROXY")
	add("admission", "cookies", "kernel SYN cookies alone")

	add("client", "ideal", "XDP program that knows the client")
	add("client", "drop", "xdp-throttle: drop")
	add("client", "challenge", "xdp-throttle: challenge")
	add("client", "cookies", "kernel SYN cookies alone")
	add("client", "none", "nothing")
}

function add(table, row, text) {
	row_of[table, ++row_count[table]] = row
	text_of[table, row] = text
}

$1 == "testrun" {
	testrun[$2, $3, $4] = $5
	testrun_median[$2, $3, $4] = $6
}
$1 == "veth" { add_sample("veth" SUBSEP $2 SUBSEP $3, $4 + 0) }
$1 == "sweep" || $1 == "replay" {
	key = $1 SUBSEP $2 ($1 == "sweep" ? SUBSEP $3 : "")
	syns[key] += $4
	admitted[key] += $5
	budget[key] += budget_burst + budget_rate * $6
	answered[key] += $7
	clients[key] += $8
	late[key] = larger(late[key], $9)
}
$1 == "client" {
	key = $2 SUBSEP $3 SUBSEP $4 SUBSEP $5
	if (!(key in per_second) || ($5 == "max" ? $6 / $8 > offered[key] : $9 > per_second[key])) {
		per_second[key] = $9 + 0
		offered[key] = $6 / $8
		taken[key] = $7 / $8
	}
}

# --- part 1 -------------------------------------------------------------------

function veth(row, bits) { return sample["veth", row, bits, 1] }

function has_veth(row, bits) { return (("veth", row, bits, 1) in sample) }

function print_head(text, width,    i, line) {
	line = sprintf("  %-*s", width, text)
	for (i = 1; i <= bit_count; i++)
		line = line sprintf("%8s", bit[i] > 0 ? "2^" bit[i] : "1")
	print line
}

function print_testrun(family,    i, j, row, line) {
	printf "\nIPv%s, ns a SYN in BPF_PROG_TEST_RUN, by the sources it is drawn from\n", family
	print_head("", 58)
	for (i = 1; i <= row_count["testrun"]; i++) {
		row = row_of["testrun", i]
		if (!((row, family, bit[1]) in testrun))
			continue
		line = sprintf("  %-58s", text_of["testrun", row])
		for (j = 1; j <= bit_count; j++)
			line = line sprintf("%8.1f", testrun[row, family, bit[j]])
		print line
	}
}

function print_veth(    i, j, row, line) {
	print "\nns a SYN over veth, sender and host on one core, by the sources it is drawn from"
	print_head("", 58)
	for (i = 1; i <= row_count["veth"]; i++) {
		row = row_of["veth", i]
		if (!has_veth(row, bit[1]))
			continue
		line = sprintf("  %-58s", text_of["veth", row])
		for (j = 1; j <= bit_count; j++)
			line = line sprintf("%8.0f", veth(row, bit[j]))
		print line
	}
}

# --- part 2 -------------------------------------------------------------------

function share(part, all) { return all ? 100 * part / all : 0 }

function has_sweep(row) { return (("sweep", row, bit[1]) in syns) }

function print_sweep(what, part, all,    i, j, row, line) {
	printf "\n%s, %%, by the sources of the flood\n", what
	print_head("", 32)
	for (i = 1; i <= row_count["admission"]; i++) {
		row = row_of["admission", i]
		if (!has_sweep(row))
			continue
		line = sprintf("  %-32s", text_of["admission", row])
		for (j = 1; j <= bit_count; j++)
			line = line sprintf("%8.2f", share(part["sweep", row, bit[j]], all["sweep", row, bit[j]]))
		print line
	}
}

function print_replay(    i, row, key) {
	printf "\n37,841 SYNs from 37,623 sources in 0.24 s, %d times; budget %d/s, burst %d\n", replays,
		budget_rate, budget_burst
	printf "  %-32s%10s%10s%10s%12s%10s\n", "", "SYNs", "budget", "admitted", "new clients", "p99 ms"
	for (i = 1; i <= row_count["admission"]; i++) {
		row = row_of["admission", i]
		key = "replay" SUBSEP row
		if (key in syns)
			printf "  %-32s%10d%10d%10d%11.1f%%%10.1f\n", text_of["admission", row], syns[key],
				budget[key], admitted[key], share(answered[key], clients[key]), late[key]
	}
}

# --- part 3 -------------------------------------------------------------------

function has_client(row, mode) { return ((row, mode, "other", 0) in per_second) }

# The client's rate beside that without a flood.
function kept(row, mode, core, rate,    base) {
	base = per_second[row, mode, "other", 0]
	return base ? per_second[row, mode, core, rate] / base : 0
}

function mega(rate) { return sprintf("%.2fM", rate / 1e6) }

function print_client(mode, text,    i, j, row, line) {
	print "\nRequests a second of one client, " text ", beside a flood of SYNs offered a second"
	for (i = 1; i <= row_count["client"]; i++) {
		row = row_of["client", i]
		if (!has_client(row, mode))
			continue
		line = sprintf("  %-36s", text_of["client", row])
		for (j = 1; j <= rate_count; j++)
			line = line sprintf("%9s", mega(offered[row, mode, "other", rate[j]]))
		print line sprintf("%12s", mega(offered[row, mode, "same", "max"]))
		line = sprintf("  %-36s", "")
		for (j = 1; j <= rate_count; j++)
			line = line sprintf("%9.0f", per_second[row, mode, "other", rate[j]])
		print line sprintf("%12.0f", per_second[row, mode, "same", "max"])
	}
}

# --- bounds -------------------------------------------------------------------

# What a program takes over the one that only draws, the worse family.
function over(row,    family, worst) {
	measured = 1
	for (family = 4; family <= 6; family += 2) {
		if (!((row, family, LAST) in testrun) || !(("vary_drop", family, LAST) in testrun)) {
			measured = 0
			return 0
		}
		worst = larger(worst, testrun[row, family, LAST] - testrun["vary_drop", family, LAST])
	}
	return worst
}

# What 2^24 sources cost beside one.
function growth(row) { return testrun[row, 4, LAST] - testrun[row, 4, 0] }

function bound_ratio(row, text) {
	measured = has_veth("drop", LAST) && has_veth(row, LAST)
	bound("veth_to_" row, "2^24 sources over veth, to " text, measured, measured ? veth("drop", LAST) / veth(row, LAST) : 0, 0.3)
}

function bound_admitted(row,    key) {
	key = "replay" SUBSEP row
	bound("replay_admitted_" row, "spoofed flood, " row ": admitted, to the budget", key in syns,
		key in syns ? admitted[key] / budget[key] : 0, 1.01)
}

function bound_kept(row, core, rate, text) {
	measured = has_client(row, "ask") && (row, "ask", core, rate) in per_second
	bound("client_lost_" row "_" core "_" rate, text, measured, measured ? 1 - kept(row, "ask", core, rate) : 0, 0.2)
}

function print_bounds(    key, figure) {
	print "\nBounds: figure and bound"
	figure = over("drop")
	bound("testrun_drop_ns", "2^24 sources in test-run, budget, ns over an empty drop", measured, figure, 150)
	bound_ratio("meter", "nft's meter")
	bound_ratio("hashlimit", "hashlimit")
	bound_admitted("drop")
	bound_admitted("challenge")
	key = "replay" SUBSEP "challenge"
	bound("replay_clients", "  challenge: new clients without an answer, of all", key in clients,
		clients[key] ? 1 - answered[key] / clients[key] : 1, 0.01)
	bound_kept("drop", "same", "max", "highest flood on the server's core: requests lost, of all")
	printf "  2^24 sources beside one, ns in test-run: budget %+.1f, limits for each source %+.1f\n",
		growth("drop"), growth("source")
	# Most of it is one access to memory at random in the 16 MB of the gate.
	printf "  2^24 sources under limits for each source alone, ns over an empty drop: %.1f\n", over("source")
	print_other()
}

# From another core what a core can take depends on more than the filter: shown beside the
# ideal one, and no bound.
function print_other(    j) {
	for (j = rate_count; j > 1 && kept("ideal", "ask", "other", rate[j]) < 0.9; j--)
		;
	printf "  highest flood from the other core beside which the ideal filter keeps 90 %% (%s/s): kept by\n" \
		"  drop %.0f %%, challenge %.0f %%, SYN cookies %.0f %%, nothing %.0f %%\n", rate[j],
		100 * kept("drop", "ask", "other", rate[j]), 100 * kept("challenge", "ask", "other", rate[j]),
		100 * kept("cookies", "ask", "other", rate[j]), 100 * kept("none", "ask", "other", rate[j])
}

# --- JSON ---------------------------------------------------------------------

function testrun_json(    key, part, out) {
	for (key in testrun) {
		split(key, part, SUBSEP)
		out = item(out, sprintf("\"row\": \"%s\", \"family\": %d, \"sources_log2\": %d, \"best_ns\": %.2f, \"median_ns\": %.2f",
			part[1], part[2], part[3], testrun[key], testrun_median[key]))
	}
	return out
}

function veth_json(    i, j, row, out) {
	for (i = 1; i <= row_count["veth"]; i++) {
		row = row_of["veth", i]
		for (j = 1; j <= bit_count; j++)
			if (has_veth(row, bit[j]))
				out = item(out, sprintf("\"row\": \"%s\", \"sources_log2\": %d, \"best_ns\": %.1f, \"median_ns\": %.1f",
					row, bit[j], veth(row, bit[j]),
					sample["veth", row, bit[j], int((samples["veth", row, bit[j]] + 1) / 2)]))
	}
	return out
}

function admission_json(key, head) {
	return sprintf("%s\"syns\": %d, \"budget\": %d, \"admitted\": %d, \"clients\": %d, \"answered\": %d, \"p99_ms\": %.3f",
		head, syns[key], budget[key], admitted[key], clients[key], answered[key], late[key])
}

function sweep_json(    i, j, row, out) {
	for (i = 1; i <= row_count["admission"]; i++) {
		row = row_of["admission", i]
		for (j = 1; has_sweep(row) && j <= bit_count; j++)
			out = item(out, admission_json("sweep" SUBSEP row SUBSEP bit[j], sprintf("\"row\": \"%s\", \"sources_log2\": %d, ", row, bit[j])))
	}
	return out
}

function replay_json(    i, row, out) {
	for (i = 1; i <= row_count["admission"]; i++) {
		row = row_of["admission", i]
		if (("replay", row) in syns)
			out = item(out, admission_json("replay" SUBSEP row, sprintf("\"row\": \"%s\", ", row)))
	}
	return out
}

function client_json(    key, part, out) {
	for (key in per_second) {
		split(key, part, SUBSEP)
		out = item(out, sprintf("\"row\": \"%s\", \"mode\": \"%s\", \"flood_from\": \"%s core\", \"rate\": \"%s\", \"offered_per_second\": %d, \"taken_per_second\": %d, \"requests_per_second\": %.1f",
			part[1], part[2], part[3], part[4], offered[key], taken[key], per_second[key]))
	}
	return out
}

function write_json() {
	begin_json()
	printf "  \"test_run\": [%s\n  ],\n  \"veth\": [%s\n  ],\n", testrun_json(), veth_json() > json
	printf "  \"admission\": [%s\n  ],\n  \"replay\": [%s\n  ],\n", sweep_json(), replay_json() > json
	printf "  \"client\": [%s\n  ],\n  \"bounds\": [%s\n  ]\n}\n", client_json(), bounds > json
	close(json)
}

END {
	if (!NR)
		exit 1
	print_testrun(4)
	print_testrun(6)
	print_veth()
	print_sweep("SYNs of the flood that reached the stack", admitted, syns)
	print_sweep("New clients that had their answer within a second", answered, clients)
	print_replay()
	print_client("ask", "on one connection")
	print_client("reconnect", "a connection each")
	print "  (last column: the flood is made on the server's core, too)"
	print_bounds()
	write_json()
	exit failed
}
