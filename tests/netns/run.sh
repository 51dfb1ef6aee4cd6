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

# proxy XDP [MORE]: the proxy before the web server, with the rest of the xdp section, and
# other sections.
proxy() {
	cat >"$work/run.yaml" <<-END
		server: {port: 8080, workers: 1}
		api: {listen: "127.0.0.1:8081"}
		routes: [{path: /, target: "http://127.0.0.1:80"}]
		xdp:
		  interfaces: [to-client, to-attacker]
		  per_source: {connections_per_second: 1M}
		  $1
		${2:-}
	END
	start_httpd
	run
}

# Refuses all but the first request, and blocks at the sixth refusal.
readonly STRICT='rate_limit: {requests_per_minute: 1, burst: 1, block: {refusals_per_minute: 5}}'

# Lets one new source in a second.
readonly BUDGET='services: [{name: web, ports: [8080], new_sources: {per_second: 1, burst: 1}}]'

readonly ASK='
import socket, sys
address, count, fields = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
head = "\r\n".join(["GET / HTTP/1.1", "Host: a", "Connection: close", *fields, "", ""])
answers = []
for _ in range(count):
    try:
        with socket.create_connection((address, 8080), 0.2) as peer:
            peer.settimeout(5)
            peer.sendall(head.encode())
            answers.append(peer.recv(4096).split()[1].decode())
    except OSError:
        answers.append("-")
print(*answers)'

# ask NAMESPACE ADDRESS COUNT [FIELD...]: requests, each over a new connection; prints the
# statuses, and - for a connection that nobody answered.
ask() { in_ns "$1" python3 -c "$ASK" "${@:2}"; }

# how_many WORD WORDS
how_many() { tr ' ' '\n' <<<"$2" | grep -c -x -e "$1" || true; }

blocked() { throttle block list | awk '{ print $1 }' | xargs; }

# In the set of verified sources.
verified() { dump thr_verified | grep -c until_ns || true; }

has_verified() { (($(verified) == $1)); }

has_blocked() { [[ $(blocked) == "$1" ]]; }

# metric NAME: of the proxy, which is asked for all of them.
metric() {
	in_ns "$server" python3 -c '
import sys, urllib.request
text = urllib.request.urlopen("http://127.0.0.1:8081/metrics", timeout=5).read().decode()
print([line.split()[1] for line in text.split("\n") if line.split(" ")[0] == sys.argv[1]][0])
' "xdp_throttle_$1"
}

metric_is() { [[ $(metric "$1") == "$2" ]]; }

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
	wait_until says ' warning .*: to-attacker is a veth: in native mode the answers to challenged SYNs are lost'
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
	reload 'run.yaml:6:18: tables: gate is 2097152, and the throttle that runs has 1048576.*nothing changed'

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

test_client_that_goes_on_over_its_limit_is_blocked_until_that_is_undone() {
	make_topology
	proxy '' "$STRICT"

	answers=$(ask "$client" 10.77.1.1 7)
	wait_until has_blocked 10.77.1.2

	expect "answers" "$answers" "200 429 429 429 429 429 429"
	before=$(status)
	expect "an answer" "$(ask "$client" 10.77.1.1 1)" -
	(($(grown "$before" blocked) >= 1))
	expect "another client" "$(ask "$attacker" 10.77.2.1 1)" 200
	wait_until metric_is blocked_total 1
	wait_until says ' info master: 10\.77\.1\.2: blocked for [0-9]*s, by rate_limit\.block$'
	expect_match "list" "$(throttle block list)" '^10\.77\.1\.2 +(600|59[0-9])s$'
	throttle block del 10.77.1.2
	expect "blocked" "$(blocked)" ""
	expect "an answer" "$(ask "$client" 10.77.1.1 1)" 429 # which may block it anew
}

# from ADDRESS: the attacker's only one of IPv6.
from() {
	in_ns "$attacker" ip -6 addr flush dev eth-a scope global
	in_ns "$attacker" ip addr add "$1/64" dev eth-a nodad
}

test_sources_of_one_ipv6_client_are_blocked_each_for_its_own_refusals() {
	make_topology
	proxy 'ipv6_source_prefix: 128' "$STRICT"

	from fd77:2::2
	ask "$attacker" fd77:2::1 6 # 5 refusals: no more than it may have
	from fd77:2::3
	answers=$(ask "$attacker" fd77:2::1 6)
	wait_until has_blocked fd77:2::3

	expect "answers" "$answers" "429 429 429 429 429 429"
	from fd77:2::2
	expect "the other's" "$(ask "$attacker" fd77:2::1 1)" 429
}

test_connection_of_a_client_that_is_blocked_is_closed_with_its_429() {
	make_topology
	proxy '' "$STRICT"

	answers=$(in_ns "$client" python3 - <<-END
		import socket
		peer = socket.create_connection(("10.77.1.1", 8080), 5)
		answers = peer.makefile("rb")
		for count in range(1, 100):
		    peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		    status = answers.readline().split()[1].decode()
		    head = [line for line in iter(answers.readline, b"\r\n")]
		    length = [int(line.split()[1]) for line in head if line.startswith(b"Content-Length")]
		    answers.read(length[0])
		    if b"Connection: close\r\n" in head:
		        break
		print(count, status, answers.read())
	END
	)

	expect "requests, the last status, and what follows it" "$answers" "7 429 b''"
}

test_client_with_a_good_answer_is_verified_and_needs_no_budget() {
	make_topology
	proxy "$BUDGET"
	expect "the first" "$(ask "$client" 10.77.1.1 1)" 200
	wait_until has_verified 1

	begin=$(now)
	new=$(ask "$attacker" 10.77.2.1 20 'no colon, so no good answer')
	known=$(ask "$client" 10.77.1.1 50)

	expect "answers to a verified client" "$(how_many 200 "$known")" 50
	# A token a second, of which one was there, and one may have begun.
	(($(how_many 400 "$new") <= ($(now) - begin) / 100 + 2))
	(($(counter new_sources_over) >= $(how_many - "$new")))
	comment "$(how_many 400 "$new") of 20 connections of a new source in $(($(now) - begin))0 ms"
	wait_until metric_is verified_total 1
	expect "lost" "$(metric notes_dropped_total)" 0
}

test_metric_tells_whether_challenges_are_ready() {
	make_topology
	proxy 'services: [{name: web, ports: [8080], new_sources: {per_second: 100k, on_overload: challenge}}]'
	wait_until metric_is challenge_ready 1

	sysctls 0

	wait_until metric_is challenge_ready 0
}

test_client_without_a_good_answer_is_not_verified() {
	make_topology
	proxy 'services: [{name: web, ports: [8080], new_sources: {per_second: 100k}}]'

	expect "malformed" "$(ask "$client" 10.77.1.1 1 'no colon')" 400
	# The only worker tells of this one after that.
	expect "another client" "$(ask "$attacker" 10.77.2.1 1)" 200

	wait_until metric_is verified_total 1
	expect "sources" "$(verified)" 1
}

test_client_behind_a_trusted_proxy_is_neither_verified_nor_blocked() {
	make_topology
	proxy 'services: [{name: web, ports: [8080], new_sources: {per_second: 100k}}]' \
		"trusted_proxies: [10.77.1.2]
$STRICT"

	answers=$(ask "$client" 10.77.1.1 20 'X-Forwarded-For: 203.0.113.9')
	expect "limited" "$(how_many 429 "$answers")" 19
	# The only worker tells of this one after all of those.
	ask "$attacker" 10.77.2.1 7
	wait_until has_blocked 10.77.2.2

	expect "sources" "$(verified)" 1
	wait_until metric_is blocked_total 1
	expect "verified" "$(metric verified_total)" 1
}

test_block_by_hand_refuses_a_source_until_it_is_undone() {
	make_topology
	proxy ''

	expect "add" "$(throttle block add 10.77.1.2 --for 1h)" "10.77.1.2: blocked for 1h"
	expect "an answer" "$(ask "$client" 10.77.1.1 1)" -
	expect_match "add" "$(throttle block add 10.77.1.2)" \
		'^10\.77\.1\.2: blocked for 10m \(had (3600|359[0-9])s left\)$'
	expect "add" "$(throttle block add 2001:db8:1:2::3 --for 90s)" \
		"2001:db8:1:2::/64: blocked for 90s"
	expect_match "list" "$(throttle block list --json)" \
		'^\{"block":\[\{"source":"10.77.1.2","seconds":[0-9]+\},\{"source":"2001:db8:1:2::/64","seconds":[0-9]+\}\]\}$'
	expect "del" "$(throttle block del 10.77.1.2)" "10.77.1.2: block removed"
	expect "del" "$(throttle block del 2001:db8:1:2::/64)" "2001:db8:1:2::/64: block removed"

	expect "list" "$(throttle block list --json)" '{"block":[]}'
	expect "an answer" "$(ask "$client" 10.77.1.1 1)" 200
}

test_ipv6_client_is_blocked_as_its_prefix() {
	make_topology
	proxy '' "$STRICT"

	ask "$attacker" fd77:2::1 7
	wait_until has_blocked fd77:2::/64

	in_ns "$attacker" ip addr add fd77:2::3/64 dev eth-a nodad
	in_ns "$attacker" ip addr del fd77:2::2/64 dev eth-a
	expect "an answer to a neighbor" "$(ask "$attacker" fd77:2::1 1)" -
	expect "an answer over IPv4" "$(ask "$attacker" 10.77.2.1 1)" 200
}

test_reload_begins_to_block() {
	make_topology
	proxy '' 'rate_limit: {requests_per_minute: 1, burst: 1}'
	expect "refused" "$(how_many 429 "$(ask "$client" 10.77.1.1 20)")" 19

	sed -i "s/rate_limit:.*/$STRICT/" "$work/run.yaml"
	reload ' reloaded: '
	ask "$client" 10.77.1.1 7

	wait_until has_blocked 10.77.1.2
}

test_allow_prefix_passes_though_it_is_blocked() {
	make_topology
	proxy ''
	throttle block add 10.77.1.2
	expect "an answer" "$(ask "$client" 10.77.1.1 1)" -

	throttle allow add 10.77.1.0/24

	expect "an answer" "$(ask "$client" 10.77.1.1 1)" 200
}

test_throttle_without_tables_keeps_no_note_from_the_others() {
	make_topology
	for dev in to-client to-attacker; do
		in_ns "$server" ip link set dev "$dev" xdpdrv obj "$OBJECT" sec xdp
	done
	proxy '' "$STRICT"
	in_ns "$server" ip link set dev to-client xdpdrv off
	in_ns "$server" ip link set dev to-client xdpdrv obj "$OBJECT" sec xdp

	answers=$(ask "$attacker" 10.77.2.1 7)

	expect "answers" "$answers" "200 429 429 429 429 429 429"
	wait_until is_blocked_at to-attacker 10.77.2.2
}

# is_blocked_at DEV ADDRESS
is_blocked_at() { throttle block list --dev "$1" | grep -q "^$2 "; }

# Of a client that is blocked, connections that are open stay.
test_block_by_hand_is_not_shortened_by_the_proxy() {
	make_topology
	proxy '' "$STRICT"
	mkfifo "$work/go"
	start "$client" answers python3 -c '
import socket, sys
peer = socket.create_connection(("10.77.1.1", 8080), 5)
print("connected", flush=True)
open(sys.argv[1]).read()
peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 7)
while peer.recv(4096):
    pass' "$work/go"
	wait_until grep -q connected "$work/answers"

	throttle block add 10.77.1.2 --for 24h
	echo >"$work/go"
	join "$started"
	wait_until metric_is blocked_total 1

	expect_match "list" "$(throttle block list)" '^10\.77\.1\.2 +(86400|863[0-9]{2})s$'
}

test_block_refuses_what_is_no_source_and_changes_nothing() {
	make_topology
	expect_match "without a throttle" "$(refused 1 throttle block list)" 'attach'
	throttle attach --dev to-client
	expect_match "without tables" "$(refused 1 throttle block add 10.0.0.1)" 'no tables yet.*apply'
	configuration 20 to-client
	throttle apply -c "$work/run.yaml"

	expect_match "prefix" "$(refused 1 throttle block add 10.0.0.0/8)" 'write an address.*deny add'
	expect_match "prefix" "$(refused 1 throttle block add 2001:db8::/32)" 'one source has /64'
	expect_match "host bits" "$(refused 1 throttle block add 2001:db8::1/64)" 'write 2001:db8::/64'
	for word in nobody 10.77.0.300 ::ffff:1.2.3.4; do
		expect "word" "$(refused 1 throttle block add "$word")" \
			"xdp-throttle: $word: write an address, such as 192.0.2.7"
	done
	expect_match "time" "$(refused 1 throttle block add 10.0.0.1 --for 25h)" \
		"--for is '25h': write a duration from 1s to 24h"
	expect_match "absent" "$(refused 1 throttle block del 10.0.0.1)" '10.0.0.1: it is not blocked'
	expect "list" "$(throttle block list)" ""
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
