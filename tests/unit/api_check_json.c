/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Bodies of POST /check: what is one, and what is said of those that are none. */
#include "api/check_json.h"

#include <stdio.h>
#include <stdlib.h>

#include "unit/http_edge.h"

static struct thr_check_list list;

static int parse(const char *text, size_t length, struct thr_fault *fault)
{
	*fault = (struct thr_fault){"", ""};
	return thr_check_parse(before_the_edge(text, length), length, &list, fault);
}

static void assert_single(const char *text, const char *key, uint64_t cost)
{
	struct thr_fault fault;

	if (parse(text, strlen(text), &fault) < 0)
		fail_msg("%s: %s: %s", text, fault.field, fault.detail);
	assert_false(list.is_batch);
	assert_int_equal(list.count, 1);
	assert_slice(list.check[0].key, key);
	assert_int_equal(list.check[0].cost, cost);
}

static void a_check_is_a_key_and_a_cost(void **state)
{
	(void)state;
	assert_single("{\"key\":\"user:42\",\"cost\":7}", "user:42", 7);
	assert_single("{\"cost\":7,\"key\":\"user:42\"}", "user:42", 7);
	assert_single("{\"key\":\"a\"}", "a", 1);
	assert_single("{\"key\":\"a\",\"cost\":0}", "a", 0);
	assert_single("{\"key\":\"a\",\"cost\":-0}", "a", 0);
	assert_single("{\"key\":\"a\",\"cost\":1099511627776}", "a", 1ULL << 40);
	assert_single(" \t\r\n{ \"key\" : \"a\" , \"cost\" : 2 } \n", "a", 2);
	assert_single("{\"k\\u0065y\":\"a\"}", "a", 1);
}

static void a_key_is_any_utf_8(void **state)
{
	(void)state;
	assert_single("{\"key\":\"\x7f\"}", "\x7f", 1);
	assert_single("{\"key\":\"\xc3\xa9\xf0\x9f\x98\x80\"}", "\xc3\xa9\xf0\x9f\x98\x80", 1);
	assert_single("{\"key\":\"\\u00e9\\uD83D\\ude00\\u20ac\"}",
		      "\xc3\xa9\xf0\x9f\x98\x80\xe2\x82\xac", 1);
	assert_single("{\"key\":\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\"}", "a\"\\/\b\f\n\r\tz", 1);
	assert_single("{\"key\":\"a\\u0001\xc3\xa9z\"}", "a\x01\xc3\xa9z", 1);
}

static void checks_are_kept_in_their_order(void **state)
{
	static const char text[] = "{\"checks\":[{\"key\":\"a\",\"cost\":2} , {\"key\":\"b\\n\"},"
				   "{\"cost\":0,\"key\":\"c\"}]}";
	struct thr_fault fault;

	(void)state;
	assert_int_equal(parse(BYTES(text), &fault), 0);
	assert_true(list.is_batch);
	assert_int_equal(list.count, 3);
	assert_slice(list.check[0].key, "a");
	assert_int_equal(list.check[0].cost, 2);
	assert_slice(list.check[1].key, "b\n");
	assert_int_equal(list.check[1].cost, 1);
	assert_slice(list.check[2].key, "c");
	assert_int_equal(list.check[2].cost, 0);
}

static void what_is_no_check_is_refused_with_its_field(void **state)
{
	static const struct {
		const char *text, *field, *part;
	} cases[] = {
		{"", "", "not a JSON object"},
		{"  ", "", "not a JSON object"},
		{"null", "", "not a JSON object"},
		{"[{\"key\":\"a\"}]", "", "not a JSON object"},
		{"\xef\xbb\xbf{\"key\":\"a\"}", "", "not a JSON object"},
		{"{", "", "no member's name in double quotes at byte 1"},
		{"{}", "key", "missing"},
		{"{\"cost\":1}", "key", "missing"},
		{"{\"key\"}", "", "no colon"},
		{"{\"key\":}", "key", "not a string"},
		{"{\"key\":\"a\"", "", "neither a comma nor a brace"},
		{"{\"key\":\"a\",}", "", "no member's name"},
		{"{\"key\":\"a\"}}", "", "more than one value"},
		{"{\"key\":\"a\"}{", "", "more than one value"},
		{"{\"key\":\"a\" \"cost\":1}", "", "neither a comma nor a brace"},
		{"{'key':'a'}", "", "no member's name"},
		{"{key:\"a\"}", "", "no member's name"},
		/* members */
		{"{\"key\":\"a\",\"key\":\"a\"}", "key", "twice"},
		{"{\"key\":\"a\",\"k\\u0065y\":\"b\"}", "key", "twice"},
		{"{\"cost\":1,\"key\":\"a\",\"cost\":1}", "cost", "twice"},
		{"{\"key\":\"a\",\"kosts\":1}", "kosts", "did you mean 'cost'?"},
		{"{\"key\":\"a\",\"Key\":\"a\"}", "Key", "did you mean 'key'?"},
		{"{\"key\":\"a\",\"\":1}", "", "no member"},
		{"{\"key\":\"a\",\"wholly-unlike\":[[[[[[[[\"", "wholly-unlike", "no member"},
		{"{\"\xc3\xa9\\n\":1}", "???", "no member"},
		/* keys */
		{"{\"key\":\"\"}", "key", "empty"},
		{"{\"key\":null}", "key", "not a string"},
		{"{\"key\":[[[[[[[[[[", "key", "not a string"},
		{"{\"key\":\"a}", "", "without an end"},
		{"{\"key\":\"a\\\"}", "", "without an end"},
		{"{\"key\":\"a\\", "", "without an end"},
		{"{\"key\":\"\xff\"}", "", "not UTF-8"},
		{"{\"key\":\"\xed\xa0\x80\"}", "", "not UTF-8"},
		{"{\"key\":\"a\nb\"}", "", "control character"},
		{"{\"key\":\"\\x41\"}", "", "unknown escape"},
		{"{\"key\":\"\\u12g4\"}", "", "four hexadecimal digits"},
		{"{\"key\":\"\\u12", "", "four hexadecimal digits"},
		{"{\"key\":\"\\u0000\"}", "", "U+0000"},
		{"{\"key\":\"\\ud800\"}", "", "surrogate"},
		{"{\"key\":\"\\ud800\\u0041\"}", "", "surrogate"},
		{"{\"key\":\"\\udc00\\ud800\"}", "", "surrogate"},
		{"{\"key\":\"\\ud800\\", "", "surrogate"},
		/* costs */
		{"{\"key\":\"a\",\"cost\":\"1\"}", "cost", "whole number"},
		{"{\"key\":\"a\",\"cost\":null}", "cost", "whole number"},
		{"{\"key\":\"a\",\"cost\":1.0}", "cost", "whole number"},
		{"{\"key\":\"a\",\"cost\":1e1}", "cost", "whole number"},
		{"{\"key\":\"a\",\"cost\":1E1}", "cost", "whole number"},
		{"{\"key\":\"a\",\"cost\":-1}", "cost", "whole number"},
		{"{\"key\":\"a\",\"cost\":-}", "cost", "whole number"},
		{"{\"key\":\"a\",\"cost\":+1}", "cost", "whole number"},
		{"{\"key\":\"a\",\"cost\":01}", "cost", "whole number"},
		{"{\"key\":\"a\",\"cost\":0x1}", "", "neither a comma nor a brace"},
		{"{\"key\":\"a\",\"cost\":NaN}", "cost", "whole number"},
		{"{\"key\":\"a\",\"cost\":Infinity}", "cost", "whole number"},
		{"{\"key\":\"a\",\"cost\":1099511627777}", "cost", "whole number"},
		{"{\"key\":\"a\",\"cost\":99999999999999999999999999}", "cost", "whole number"},
		/* batches */
		{"{\"checks\":{}}", "checks", "not an array"},
		{"{\"checks\":[]}", "checks", "empty"},
		{"{\"checks\":[1]}", "checks[0]", "not an object"},
		{"{\"checks\":[{\"key\":\"a\"},{}]}", "checks[1].key", "missing"},
		{"{\"checks\":[{\"key\":\"a\"},{\"key\":\"b\",\"cost\":-1}]}", "checks[1].cost",
		 "whole number"},
		{"{\"checks\":[{\"key\":\"a\",\"checks\":[]}]}", "checks[0].checks", "no member"},
		{"{\"checks\":[{\"key\":\"a\",\"coat\":1}]}", "checks[0].coat", "mean 'cost'"},
		{"{\"checks\":[{\"key\":\"a\"}", "", "neither a comma nor a bracket"},
		{"{\"checks\":[{\"key\":\"a\"},]}", "checks[1]", "not an object"},
		{"{\"checks\":[{\"key\":\"a\"}],\"key\":\"b\"}", "checks", "either"},
		{"{\"cost\":1,\"checks\":[{\"key\":\"a\"}]}", "checks", "either"},
		{"{\"checks\":[{\"key\":\"a\"}],\"checks\":[{\"key\":\"a\"}]}", "checks", "twice"},
	};
	struct thr_fault fault;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(parse(cases[i].text, strlen(cases[i].text), &fault), -22);
		if (strcmp(fault.field, cases[i].field) || !strstr(fault.detail, cases[i].part))
			fail_msg("%s: \"%s\": %s", cases[i].text, fault.field, fault.detail);
	}
}

static void a_nul_stands_nowhere(void **state)
{
	struct thr_fault fault;

	(void)state;
	assert_true(parse(BYTES("{\"key\":\"a\"}\0"), &fault) < 0);
	assert_true(parse(BYTES("{\"key\":\0\"a\"}"), &fault) < 0);
	assert_true(parse(BYTES("{\"key\":\"a\0b\"}"), &fault) < 0);
	assert_true(parse(BYTES("\0"), &fault) < 0);
}

static void every_beginning_of_a_body_is_refused(void **state)
{
	static const char text[] = "{\"checks\":[{\"key\":\"a\\u20ac\xe2\x82\xac\\ud83d\\ude00\","
				   "\"cost\":12},{\"key\":\"b\"}]}";
	struct thr_fault fault;

	(void)state;
	for (size_t length = 0; length < sizeof(text) - 1; length++)
		assert_true(parse(text, length, &fault) < 0);
	assert_int_equal(parse(text, sizeof(text) - 1, &fault), 0);
}

static void a_key_has_at_most_256_bytes_once_decoded(void **state)
{
	char text[6 * 257 + 32];
	struct thr_fault fault;
	int length = sprintf(text, "{\"key\":\"");

	(void)state;
	for (int i = 0; i < 256; i++)
		length += sprintf(text + length, "\\u0061");
	sprintf(text + length, "\"}");
	assert_int_equal(parse(text, strlen(text), &fault), 0);
	assert_int_equal(list.check[0].key.length, 256);
	sprintf(text + length, "a\"}");
	assert_true(parse(text, strlen(text), &fault) < 0);
	assert_string_equal(fault.field, "key");
	assert_non_null(strstr(fault.detail, "longer than 256"));
}

static void a_body_has_at_most_1000_checks(void **state)
{
	char *text = malloc(1001 * 12 + 32), *at = text;
	struct thr_fault fault;

	(void)state;
	assert_non_null(text);
	at += sprintf(at, "{\"checks\":[");
	for (int i = 0; i < 1000; i++)
		at += sprintf(at, "%s{\"key\":\"a\"}", i ? "," : "");
	sprintf(at, "]}");
	assert_int_equal(parse(text, strlen(text), &fault), 0);
	assert_int_equal(list.count, 1000);
	sprintf(at, ",{\"key\":\"a\"}]}");
	assert_true(parse(text, strlen(text), &fault) < 0);
	assert_string_equal(fault.field, "checks");
	free(text);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_check_is_a_key_and_a_cost),
		cmocka_unit_test(a_key_is_any_utf_8),
		cmocka_unit_test(checks_are_kept_in_their_order),
		cmocka_unit_test(what_is_no_check_is_refused_with_its_field),
		cmocka_unit_test(a_nul_stands_nowhere),
		cmocka_unit_test(every_beginning_of_a_body_is_refused),
		cmocka_unit_test(a_key_has_at_most_256_bytes_once_decoded),
		cmocka_unit_test(a_body_has_at_most_1000_checks),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
