/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Durations: what is read, what is refused, how they are written. */
#include <errno.h>

#include "core/duration.h"
#include "support/run.h"

static void durations_are_read_with_their_unit(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} cases[] = {
		{"1ms", 1},	   {"500ms", 500},	     {"10s", 10000},
		{"10", 10000},	   {"5m", 300000},	     {"1h", 3600000},
		{"24h", 86400000}, {"86400000ms", 86400000}, {"86400", 86400000},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t ms = 7;

		assert_int_equal(thr_duration_parse(cases[i].text, &ms), 0);
		assert_int_equal(ms, cases[i].ms);
	}
}

static void what_is_not_a_duration_is_refused_and_changes_nothing(void **state)
{
	static const struct {
		const char *text;
		int code;
	} cases[] = {
		{"", -EINVAL},
		{"s", -EINVAL},
		{"-1s", -EINVAL},
		{"+1s", -EINVAL},
		{" 1s", -EINVAL},
		{"1 s", -EINVAL},
		{"1s ", -EINVAL},
		{"1.5s", -EINVAL},
		{"1d", -EINVAL},
		{"1S", -EINVAL},
		{"1sec", -EINVAL},
		{"1m30s", -EINVAL},
		{"01s", -EINVAL},
		{"00", -EINVAL},
		{"0x1s", -EINVAL},
		{"1k", -EINVAL},
		{"1us", -EINVAL},
		{"0", -ERANGE},
		{"0ms", -ERANGE},
		{"0h", -ERANGE},
		{"25h", -ERANGE},
		{"86401", -ERANGE},
		{"86400001ms", -ERANGE},
		{"18446744073709551616ms", -ERANGE},
		{"5124095576030432h", -ERANGE},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t ms = 7;

		assert_int_equal(thr_duration_parse(cases[i].text, &ms), cases[i].code);
		assert_int_equal(ms, 7);
	}
}

static void durations_are_written_in_the_largest_exact_unit(void **state)
{
	static const struct {
		uint64_t ms;
		const char *text;
	} cases[] = {
		{1, "1ms"},	{1500, "1500ms"}, {1000, "1s"},	     {90000, "90s"},
		{120000, "2m"}, {3600000, "1h"},  {86400000, "24h"}, {86399999, "86399999ms"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[THR_DURATION_TEXT];
		uint64_t again;

		thr_duration_format(cases[i].ms, text);
		assert_string_equal(text, cases[i].text);
		assert_int_equal(thr_duration_parse(text, &again), 0);
		assert_int_equal(again, cases[i].ms);
	}
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_are_read_with_their_unit),
		cmocka_unit_test(what_is_not_a_duration_is_refused_and_changes_nothing),
		cmocka_unit_test(durations_are_written_in_the_largest_exact_unit),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
