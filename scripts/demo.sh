#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A SYN flood is dropped at the interface while a real client keeps working, and one of
# spoofed sources is answered there with SYN cookies; then
# a client that asks for too much gets 429s from the proxy while another is served;
# then checks: a limit set live, metrics, two daemons that share limits in Redis.
# Run by `make demo`, as root; takes forty seconds and leaves nothing.
#
#   +-- client ----------+                       +-- server ------------------+
#   |  probe     eth-c --|-- 10.77.1.0/24 (veth) |                            |
#   +--------------------+                   `---|-- to-client     httpd :80  |
#                                                |      | xdp-throttle: one   |
#   +-- attacker --------+                       |      | program, one set of |
#   |  flood     eth-a --|-- 10.77.2.0/24 (veth) |      | buckets             |
#   |  probe, too fast   |                   `---|-- to-attacker              |
#   +--------------------+                       |                            |
#    sources 198.18.0.0/15,                      |  xdp-throttle run :8080    |
#    10.77.2.2                                   |     /    -> backend :8001  |
#                                                |     /api -> backend :8002  |
#                                                |  its API :8081             |
#                                                |  a second one, Redis:      |
#                                                |     demo/check.sh          |
#                                                +----------------------------+
#
# Three network namespaces of its own; nothing outside them is touched. The
# clients open a new TCP connection for every request, so they need what the
# flood tries to use up. Exits with 1 when anything shown does not hold.
set -euo pipefail

# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly CONFIG=configs/demo.yaml
readonly SERVER_ADDRESS=10.77.1.1
readonly FLOOD_MIN=300000  # packets a second that the flood must reach
readonly SOURCE=198.18.0.1 # of the single-source floods
readonly CLIENT_RATE=40    # requests a second, under the limit of 50
readonly LIMIT_BEFORE=50 LIMIT_AFTER=150
readonly WINDOW_S=3 # over which the admitted are counted

readonly CLIENT=xdpt-$$-client
readonly SERVER=xdpt-$$-server
readonly ATTACKER=xdpt-$$-attacker
pids=()
claims=()
failures=0

# --- helpers -----------------------------------------------------------------

say() { printf '\n%s\n' "$*"; }

# Ends only what this script started, by process id.
undo() {
	local pid name
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null || true
	done
	wait
	for name in "$CLIENT" "$SERVER" "$ATTACKER"; do
		[[ ! -e /run/netns/$name ]] || ip netns del "$name"
	done
}

# `ip netns exec` would mount another /sys; nsenter changes the network only.
in_ns() {
	local name=$1
	shift
	nsenter --net="/run/netns/$name" "$@"
}

# claim TEXT COMMAND...: note down whether COMMAND, which checks it, succeeds.
claim() {
	local text=$1
	shift
	if "$@"; then
		claims+=("  holds          $text")
	else
		claims+=("  DOES NOT HOLD  $text")
		failures=$((failures + 1))
	fi
}

# Run the program under test as a user would, and show it.
throttle() {
	echo "  # xdp-throttle $*"
	in_ns "$SERVER" "$THROTTLE" "$@" | sed 's/^/  /'
}

status() { in_ns "$SERVER" "$THROTTLE" status --json; }

# grown BEFORE AFTER REASON: by how much a counter grew between two statuses.
grown() { echo $(($(number "$2" "$3") - $(number "$1" "$3"))); }

probe() {
	in_ns "$CLIENT" "$B/tools/probe" --address "$SERVER_ADDRESS" --port 80 \
		--rate "$CLIENT_RATE" --json "$@"
}

# In the background, from the last CPU, so that the client and the server have
# the others. No function of ours in between: $! is to be the flood itself.
start_flood() {
	nsenter --net="/run/netns/$ATTACKER" "$B/tools/flood" --dev eth-a \
		--dst "$SERVER_ADDRESS" --dst-mac "$flood_mac" --dport 80 --base "$SOURCE" \
		--cpu $(($(nproc) - 1)) --json "$@" >"$work/flood" &
	pids+=($!)
}

# join WHAT [PID]: wait for the end of what was started last, or of PID.
join() {
	local pid=${2:-${pids[-1]}} index
	wait "$pid" || die "$1 failed"
	for index in "${!pids[@]}"; do
		[[ ${pids[index]} != "$pid" ]] || unset "pids[index]"
	done
}

# wait_until TEXT COMMAND...: for at most five seconds.
wait_until() {
	local text=$1
	shift
	for _ in {1..100}; do
		! "$@" || return 0
		sleep 0.05
	done
	die "$text"
}

row() { printf '  %-22s %11s %11s %9s %11s %11s %8s %8s %6s\n' "$@"; }

# --- the topology ------------------------------------------------------------

make_topology() {
	local name
	for name in "$CLIENT" "$SERVER" "$ATTACKER"; do
		ip netns add "$name"
		in_ns "$name" ip link set lo up
	done
	in_ns "$CLIENT" ip link add eth-c type veth peer name to-client netns "$SERVER"
	in_ns "$ATTACKER" ip link add eth-a type veth peer name to-attacker netns "$SERVER"
	in_ns "$CLIENT" ip addr add 10.77.1.2/24 dev eth-c
	in_ns "$SERVER" ip addr add 10.77.1.1/24 dev to-client
	in_ns "$SERVER" ip addr add 10.77.2.1/24 dev to-attacker
	in_ns "$ATTACKER" ip addr add 10.77.2.2/24 dev eth-a
	in_ns "$CLIENT" ip link set eth-c up
	in_ns "$ATTACKER" ip link set eth-a up
	in_ns "$SERVER" ip link set to-client up
	in_ns "$SERVER" ip link set to-attacker up
	# Answers to spoofed sources go back where the flood comes from.
	in_ns "$SERVER" ip route add 198.18.0.0/15 via 10.77.2.2
	flood_mac=$(in_ns "$SERVER" ip -br link show to-attacker | awk '{ print $3 }')
}

start_httpd() {
	nsenter --net="/run/netns/$SERVER" "$B/tools/httpd" --address 0.0.0.0 --port 80 --seconds 120 >"$work/httpd" &
	pids+=($!)
	wait_until "the demo's web server did not start" test -s "$work/httpd"
}

# --- the phases --------------------------------------------------------------

has_dropped() { (($(grown "$1" "$(status)" over_connections) > 0)); }

# Until the server has begun to drop: BEFORE is a status from before the flood.
wait_for_drops() {
	wait_until "the flood did not start" has_dropped "$1"
}

client_alone() {
	local client
	client=$(probe --seconds 3)
	row "client alone" - - - - - "$(number "$client" p50_ms)" \
		"$(number "$client" p99_ms)" "$(number "$client" failures)"
	claim "client alone: every request was answered" test "$(number "$client" failures)" -eq 0
}

# client_beside NAME FLOOD-OPTION...: the client at work during a flood.
client_beside() {
	local name=$1 before after client sent rate admitted over prefix_over accounted
	shift
	before=$(status)
	start_flood --seconds 5 "$@"
	wait_for_drops "$before"
	client=$(probe --seconds 4)
	join "the flood"
	after=$(status)

	sent=$(number "$(<"$work/flood")" packets)
	rate=$(number "$(<"$work/flood")" packets_per_second)
	over=$(grown "$before" "$after" over_connections)
	prefix_over=$(grown "$before" "$after" prefix_over_connections)
	admitted=$(($(grown "$before" "$after" new_connection) - $(number "$client" requests)))
	row "$name" "$sent" "$rate" "$admitted" "$over" "$prefix_over" \
		"$(number "$client" p50_ms)" "$(number "$client" p99_ms)" "$(number "$client" failures)"

	accounted=$((admitted + over + prefix_over - sent))
	claim "$name: at least $FLOOD_MIN packets/s" test "$rate" -ge "$FLOOD_MIN"
	claim "$name: every request of the client was answered" \
		test "$(number "$client" failures)" -eq 0
	claim "$name: each of its packets was counted, to 1 in 1000" \
		test $((${accounted#-} * 1000)) -le "$sent"
	claim "$name: at least 98 of 100 packets were dropped" test $((admitted * 50)) -le "$sent"
}

# Connections admitted a second, over WINDOW_S; to a tenth.
measure_admitted() {
	local before after start end
	start=${EPOCHREALTIME/[.,]/}
	before=$(status)
	sleep "$WINDOW_S"
	end=${EPOCHREALTIME/[.,]/}
	after=$(status)
	awk -v n="$(grown "$before" "$after" new_connection)" -v us=$((end - start)) \
		'BEGIN { printf "%.1f", n * 1000000 / us }'
}

# within_5_percent FIGURE WANTED
within_5_percent() {
	awk -v figure="$1" -v wanted="$2" \
		'BEGIN { exit !(figure >= wanted * 0.95 && figure <= wanted * 1.05) }'
}

change_limit_live() {
	local before after
	start_flood --seconds $((4 * WINDOW_S))
	wait_for_drops "$(status)"
	before=$(measure_admitted)
	echo "  admitted under the limit of $LIMIT_BEFORE/s:   $before a second"
	throttle limit set "$SOURCE/32" --connections "$LIMIT_AFTER/s" --burst "$LIMIT_AFTER"
	wait_for_drops "$(status)" # the burst of the new bucket is spent
	after=$(measure_admitted)
	echo "  admitted under the limit of $LIMIT_AFTER/s:  $after a second"
	kill -TERM "${pids[-1]}"
	join "the flood"
	claim "live change: $before admitted a second is the limit of $LIMIT_BEFORE, to 5 %" \
		within_5_percent "$before" "$LIMIT_BEFORE"
	claim "live change: $after admitted a second is the limit of $LIMIT_AFTER, to 5 %" \
		within_5_percent "$after" "$LIMIT_AFTER"
}

client_is_served() { (($(number "$(probe --count 5)" failures) == 0)); }

nothing_attached() { ! in_ns "$SERVER" ip link show | grep -q prog/xdp; }

# program_is_gone ID: the kernel frees it soon after the last user is gone.
program_is_gone() {
	for _ in {1..40}; do
		if ! bpftool prog show id "$1" >/dev/null 2>&1; then
			return
		fi
		sleep 0.05
	done
	return 1
}

# shellcheck source=scripts/demo/flood.sh
. "$(dirname "${BASH_SOURCE[0]}")/demo/flood.sh"
# shellcheck source=scripts/demo/http.sh
. "$(dirname "${BASH_SOURCE[0]}")/demo/http.sh"
# shellcheck source=scripts/demo/check.sh
. "$(dirname "${BASH_SOURCE[0]}")/demo/check.sh"

# --- the demo ----------------------------------------------------------------

need_root "the demo needs root: it makes network namespaces and loads BPF"
need_tools demo ip nsenter awk curl redis-server redis-cli
clean_up_at_end

say "1. Three namespaces, a web server, and xdp-throttle on the server's two interfaces"
make_topology
start_httpd
for dev in to-client to-attacker; do
	throttle attach --dev "$dev" -c "$CONFIG"
done

say "2. The client alone, then beside a flood from one source and from 4096 (14 s)"
row "" "flood" "flood" "flood" "dropped:" "dropped:" "client" "client" "client"
row "" "sent" "packets/s" "admitted" "over source" "over prefix" "p50 ms" "p99 ms" "failed"
client_alone
client_beside "flood of 1 source"
client_beside "flood of 4096 sources" --sources 4096

say "3. A limit changed while a flood from $SOURCE runs (7 s)"
change_limit_live

say "4. A flood from more sources than any limit holds back: new ones are challenged (6 s)"
spoofed_flood

say "5. HTTP: two prefixes to two backends, and a greedy client beside a steady one (10 s)"
start_http
prefixes_have_their_backends
clients_and_a_reload

say "6. Checks: what an application may do is asked, and changed, over HTTP (2 s)"
checks_in_memory

say "7. The same file on Redis, by the environment alone, and two that share it (5 s)"
checks_on_redis

say "8. What was counted"
throttle status
program=$(number "$(status)" program_id)

say "9. Detached"
for dev in to-client to-attacker; do
	throttle detach --dev "$dev"
done
claim "detached: no interface has an XDP program" nothing_attached
if command -v bpftool >/dev/null; then
	claim "detached: program $program and its maps are gone from the kernel" \
		program_is_gone "$program"
fi
claim "detached: the client is served as before" client_is_served

say "What this shows:"
printf '%s\n' "${claims[@]}"
((failures == 0)) || die "$failures of ${#claims[@]} claims did not hold"
