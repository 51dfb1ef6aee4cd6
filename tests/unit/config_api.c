/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The section of the check API: what it is by default, in which forms it may be
 * written, what is refused.
 */
#include "store/quotas.h"
#include "support/config.h"
#include "support/refusal.h"

#define DEFAULT(fields) "api: {default: {" fields "}}\n"
#define BYTES_36 "/bcdefghijklmnopqrstuvwxyz-012345678"
#define BYTES_108 BYTES_36 BYTES_36 BYTES_36

/* --- defaults --- */

static void an_empty_section_serves_this_machine(void **state)
{
	AUTO_CONFIG struct thr_config *config = parse("api: {}\n");
	const struct thr_api_config *api = &config->api;

	(void)state;
	assert_true(api->present);
	assert_string_equal(api->listen, "127.0.0.1:8081");
	assert_string_equal(api->address, "127.0.0.1");
	assert_int_equal(api->port, 8081);
	assert_null(api->token_file);
	assert_rate(&api->rate_limit, 0, 0, 0);
	assert_int_equal(api->max_configs, 10000);
	assert_int_equal(api->default_capacity, 100);
	assert_true(api->default_refill_per_s == 10);
}

static void a_file_without_the_section_serves_none(void **state)
{
	AUTO_CONFIG struct thr_config *config = parse(ROUTE);

	(void)state;
	assert_false(config->api.present);
	assert_string_equal(config->api.listen, "127.0.0.1:8081");
	assert_string_equal(config->api.address, "127.0.0.1");
	assert_int_equal(config->api.port, 8081);
}

static void other_machines_are_limited(void **state)
{
	AUTO_CONFIG struct thr_config *config =
		parse("api: {listen: '0.0.0.0:8081', token_file: /etc/token}\n");

	(void)state;
	assert_rate(&config->api.rate_limit, 10000, 1, 20000);
}

/* --- values --- */

static void the_section_is_read_as_written(void **state)
{
	AUTO_CONFIG struct thr_config *config =
		parse("api:\n"
		      "  listen: '[2001:db8::1]:1'\n"
		      "  token_file: /run/credentials/token\n"
		      "  rate_limit: {requests_per_minute: 600, burst: 20}\n"
		      "  max_configs: 1M\n"
		      "  default: {capacity: 5k, refill_per_second: 0.25}\n");
	const struct thr_api_config *api = &config->api;

	(void)state;
	assert_string_equal(api->address, "2001:db8::1");
	assert_int_equal(api->port, 1);
	assert_string_equal(api->token_file, "/run/credentials/token");
	assert_rate(&api->rate_limit, 600, 60, 20);
	assert_int_equal(api->max_configs, 1000000);
	assert_int_equal(api->default_capacity, 5000);
	assert_true(api->default_refill_per_s == 0.25);
}

static void addresses_of_this_machine_need_no_token(void **state)
{
	static const char *const files[] = {
		"api: {listen: '127.0.0.1:1'}\n",
		"api: {listen: '127.255.255.254:65535'}\n",
		"api: {listen: '[::1]:8081'}\n",
		"api: {listen: '[0:0::1]:8081'}\n",
		"api: {listen: /run/xdp-throttle/api.sock}\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		AUTO_CONFIG struct thr_config *config = parse(files[i]);

		assert_null(config->api.token_file);
		assert_int_equal(config->api.rate_limit.count, 0);
	}
}

static void a_path_is_a_unix_socket(void **state)
{
	AUTO_CONFIG struct thr_config *config = parse("api: {listen: '/run/a b:80'}\n");

	(void)state;
	assert_string_equal(config->api.listen, "/run/a b:80");
	assert_null(config->api.address);
	assert_int_equal(config->api.port, 0);
}

static void the_proxy_may_have_the_port_beside_a_unix_socket(void **state)
{
	AUTO_CONFIG struct thr_config *config =
		parse("api: {listen: /run/api.sock}\nserver: {port: 8081}\n" ROUTE);

	(void)state;
	assert_int_equal(config->server.port, 8081);
}

static void a_limit_of_requests_holds_for_this_machine_too(void **state)
{
	AUTO_CONFIG struct thr_config *config =
		parse("api: {listen: /run/api.sock, rate_limit: {requests_per_second: 5}}\n");

	(void)state;
	assert_rate(&config->api.rate_limit, 5, 1, 5);
}

/* At the edges of what a bucket keeps. */
static void what_is_a_default_makes_a_quota(void **state)
{
	static const char *const files[] = {
		DEFAULT("capacity: 1, refill_per_second: 0.0001"),
		DEFAULT("capacity: 3k, refill_per_second: 0.0001"),
		DEFAULT("capacity: 1099511627776, refill_per_second: 999999999999999"),
		DEFAULT("capacity: 1M, refill_per_second: 100000000000000"),
		DEFAULT("refill_per_second: 3.14159265358979"),
		DEFAULT("capacity: 1"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		AUTO_CONFIG struct thr_config *config = parse(files[i]);
		struct thr_quota quota;
		const char *why;

		assert_int_equal(thr_quota_make(config->api.default_capacity,
						config->api.default_refill_per_s,
						THR_ON_ERROR_LOCAL, &quota, &why),
				 0);
	}
}

/* One rule for what the file says and for what is set through the API. */
static void what_is_no_default_makes_no_quota(void **state)
{
	static const struct {
		uint64_t capacity;
		double refill_per_s;
		const char *why;
	} cases[] = {
		{0, 1, "capacity"},	 {THR_COUNT_MAX + 1, 1e9, "capacity"},
		{1, 0, "over 0"},	 {1, -1, "over 0"},
		{1, 0.00009, "0.0001"},	 {1, 1e-300, "0.0001"},
		{1000000000, 10, "416"}, {1, 1e14, "1/16 ns"},
		{1, 1e300, "1e15"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct thr_quota quota;
		const char *why = "";

		assert_int_equal(thr_quota_make(cases[i].capacity, cases[i].refill_per_s,
						THR_ON_ERROR_LOCAL, &quota, &why),
				 -ERANGE);
		assert_non_null(strstr(why, cases[i].why));
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(an_empty_section_serves_this_machine),
	cmocka_unit_test(a_file_without_the_section_serves_none),
	cmocka_unit_test(other_machines_are_limited),
	cmocka_unit_test(the_section_is_read_as_written),
	cmocka_unit_test(addresses_of_this_machine_need_no_token),
	cmocka_unit_test(a_path_is_a_unix_socket),
	cmocka_unit_test(the_proxy_may_have_the_port_beside_a_unix_socket),
	cmocka_unit_test(a_limit_of_requests_holds_for_this_machine_too),
	cmocka_unit_test(what_is_a_default_makes_a_quota),
	cmocka_unit_test(what_is_no_default_makes_no_quota),

	REFUSES("a_refill_by_the_minute", DEFAULT("refill_per_minute: 600"),
		"1:17: default: unknown key 'refill_per_minute': write refill_per_second: divide "
		"by 60"),
	REFUSES("a_refill_by_the_hour", DEFAULT("refill_per_hour: 600"),
		"1:17: default: unknown key 'refill_per_hour': write refill_per_second: divide by "
		"3600"),
	REFUSES("a_listen_without_a_port", "api: {listen: 127.0.0.1}\n",
		"1:15: api: listen is '127.0.0.1': write ADDRESS:PORT, such as 127.0.0.1:8081 or "
		"[::1]:8081, or the path of a Unix socket"),
	REFUSES("a_listen_on_a_name", "api: {listen: 'localhost:80'}\n",
		"1:15: api: listen is 'localhost:80': write ADDRESS:PORT, such as 127.0.0.1:8081 "
		"or [::1]:8081, or the path of a Unix socket"),
	REFUSES("a_listen_on_a_relative_path", "api: {listen: run/api.sock}\n",
		"1:15: api: listen is 'run/api.sock': write a host name of letters, digits, '-' "
		"and '.'"),
	REFUSES("a_path_with_a_scheme", "api: {listen: 'unix:/run/api.sock'}\n",
		"1:15: api: listen is 'unix:/run/api.sock': write the path of the socket alone, "
		"such as /run/xdp-throttle/api.sock"),
	REFUSES("a_listen_on_bare_ipv6", "api: {listen: '::1:80'}\n",
		"1:15: api: listen is '::1:80': write an IPv6 address in brackets, such as "
		"[2001:db8::1]:8080"),
	REFUSES("a_listen_on_a_mapped_address", "api: {listen: '[::ffff:127.0.0.1]:80'}\n",
		"1:15: api: listen is '[::ffff:127.0.0.1]:80': write an IPv4 address in its own "
		"form, not mapped to IPv6"),
	REFUSES("a_listen_on_the_port_of_the_proxy",
		"api: {listen: '127.0.0.1:8080'}\n"
		"routes: [{path: /, target: http://a}]\n",
		"1:15: server.port and api.listen are both on port 8080: write two different "
		"ports"),
	REFUSES("a_socket_at_a_directory", "api: {listen: /run/}\n",
		"1:15: api: listen is '/run/': write the path of a socket, not of a directory"),
	REFUSES("a_socket_at_a_path_of_108_bytes", "api: {listen: '" BYTES_108 "'}\n",
		"1:15: api: listen is '/bcdefghijklmnopqrstuvwxyz-012345678"
		"/bcdefghijklmnopqrstuvwxyz...': write a path of at most 107 bytes, which is all "
		"that a socket can have"),
	REFUSES("a_socket_at_a_path_with_a_newline", "api: {listen: \"/a\\nb\"}\n",
		"1:15: api: listen is '/a?b': write a path without control characters"),
	REFUSES("other_machines_without_a_token", "api: {listen: '0.0.0.0:8081'}\n",
		"1:15: api: listen is '0.0.0.0:8081', which other machines reach: write "
		"token_file too, or listen on 127.0.0.1:8081"),
	REFUSES("other_machines_by_ipv6_without_a_token",
		"api:\n"
		"  max_configs: 5\n"
		"  listen: '[::]:8081'\n",
		"3:11: api: listen is '[::]:8081', which other machines reach: write token_file "
		"too, or listen on 127.0.0.1:8081"),
	REFUSES("a_port_alone", "api: {listen: 18081}\n",
		"1:15: api: listen is '18081': write ADDRESS:PORT, such as 127.0.0.1:8081 or "
		"[::1]:8081, or the path of a Unix socket"),
	REFUSES("a_port_after_a_colon", "api: {listen: ':18081'}\n",
		"1:15: api: listen is ':18081': write ADDRESS:PORT, such as 127.0.0.1:8081 or "
		"[::1]:8081, or the path of a Unix socket"),
	REFUSES("a_token_in_a_relative_file", "api: {token_file: token}\n",
		"1:19: api: token_file is 'token': write the absolute path of a file"),
	REFUSES("a_token_in_a_directory", "api: {token_file: /etc/}\n",
		"1:19: api: token_file is '/etc/': write the absolute path of a file"),
	REFUSES("a_limit_of_the_api_without_a_rate", "api: {rate_limit: {burst: 5}}\n",
		"1:7: rate_limit: no rate: write requests_per_second or requests_per_minute"),
	REFUSES("on_error_of_the_apis_own_limit",
		"api: {rate_limit: {requests_per_second: 5, on_error: deny}}\n",
		"1:44: rate_limit: unknown key 'on_error': write it as rate_limit.on_error, "
		"routes[].rate_limit.on_error or store.on_error, or here one of: "
		"requests_per_second, "
		"requests_per_minute, burst"),
	REFUSES("no_configs", "api: {max_configs: 0}\n",
		"1:20: api: max_configs is 0: write at least 1, or leave it out"),
	REFUSES("more_configs_than_a_million", "api: {max_configs: 2M}\n",
		"1:20: api: max_configs is '2M': write at most 1000000"),

	REFUSES("a_refill_of_0", DEFAULT("refill_per_second: 0.0"),
		"1:36: default: refill_per_second is '0.0': write a number over 0 of at most 15 "
		"digits, such as 10 or 0.5"),
	REFUSES("a_refill_with_an_exponent", DEFAULT("refill_per_second: 1e3"),
		"1:36: default: refill_per_second is '1e3': write a number over 0 of at most 15 "
		"digits, such as 10 or 0.5"),
	REFUSES("a_refill_of_16_digits", DEFAULT("refill_per_second: 1234567.123456789"),
		"1:36: default: refill_per_second is '1234567.123456789': write a number over 0 "
		"of at most 15 digits, such as 10 or 0.5"),
	REFUSES("a_refill_that_is_a_text", DEFAULT("refill_per_second: '10'"),
		"1:36: default: refill_per_second is the text '10': write it without quotes"),
	REFUSES("a_refill_slower_than_a_bucket_keeps", DEFAULT("refill_per_second: 0.00009"),
		"1:36: default: refill_per_second is '0.00009': write at least 0.0001"),
	REFUSES("a_capacity_of_0", DEFAULT("capacity: 0"),
		"1:27: default: capacity is 0: write at least 1, or leave it out"),
	REFUSES("a_capacity_that_takes_years", DEFAULT("capacity: 1G"),
		"1:27: default: capacity of 1000000000 would take over 416 days to come back: "
		"write a smaller one"),
	REFUSES("a_capacity_within_a_tick",
		DEFAULT("refill_per_second: 100000000000000, capacity: 1"),
		"1:63: default: capacity of 1 is less than a bucket can measure at this "
		"refill_per_second: write one second's worth or more"),
	REFUSES("an_unknown_key_of_the_default", DEFAULT("capacty: 1"),
		"1:17: default: unknown key 'capacty': did you mean 'capacity'?"),
};

int main(int argc, char **argv)
{
	return THR_RUN_TESTS(tests, argc, argv);
}
