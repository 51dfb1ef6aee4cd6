/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a configuration comes to: defaults, and files that are written in
 * unusual but right ways. The shipped files are in config_examples.c; the numbers
 * of the proxy in config_server.c; what is refused in config_syntax.c, config_http.c
 * and config_packet.c; the environment in config_environment.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/config.h"

/* --- defaults --- */

static void what_is_left_out_has_its_default(void **state)
{
	AUTO_CONFIG struct thr_config *config = parse(ROUTE);

	(void)state;
	assert_int_equal(config->server.port, 8080);
	assert_int_equal(config->rate_limit.rate.count, 0);
	assert_int_equal(config->trusted_proxy_count, 0);
	assert_false(config->xdp.present);
	assert_int_equal(config->routes[0].balance, THR_ROUND_ROBIN);
	assert_int_equal(config->routes[0].rate_limit.rate.count, 0);
	assert_int_equal(config->routes[0].targets[0].port, 80);
	assert_string_equal(config->api.listen, "127.0.0.1:8081");
	assert_int_equal(config->store.backend, THR_BACKEND_MEMORY);
	assert_string_equal(config->store.redis.url, "redis://127.0.0.1:6379/0");
	assert_int_equal(config->log_level, THR_LOG_INFO);
	assert_int_equal(config->log_format, THR_LOG_TEXT);
}

static void an_empty_xdp_section_turns_the_packet_layer_on(void **state)
{
	AUTO_CONFIG struct thr_config *config = parse("xdp: {}\n");

	(void)state;
	assert_true(config->xdp.present);
	assert_int_equal(config->xdp.interface_count, 0);
	assert_int_equal(config->xdp.mode, THR_MODE_AUTO);
	assert_int_equal(config->xdp.tables.action, THR_ACTION_ENFORCE);
	assert_false(config->xdp.tables.drop_malformed);
	assert_false(config->xdp.tables.drop_fragments);
	assert_int_equal(config->xdp.tables.v6_source_bits, 64);
}

static void lists_of_tables_may_be_empty(void **state)
{
	AUTO_CONFIG struct thr_config *config =
		parse("xdp: {services: [], sources: []}\ntrusted_proxies: []\n");

	(void)state;
	assert_int_equal(config->xdp.tables.service_count, 0);
	assert_int_equal(config->xdp.tables.source_count, 0);
}

static void a_block_needs_no_limit_of_the_whole_file(void **state)
{
	AUTO_CONFIG struct thr_config *config =
		parse("rate_limit: {block: {refusals_per_minute: 7}}\n"
		      "xdp: {interfaces: [nowhere0]}\n"
		      "routes: [{path: /, target: http://a, rate_limit: {requests_per_second: "
		      "5}}]\n");

	(void)state;
	assert_int_equal(config->rate_limit.rate.count, 0);
	assert_rate(&config->block.refusals, 7, 60, 7);
	assert_rate(&config->routes[0].rate_limit.rate, 5, 1, 5);
}

static void a_burst_is_by_default_one_seconds_worth(void **state)
{
	AUTO_CONFIG struct thr_config *config =
		parse("rate_limit: {requests_per_minute: 90}\n"
		      "xdp:\n"
		      "  per_source: {connections_per_second: 20, packets_per_minute: 61,\n"
		      "               bytes_per_second: 1M}\n" ROUTE);
	const struct thr_rate *kind = config->xdp.tables.per_source.kind;

	(void)state;
	assert_rate(&config->rate_limit.rate, 90, 60, 2);
	assert_rate(&kind[THR_CONNECTIONS], 20, 1, 20);
	assert_rate(&kind[THR_PACKETS], 61, 60, 2);
	assert_rate(&kind[THR_BYTES], 1000000, 1, 1000000);
}

static void a_default_burst_of_bytes_lets_a_frame_pass(void **state)
{
	AUTO_CONFIG struct thr_config *config = parse("xdp: {per_source: {bytes_per_minute: 1}}\n");

	(void)state;
	assert_rate(&config->xdp.tables.per_source.kind[THR_BYTES], 1, 60, 65536);
}

static void burst_is_of_the_only_kind_that_is_limited(void **state)
{
	AUTO_CONFIG struct thr_config *packets =
		parse("xdp: {per_source: {burst: 7, packets_per_second: 5}}\n");
	AUTO_CONFIG struct thr_config *bytes =
		parse("xdp: {per_source: {bytes_per_second: 5, burst: 9k}}\n");

	(void)state;
	assert_rate(&packets->xdp.tables.per_source.kind[THR_PACKETS], 5, 1, 7);
	assert_rate(&packets->xdp.tables.per_source.kind[THR_CONNECTIONS], 0, 0, 0);
	assert_rate(&bytes->xdp.tables.per_source.kind[THR_BYTES], 5, 1, 9000);
}

static void burst_is_of_connections_where_they_are_limited(void **state)
{
	AUTO_CONFIG struct thr_config *config =
		parse("xdp: {per_source: {connections_per_minute: 6, packets_per_second: 5,\n"
		      "                   burst: 3}}\n");

	(void)state;
	assert_rate(&config->xdp.tables.per_source.kind[THR_CONNECTIONS], 6, 60, 3);
	assert_rate(&config->xdp.tables.per_source.kind[THR_PACKETS], 5, 1, 5);
}

/* --- unusual, but right --- */

static void the_same_file_may_be_written_as_json(void **state)
{
	AUTO_CONFIG struct thr_config *config =
		parse("{\"server\": {\"port\": 81}, \"routes\": [{\"path\": \"/\",\n"
		      " \"target\": \"http://a\"}]}");

	(void)state;
	assert_int_equal(config->server.port, 81);
}

static void a_byte_order_mark_and_windows_line_ends_are_read(void **state)
{
	AUTO_CONFIG struct thr_config *config =
		parse("\xef\xbb\xbf%YAML 1.2\r\n---\r\nserver:\r\n  port: 81\r\n" ROUTE "...\r\n");

	(void)state;
	assert_int_equal(config->server.port, 81);
}

static void a_trailing_slash_of_a_path_makes_no_difference(void **state)
{
	AUTO_CONFIG struct thr_config *config =
		parse("routes: [{path: /a/, target: http://a}, {path: /, target: http://a/}]\n");

	(void)state;
	assert_string_equal(config->routes[0].path, "/a");
	assert_string_equal(config->routes[1].path, "/");
}

static void targets_may_be_names_and_addresses(void **state)
{
	AUTO_CONFIG struct thr_config *config = parse(
		"routes:\n"
		"  - path: /\n"
		"    targets: [http://my_app:1, HTTP://example.com., 'http://[2001:db8::1]']\n");
	const struct thr_target *target = config->routes[0].targets;

	(void)state;
	assert_int_equal(config->routes[0].target_count, 3);
	assert_string_equal(target[0].host, "my_app");
	assert_int_equal(target[0].port, 1);
	assert_string_equal(target[1].host, "example.com.");
	assert_string_equal(target[2].host, "2001:db8::1");
	assert_int_equal(target[2].port, 80);
}

static void redis_urls_may_have_a_password_and_tls(void **state)
{
	AUTO_CONFIG struct thr_config *config =
		parse("store:\n"
		      "  backend: redis\n"
		      "  redis: {url: 'rediss://user:p@ss:w@[::1]:6380/12'}\n" ROUTE);

	(void)state;
	assert_int_equal(config->store.backend, THR_BACKEND_REDIS);
	assert_string_equal(config->store.redis.url, "rediss://user:p@ss:w@[::1]:6380/12");
}

static void ports_of_a_service_come_out_ascending(void **state)
{
	AUTO_CONFIG struct thr_config *config =
		parse("xdp: {services: [{name: w, ports: [443, 80, 8080, 1]}]}\n");
	const uint16_t *ports = config->xdp.tables.services[0].ports;

	(void)state;
	for (size_t i = 1; i < config->xdp.tables.services[0].port_count; i++)
		assert_true(ports[i - 1] < ports[i]);
}

static void the_api_may_share_the_port_where_there_is_no_proxy(void **state)
{
	AUTO_CONFIG struct thr_config *config = parse("xdp: {}\napi: {listen: '[::1]:8080'}\n");

	(void)state;
	assert_string_equal(config->api.listen, "[::1]:8080");
}

/* --- as many as there may be --- */

static struct thr_config *parse_many_services(unsigned int count, int expected,
					      struct thr_error *error)
{
	struct thr_config *config = NULL;
	AUTO_FREE char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	assert_non_null(file);
	fprintf(file, "xdp:\n  services:\n");
	for (unsigned int i = 1; i <= count; i++)
		fprintf(file, "    - {name: s%u, ports: [%u]}\n", i, i);
	fclose(file);
	assert_int_equal(thr_config_parse("t.yaml", text, size, NULL, &config, error), expected);
	return config;
}

static void services_are_accepted_up_to_their_number(void **state)
{
	struct thr_error error = {""};
	AUTO_CONFIG struct thr_config *config = parse_many_services(THR_SERVICES_MAX, 0, &error);

	(void)state;
	assert_int_equal(config->xdp.tables.service_count, THR_SERVICES_MAX);
	parse_many_services(THR_SERVICES_MAX + 1, -EINVAL, &error);
	assert_string_equal(error.text, "t.yaml:258:7: xdp: more than 255 services: write fewer");
}

static void a_file_that_cannot_be_read_is_refused_with_the_reason(void **state)
{
	struct thr_config *config = NULL;
	struct thr_error error = {""};

	(void)state;
	assert_int_equal(thr_config_load("/nonexistent.yaml", NULL, &config, &error), -ENOENT);
	assert_string_equal(error.text,
			    "/nonexistent.yaml: cannot be read: No such file or directory");
	assert_int_equal(thr_config_load("/", NULL, &config, &error), -EISDIR);
	assert_null(config);
}

static void a_file_without_end_is_not_read_beyond_its_limit(void **state)
{
	struct thr_config *config = NULL;
	struct thr_error error = {""};

	(void)state;
	assert_int_equal(thr_config_load("/dev/zero", NULL, &config, &error), -EFBIG);
	assert_string_equal(error.text, "/dev/zero: larger than 64 MiB: write a smaller file");
}

static void errors_need_no_place_to_go(void **state)
{
	struct thr_config *config = NULL;

	(void)state;
	assert_int_equal(thr_config_parse("t.yaml", "a: 1", 4, NULL, &config, NULL), -EINVAL);
	assert_int_equal(thr_config_parse("t.yaml", "", SIZE_MAX, NULL, &config, NULL), -EFBIG);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_left_out_has_its_default),
		cmocka_unit_test(an_empty_xdp_section_turns_the_packet_layer_on),
		cmocka_unit_test(lists_of_tables_may_be_empty),
		cmocka_unit_test(a_block_needs_no_limit_of_the_whole_file),
		cmocka_unit_test(a_burst_is_by_default_one_seconds_worth),
		cmocka_unit_test(a_default_burst_of_bytes_lets_a_frame_pass),
		cmocka_unit_test(burst_is_of_the_only_kind_that_is_limited),
		cmocka_unit_test(burst_is_of_connections_where_they_are_limited),
		cmocka_unit_test(the_same_file_may_be_written_as_json),
		cmocka_unit_test(a_byte_order_mark_and_windows_line_ends_are_read),
		cmocka_unit_test(a_trailing_slash_of_a_path_makes_no_difference),
		cmocka_unit_test(targets_may_be_names_and_addresses),
		cmocka_unit_test(redis_urls_may_have_a_password_and_tls),
		cmocka_unit_test(ports_of_a_service_come_out_ascending),
		cmocka_unit_test(the_api_may_share_the_port_where_there_is_no_proxy),
		cmocka_unit_test(services_are_accepted_up_to_their_number),
		cmocka_unit_test(a_file_that_cannot_be_read_is_refused_with_the_reason),
		cmocka_unit_test(a_file_without_end_is_not_read_beyond_its_limit),
		cmocka_unit_test(errors_need_no_place_to_go),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
