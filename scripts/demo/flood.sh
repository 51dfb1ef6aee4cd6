# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash disable=SC2153,SC2154 # work, SERVER, CLIENT, ...: of demo.sh
#
# The phase of the flood that no limit of a source holds back: its addresses are
# spoofed, and so many that hardly one is over. Sourced by demo.sh.
#
# What the XDP program answers leaves through the interface that the SYN came in by. A veth
# takes that from its peer only while it has an XDP program too, be it one that does
# nothing; every real interface takes it.

readonly SPOOFED=131072 # sources: all of 198.18.0.0/15
readonly BUDGET=100     # connections of new sources a second

# The demo's configuration with a budget for new sources, in the place of the tier, which
# would hold most of this flood back by itself.
write_flood_config() {
	sed "s|^      per_prefix:.*|      new_sources: {per_second: $BUDGET, burst: $BUDGET, on_overload: challenge}|" \
		"$CONFIG" >"$work/flood.yaml"
}

has_challenged() { (($(grown "$1" "$(status)" challenged) > 0)); }

sysctls() {
	in_ns "$SERVER" cat /proc/sys/net/ipv4/tcp_syncookies /proc/sys/net/ipv4/tcp_timestamps
}

spoofed_row() { printf '  %-24s %11s %11s %9s %11s %8s %7s\n' "$@"; }

spoofed_flood() {
	local before after client sent requests admitted sysctls_before
	sysctls_before=$(sysctls)
	write_flood_config
	in_ns "$CLIENT" ip link set dev eth-c xdp obj "$B/tools/pass.bpf.o" sec xdp
	in_ns "$ATTACKER" ip link set dev eth-a xdp obj "$B/tools/pass.bpf.o" sec xdp
	throttle apply -c "$work/flood.yaml" --dev to-client
	echo "  (both other ends have one here)"
	spoofed_row "" "flood" "flood" "flood" "flood" "client" "client"
	spoofed_row "" "sent" "packets/s" "admitted" "challenged" "served" "failed"

	before=$(status)
	start_flood --seconds 5 --sources "$SPOOFED" --random
	wait_until "the flood did not start" has_challenged "$before"
	client=$(probe --seconds 4)
	join "the flood"
	after=$(status)

	sent=$(number "$(<"$work/flood")" packets)
	requests=$(number "$client" requests)
	admitted=$(($(grown "$before" "$after" new_connection) - requests))
	spoofed_row "$SPOOFED spoofed sources" "$sent" \
		"$(number "$(<"$work/flood")" packets_per_second)" "$((admitted > 0 ? admitted : 0))" \
		"$(grown "$before" "$after" challenged)" "$requests" "$(number "$client" failures)"
	claim "spoofed flood: every request of the client was answered" \
		test "$(number "$client" failures)" -eq 0
	claim "spoofed flood: no more than the budget of $BUDGET/s got in, of any source" \
		test "$admitted" -le $((7 * BUDGET))
	throttle apply -c "$CONFIG" --dev to-client
	claim "spoofed flood: the sysctls that a challenge needs are as they were" \
		test "$(sysctls)" = "$sysctls_before"
	in_ns "$CLIENT" ip link set dev eth-c xdp off
	in_ns "$ATTACKER" ip link set dev eth-a xdp off
}
