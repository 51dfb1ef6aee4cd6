#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The eviction attack: a source that is held back is not forgotten because millions
# of others come by. One generator sends all of it, so the heavy source and the
# crowd share a CPU, what it remembers of sources included; what comes past the
# throttle is counted by nft as well, which knows nothing of limits.
#
#   tests/netns/evict.sh [GLOB]
# shellcheck source=tests/support/netns.sh
source "${BASH_SOURCE%/*}/../support/netns.sh"

# What waits for a token finds one after 0.5 ms, and ten packets of the heavy source
# come for each. A flood that is late by less than 25 ms loses no token.
readonly RATE=2000 BURST=50
readonly PACE=420000 ONE_IN=21 # packets a second of all, and how many are one heavy one
readonly CROWD=$((1 << 24))	   # sources, one after the other

# The heavy source is the one below the first of the crowd.
readonly HEAVY=16.0.0.0 FIRST=16.0.0.1
readonly HEAVY6=2a00:0:0:1:: FIRST6=2a00:0:0:2::

# attach_with < YAML: to the attacker's interface, and count what comes past it.
attach_with() {
	cat >"$work/attached.yaml"
	throttle attach --dev to-attacker -c "$work/attached.yaml"
	count_ingress "$server" to-attacker drop heavy "ip saddr $HEAVY" crowd "ip protocol tcp" \
		heavy6 "ip6 saddr $HEAVY6" crowd6 "ip6 nexthdr tcp"
}

# attack SECONDS FLOOD-OPTION...: prints the flood's report.
attack() {
	in_ns "$attacker" "${from_attacker[@]}" --seconds "$1" --rate "$PACE" --sources "$CROWD" \
		--heavy "$ONE_IN" "${@:2}"
	end_of_flood
}

# expect_over_limit REPORT: that the heavy source sent at least three times as much as
# it might, also where the machine did not reach the pace.
expect_over_limit() {
	local sent=$(($(number "$1" packets) / ONE_IN))
	((sent > 3 * RATE * $(milliseconds "$1" seconds) / 1000)) ||
		fail "the generator is too slow for this test: $1"
}

# expect_crowd_admitted REPORT COUNTER: but for those that meet the heavy one in its cell.
expect_crowd_admitted() {
	expect_within 1 "admitted of the crowd" "$(behind "$2")" \
		$(($(number "$1" packets) * (ONE_IN - 1) / ONE_IN))
}

test_heavy_source_is_held_to_its_limit_among_16_million_others() {
	make_topology
	attach_with <<-YAML
		xdp:
		  per_source: {connections_per_second: $RATE, burst: $BURST}
	YAML

	report=$(attack 10 --base "$FIRST")

	expect_over_limit "$report"
	expect_limited "admitted of the heavy source" "$(behind heavy)" "$RATE" "$BURST" "$report"
	expect_crowd_admitted "$report" crowd
	expect "admitted in all" "$(counter new_connection)" $(($(behind heavy) + $(behind crowd)))
	expect_within 1 "counted in all" "$(($(counter passed) + $(counter dropped)))" \
		"$(number "$report" packets)"
}

test_heavy_ipv6_source_is_held_to_its_limit_among_16_million_others() {
	make_topology
	attach_with <<-YAML
		xdp:
		  per_source: {connections_per_second: $RATE, burst: $BURST}
	YAML

	report=$(attack 4 --dst fd77:2::1 --base "$FIRST6")

	expect_over_limit "$report"
	expect_limited "admitted of the heavy /64" "$(behind heavy6)" "$RATE" "$BURST" "$report"
	expect_crowd_admitted "$report" crowd6
	expect "admitted in all" "$(counter new_connection)" $(($(behind heavy6) + $(behind crowd6)))
}

# Four hundred sources of the crowd a second meet the heavy one in its cell of the gate.
test_heavy_source_is_held_to_its_limit_where_the_tables_are_far_too_small() {
	make_topology
	attach_with <<-YAML
		xdp:
		  tables: {gate: 1k, exact: 1k}
		  per_source: {connections_per_second: $RATE, burst: $BURST}
	YAML

	report=$(attack 4 --base "$FIRST")

	expect_over_limit "$report"
	expect_limited "admitted of the heavy source" "$(behind heavy)" "$RATE" "$BURST" "$report"
	expect_crowd_admitted "$report" crowd
}

# Of the crowd, each has one connection a minute. Its first round leaves debts in
# every cell of the gate, for a minute: then the heavy source shares its cell with
# them, and has a bucket of its own, in the table that the crowd wants to fill.
test_heavy_source_is_held_to_its_limit_where_the_crowd_has_every_cell() {
	make_topology
	attach_with <<-YAML
		xdp:
		  tables: {gate: 64k}
		  per_source: {connections_per_minute: 1, burst: 1}
		  sources: [{prefix: $HEAVY, connections_per_second: $RATE, burst: $BURST}]
	YAML
	in_ns "$attacker" "${from_attacker[@]}" --base "$FIRST" --sources "$CROWD" \
		--count 400000 >"$work/first"
	before=$(status)

	report=$(attack 4 --base "$FIRST")

	has_grown "$before" no_own_bucket
	expect_over_limit "$report"
	expect_limited "admitted of the heavy source" "$(behind heavy)" "$RATE" "$BURST" "$report"
}

# crowd FIRST: a million sources come by, each once.
crowd() {
	in_ns "$attacker" "${from_attacker[@]}" --base "$1" --sources "$CROWD" --count 1000000 \
		>"$work/crowd"
}

# The crowd may make the cells of these sources its own as well: then they get buckets
# of their own, full ones. That is the second burst that the gate may allow, and the last.
test_sources_that_used_their_burst_are_held_back_however_many_come_by() {
	make_topology
	attach_with <<-'YAML'
		xdp:
		  per_source: {connections_per_minute: 1, burst: 20}
	YAML
	expect "admitted of 100 sources" "$(admitted --count 10000 --sources 100)" 2000

	crowd 16.0.0.0
	again=$(admitted --count 10000 --sources 100)
	crowd 17.0.0.0
	last=$(admitted --count 10000 --sources 100)

	comment "admitted after the first crowd: $again, after the second: $last"
	((again + last <= 2000)) || fail "admitted beyond two bursts: $again, then $last"
}

skip_all_unless_root
run_tests "$@"
