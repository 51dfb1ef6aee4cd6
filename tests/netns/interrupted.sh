#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Changes that end in the middle, that come all at once, or that are very large:
# the tables in force are the old ones or the new ones, whole.
#
#   tests/netns/interrupted.sh [GLOB]
# shellcheck source=tests/support/netns.sh
source "${BASH_SOURCE%/*}/../support/netns.sh"

readonly LARGE=100000 SMALL=3 # prefixes

# table_of PREFIXES > FILE: each with a limit, of 100 different ones.
table_of() {
	awk -v count="$1" 'BEGIN {
		print "xdp:\n  sources:"
		for (i = 0; i < count; i++)
			printf "    - {prefix: 10.%d.%d.%d, connections_per_second: %d}\n",
				i / 65536, i / 256 % 256, i % 256, i % 100 + 1
	}'
}

attach_with_small_and_write_large() {
	make_topology
	table_of "$SMALL" >"$work/small.yaml"
	table_of "$LARGE" >"$work/large.yaml"
	throttle attach --dev to-attacker -c "$work/small.yaml"
}

# How many prefixes are in force, and how many entries there are in both slots.
prefixes() { throttle limit list --json | grep -o '"prefix":' | wc -l; }
entries() { dump thr_sources | grep -c '"prefixlen"'; }

# Whether PROCESS holds the lock that changes are made under.
is_changing() { grep -q " FLOCK .* $1 " /proc/locks; }

test_large_table_is_applied_whole() {
	attach_with_small_and_write_large
	start=$(now)

	throttle apply -c "$work/large.yaml"

	comment "$LARGE prefixes read and applied in $((($(now) - start) * 10)) ms"
	expect "prefixes" "$(prefixes)" "$LARGE"
	expect "entries" "$(entries)" "$LARGE"
	expect "admitted by the first prefix" "$(admitted --base 10.0.0.0 --count 1)" 1
	throttle limit set 10.1.134.159/32 --connections 1/h --burst 7 # the last of them
	expect "prefixes" "$(prefixes)" "$LARGE"
	expect "admitted by the last prefix" "$(admitted --base 10.1.134.159 --count 1000)" 7
}

test_apply_killed_at_any_moment_leaves_the_old_or_the_new_tables() {
	attach_with_small_and_write_large
	killed=0

	# How long a change takes, so as to kill within it.
	start "$server" output "$THROTTLE" apply -c "$work/large.yaml"
	wait_until is_changing "$started"
	begun=${EPOCHREALTIME/[.,]/}
	join "$started"
	took_us=$((${EPOCHREALTIME/[.,]/} - begun))

	for tenth in {0..9}; do
		throttle apply -c "$work/small.yaml"
		expect "prefixes" "$(prefixes)" "$SMALL"
		expect "entries" "$(entries)" "$SMALL"

		start "$server" output "$THROTTLE" apply -c "$work/large.yaml"
		wait_until is_changing "$started"
		sleep "$(printf '0.%06d' $((took_us * tenth / 10)))" # one of ten moments
		kill -KILL "$started" 2>/dev/null || true # unless it is done already
		status=0
		join "$started" || status=$?
		((status == 0)) || killed=$((killed + 1))

		live=$(prefixes)
		((live == SMALL || live == LARGE)) || fail "killed after $tenth tenths: $live prefixes"
	done
	comment "killed $killed times at the writing, which takes $((took_us / 1000)) ms"
	((killed > 0)) || fail "each was done before it was to be killed"

	throttle apply -c "$work/large.yaml"
	expect "prefixes in the end" "$(prefixes)" "$LARGE"
	expect "entries in the end" "$(entries)" "$LARGE"
}

# challenging > FILE: what needs sysctls.
challenging() {
	echo 'xdp:
  services: [{name: web, ports: [80], new_sources: {per_second: 1, on_overload: challenge}}]'
}

# kill_after MICROSECONDS COMMAND...: counts in `killed`.
kill_after() {
	start "$server" output "$THROTTLE" "${@:2}"
	sleep "$(printf '0.%06d' "$1")"
	kill -KILL "$started" 2>/dev/null || true # unless it is done already
	join "$started" || killed=$((killed + 1))
}

# What is remembered of a sysctl is true whenever the command ends.
test_apply_killed_at_any_moment_forgets_no_sysctl() {
	local -r sysctls=/proc/sys/net/ipv4/tcp_syncookies
	make_topology
	in_ns "$server" sh -c "echo 1 >$sysctls"
	table_of "$SMALL" >"$work/plain.yaml"
	sed "1a\\$(challenging | tail -n 1)" "$work/plain.yaml" >"$work/challenge.yaml"
	throttle attach --dev to-attacker -c "$work/plain.yaml"
	killed=0

	for ((delay_us = 0; delay_us < 60000; delay_us += 2000)); do
		kill_after "$delay_us" apply -c "$work/challenge.yaml" # one of thirty moments
		throttle apply -c "$work/plain.yaml"
		expect "killed after $delay_us us" "$(in_ns "$server" cat "$sysctls")" 1
	done
	comment "killed $killed times of 30"
	((killed > 0)) || fail "each was done before it was to be killed"
}

# A throttle that no interface has is gone, and what it remembers with it.
test_attach_or_detach_killed_at_any_moment_forgets_no_sysctl() {
	local -r sysctls=/proc/sys/net/ipv4/tcp_syncookies
	make_topology
	in_ns "$server" sh -c "echo 1 >$sysctls"
	challenging >"$work/challenge.yaml"
	killed=0

	for ((delay_us = 0; delay_us < 90000; delay_us += 1000)); do
		kill_after "$delay_us" attach --dev to-attacker -c "$work/challenge.yaml"
		throttle detach --dev to-attacker || true # unless it was not attached
		expect "attach killed after $delay_us us" "$(in_ns "$server" cat "$sysctls")" 1
	done
	for ((delay_us = 0; delay_us < 30000; delay_us += 500)); do
		throttle attach --dev to-attacker -c "$work/challenge.yaml"
		kill_after "$delay_us" detach --dev to-attacker
		throttle detach --dev to-attacker || true # unless it was not attached
		expect "detach killed after $delay_us us" "$(in_ns "$server" cat "$sysctls")" 1
	done
	comment "killed $killed times of 150"
	((killed > 0)) || fail "each was done before it was to be killed"
}

test_edits_at_the_same_time_all_take_effect() {
	make_topology
	throttle attach --dev to-attacker
	edits=()

	for i in {1..20}; do
		start "$server" output "$THROTTLE" limit set "10.0.$i.0/24" --connections "$i/s"
		edits+=("$started")
	done
	for edit in "${edits[@]}"; do
		join "$edit"
	done

	list=$(throttle limit list)
	for i in {1..20}; do
		expect_match "limits" "$list" "10\.0\.$i\.0/24 +$i/s +$i "
	done
	expect "prefixes" "$(prefixes)" 20
	expect "entries" "$(entries)" 20
}

test_edit_beside_an_apply_is_of_the_old_table_or_the_new() {
	attach_with_small_and_write_large
	start "$server" output "$THROTTLE" apply -c "$work/large.yaml"
	wait_until is_changing "$started"

	throttle deny add 192.0.2.0/24

	join "$started"
	expect "denied" "$(throttle deny list)" "192.0.2.0/24"
	expect "prefixes" "$(prefixes)" "$LARGE"
}

says() { grep -q "$1" "$work/log"; }

test_reload_waits_for_another_command_for_a_second_only() {
	make_topology
	cat >"$work/run.yaml" <<-END
		server: {address: 127.0.0.1, workers: 1}
		routes: [{path: /, target: "http://127.0.0.1:1"}]
		xdp: {interfaces: [to-attacker], mode: generic}
	END
	start "$server" none bash -c "exec '$THROTTLE' run -c '$work/run.yaml' 2>'$work/log'"
	daemon=$started
	wait_until says 'ready: '

	start "$server" none flock --no-fork /run/xdp-throttle.lock sleep 1000
	holder=$started
	wait_until is_changing "$holder"
	kill -HUP "$daemon"
	wait_until says 'another command holds /run/xdp-throttle.lock: try again; the reload was'

	kill -HUP "$daemon"
	kill -TERM "$holder"
	join "$holder" || true
	wait_until says 'reloaded: '
	stop "$daemon"
}

skip_all_unless_root
run_tests "$@"
