# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash
# shellcheck disable=SC2034 # much here is for the scripts that source it
#
# What the tests in tests/netns share: the namespaces, the floods, the counters
# and the TAP output. To be sourced.
#
#   +-- client -----------+                 +-- server --------------------+
#   |  eth-c 10.77.1.2/24 |---- veth -------| to-client   10.77.1.1/24     |
#   +---------------------+                 |                              |
#                                           |   xdp-throttle, on either    |
#   +-- attacker ---------+                 |   or on both                 |
#   |  eth-a 10.77.2.2/24 |---- veth -------| to-attacker 10.77.2.1/24     |
#   |        fd77:2::2/64 |                 |             fd77:2::1/64     |
#   +---------------------+                 +------------------------------+
#    floods from 198.18.0.1 or 2001:db8::1
#    unless told otherwise
#
# Every test makes these for itself, with names of its own, and removes them
# however it ends. The server has no route back to the sources of a flood, so
# what is let through costs it little and nothing answers.
#
# A test is a function that runs in a subshell under `set -e`: it fails where a
# command of it fails, or by fail(). Limits that tests count by come back once a
# minute or once an hour, so that within a test a burst is all there is.

set -euo pipefail
shopt -s inherit_errexit

readonly B=${B:-build}
readonly THROTTLE=$B/xdp-throttle
readonly OBJECT=$B/xdp_throttle.bpf.o
readonly BULK=${BASH_SOURCE%/*}/bulk.pl
readonly CLIENTS=${BASH_SOURCE%/*}/clients.py
readonly FOREIGN=$B/tools/flood.bpf.o # an XDP program that is not ours: 'flood'
readonly DEADLINE_S=10                # for anything that a test waits for

client='' server='' attacker='' # names of the namespaces
work=''                         # directory for files
owner=''                        # the shell that removes what was made
made=()                         # namespaces
declare -A running=()           # processes by id

# --- TAP -----------------------------------------------------------------------

exec 3>&1
filter='*' is_planning='' planned=0 ran=0 failures=0

# run_tests [GLOB]: run every function test_* of the script, in its order.
run_tests() { run_list every_test "$@"; }

every_test() {
	local name names
	mapfile -t names < <(sed -n 's/^test_\([a-z0-9_]*\)() {$/\1/p' "$0")
	for name in "${names[@]}"; do
		tap "$name" "test_$name"
	done
}

# run_list LIST [GLOB]: run the tests for which the function LIST calls tap. It
# is called twice, because the plan comes first.
run_list() {
	local list=$1
	filter=${2:-*}
	end_on_signals
	is_planning=yes
	"$list"
	is_planning=''
	echo "1..$planned"
	"$list"
	((failures == 0))
}

# tap NAME COMMAND...: one test.
tap() {
	local name=$1 output status
	shift
	# shellcheck disable=SC2053 # a glob is meant
	[[ $name == $filter ]] || return 0
	if [[ $is_planning ]]; then
		planned=$((planned + 1))
		return 0
	fi
	ran=$((ran + 1))
	set +e
	output=$(
		exec 2>&1
		begin
		set -eE
		trap 'echo "line $LINENO: $BASH_COMMAND: status $?"' ERR
		"$@"
	)
	status=$?
	set -e
	if ((status == SKIPPED)); then
		echo "ok $ran - $name # SKIP ${output##*$'\n'}"
	elif ((status == 0)); then
		echo "ok $ran - $name"
	else
		echo "not ok $ran - $name"
		echo "# ${output//$'\n'/$'\n# '}"
		failures=$((failures + 1))
	fi
}

readonly SKIPPED=77

# skip REASON: end the test that is running: this machine cannot run it.
skip() {
	echo "$1"
	exit "$SKIPPED"
}

fail() {
	echo "$*" >&2
	exit 1
}

# A figure worth seeing that no test can assert.
comment() { echo "# $*" >&3; }

skip_all_unless_root() {
	if (($(id -u) != 0)); then
		echo "1..0 # SKIP needs root"
		exit 0
	fi
}

# --- what a test makes, and its removal --------------------------------------------

# Through the EXIT trap; a script's shell waits for its test to clean up.
end_on_signals() {
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

# In the shell of a script, or of a test, before it makes anything.
begin() {
	owner=$BASHPID
	running=()
	made=()
	trap cleanup EXIT
	end_on_signals
	work=$(mktemp -d)
	chmod 755 "$work" # some commands are run as another user
}

cleanup() {
	local name
	trap - EXIT ERR
	set +e
	((${#running[@]} == 0)) || kill -KILL "${!running[@]}" 2>/dev/null
	wait
	for name in "${made[@]}"; do
		ip netns del "$name"
	done
	rm -rf "$work"
}

make_namespace() {
	ip netns add "$1"
	made+=("$1")
	in_ns "$1" ip link set lo up
}

make_topology() {
	client=xdpt-$BASHPID-client server=xdpt-$BASHPID-server attacker=xdpt-$BASHPID-attacker
	make_namespace "$client"
	make_namespace "$server"
	make_namespace "$attacker"
	in_ns "$client" ip link add eth-c type veth peer name to-client netns "$server"
	in_ns "$attacker" ip link add eth-a type veth peer name to-attacker netns "$server"
	set_up "$client" eth-c 10.77.1.2/24
	set_up "$server" to-client 10.77.1.1/24
	set_up "$attacker" eth-a 10.77.2.2/24 fd77:2::2/64
	set_up "$server" to-attacker 10.77.2.1/24 fd77:2::1/64
	from_client=("$B/tools/flood" --json --dev eth-c --dst 10.77.1.1
		--dst-mac "$(mac_of to-client)")
	from_attacker=("$B/tools/flood" --json --dev eth-a --dst 10.77.2.1
		--dst-mac "$(mac_of to-attacker)")
}

# set_up NAMESPACE IF ADDRESS...
set_up() {
	local namespace=$1 dev=$2 address
	shift 2
	for address in "$@"; do
		case $address in
		*:*) in_ns "$namespace" ip addr add "$address" dev "$dev" nodad ;;
		*) in_ns "$namespace" ip addr add "$address" dev "$dev" ;;
		esac
	done
	in_ns "$namespace" ip link set "$dev" up
}

# accept_xdp_tx NAMESPACE IF: veth discards what its other end answers in XDP unless
# it has an XDP program itself.
accept_xdp_tx() { in_ns "$1" ip link set dev "$2" xdp obj "$B/tools/pass.bpf.o" sec xdp; }

# mac_of IF: of an interface of the server.
mac_of() { in_ns "$server" ip -br link show dev "$1" | awk '{ print $3 }'; }

# --- processes -----------------------------------------------------------------

# `ip netns exec` would mount another /sys; nsenter changes the network only.
in_ns() {
	local namespace=$1
	shift
	nsenter --net="/run/netns/$namespace" "$@"
}

# In the server's namespace as `ip netns exec` enters it, with a /sys of its own.
# That command wants / to be a mount point, which it is not in a plain chroot;
# there, the same is done without it.
netns_exec() {
	if mountpoint -q /; then
		ip netns exec "$server" "$@"
	else
		# shellcheck disable=SC2016
		in_ns "$server" unshare --mount --propagation unchanged sh -c \
			'mount --make-rprivate /sys && mount -t sysfs sysfs /sys && exec "$@"' sh "$@"
	fi
}

throttle() { in_ns "$server" "$THROTTLE" "$@"; }

# start NAMESPACE OUTPUT COMMAND...: in the background; `started` is its process
# id and $work/OUTPUT takes what it prints.
start() {
	local namespace=$1 output=$2
	shift 2
	[[ $BASHPID == "$owner" ]] || fail "start: a subshell would forget $*"
	nsenter --net="/run/netns/$namespace" "$@" >"$work/$output" &
	started=$!
	running[$started]=1
}

# join PROCESS: wait for its end; the status is that of the process.
join() {
	unset "running[$1]"
	wait "$1"
}

# stop PROCESS: have it end now; it must do so in good order.
stop() {
	kill -TERM "$1"
	join "$1"
}

# wait_until COMMAND...: poll until it succeeds.
wait_until() {
	local deadline=$((SECONDS + DEADLINE_S))
	until "$@"; do
		((SECONDS < deadline)) || fail "not within $DEADLINE_S s: $*"
		sleep 0.01
	done
}

# --- reading -------------------------------------------------------------------

# number JSON KEY: the number under "KEY".
number() {
	[[ $1 =~ \"$2\":([0-9]+(\.[0-9]+)?) ]] || fail "no number \"$2\" in: $1"
	echo "${BASH_REMATCH[1]}"
}

status() { throttle status --json; }

# counter NAME: of a reason, or `passed` or `dropped`.
counter() { number "$(status)" "$1"; }

# grown BEFORE NAME: by how much a counter grew since the status BEFORE.
grown() { echo $(($(counter "$2") - $(number "$1" "$2"))); }

has_grown() { (($(grown "$1" "$2") > 0)); }

program_id() { number "$(status)" program_id; }

# map_ids PROGRAM
map_ids() { bpftool prog show id "$1" | sed -n 's/.*map_ids \([0-9,]*\).*/\1/p' | tr , ' '; }

# map_id NAME: of the program that is attached in the server.
map_id() {
	bpftool map show | awk -v name="$1" -v ids=" $(map_ids "$(program_id)") " '
		$3 == "name" && $4 == name && index(ids, " " $1 + 0 " ") { print $1 + 0; found = 1 }
		END { exit !found }'
}

dump() { bpftool map dump id "$(map_id "$1")"; }

# Monotonic, in units of 10 ms.
now() {
	local up rest
	read -r up rest </proc/uptime
	echo $((10#${up/./}))
}

# --- sending -------------------------------------------------------------------

# admitted FLOOD-OPTION...: send from the attacker, and print how many SYNs came
# through as new connections.
admitted() {
	local before
	before=$(status)
	in_ns "$attacker" "${from_attacker[@]}" "$@" >"$work/admitted"
	grown "$before" new_connection
}

# start_flood FLOOD-OPTION...: from the attacker, in the background; the server
# counts it already when this returns.
start_flood() {
	local before
	before=$(status)
	start "$attacker" flood "${from_attacker[@]}" --seconds 60 "$@"
	wait_until is_counting "$before"
}

# run_before_others PROCESS: for a flood whose admitted rate is measured, which is
# less where it does not send for longer than a burst takes to come back.
run_before_others() { renice -n -20 -p "$1" >"$work/renice"; }

# After a flood: what is left of it in the attacker's link is judged or gone when this
# returns, so that counters can be compared with each other.
end_of_flood() { in_ns "$server" ip link set dev to-attacker down; }

is_counting() {
	(($(grown "$1" passed) + $(grown "$1" dropped) + $(grown "$1" challenged) > 100))
}

# The web server, on every address of the server.
start_httpd() {
	start "$server" httpd "$B/tools/httpd" --address 0.0.0.0 --port 80
	wait_until test -s "$work/httpd"
}

# served NAMESPACE ADDRESS PROBE-OPTION...: ask the web server from there, over a
# new connection each time, and print how many were answered. One that is
# dropped takes 100 ms.
served() {
	local result
	result=$(in_ns "$1" "$B/tools/probe" --address "$2" --port 80 --rate 1000 --timeout 100 \
		--json "${@:3}")
	echo $(($(number "$result" requests) - $(number "$result" failures)))
}

# --- counting by nft, which knows nothing of limits ----------------------------------

# count_ingress NAMESPACE DEV VERDICT NAME MATCH [NAME MATCH...]: what XDP leaves of
# DEV's packets is counted under the first NAME whose MATCH, in nft's words, holds, and
# gets the VERDICT: drop, where the stack need not bear a flood, or accept.
count_ingress() {
	local namespace=$1 dev=$2 verdict=$3 i
	shift 3
	{
		echo "table netdev counts {"
		for ((i = 1; i < $#; i += 2)); do
			echo "counter ${!i} {}"
		done
		echo "chain ingress { type filter hook ingress device \"$dev\" priority 0;"
		while (($# > 0)); do
			echo "$2 counter name $1 $verdict"
			shift 2
		done
		echo "}; }"
	} >"$work/counts.nft"
	in_ns "$namespace" nft -f "$work/counts.nft"
}

# counted NAMESPACE NAME: packets.
counted() {
	in_ns "$1" nft list counter netdev counts "$2" |
		sed -n 's/.*packets \([0-9]*\).*/\1/p'
}

# behind NAME: counted in the server, behind the throttle.
behind() { counted "$server" "$1"; }

# mib NAME: a counter of the server's kernel, as nstat calls it.
mib() { number "$(in_ns "$server" nstat -asjz "$1")" "$1"; }

# --- expecting -----------------------------------------------------------------

# expect WHAT GOT WANTED
expect() { [[ $2 == "$3" ]] || fail "$1: got '$2', wanted '$3'"; }

# expect_match WHAT GOT PATTERN: as the shell's extended regular expressions.
expect_match() { [[ $2 =~ $3 ]] || fail "$1: '$2' does not match '$3'"; }

# expect_within PERCENT WHAT GOT WANTED
expect_within() {
	local off=$(($3 - $4))
	((${off#-} * 100 <= $1 * $4)) || fail "$2: got $3, wanted $4 within $1 %"
}

# milliseconds JSON KEY: the seconds under "KEY", which are given with three decimals.
milliseconds() {
	local seconds
	seconds=$(number "$1" "$2")
	echo $((10#${seconds/./}))
}

# expect_at_most WHAT GOT RATE BURST REPORT: that of a flood, which sent for as long as
# its REPORT says, no more came through than the limit allows, within 1 %.
expect_at_most() {
	local ms
	ms=$(milliseconds "$5" seconds)
	(($2 * 100 <= ($3 * ms / 1000 + $4) * 101)) ||
		fail "$1: $2 in $ms ms, which is more than $3/s and a burst of $4"
}

# expect_limited WHAT GOT RATE BURST REPORT: and no less, of a flood far over the limit.
# While it paused, tokens may have been lost.
expect_limited() {
	local ms paused
	ms=$(milliseconds "$5" seconds)
	paused=$(milliseconds "$5" paused_seconds)
	comment "$1: $2 in $ms ms ($paused ms paused) at $3/s, burst $4"
	expect_at_most "$@"
	(($2 * 100 >= ($3 * (ms - paused) / 1000 + $4) * 99)) ||
		fail "$1: $2 in $ms ms, which is less than $3/s and a burst of $4"
}

# expect_rate PERCENT WHAT SECONDS WANTED: so many new connections come through a
# second. Both counts are of some moment while a status is read, which takes long
# on a busy machine: their distance is bounded from either side.
expect_rate() {
	local before count at=()
	at+=("$(now)")
	before=$(status)
	at+=("$(now)")
	sleep "$3" # what is measured is a length of time
	at+=("$(now)")
	count=$(grown "$before" new_connection)
	at+=("$(now)")
	((count * 10000 >= $4 * (at[2] - at[1]) * (100 - $1) &&
		count * 10000 <= $4 * (at[3] - at[0]) * (100 + $1))) ||
		fail "$2: got $count in $(((at[2] - at[1]) * 10)) ms or more, wanted $4 a second within $1 %"
}

# refused STATUS COMMAND...: run it, which must fail with STATUS and one line on
# standard error, none on standard output; prints that line.
refused() {
	local wanted=$1 status=0
	shift
	"$@" >"$work/stdout" 2>"$work/stderr" || status=$?
	expect "exit status of $*" "$status" "$wanted"
	expect "standard output of $*" "$(<"$work/stdout")" ""
	expect "lines on standard error of $*" "$(wc -l <"$work/stderr")" 1
	cat "$work/stderr"
}
