#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Floods in which hardly any source repeats, so that no limit of a source holds them
# back: what the budget for new sources and the tiers let through, and how real
# clients fare meanwhile. What comes past the throttle is counted by nft as well.
#
#   tests/netns/flood.sh [GLOB]
# shellcheck source=tests/support/netns.sh
source "${BASH_SOURCE%/*}/../support/netns.sh"

readonly RATE=2000 BURST=200
readonly PACE=200000		# packets a second: a hundred times the rate
readonly CROWD=$((1 << 24)) # sources, one after the other: none comes twice
readonly FIRST=16.0.0.0 FIRST6=2a00::

# attach_with < YAML: to the attacker's interface.
attach_with() {
	cat >"$work/attached.yaml"
	throttle attach --dev to-attacker -c "$work/attached.yaml"
}

# flood SECONDS FLOOD-OPTION...: prints its report.
flood() {
	in_ns "$attacker" "${from_attacker[@]}" --seconds "$1" --rate "$PACE" "${@:2}"
}

# expect_all_counted REPORT NAME...: that the counters of these reasons make up what
# was sent. The ring between the interfaces may lose some of it before we see it.
expect_all_counted() {
	local report=$1 status name sum=0
	shift
	status=$(status)
	for name in "$@"; do
		sum=$((sum + $(number "$status" "$name")))
	done
	expect_within 1 "$*" "$sum" "$(number "$report" packets)"
}

# --- the budget for new sources -----------------------------------------------------

# budget POLICY RATE BURST: the file, with limits on sources that nobody here reaches.
budget() {
	cat <<-YAML
		xdp:
		  per_source: {connections_per_second: 10, burst: 20}
		  services:
		    - name: web
		      ports: [80]
		      new_sources: {per_second: $2, burst: $3, on_overload: $1}
	YAML
}

test_flood_of_new_sources_is_held_to_the_budget() {
	make_topology
	budget drop "$RATE" "$BURST" | attach_with
	count_ingress "$server" to-attacker drop flood "ip protocol tcp"

	report=$(flood 4 --base "$FIRST" --sources "$CROWD")

	expect_limited "admitted" "$(behind flood)" "$RATE" "$BURST" "$report"
	expect "admitted, as we count" "$(counter new_connection)" "$(behind flood)"
	expect_all_counted "$report" new_connection new_sources_over
}

test_ipv6_flood_of_new_sources_is_held_to_the_budget() {
	make_topology
	budget drop "$RATE" "$BURST" | attach_with
	count_ingress "$server" to-attacker drop flood "ip6 nexthdr tcp"

	report=$(flood 2 --dst fd77:2::1 --base "$FIRST6" --sources "$CROWD")

	expect_limited "admitted" "$(behind flood)" "$RATE" "$BURST" "$report"
	expect "admitted, as we count" "$(counter new_connection)" "$(behind flood)"
	expect_all_counted "$report" new_connection new_sources_over
}

test_flood_beyond_the_budget_passes_where_the_service_says_so() {
	make_topology
	budget pass "$RATE" "$BURST" | attach_with
	count_ingress "$server" to-attacker drop flood "ip protocol tcp"

	report=$(flood 1 --base "$FIRST" --sources "$CROWD")

	expect_limited "within the budget" "$(counter new_connection)" "$RATE" "$BURST" "$report"
	expect "passed" "$(behind flood)" $(($(counter new_connection) + $(counter overload_passed)))
	expect_all_counted "$report" new_connection overload_passed
}

# --- tiers --------------------------------------------------------------------------

# The neighbor is in the /24 (IPv6: the /48) below: a thousandth of the flood is its.
tier() {
	cat <<-YAML
		xdp:
		  services:
		    - name: web
		      ports: [80]
		      per_prefix: {ipv4: 24, ipv6: 48, connections_per_second: $RATE, burst: $BURST}
	YAML
}

test_flood_from_a_prefix_is_held_to_its_tier_and_its_neighbor_is_not_touched() {
	make_topology
	tier | attach_with
	count_ingress "$server" to-attacker drop prefix "ip saddr 198.18.1.0/24" \
		neighbor "ip saddr 198.18.0.255"

	report=$(flood 3 --base 198.18.1.0 --sources 256 --heavy 1000)

	expect_limited "admitted of the /24" "$(behind prefix)" "$RATE" "$BURST" "$report"
	expect_within 1 "admitted of its neighbor" "$(behind neighbor)" \
		$(($(number "$report" packets) / 1000))
	expect "admitted" "$(counter new_connection)" $(($(behind prefix) + $(behind neighbor)))
	expect_all_counted "$report" new_connection prefix_over_connections
}

test_flood_from_an_ipv6_prefix_is_held_to_its_tier_and_its_neighbor_is_not_touched() {
	make_topology
	tier | attach_with
	count_ingress "$server" to-attacker drop prefix "ip6 saddr 2001:db8:1::/48" \
		neighbor "ip6 saddr 2001:db8:0:ffff::/64"

	report=$(flood 2 --dst fd77:2::1 --base 2001:db8:1:: --sources 65536 --heavy 1000)

	expect_limited "admitted of the /48" "$(behind prefix)" "$RATE" "$BURST" "$report"
	expect_within 1 "admitted of its neighbor" "$(behind neighbor)" \
		$(($(number "$report" packets) / 1000))
	expect "admitted" "$(counter new_connection)" $(($(behind prefix) + $(behind neighbor)))
	expect_all_counted "$report" new_connection prefix_over_connections
}

skip_all_unless_root
run_tests "$@"
