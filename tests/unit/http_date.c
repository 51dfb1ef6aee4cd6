/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Dates, and the wall clock that is looked at once a second, by clocks that the test sets: its
 * clock_gettime() stands in for that of the C library. */
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "http/date.h"
#include "support/run.h"

static uint64_t monotonic_ns, wall_ns;
static unsigned int looks;

int clock_gettime(clockid_t id, struct timespec *now)
{
	uint64_t ns = id == CLOCK_MONOTONIC ? monotonic_ns : wall_ns;

	looks += id == CLOCK_REALTIME;
	*now = (struct timespec){(time_t)(ns / THR_NS_PER_S), (long)(ns % THR_NS_PER_S)};
	return 0;
}

static void pass(uint64_t ns)
{
	monotonic_ns += ns;
	wall_ns += ns;
}

/* 0.25 s into a second of 1994. */
static int setup(void **state)
{
	(void)state;
	monotonic_ns = 1000 * THR_NS_PER_S;
	wall_ns = 784111777 * THR_NS_PER_S + THR_NS_PER_S / 4;
	return 0;
}

static void dates_are_imf_fixdate(void **state)
{
	static const struct {
		uint64_t seconds;
		const char *text;
	} cases[] = {
		{0, "Thu, 01 Jan 1970 00:00:00 GMT"},
		{784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},
		{951827696, "Tue, 29 Feb 2000 12:34:56 GMT"},
		{4102444799, "Thu, 31 Dec 2099 23:59:59 GMT"},
		{253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"},
		{UINT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[THR_HTTP_DATE_TEXT];

		thr_http_date_format(cases[i].seconds, text);
		assert_string_equal(text, cases[i].text);
		assert_int_equal(strlen(text), THR_HTTP_DATE_TEXT - 1);
	}
}

static void the_wall_clock_is_looked_at_once_a_second(void **state)
{
	struct thr_wall wall = {0};

	(void)state;
	looks = 0; /* cmocka's own */
	for (int i = 0; i < 1000; i++, pass(THR_NS_PER_MS))
		assert_int_equal(thr_wall_ns(&wall, monotonic_ns), wall_ns);
	assert_int_equal(looks, 1);
	pass(THR_NS_PER_MS);
	thr_wall_ns(&wall, monotonic_ns);
	assert_int_equal(looks, 2);
}

static void a_clock_that_is_set_is_followed_within_a_second(void **state)
{
	struct thr_wall wall = {0};

	(void)state;
	thr_wall_ns(&wall, monotonic_ns);
	wall_ns -= 3600 * THR_NS_PER_S;
	pass(THR_NS_PER_S + 1);
	assert_int_equal(thr_wall_ns(&wall, monotonic_ns), wall_ns);
	assert_string_equal(thr_wall_date(&wall, monotonic_ns), "Sun, 06 Nov 1994 07:49:38 GMT");
}

static void the_date_follows_the_seconds_of_the_wall_clock(void **state)
{
	struct thr_wall wall = {0};

	(void)state;
	assert_string_equal(thr_wall_date(&wall, monotonic_ns), "Sun, 06 Nov 1994 08:49:37 GMT");
	pass(THR_NS_PER_S / 2);
	assert_string_equal(thr_wall_date(&wall, monotonic_ns), "Sun, 06 Nov 1994 08:49:37 GMT");
	pass(THR_NS_PER_S / 4);
	assert_string_equal(thr_wall_date(&wall, monotonic_ns), "Sun, 06 Nov 1994 08:49:38 GMT");
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(dates_are_imf_fixdate),
		cmocka_unit_test_setup(the_wall_clock_is_looked_at_once_a_second, setup),
		cmocka_unit_test_setup(a_clock_that_is_set_is_followed_within_a_second, setup),
		cmocka_unit_test_setup(the_date_follows_the_seconds_of_the_wall_clock, setup),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
