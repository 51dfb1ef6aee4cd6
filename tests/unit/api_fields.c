/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Values of the fields that the API acts on. */
#include "api/fields.h"

#include <stdio.h>

#include "unit/http_edge.h"

static struct thr_slice slice_of(const char *text)
{
	size_t length = strlen(text);

	return (struct thr_slice){before_the_edge(text, length), length};
}

static void json_is_told_by_its_type_alone(void **state)
{
	static const char *const good[] = {"application/json", "APPLICATION/json",
					   "application/json;charset=utf-8",
					   "application/json ; a=b;c"};
	static const char *const bad[] = {
		"",	     "application/jsonx", "application/problem+json",
		"text/json", ";application/json", "application/json, a/b"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(thr_is_json(slice_of(good[i])));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(thr_is_json(slice_of(bad[i])));
}

static void open_metrics_is_for_who_asks_for_it(void **state)
{
	static const struct {
		const char *accept;
		bool open_metrics;
	} cases[] = {
		{"", false},
		{"*/*", false},
		{"application/*", false},
		{"text/plain", false},
		{"application/openmetrics-text", true},
		{"application/openmetrics-text; version=1.0.0; charset=utf-8", true},
		{"application/openmetrics-text;version=2.0.0", false},
		/* what Prometheus 2 and 3 send */
		{"application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
		 "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
		 true},
		{"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
		 "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;"
		 "escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
		 true},
		{"text/plain, application/openmetrics-text", true},
		{"text/plain;q=0.9, application/openmetrics-text;q=0.8", false},
		{"application/openmetrics-text;q=0", false},
		{"application/openmetrics-text;q=0.000, */*", false},
		{"application/openmetrics-text;q=0.001", true},
		{"text/plain;q=0, */*;q=1, application/openmetrics-text;q=0.5", true},
		{"*/*, application/openmetrics-text;q=0.5", false},
		{"image/png", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct thr_accept accept = {0};

		thr_accept_add(&accept, slice_of(cases[i].accept));
		if (thr_accept_prefers_open_metrics(&accept) != cases[i].open_metrics)
			fail_msg("%s", cases[i].accept);
	}
}

static void accept_may_be_in_several_fields(void **state)
{
	struct thr_accept accept = {0};

	(void)state;
	thr_accept_add(&accept, THR_SLICE("text/plain;q=0.5"));
	thr_accept_add(&accept, THR_SLICE("application/openmetrics-text"));
	assert_true(thr_accept_prefers_open_metrics(&accept));
}

static void assert_condition(int kind, const char *value, bool any, const char *versions)
{
	struct thr_condition condition = {0};
	char text[256] = "";
	size_t used = 0;

	assert_int_equal(thr_condition_add(&condition, kind, slice_of(value)), 0);
	assert_int_equal(condition.kind, kind);
	assert_int_equal(condition.any, any);
	for (size_t i = 0; i < condition.count; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%lu", i ? " " : "",
					 (unsigned long)condition.version[i]);
	assert_string_equal(text, versions);
}

static void conditions_keep_the_tags_that_are_versions(void **state)
{
	(void)state;
	assert_condition(THR_IF_MATCH, "*", true, "");
	assert_condition(THR_IF_MATCH, "\"42\"", false, "42");
	assert_condition(THR_IF_MATCH, "\"1\", \"2\",\"3\"", false, "1 2 3");
	assert_condition(THR_IF_MATCH, ", \"1\" ,, ", false, "1");
	assert_condition(THR_IF_MATCH, "W/\"1\", \"2\"", false, "2");
	assert_condition(THR_IF_NONE_MATCH, "W/\"1\", \"2\"", false, "1 2");
	assert_condition(THR_IF_MATCH, "\"\", \"a,b\", \"01\", \"+1\", \"0\", \"1a\"", false, "");
	assert_condition(THR_IF_MATCH, "\"18446744073709551615\", \"18446744073709551616\"", false,
			 "18446744073709551615");
	assert_condition(THR_IF_MATCH, "\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\"", false,
			 "1 2 3 4 5 6 7 8");
}

static void conditions_that_are_none_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		",",
		"42",
		"\"42",
		"42\"",
		"*, \"1\"",
		"\"1\", *",
		"\"1\" \"2\"",
		"w/\"1\"",
		"W/1",
		"W/",
		"\"a b\"",
		"\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct thr_condition condition = {0};

		if (thr_condition_add(&condition, THR_IF_MATCH, slice_of(bad[i])) == 0)
			fail_msg("%s", bad[i]);
	}
}

static void conditions_in_several_fields_are_one_list_of_one_kind(void **state)
{
	struct thr_condition condition = {0};

	(void)state;
	assert_int_equal(thr_condition_add(&condition, THR_IF_MATCH, THR_SLICE("\"1\"")), 0);
	assert_int_equal(thr_condition_add(&condition, THR_IF_MATCH, THR_SLICE("\"2\"")), 0);
	assert_int_equal(condition.count, 2);
	assert_true(thr_condition_add(&condition, THR_IF_NONE_MATCH, THR_SLICE("\"1\"")) < 0);
	assert_true(thr_condition_add(&condition, THR_IF_MATCH, THR_SLICE("*")) < 0);
	condition = (struct thr_condition){0};
	assert_int_equal(thr_condition_add(&condition, THR_IF_MATCH, THR_SLICE("*")), 0);
	assert_true(thr_condition_add(&condition, THR_IF_MATCH, THR_SLICE("\"1\"")) < 0);
}

static void a_token_is_of_the_scheme_bearer(void **state)
{
	(void)state;
	assert_slice(thr_bearer_token(slice_of("Bearer abc")), "abc");
	assert_slice(thr_bearer_token(slice_of("bEARER   abc")), "abc");
	assert_slice(thr_bearer_token(slice_of("Bearer")), "");
	assert_slice(thr_bearer_token(slice_of("Bearer ")), "");
	assert_slice(thr_bearer_token(slice_of("Bearerabc")), "");
	assert_slice(thr_bearer_token(slice_of("Bearer\tabc")), "");
	assert_slice(thr_bearer_token(slice_of("Bearer abc def")), "");
	assert_slice(thr_bearer_token(slice_of("Basic abc")), "");
	assert_slice(thr_bearer_token(slice_of("abc")), "");
	assert_slice(thr_bearer_token(THR_SLICE("")), "");
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_is_told_by_its_type_alone),
		cmocka_unit_test(open_metrics_is_for_who_asks_for_it),
		cmocka_unit_test(accept_may_be_in_several_fields),
		cmocka_unit_test(conditions_keep_the_tags_that_are_versions),
		cmocka_unit_test(conditions_that_are_none_are_refused),
		cmocka_unit_test(conditions_in_several_fields_are_one_list_of_one_kind),
		cmocka_unit_test(a_token_is_of_the_scheme_bearer),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
