/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The HTTP side: what is not right is refused with its place.
 */
#include "support/refusal.h"

#define ROUTE(fields) "routes:\n  - {" fields "}\n"

static const struct CMUnitTest tests[] = {
	REFUSES("a_rate_limit_without_a_rate",
		"rate_limit: {burst: 5}\n"
		"routes: [{path: /, target: http://a}]\n",
		"1:1: rate_limit: no rate: write requests_per_second or requests_per_minute"),
	REFUSES("two_rates",
		"rate_limit:\n"
		"  requests_per_second: 5\n"
		"  requests_per_minute: 5\n",
		"3:3: rate_limit: requests_per_minute beside requests_per_second, given on line 2: "
		"write one of them"),
	REFUSES("a_rate_of_0", "rate_limit: {requests_per_second: 0}\n",
		"1:35: rate_limit: requests_per_second is 0: write a rate of at least 1, or leave "
		"the limit out"),
	REFUSES("a_rate_that_is_a_fraction", "rate_limit: {requests_per_second: 0.5}\n",
		"1:35: rate_limit: requests_per_second is '0.5': write a whole number, such as 20 "
		"or 10k"),
	REFUSES("a_rate_past_2_to_the_40", "rate_limit: {requests_per_second: 2000G}\n",
		"1:35: rate_limit: requests_per_second is '2000G': write at most 1099511627776"),
	REFUSES("a_burst_of_0", "rate_limit: {requests_per_second: 5, burst: 0}\n",
		"1:45: rate_limit: burst is 0: write at least 1, or leave it out"),
	REFUSES("a_burst_that_takes_years", "rate_limit: {requests_per_minute: 1, burst: 1M}\n",
		"1:45: rate_limit: burst of 1000000 would take over 416 days to come back: write a "
		"smaller one"),
	REFUSES("a_burst_within_a_tick", "rate_limit: {requests_per_second: 1000G, burst: 1}\n",
		"1:49: rate_limit: burst of 1 is less than a bucket can measure at this rate: "
		"write one second's worth or more"),

	REFUSES("a_block_without_the_packet_layer",
		"rate_limit: {requests_per_second: 5, block: {refusals_per_minute: 600}}\n" ROUTE(
			"path: /, target: http://a"),
		"1:38: rate_limit.block needs the packet layer: write xdp.interfaces, or leave "
		"block out"),
	REFUSES("a_block_with_an_xdp_section_that_has_no_interfaces",
		"xdp: {}\n"
		"rate_limit: {requests_per_second: 5, block: {refusals_per_minute: 600}}\n",
		"2:38: rate_limit.block needs the packet layer: write xdp.interfaces, or leave "
		"block out"),
	REFUSES("a_block_without_a_rate_of_refusals",
		"rate_limit: {requests_per_second: 5, block: {for: 10m}}\n",
		"1:38: block: no refusals_per_minute: write one"),
	REFUSES("a_block_by_0_refusals",
		"rate_limit: {requests_per_second: 5, block: {refusals_per_minute: 0}}\n",
		"1:67: block: refusals_per_minute is 0: write a rate of at least 1, or leave the "
		"limit out"),
	REFUSES("a_block_for_less_than_a_second",
		"rate_limit: {requests_per_second: 5, block: {refusals_per_minute: 1, for: "
		"999ms}}\n",
		"1:75: block: for is '999ms': write a duration from 1s to 24h"),
	REFUSES("a_block_for_more_than_a_day",
		"rate_limit: {requests_per_second: 5, block: {refusals_per_minute: 1, for: 25h}}\n",
		"1:75: block: for is '25h': write a duration from 1s to 24h"),
	REFUSES("a_block_beside_a_burst_without_a_rate",
		"rate_limit: {burst: 5, block: {refusals_per_minute: 1}}\n",
		"1:1: rate_limit: no rate: write requests_per_second or requests_per_minute"),
	REFUSES("a_block_beside_on_error_without_a_rate",
		"rate_limit: {on_error: deny, block: {refusals_per_minute: 1}}\n",
		"1:1: rate_limit: no rate: write requests_per_second or requests_per_minute"),
	REFUSES("a_block_in_a_route",
		ROUTE("path: /, target: http://a, rate_limit: {requests_per_second: 5, block: {}}"),
		"2:70: rate_limit: unknown key 'block': write it as rate_limit.block, "
		"or here one of: requests_per_second, "
		"requests_per_minute, burst, on_error"),

	REFUSES("no_routes", "routes: []\n",
		"1:9: routes is an empty list: write at least one route"),
	REFUSES("a_route_without_a_path", ROUTE("target: http://a"),
		"2:5: route: no path: write one"),
	REFUSES("a_route_without_a_target",
		"routes:\n"
		"  - path: /\n",
		"2:5: route: no target: write one, such as target: http://127.0.0.1:8000"),
	REFUSES("a_route_with_target_and_targets",
		ROUTE("path: /, target: http://a, targets: [http://b]"),
		"2:33: route: targets beside target, given on line 2: write one of them"),
	REFUSES("a_route_without_targets", ROUTE("path: /, targets: []"),
		"2:24: route: targets is an empty list: write at least one target"),
	REFUSES("a_relative_path", ROUTE("path: api, target: http://a"),
		"2:12: route: path is 'api': write a path that starts with '/'"),
	REFUSES("an_empty_path", ROUTE("path: '', target: http://a"),
		"2:6: route: path is empty: write a value"),
	REFUSES("a_path_with_a_query", ROUTE("path: /a?b, target: http://a"),
		"2:12: route: path is '/a?b': write the path only, without a query or a fragment"),
	REFUSES("a_path_with_a_wildcard", ROUTE("path: /api/*, target: http://a"),
		"2:12: route: path is '/api/*': paths are prefixes: write /api, which matches all "
		"below it"),
	REFUSES("a_path_with_a_fragment", ROUTE("path: '/a#b', target: http://a"),
		"2:12: route: path is '/a#b': write the path only, without a query or a fragment"),
	REFUSES("a_path_with_an_empty_part", ROUTE("path: /a//, target: http://a"),
		"2:12: route: path is '/a//': write one slash between two parts"),
	REFUSES("a_path_with_a_space", ROUTE("path: '/a b', target: http://a"),
		"2:12: route: path is '/a b': write printable ASCII without spaces, percent-encode "
		"the rest"),
	REFUSES("a_path_that_is_not_ascii", ROUTE("path: /\303\244b, target: http://a"),
		"2:12: route: path is '/??b': write printable ASCII without spaces, percent-encode "
		"the rest"),
	REFUSES("the_same_path_twice",
		"routes:\n"
		"  - {path: /a, target: http://a}\n"
		"  - {path: /a/, target: http://b}\n",
		"3:12: path '/a' is given on line 2 already: write it once"),
	REFUSES("an_https_target", ROUTE("path: /, target: 'https://a'"),
		"2:23: route: target is 'https://a': only http:// targets are supported"),
	REFUSES("a_target_without_a_scheme", ROUTE("path: /, target: 127.0.0.1"),
		"2:23: route: target is '127.0.0.1': write http://HOST or http://HOST:PORT"),
	REFUSES("a_target_with_a_path", ROUTE("path: /, target: http://a/b"),
		"2:23: route: target is 'http://a/b': write it without a path: requests keep their "
		"own"),
	REFUSES("a_target_with_a_query", ROUTE("path: /, target: http://a?b"),
		"2:23: route: target is 'http://a?b': write it without a path: requests keep their "
		"own"),
	REFUSES("a_target_with_a_user", ROUTE("path: /, target: 'http://u:p@a'"),
		"2:23: route: target: write it without a user name or password"),
	REFUSES("a_target_without_a_host", ROUTE("path: /, target: 'http://:80'"),
		"2:23: route: target is 'http://:80': write a host"),
	REFUSES("a_target_with_port_0", ROUTE("path: /, target: http://a:0"),
		"2:23: route: target is 'http://a:0': write a port from 1 to 65535 after the "
		"colon"),
	REFUSES("a_target_with_an_empty_port", ROUTE("path: /, target: 'http://a:'"),
		"2:23: route: target is 'http://a:': write a port from 1 to 65535 after the colon"),
	REFUSES("a_target_with_a_large_port", ROUTE("path: /, target: http://a:65536"),
		"2:23: route: target is 'http://a:65536': write a port from 1 to 65535 after the "
		"colon"),
	REFUSES("a_target_with_bare_ipv6", ROUTE("path: /, target: 'http://::1:80'"),
		"2:23: route: target is 'http://::1:80': write an IPv6 address in brackets, such "
		"as [2001:db8::1]:8080"),
	REFUSES("a_target_with_bad_ipv6", ROUTE("path: /, target: 'http://[::g]:80'"),
		"2:23: route: target is 'http://[::g]:80': write an IPv6 address in the brackets"),
	REFUSES("a_target_with_an_open_bracket", ROUTE("path: /, target: 'http://[::1'"),
		"2:23: route: target is 'http://[::1': write a closing bracket after the IPv6 "
		"address"),
	REFUSES("a_target_with_text_after_the_bracket", ROUTE("path: /, target: 'http://[::1]80'"),
		"2:23: route: target is 'http://[::1]80': write only a colon and a port after the "
		"bracket"),
	REFUSES("a_target_with_bad_ipv4", ROUTE("path: /, target: http://300.0.0.1"),
		"2:23: route: target is 'http://300.0.0.1': write an IPv4 address of four numbers, "
		"such as 192.0.2.1"),
	REFUSES("a_target_with_an_empty_label", ROUTE("path: /, target: http://a..b"),
		"2:23: route: target is 'http://a..b': write a host name of letters, digits, '-' "
		"and '.'"),
	REFUSES("a_bad_target_among_targets", ROUTE("path: /, targets: [http://a, ftp://b]"),
		"2:35: route: target is 'ftp://b': write http://HOST or http://HOST:PORT"),
	REFUSES("an_unknown_balance", ROUTE("path: /, target: http://a, balance: roundrobin"),
		"2:42: route: balance is 'roundrobin': write round_robin, least_conn, "
		"consistent_hash or random"),
	REFUSES("a_rate_of_0_in_a_route",
		ROUTE("path: /, target: http://a, rate_limit: {requests_per_second: 0}"),
		"2:67: rate_limit: requests_per_second is 0: write a rate of at least 1, or leave "
		"the limit out"),
	REFUSES("an_unknown_key_in_a_route", ROUTE("path: /, taget: http://a"),
		"2:15: route: unknown key 'taget': did you mean 'target'?"),
	REFUSES("a_bad_trusted_proxy", "trusted_proxies: [10.0.0.0/8, proxy]\n",
		"1:31: prefix is 'proxy': write an IPv4 prefix, such as 192.0.2.0/24"),
	REFUSES("host_bits_in_a_trusted_proxy", "trusted_proxies: [10.0.0.1/8]\n",
		"1:19: prefix '10.0.0.1/8' has host bits set: write 10.0.0.0/8"),
};

int main(int argc, char **argv)
{
	return THR_RUN_TESTS(tests, argc, argv);
}
