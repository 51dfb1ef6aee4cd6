#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A limit means what it says, whatever CPU its packets come by; and it is on new
# connections: those that are established never pay.
#
#   tests/netns/exact.sh [GLOB]
# shellcheck source=tests/support/netns.sh
source "${BASH_SOURCE%/*}/../support/netns.sh"

readonly RATE=1000 BURST=500

# One source floods by two interfaces, each on a CPU of its own. The second flood
# lies within the first, so that the first says how long the source sent.
test_two_cpus_at_once_admit_rate_times_time_and_burst() {
	(($(nproc) >= 2)) || skip "needs two CPUs"
	make_topology
	cat >"$work/a.yaml" <<-YAML
		xdp:
		  per_source: {connections_per_second: $RATE, burst: $BURST}
	YAML
	throttle attach --dev to-attacker -c "$work/a.yaml"
	throttle attach --dev to-client
	before=$(status)

	start "$attacker" first "${from_attacker[@]}" --seconds 5.5 --cpu 0
	first=$started
	wait_until has_grown "$before" over_connections
	start "$client" second "${from_client[@]}" --seconds 4 --cpu 1
	join "$started"
	join "$first"

	ms=$(number "$(<"$work/first")" seconds)
	ms=$((10#${ms/./}))
	sent=$(($(number "$(<"$work/first")" packets) + $(number "$(<"$work/second")" packets)))
	admitted=$(counter new_connection)
	comment "$admitted of $sent SYNs from two CPUs admitted in $ms ms"
	expect_within 1 "admitted in $ms ms" "$admitted" $((RATE * ms / 1000 + BURST))
}

# What a CPU remembers of a refusal is kept in timer ticks: no longer than it lasts.
test_burst_of_one_admits_the_whole_rate() {
	make_topology
	throttle attach --dev to-attacker
	throttle limit set 198.18.0.1/32 --connections 50/s --burst 1
	start_flood --sources 1
	run_before_others "$started"

	expect_rate 10 "admitted a second" 2 50
	stop "$started"
}

test_established_connection_is_not_held_back_with_its_source() {
	make_topology
	start "$server" received "$BULK" receive 10.77.1.1 80
	receiver=$started
	wait_until test -s "$work/received"
	throttle attach --dev to-client
	throttle attach --dev to-attacker
	throttle limit set 10.77.1.2/32 --connections 1/h --burst 1
	start "$client" sent "$BULK" send 10.77.1.1 80 2
	sender=$started
	wait_until test -s "$work/sent"
	before=$(status)

	# The client's address, by the other interface: the two meet in the throttle only.
	in_ns "$attacker" "${from_attacker[@]}" --base 10.77.1.2 --seconds 1 >"$work/flood"
	join "$sender"
	join "$receiver"

	bytes=$(tail -n 1 "$work/sent")
	comment "$((bytes / 2000000)) MB/s beside $(number "$(<"$work/flood")" packets) SYNs dropped"
	expect "bytes received" "$(tail -n 1 "$work/received")" "$bytes"
	((bytes > 0))
	# The ring between the interfaces may lose some of the flood before we see it.
	expect_within 1 "SYNs dropped" "$(grown "$before" over_connections)" \
		"$(number "$(<"$work/flood")" packets)"
	expect "all that was dropped" "$(grown "$before" dropped)" "$(grown "$before" over_connections)"
	expect "new connections" "$(grown "$before" new_connection)" 0
	has_grown "$before" established
}

skip_all_unless_root
run_tests "$@"
