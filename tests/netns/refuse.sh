#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Bad input: each command below must fail with one line that says what is wrong,
# and change nothing. All of them meet the same throttle, in this state:
#
#   to-client    attached, with the tables of good.yaml
#   to-attacker  not attached
#   lo           has a program of someone else
#
#   tests/netns/refuse.sh [GLOB]
# shellcheck source=tests/support/netns.sh
source "${BASH_SOURCE%/*}/../support/netns.sh"

# --- the state -----------------------------------------------------------------

write_configurations() {
	cat >"$work/good.yaml" <<-'YAML'
		xdp:
		  per_source: {connections_per_second: 20, burst: 40}
		  services:
		    - {name: web, ports: [80], per_source: {connections_per_second: 50, burst: 100}}
		  sources:
		    - {prefix: 203.0.113.0/24, connections_per_second: 5, burst: 5}
		    - {prefix: 127.0.0.0/8, action: allow}
		    - {prefix: 198.51.100.0/24, action: deny}
	YAML
	cat >"$work/unknown-key.yaml" <<-'YAML'
		xdp:
		  per_source: {conections_per_second: 20}
	YAML
	cat >"$work/broken.yaml" <<-'YAML'
		xdp:
		  per_source: {connections_per_second: 20
	YAML
	cat >"$work/zero-rate.yaml" <<-'YAML'
		xdp:
		  per_source: {connections_per_second: 0}
	YAML
	cat >"$work/large-burst.yaml" <<-'YAML'
		xdp:
		  per_source: {connections_per_minute: 1, burst: 10M}
	YAML
	cat >"$work/host-bits.yaml" <<-'YAML'
		xdp:
		  sources:
		    - {prefix: 10.0.0.0/8, action: deny}
		    - {prefix: 10.1.2.3/16, action: deny}
	YAML
	cat >"$work/twice.yaml" <<-'YAML'
		xdp:
		  sources:
		    - {prefix: 10.0.0.0/8, action: deny}
		    - {prefix: 10.0.0.0/8, action: allow}
	YAML
	cat >"$work/no-xdp.yaml" <<-'YAML'
		routes: [{path: /, target: "http://127.0.0.1:8000"}]
	YAML
	printf 'xdp:\n  tables: {gate: 2M}\n' >"$work/other-sizes.yaml"
	: >"$work/empty.yaml"
}

make_state() {
	make_topology
	write_configurations
	cp "$THROTTLE" "$work/xdp-throttle" # where any user can run it
	throttle attach --dev to-client -c "$work/good.yaml" >"$work/output"
	throttle limit set 192.0.2.0/24 --connections 300/s --burst 600 --shared >"$work/output"
	in_ns "$server" ip link set dev lo xdpgeneric obj "$FOREIGN" sec xdp
	state >"$work/state"
	all_tables >"$work/tables"
}

# What each refusal is compared by: quick to read, and the generation in
# thr_config shows that a table was written.
state() {
	in_ns "$server" ip -o link show
	dump thr_config
	dump thr_services
	dump thr_sources
	throttle limit list --json
	throttle allow list
	throttle deny list
}

# All that commands write, both slots: 20 MB of text.
all_tables() {
	local map
	for map in thr_config thr_ports thr_services thr_policies thr_summary thr_sources; do
		dump "$map"
	done
}

# --- the refusals --------------------------------------------------------------

# refuse NAME STATUS PATTERN ARGUMENT...: a test that xdp-throttle with these
# arguments fails so, with a line that matches PATTERN.
refuse() {
	local name=$1
	shift
	tap "$name" expect_refusal throttle "$@"
}

# The same as user `nobody`.
refuse_nobody() {
	local name=$1
	shift
	tap "$name" expect_refusal throttle_as_nobody "$@"
}

# Under a kernel that says it is an old one.
refuse_under_2_6() {
	local name=$1
	shift
	tap "$name" expect_refusal throttle_under_2_6 "$@"
}

throttle_under_2_6() {
	in_ns "$server" setarch "$(uname -m)" --uname-2.6 "$THROTTLE" "$@"
}

throttle_as_nobody() {
	in_ns "$server" setpriv --reuid=65534 --regid=65534 --clear-groups "$state_dir/xdp-throttle" "$@"
}

expect_refusal() {
	local how=$1 status=$2 pattern=$3 line
	shift 3
	line=$(refused "$status" "$how" "$@")
	expect_match "message" "$line" "^xdp-throttle: .*$pattern"
	state | diff "$state_dir/state" -
}

every_refusal() {
	local d=$state_dir

	# Files.
	refuse apply_of_a_missing_file 1 'missing.yaml: ' apply -c "$d/missing.yaml"
	refuse apply_of_a_directory 1 "$d: " apply -c "$d"
	refuse apply_of_an_empty_file 1 'empty.yaml' apply -c "$d/empty.yaml"
	refuse apply_of_broken_yaml 1 'broken.yaml:[0-9]+:[0-9]+: ' apply -c "$d/broken.yaml"
	refuse apply_of_an_unknown_key 1 'unknown-key.yaml:2:16: .*conections_per_second' \
		apply -c "$d/unknown-key.yaml"
	refuse apply_of_a_rate_of_zero 1 'zero-rate.yaml:2:40: ' apply -c "$d/zero-rate.yaml"
	refuse apply_of_a_burst_too_large 1 'large-burst.yaml:2:[0-9]+: ' apply -c "$d/large-burst.yaml"
	refuse apply_of_a_prefix_with_host_bits 1 'host-bits.yaml:4:16: .*10\.1\.0\.0/16' \
		apply -c "$d/host-bits.yaml"
	refuse apply_of_a_prefix_given_twice 1 'twice.yaml:4:16: ' apply -c "$d/twice.yaml"
	refuse apply_of_a_file_without_xdp 1 'no-xdp.yaml: there is no xdp section' \
		apply -c "$d/no-xdp.yaml"
	local -r sizes='other-sizes.yaml:2:18: tables: gate is 2097152, and the throttle that runs has 1048576'
	refuse apply_of_other_sizes 1 "$sizes" apply -c "$d/other-sizes.yaml"
	refuse attach_again_with_other_sizes 1 "$sizes" attach --dev to-client -c "$d/other-sizes.yaml"
	refuse attach_of_another_interface_with_other_sizes 1 "$sizes" \
		attach --dev to-attacker -c "$d/other-sizes.yaml"
	refuse attach_with_a_bad_file_to_a_new_interface 1 'unknown-key.yaml:2:16: ' \
		attach --dev to-attacker -c "$d/unknown-key.yaml"
	refuse attach_with_a_bad_file_to_an_attached_interface 1 'unknown-key.yaml:2:16: ' \
		attach --dev to-client -c "$d/unknown-key.yaml"
	refuse attach_with_a_file_without_xdp 1 'no-xdp.yaml: there is no xdp section' \
		attach --dev to-attacker -c "$d/no-xdp.yaml"
	refuse check_of_an_unknown_key 1 'unknown-key.yaml:2:16: ' check -c "$d/unknown-key.yaml"

	# Prefixes.
	refuse limit_of_no_address 1 '300.1.1.1/8: ' limit set 300.1.1.1/8 --connections 5/s
	refuse limit_of_a_length_beyond_the_address 1 '10.0.0.0/33: ' \
		limit set 10.0.0.0/33 --connections 5/s
	refuse limit_of_a_prefix_with_host_bits 1 '10.0.0.1/8: host bits are set: write 10.0.0.0/8' \
		limit set 10.0.0.1/8 --connections 5/s
	refuse limit_of_an_ipv6_prefix_with_host_bits 1 'host bits are set: write 2001:db8::/32' \
		limit set 2001:db8::1/32 --connections 5/s
	refuse limit_of_an_empty_prefix 1 ': ' limit set '' --connections 5/s
	refuse limit_of_a_prefix_with_a_newline 1 ': ' limit set $'10.0.0.0/8\n' --connections 5/s
	refuse allow_of_no_address 1 'localhost: ' allow add localhost
	refuse deny_of_a_prefix_with_host_bits 1 'host bits are set: write 10.0.0.0/8' \
		deny add 10.0.0.1/8

	# Rates and bursts.
	refuse limit_without_a_rate 1 'needs a rate' limit set 10.0.0.0/8
	refuse limit_with_a_burst_and_no_rate 1 'needs their rate' limit set 10.0.0.0/8 --burst 5
	refuse limit_with_a_rate_of_zero 1 'connections 0/s: ' limit set 10.0.0.0/8 --connections 0/s
	refuse limit_with_a_negative_rate 1 'connections -5/s: ' limit set 10.0.0.0/8 --connections -5/s
	refuse limit_with_a_rate_in_words 1 'connections fast: ' \
		limit set 10.0.0.0/8 --connections fast
	refuse limit_with_a_rate_a_year 1 'connections 5/y: ' limit set 10.0.0.0/8 --connections 5/y
	refuse limit_with_a_rate_beyond_64_bits 1 'connections 99999999999999999999/s: ' \
		limit set 10.0.0.0/8 --connections 99999999999999999999/s
	refuse limit_with_a_burst_of_zero 1 'burst 0 ' \
		limit set 10.0.0.0/8 --connections 5/s --burst 0
	refuse limit_with_a_burst_too_large 1 'burst 1.*416 days' \
		limit set 10.0.0.0/8 --connections 1/h --burst 1M

	# What is not there, or is something else.
	refuse limit_del_of_no_entry 1 '10.0.0.0/8: there is no' limit del 10.0.0.0/8
	refuse limit_del_of_an_allow_prefix 1 '127.0.0.0/8: there is no limit.* allow' \
		limit del 127.0.0.0/8
	refuse allow_del_of_a_limit 1 '203.0.113.0/24: there is no allow prefix' \
		allow del 203.0.113.0/24
	refuse deny_del_of_no_entry 1 '10.0.0.0/8: there is no' deny del 10.0.0.0/8

	# Interfaces and modes.
	refuse attach_to_no_interface 1 'eth99: no such interface' attach --dev eth99
	refuse attach_to_an_interface_with_a_newline 1 'no such interface' attach --dev $'eth\n99'
	refuse attach_beside_a_foreign_program 1 "lo: XDP program 'flood' \(id [0-9]+\)" \
		attach --dev lo
	refuse attach_in_a_mode_that_is_none 1 '--mode fast: write auto, ' \
		attach --dev to-attacker --mode fast
	refuse attach_again_in_another_mode 1 'attached in native mode already' \
		attach --dev to-client --mode generic
	refuse detach_of_no_interface 1 'eth99: no such interface' detach --dev eth99
	refuse detach_where_not_attached 1 'to-attacker: not attached \(' detach --dev to-attacker
	refuse detach_of_a_foreign_program 1 "lo: .*'flood' .*not ours" detach --dev lo
	refuse apply_where_not_attached 1 'to-attacker: not attached \(' \
		apply -c "$d/good.yaml" --dev to-attacker
	refuse limit_where_not_attached 1 'to-attacker: not attached \(' \
		limit set 10.0.0.0/8 --connections 5/s --dev to-attacker
	refuse status_where_not_attached 1 'to-attacker: not attached \(' status --dev to-attacker

	# Usage.
	refuse no_command 2 'a command is missing'
	refuse unknown_command 2 'unknown command frobnicate' frobnicate
	refuse unknown_command_with_a_newline 2 'unknown command' $'frob\nnicate'
	refuse unknown_command_of_a_group 2 'unknown command frobnicate' limit frobnicate
	refuse incomplete_command 2 'incomplete command limit' limit
	refuse unknown_option 2 'unknown option --frobnicate' status --frobnicate
	refuse option_of_another_command 2 'unknown option --mode' detach --dev to-client --mode native
	refuse option_without_its_value 2 'needs a value: --dev' detach --dev
	refuse option_given_twice 2 'given twice: --dev' detach --dev to-client --dev to-client
	refuse missing_interface 2 'missing --dev' attach
	refuse missing_file 2 'missing --config' apply
	refuse missing_prefix 2 'missing PREFIX' limit set --connections 5/s
	refuse two_prefixes 2 'unexpected 10.1.0.0/16' \
		limit set 10.0.0.0/8 10.1.0.0/16 --connections 5/s

	refuse file_without_its_option 2 'unexpected two\.yaml: did you mean -c two\.yaml\?' \
		check two.yaml
	refuse interface_without_its_option 2 'unexpected eth0: did you mean --dev eth0\?' attach eth0
	refuse reload_is_a_signal 2 'unknown command reload: send SIGHUP to .*systemctl reload' reload
	refuse misspelt_option 2 'unknown option --conections: did you mean --connections\?' \
		limit set 10.0.0.0/8 --conections 5/s
	refuse misspelt_command 2 'unknown command aply: did you mean apply\?' aply -c "$d/good.yaml"
	refuse run_without_its_file 1 'missing\.yaml: cannot be read' run -c "$d/missing.yaml"
	refuse limit_with_a_rate_too_large 1 'write a rate of at most' \
		limit set 10.0.0.0/8 --connections 99999999999999/s

	# On a kernel that is too old.
	refuse_under_2_6 attach_on_an_old_kernel 1 'kernel 2\.6.* is too old: .*Linux 6\.1' \
		attach --dev to-attacker

	# Without privilege.
	refuse_nobody attach_as_nobody 1 'root' attach --dev to-attacker -c "$d/good.yaml"
	refuse_nobody detach_as_nobody 1 'root' detach --dev to-client
	refuse_nobody apply_as_nobody 1 'root' apply -c "$d/good.yaml"
	refuse_nobody limit_set_as_nobody 1 'root' limit set 10.0.0.0/8 --connections 5/s
	refuse_nobody limit_list_as_nobody 1 'root' limit list
	refuse_nobody status_as_nobody 1 'root' status

	tap all_tables_are_as_before_the_first_refusal expect_same_tables
}

expect_same_tables() { all_tables | diff "$state_dir/tables" -; }

skip_all_unless_root
begin
make_state
readonly state_dir=$work
run_list every_refusal "$@"
