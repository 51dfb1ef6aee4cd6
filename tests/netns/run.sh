#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The packet layer under `run`: attached by the configuration, counted in status,
# renewed by a reload, and there when the process is not.
#
#   tests/netns/run.sh [GLOB]
# shellcheck source=tests/support/netns.sh
source "${BASH_SOURCE%/*}/../support/netns.sh"

# configuration BURST INTERFACE...: each source BURST new connections, which come
# back one a minute.
configuration() {
	local burst=$1
	shift
	cat >"$work/run.yaml" <<-END
		server: {port: 8080, workers: 1}
		routes: [{path: /, target: "http://127.0.0.1:80"}]
		xdp:
		  interfaces: [$(IFS=,; echo "$*")]
		  per_source: {connections_per_minute: 1, burst: $burst}
	END
}

says() { grep -q "$1" "$work/log"; }

# Sets `daemon`.
run() {
	start "$server" none bash -c "exec '$THROTTLE' run -c '$work/run.yaml' 2>'$work/log'"
	daemon=$started
	wait_until says ': ready: '
}

# reload WORD: until the log says it.
reload() {
	kill -HUP "$daemon"
	wait_until says "$1"
}

interfaces() { throttle status | awk 'NR > 1 && NF { print $1 } !NF { exit }' | sort | xargs; }

test_run_attaches_what_the_file_names_and_limits() {
	make_topology
	configuration 20 to-client to-attacker
	run

	expect "interfaces" "$(interfaces)" "to-attacker to-client"
	expect "admitted" "$(admitted --count 1000)" 20
	expect "dropped" "$(counter over_connections)" 980
}

test_reload_makes_the_new_tables_live_and_keeps_buckets() {
	make_topology
	configuration 20 to-attacker
	run
	expect "admitted" "$(admitted --count 100)" 20

	configuration 30 to-attacker to-client
	reload ' reloaded: '

	expect "interfaces" "$(interfaces)" "to-attacker to-client"
	expect "admitted: ten more" "$(admitted --count 100)" 10
}

test_reload_of_a_file_with_a_mistake_changes_nothing() {
	make_topology
	configuration 20 to-attacker
	run

	configuration 0 to-attacker
	reload 'run.yaml:5:.*burst is 0.*nothing changed'

	expect "admitted" "$(admitted --count 100)" 20
}

# sysctls [VALUE]: those that a challenge needs, of the server; or set them.
sysctls() {
	# shellcheck disable=SC2016
	in_ns "$server" sh -c 'cd /proc/sys/net/ipv4 && for name in tcp_syncookies tcp_timestamps; do
		if [ "$1" ]; then echo "$1" >$name; else cat $name; fi; done' sh "${1:-}" | paste -sd ' '
}

test_reload_sets_and_restores_what_a_challenge_needs() {
	make_topology
	sysctls 1
	configuration 20 to-attacker
	cp "$work/run.yaml" "$work/plain.yaml"
	run
	expect "sysctls" "$(sysctls)" "1 1"

	echo '  services: [{name: web, ports: [80], new_sources: {per_second: 5, on_overload: challenge}}]' \
		>>"$work/run.yaml"
	reload 'tcp_timestamps: 1 -> 2, for on_overload: challenge of service web; detach restores it'
	expect "sysctls under challenge" "$(sysctls)" "2 2"
	cp "$work/plain.yaml" "$work/run.yaml"
	reload 'tcp_timestamps: 2 -> 1, as it was'
	expect "sysctls after it" "$(sysctls)" "1 1"
}

test_reload_with_other_sizes_of_tables_changes_nothing() {
	make_topology
	configuration 20 to-attacker
	run
	before=$(throttle limit list)

	configuration 30 to-attacker to-client
	echo '  tables: {gate: 2M}' >>"$work/run.yaml"
	reload 'xdp.tables.gate is 2097152, and the throttle that runs has 1048576.*nothing changed'

	expect "limits" "$(throttle limit list)" "$before"
	expect "interfaces" "$(interfaces)" to-attacker
}

test_interface_that_left_the_file_keeps_the_throttle_and_is_named() {
	make_topology
	configuration 20 to-attacker to-client
	run

	configuration 20 to-attacker
	reload 'xdp-throttle detach --dev to-client'

	expect "interfaces" "$(interfaces)" "to-attacker to-client"
}

test_throttle_stays_when_run_ends() {
	make_topology
	configuration 20 to-attacker
	run
	program=$(program_id)

	stop "$daemon"

	expect "program" "$(program_id)" "$program"
	expect "admitted" "$(admitted --count 100)" 20
}

test_throttle_stays_when_run_is_killed_and_the_next_run_takes_it_over() {
	make_topology
	configuration 20 to-attacker
	run
	program=$(program_id)
	kill -KILL "$daemon"
	join "$daemon" || true
	expect "admitted" "$(admitted --count 100)" 20

	run

	expect "program" "$(program_id)" "$program"
	expect "admitted: the buckets stayed" "$(admitted --count 100)" 0
}

test_start_that_fails_leaves_no_program_behind() {
	make_topology
	configuration 20 to-attacker nowhere0

	line=$(refused 1 throttle run -c "$work/run.yaml")

	expect_match "message" "$line" 'nowhere0'
	[[ $(in_ns "$server" ip link show to-attacker) != *prog/xdp* ]]
}

skip_all_unless_root
run_tests "$@"
