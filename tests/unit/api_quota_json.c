/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Bodies of PUT /config/{key}, and of the answer to GET. */
#include "api/quota_json.h"

#include <string.h>

#include "unit/http_edge.h"

static void assert_same(const char *text, enum thr_on_error on_error, const char *written)
{
	struct thr_fault fault;
	struct thr_quota quota, again;
	char out[THR_QUOTA_TEXT];
	size_t length = strlen(text);

	if (thr_quota_parse(before_the_edge(text, length), length, on_error, &quota, &fault) < 0)
		fail_msg("%s: %s: %s", text, fault.field, fault.detail);
	length = thr_quota_format(&quota, out);
	assert_int_equal(length, strlen(written));
	assert_memory_equal(out, written, length);
	assert_int_equal(thr_quota_parse(out, length, THR_ON_ERROR_LOCAL, &again, &fault), 0);
	assert_int_equal(again.capacity, quota.capacity);
	assert_true(again.refill_per_s == quota.refill_per_s);
	assert_int_equal(again.on_error, quota.on_error);
	assert_int_equal(again.limit.interval, quota.limit.interval);
}

static void a_quota_is_read_and_written_alike(void **state)
{
	(void)state;
	assert_same("{\"capacity\":100,\"refill_per_second\":10,\"on_error\":\"deny\"}",
		    THR_ON_ERROR_LOCAL,
		    "{\"capacity\":100,\"refill_per_second\":10,\"on_error\":\"deny\"}\n");
	assert_same(" { \"refill_per_second\" : 0.1, \"capacity\" : 1 } ", THR_ON_ERROR_ALLOW,
		    "{\"capacity\":1,\"refill_per_second\":0.1,\"on_error\":\"allow\"}\n");
	assert_same("{\"capacity\":1,\"refill_per_second\":0.33333333333333331}",
		    THR_ON_ERROR_LOCAL,
		    "{\"capacity\":1,\"refill_per_second\":0.33333333333333331,"
		    "\"on_error\":\"local\"}\n");
	assert_same("{\"capacity\":1,\"refill_per_second\":1e3}", THR_ON_ERROR_LOCAL,
		    "{\"capacity\":1,\"refill_per_second\":1000,\"on_error\":\"local\"}\n");
	assert_same("{\"capacity\":1099511627776,\"refill_per_second\":1099511627776}",
		    THR_ON_ERROR_LOCAL,
		    "{\"capacity\":1099511627776,\"refill_per_second\":1099511627776,"
		    "\"on_error\":\"local\"}\n");
}

static void what_is_no_quota_is_refused_with_its_field(void **state)
{
	static const struct {
		const char *text, *field, *part;
	} cases[] = {
		{"", "", "not JSON"},
		{"{", "", "not JSON"},
		{"[1]", "", "not a JSON object"},
		{"{\"capacity\":1,\"refill_per_second\":1} x", "", "not JSON"},
		{"{\"capacity\":1,\"capacity\":1,\"refill_per_second\":1}", "capacity", "twice"},
		{"{\"capacity\":1,\"refill_per_second\":1,\"refil\":1}", "refil", "no member"},
		{"{\"capacity\":1,\"refill_per_secnd\":1}", "refill_per_secnd",
		 "did you mean 'refill_per_second'?"},
		{"{\"capacity\":1,\"refill_per_minute\":1}", "refill_per_minute",
		 "There is no member 'refill_per_minute': write refill_per_second: divide by 60."},
		{"{\"refill_per_hour\":1,\"capacity\":1}", "refill_per_hour", "divide by 3600"},
		{"{\"refill_per_second\":1}", "capacity", "whole number"},
		{"{\"capacity\":0,\"refill_per_second\":1}", "capacity", "whole number"},
		{"{\"capacity\":-1,\"refill_per_second\":1}", "capacity", "whole number"},
		{"{\"capacity\":1.0,\"refill_per_second\":1}", "capacity", "whole number"},
		{"{\"capacity\":\"1\",\"refill_per_second\":1}", "capacity", "whole number"},
		{"{\"capacity\":1099511627777,\"refill_per_second\":1}", "capacity", "2^40"},
		{"{\"capacity\":99999999999999999999,\"refill_per_second\":1}", "capacity",
		 "too large: write a capacity of at most 2^40"},
		{"{\"capacity\":1}", "refill_per_second", "missing"},
		{"{\"capacity\":1,\"refill_per_second\":\"1\"}", "refill_per_second", "number"},
		{"{\"capacity\":1,\"refill_per_second\":0}", "refill_per_second", "over 0"},
		{"{\"capacity\":1,\"refill_per_second\":-1}", "refill_per_second", "over 0"},
		{"{\"capacity\":1,\"refill_per_second\":1e300}", "refill_per_second", "1e15"},
		{"{\"capacity\":1,\"refill_per_second\":1e999}", "refill_per_second",
		 "a refill_per_second below 1e15"},
		{"{\"capacity\":1,\"rate\" : -1e999 }", "", "too large"},
		{"{\"x\\\"capacity\":1e999}", "", "too large"},
		{"{\"capacity\":1,\"refill_per_second\":1,\"capacity\" :1}", "capacity", "twice"},
		{"{\"capacity\":1,\"c\\u0061pacity\":1}", "", "twice"},
		{"{\"capacity\":1,\"refill_per_second\":1,}", "", "not JSON: line 1, column 37"},
		{"null", "", "not a JSON object"},
		{"{\"capacity\":1,\"refill_per_second\":NaN}", "", "not JSON"},
		{"{\"capacity\":1000000,\"refill_per_second\":0.001}", "refill_per_second",
		 "416 days"},
		{"{\"capacity\":1,\"refill_per_second\":1,\"on_error\":\"Deny\"}", "on_error",
		 "\"local\""},
		{"{\"capacity\":1,\"refill_per_second\":1,\"on_error\":null}", "on_error",
		 "\"local\""},
	};
	struct thr_fault fault;
	struct thr_quota quota;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t length = strlen(cases[i].text);

		fault = (struct thr_fault){"", ""};
		assert_int_equal(thr_quota_parse(before_the_edge(cases[i].text, length), length,
						 THR_ON_ERROR_LOCAL, &quota, &fault),
				 -22);
		if (strcmp(fault.field, cases[i].field) || !strstr(fault.detail, cases[i].part))
			fail_msg("%s: \"%s\": %s", cases[i].text, fault.field, fault.detail);
	}
}

static void a_deeply_nested_body_is_refused(void **state)
{
	static char text[60000];
	struct thr_fault fault;
	struct thr_quota quota;

	(void)state;
	memset(text, '[', sizeof(text));
	assert_true(thr_quota_parse(text, sizeof(text), THR_ON_ERROR_LOCAL, &quota, &fault) < 0);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_quota_is_read_and_written_alike),
		cmocka_unit_test(what_is_no_quota_is_refused_with_its_field),
		cmocka_unit_test(a_deeply_nested_body_is_refused),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
