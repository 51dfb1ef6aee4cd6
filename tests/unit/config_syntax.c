/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The form of a configuration: YAML, keys and types of values; what is not right is
 * refused with its place.
 */
#include "support/refusal.h"

static const struct CMUnitTest tests[] = {
	REFUSES("a_file_that_asks_for_nothing", "server: {port: 80}\n",
		"1:1: nothing to do: write routes for the proxy, xdp for the packet layer or api "
		"for checks"),
	REFUSES("an_empty_file", "",
		"1:1: nothing to do: write routes for the proxy, xdp for the packet layer or api "
		"for checks"),
	REFUSES("a_file_of_comments", "# nothing\n",
		"1:1: nothing to do: write routes for the proxy, xdp for the packet layer or api "
		"for checks"),
	REFUSES("a_file_that_is_a_list", "- 1\n",
		"1:1: the file is a list: write keys such as routes and xdp"),
	REFUSES("a_file_that_is_a_word", "routes\n",
		"1:1: the file is a single value: write keys such as routes and xdp"),
	REFUSES("a_section_that_is_empty",
		"server:\n"
		"routes: [{path: /, target: http://a}]\n",
		"1:1: server is empty: write keys below it, or leave it out"),
	REFUSES("a_section_that_is_a_value",
		"server: 80\n"
		"routes: [{path: /, target: http://a}]\n",
		"1:9: server is a single value: write keys below it"),
	REFUSES("a_section_that_is_a_list",
		"server: [80]\n"
		"routes: [{path: /, target: http://a}]\n",
		"1:9: server is a list: write keys below it"),
	REFUSES("a_list_that_is_a_value",
		"trusted_proxies: 10.0.0.0/8\n"
		"routes: [{path: /, target: http://a}]\n",
		"1:18: trusted_proxies is a single value: write a list"),
	REFUSES("a_value_that_is_a_list",
		"server: {port: [80]}\n"
		"routes: [{path: /, target: http://a}]\n",
		"1:16: server: port is a list: write a value"),
	REFUSES("an_unknown_root_key",
		"serverr: {}\n"
		"routes: [{path: /, target: http://a}]\n",
		"1:1: unknown key 'serverr': did you mean 'server'?"),
	REFUSES("an_unknown_key_with_nothing_near",
		"log:\n"
		"  colour: red\n",
		"2:3: log: unknown key 'colour': write one of: level, format"),
	REFUSES("a_key_that_belongs_to_another_section", "xdp: {new_sources: {per_second: 5}}\n",
		"1:7: xdp: unknown key 'new_sources': write it as xdp.services[].new_sources, or "
		"here one of: interfaces, mode, action, malformed, fragments, ipv6_source_prefix, "
		"tables, per_source, services, sources"),
	REFUSES("a_key_that_belongs_to_several_other_sections", "log: {on_error: deny}\n",
		"1:7: log: unknown key 'on_error': write it as rate_limit.on_error, "
		"routes[].rate_limit.on_error or store.on_error, or here one of: level, format"),
	REFUSES("a_key_that_belongs_to_no_section", "log: {trusted_proxies: []}\n",
		"1:7: log: unknown key 'trusted_proxies': write it as trusted_proxies at the top "
		"level, or here one of: level, format"),
	REFUSES("a_key_that_belongs_to_many_sections", "log: {burst: 5}\n",
		"1:7: log: unknown key 'burst': write one of: level, format"),
	REFUSES("a_key_of_another_section_near_one_of_its_own",
		"xdp: {services: [{name: a, port: 80}]}\n",
		"1:28: service: unknown key 'port': did you mean 'ports'?"),
	REFUSES("an_unknown_key_near_another",
		"server:\n"
		"  prot: 80\n",
		"2:3: server: unknown key 'prot': did you mean 'port'?"),
	REFUSES("a_merge_key",
		"<<: {}\n"
		"routes: [{path: /, target: http://a}]\n",
		"1:1: unknown key '<<': write one of: server, upstream, rate_limit, routes, "
		"trusted_proxies, xdp, api, store, log"),
	REFUSES("a_duplicate_key",
		"server:\n"
		"  port: 80\n"
		"  port: 81\n",
		"3:3: server: port is given on line 2 already: write it once"),
	REFUSES("a_duplicate_section",
		"server: {port: 80}\n"
		"server: {port: 81}\n",
		"2:1: server is given on line 1 already: write it once"),

	REFUSES("an_alias",
		"routes: &a []\n"
		"xdp: *a\n",
		"1:9: anchor 'a': write the value out wherever it is needed"),
	REFUSES("an_anchor", "server: &s {port: 80}\n",
		"1:9: anchor 's': write the value out wherever it is needed"),
	REFUSES("an_alias_without_anchor", "server: *s\n", "1:9: alias 's': write the value out"),
	REFUSES("a_tag", "server: {port: !!int 80}\n",
		"1:16: tag 'tag:yaml.org,2002:int': write the value without it"),
	REFUSES("a_tag_on_a_list", "routes: !x []\n", "1:9: tag '!x': write the value without it"),
	REFUSES("a_second_document",
		"routes: [{path: /, target: http://a}]\n"
		"---\n"
		"server: {port: 80}\n",
		"2:1: a second document: write one only"),
	REFUSES("a_key_that_is_a_list",
		"? [a]\n"
		": b\n",
		"1:3: a key that is a mapping or a list: write plain text"),
	REFUSES("a_tab_as_indentation",
		"server:\n"
		"\tport: 80\n",
		"2:1: a tab: indent with spaces"),
	REFUSES("an_open_bracket", "server: {port: 80\n",
		"2:1: not YAML: did not find expected ',' or '}' while parsing a flow mapping"),
	REFUSES("bad_indentation",
		"server:\n"
		"  port: 80\n"
		" log: {}\n",
		"3:2: not YAML: did not find expected key while parsing a block mapping"),
	REFUSES("bytes_that_are_not_utf8",
		"server:\n"
		"  port: \377\n",
		"2:9: not printable UTF-8 text: invalid leading UTF-8 octet"),
	REFUSES("utf16", "\377\376s\000",
		"1:1: not printable UTF-8 text: invalid leading UTF-8 octet"),
	REFUSES("a_control_character",
		"server:\n"
		"  port: \001\n",
		"2:9: not printable UTF-8 text: control characters are not allowed"),
	REFUSES("a_nul_in_a_scalar", "log: {level: \"in\\0fo\"}\n",
		"1:14: a value with a NUL character in it: write printable text"),
	REFUSES("deep_nesting", "[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]\n",
		"1:17: nested deeper than 16 levels"),

	REFUSES("a_port_of_0", "server: {port: 0}\n",
		"1:16: server: port is '0': write a whole number from 1 to 65535"),
	REFUSES("a_port_past_65535", "server: {port: 65536}\n",
		"1:16: server: port is '65536': write a whole number from 1 to 65535"),
	REFUSES("a_port_with_a_suffix", "server: {port: 8k}\n",
		"1:16: server: port is '8k': write a whole number from 1 to 65535"),
	REFUSES("a_negative_port", "server: {port: -1}\n",
		"1:16: server: port is '-1': write a whole number from 1 to 65535"),
	REFUSES("an_octal_port", "server: {port: 080}\n",
		"1:16: server: port is '080': write a whole number from 1 to 65535"),
	REFUSES("a_quoted_port", "server: {port: \"80\"}\n",
		"1:16: server: port is the text '80': write it without quotes"),
	REFUSES("an_empty_value", "server: {port: }\n",
		"1:10: server: port is empty: write a value, or leave it out"),
	REFUSES("a_long_number", "server: {port: 99999999999999999999999}\n",
		"1:16: server: port is '99999999999999999999999': write a whole number from 1 to "
		"65535"),
	REFUSES("an_unknown_word", "log: {level: verbose}\n",
		"1:14: log: level is 'verbose': write debug, info, warning or error"),
	REFUSES("a_wrong_log_format", "log: {format: xml}\n",
		"1:15: log: format is 'xml': write text or json"),
	REFUSES("a_wrong_backend", "store: {backend: disk}\n",
		"1:18: store: backend is 'disk': write memory or redis"),
	REFUSES("a_wrong_boolean",
		"xdp:\n"
		"  sources:\n"
		"    - {prefix: 10.0.0.0/8, connections_per_second: 1, shared: yes}\n",
		"3:63: source: shared is 'yes': write true or false"),
	REFUSES("a_quoted_boolean",
		"xdp:\n"
		"  sources:\n"
		"    - {prefix: 10.0.0.0/8, connections_per_second: 1, shared: 'true'}\n",
		"3:63: source: shared is the text 'true': write it without quotes"),
	REFUSES("line_breaks_in_a_value", "log: {level: \"a\\nb\"}\n",
		"1:14: log: level is 'a?b': write debug, info, warning or error"),
};

int main(int argc, char **argv)
{
	return THR_RUN_TESTS(tests, argc, argv);
}
