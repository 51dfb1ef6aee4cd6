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
	end_of_flood
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

	report=$(flood 2 --base "$FIRST" --sources "$CROWD")

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

	report=$(flood 2 --base 198.18.1.0 --sources 256 --heavy 1000)

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

# --- real clients, through the flood -------------------------------------------------

# Every address in these networks is the client's: one for each connection.
readonly CLIENTS4=10.78.0.0 STRANGERS4=10.78.128.0 CLIENTS6=fd78::

# A budget, and its burst, that the flood has used up before a client comes.
readonly FEW=20

# make_clients_and_server ANY-ADDRESS: the server listens on every address of that family.
# What it answers to the flood, which it has a route to, is counted where it arrives.
make_clients_and_server() {
	in_ns "$client" ip addr add fd77:1::2/64 dev eth-c nodad
	in_ns "$server" ip addr add fd77:1::1/64 dev to-client nodad
	in_ns "$client" ip route add local "$CLIENTS4/16" dev lo
	in_ns "$client" sysctl -qw net.ipv6.ip_nonlocal_bind=1 # IPv4 asks the route alone
	in_ns "$client" ip -6 route add local "$CLIENTS6/32" dev lo
	in_ns "$server" ip route add "$CLIENTS4/16" via 10.77.1.2
	in_ns "$server" ip -6 route add "$CLIENTS6/32" via fd77:1::2
	in_ns "$server" ip route add "$FIRST/8" via 10.77.2.2
	in_ns "$server" ip -6 route add "$FIRST6/16" via fd77:2::2
	accept_xdp_tx "$client" eth-c
	accept_xdp_tx "$attacker" eth-a
	count_ingress "$attacker" eth-a drop answers "tcp flags & (syn | ack) == (syn | ack)"
	start "$server" served "$CLIENTS" serve "$1" 80
	listener=$started
	wait_until test -s "$work/served"
}

# stop_serving: `accepted` is how many connections the server accepted.
stop_serving() {
	stop "$listener"
	accepted=$(number "$(<"$work/served")" accepted)
}

# connect ADDRESS FIRST-SOURCE SOURCES COUNT OPTION...: prints the result.
connect() {
	in_ns "$client" "$CLIENTS" connect "$1" 80 --from "$2" --sources "$3" --count "$4" \
		--at-once 250 "${@:5}"
}

verified_sources() { dump thr_verified | grep -c until_ns || true; }

# clients_through_a_flood ANY-ADDRESS TO CLIENTS COUNT FLOOD-OPTION...: all of them connect, and
# of the flood nothing comes further than the kernel's own cookies.
clients_through_a_flood() {
	local to=$2 sources=$3 count=$4 result
	make_clients_and_server "$1"
	shift 4
	budget challenge "$FEW" "$FEW" | attach_with
	throttle attach --dev to-client
	count_ingress "$server" to-attacker accept flood "tcp flags == syn"
	start_flood --rate "$PACE" --sources "$CROWD" "$@"

	result=$(connect "$to" "$sources" "$count" "$count")
	stop "$started"
	stop_serving
	end_of_flood

	comment "$result; challenged: $(counter challenged), answers: $(counted "$attacker" answers)"
	expect "connected of $count" "$(number "$result" connected)" "$count"
	expect "accepted" "$accepted" "$count"
	expect "lost for want of room in the accept queue" "$(mib TcpExtListenOverflows)" 0
	(($(mib TcpExtSyncookiesRecv) >= count))
	(($(counter challenge_completed) >= count))
	expect "verified" "$(verified_sources)" "$count"
	(($(counted "$attacker" answers) > 0))
	(($(counted "$attacker" answers) <= $(counter challenged) + $(counter new_connection)))
	expect_at_most "of the flood behind the throttle" "$(behind flood)" "$FEW" "$FEW" \
		"$(<"$work/flood")"
}

test_thousand_clients_connect_through_a_flood_that_is_challenged() {
	make_topology
	clients_through_a_flood 0.0.0.0 10.77.1.1 "$CLIENTS4" 1000 --base "$FIRST"
}

test_ipv6_clients_connect_through_a_flood_that_is_challenged() {
	make_topology
	clients_through_a_flood :: fd77:1::1 "${CLIENTS6}1" 100 --dst fd77:2::1 --base "$FIRST6"
}

test_forged_acks_verify_nobody_while_challenges_are_out() {
	make_topology
	make_clients_and_server 0.0.0.0
	budget challenge "$FEW" "$FEW" | attach_with
	in_ns "$attacker" "${from_attacker[@]}" --count 10000 --sources "$CROWD" --base "$FIRST" \
		>"$work/syns"
	before=$(status)
	(($(number "$before" challenged) > 1000))

	in_ns "$attacker" "${from_attacker[@]}" --count 20000 --sources "$CROWD" --base "$FIRST" \
		--kind ack >"$work/acks"
	stop_serving
	end_of_flood

	(($(grown "$before" established) > 1000))
	expect "verified" "$(verified_sources)" 0
	expect "accepted" "$accepted" 0
}

# The clients show themselves to a challenge first; then the file says drop.
test_verified_clients_connect_through_a_flood_that_is_dropped_and_new_ones_within_the_budget() {
	make_topology
	make_clients_and_server 0.0.0.0
	budget challenge 1 1 | attach_with
	throttle attach --dev to-client
	count_ingress "$server" to-attacker accept flood "tcp flags == syn"
	expect "verified" "$(number "$(connect 10.77.1.1 "$CLIENTS4" 100 200)" connected)" 200
	budget drop "$FEW" "$FEW" >"$work/drop.yaml"
	throttle apply -c "$work/drop.yaml"
	start_flood --rate "$PACE" --sources "$CROWD" --base "$FIRST"

	verified=$(connect 10.77.1.1 "$CLIENTS4" 100 500)
	new=$(connect 10.77.1.1 "$STRANGERS4" 200 200 --timeout 0.9)
	stop "$started"
	stop_serving
	end_of_flood

	comment "verified: $verified, new: $new"
	expect "connected of the verified" "$(number "$verified" connected)" 500
	expect "accepted" "$accepted" $((200 + 500 + $(number "$new" connected)))
	expect_at_most "new connections of others" $(($(behind flood) + $(number "$new" connected))) \
		"$FEW" "$FEW" "$(<"$work/flood")"
	(($(number "$new" failed) > 0))
}

skip_all_unless_root
run_tests "$@"
