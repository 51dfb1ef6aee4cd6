# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The tables and the JSON of check.sh, from lines of
#
#   check SCENARIO ROW CPU-US REDIS-CPU-US COMMANDS CALLS REFUSED DEGRADED CHECKS/S P50-MS P99-MS
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
	add_kind("memory", "get post memory")
	add_kind("redis", "lua shared leased")
	text_of["get"] = "nginx return 200"
	text_of["post"] = "  to a POST"
	text_of["lua"] = "nginx + Lua"
	text_of["memory"] = text_of["shared"] = "xdp-throttle"
	text_of["leased"] = "  lease: " lease
	add_keys("one", "One key")
	add_keys("1000", "1,000 keys")
	add_keys("1000000", "1,000,000 keys")
	add_keys("denied", "One key, denied")
}

# A kind of scenarios has the same rows, compared with the first.
function add_kind(kind, rows) {
	row_count = split(rows, list, " ")
	for (i = 1; i <= row_count; i++)
		row_of[kind, i] = list[i]
}

function add_keys(keys, title) {
	keys_of[++keys_count] = keys
	title_of[keys] = title
}

$1 == "check" {
	key = $2 SUBSEP $3
	split("cpu redis commands calls refused degraded rate p50 p99", name, " ")
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

function highest(scenario, row, figure) { return sample[scenario, row, figure, samples[scenario, row, figure]] }

function median(scenario, row, figure) { return sample[scenario, row, figure, int((samples[scenario, row, figure] + 1) / 2)] }

function before(keys) { return sample["before", keys, 1] }

function during(keys) { return sample["during", keys, 1] }

# --- tables -------------------------------------------------------------------

function largest(kind, keys,    i, out) {
	for (i = 1; (kind, i) in row_of; i++)
		out = larger(out, best(kind "_" keys, row_of[kind, i], "cpu"))
	return out
}

# What `row` costs as a multiple of the scenario's first; 0 where one is missing.
function ratio(kind, keys, row,    scenario, base) {
	scenario = kind "_" keys
	base = row_of[kind, 1]
	return has(scenario, row) && has(scenario, base) ? best(scenario, row, "cpu") / best(scenario, base, "cpu") : 0
}

function redis_cells(kind, scenario, row) {
	if (kind != "redis")
		return ""
	return sprintf("%10.2f%10.3f%8.3f", best(scenario, row, "redis"), median(scenario, row, "commands"), median(scenario, row, "calls"))
}

function print_scenario(kind, keys,    i, scenario, row) {
	scenario = kind "_" keys
	print "  " title_of[keys]
	for (i = 1; (kind, i) in row_of; i++) {
		row = row_of[kind, i]
		if (has(scenario, row))
			printf "    %-18s%8.2f   x%.2f%s%10.0f%8.2f%8.2f  %s\n", text_of[row], best(scenario, row, "cpu"),
				ratio(kind, keys, row), redis_cells(kind, scenario, row), highest(scenario, row, "rate"),
				best(scenario, row, "p50"), best(scenario, row, "p99"),
				bar(best(scenario, row, "cpu"), largest(kind, keys))
	}
}

function print_kind(kind, columns,    i) {
	printf "  %-20s%8s%8s%s%10s%8s%8s\n", "", "CPU us", "", columns, "checks/s", "p50 ms", "p99 ms"
	for (i = 1; i <= keys_count; i++)
		print_scenario(kind, keys_of[i])
}

function print_load() {
	print "\nMemory store, one worker, 64 connections: CPU microseconds a check (x: times nginx " nginx ")"
	print_kind("memory", "")
	print "\nRedis " redis ", one worker, 64 connections: the same (x: times nginx + Lua); a check's share of"
	print "what Redis executes, commands of scripts included, and of the calls of scripts"
	print_kind("redis", sprintf("%10s%10s%8s", "Redis us", "commands", "calls"))
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

function bound_cost(kind, keys, row, text, most) {
	bound(kind "_" keys, text ", " tolower(title_of[keys]) ": to " text_of[row_of[kind, 1]],
		ratio(kind, keys, row), ratio(kind, keys, row), most)
}

function bound_count(figure, text) {
	bound(figure, text, has("redis_one", "shared"), has("redis_one", "shared") ? median("redis_one", "shared", figure) : 0, 0.1)
}

# The share of answers without Redis in the row that has most of them.
function bound_degraded(    i, j, scenario, worst) {
	for (i = 1; i <= keys_count; i++)
		for (j = 2; ("redis", j) in row_of; j++) {
			scenario = "redis_" keys_of[i]
			if (has(scenario, row_of["redis", j]))
				worst = larger(worst, median(scenario, row_of["redis", j], "degraded"))
		}
	bound("degraded", "Redis: answers that were late for it, of all", has("redis_one", "shared"), worst, 0.01)
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
	for (i = 1; i <= keys_count; i++)
		bound_cost("memory", keys_of[i], "memory", "memory", 1)
	for (i = 1; i <= keys_count; i++)
		bound_cost("redis", keys_of[i], "shared", "Redis", 0.5)
	bound_count("commands", "Redis, one key: commands a check, those of scripts included")
	bound_count("calls", "Redis, one key: calls of scripts a check")
	bound_degraded()
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
	return sprintf("\"scenario\": \"%s\", \"row\": \"%s\", \"best_cpu_us\": %.3f, \"median_cpu_us\": %.3f, \"refused\": %.4f, \"degraded\": %.4f, \"checks_per_second\": %d, \"p50_ms\": %.3f, \"p99_ms\": %.3f%s",
		scenario, row, best(scenario, row, "cpu"), median(scenario, row, "cpu"), median(scenario, row, "refused"), median(scenario, row, "degraded"),
		highest(scenario, row, "rate"), best(scenario, row, "p50"), best(scenario, row, "p99"), redis_json(scenario, row))
}

function kind_json(kind, out,    i, j, scenario) {
	for (i = 1; i <= keys_count; i++) {
		scenario = kind "_" keys_of[i]
		for (j = 1; (kind, j) in row_of; j++)
			if (has(scenario, row_of[kind, j]))
				out = item(out, row_json(scenario, row_of[kind, j]))
	}
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
	begin_json()
	printf "  \"nginx\": %s,\n  \"redis\": %s,\n  \"lease\": %d,\n", text_json(nginx), text_json(redis), lease > json
	printf "  \"load\": [%s\n  ],\n", kind_json("redis", kind_json("memory", "")) > json
	printf "  \"redis_stopped\": [%s\n  ],\n", stops_json() > json
	printf "  \"bounds\": [%s\n  ]\n}\n", bounds > json
	close(json)
}

END {
	if (!NR)
		exit 1
	print_load()
	print_stops()
	print_bounds()
	write_json()
	exit failed
}
