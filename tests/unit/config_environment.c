/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Settings from the environment: what they set, what they replace, and what is
 * refused by the name of the variable. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/schema.h"
#include "support/config.h"

#define REDIS_PASSWORD "store: {redis: {url: 'redis://:secret@h'}}\n"

/* A right configuration of a file and the variables after it, NULL-terminated. */
#define PARSE(text, ...) parse_beside((char *[]){__VA_ARGS__, NULL}, text)

static void a_variable_sets_what_the_file_leaves_out(void **state)
{
	AUTO_CONFIG struct thr_config *config =
		PARSE(ROUTE, "XDP_THROTTLE_SERVER_PORT=9000",
		      "XDP_THROTTLE_STORE_REDIS_URL=rediss://h", "XDP_THROTTLE_LOG_LEVEL=debug");

	(void)state;
	assert_int_equal(config->server.port, 9000);
	assert_string_equal(config->store.redis.url, "rediss://h");
	assert_int_equal(config->log_level, THR_LOG_DEBUG);
}

static void a_variable_is_of_the_same_types_as_the_file(void **state)
{
	AUTO_CONFIG struct thr_config *config =
		PARSE("server: {idle_timeout: 5s}\n" ROUTE, "XDP_THROTTLE_SERVER_IDLE_TIMEOUT=90",
		      "XDP_THROTTLE_SERVER_MAX_BODY_BYTES=2M", "XDP_THROTTLE_UPSTREAM_RETRIES=3",
		      "XDP_THROTTLE_STORE_MEMORY_MAX_KEYS=10k");

	(void)state;
	assert_int_equal(config->server.idle_timeout_ms, 90000);
	assert_int_equal(config->server.max_body_bytes, 2000000);
	assert_int_equal(config->upstream.retries, 3);
	assert_int_equal(config->store.max_keys, 10000);
}

static void a_variable_replaces_what_the_file_says(void **state)
{
	AUTO_CONFIG struct thr_config *config =
		PARSE("server: {port: nonsense}\n" ROUTE, "XDP_THROTTLE_SERVER_PORT=9000");

	(void)state;
	assert_int_equal(config->server.port, 9000);
}

static void a_variable_makes_the_sections_that_it_needs(void **state)
{
	AUTO_CONFIG struct thr_config *config =
		PARSE("", "XDP_THROTTLE_XDP_PER_SOURCE_CONNECTIONS_PER_SECOND=30",
		      "XDP_THROTTLE_XDP_PER_SOURCE_BURST=1k", "XDP_THROTTLE_XDP_ACTION=monitor");

	(void)state;
	assert_true(config->xdp.present);
	assert_int_equal(config->xdp.tables.action, THR_ACTION_MONITOR);
	assert_rate(&config->xdp.tables.per_source.kind[THR_CONNECTIONS], 30, 1, 1000);
}

static void a_size_of_a_table_is_called_by_its_place(void **state)
{
	AUTO_CONFIG struct thr_config *config =
		PARSE("xdp:\n  tables: {exact: 1k, gate: 2k}\n", "XDP_THROTTLE_XDP_TABLES_GATE=4k");
	const struct thr_sizes *sizes = &config->xdp.tables.sizes;

	(void)state;
	assert_string_equal(sizes->exact.name, "t.yaml:2:19: tables: exact");
	assert_string_equal(sizes->gate.name, "XDP_THROTTLE_XDP_TABLES_GATE: tables: gate");
	assert_null(sizes->blocked.name);
}

static void a_rate_per_minute_replaces_the_files_rate_per_second(void **state)
{
	AUTO_CONFIG struct thr_config *config =
		PARSE("rate_limit: {burst: 7, requests_per_second: 5}\n" ROUTE,
		      "XDP_THROTTLE_RATE_LIMIT_REQUESTS_PER_MINUTE=20");

	(void)state;
	assert_rate(&config->rate_limit.rate, 20, 60, 7);
}

static void the_store_is_moved_by_one_variable(void **state)
{
	AUTO_CONFIG struct thr_config *config = PARSE(ROUTE, "XDP_THROTTLE_STORE_BACKEND=redis");

	(void)state;
	assert_int_equal(config->store.backend, THR_BACKEND_REDIS);
	assert_string_equal(config->store.redis.host, "127.0.0.1");
	assert_int_equal(config->store.redis.port, 6379);
}

static void a_variable_turns_the_api_on(void **state)
{
	AUTO_CONFIG struct thr_config *config = PARSE("", "XDP_THROTTLE_API_LISTEN=/run/api.sock");

	(void)state;
	assert_true(config->api.present);
	assert_null(config->api.address);
}

static void a_certificate_and_its_key_are_set_together(void **state)
{
	AUTO_CONFIG struct thr_config *config = PARSE(
		"store: {redis: {url: rediss://h}}\n" ROUTE, "XDP_THROTTLE_STORE_REDIS_KEY_FILE=/k",
		"XDP_THROTTLE_STORE_REDIS_CERT_FILE=/c", "XDP_THROTTLE_STORE_REDIS_CA_FILE=/a");

	(void)state;
	assert_string_equal(config->store.redis.cert_file, "/c");
	assert_string_equal(config->store.redis.ca_file, "/a");
}

static void a_variable_says_what_becomes_of_limits_without_redis(void **state)
{
	AUTO_CONFIG struct thr_config *config =
		PARSE("rate_limit: {requests_per_second: 5}\n" ROUTE,
		      "XDP_THROTTLE_RATE_LIMIT_ON_ERROR=allow", "XDP_THROTTLE_STORE_ON_ERROR=deny");

	(void)state;
	assert_int_equal(config->rate_limit.on_error, THR_ON_ERROR_ALLOW);
	assert_int_equal(config->routes[0].rate_limit.on_error, THR_ON_ERROR_DENY);
}

static void other_variables_are_passed_over(void **state)
{
	AUTO_CONFIG struct thr_config *config =
		PARSE(ROUTE, "PATH=/bin", "XDP_THROTTLE", "XDP_THROTTLE_SERVER_PORT",
		      "XDP_THROTTLEX_Y=1", "server.port=1");

	(void)state;
	assert_int_equal(config->server.port, 8080);
}

/* A file in which each of them has what it needs beside it. */
static const char complete[] =
	"rate_limit: {requests_per_second: 5, block: {refusals_per_minute: 5}}\n"
	"xdp: {interfaces: [a], per_source: {connections_per_second: 5, packets_per_second: 5,\n"
	"      bytes_per_second: 5}}\n"
	"api: {rate_limit: {requests_per_second: 5}}\n"
	"store: {redis: {url: rediss://h, cert_file: /c, key_file: /k}}\n" ROUTE;

static const char *const settings[] = {
	"XDP_THROTTLE_SERVER_ADDRESS=::1",
	"XDP_THROTTLE_SERVER_PORT=1",
	"XDP_THROTTLE_SERVER_WORKERS=1",
	"XDP_THROTTLE_SERVER_USER=www-data",
	"XDP_THROTTLE_SERVER_PROXY_PROTOCOL=true",
	"XDP_THROTTLE_SERVER_MAX_CONNECTIONS=10k",
	"XDP_THROTTLE_SERVER_HEADER_TIMEOUT=5s",
	"XDP_THROTTLE_SERVER_IDLE_TIMEOUT=5s",
	"XDP_THROTTLE_SERVER_BODY_TIMEOUT=5s",
	"XDP_THROTTLE_SERVER_DRAIN_TIMEOUT=5s",
	"XDP_THROTTLE_SERVER_MAX_REQUEST_LINE=4k",
	"XDP_THROTTLE_SERVER_MAX_HEADER_BYTES=32k",
	"XDP_THROTTLE_SERVER_MAX_HEADERS=50",
	"XDP_THROTTLE_SERVER_MAX_BODY_BYTES=1M",
	"XDP_THROTTLE_UPSTREAM_CONNECT_TIMEOUT=500ms",
	"XDP_THROTTLE_UPSTREAM_RESPONSE_TIMEOUT=5m",
	"XDP_THROTTLE_UPSTREAM_IDLE_TIMEOUT=5s",
	"XDP_THROTTLE_UPSTREAM_KEEPALIVE=0",
	"XDP_THROTTLE_UPSTREAM_RETRIES=0",
	"XDP_THROTTLE_UPSTREAM_MAX_FAILURES=0",
	"XDP_THROTTLE_UPSTREAM_FAIL_TIMEOUT=1h",
	"XDP_THROTTLE_RATE_LIMIT_REQUESTS_PER_SECOND=1",
	"XDP_THROTTLE_RATE_LIMIT_REQUESTS_PER_MINUTE=1",
	"XDP_THROTTLE_RATE_LIMIT_BURST=5",
	"XDP_THROTTLE_RATE_LIMIT_ON_ERROR=allow",
	"XDP_THROTTLE_RATE_LIMIT_BLOCK_REFUSALS_PER_MINUTE=9",
	"XDP_THROTTLE_RATE_LIMIT_BLOCK_FOR=1m",
	"XDP_THROTTLE_XDP_MODE=native",
	"XDP_THROTTLE_XDP_ACTION=monitor",
	"XDP_THROTTLE_XDP_MALFORMED=drop",
	"XDP_THROTTLE_XDP_FRAGMENTS=drop",
	"XDP_THROTTLE_XDP_IPV6_SOURCE_PREFIX=56",
	"XDP_THROTTLE_XDP_TABLES_GATE=2M",
	"XDP_THROTTLE_XDP_TABLES_EXACT=2k",
	"XDP_THROTTLE_XDP_TABLES_VERIFIED=2k",
	"XDP_THROTTLE_XDP_TABLES_BLOCKED=2k",
	"XDP_THROTTLE_XDP_PER_SOURCE_CONNECTIONS_PER_SECOND=1",
	"XDP_THROTTLE_XDP_PER_SOURCE_CONNECTIONS_PER_MINUTE=1",
	"XDP_THROTTLE_XDP_PER_SOURCE_PACKETS_PER_SECOND=1",
	"XDP_THROTTLE_XDP_PER_SOURCE_PACKETS_PER_MINUTE=1",
	"XDP_THROTTLE_XDP_PER_SOURCE_BYTES_PER_SECOND=1",
	"XDP_THROTTLE_XDP_PER_SOURCE_BYTES_PER_MINUTE=1",
	"XDP_THROTTLE_XDP_PER_SOURCE_BURST=5",
	"XDP_THROTTLE_XDP_PER_SOURCE_PACKET_BURST=5",
	"XDP_THROTTLE_XDP_PER_SOURCE_BYTE_BURST=2k",
	"XDP_THROTTLE_API_LISTEN=[::1]:81",
	"XDP_THROTTLE_API_TOKEN_FILE=/t",
	"XDP_THROTTLE_API_RATE_LIMIT_REQUESTS_PER_SECOND=1",
	"XDP_THROTTLE_API_RATE_LIMIT_REQUESTS_PER_MINUTE=1",
	"XDP_THROTTLE_API_RATE_LIMIT_BURST=5",
	"XDP_THROTTLE_API_DEFAULT_CAPACITY=1k",
	"XDP_THROTTLE_API_DEFAULT_REFILL_PER_SECOND=0.5",
	"XDP_THROTTLE_API_MAX_CONFIGS=1k",
	"XDP_THROTTLE_STORE_BACKEND=redis",
	"XDP_THROTTLE_STORE_ON_ERROR=deny",
	"XDP_THROTTLE_STORE_MEMORY_MAX_KEYS=10M",
	"XDP_THROTTLE_STORE_MEMORY_STATE_FILE=/s",
	"XDP_THROTTLE_STORE_REDIS_URL=rediss://h2",
	"XDP_THROTTLE_STORE_REDIS_PASSWORD_FILE=/p",
	"XDP_THROTTLE_STORE_REDIS_CA_FILE=/a",
	"XDP_THROTTLE_STORE_REDIS_CERT_FILE=/c2",
	"XDP_THROTTLE_STORE_REDIS_KEY_FILE=/k2",
	"XDP_THROTTLE_STORE_REDIS_KEY_PREFIX=p",
	"XDP_THROTTLE_STORE_REDIS_DEADLINE=100ms",
	"XDP_THROTTLE_STORE_REDIS_LEASE=10",
	"XDP_THROTTLE_STORE_REDIS_FAILURES=5",
	"XDP_THROTTLE_LOG_LEVEL=error",
	"XDP_THROTTLE_LOG_FORMAT=json",
};

/* Those of `section` and below that are not in `settings`; `name` is of the section. */
static void assert_all_are_listed(const struct thr_section *section, const char *name)
{
	for (size_t i = 0; i < section->field_count; i++) {
		const struct thr_field *field = &section->fields[i];
		char own[128];
		size_t length, found = 0;

		length = (size_t)snprintf(own, sizeof(own), "%s_%s", name, field->key);
		for (char *at = own; *at; at++)
			*at = (char)toupper((unsigned char)*at);
		if (field->type == THR_TYPE_MAP)
			assert_all_are_listed(field->section, own);
		if (field->type == THR_TYPE_MAP || field->type == THR_TYPE_LIST)
			continue;
		for (size_t j = 0; j < ARRAY_SIZE(settings); j++)
			found += strncmp(settings[j], own, length) == 0 &&
				 settings[j][length] == '=';
		if (found != 1)
			fail_msg("%s is listed %zu times", own, found);
	}
}

static void every_scalar_outside_of_lists_can_be_set(void **state)
{
	(void)state;
	assert_all_are_listed(&thr_schema, "XDP_THROTTLE");
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		AUTO_CONFIG struct thr_config *config = PARSE(complete, (char *)settings[i]);

		assert_non_null(config);
	}
}

/* --- refused --- */

struct refusal {
	const char *text;
	char *environment[3];
	const char *message;
};

static void refused(void **state)
{
	const struct refusal *refusal = *state;
	struct thr_config *config = NULL;
	struct thr_error error = {""};

	assert_int_equal(thr_config_parse("t.yaml", refusal->text, strlen(refusal->text),
					  refusal->environment, &config, &error),
			 -EINVAL);
	assert_string_equal(error.text, refusal->message);
	assert_null(config);
}

#define VARIABLES(...)                                                                             \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}
#define REFUSES(what, file, variables, why)                                                        \
	{                                                                                          \
		.name = "refuses_" what, .test_func = refused, .initial_state = &(struct refusal)  \
		{                                                                                  \
			file, variables, why                                                       \
		}                                                                                  \
	}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_variable_sets_what_the_file_leaves_out),
	cmocka_unit_test(a_variable_is_of_the_same_types_as_the_file),
	cmocka_unit_test(a_variable_replaces_what_the_file_says),
	cmocka_unit_test(a_variable_makes_the_sections_that_it_needs),
	cmocka_unit_test(a_size_of_a_table_is_called_by_its_place),
	cmocka_unit_test(a_rate_per_minute_replaces_the_files_rate_per_second),
	cmocka_unit_test(the_store_is_moved_by_one_variable),
	cmocka_unit_test(a_variable_turns_the_api_on),
	cmocka_unit_test(a_certificate_and_its_key_are_set_together),
	cmocka_unit_test(a_variable_says_what_becomes_of_limits_without_redis),
	cmocka_unit_test(other_variables_are_passed_over),
	cmocka_unit_test(every_scalar_outside_of_lists_can_be_set),
	REFUSES("a_name_near_a_setting", ROUTE, VARIABLES("XDP_THROTTLE_SERVER_PROT=80"),
		"XDP_THROTTLE_SERVER_PROT: no such setting: did you mean "
		"XDP_THROTTLE_SERVER_PORT?"),
	REFUSES("a_name_near_nothing", ROUTE, VARIABLES("XDP_THROTTLE_THE_WHOLE_WIDE_WORLD=1"),
		"XDP_THROTTLE_THE_WHOLE_WIDE_WORLD: no such setting: write "
		"XDP_THROTTLE_SECTION_KEY for a key of the configuration file"),
	REFUSES("a_name_that_cannot_be_printed", ROUTE, VARIABLES("XDP_THROTTLE_SERVER\nPORT=1"),
		"XDP_THROTTLE_SERVER?PORT: no such setting: did you mean "
		"XDP_THROTTLE_SERVER_PORT?"),
	REFUSES("a_section", ROUTE, VARIABLES("XDP_THROTTLE_STORE_REDIS=redis://h"),
		"XDP_THROTTLE_STORE_REDIS: no such setting: did you mean "
		"XDP_THROTTLE_STORE_REDIS_URL?"),
	REFUSES("a_name_without_its_first_section", ROUTE,
		VARIABLES("XDP_THROTTLE_REDIS_URL=redis://h"),
		"XDP_THROTTLE_REDIS_URL: no such setting: did you mean "
		"XDP_THROTTLE_STORE_REDIS_URL?"),
	REFUSES("a_name_without_a_section_in_between", ROUTE,
		VARIABLES("XDP_THROTTLE_STORE_URL=redis://h"),
		"XDP_THROTTLE_STORE_URL: no such setting: did you mean "
		"XDP_THROTTLE_STORE_REDIS_URL?"),
	REFUSES("a_name_without_its_end", ROUTE,
		VARIABLES("XDP_THROTTLE_API_TOKEN=0123456789abcdef"),
		"XDP_THROTTLE_API_TOKEN: no such setting: did you mean "
		"XDP_THROTTLE_API_TOKEN_FILE?"),
	REFUSES("a_key_alone", ROUTE, VARIABLES("XDP_THROTTLE_REDIS_PASSWORD=secret"),
		"XDP_THROTTLE_REDIS_PASSWORD: no such setting: did you mean "
		"XDP_THROTTLE_STORE_REDIS_PASSWORD_FILE?"),
	REFUSES("words_in_another_order", ROUTE, VARIABLES("XDP_THROTTLE_URL_REDIS=redis://h"),
		"XDP_THROTTLE_URL_REDIS: no such setting: write XDP_THROTTLE_SECTION_KEY for a "
		"key of the configuration file"),
	REFUSES("no_name", ROUTE, VARIABLES("XDP_THROTTLE_=1"),
		"XDP_THROTTLE_: no such setting: write XDP_THROTTLE_SECTION_KEY for a key of the "
		"configuration file"),
	REFUSES("a_list", ROUTE, VARIABLES("XDP_THROTTLE_XDP_INTERFACES=eth0"),
		"XDP_THROTTLE_XDP_INTERFACES: a list: write it in the file"),
	REFUSES("a_wrong_value", ROUTE, VARIABLES("XDP_THROTTLE_SERVER_PORT=http"),
		"XDP_THROTTLE_SERVER_PORT: server: port is 'http': write a whole number from 1 to "
		"65535"),
	REFUSES("a_wrong_duration", ROUTE, VARIABLES("XDP_THROTTLE_UPSTREAM_CONNECT_TIMEOUT=0"),
		"XDP_THROTTLE_UPSTREAM_CONNECT_TIMEOUT: upstream: connect_timeout is '0': write a "
		"duration from 1ms to 24h, such as 500ms, 10s or 5m"),
	REFUSES("a_request_line_that_does_not_fit_the_files_head",
		"server: {max_header_bytes: 2k}\n" ROUTE,
		VARIABLES("XDP_THROTTLE_SERVER_MAX_REQUEST_LINE=4k"),
		"XDP_THROTTLE_SERVER_MAX_REQUEST_LINE: server: max_request_line of 4000 is above "
		"max_header_bytes of 2000, of which it is a part: write at most that"),
	REFUSES("an_empty_value", ROUTE, VARIABLES("XDP_THROTTLE_LOG_LEVEL="),
		"XDP_THROTTLE_LOG_LEVEL: log: level is empty: write a value, or leave it out"),
	REFUSES("a_burst_that_does_not_fit_the_files_rate",
		"rate_limit: {requests_per_minute: 1}\n" ROUTE,
		VARIABLES("XDP_THROTTLE_RATE_LIMIT_BURST=1M"),
		"XDP_THROTTLE_RATE_LIMIT_BURST: rate_limit: burst of 1000000 would take over 416 "
		"days to come back: write a smaller one"),
	REFUSES("a_section_that_it_made_without_a_rate", ROUTE,
		VARIABLES("XDP_THROTTLE_RATE_LIMIT_BURST=5"),
		"XDP_THROTTLE_RATE_LIMIT_BURST: rate_limit: no rate: write requests_per_second or "
		"requests_per_minute"),
	REFUSES("both_rates_of_a_kind", ROUTE,
		VARIABLES("XDP_THROTTLE_RATE_LIMIT_REQUESTS_PER_SECOND=5",
			  "XDP_THROTTLE_RATE_LIMIT_REQUESTS_PER_MINUTE=5"),
		"XDP_THROTTLE_RATE_LIMIT_REQUESTS_PER_SECOND: rate_limit: requests_per_second "
		"beside requests_per_minute, given by XDP_THROTTLE_RATE_LIMIT_REQUESTS_PER_MINUTE: "
		"write one of them"),
	REFUSES("the_file_where_it_has_no_section", "server: 80\n" ROUTE,
		VARIABLES("XDP_THROTTLE_SERVER_PORT=80"),
		"t.yaml:1:9: server is a single value: write keys below it"),
	REFUSES("other_machines_without_a_token", ROUTE,
		VARIABLES("XDP_THROTTLE_API_LISTEN=192.0.2.1:80"),
		"XDP_THROTTLE_API_LISTEN: api: listen is '192.0.2.1:80', which other machines "
		"reach: write token_file too, or listen on 127.0.0.1:80"),
	REFUSES("two_passwords", REDIS_PASSWORD ROUTE,
		VARIABLES("XDP_THROTTLE_STORE_REDIS_PASSWORD_FILE=/p"),
		"XDP_THROTTLE_STORE_REDIS_PASSWORD_FILE: redis: password_file beside a password "
		"in url: write one of them"),
	REFUSES("a_capacity_that_does_not_fit_the_files_refill",
		"api: {default: {refill_per_second: 0.001}}\n",
		VARIABLES("XDP_THROTTLE_API_DEFAULT_CAPACITY=1M"),
		"XDP_THROTTLE_API_DEFAULT_CAPACITY: default: capacity of 1000000 would take over "
		"416 days to come back: write a smaller one"),
	REFUSES("a_password_without_showing_it", ROUTE,
		VARIABLES("XDP_THROTTLE_STORE_REDIS_URL=redis://:secret@h:port"),
		"XDP_THROTTLE_STORE_REDIS_URL: redis: url: write a port from 1 to 65535 after the "
		"colon"),
};

int main(int argc, char **argv)
{
	return THR_RUN_TESTS(tests, argc, argv);
}
