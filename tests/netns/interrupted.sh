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

# --- killed at each step ------------------------------------------------------------

# Calls by which a command changes something, or waits for packets. A dump only asks. What it
# stores into mapped arrays in between, the test above meets at some moments.
readonly CALLS=sendto,membarrier,write

traced() { in_ns "$server" env ASAN_OPTIONS=detect_leaks=0 strace -qq -e trace="$CALLS" "$@"; }

# at_each_step GIVEN THEN COMMAND...: for each of its calls, GIVEN, the command killed before
# that call, and THEN, with a number of its own; and once with the command not killed.
at_each_step() {
	local given=$1 then=$2 calls call nth step status
	shift 2
	traced -o "$work/calls" true || skip "lacks the privilege to trace processes"
	"$given"
	traced -o "$work/calls" "$THROTTLE" "$@"
	"$then" 0
	mapfile -t calls < <(
		awk -F '(' '{ nth[$1]++ } !/NLM_F_DUMP/ { print $1, nth[$1] }' "$work/calls"
	)
	for ((step = 1; step <= ${#calls[@]}; step++)); do
		read -r call nth <<<"${calls[step - 1]}"
		"$given"
		status=0
		traced -o "$work/trace" -e "inject=$call:signal=KILL:when=$nth" "$THROTTLE" "$@" ||
			status=$?
		echo "killed before $call $nth"
		expect "status" "$status" $((128 + 9))
		"$then" "$step"
	done
	comment "killed before each of: ${calls[*]}"
	((${#calls[@]} > 0)) || fail "it makes no such call"
}

readonly SYNCOOKIES=/proc/sys/net/ipv4/tcp_syncookies

# What a challenge needs has another value at first.
make_topology_and_files() {
	make_topology
	in_ns "$server" sh -c "echo 1 >$SYNCOOKIES"
	cat >"$work/plain.yaml" <<-'YAML'
		xdp:
		  per_source: {connections_per_minute: 1, burst: 20}
		  services: [{name: web, ports: [443], new_sources: {per_second: 1}}]
	YAML
	sed 's/per_second: 1/&, on_overload: challenge/' "$work/plain.yaml" >"$work/challenge.yaml"
	sed 's/burst: 20/burst: 30/' "$work/plain.yaml" >"$work/other.yaml"
}

# Names of the interfaces that have a program.
attached() {
	in_ns "$server" ip -o link show | sed -n 's/^[0-9]*: \([^@:]*\).* prog\/xdp .*/\1/p' | paste -sd ' '
}

# admitted_at STEP: from a source that no other step has.
admitted_at() { admitted --base "198.18.$1.1" --count 100; }

nothing() { :; }
attach_challenge() { throttle attach --dev to-attacker -c "$work/challenge.yaml"; }

# What was remembered of a sysctl was true, and not forgotten with the throttle.
expect_restored() { expect "sysctl" "$(in_ns "$server" cat "$SYNCOOKIES")" 1; }

expect_nothing_or_limits() {
	if [[ $(attached) ]]; then
		expect "admitted" "$(admitted_at "$1")" 20
	else
		attach_challenge
	fi
	throttle detach --dev to-attacker
	expect "interfaces" "$(attached)" ""
	expect_restored
}

test_attach_killed_at_any_step_leaves_nothing_or_what_limits() {
	make_topology_and_files
	at_each_step nothing expect_nothing_or_limits \
		attach --dev to-attacker -c "$work/challenge.yaml"
}

test_detach_killed_at_any_step_leaves_nothing_or_what_limits() {
	make_topology_and_files
	at_each_step attach_challenge expect_nothing_or_limits detach --dev to-attacker
}

expect_restored_by_plain_tables() {
	throttle apply -c "$work/plain.yaml"
	expect_restored
}

test_apply_killed_at_any_step_forgets_no_sysctl() {
	make_topology_and_files
	throttle attach --dev to-attacker -c "$work/plain.yaml"
	at_each_step nothing expect_restored_by_plain_tables apply -c "$work/challenge.yaml"
}

# The first interface keeps the throttle, with the old tables or the new.
expect_old_or_new_tables() {
	local list
	list=$(throttle limit list)
	expect_match "limits" "$list" 'default, each source .* (20|30) '
	[[ $(attached) != *to-attacker* ]] ||
		expect "admitted" "$(admitted_at "$1")" "${BASH_REMATCH[1]}"

	throttle attach --dev to-attacker -c "$work/other.yaml"
	expect "admitted in the end" "$(admitted_at "$((100 + $1))")" 30
	throttle detach --dev to-attacker
	expect "interfaces" "$(attached)" to-client
}

apply_plain() { throttle apply -c "$work/plain.yaml"; }

test_attach_of_another_interface_killed_at_any_step_leaves_old_or_new_tables() {
	make_topology_and_files
	throttle attach --dev to-client -c "$work/plain.yaml"
	at_each_step apply_plain expect_old_or_new_tables \
		attach --dev to-attacker -c "$work/other.yaml"
}

# Another build of the program, with a clock that stands still, on both interfaces.
attach_another_build() {
	in_ns "$server" ip link set dev to-attacker xdpdrv obj "$B/tests/bpf/mock_clock.bpf.o" sec xdp
	in_ns "$server" bpftool net attach xdpdrv id "$(program_id)" dev to-client
	throttle apply -c "$work/plain.yaml"
}

# Of which builds the programs of the interfaces are.
builds() {
	local id
	status | grep -o '"program_id":[0-9]*' | while IFS=: read -r _ id; do
		bpftool prog show id "$id" | grep -o ' tag [0-9a-f]*'
	done | sort -u
}

expect_both_limited() {
	expect "interfaces" "$(attached)" "to-client to-attacker"
	expect "admitted" "$(admitted_at "$1")" 20

	throttle attach --dev to-attacker
	throttle attach --dev to-client
	expect "builds in the end" "$(builds | wc -l)" 1
	expect "admitted in the end" "$(admitted_at "$((100 + $1))")" 20
	throttle detach --dev to-attacker
	throttle detach --dev to-client
}

test_renewal_killed_at_any_step_leaves_limits_on_all_interfaces() {
	make_topology_and_files
	at_each_step attach_another_build expect_both_limited attach --dev to-attacker
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
