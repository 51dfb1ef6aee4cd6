#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Attaching and detaching: by our command and by `ip link`, in every mode that
# this machine has, beside programs of others, and on interfaces that change.
#
#   tests/netns/attach.sh [GLOB]
# shellcheck source=tests/support/netns.sh
source "${BASH_SOURCE%/*}/../support/netns.sh"

# burst_of N > FILE: each source N new connections, which come back one a minute.
burst_of() {
	cat <<YAML
xdp:
  per_source: {connections_per_minute: 1, burst: $1}
YAML
}

nothing_attached() { [[ $(in_ns "$server" ip link show) != *prog/xdp* ]]; }

is_gone() { ! bpftool "$1" show id "$2" &>/dev/null; }

# --- modes ---------------------------------------------------------------------

test_attach_is_native_on_veth() {
	make_topology
	burst_of 20 >"$work/a.yaml"

	output=$(throttle attach --dev to-attacker -c "$work/a.yaml")

	expect_match "output" "$output" \
		$'^to-attacker: attached in native mode, program [0-9]+\n.*a.yaml: live, action enforce '
	expect_match "status" "$(status)" \
		'^\{"interfaces":\[\{"name":"to-attacker","mode":"native","program_id":[0-9]+,'
	expect_match "ip link" "$(in_ns "$server" ip link show to-attacker)" \
		" xdp .* prog/xdp id $(program_id) "
	expect "admitted" "$(admitted --count 1000)" 20
}

test_attach_falls_back_to_generic_and_says_why() {
	make_topology
	burst_of 3 >"$work/a.yaml"
	start_httpd

	output=$(throttle attach --dev lo -c "$work/a.yaml")

	expect_match "output" "$output" \
		$'^lo: attached in generic mode, program [0-9]+\nlo: generic because native mode was refused: the driver has no XDP support\n'
	expect_match "status" "$(throttle status)" \
		'lo +generic +[0-9]+  native was refused: the driver has no XDP support'
	expect_match "status --json" "$(status)" \
		'"name":"lo","mode":"generic",.*"native_refused":"the driver has no XDP support"'
	expect "served" "$(served "$server" 127.0.0.1 --count 6)" 3
}

test_attach_mode_native_where_there_is_none_is_refused() {
	make_topology

	line=$(refused 1 throttle attach --dev lo --mode native)

	expect_match "message" "$line" '^xdp-throttle: lo: native mode: the driver has no XDP support'
	nothing_attached
}

test_attach_mode_offload_where_there_is_none_is_refused() {
	make_topology

	line=$(refused 1 throttle attach --dev to-client --mode offload)

	expect_match "message" "$line" '^xdp-throttle: to-client: '
	nothing_attached
}

test_attach_mode_generic_limits_on_veth() {
	make_topology
	burst_of 20 >"$work/a.yaml"
	in_ns "$server" ethtool -K to-attacker gro on # without native XDP, floods need it

	throttle attach --dev to-attacker --mode generic -c "$work/a.yaml"

	expect_match "status" "$(status)" '"name":"to-attacker","mode":"generic"'
	[[ $(status) != *native_refused* ]] || fail "generic was asked for, not fallen back to"
	expect "admitted" "$(admitted --count 1000)" 20
}

test_attach_in_another_mode_than_attached_is_refused() {
	make_topology
	throttle attach --dev to-client
	program=$(program_id)

	line=$(refused 1 throttle attach --dev to-client --mode generic)

	expect_match "message" "$line" 'attached in native mode already: .*detach --dev to-client'
	expect_match "status" "$(status)" "\"mode\":\"native\",\"program_id\":$program,"
}

# --- by ip link ----------------------------------------------------------------

# limits_when_attached_by_ip_link HOW MODE
limits_when_attached_by_ip_link() {
	make_topology
	burst_of 20 >"$work/a.yaml"
	in_ns "$server" ethtool -K to-attacker gro on
	in_ns "$server" ip link set dev to-attacker "$1" obj "$OBJECT" sec xdp
	expect "admitted while no table was applied" "$(admitted --count 1000)" 1000

	throttle apply -c "$work/a.yaml"
	throttle limit set 198.18.7.0/24 --connections 1/h --burst 7
	throttle deny add 198.18.8.0/24

	expect_match "status" "$(status)" "\"name\":\"to-attacker\",\"mode\":\"$2\""
	expect "admitted by the file's limit" "$(admitted --count 1000)" 20
	expect "admitted by the limit set" "$(admitted --count 1000 --base 198.18.7.1)" 7
	expect "admitted of a denied prefix" "$(admitted --count 1000 --base 198.18.8.1)" 0
	throttle detach --dev to-attacker
	nothing_attached
}

test_ip_link_attached_natively_is_managed_the_same() {
	limits_when_attached_by_ip_link xdpdrv native
}

test_ip_link_attached_generically_is_managed_the_same() {
	limits_when_attached_by_ip_link xdpgeneric generic
}

test_ip_link_attached_twice_makes_two_throttles_chosen_by_dev() {
	make_topology
	in_ns "$server" ip link set dev to-client xdpdrv obj "$OBJECT" sec xdp
	in_ns "$server" ip link set dev to-attacker xdpdrv obj "$OBJECT" sec xdp

	line=$(refused 1 throttle limit list)
	throttle limit set 198.18.0.0/16 --connections 1/h --burst 7 --dev to-attacker

	expect_match "message" "$line" 'to-client and to-attacker: choose one with --dev'
	[[ $(throttle limit list --dev to-attacker) == *198.18.0.0/16* ]]
	[[ $(throttle limit list --dev to-client) != *198.18.0.0/16* ]]
	expect_match "status" "$(status)" '"name":"to-client".*"name":"to-attacker".*"action":"mixed"'
}

test_ip_link_takes_off_what_attach_put_on() {
	make_topology
	throttle attach --dev to-client

	in_ns "$server" ip link set dev to-client xdp off

	expect_match "status" "$(throttle status)" '^no interface .* has the throttle attached$'
	line=$(refused 1 throttle detach --dev to-client)
	expect_match "message" "$line" 'to-client: not attached'
}

# --- surroundings --------------------------------------------------------------

test_commands_work_inside_ip_netns_exec() {
	make_topology
	burst_of 20 >"$work/a.yaml"
	inside=(netns_exec "$THROTTLE")

	"${inside[@]}" attach --dev to-attacker -c "$work/a.yaml"
	"${inside[@]}" limit set 198.18.7.0/24 --connections 1/h --burst 7
	"${inside[@]}" apply -c "$work/a.yaml"
	"${inside[@]}" allow add 198.18.8.0/24

	expect "allowed" "$("${inside[@]}" allow list)" "198.18.8.0/24"
	expect_match "status" "$("${inside[@]}" status --json)" '"name":"to-attacker"'
	expect "admitted" "$(admitted --count 1000)" 20
	"${inside[@]}" detach --dev to-attacker
	nothing_attached
}

test_bpftool_shows_maps_with_named_fields() {
	make_topology
	{
		burst_of 20
		echo '  tables: {gate: 1k}'
	} >"$work/a.yaml"
	throttle attach --dev to-attacker -c "$work/a.yaml"
	throttle limit set 198.18.0.0/24 --connections 7/h --burst 7
	admitted --count 10

	expect_match "thr_config" "$(dump thr_config)" '"active": [01],.*"action": 1,'
	expect_match "thr_sources" "$(dump thr_sources)" '"prefixlen": 152,.*"own_policy": [1-9]'
	expect_match "thr_gate" "$(dump thr_gate)" '"tat": [1-9][0-9]+,[^}]*"owner": [1-9]'
	expect_match "thr_stats" "$(dump thr_stats)" '"packets": 7,.*"dropped": 0'
	dump thr_policies >"$work/policies"
	grep -A 5 '"rate": 7,' "$work/policies" | grep '"per_s": 3600'
}

# --- again ---------------------------------------------------------------------

test_attach_again_with_a_new_file_keeps_program_buckets_and_counters() {
	make_topology
	burst_of 20 >"$work/a.yaml"
	burst_of 20 >"$work/b.yaml"
	cat >>"$work/b.yaml" <<-'YAML'
		  sources: [{prefix: 198.18.7.0/24, action: deny}]
	YAML
	throttle attach --dev to-attacker -c "$work/a.yaml"
	expect "admitted at first" "$(admitted --count 1000)" 20
	program=$(program_id)

	output=$(throttle attach --dev to-attacker -c "$work/b.yaml")

	expect_match "output" "$output" '^to-attacker: already attached in native mode'
	expect "program" "$(program_id)" "$program"
	expect "counter" "$(counter new_connection)" 20
	expect "denied" "$(throttle deny list)" "198.18.7.0/24"
	expect "admitted after it" "$(admitted --count 1000)" 0
}

test_attach_again_without_a_file_keeps_the_tables() {
	make_topology
	burst_of 20 >"$work/a.yaml"
	throttle attach --dev to-attacker -c "$work/a.yaml"
	throttle deny add 198.18.7.0/24
	before=$(throttle limit list --json)

	throttle attach --dev to-attacker

	expect "limits" "$(throttle limit list --json)" "$before"
	expect "denied" "$(throttle deny list)" "198.18.7.0/24"
}

test_attach_puts_this_build_in_the_place_of_another_and_keeps_the_buckets() {
	make_topology
	burst_of 20 >"$work/a.yaml"
	# Another build of the program, with a clock that stands still.
	in_ns "$server" ip link set dev to-attacker xdpdrv obj "$B/tests/bpf/mock_clock.bpf.o" sec xdp
	throttle apply -c "$work/a.yaml"
	other=$(program_id)

	output=$(throttle attach --dev to-attacker)

	expect_match "output" "$output" "took the place of the older build $other"
	[[ $(program_id) != "$other" ]] || fail "program $other is still there"
	expect_match "limits" "$(throttle limit list)" 'default, each source .* 20 '
	expect "admitted" "$(admitted --count 1000)" 20
}

test_attach_that_fails_keeps_the_build_that_was_attached() {
	make_topology
	in_ns "$server" ip link set dev to-attacker xdpdrv obj "$B/tests/bpf/mock_clock.bpf.o" sec xdp
	other=$(program_id)
	{
		printf 'xdp:\n  sources:\n'
		for i in {0..16400}; do
			printf '    - {prefix: 10.%d.%d.0/24, connections_per_second: %d}\n' \
				$((i / 256)) $((i % 256)) $((i + 1))
		done
	} >"$work/many.yaml"

	line=$(refused 1 throttle attach --dev to-attacker -c "$work/many.yaml")

	expect_match "message" "$line" 'more than 16128 different limits'
	expect "program" "$(program_id)" "$other"
	expect_match "status" "$(status)" '"action":"off"'
}

test_services_keep_their_buckets_when_the_list_changes() {
	make_topology
	printf 'xdp:\n  services:\n    - {name: web, ports: [80], per_source: {%s}}\n' \
		'connections_per_minute: 1, burst: 20' >"$work/a.yaml"
	printf 'xdp:\n  services:\n    - {name: ssh, ports: [22], per_source: {%s}}\n    - {name: web, ports: [80], per_source: {%s}}\n' \
		'connections_per_minute: 1, burst: 5' 'connections_per_minute: 1, burst: 20' >"$work/b.yaml"
	throttle attach --dev to-attacker -c "$work/a.yaml"
	expect "admitted to web" "$(admitted --count 100 --dport 80)" 20

	throttle apply -c "$work/b.yaml"

	expect "admitted to web after it" "$(admitted --count 100 --dport 80)" 0
	expect "admitted to ssh after it" "$(admitted --count 100 --dport 22)" 5
}

# --- sizes of tables ---------------------------------------------------------------

# entries NAME: of a map of the program that is attached in the server.
entries() { number "$(bpftool -j map show id "$(map_id "$1")")" max_entries; }

# sizes: of all maps that a file may state one of.
sizes() {
	echo "$(entries thr_gate) $(entries thr_buckets) $(entries thr_verified) $(entries thr_blocked)"
}

test_sizes_are_those_of_the_file_that_attached_first() {
	make_topology
	burst_of 20 >"$work/a.yaml"
	{
		cat "$work/a.yaml"
		echo '  tables: {gate: 64k, exact: 10k, verified: 2k, blocked: 1k}'
	} >"$work/b.yaml"
	throttle attach --dev to-attacker -c "$work/b.yaml"
	expect "sizes" "$(sizes)" "65536 16384 2048 1024"

	throttle apply -c "$work/b.yaml"
	throttle apply -c "$work/a.yaml"
	throttle attach --dev to-client -c "$work/b.yaml"
	throttle attach --dev to-attacker
	throttle limit set 198.18.7.0/24 --connections 1/h --burst 7

	expect "sizes after it" "$(sizes)" "65536 16384 2048 1024"
	expect "admitted" "$(admitted --count 1000)" 20
	expect "admitted by the limit set" "$(admitted --count 1000 --base 198.18.7.1)" 7
}

test_sizes_of_a_program_that_ip_link_attached_are_the_defaults() {
	make_topology
	in_ns "$server" ip link set dev to-attacker xdpdrv obj "$OBJECT" sec xdp
	{
		burst_of 20
		echo '  tables: {gate: 1M, exact: 256k, verified: 64k, blocked: 64k}'
	} >"$work/a.yaml"
	sed 's/exact: 256k/exact: 512k/' "$work/a.yaml" >"$work/b.yaml"

	throttle apply -c "$work/a.yaml"
	line=$(refused 1 throttle apply -c "$work/b.yaml")

	expect_match "message" "$line" 'b\.yaml:3:29: tables: exact is 524288, and the throttle that runs has 262144'
	expect "admitted" "$(admitted --count 1000)" 20
}

# --- programs of others ----------------------------------------------------------

test_attach_refuses_an_interface_with_a_foreign_program() {
	make_topology
	in_ns "$server" ip link set dev to-client xdpdrv obj "$FOREIGN" sec xdp
	before=$(in_ns "$server" ip link show to-client)

	line=$(refused 1 throttle attach --dev to-client)

	expect_match "message" "$line" "^xdp-throttle: to-client: XDP program 'flood' \(id [0-9]+\)"
	expect "ip link" "$(in_ns "$server" ip link show to-client)" "$before"
}

test_detach_leaves_a_foreign_program_alone() {
	make_topology
	in_ns "$server" ip link set dev to-client xdpdrv obj "$FOREIGN" sec xdp
	throttle attach --dev to-attacker
	before=$(in_ns "$server" ip link show to-client)

	line=$(refused 1 throttle detach --dev to-client)

	expect_match "message" "$line" "'flood' \(id [0-9]+\), not ours"
	expect "ip link" "$(in_ns "$server" ip link show to-client)" "$before"
	throttle detach --dev to-attacker
	expect "ip link" "$(in_ns "$server" ip link show to-client)" "$before"
}

test_program_of_our_name_hinders_no_other_interface() {
	make_topology
	in_ns "$server" ip link set dev to-client xdpdrv obj "$B/tests/netns/namesake.bpf.o" sec xdp

	throttle attach --dev to-attacker
	throttle deny add 198.18.7.0/24

	expect "denied" "$(throttle deny list)" "198.18.7.0/24"
	expect_match "status" "$(status)" '^\{"interfaces":\[\{"name":"to-attacker"'
	line=$(refused 1 throttle detach --dev to-client)
	expect_match "message" "$line" '^xdp-throttle: to-client: program [0-9]+ .* is of another version'
	throttle detach --dev to-attacker
}

# --- detaching -----------------------------------------------------------------

test_detach_leaves_no_program_and_no_map() {
	make_topology
	burst_of 20 >"$work/a.yaml"
	throttle attach --dev to-client -c "$work/a.yaml"
	throttle attach --dev to-attacker -c "$work/a.yaml"
	throttle limit set 198.18.7.0/24 --connections 1/h
	program=$(program_id)
	maps=$(map_ids "$program")
	expect "maps" "$(wc -w <<<"$maps")" 13

	throttle detach --dev to-client
	throttle detach --dev to-attacker

	nothing_attached
	wait_until is_gone prog "$program"
	for map in $maps; do
		wait_until is_gone map "$map"
	done
}

test_detach_of_one_interface_keeps_the_other() {
	make_topology
	burst_of 20 >"$work/a.yaml"
	throttle attach --dev to-client -c "$work/a.yaml"
	throttle attach --dev to-attacker
	program=$(program_id)
	expect "admitted at first" "$(admitted --count 1000)" 20

	throttle detach --dev to-client

	expect_match "status" "$(status)" \
		"^\{\"interfaces\":\[\{\"name\":\"to-attacker\",\"mode\":\"native\",\"program_id\":$program,[^{}]*\}\]"
	expect "admitted after it" "$(admitted --count 1000)" 0
}

test_attach_after_detach_starts_anew() {
	make_topology
	burst_of 20 >"$work/a.yaml"
	throttle attach --dev to-attacker -c "$work/a.yaml"
	expect "admitted at first" "$(admitted --count 1000)" 20
	throttle detach --dev to-attacker

	throttle attach --dev to-attacker -c "$work/a.yaml"

	expect "counter" "$(counter new_connection)" 0
	expect "admitted after it" "$(admitted --count 1000)" 20
}

# --- interfaces that change --------------------------------------------------------

test_renamed_interface_is_managed_by_its_new_name() {
	make_topology
	burst_of 20 >"$work/a.yaml"
	throttle attach --dev to-attacker -c "$work/a.yaml"

	in_ns "$server" ip link set to-attacker down
	in_ns "$server" ip link set to-attacker name wan0
	in_ns "$server" ip link set wan0 up

	expect_match "status" "$(status)" '"name":"wan0","mode":"native"'
	line=$(refused 1 throttle limit list --dev to-attacker)
	expect_match "message" "$line" 'to-attacker: no such interface'
	throttle limit set 198.18.0.0/16 --connections 1/h --burst 7 --dev wan0
	expect "admitted" "$(admitted --count 1000)" 7
	throttle detach --dev wan0
	nothing_attached
}

test_interface_gone_leaves_the_others_managed() {
	make_topology
	burst_of 20 >"$work/a.yaml"
	throttle attach --dev to-client -c "$work/a.yaml"
	throttle attach --dev to-attacker

	in_ns "$client" ip link del eth-c

	[[ $(status) == '{"interfaces":[{"name":"to-attacker",'* ]]
	[[ $(status) != *to-client* ]]
	line=$(refused 1 throttle detach --dev to-client)
	expect_match "message" "$line" 'to-client: no such interface'
	throttle apply -c "$work/a.yaml"
	expect "admitted" "$(admitted --count 1000)" 20
}

test_last_interface_gone_leaves_no_program_and_no_map() {
	make_topology
	throttle attach --dev to-client
	program=$(program_id)
	maps=$(map_ids "$program")

	in_ns "$client" ip link del eth-c

	expect_match "status" "$(throttle status)" '^no interface .* has the throttle attached$'
	wait_until is_gone prog "$program"
	for map in $maps; do
		wait_until is_gone map "$map"
	done
}

# --- what challenges need of the kernel -------------------------------------------

# challenging [OVERLOAD [ACTION]] > FILE: a service with a budget for new sources.
challenging() {
	cat <<-YAML
		xdp:
		  action: ${2:-enforce}
		  services:
		    - name: web
		      ports: [80]
		      new_sources: {per_second: 1, burst: 5, on_overload: ${1:-challenge}}
	YAML
}

# sysctls [COOKIES TIMESTAMPS]: of the server, as "COOKIES TIMESTAMPS"; or set them.
sysctls() {
	local -r all=(/proc/sys/net/ipv4/tcp_{syncookies,timestamps})
	if (($#)); then
		# shellcheck disable=SC2016
		in_ns "$server" sh -c 'echo "$1" >"$3" && echo "$2" >"$4"' sh "$1" "$2" "${all[@]}"
	else
		in_ns "$server" cat "${all[@]}" | paste -sd ' '
	fi
}

# lost_at INTERFACE: what is said of a veth in native mode.
lost_at() {
	echo "xdp-throttle: warning: $1 is a veth: in native mode the answers to challenged SYNs are lost, unless its other end has an XDP program too: detach it and attach with --mode generic (xdp.mode: generic)"
}

test_challenge_sets_what_it_needs_of_the_kernel_and_detach_restores_it() {
	make_topology
	sysctls 0 1
	challenging >"$work/a.yaml"

	notes=$(throttle attach --dev to-client -c "$work/a.yaml" 2>&1 >"$work/output")

	expect "sysctls" "$(sysctls)" "2 2"
	expect "notes" "$notes" "xdp-throttle: note: net.ipv4.tcp_syncookies: 0 -> 2, for on_overload: challenge of service web; detach restores it
xdp-throttle: note: net.ipv4.tcp_timestamps: 1 -> 2, for on_overload: challenge of service web; detach restores it
$(lost_at to-client)"
	expect_match "status" "$(throttle status)" $'\nchallenge +ready\n'
	expect_match "status --json" "$(status)" '"challenge":\{"ready":true,"detail":"ready"\},'
	notes=$(throttle detach --dev to-client 2>&1 >"$work/output")
	expect "sysctls after detach" "$(sysctls)" "0 1"
	expect "notes of detach" "$notes" "xdp-throttle: note: net.ipv4.tcp_syncookies: 2 -> 0, as it was
xdp-throttle: note: net.ipv4.tcp_timestamps: 2 -> 1, as it was"
}

# notes COMMAND [ARGUMENT...]: what it says on standard error of interfaces.
notes() { throttle "$@" 2>&1 >"$work/output" | grep -v ' net.ipv4.tcp_' || true; }

test_challenge_on_a_veth_in_native_mode_warns() {
	make_topology
	challenging >"$work/a.yaml"
	challenging drop >"$work/b.yaml"
	challenging challenge monitor >"$work/c.yaml"

	expect "attach under drop" "$(notes attach --dev to-client -c "$work/b.yaml")" ""
	expect "apply" "$(notes apply -c "$work/a.yaml")" "$(lost_at to-client)"
	expect "limit set" "$(notes limit set 198.18.7.0/24 --connections 1/h)" ""
	expect "attach of a second" "$(notes attach --dev to-attacker)" "$(lost_at to-attacker)"
	expect "attach again" "$(notes attach --dev to-attacker -c "$work/a.yaml")" \
		"$(lost_at to-attacker)"
	expect "apply, of the first" "$(notes apply -c "$work/a.yaml")" "$(lost_at to-client)"
	expect "apply of monitor" "$(notes apply -c "$work/c.yaml")" ""
}

test_challenge_in_generic_mode_or_on_no_veth_does_not_warn() {
	make_topology
	challenging >"$work/a.yaml"

	expect "generic" "$(notes attach --dev to-client --mode generic -c "$work/a.yaml")" ""
	expect "no veth" "$(notes attach --dev lo -c "$work/a.yaml")" ""
	expect "apply" "$(notes apply -c "$work/a.yaml")" ""
}

# offer: what a SYN-ACK with a cookie may, as "TIMESTAMPS SACK WINDOW-SCALE".
offer() {
	dump thr_config | sed -nE 's/^ *"(timestamps|sack|window_scale)": ([0-9]+),$/\2/p' | paste -sd ' '
}

test_challenge_offers_what_the_kernel_would() {
	make_topology
	challenging >"$work/a.yaml"
	throttle attach --dev to-client -c "$work/a.yaml"
	local -r default=$(offer)

	in_ns "$server" sh -c 'echo "4096 131072 67108864" >/proc/sys/net/ipv4/tcp_rmem &&
		echo 0 >/proc/sys/net/ipv4/tcp_sack'
	throttle apply -c "$work/a.yaml"
	local -r large=$(offer)
	in_ns "$server" sh -c 'echo 0 >/proc/sys/net/ipv4/tcp_window_scaling'
	throttle apply -c "$work/a.yaml"

	expect_match "by default" "$default" '^1 1 [0-9]+$' # by this machine's memory
	expect "with buffers of 64 MiB, without SACK" "$large" "1 0 11"
	expect "without window scaling" "$(offer)" "1 0 255"
}

test_apply_without_a_challenge_restores_what_the_one_before_had_set() {
	make_topology
	sysctls 1 1
	challenging >"$work/a.yaml"
	challenging drop >"$work/b.yaml"
	challenging challenge monitor >"$work/c.yaml"

	throttle attach --dev to-client -c "$work/b.yaml"
	expect "sysctls under drop" "$(sysctls)" "1 1"
	throttle apply -c "$work/a.yaml"
	throttle limit set 198.18.7.0/24 --connections 1/h
	expect "sysctls under challenge" "$(sysctls)" "2 2"
	throttle apply -c "$work/c.yaml"
	expect "sysctls under monitor" "$(sysctls)" "1 1"
	expect "challenge under monitor" "$(status | grep -c '"challenge":' || true)" 0
	throttle apply -c "$work/a.yaml"
	throttle apply -c "$work/b.yaml"
	expect "sysctls under drop again" "$(sysctls)" "1 1"
}

test_restore_leaves_alone_what_somebody_else_set() {
	make_topology
	sysctls 1 1
	challenging >"$work/a.yaml"
	throttle attach --dev to-client -c "$work/a.yaml"
	sysctls 0 2
	local -r detail="tcp_syncookies is 0, wants 2: SYNs beyond the budget are dropped; 'xdp-throttle apply' sets it again"

	expect_match "status" "$(throttle status)" \
		"challenge +$detail"
	expect_match "status --json" "$(status)" "\"challenge\":\{\"ready\":false,\"detail\":\"$detail\"\},"
	throttle detach --dev to-client
	expect "sysctls" "$(sysctls)" "0 1"
}

# The kernel takes no cookie that carries what it does not have.
test_status_tells_when_answers_offer_what_the_kernel_has_no_longer() {
	make_topology
	challenging >"$work/a.yaml"
	throttle attach --dev to-client -c "$work/a.yaml"
	in_ns "$server" sysctl -qw net.ipv4.tcp_sack=0

	expect_match "status" "$(throttle status)" \
		'challenge +net.ipv4.tcp_\* or rmem_max have changed: apply the tables again'
	throttle apply -c "$work/a.yaml"
	expect_match "status" "$(throttle status)" $'\nchallenge +ready\n'
}

test_sysctls_set_before_are_left_as_they_were() {
	make_topology
	sysctls 2 2
	challenging >"$work/a.yaml"

	notes=$(throttle attach --dev to-client -c "$work/a.yaml" 2>&1 >"$work/output")
	throttle detach --dev to-client

	expect "notes" "$notes" "xdp-throttle: note: net.ipv4.tcp_syncookies is 2 already: detach leaves it
xdp-throttle: note: net.ipv4.tcp_timestamps is 2 already: detach leaves it
$(lost_at to-client)"
	expect "sysctls" "$(sysctls)" "2 2"
}

test_sysctls_that_another_throttle_or_the_tables_before_set_are_not_said_to_stay() {
	make_topology
	sysctls 1 1
	challenging >"$work/a.yaml"
	in_ns "$server" ip link set dev to-client xdpdrv obj "$OBJECT" sec xdp
	in_ns "$server" ip link set dev to-attacker xdpdrv obj "$OBJECT" sec xdp
	throttle apply -c "$work/a.yaml" --dev to-client

	expect "another throttle" "$(throttle apply -c "$work/a.yaml" --dev to-attacker 2>&1 |
		grep already || true)" ""
	expect "the same again" "$(throttle apply -c "$work/a.yaml" --dev to-client 2>&1 |
		grep already || true)" ""
}

test_sysctls_set_before_are_told_of_once() {
	make_topology
	sysctls 2 1
	challenging >"$work/a.yaml"
	challenging drop >"$work/b.yaml"
	local -r kept='xdp-throttle: note: net.ipv4.tcp_syncookies is 2 already: detach leaves it'

	throttle attach --dev to-client -c "$work/b.yaml"
	expect "apply" "$(throttle apply -c "$work/a.yaml" 2>&1 | grep already)" "$kept"
	expect "apply again" "$(throttle apply -c "$work/a.yaml" 2>&1 | grep already || true)" ""
	throttle apply -c "$work/b.yaml"
	expect "after another" "$(throttle apply -c "$work/a.yaml" 2>&1 | grep already)" "$kept"
}

test_sysctls_stay_until_the_last_interface_is_detached() {
	make_topology
	sysctls 1 1
	challenging >"$work/a.yaml"
	throttle attach --dev to-client -c "$work/a.yaml"
	throttle attach --dev to-attacker -c "$work/a.yaml"

	throttle detach --dev to-client
	expect "sysctls after the first" "$(sysctls)" "2 2"
	throttle detach --dev to-attacker
	expect "sysctls after the last" "$(sysctls)" "1 1"
}

test_attach_that_fails_leaves_the_sysctls() {
	make_topology
	sysctls 1 1
	challenging >"$work/a.yaml"

	refused 1 throttle attach --dev lo --mode native -c "$work/a.yaml"

	expect "sysctls" "$(sysctls)" "1 1"
}

test_throttles_apart_restore_the_sysctls_after_the_last_that_challenges() {
	make_topology
	sysctls 1 1
	challenging >"$work/a.yaml"
	for dev in to-client to-attacker; do
		in_ns "$server" ip link set dev "$dev" xdpdrv obj "$OBJECT" sec xdp
		throttle apply -c "$work/a.yaml" --dev "$dev"
	done
	expect_match "status --json" "$(status)" '"challenge":\{"ready":true,"detail":"ready"\},'

	throttle detach --dev to-client
	expect "sysctls while another challenges" "$(sysctls)" "2 2"
	throttle detach --dev to-attacker
	expect "sysctls after the last" "$(sysctls)" "1 1"
}

test_challenge_without_sysctls_to_be_set_warns_and_throttles() {
	make_topology
	sysctls 1 1
	challenging >"$work/a.yaml"

	# shellcheck disable=SC2016
	notes=$(in_ns "$server" unshare --mount sh -c 'mount --bind /proc/sys /proc/sys &&
		mount -o remount,bind,ro /proc/sys && exec "$@"' sh \
		"$THROTTLE" attach --dev to-attacker -c "$work/a.yaml" 2>&1 >"$work/output")

	expect_match "notes" "$notes" '^xdp-throttle: warning: net.ipv4.tcp_syncookies is not 2 and cannot be set \(Read-only file system\): SYNs that were to be challenged are dropped
xdp-throttle: warning: net.ipv4.tcp_timestamps is not 2 and cannot be set \(Read-only file system\): challenged clients have neither window scaling nor SACK
xdp-throttle: warning: to-attacker is a veth: '
	expect "sysctls" "$(sysctls)" "1 1"
	admitted --count 100 --sources 100 --dport 80 >"$work/output"
	expect_match "status" "$(status)" '"unchallenged":9[0-9],'
	throttle detach --dev to-attacker
	expect "sysctls after detach" "$(sysctls)" "1 1"
}

# overwrite MAP INDEX OFFSET BYTE: in the value there.
overwrite() {
	local -r id=$(map_id "$1")
	local key value
	key=$(printf '0x%02x 0x%02x 0 0' $(($2 % 256)) $(($2 / 256)))
	# shellcheck disable=SC2086
	value=$(bpftool -j map lookup id "$id" key $key | grep -oE '"value":\["0x[^]]*' |
		grep -oE '0x[0-9a-f]{2}')
	# shellcheck disable=SC2046,SC2086
	bpftool map update id "$id" key $key \
		value $(sed "$(($3 + 1))s/.*/$4/" <<<"$value")
}

test_policy_of_overload_that_there_is_none_of_is_listed_as_the_default() {
	make_topology
	challenging >"$work/a.yaml"
	throttle attach --dev to-client -c "$work/a.yaml"
	throttle limit list --json | grep -q '"on_overload": *"challenge"'

	overwrite thr_services 257 47 0x7f # on_overload of the first service in force

	expect_match "list" "$(throttle limit list --json)" '"on_overload": ?"drop"'
	expect_match "table" "$(throttle limit list)" 'drop'
}

skip_all_unless_root
run_tests "$@"
