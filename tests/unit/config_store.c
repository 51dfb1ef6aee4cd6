/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The section of the store, the URL of a Redis, and what limits ask for while it
 * cannot be asked: defaults, forms, refusals.
 */
#include "support/config.h"
#include "support/refusal.h"

#define REDIS(fields) "store: {redis: {" fields "}}\n"
#define URL(text) "store: {redis: {url: '" text "'}}\n"
#define ON_REDIS(url) "store: {backend: redis, redis: {url: '" url "'}}\n"
#define BYTES_36 "/bcdefghijklmnopqrstuvwxyz-012345678"

static void assert_text(const char *text, const char *expected)
{
	if (expected)
		assert_string_equal(text ? text : "(none)", expected);
	else
		assert_null(text);
}

/* --- defaults --- */

static void a_file_without_the_section_has_its_defaults(void **state)
{
	AUTO_CONFIG struct thr_config *config = parse(ROUTE);
	const struct thr_redis_config *redis = &config->store.redis;

	(void)state;
	assert_int_equal(config->store.backend, THR_BACKEND_MEMORY);
	assert_int_equal(config->store.on_error, THR_ON_ERROR_LOCAL);
	assert_int_equal(config->store.max_keys, 1000000);
	assert_string_equal(config->store.state_file, "/var/lib/xdp-throttle/limits.json");
	assert_string_equal(redis->url, "redis://127.0.0.1:6379/0");
	assert_string_equal(redis->host, "127.0.0.1");
	assert_int_equal(redis->port, 6379);
	assert_int_equal(redis->database, 0);
	assert_string_equal(redis->key_prefix, "xdp-throttle:");
	assert_int_equal(redis->deadline_ms, 50);
	assert_int_equal(redis->lease, 0);
	assert_int_equal(redis->failures, 3);
	assert_null(redis->password);
	assert_null(redis->ca_file);
}

/* --- values --- */

static void the_section_is_read_as_written(void **state)
{
	AUTO_CONFIG struct thr_config *config =
		parse("store:\n"
		      "  backend: redis\n"
		      "  on_error: deny\n"
		      "  memory: {max_keys: 5, state_file: /srv/limits}\n"
		      "  redis:\n"
		      "    key_file: /k\n"
		      "    cert_file: /c\n"
		      "    ca_file: /a\n"
		      "    password_file: /p\n"
		      "    url: rediss://app@redis.example:6380/3\n"
		      "    key_prefix: 'shop:'\n"
		      "    deadline: 20ms\n"
		      "    lease: 100\n"
		      "    failures: 1\n" ROUTE);
	const struct thr_redis_config *redis = &config->store.redis;

	(void)state;
	assert_int_equal(config->store.backend, THR_BACKEND_REDIS);
	assert_int_equal(config->store.on_error, THR_ON_ERROR_DENY);
	assert_int_equal(config->store.max_keys, 5);
	assert_string_equal(config->store.state_file, "/srv/limits");
	assert_string_equal(redis->host, "redis.example");
	assert_int_equal(redis->port, 6380);
	assert_true(redis->tls);
	assert_string_equal(redis->user, "app");
	assert_int_equal(redis->database, 3);
	assert_string_equal(redis->password_file, "/p");
	assert_string_equal(redis->ca_file, "/a");
	assert_string_equal(redis->cert_file, "/c");
	assert_string_equal(redis->key_file, "/k");
	assert_string_equal(redis->key_prefix, "shop:");
	assert_int_equal(redis->deadline_ms, 20);
	assert_int_equal(redis->lease, 100);
	assert_int_equal(redis->failures, 1);
}

static void the_store_is_named_without_its_password(void **state)
{
	static const struct {
		const char *file, *name;
	} cases[] = {
		{"", "memory"},
		{URL("rediss://u:secret@h"), "memory"},
		{ON_REDIS("redis://h"), "redis h:6379"},
		{ON_REDIS("rediss://u:secret@h:7/2"), "redis h:7 (tls)"},
		{ON_REDIS("redis://[2001:db8::1]"), "redis [2001:db8::1]:6379"},
		{ON_REDIS("unix://u:secret@/run/redis.sock"), "redis /run/redis.sock"},
		{"store: {backend: redis}\n", "redis 127.0.0.1:6379"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_CONFIG struct thr_config *config = NULL;
		AUTO_FREE char *text = NULL;
		char name[THR_STORE_NAME];

		assert_true(asprintf(&text, "%s" ROUTE, cases[i].file) > 0);
		config = parse(text);
		thr_config_name_store(config, name);
		assert_string_equal(name, cases[i].name);
	}
}

static void a_url_is_taken_apart(void **state)
{
	static const struct {
		const char *file;
		struct thr_redis_config is;
	} cases[] = {
		{URL("redis://h"), {.host = "h", .port = 6379}},
		{URL("REDIS://h/"), {.host = "h", .port = 6379}},
		{URL("redis://[2001:db8::1]:1/15"),
		 {.host = "2001:db8::1", .port = 1, .database = 15}},
		{URL("rediss://192.0.2.1/99999"),
		 {.host = "192.0.2.1", .port = 6379, .tls = true, .database = 99999}},
		{URL("redis://:secret@h"), {.host = "h", .port = 6379, .password = "secret"}},
		{URL("redis://u:p@h:7"), {.host = "h", .port = 7, .user = "u", .password = "p"}},
		{URL("redis://@h"), {.host = "h", .port = 6379}},
		{URL("redis://u:p@ss:w@h"),
		 {.host = "h", .port = 6379, .user = "u", .password = "p@ss:w"}},
		{URL("redis://a%3Ab:%2f%3F%23%40%25%c3%a4@h"),
		 {.host = "h", .port = 6379, .user = "a:b", .password = "/?#@%\303\244"}},
		{URL("unix:///run/redis.sock"), {.socket = "/run/redis.sock", .port = 6379}},
		{URL("unix:///run/a%20b?db=2"),
		 {.socket = "/run/a b", .port = 6379, .database = 2}},
		{URL("unix://u:p@/s?db=0"),
		 {.socket = "/s", .port = 6379, .user = "u", .password = "p"}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_FREE char *text = NULL;
		struct thr_config *config;
		const struct thr_redis_config *redis, *is = &cases[i].is;

		assert_true(asprintf(&text, "%s" ROUTE, cases[i].file) > 0);
		config = parse(text);
		redis = &config->store.redis;
		assert_text(redis->host, is->host);
		assert_text(redis->socket, is->socket);
		assert_text(redis->user, is->user);
		assert_text(redis->password, is->password);
		assert_int_equal(redis->port, is->port);
		assert_int_equal(redis->tls, is->tls);
		assert_int_equal(redis->database, is->database);
		thr_config_free(config);
	}
}

/* --- on_error --- */

static void limits_that_say_nothing_have_the_stores_on_error(void **state)
{
	AUTO_CONFIG struct thr_config *config =
		parse("rate_limit: {requests_per_second: 5}\n"
		      "routes:\n"
		      "  - {path: /, target: http://a}\n"
		      "  - {path: /b, target: http://a, rate_limit: {requests_per_second: 5,\n"
		      "     on_error: deny}}\n"
		      "  - {path: /c, target: http://a, rate_limit: {requests_per_second: 5}}\n"
		      "store: {on_error: allow}\n");

	(void)state;
	assert_int_equal(config->rate_limit.on_error, THR_ON_ERROR_ALLOW);
	assert_int_equal(config->routes[0].rate_limit.on_error, THR_ON_ERROR_ALLOW);
	assert_int_equal(config->routes[1].rate_limit.on_error, THR_ON_ERROR_DENY);
	assert_int_equal(config->routes[2].rate_limit.on_error, THR_ON_ERROR_ALLOW);
}

static void a_limit_may_say_local_where_the_store_does_not(void **state)
{
	AUTO_CONFIG struct thr_config *config =
		parse("store: {on_error: deny}\n"
		      "rate_limit: {on_error: local, requests_per_minute: 5}\n" ROUTE);

	(void)state;
	assert_int_equal(config->rate_limit.on_error, THR_ON_ERROR_LOCAL);
	assert_int_equal(config->rate_limit.rate.count, 5);
	assert_int_equal(config->rate_limit.rate.per_s, 60);
}

#define CREDENTIALS                                                                                \
	"1:22: redis: url has a user without a password: write USER:PASSWORD@, :PASSWORD@ for "    \
	"the default user, or password_file"
#define DATABASE                                                                                   \
	"1:22: redis: url: write the number of a database at the end, such as /0, or ?db=0 for a " \
	"Unix socket, and nothing more"
#define ESCAPE                                                                                     \
	"1:22: redis: url: write two hexadecimal digits after each '%', and '%' itself as %25"

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_file_without_the_section_has_its_defaults),
	cmocka_unit_test(the_section_is_read_as_written),
	cmocka_unit_test(the_store_is_named_without_its_password),
	cmocka_unit_test(a_url_is_taken_apart),
	cmocka_unit_test(limits_that_say_nothing_have_the_stores_on_error),
	cmocka_unit_test(a_limit_may_say_local_where_the_store_does_not),

	REFUSES("a_backend_that_there_is_not", "store: {backend: disk}\n",
		"1:18: store: backend is 'disk': write memory or redis"),
	REFUSES("an_on_error_that_there_is_not", "store: {on_error: open}\n",
		"1:19: store: on_error is 'open': write local, allow or deny"),
	REFUSES("an_on_error_without_a_rate", "rate_limit: {on_error: deny}\n",
		"1:1: rate_limit: no rate: write requests_per_second or requests_per_minute"),
	REFUSES("a_state_in_a_relative_file", "store: {memory: {state_file: limits.json}}\n",
		"1:30: memory: state_file is 'limits.json': write the absolute path of a file"),

	REFUSES("a_url_of_another_scheme", URL("http://h"),
		"1:22: redis: url: write redis://HOST:PORT/0, rediss:// for TLS, or unix:///PATH"),
	REFUSES("a_url_without_a_host", URL("redis://:secret@/0"),
		"1:22: redis: url: write a host"),
	REFUSES("a_url_with_a_bad_database", URL("redis://h/x"), DATABASE),
	REFUSES("a_url_with_a_database_of_6_digits", URL("redis://h/100000"), DATABASE),
	REFUSES("a_url_with_a_query", URL("redis://h/0?timeout=1"), DATABASE),
	REFUSES("a_url_with_a_bad_port", URL("redis://h:70000"),
		"1:22: redis: url: write a port from 1 to 65535 after the colon"),
	REFUSES("a_url_with_a_space", URL("redis://h /0"),
		"1:22: redis: url: write printable ASCII without spaces, percent-encode the rest"),
	REFUSES("a_url_with_a_user_alone", URL("redis://app@h"), CREDENTIALS),
	REFUSES("a_url_with_an_empty_password", URL("redis://app:@h"), CREDENTIALS),
	REFUSES("a_slash_in_a_password", URL("redis://:pass/word@h"),
		"1:22: redis: url: write '/', '?' and '#' of a password as %2F, %3F and %23"),
	REFUSES("half_an_escape", URL("redis://:secret%4@h"), ESCAPE),
	REFUSES("an_escape_that_is_none", URL("redis://%zz:secret@h"), ESCAPE),
	REFUSES("an_escape_of_nul", URL("redis://:secret%00@h"),
		"1:22: redis: url: write it without %00"),
	REFUSES("bare_ipv6_in_a_url", URL("redis://::1:6379"),
		"1:22: redis: url: write an IPv6 address in brackets, such as "
		"[2001:db8::1]:8080"),
	REFUSES("a_socket_on_a_host", URL("unix://host/run/s"),
		"1:22: redis: url: write unix:// and the absolute path of a socket, such as "
		"unix:///run/redis/redis.sock"),
	REFUSES("a_socket_without_a_path", URL("unix:///"),
		"1:22: redis: url: write unix:// and the absolute path of a socket, such as "
		"unix:///run/redis/redis.sock"),
	REFUSES("a_socket_with_another_query", URL("unix:///s?database=2"),
		"1:22: redis: url: write ?db= and the number of a database after the path, and "
		"nothing more"),
	REFUSES("a_socket_without_a_number", URL("unix:///s?db="),
		"1:22: redis: url: write ?db= and the number of a database after the path, and "
		"nothing more"),
	REFUSES("a_socket_with_a_bad_number", URL("unix:///s?db=-1"), DATABASE),
	REFUSES("a_socket_at_a_path_of_108_bytes", URL("unix://" BYTES_36 BYTES_36 BYTES_36),
		"1:22: redis: url: write a path of at most 107 bytes, which is all that a socket "
		"can have"),

	REFUSES("two_passwords", REDIS("url: 'redis://:secret@h', password_file: /p"),
		"1:43: redis: password_file beside a password in url: write one of them"),
	REFUSES("a_certificate_without_its_key", REDIS("url: 'rediss://h', cert_file: /c"),
		"1:36: redis: cert_file without key_file: write both, or none"),
	REFUSES("a_key_without_its_certificate", REDIS("key_file: /k, url: 'rediss://h'"),
		"1:17: redis: key_file without cert_file: write both, or none"),
	REFUSES("an_authority_without_tls", REDIS("ca_file: /a, url: 'redis://h'"),
		"1:17: redis: ca_file without TLS: write url: rediss://..., or leave it out"),
	REFUSES("a_certificate_without_tls", REDIS("cert_file: /a, key_file: /k"),
		"1:17: redis: cert_file without TLS: write url: rediss://..., or leave it out"),
	REFUSES("a_key_on_a_unix_socket", REDIS("url: 'unix:///s', key_file: /k"),
		"1:35: redis: key_file without TLS: write url: rediss://..., or leave it out"),
	REFUSES("a_password_in_a_relative_file", REDIS("password_file: ../p"),
		"1:32: redis: password_file is '../p': write the absolute path of a file"),
	REFUSES("a_prefix_with_braces", REDIS("key_prefix: '{a}'"),
		"1:29: redis: key_prefix is '{a}': write printable ASCII without spaces, '{' and "
		"'}'"),
	REFUSES("a_prefix_of_72_bytes", REDIS("key_prefix: " BYTES_36 BYTES_36),
		"1:29: redis: key_prefix is '/bcdefghijklmnopqrstuvwxyz-012345678"
		"/bcdefghijklmnopqrstuvwxyz...': write at most 64 bytes"),
	REFUSES("an_empty_prefix", REDIS("key_prefix: ''"),
		"1:17: redis: key_prefix is empty: write a value, or leave it out"),
	REFUSES("a_deadline_that_timers_do_not_keep", REDIS("deadline: 19ms"),
		"1:27: redis: deadline is '19ms': write a duration from 20ms to 10s"),
	REFUSES("a_deadline_past_10_s", REDIS("deadline: 11s"),
		"1:27: redis: deadline is '11s': write a duration from 20ms to 10s"),
	REFUSES("a_lease_past_a_million", REDIS("lease: 1000001"),
		"1:24: redis: lease is '1000001': write a whole number from 0 to 1000000"),
	REFUSES("no_failures", REDIS("failures: 0"),
		"1:27: redis: failures is '0': write a whole number from 1 to 1000"),
};

int main(int argc, char **argv)
{
	return THR_RUN_TESTS(tests, argc, argv);
}
