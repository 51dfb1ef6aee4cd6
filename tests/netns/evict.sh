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
}

# expect_over_limit REPORT: that the heavy source sent at least three times as much as
# it might, also where the machine did not reach the pace.
expect_over_limit() {
	local sent=$(($(number "$1" packets) / ONE_IN))
	((sent > 3 * RATE * $(milliseconds "$1" seconds) / 1000)) ||
		fail "the generator is too slow for this test: $1"
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

	report=$(attack 6 --dst fd77:2::1 --base "$FIRST6")

	expect_over_limit "$report"
	expect_limited "admitted of the heavy /64" "$(behind heavy6)" "$RATE" "$BURST" "$report"
	expect "admitted in all" "$(counter new_connection)" $(($(behind heavy6) + $(behind crowd6)))
}

# Of the crowd, each has one connection a minute. Its first round leaves debts in
# every cell of the gate, for a minute: then the heavy source shares its cell with
# them, and has a bucket of its own, in the table that the crowd wants to fill.
test_heavy_source_is_held_to_its_limit_where_the_crowd_has_every_cell() {
	make_topology
	attach_with <<-YAML
		xdp:
		  per_source: {connections_per_minute: 1, burst: 1}
		  sources: [{prefix: $HEAVY, connections_per_second: $RATE, burst: $BURST}]
	YAML
	in_ns "$attacker" "${from_attacker[@]}" --base "$FIRST" --sources "$CROWD" \
		--count 4000000 >"$work/first"
	before=$(status)

	report=$(attack 5 --base "$FIRST")

	has_grown "$before" no_own_bucket
	expect_over_limit "$report"
	expect_limited "admitted of the heavy source" "$(behind heavy)" "$RATE" "$BURST" "$report"
}

test_sources_that_used_their_burst_are_held_back_after_the_crowd_came_by() {
	make_topology
	attach_with <<-'YAML'
		xdp:
		  per_source: {connections_per_minute: 1, burst: 20}
	YAML
	expect "admitted of 100 sources" "$(admitted --count 10000 --sources 100)" 2000

	in_ns "$attacker" "${from_attacker[@]}" --base "$FIRST" --sources "$CROWD" \
		--count 2000000 >"$work/crowd"

	expect "admitted of them now" "$(admitted --count 10000 --sources 100)" 0
}

skip_all_unless_root
run_tests "$@"
