/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The line of a request: its two formats, and that no request breaks them. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "proxy/access.h"
#include "support/random.h"
#include "support/run.h"

#define MS 1000000ULL
#define WALL_NS (1795292266ULL * 1000 * MS + 123 * MS + 999999) /* 2026-11-21T20:17:46.123Z */

static struct thr_slice slice_of(const char *text)
{
	return (struct thr_slice){text, strlen(text)};
}

static struct thr_access usual_access(struct thr_address *client)
{
	assert_int_equal(thr_address_parse(slice_of("192.0.2.7"), client), 0);
	return (struct thr_access){
		.wall_ns = WALL_NS,
		.client = client,
		.method = THR_SLICE("GET"),
		.target = THR_SLICE("/api/users?id=7"),
		.status = 200,
		.bytes = 1532,
		.duration_ns = 2104999,
		.upstream = "127.0.0.1:8000",
		.upstream_ns = 1870000,
		.verdict = THR_VERDICT_ALLOWED,
		.request_id = THR_SLICE("5f2b"),
	};
}

static const char *format(enum thr_log_format form, const struct thr_access *access)
{
	static char line[THR_ACCESS_LINE_MAX + 1];
	size_t length = thr_access_format(line, form, access);

	assert_true(length <= THR_ACCESS_LINE_MAX);
	assert_int_equal(line[length - 1], '\n');
	line[length] = '\0';
	assert_ptr_equal(strchr(line, '\n'), line + length - 1);
	return line;
}

static void a_request_is_one_line_of_text(void **state)
{
	struct thr_address client;
	struct thr_access access = usual_access(&client);

	(void)state;
	assert_string_equal(format(THR_LOG_TEXT, &access),
			    "2026-11-21T20:17:46.123Z 192.0.2.7 \"GET /api/users?id=7\" 200 1532 "
			    "2.104ms 127.0.0.1:8000 1.870ms allowed 5f2b\n");
}

static void a_request_is_one_object_in_json(void **state)
{
	struct thr_address client;
	struct thr_access access = usual_access(&client);

	(void)state;
	assert_string_equal(
		format(THR_LOG_JSON, &access),
		"{\"time\":\"2026-11-21T20:17:46.123Z\",\"client\":\"192.0.2.7\","
		"\"method\":\"GET\",\"target\":\"/api/users?id=7\",\"status\":200,\"bytes\":1532,"
		"\"duration_ms\":2.104,\"upstream\":\"127.0.0.1:8000\",\"upstream_ms\":1.870,"
		"\"verdict\":\"allowed\",\"request_id\":\"5f2b\"}\n");
}

static void what_there_is_none_of_is_said_to_be_missing(void **state)
{
	static const struct thr_access nothing;

	(void)state;
	assert_string_equal(format(THR_LOG_TEXT, &nothing),
			    "1970-01-01T00:00:00.000Z - \"- -\" - 0 0.000ms - - - -\n");
	assert_string_equal(format(THR_LOG_JSON, &nothing),
			    "{\"time\":\"1970-01-01T00:00:00.000Z\",\"client\":null,"
			    "\"method\":null,\"target\":null,\"status\":null,\"bytes\":0,"
			    "\"duration_ms\":0.000,\"upstream\":null,\"upstream_ms\":null,"
			    "\"verdict\":null,\"request_id\":null}\n");
}

static void the_time_follows_the_clock(void **state)
{
	static const struct {
		uint64_t wall_ns;
		const char *text;
	} cases[] = {
		{WALL_NS, "2026-11-21T20:17:46.123Z "},
		{WALL_NS + 876 * MS, "2026-11-21T20:17:46.999Z "},
		{WALL_NS + 877 * MS, "2026-11-21T20:17:47.000Z "},
		{WALL_NS - 1000 * MS, "2026-11-21T20:17:45.123Z "},
		{1709164800ULL * 1000 * MS, "2024-02-29T00:00:00.000Z "},
		{UINT64_MAX, "2554-07-21T23:34:33.709Z "},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct thr_access access = {.wall_ns = cases[i].wall_ns};

		assert_memory_equal(format(THR_LOG_TEXT, &access), cases[i].text,
				    strlen(cases[i].text));
	}
}

static void a_limited_request_says_so(void **state)
{
	struct thr_access access = {.status = 429, .verdict = THR_VERDICT_LIMITED};

	(void)state;
	assert_string_equal(strstr(format(THR_LOG_TEXT, &access), "429"),
			    "429 0 0.000ms - - limited -\n");
}

static void odd_bytes_are_escaped(void **state)
{
	struct thr_access access = {.method = THR_SLICE("G\"T"),
				    .target = THR_SLICE("/a b\t\r\n\\\x7f\xe9")};
	json_t *object;

	(void)state;
	assert_non_null(strstr(format(THR_LOG_TEXT, &access),
			       " \"G\\x22T /a\\x20b\\x09\\x0d\\x0a\\x5c\\x7f\\xe9\" "));
	assert_non_null(strstr(format(THR_LOG_JSON, &access),
			       "\"method\":\"G\\\"T\",\"target\":\"/a "
			       "b\\u0009\\u000d\\u000a\\\\\\u007f\\u00e9\""));
	object = json_loads(format(THR_LOG_JSON, &access), 0, NULL);
	assert_string_equal(json_string_value(json_object_get(object, "target")),
			    "/a b\t\r\n\\\x7f\xc3\xa9");
	json_decref(object);
}

static void a_long_target_is_cut(void **state)
{
	static char target[THR_ACCESS_TARGET_MAX + 1];
	struct thr_access access = {.target = {target, sizeof(target) - 1}};
	const char *found;

	(void)state;
	memset(target, 'x', sizeof(target));
	found = strchr(format(THR_LOG_TEXT, &access), 'x');
	assert_int_equal(strspn(found, "x"), THR_ACCESS_TARGET_MAX);
	assert_memory_equal(found + THR_ACCESS_TARGET_MAX, "\" ", 2);

	access.target.length++;
	found = strchr(format(THR_LOG_TEXT, &access), 'x');
	assert_int_equal(strspn(found, "x"), THR_ACCESS_TARGET_MAX);
	assert_memory_equal(found + THR_ACCESS_TARGET_MAX, "...\" ", 5);
}

static void the_longest_line_fits(void **state)
{
	static char bytes[2 * THR_ACCESS_TARGET_MAX], upstream[sizeof(bytes)];
	struct thr_address client;
	struct thr_access access = {
		.wall_ns = UINT64_MAX,
		.client = &client,
		.method = {bytes, sizeof(bytes)},
		.target = {bytes, sizeof(bytes)},
		.status = UINT32_MAX,
		.bytes = UINT64_MAX,
		.duration_ns = UINT64_MAX,
		.upstream = upstream,
		.upstream_ns = UINT64_MAX,
		.verdict = THR_VERDICT_ALLOWED,
		.request_id = {bytes, sizeof(bytes)},
	};
	json_t *object;

	(void)state;
	memset(bytes, 1, sizeof(bytes));
	memset(upstream, 1, sizeof(upstream) - 1);
	memset(&client, 0xfe, sizeof(client));
	format(THR_LOG_TEXT, &access);
	object = json_loads(format(THR_LOG_JSON, &access), JSON_DECODE_INT_AS_REAL, NULL);
	assert_non_null(object);
	json_decref(object);
}

/* A member's text equals `bytes` taken as Latin-1. */
static void assert_latin1(const json_t *object, const char *name, struct thr_slice bytes)
{
	const unsigned char *text =
		(const unsigned char *)json_string_value(json_object_get(object, name));

	if (!bytes.length) {
		assert_true(json_is_null(json_object_get(object, name)));
		return;
	}
	for (size_t i = 0; i < bytes.length; i++) {
		unsigned int byte = (unsigned char)bytes.at[i];

		if (byte >= 0x80) {
			assert_int_equal(*text++, 0xc0 | byte >> 6);
			assert_int_equal(*text++, 0x80 | (byte & 0x3f));
		} else {
			assert_int_equal(*text++, byte);
		}
	}
	assert_int_equal(*text, 0);
}

static struct thr_slice random_bytes(__u64 *random, char *bytes, size_t size)
{
	size_t length = next_random(random) % (size + 1);

	for (size_t i = 0; i < length; i++)
		bytes[i] = (char)next_random(random);
	return (struct thr_slice){bytes, length};
}

/* Undo the escapes of one word of text. */
static size_t unescape(const char *word, size_t length, char *bytes)
{
	size_t used = 0;

	for (size_t i = 0; i < length; i++) {
		unsigned int byte = (unsigned char)word[i];

		if (byte == '\\') {
			assert_int_equal(sscanf(word + i, "\\x%2x", &byte), 1);
			i += 3;
		}
		bytes[used++] = (char)byte;
	}
	return used;
}

static void assert_word(const char *word, struct thr_slice bytes)
{
	size_t length = strcspn(word, " \"\n");
	char text[4096];

	if (!bytes.length) {
		assert_memory_equal(word, "-", length);
		return;
	}
	assert_int_equal(unescape(word, length, text), bytes.length);
	assert_memory_equal(text, bytes.at, bytes.length);
}

static void any_bytes_come_back_from_both_formats(void **state)
{
	__u64 random = 1;

	(void)state;
	for (int round = 0; round < 2000; round++) {
		char method[32], target[512], id[128];
		struct thr_address client;
		struct thr_access access = usual_access(&client);
		const char *line, *words[11];
		size_t count = 0;
		json_t *object;

		access.method = random_bytes(&random, method, sizeof(method));
		access.target = random_bytes(&random, target, sizeof(target));
		access.request_id = random_bytes(&random, id, sizeof(id));

		object = json_loads(format(THR_LOG_JSON, &access),
				    JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
		assert_non_null(object);
		assert_int_equal(json_object_size(object), 11);
		assert_latin1(object, "method", access.method);
		assert_latin1(object, "target", access.target);
		assert_latin1(object, "request_id", access.request_id);
		assert_int_equal(json_integer_value(json_object_get(object, "status")), 200);
		json_decref(object);

		line = format(THR_LOG_TEXT, &access);
		for (const char *at = line; at; at = strchr(at, ' ')) {
			at += at > line;
			assert_true(count < ARRAY_SIZE(words));
			words[count++] = at;
		}
		assert_int_equal(count, ARRAY_SIZE(words));
		assert_int_equal(words[2][0], '"');
		assert_word(words[2] + 1, access.method);
		assert_word(words[3], access.target);
		assert_word(words[10], access.request_id);
	}
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_one_line_of_text),
		cmocka_unit_test(a_request_is_one_object_in_json),
		cmocka_unit_test(what_there_is_none_of_is_said_to_be_missing),
		cmocka_unit_test(the_time_follows_the_clock),
		cmocka_unit_test(a_limited_request_says_so),
		cmocka_unit_test(odd_bytes_are_escaped),
		cmocka_unit_test(a_long_target_is_cut),
		cmocka_unit_test(the_longest_line_fits),
		cmocka_unit_test(any_bytes_come_back_from_both_formats),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
