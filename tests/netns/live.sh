#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What packets meet while the throttle is attached: whose limit holds, and that
# a change of it holds from the moment at which the command returns.
#
#   tests/netns/live.sh [GLOB]
# shellcheck source=tests/support/netns.sh
source "${BASH_SOURCE%/*}/../support/netns.sh"

readonly SOURCE=198.18.0.1 # of a flood, unless it is told otherwise

# attach_with < YAML: to the attacker's interface, with a configuration.
attach_with() {
	cat >"$work/attached.yaml"
	throttle attach --dev to-attacker -c "$work/attached.yaml"
}

# --- whose limit ---------------------------------------------------------------

test_each_source_has_a_burst_of_its_own() {
	make_topology
	attach_with <<-'YAML'
		xdp:
		  per_source: {connections_per_minute: 1, burst: 20}
	YAML

	expect "admitted of 16 sources" "$(admitted --count 16000 --sources 16)" 320
}

test_sources_of_a_prefix_share_the_burst_of_their_tier() {
	make_topology
	attach_with <<-'YAML'
		xdp:
		  services:
		    - name: web
		      ports: [80]
		      per_prefix: {ipv4: 24, connections_per_minute: 1, burst: 50}
	YAML

	expect "admitted of 200 sources in a /24" "$(admitted --count 4000 --sources 200)" 50
	expect "admitted of the next /24" "$(admitted --count 4000 --base 198.18.1.1)" 50
	expect "admitted to another port" "$(admitted --count 500 --dport 81)" 500
}

test_shared_prefix_has_one_burst() {
	make_topology
	throttle attach --dev to-attacker
	throttle limit set 198.18.0.0/24 --connections 1/h --burst 50 --shared

	expect "admitted of 200 sources" "$(admitted --count 4000 --sources 200)" 50
}

test_two_interfaces_share_the_bucket_of_a_source() {
	make_topology
	attach_with <<-'YAML'
		xdp:
		  per_source: {connections_per_minute: 1, burst: 20}
	YAML
	throttle attach --dev to-client

	expect "admitted on one" "$(admitted --count 15)" 15
	before=$(status)
	in_ns "$client" "${from_client[@]}" --count 15 >"$work/flood"
	expect "admitted on the other" "$(grown "$before" new_connection)" 5
}

test_ipv6_sources_of_a_64_share_a_bucket() {
	make_topology
	to_server=(--dst fd77:2::1 --count 1000)
	attach_with <<-'YAML'
		xdp:
		  per_source: {connections_per_minute: 1, burst: 20}
	YAML

	expect "admitted of one" "$(admitted "${to_server[@]}" --base 2001:db8::1)" 20
	expect "admitted of its neighbor" "$(admitted "${to_server[@]}" --base 2001:db8::2)" 0
	expect "admitted of the next 8 /64" \
		"$(admitted "${to_server[@]}" --base 2001:db8:1::1 --sources 8)" 160
	throttle deny add 2001:db8:1::/48
	expect "admitted of a denied /48" "$(admitted "${to_server[@]}" --base 2001:db8:1:9::1)" 0
	throttle limit set 2001:db8:2::/48 --connections 1/h --burst 7
	expect "admitted by a prefix's limit" \
		"$(admitted "${to_server[@]}" --base 2001:db8:2:9::1)" 7
}

test_tcp_client_is_served_up_to_its_burst() {
	make_topology
	start_httpd
	throttle attach --dev to-client
	throttle limit set 10.77.1.2/32 --connections 1/h --burst 5

	expect "served" "$(served "$client" 10.77.1.1 --count 8)" 5
	throttle limit del 10.77.1.2/32
	expect "served without a limit" "$(served "$client" 10.77.1.1 --count 8)" 8
}

# budget_of SERVICE...: each with a budget of 100 connections, one a second back, all on
# ports of their own from 80 on.
budget_of() {
	local name port=80
	printf 'xdp:\n  services:\n'
	for name; do
		printf '    - {name: %s, ports: [%d], new_sources: {per_second: 1, burst: 100}}\n' \
			"$name" $((port++))
	done
}

# expect_about WHAT GOT WANTED: some seconds may have gone by, and each grants one more.
expect_about() { (($2 >= $3 && $2 <= $3 + 5)) || fail "$1: got $2, wanted $3 or few more"; }

test_sources_that_are_new_share_the_budget_of_their_service() {
	make_topology
	budget_of web ssh | attach_with

	expect_about "admitted of 1000 sources" "$(admitted --count 1000 --sources 1000)" 100
	expect_about "admitted to another service" \
		"$(admitted --count 1000 --sources 1000 --dport 81)" 100
	expect "admitted to no service" "$(admitted --count 500 --sources 500 --dport 99)" 500
	expect "counted" "$(($(counter new_connection) + $(counter new_sources_over)))" 2500
}

test_budget_stays_with_the_name_of_its_service() {
	make_topology
	budget_of web | attach_with
	expect_about "admitted" "$(admitted --count 1000 --sources 1000)" 100

	budget_of ssh web >"$work/a.yaml"
	throttle apply -c "$work/a.yaml"
	expect_about "admitted to web on another port" \
		"$(admitted --count 1000 --sources 1000 --dport 81)" 0
	expect_about "admitted to ssh" "$(admitted --count 1000 --sources 1000)" 100
	throttle limit set 198.51.100.0/24 --connections 1/h
	expect_about "admitted after a limit was set" \
		"$(admitted --count 1000 --sources 1000 --dport 81)" 0
	expect_match "limit list" "$(throttle limit list)" 'service web, new sources +1/s +100 .* drop'
	expect_match "limit list --json" "$(throttle limit list --json)" \
		'"new_sources":\{"rate":1,"per_seconds":1,"burst":100,"on_overload":"drop"\}'
}

test_service_that_is_new_begins_with_its_whole_budget() {
	make_topology
	budget_of web | attach_with
	expect_about "admitted to web" "$(admitted --count 1000 --sources 1000)" 100
	for name in ssh mail; do # the third may have the number of the first
		budget_of "$name" >"$work/a.yaml"
		throttle apply -c "$work/a.yaml"
		expect_about "admitted to $name" "$(admitted --count 1000 --sources 1000)" 100
	done
}

test_service_that_is_new_begins_with_its_whole_budget_where_every_number_was_in_use() {
	make_topology
	# shellcheck disable=SC2046 # words are meant
	budget_of $(seq -f 'old%g' 255) | attach_with
	expect_about "admitted to an old one" "$(admitted --count 1000 --sources 1000)" 100

	# shellcheck disable=SC2046
	budget_of $(seq -f 'new%g' 255) >"$work/a.yaml"
	throttle apply -c "$work/a.yaml"

	expect_about "admitted to a new one" "$(admitted --count 1000 --sources 1000)" 100
}

test_budget_beyond_which_new_sources_pass_counts_them() {
	make_topology
	budget_of web | sed 's/burst: 100/burst: 100, on_overload: pass/' | attach_with
	before=$(status)

	expect_about "admitted within the budget" "$(admitted --count 1000 --sources 1000)" 100
	expect "counted" "$(($(grown "$before" new_connection) + $(grown "$before" overload_passed)))" 1000
	expect "dropped" "$(grown "$before" dropped)" 0
}

test_monitor_counts_and_drops_nothing() {
	make_topology
	start_httpd
	attach_with <<-'YAML'
		xdp:
		  action: monitor
		  per_source: {connections_per_minute: 1, burst: 20}
		  sources: [{prefix: 198.18.7.0/24, action: deny}]
	YAML
	throttle attach --dev to-client

	expect "admitted" "$(admitted --count 1000)" 20
	expect "admitted of a denied prefix" "$(admitted --count 1000 --base 198.18.7.1)" 0
	expect "served" "$(served "$client" 10.77.1.1 --count 30)" 30
	expect "would be dropped for the limit" "$(counter over_connections)" $((980 + 10))
	expect "would be dropped for deny" "$(counter denied)" 1000
	expect "dropped" "$(counter dropped)" 0
	expect_match "status" "$(status)" '"action":"monitor"'
}

# --- changes -------------------------------------------------------------------

test_raised_limit_admits_a_held_back_source_at_once() {
	make_topology
	throttle attach --dev to-attacker
	throttle limit set "$SOURCE/32" --connections 1/h --burst 10
	start_flood --rate 5000
	run_before_others "$started"
	before=$(status)
	expect_rate 0 "admitted a second before" 0.5 0
	has_grown "$before" over_connections

	throttle limit set "$SOURCE/32" --connections 1000/s

	expect_rate 3 "admitted a second" 2 1000
	stop "$started"
}

test_lowered_limit_holds_a_source_back_at_once() {
	make_topology
	throttle attach --dev to-attacker
	throttle limit set "$SOURCE/32" --connections 2000/s
	start_flood --rate 5000
	run_before_others "$started"
	wait_until has_grown "$(status)" over_connections
	expect_rate 3 "admitted a second before" 2 2000

	throttle limit set "$SOURCE/32" --connections 100/s

	expect_rate 5 "admitted a second" 2 100
	stop "$started"
}

test_allow_and_deny_hold_at_once_and_end_at_once() {
	make_topology
	attach_with <<-'YAML'
		xdp:
		  per_source: {connections_per_minute: 1, burst: 20}
	YAML
	start_flood --rate 5000
	wait_until has_grown "$(status)" over_connections

	throttle allow add "$SOURCE/32"
	only_grows allowed
	throttle allow del "$SOURCE/32"
	only_grows over_connections
	throttle deny add 198.18.0.0/15
	only_grows denied
	throttle allow add "$SOURCE/32"
	only_grows allowed
	throttle deny del 198.18.0.0/15
	throttle allow del "$SOURCE/32"
	only_grows over_connections
	stop "$started"
}

# only_grows REASON: every SYN of the flood, from now on, comes to it. The burst
# is spent, so none is to be a new connection.
only_grows() {
	local before reason wanted=$1
	before=$(status)
	wait_until has_grown "$before" "$wanted"
	for reason in new_connection allowed denied over_connections; do
		if [[ $reason != "$wanted" ]]; then
			expect "$reason beside $wanted" "$(grown "$before" "$reason")" 0
		fi
	done
}

test_deleted_limit_gives_way_to_the_one_around_it() {
	make_topology
	throttle attach --dev to-attacker
	throttle limit set 198.18.0.0/16 --connections 1/h --burst 30
	throttle limit set 198.18.0.0/24 --connections 1/h --burst 20
	expect "admitted by the /24" "$(admitted --count 1000)" 20

	throttle limit del 198.18.0.0/24

	expect "admitted by the /16, which has the same bucket" "$(admitted --count 1000)" 10
	throttle limit del 198.18.0.0/16
	expect "admitted without a limit" "$(admitted --count 1000)" 1000
}

test_apply_keeps_buckets_and_counters() {
	make_topology
	attach_with <<-'YAML'
		xdp:
		  per_source: {connections_per_minute: 1, burst: 20}
	YAML
	program=$(program_id)
	expect "admitted" "$(admitted --count 1000)" 20

	throttle apply -c "$work/attached.yaml"

	expect "program" "$(program_id)" "$program"
	expect "counter" "$(counter new_connection)" 20
	expect "admitted after it" "$(admitted --count 1000)" 0
}

# table_of ACTION: a table in which that is what becomes of the flood, with 2000
# prefixes beside it, so that writing it takes a while. A packet that saw part of
# one table and part of another would be judged by the limit at its head.
table_of() {
	local i
	echo 'xdp: {per_source: {connections_per_minute: 1, burst: 20}, sources: ['
	echo "{prefix: 198.18.0.0/15, action: $1},"
	for i in {1..2000}; do
		echo "{prefix: 10.$((i / 250)).$((i % 250)).0/24, action: $1},"
	done
	echo ']}'
}

test_apply_under_a_flood_judges_each_packet_by_one_table() {
	make_topology
	table_of allow >"$work/a.yaml"
	table_of deny >"$work/b.yaml"
	throttle attach --dev to-attacker -c "$work/a.yaml"
	start_flood --sources 65536 # more than a CPU remembers: each is looked up

	for _ in {1..25}; do
		before=$(status)
		throttle apply -c "$work/b.yaml" >"$work/output"
		wait_until has_grown "$before" denied
		before=$(status)
		throttle apply -c "$work/a.yaml" >"$work/output"
		wait_until has_grown "$before" allowed
	done

	stop "$started"
	for reason in new_connection over_connections no_bucket; do
		expect "$reason" "$(counter "$reason")" 0
	done
}

skip_all_unless_root
run_tests "$@"
