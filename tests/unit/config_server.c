/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The numbers of the proxy: server, upstream, health and the memory store. What
 * they are by default, in which forms they may be written, what is refused.
 */
#include "support/config.h"
#include "support/refusal.h"

#define HEALTH(fields) "routes:\n  - {path: /, target: http://a, health: {" fields "}}\n"
#define BYTES_32 "/bcdefghijklmnopqrstuvwxyz-01234"
#define BYTES_128 BYTES_32 BYTES_32 BYTES_32 BYTES_32
#define BYTES_512 BYTES_128 BYTES_128 BYTES_128 BYTES_128
#define BYTES_1024 BYTES_512 BYTES_512

/* --- defaults --- */

static void the_server_has_defaults(void **state)
{
	AUTO_CONFIG struct thr_config *config = parse(ROUTE);
	const struct thr_server_config *server = &config->server;

	(void)state;
	assert_null(server->address);
	assert_int_equal(server->port, 8080);
	assert_int_equal(server->workers, 0);
	assert_string_equal(server->user, "nobody");
	assert_false(server->proxy_protocol);
	assert_int_equal(server->max_connections, 65536);
	assert_int_equal(server->header_timeout_ms, 10000);
	assert_int_equal(server->idle_timeout_ms, 60000);
	assert_int_equal(server->body_timeout_ms, 30000);
	assert_int_equal(server->drain_timeout_ms, 30000);
	assert_int_equal(server->max_request_line, 8192);
	assert_int_equal(server->max_header_bytes, 16384);
	assert_int_equal(server->max_headers, 100);
	assert_int_equal(server->max_body_bytes, 0);
}

static void targets_and_the_store_have_defaults(void **state)
{
	AUTO_CONFIG struct thr_config *config =
		parse("server: {}\nupstream: {}\nstore: {memory: {}}\n" ROUTE);
	const struct thr_upstream_config *upstream = &config->upstream;

	(void)state;
	assert_int_equal(upstream->connect_timeout_ms, 2000);
	assert_int_equal(upstream->response_timeout_ms, 60000);
	assert_int_equal(upstream->idle_timeout_ms, 30000);
	assert_int_equal(upstream->keepalive, 128);
	assert_int_equal(upstream->retries, 1);
	assert_int_equal(upstream->max_failures, 3);
	assert_int_equal(upstream->fail_timeout_ms, 10000);
	assert_int_equal(config->store.max_keys, 1000000);
}

static void targets_are_not_checked_unless_the_route_says_so(void **state)
{
	AUTO_CONFIG struct thr_config *config = parse(ROUTE);

	(void)state;
	assert_null(config->routes[0].health.path);
}

static void an_empty_health_section_turns_checks_on(void **state)
{
	AUTO_CONFIG struct thr_config *config = parse(HEALTH());
	const struct thr_health_config *health = &config->routes[0].health;

	(void)state;
	assert_string_equal(health->path, "/");
	assert_int_equal(health->interval_ms, 5000);
	assert_int_equal(health->timeout_ms, 2000);
	assert_int_equal(health->healthy, 2);
	assert_int_equal(health->unhealthy, 3);
}

static void a_check_gives_up_before_the_next_one(void **state)
{
	AUTO_CONFIG struct thr_config *config = parse(HEALTH("interval: 500ms"));

	(void)state;
	assert_int_equal(config->routes[0].health.timeout_ms, 500);
}

static void a_request_line_is_no_longer_than_the_head(void **state)
{
	AUTO_CONFIG struct thr_config *config = parse("server: {max_header_bytes: 4k}\n" ROUTE);

	(void)state;
	assert_int_equal(config->server.max_request_line, 4000);
}

static void the_api_is_present_where_the_file_has_it(void **state)
{
	AUTO_CONFIG struct thr_config *without = parse(ROUTE);
	AUTO_CONFIG struct thr_config *with = parse("api: {}\n" ROUTE);

	(void)state;
	assert_false(without->api.present);
	assert_true(with->api.present);
}

/* --- values --- */

static void the_server_is_read_as_written(void **state)
{
	AUTO_CONFIG struct thr_config *config = parse(
		"server:\n"
		"  {address: 192.0.2.1, port: 80, workers: 256, user: _w-0.x, proxy_protocol: "
		"true,\n"
		"   max_connections: 10M, header_timeout: 1, idle_timeout: 2h, body_timeout: 3m,\n"
		"   drain_timeout: 4ms, max_request_line: 64, max_header_bytes: 63488,\n"
		"   max_headers: 128, max_body_bytes: 10G}\n" ROUTE);
	const struct thr_server_config *server = &config->server;

	(void)state;
	assert_string_equal(server->address, "192.0.2.1");
	assert_int_equal(server->port, 80);
	assert_int_equal(server->workers, 256);
	assert_string_equal(server->user, "_w-0.x");
	assert_true(server->proxy_protocol);
	assert_int_equal(server->max_connections, 10000000);
	assert_int_equal(server->header_timeout_ms, 1000);
	assert_int_equal(server->idle_timeout_ms, 7200000);
	assert_int_equal(server->body_timeout_ms, 180000);
	assert_int_equal(server->drain_timeout_ms, 4);
	assert_int_equal(server->max_request_line, 64);
	assert_int_equal(server->max_header_bytes, 63488);
	assert_int_equal(server->max_headers, 128);
	assert_int_equal(server->max_body_bytes, 10000000000);
}

static void targets_and_the_store_are_read_as_written(void **state)
{
	AUTO_CONFIG struct thr_config *config =
		parse("upstream:\n"
		      "  {connect_timeout: 1ms, response_timeout: 24h, idle_timeout: '5s', "
		      "keepalive: 0,\n"
		      "   retries: 7, max_failures: 0, fail_timeout: \"6\"}\n"
		      "store: {memory: {max_keys: 4294967296}}\n" ROUTE);
	const struct thr_upstream_config *upstream = &config->upstream;

	(void)state;
	assert_int_equal(upstream->connect_timeout_ms, 1);
	assert_int_equal(upstream->response_timeout_ms, 86400000);
	assert_int_equal(upstream->idle_timeout_ms, 5000);
	assert_int_equal(upstream->keepalive, 0);
	assert_int_equal(upstream->retries, 7);
	assert_int_equal(upstream->max_failures, 0);
	assert_int_equal(upstream->fail_timeout_ms, 6000);
	assert_int_equal(config->store.max_keys, 4294967296);
}

static void health_is_read_as_written(void **state)
{
	AUTO_CONFIG struct thr_config *config =
		parse(HEALTH("path: '/up//?full=1', interval: 3s, timeout: 3000ms, healthy: 1, "
			     "unhealthy: 1000"));
	const struct thr_health_config *health = &config->routes[0].health;

	(void)state;
	assert_string_equal(health->path, "/up//?full=1");
	assert_int_equal(health->interval_ms, 3000);
	assert_int_equal(health->timeout_ms, 3000);
	assert_int_equal(health->healthy, 1);
	assert_int_equal(health->unhealthy, 1000);
}

static void an_address_is_of_either_family(void **state)
{
	AUTO_CONFIG struct thr_config *any = parse("server:\n  address: '::'\n" ROUTE);
	AUTO_CONFIG struct thr_config *v6 = parse("server:\n  address: 2001:db8::1\n" ROUTE);
	AUTO_CONFIG struct thr_config *v4 = parse("server:\n  address: 0.0.0.0\n" ROUTE);

	(void)state;
	assert_string_equal(any->server.address, "::");
	assert_string_equal(v6->server.address, "2001:db8::1");
	assert_string_equal(v4->server.address, "0.0.0.0");
}

static void a_path_may_have_1024_bytes(void **state)
{
	AUTO_CONFIG struct thr_config *config =
		parse("routes: [{path: '" BYTES_1024 "', target: http://a}]\n");

	(void)state;
	assert_int_equal(strlen(config->routes[0].path), 1024);
}

static void the_api_may_have_the_port_on_another_address(void **state)
{
	static const char *const files[] = {
		"server: {address: 192.0.2.1}\napi: {listen: '127.0.0.1:8080'}\n" ROUTE,
		"server: {address: 192.0.2.1}\napi: {listen: '[::1]:8080'}\n" ROUTE,
		"server: {address: 0.0.0.0}\napi: {listen: '[::1]:8080'}\n" ROUTE,
		"server: {address: '::1'}\napi: {listen: '0.0.0.0:8080', token_file: /t}\n" ROUTE,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		AUTO_CONFIG struct thr_config *config = parse(files[i]);

		assert_int_equal(config->server.port, 8080);
	}
}

static void a_file_without_the_api_may_have_its_port(void **state)
{
	AUTO_CONFIG struct thr_config *config = parse("server: {port: 8081}\n" ROUTE);

	(void)state;
	assert_int_equal(config->server.port, 8081);
}

#define PORT_CLASH "server.port and api.listen are both on port 8080: write two different ports"

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(the_server_has_defaults),
	cmocka_unit_test(targets_and_the_store_have_defaults),
	cmocka_unit_test(targets_are_not_checked_unless_the_route_says_so),
	cmocka_unit_test(an_empty_health_section_turns_checks_on),
	cmocka_unit_test(a_check_gives_up_before_the_next_one),
	cmocka_unit_test(a_request_line_is_no_longer_than_the_head),
	cmocka_unit_test(the_api_is_present_where_the_file_has_it),
	cmocka_unit_test(the_server_is_read_as_written),
	cmocka_unit_test(targets_and_the_store_are_read_as_written),
	cmocka_unit_test(health_is_read_as_written),
	cmocka_unit_test(an_address_is_of_either_family),
	cmocka_unit_test(a_path_may_have_1024_bytes),
	cmocka_unit_test(the_api_may_have_the_port_on_another_address),
	cmocka_unit_test(a_file_without_the_api_may_have_its_port),

	REFUSES("an_address_with_a_port", "server: {address: '127.0.0.1:80'}\n",
		"1:19: server: address is '127.0.0.1:80': write an IPv4 or IPv6 address without "
		"brackets and port, such as 127.0.0.1 or ::1"),
	REFUSES("an_address_in_brackets", "server: {address: '[::1]'}\n",
		"1:19: server: address is '[::1]': write an IPv4 or IPv6 address without brackets "
		"and port, such as 127.0.0.1 or ::1"),
	REFUSES("a_name_as_the_address", "server: {address: localhost}\n",
		"1:19: server: address is 'localhost': write an IPv4 or IPv6 address without "
		"brackets and port, such as 127.0.0.1 or ::1"),
	REFUSES("a_mapped_address", "server: {address: '::ffff:192.0.2.1'}\n",
		"1:19: server: address is '::ffff:192.0.2.1': write an IPv4 address in its own "
		"form, not mapped to IPv6"),
	REFUSES("the_address_of_the_api",
		"server: {address: 127.0.0.1}\n"
		"api: {listen: '127.0.0.1:8080'}\n" ROUTE,
		"2:15: " PORT_CLASH),
	REFUSES("an_address_among_all_of_the_api",
		"server: {address: 127.0.0.1}\n"
		"api: {listen: '0.0.0.0:8080', token_file: /t}\n" ROUTE,
		"2:15: " PORT_CLASH),
	REFUSES("every_address_with_one_of_the_api",
		"server: {address: '::'}\n"
		"api: {listen: '127.0.0.1:8080'}\n" ROUTE,
		"2:15: " PORT_CLASH),
	REFUSES("the_default_port_of_the_api",
		"server: {port: 8081}\n"
		"api: {}\n" ROUTE,
		"1:16: server.port and api.listen are both on port 8081: write two different "
		"ports"),
	REFUSES("no_workers", "server: {workers: 0}\n",
		"1:19: server: workers is '0': write a whole number from 1 to 256"),
	REFUSES("257_workers", "server: {workers: 257}\n",
		"1:19: server: workers is '257': write a whole number from 1 to 256"),
	REFUSES("a_user_with_a_space", "server: {user: www data}\n",
		"1:16: server: user is 'www data': write the name of a user, of letters, digits, "
		"'-', '_' and '.'"),
	REFUSES("an_empty_user", "server: {user: ''}\n",
		"1:10: server: user is empty: write a value, or leave it out"),
	REFUSES("a_wrong_proxy_protocol", "server: {proxy_protocol: v2}\n",
		"1:26: server: proxy_protocol is 'v2': write true or false"),
	REFUSES("no_connections", "server: {max_connections: 0}\n",
		"1:27: server: max_connections is 0: write at least 1, or leave it out"),
	REFUSES("too_many_connections", "server: {max_connections: 11M}\n",
		"1:27: server: max_connections is '11M': write at most 10000000"),
	REFUSES("a_timeout_of_0", "server: {header_timeout: 0}\n",
		"1:26: server: header_timeout is '0': write a duration from 1ms to 24h, such as "
		"500ms, 10s or 5m"),
	REFUSES("a_timeout_past_a_day", "server: {idle_timeout: 25h}\n",
		"1:24: server: idle_timeout is '25h': write a duration from 1ms to 24h, such as "
		"500ms, 10s or 5m"),
	REFUSES("a_timeout_that_is_a_fraction", "server: {body_timeout: 0.5}\n",
		"1:24: server: body_timeout is '0.5': write a duration from 1ms to 24h, such as "
		"500ms, 10s or 5m"),
	REFUSES("a_timeout_of_another_unit", "server: {drain_timeout: 1d}\n",
		"1:25: server: drain_timeout is '1d': write a duration from 1ms to 24h, such as "
		"500ms, 10s or 5m"),
	REFUSES("a_request_line_that_holds_nothing", "server: {max_request_line: 63}\n",
		"1:28: server: max_request_line is '63': write at least 64"),
	REFUSES("a_request_line_past_the_buffer", "server: {max_request_line: 64k}\n",
		"1:28: server: max_request_line is '64k': write at most 63488"),
	REFUSES("a_request_line_past_the_head",
		"server: {max_request_line: 5k, max_header_bytes: 4k}\n",
		"1:28: server: max_request_line of 5000 is above max_header_bytes of 4000, of "
		"which it is a part: write at most that"),
	REFUSES("a_small_head", "server: {max_header_bytes: 1k}\n",
		"1:28: server: max_header_bytes is '1k': write at least 1024"),
	REFUSES("a_head_of_0", "server: {max_header_bytes: 0}\n",
		"1:28: server: max_header_bytes is '0': write at least 1024"),
	REFUSES("a_head_past_the_buffer", "server: {max_header_bytes: 63489}\n",
		"1:28: server: max_header_bytes is '63489': write at most 63488"),
	REFUSES("a_size_of_another_unit", "server: {max_header_bytes: 16K}\n",
		"1:28: server: max_header_bytes is '16K': write a whole number, such as 20 or 10k"),
	REFUSES("no_headers", "server: {max_headers: 0}\n",
		"1:23: server: max_headers is '0': write a whole number from 1 to 128"),
	REFUSES("129_headers", "server: {max_headers: 129}\n",
		"1:23: server: max_headers is '129': write a whole number from 1 to 128"),
	REFUSES("a_body_of_0", "server: {max_body_bytes: 0}\n",
		"1:26: server: max_body_bytes is 0: write at least 1, or leave it out"),
	REFUSES("a_body_past_2_to_the_40", "server: {max_body_bytes: 2000G}\n",
		"1:26: server: max_body_bytes is '2000G': write at most 1099511627776"),

	REFUSES("a_connect_timeout_of_0", "upstream: {connect_timeout: 0s}\n",
		"1:29: upstream: connect_timeout is '0s': write a duration from 1ms to 24h, such "
		"as 500ms, 10s or 5m"),
	REFUSES("a_response_timeout_without_a_number", "upstream: {response_timeout: s}\n",
		"1:30: upstream: response_timeout is 's': write a duration from 1ms to 24h, such "
		"as 500ms, 10s or 5m"),
	REFUSES("a_negative_upstream_idle_timeout", "upstream: {idle_timeout: -1s}\n",
		"1:26: upstream: idle_timeout is '-1s': write a duration from 1ms to 24h, such as "
		"500ms, 10s or 5m"),
	REFUSES("a_fail_timeout_of_0", "upstream: {fail_timeout: 0ms}\n",
		"1:26: upstream: fail_timeout is '0ms': write a duration from 1ms to 24h, such as "
		"500ms, 10s or 5m"),
	REFUSES("too_many_idle_connections", "upstream: {keepalive: 65536}\n",
		"1:23: upstream: keepalive is '65536': write a whole number from 0 to 65535"),
	REFUSES("eight_retries", "upstream: {retries: 8}\n",
		"1:21: upstream: retries is '8': write a whole number from 0 to 7"),
	REFUSES("too_many_failures", "upstream: {max_failures: 1001}\n",
		"1:26: upstream: max_failures is '1001': write a whole number from 0 to 1000"),
	REFUSES("an_unknown_key_of_targets", "upstream: {connect_timeuot: 1s}\n",
		"1:12: upstream: unknown key 'connect_timeuot': did you mean 'connect_timeout'?"),

	REFUSES("a_relative_health_path", HEALTH("path: up"),
		"2:48: health: path is 'up': write a path that starts with '/'"),
	REFUSES("a_health_path_with_a_space", HEALTH("path: '/a b'"),
		"2:48: health: path is '/a b': write printable ASCII without spaces, "
		"percent-encode the rest"),
	REFUSES("a_health_path_with_a_fragment", HEALTH("path: '/a#b'"),
		"2:48: health: path is '/a#b': write it without a fragment"),
	REFUSES("a_health_interval_of_0", HEALTH("interval: 0"),
		"2:52: health: interval is '0': write a duration from 1ms to 24h, such as 500ms, "
		"10s or 5m"),
	REFUSES("a_health_timeout_past_the_interval", HEALTH("timeout: 6000ms"),
		"2:51: health: timeout of 6s is above the interval of 5s: write at most that"),
	REFUSES("a_health_timeout_past_its_interval", HEALTH("timeout: 1500ms, interval: 1s"),
		"2:51: health: timeout of 1500ms is above the interval of 1s: write at most that"),
	REFUSES("no_good_answers", HEALTH("healthy: 0"),
		"2:51: health: healthy is '0': write a whole number from 1 to 1000"),
	REFUSES("too_many_bad_answers", HEALTH("unhealthy: 1001"),
		"2:53: health: unhealthy is '1001': write a whole number from 1 to 1000"),
	REFUSES("health_that_is_a_value",
		"routes:\n"
		"  - {path: /, target: http://a, health: true}\n",
		"2:41: route: health is a single value: write keys below it"),
	REFUSES("a_path_of_1025_bytes", "routes: [{path: '" BYTES_1024 "x', target: http://a}]\n",
		"1:17: route: path is '/bcdefghijklmnopqrstuvwxyz-01234/bcdefghijklmnopqrstuvwxyz-"
		"012...': write at most 1024 bytes"),

	REFUSES("no_keys", "store: {memory: {max_keys: 0}}\n",
		"1:28: memory: max_keys is 0: write at least 1, or leave it out"),
	REFUSES("more_keys_than_2_to_the_32", "store: {memory: {max_keys: 5G}}\n",
		"1:28: memory: max_keys is '5G': write at most 4294967296"),
};

int main(int argc, char **argv)
{
	return THR_RUN_TESTS(tests, argc, argv);
}
