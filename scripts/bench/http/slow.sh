# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash disable=SC2034,SC2154 # alone_s, attack_s, work: of http.sh; port_of, pid_of: of proxies.sh
#
# A client beside slowhttptest, which holds connections with requests that never
# end or answers that are never read. Sourced by http.sh. Lines of results:
#
#   slow ATTACK P99-ALONE-MS P99-MS FAILURES CONNECTIONS-HELD
#
# The client opens a connection for each of its requests. Each attack has its own
# figure for the client alone, from right before it; each p99 is the median of
# three spells of PROBE_S seconds. The attacker has what the client and the backend
# leave of their CPU: how the proxy bears up is measured, not how the scheduler
# shares.

readonly ATTACK_CONNECTIONS=1000
readonly PROBE_RATE=500
readonly UNANSWERED='{"failures":1,"p99_ms":1000}' # not one answer in a whole spell

# probe_ours SECONDS: p99 in milliseconds and failures of three spells that long
# together.
probe_ours() {
	local result failures=0 p99=() _
	for _ in 1 2 3; do
		result=$(on_client_cpu "$B/tools/probe" --port "${port_of[ours]}" \
			--rate "$PROBE_RATE" --seconds "$1" --json 2>/dev/null) ||
			result=$UNANSWERED
		p99+=("$(number "$result" p99_ms)")
		failures=$((failures + $(number "$result" failures)))
	done
	printf '%s\t%d\n' "$(printf '%s\n' "${p99[@]}" | sort -n | sed -n 2p)" "$failures"
}

held_connections() { in_ns http ss -Htn state established "sport = :${port_of[ours]}" | wc -l; }

# Until the attacker holds what it wants to, or has tried for five seconds; then for
# a second more, in which the answers that it asked for begin.
wait_for_attack() {
	local _
	for _ in {1..50}; do
		(($(held_connections) < ATTACK_CONNECTIONS)) || break
		sleep 0.1
	done
	sleep 1
}

# attack NAME PATH OPTION...
attack() {
	local name=$1 url=http://127.0.0.1:${port_of[ours]}$2 alone beside held
	shift 2
	progress "slow attack: $name, $ATTACK_CONNECTIONS connections"
	alone=$(probe_ours "$alone_s")
	nsenter --net="$NAMESPACE" taskset -c "$CLIENT_CPU" chrt -i 0 \
		timeout $((attack_s * 3 + 15)) slowhttptest "$@" -c "$ATTACK_CONNECTIONS" -r 1000 \
		-l $((attack_s * 3 + 10)) -u "$url" -v 0 >"$work/slowhttptest" 2>&1 &
	pid_of[slowhttptest]=$!
	wait_for_attack
	held=$(held_connections)
	beside=$(probe_ours "$attack_s")
	end_process slowhttptest
	printf 'slow\t%s\t%s\t%s\t%s\n' "$name" "${alone%	*}" "$beside" "$held"
}

# Over loopback the kernel would take a megabyte for a client that reads nothing;
# with buffers such as a slow path has, it is the proxy that is left with it.
use_small_buffers() {
	in_ns http sysctl -q -w net.ipv4.tcp_wmem="4096 16384 131072" net.ipv4.tcp_rmem="4096 131072 131072"
}

measure_slow() {
	is_running ours || return 0
	use_small_buffers
	attack header / -H -i 5
	attack body /52 -B -i 5 -s 8192 -x 10
	attack read /1048576 -X -n 5 -w 1 -y 512 -z 32
}
