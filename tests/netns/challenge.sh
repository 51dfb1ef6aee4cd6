#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The challenge with real clients: they connect beyond the budget for new sources, and
# have what any connection has.
#
#   tests/netns/challenge.sh [GLOB]
# shellcheck disable=SC2046 # lists of addresses are meant to be split
# shellcheck source=tests/support/netns.sh
source "${BASH_SOURCE%/*}/../support/netns.sh"

readonly PEERS=${BASH_SOURCE%/*}/../support/peers.py
readonly SERVER4=10.77.1.1 SERVER6=fd77:1::1

# addresses4 COUNT, addresses6 COUNT: of the client, each one source.
addresses4() { seq -f '10.77.1.%g' 10 $((9 + $1)); }
addresses6() { seq -f 'fd77:1:0:%g::1' 10 $((9 + $1)); }

# A web server of both families, and COUNT addresses of each for clients. The client's
# end has a program, which passes everything: without one, veth takes nothing that XDP
# sends.
make_challenge_topology() {
	local count=$1
	make_topology
	in_ns "$server" ip addr add $SERVER6/16 dev to-client nodad
	addresses4 "$count" | sed 's|.*|addr add &/24 dev eth-c|' >"$work/addresses"
	addresses6 "$count" | sed 's|.*|addr add &/16 dev eth-c nodad|' >>"$work/addresses"
	in_ns "$client" ip -batch "$work/addresses"
	in_ns "$client" "$THROTTLE" attach --dev eth-c
	serve $SERVER4
	serve $SERVER6
}

serve() {
	start "$server" "serve$1" python3 "$PEERS" serve "$1" 80
	wait_until test -s "$work/serve$1"
}

# challenge MODE: attach, with a budget of one new source a second.
challenge() {
	cat >"$work/challenge.yaml" <<-YAML
		xdp:
		  services:
		    - {name: web, ports: [80],
		       new_sources: {per_second: 1, burst: 1, on_overload: challenge}}
	YAML
	throttle attach --dev to-client --mode "$1" -c "$work/challenge.yaml"
}

# overload: attach, and keep the budget used up by a flood from the client's link. A
# client gets its one token a second no more often than one in a thousand times.
overload() {
	local before
	challenge native
	before=$(status)
	start "$client" flood "${from_client[@]}" --seconds 60 --rate 1000 --sources 100000
	wait_until has_grown "$before" challenged
}

# ask NAME SERVER BYTES SOURCE...: over one connection after the other, each from another
# address, and expect all answers to be right. The connections stay open.
ask() {
	local name=$1 to=$2 bytes=$3
	shift 3
	start "$client" "$name" python3 "$PEERS" ask "$to" 80 "$bytes" "$@"
	wait_until is_over "$name" "$started"
	expect "answers that were right" "$(<"$work/$name")" $#
}

# is_over NAME PROCESS
is_over() { [[ -s $work/$1 ]] || ! kill -0 "$2" 2>/dev/null; }

# agreed NAMESPACE ADDRESS: what the connection of this client's address agreed on.
agreed() {
	in_ns "$1" ss -Hntio state established "( src $2 or dst $2 )" |
		awk '{ for (i = 1; i <= NF; i++) if ($i ~ /^(ts|sack|ecn|wscale:.*)$/) printf " %s", $i }'
}

test_every_client_connects_through_a_flood() {
	make_challenge_topology 100
	overload
	before=$(status)

	ask v4 $SERVER4 1000 $(addresses4 100)
	ask v6 $SERVER6 1000 $(addresses6 100)

	completed=$(grown "$before" challenge_completed)
	comment "$completed of 200 clients challenged"
	((completed > 100))
	expect "SYNs that could not be answered" "$(grown "$before" unchallenged)" 0
}

# Where the other end of a veth has no program, as a container's has none.
test_challenges_in_generic_mode_reach_a_client_without_a_program() {
	make_challenge_topology 30
	in_ns "$client" "$THROTTLE" detach --dev eth-c
	challenge generic
	before=$(status)

	ask v4 $SERVER4 1000 $(addresses4 30)
	ask v6 $SERVER6 1000 $(addresses6 30)

	completed=$(grown "$before" challenge_completed)
	comment "$completed of 60 clients challenged"
	((completed >= 10)) # all but one a second
	expect "SYNs that could not be answered" "$(grown "$before" unchallenged)" 0
}

# Both ends look as those of a connection that the kernel alone has made.
test_challenged_connection_agrees_on_what_any_other_does() {
	make_challenge_topology 5
	ask before4 $SERVER4 1000 10.77.1.2
	ask before6 $SERVER6 1000 fd77:1:0:10::1
	overload
	before=$(status)

	ask after4 $SERVER4 1000 $(addresses4 5)
	ask after6 $SERVER6 1000 $(addresses6 5 | tail -n +2)

	(($(grown "$before" challenge_completed) >= 2))
	comment "agreed on:$(agreed "$server" 10.77.1.10)"
	expect_match "agreed on" "$(agreed "$server" 10.77.1.10)" '^ ts sack wscale:[0-9]+,[0-9]+$'
	for end in "$server" "$client"; do
		for address in $(addresses4 5); do
			expect "IPv4" "$(agreed "$end" "$address")" "$(agreed "$end" 10.77.1.2)"
		done
		for address in $(addresses6 5); do
			expect "IPv6" "$(agreed "$end" "$address")" \
				"$(agreed "$end" fd77:1:0:10::1)"
		done
	done
}

test_client_without_timestamps_connects_without_what_needs_them() {
	make_challenge_topology 5
	in_ns "$client" sysctl -qw net.ipv4.tcp_timestamps=0
	overload
	before=$(status)

	ask clients $SERVER4 1000000 $(addresses4 5)

	(($(grown "$before" challenge_completed) >= 1))
	for address in $(addresses4 5); do
		expect "server" "$(agreed "$server" "$address")" ""
		expect "client" "$(agreed "$client" "$address")" ""
	done
}

test_much_goes_both_ways_through_challenged_connections() {
	make_challenge_topology 3
	overload
	before=$(status)

	ask v4 $SERVER4 5000000 $(addresses4 3)
	ask v6 $SERVER6 5000000 $(addresses6 3)

	(($(grown "$before" challenge_completed) >= 2))
}

# Which one was challenged is known when it is asked for by itself.
test_client_is_challenged_once() {
	make_challenge_topology 5
	overload
	for address in $(addresses4 5); do
		before=$(status)
		ask "first-$address" $SERVER4 1000 "$address"
		! has_grown "$before" challenge_completed || break
	done
	has_grown "$before" challenge_completed
	expect_match "status: answered is not dropped" "$(throttle status)" \
		$'\nchallenged +[1-9][0-9]* +0  TCP SYN beyond the budget'
	before=$(status)

	ask again $SERVER4 1000 $(printf "$address %.0s" {1..20})

	expect "completed" "$(grown "$before" challenge_completed)" 0
	(($(grown "$before" new_connection) >= 20))
}

skip_all_unless_root
run_tests "$@"
