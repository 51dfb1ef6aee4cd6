/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counts and rates: what is read, what is refused, what a bucket can keep. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "core/rate.h"
#include "support/run.h"

static void counts_are_read_with_their_suffix(void **state)
{
	static const struct {
		const char *text;
		uint64_t count;
	} cases[] = {
		{"0", 0},
		{"1", 1},
		{"40", 40},
		{"10k", 10000},
		{"0k", 0},
		{"1M", 1000000},
		{"3G", 3000000000},
		{"1099511627776", THR_COUNT_MAX},
		{"1099G", 1099000000000},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t count = 7;

		assert_int_equal(thr_count_parse(cases[i].text, &count), 0);
		assert_int_equal(count, cases[i].count);
	}
}

static void what_is_not_a_count_is_refused_and_changes_nothing(void **state)
{
	static const struct {
		const char *text;
		int code;
	} cases[] = {
		{"", -EINVAL},
		{"k", -EINVAL},
		{"-1", -EINVAL},
		{"+1", -EINVAL},
		{" 1", -EINVAL},
		{"1 ", -EINVAL},
		{"1.5", -EINVAL},
		{"1e3", -EINVAL},
		{"0x10", -EINVAL},
		{"010", -EINVAL},
		{"1K", -EINVAL},
		{"1m", -EINVAL},
		{"1kk", -EINVAL},
		{"1k0", -EINVAL},
		{"k1", -EINVAL},
		{"1099511627777", -ERANGE},
		{"1100G", -ERANGE},
		{"18446744073709551616", -ERANGE},
		{"18446744073709551617k", -ERANGE},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t count = 7;

		assert_int_equal(thr_count_parse(cases[i].text, &count), cases[i].code);
		assert_int_equal(count, 7);
	}
}

static void rates_are_read_and_leave_the_burst(void **state)
{
	static const struct {
		const char *text;
		uint64_t count;
		uint32_t per_s;
	} cases[] = {
		{"20/s", 20, 1},     {"300/m", 300, 60},    {"10/h", 10, 3600},
		{"10k/s", 10000, 1}, {"2M/m", 2000000, 60},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct thr_rate rate = {.burst = 9};

		assert_int_equal(thr_rate_parse(cases[i].text, &rate), 0);
		assert_int_equal(rate.count, cases[i].count);
		assert_int_equal(rate.per_s, cases[i].per_s);
		assert_int_equal(rate.burst, 9);
	}
}

static void what_is_not_a_rate_is_refused_and_changes_nothing(void **state)
{
	static const struct {
		const char *text;
		int code;
	} cases[] = {
		{"", -EINVAL},	    {"20", -EINVAL},	 {"20/", -EINVAL},   {"/s", -EINVAL},
		{"0/s", -EINVAL},   {"20/d", -EINVAL},	 {"20/ss", -EINVAL}, {"20/S", -EINVAL},
		{"20 /s", -EINVAL}, {"20/s/s", -EINVAL}, {"-20/s", -EINVAL}, {"2000G/s", -ERANGE},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct thr_rate rate = {1, 2, 3};

		assert_int_equal(thr_rate_parse(cases[i].text, &rate), cases[i].code);
		assert_int_equal(rate.count, 1);
		assert_int_equal(rate.burst, 2);
		assert_int_equal(rate.per_s, 3);
	}
}

static void rates_are_written_as_short_as_is_exact(void **state)
{
	static const struct {
		struct thr_rate rate;
		const char *text;
	} cases[] = {
		{{20, 1, 1}, "20/s"},	      {{300, 1, 60}, "300/m"},
		{{7, 1, 3600}, "7/h"},	      {{1000, 1, 1}, "1k/s"},
		{{1500, 1, 1}, "1500/s"},     {{20000000, 1, 60}, "20M/m"},
		{{3000000000, 1, 1}, "3G/s"}, {{THR_COUNT_MAX, 1, 1}, "1099511627776/s"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[THR_RATE_TEXT];
		struct thr_rate again;

		thr_rate_format(&cases[i].rate, text);
		assert_string_equal(text, cases[i].text);
		assert_int_equal(thr_rate_parse(text, &again), 0);
		assert_int_equal(again.count, cases[i].rate.count);
		assert_int_equal(again.per_s, cases[i].rate.per_s);
	}
}

static void a_count_of_0_is_written_without_suffix(void **state)
{
	char text[THR_RATE_TEXT];

	(void)state;
	thr_count_format(0, text);
	assert_string_equal(text, "0");
}

static void a_bucket_keeps_what_comes_back_in_416_days_and_no_sooner_than_a_tick(void **state)
{
	static const struct {
		struct thr_rate rate;
		int code;
	} cases[] = {
		{{1, 1, 1}, 0},
		{{1, 1, 3600}, 0},
		{{THR_COUNT_MAX, THR_COUNT_MAX, 1}, 0},
		{{1, 36000000, 1}, 0},	     /* 416.67 days */
		{{1, 36100000, 1}, -ERANGE}, /* 417.8 days */
		{{1, 10100, 3600}, -ERANGE},
		{{1, UINT64_MAX, 1}, -ERANGE},
		{{THR_COUNT_MAX, 1, 1}, -EDOM},
		{{0, 1, 1}, -EINVAL},
		{{1, 0, 1}, -EINVAL},
		{{1, 1, 0}, -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(thr_rate_check(&cases[i].rate), cases[i].code);
}

static void decimals_are_read_to_the_nearest_double(void **state)
{
	static const struct {
		const char *text;
		double number;
	} cases[] = {
		{"1", 1.0},
		{"0.1", 0.1},
		{"10.50", 10.5},
		{"0.0001", 0.0001},
		{"3.14159265358979", 3.14159265358979},
		{"999999999999999", 999999999999999.0},
		{"0.0000000000000000000001", 1e-22},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		double number = 0;

		assert_int_equal(thr_decimal_parse(cases[i].text, &number), 0);
		assert_true(number == cases[i].number);
	}
}

static void what_is_not_a_decimal_is_refused_and_changes_nothing(void **state)
{
	static const struct {
		const char *text;
		int code;
	} cases[] = {
		{"", -EINVAL},
		{".5", -EINVAL},
		{"5.", -EINVAL},
		{"05", -EINVAL},
		{"00.5", -EINVAL},
		{"-1", -EINVAL},
		{"+1", -EINVAL},
		{" 1", -EINVAL},
		{"1 ", -EINVAL},
		{"1e3", -EINVAL},
		{"1.2.3", -EINVAL},
		{"1,5", -EINVAL},
		{"nan", -EINVAL},
		{"inf", -EINVAL},
		{"0x1", -EINVAL},
		{"0", -ERANGE},
		{"0.0", -ERANGE},
		{"1000000000000000", -ERANGE},
		{"1.000000000000000", -ERANGE},
		{"0.00000000000000000000001", -ERANGE},
		{"99999999999999999999999999", -ERANGE},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		double number = 7;

		assert_int_equal(thr_decimal_parse(cases[i].text, &number), cases[i].code);
		assert_true(number == 7);
	}
}

static void a_refill_has_an_interval_in_64_bits(void **state)
{
	(void)state;
	assert_int_equal(thr_refill_interval(1), 1000000000ULL << 20);
	assert_int_equal(thr_refill_interval(0.5), 2000000000ULL << 20);
	assert_int_equal(thr_refill_interval(3), ((1000000000ULL << 20) + 1) / 3);
	assert_int_equal(thr_refill_interval(THR_REFILL_LEAST) / 1000000,
			 (10000000000000ULL << 20) / 1000000);
	assert_int_equal(thr_refill_interval(1e15), 1);
}

static void a_refill_fits_what_a_bucket_keeps(void **state)
{
	static const struct {
		double per_s;
		uint64_t burst;
		int code;
	} cases[] = {
		{10, 100, 0},
		{0.0001, 1, 0},
		{0.0001, 3000, 0},
		{0.0001, 4000, -ERANGE},
		{0.00009, 1, -EINVAL},
		{0, 1, -EINVAL},
		{-1, 1, -EINVAL},
		{NAN, 1, -EINVAL},
		{10, 0, -EINVAL},
		{1, 1ULL << 40, -ERANGE},
		{1e9, 1ULL << 40, 0},
		{1e9, (1ULL << 40) + 1, -ERANGE},
		{1e14, 1, -EDOM},
		{1e15, 1ULL << 40, 0},
		{INFINITY, 1ULL << 40, -EDOM},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(thr_refill_check(cases[i].per_s, cases[i].burst), cases[i].code);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_are_read_with_their_suffix),
		cmocka_unit_test(what_is_not_a_count_is_refused_and_changes_nothing),
		cmocka_unit_test(rates_are_read_and_leave_the_burst),
		cmocka_unit_test(what_is_not_a_rate_is_refused_and_changes_nothing),
		cmocka_unit_test(rates_are_written_as_short_as_is_exact),
		cmocka_unit_test(a_count_of_0_is_written_without_suffix),
		cmocka_unit_test(
			a_bucket_keeps_what_comes_back_in_416_days_and_no_sooner_than_a_tick),
		cmocka_unit_test(decimals_are_read_to_the_nearest_double),
		cmocka_unit_test(what_is_not_a_decimal_is_refused_and_changes_nothing),
		cmocka_unit_test(a_refill_has_an_interval_in_64_bits),
		cmocka_unit_test(a_refill_fits_what_a_bucket_keeps),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
