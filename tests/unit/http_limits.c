/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What clients are told of a limit, to the byte. */
#include "http/limits.h"

#include <string.h>

#include "core/clock.h"
#include "support/run.h"

#define S THR_NS_PER_S

static void seconds_are_rounded_up(void **state)
{
	(void)state;
	assert_int_equal(thr_seconds_up(0, 0), 0);
	assert_int_equal(thr_seconds_up(0, 1), 1);
	assert_int_equal(thr_seconds_up(1, 0), 1);
	assert_int_equal(thr_seconds_up(S, 0), 1);
	assert_int_equal(thr_seconds_up(S + 1, 1), 2);
	assert_int_equal(thr_seconds_up(UINT64_MAX, 1), 18446744074);
}

static void assert_fields(const char *policy, const struct thr_standing *standing, const char *text)
{
	char fields[THR_LIMIT_FIELDS_MAX];
	size_t length = thr_http_limit_fields(policy, standing, fields);

	assert_int_equal(length, strlen(text));
	assert_memory_equal(fields, text, length);
}

static void an_allowed_request_is_told_what_is_left(void **state)
{
	struct thr_standing standing = {true, 100, 2 * S, 99, S / 50, 0};

	(void)state;
	assert_fields("default", &standing,
		      "RateLimit-Policy: \"default\";q=100;w=2\r\n"
		      "RateLimit: \"default\";r=99;t=1\r\n");
	standing = (struct thr_standing){true, 1, S / 1000, 1, 0, 0};
	assert_fields("/api", &standing,
		      "RateLimit-Policy: \"/api\";q=1;w=1\r\n"
		      "RateLimit: \"/api\";r=1;t=0\r\n");
}

static void a_refused_request_is_told_when_to_come_back(void **state)
{
	struct thr_standing standing = {false, 10, 100 * S, 0, 100 * S, 9 * S + 1};

	(void)state;
	assert_fields("default", &standing,
		      "RateLimit-Policy: \"default\";q=10;w=100\r\n"
		      "RateLimit: \"default\";r=0;t=10\r\n"
		      "Retry-After: 10\r\n");
	standing.retry_ns = 1;
	assert_fields("default", &standing,
		      "RateLimit-Policy: \"default\";q=10;w=100\r\n"
		      "RateLimit: \"default\";r=0;t=1\r\n"
		      "Retry-After: 1\r\n");
}

static void a_policy_s_name_is_a_string(void **state)
{
	struct thr_standing standing = {true, 1, S, 0, S, 0};

	(void)state;
	assert_fields("a\"b\\c", &standing,
		      "RateLimit-Policy: \"a\\\"b\\\\c\";q=1;w=1\r\n"
		      "RateLimit: \"a\\\"b\\\\c\";r=0;t=1\r\n");
}

static void the_longest_fields_fit(void **state)
{
	struct thr_standing standing = {false,	    UINT64_MAX, UINT64_MAX,
					UINT64_MAX, UINT64_MAX, UINT64_MAX};
	char policy[THR_POLICY_MAX + 10], fields[THR_LIMIT_FIELDS_MAX + 1];
	size_t length;

	(void)state;
	memset(policy, '"', sizeof(policy));
	policy[sizeof(policy) - 1] = '\0';
	fields[THR_LIMIT_FIELDS_MAX] = 'x';
	length = thr_http_limit_fields(policy, &standing, fields);
	assert_true(length > 4 * THR_POLICY_MAX && length <= THR_LIMIT_FIELDS_MAX);
	assert_int_equal(fields[THR_LIMIT_FIELDS_MAX], 'x');
}

static void assert_problem(unsigned int status, const char *detail, const char *text)
{
	char problem[THR_PROBLEM_MAX];
	struct thr_problem what = {.status = status, .detail = detail};
	size_t length = thr_http_problem(&what, problem);

	assert_int_equal(length, strlen(text));
	assert_memory_equal(problem, text, length);
}

static void a_problem_is_json(void **state)
{
	(void)state;
	assert_problem(429, "Slow down.",
		       "{\"type\":\"about:blank\",\"title\":\"Too Many Requests\",\"status\":429,"
		       "\"detail\":\"Slow down.\"}\n");
	assert_problem(400, "a\"b\\c\n\x7f\xe9",
		       "{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,"
		       "\"detail\":\"a\\\"b\\\\c\\u000a\\u007f\\u00e9\"}\n");
}

static void a_long_detail_is_cut_between_escapes(void **state)
{
	char detail[2 * THR_PROBLEM_MAX], problem[THR_PROBLEM_MAX + 1];

	(void)state;
	for (size_t shift = 0; shift < 8; shift++) {
		struct thr_problem what = {.status = 431, .detail = detail};
		size_t length;

		memset(detail, '\x01', sizeof(detail));
		memset(detail, 'a', shift);
		detail[sizeof(detail) - 1] = '\0';
		problem[THR_PROBLEM_MAX] = 'x';
		length = thr_http_problem(&what, problem);
		assert_true(length <= THR_PROBLEM_MAX && length > THR_PROBLEM_MAX - 7);
		assert_memory_equal(problem + length - 9, "\\u0001\"}\n", 9);
		assert_int_equal(problem[THR_PROBLEM_MAX], 'x');
	}
}

static void a_problem_names_its_type_and_the_field_at_fault(void **state)
{
	static const struct thr_problem what = {
		.status = 422,
		.type = "urn:example:too-much",
		.title = "Too much",
		.field = "checks[3].\"cost",
		.detail = "Write less.",
	};
	static const char text[] =
		"{\"type\":\"urn:example:too-much\",\"title\":\"Too much\",\"status\":422,"
		"\"field\":\"checks[3].\\\"cost\",\"detail\":\"Write less.\"}\n";
	char problem[THR_PROBLEM_MAX];

	(void)state;
	assert_int_equal(thr_http_problem(&what, problem), strlen(text));
	assert_memory_equal(problem, text, strlen(text));
}

static void the_longest_problem_fits(void **state)
{
	char words[2 * THR_PROBLEM_MAX], odd[2 * THR_PROBLEM_MAX], problem[THR_PROBLEM_MAX + 1];
	struct thr_problem what = {UINT32_MAX, words, words, odd, odd};

	(void)state;
	memset(words, 'a', sizeof(words));
	memset(odd, '\x01', sizeof(odd));
	words[sizeof(words) - 1] = odd[sizeof(odd) - 1] = '\0';
	problem[THR_PROBLEM_MAX] = 'x';
	assert_true(thr_http_problem(&what, problem) <= THR_PROBLEM_MAX);
	assert_int_equal(problem[THR_PROBLEM_MAX], 'x');
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(seconds_are_rounded_up),
		cmocka_unit_test(an_allowed_request_is_told_what_is_left),
		cmocka_unit_test(a_refused_request_is_told_when_to_come_back),
		cmocka_unit_test(a_policy_s_name_is_a_string),
		cmocka_unit_test(the_longest_fields_fit),
		cmocka_unit_test(a_problem_is_json),
		cmocka_unit_test(a_long_detail_is_cut_between_escapes),
		cmocka_unit_test(a_problem_names_its_type_and_the_field_at_fault),
		cmocka_unit_test(the_longest_problem_fits),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
