/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The packet layer: what is not right is refused with its place. */
#include "support/refusal.h"

#define SERVICE(fields) "xdp:\n  services:\n    - {" fields "}\n"
#define SOURCE(fields) "xdp:\n  sources:\n    - {" fields "}\n"
#define PER_SOURCE(fields) "xdp:\n  per_source: {" fields "}\n"

static const struct CMUnitTest tests[] = {
	REFUSES("no_interfaces",
		"xdp:\n"
		"  interfaces: []\n",
		"2:15: xdp: interfaces is an empty list: write at least one interface"),
	REFUSES("a_long_interface",
		"xdp:\n"
		"  interfaces: [abcdefghijklmnop]\n",
		"2:16: xdp: interface is 'abcdefghijklmnop': write the name of an interface, which "
		"has at most 15 bytes"),
	REFUSES("an_interface_with_a_slash",
		"xdp:\n"
		"  interfaces: [a/b]\n",
		"2:16: xdp: interface is 'a/b': write the name of an interface, without spaces, "
		"'/' and ':'"),
	REFUSES("an_interface_with_a_space",
		"xdp:\n"
		"  interfaces: ['a b']\n",
		"2:16: xdp: interface is 'a b': write the name of an interface, without spaces, "
		"'/' and ':'"),
	REFUSES("the_same_interface_twice",
		"xdp:\n"
		"  interfaces: [eth0, eth1, eth0]\n",
		"2:28: xdp: interface 'eth0' is given on line 2 already: write it once"),
	REFUSES("an_unknown_mode",
		"xdp:\n"
		"  mode: skb\n",
		"2:9: xdp: mode is 'skb': write auto, native, generic or offload"),
	REFUSES("an_unknown_action",
		"xdp:\n"
		"  action: enforec\n",
		"2:11: xdp: action is 'enforec': write enforce or monitor"),
	REFUSES("action_off",
		"xdp:\n"
		"  action: off\n",
		"2:11: xdp: action is 'off': write enforce or monitor"),
	REFUSES("an_unknown_malformed",
		"xdp:\n"
		"  malformed: yes\n",
		"2:14: xdp: malformed is 'yes': write pass or drop"),
	REFUSES("an_ipv6_source_prefix_of_0",
		"xdp:\n"
		"  ipv6_source_prefix: 0\n",
		"2:23: xdp: ipv6_source_prefix is '0': write a whole number from 1 to 128"),
	REFUSES("an_ipv6_source_prefix_of_129",
		"xdp:\n"
		"  ipv6_source_prefix: 129\n",
		"2:23: xdp: ipv6_source_prefix is '129': write a whole number from 1 to 128"),

	REFUSES("a_gate_of_999",
		"xdp:\n"
		"  tables: {gate: 999}\n",
		"2:18: tables: gate is '999': write at least 1000"),
	REFUSES("a_gate_of_a_billion",
		"xdp:\n"
		"  tables: {gate: 1G}\n",
		"2:18: tables: gate is '1G': write at most 256000000"),
	REFUSES("a_table_of_own_buckets_beyond_64M",
		"xdp:\n"
		"  tables: {exact: 65M}\n",
		"2:19: tables: exact is '65M': write at most 64000000"),
	REFUSES("a_set_of_verified_sources_beyond_16M",
		"xdp:\n"
		"  tables: {verified: 17M}\n",
		"2:22: tables: verified is '17M': write at most 16000000"),
	REFUSES("a_set_of_blocked_sources_of_0",
		"xdp:\n"
		"  tables: {blocked: 0}\n",
		"2:21: tables: blocked is '0': write at least 1000"),
	REFUSES("a_table_that_there_is_not",
		"xdp:\n"
		"  tables: {buckets: 1M}\n",
		"2:12: tables: unknown key 'buckets': write one of: gate, exact, verified, "
		"blocked"),

	REFUSES("limits_without_a_rate", PER_SOURCE(""),
		"2:3: per_source: no rate: write at least one, such as connections_per_second: 20"),
	REFUSES("a_burst_without_a_rate", PER_SOURCE("burst: 4"),
		"2:3: per_source: no rate: write at least one, such as connections_per_second: 20"),
	REFUSES("a_rate_of_0_connections", PER_SOURCE("connections_per_second: 0"),
		"2:40: per_source: connections_per_second is 0: write a rate of at least 1, or "
		"leave the limit out"),
	REFUSES("both_rates_of_a_kind", PER_SOURCE("packets_per_minute: 3, packets_per_second: 2"),
		"2:39: per_source: packets_per_second beside packets_per_minute, given on line 2: "
		"write one of them"),
	REFUSES("an_ambiguous_burst",
		PER_SOURCE("packets_per_second: 1, bytes_per_second: 1k, burst: 4"),
		"2:61: per_source: burst could be of packets or of bytes: write packet_burst or "
		"byte_burst"),
	REFUSES("burst_beside_packet_burst",
		PER_SOURCE("packets_per_second: 1, burst: 4, packet_burst: 4"),
		"2:39: per_source: burst beside packet_burst: write packet_burst only"),
	REFUSES("a_packet_burst_without_packets",
		PER_SOURCE("connections_per_second: 1, packet_burst: 4"),
		"2:43: per_source: packet_burst without a rate: write packets_per_second, or leave "
		"it out"),
	REFUSES("a_small_byte_burst", PER_SOURCE("bytes_per_second: 1M, byte_burst: 1513"),
		"2:50: per_source: byte_burst of 1513 bytes never lets a full frame pass: write at "
		"least 1514"),
	REFUSES("a_small_burst_of_bytes", PER_SOURCE("bytes_per_second: 1M, burst: 1k"),
		"2:45: per_source: burst of 1000 bytes never lets a full frame pass: write at "
		"least 1514"),
	REFUSES("a_burst_of_years_of_packets",
		PER_SOURCE("packets_per_minute: 1, packet_burst: 1M"),
		"2:53: per_source: packet_burst of 1000000 would take over 416 days to come back: "
		"write a smaller one"),

	REFUSES("a_service_without_a_name", SERVICE("ports: [80]"),
		"3:7: service: no name: write one"),
	REFUSES("a_service_without_ports", SERVICE("name: web"),
		"3:7: service: no ports: write one"),
	REFUSES("a_service_with_no_ports", SERVICE("name: web, ports: []"),
		"3:26: service: ports is an empty list: write at least one port"),
	REFUSES("a_service_with_port_0", SERVICE("name: web, ports: [0]"),
		"3:27: service: port is '0': write a whole number from 1 to 65535"),
	REFUSES("a_service_with_a_range_of_ports", SERVICE("name: web, ports: [80-90]"),
		"3:27: service: port is '80-90': write a whole number from 1 to 65535"),
	REFUSES("a_port_twice_in_a_service", SERVICE("name: web, ports: [80, 443, 80]"),
		"3:36: xdp: port 80 of service 'web' is given on line 3 already: write it once"),
	REFUSES("a_port_in_two_services",
		"xdp:\n"
		"  services:\n"
		"    - {name: web, ports: [80, 443]}\n"
		"    - {name: tls, ports: [443]}\n",
		"4:27: xdp: port 443 of service 'tls' is in service 'web', on line 3: write it in "
		"one of them"),
	REFUSES("a_service_name_twice",
		"xdp:\n"
		"  services:\n"
		"    - {name: web, ports: [80]}\n"
		"    - {name: web, ports: [81]}\n",
		"4:14: xdp: service 'web' is given on line 3 already: write it once"),
	REFUSES("a_service_name_with_a_space", SERVICE("name: 'w b', ports: [80]"),
		"3:14: service: name is 'w b': write letters, digits, '-' and '_' only"),
	REFUSES("a_service_name_of_32",
		SERVICE("name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, ports: [80]"),
		"3:14: service: name is 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa': write at most 31 "
		"characters"),
	REFUSES("a_per_prefix_without_lengths",
		SERVICE("name: web, ports: [80], per_prefix: {connections_per_second: 5}"),
		"3:32: per_prefix: no prefix length: write ipv4: 24, ipv6: 48, or both"),
	REFUSES("a_per_prefix_without_a_rate",
		SERVICE("name: web, ports: [80], per_prefix: {ipv4: 24}"),
		"3:32: per_prefix: no rate: write at least one, such as connections_per_second: "
		"20"),
	REFUSES("an_ipv4_prefix_of_33",
		SERVICE("name: web, ports: [80], per_prefix: {ipv4: 33, connections_per_second: "
			"5}"),
		"3:51: per_prefix: ipv4 is '33': write a whole number from 1 to 32"),
	REFUSES("an_ipv6_prefix_of_0",
		SERVICE("name: web, ports: [80], per_prefix: {ipv6: 0, connections_per_second: 5}"),
		"3:51: per_prefix: ipv6 is '0': write a whole number from 1 to 128"),
	REFUSES("new_sources_without_a_rate",
		SERVICE("name: web, ports: [80], new_sources: {burst: 5}"),
		"3:32: new_sources: no per_second: write one"),
	REFUSES("new_sources_of_0", SERVICE("name: web, ports: [80], new_sources: {per_second: 0}"),
		"3:58: new_sources: per_second is 0: write a rate of at least 1, or leave the "
		"limit out"),
	REFUSES("an_unknown_overload_policy",
		SERVICE("name: web, ports: [80], new_sources: {per_second: 1, on_overload: "
			"cookie}"),
		"3:74: new_sources: on_overload is 'cookie': write drop, pass or challenge"),

	REFUSES("a_source_without_a_prefix", SOURCE("action: deny"),
		"3:7: source: no prefix: write one"),
	REFUSES("a_source_that_says_nothing", SOURCE("prefix: 10.0.0.0/8"),
		"3:7: source: neither an action nor a rate: write action: allow, action: deny, or "
		"a rate such as connections_per_second: 20"),
	REFUSES("a_source_with_action_limit_and_no_rate",
		SOURCE("prefix: 10.0.0.0/8, action: limit"),
		"3:7: source: no rate: write at least one, such as connections_per_second: 20"),
	REFUSES("an_allowed_source_with_a_rate",
		SOURCE("prefix: 10.0.0.0/8, action: allow, packets_per_second: 5"),
		"3:43: source: packets_per_second beside action: allow has no effect: write one of "
		"them"),
	REFUSES("a_denied_source_that_is_shared",
		SOURCE("prefix: 10.0.0.0/8, action: deny, shared: true"),
		"3:42: source: shared beside action: deny has no effect: write one of them"),
	REFUSES("a_shared_source_without_a_rate", SOURCE("prefix: 10.0.0.0/8, shared: true"),
		"3:7: source: no rate: write at least one, such as connections_per_second: 20"),
	REFUSES("an_unknown_source_action", SOURCE("prefix: 10.0.0.0/8, action: block"),
		"3:36: source: action is 'block': write allow, deny or limit"),
	REFUSES("a_source_with_host_bits", SOURCE("prefix: 192.0.2.1/24, action: deny"),
		"3:16: source: prefix '192.0.2.1/24' has host bits set: write 192.0.2.0/24"),
	REFUSES("an_ipv6_source_with_host_bits", SOURCE("prefix: '2001:db8::1/32', action: deny"),
		"3:16: source: prefix '2001:db8::1/32' has host bits set: write 2001:db8::/32"),
	REFUSES("a_prefix_length_of_33", SOURCE("prefix: 192.0.2.0/33, action: deny"),
		"3:16: source: prefix is '192.0.2.0/33': write a prefix length from 0 to 32"),
	REFUSES("a_prefix_that_is_a_name", SOURCE("prefix: localhost, action: deny"),
		"3:16: source: prefix is 'localhost': write an IPv4 prefix, such as 192.0.2.0/24"),
	REFUSES("a_mapped_prefix", SOURCE("prefix: '::ffff:192.0.2.0/120', action: deny"),
		"3:16: source: prefix is '::ffff:192.0.2.0/120': write an IPv4 prefix in its own "
		"form, not mapped to IPv6"),
	REFUSES("the_same_prefix_twice",
		"xdp:\n"
		"  sources:\n"
		"    - {prefix: 10.0.0.1, action: deny}\n"
		"    - {prefix: 10.0.0.0/8, action: deny}\n"
		"    - {prefix: 10.0.0.1/32, action: allow}\n",
		"5:16: xdp: prefix '10.0.0.1/32' is given on line 3 already: write it once"),
};

int main(int argc, char **argv)
{
	return THR_RUN_TESTS(tests, argc, argv);
}
