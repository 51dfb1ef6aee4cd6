/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "core/writer.h"

#include <inttypes.h>
#include <stdio.h>

#include "support/run.h"

static void assert_digits_of(uint64_t value)
{
	char expected[THR_DECIMAL_MAX + 1], text[THR_DECIMAL_MAX + 2];
	struct thr_writer writer = {.at = text, .end = text + THR_DECIMAL_MAX};
	struct thr_slice digits;

	snprintf(expected, sizeof(expected), "%" PRIu64, value);
	memset(text, '#', sizeof(text));
	digits = thr_decimal(value, text);
	assert_int_equal(digits.length, strlen(expected));
	assert_memory_equal(digits.at, expected, digits.length);

	/* In their place, and nothing behind it. */
	memset(text, '#', sizeof(text));
	thr_put_decimal(&writer, value);
	assert_int_equal(writer.at - text, strlen(expected));
	assert_memory_equal(text, expected, strlen(expected));
	assert_int_equal(*writer.at, '#');
}

static void a_number_has_its_digits(void **state)
{
	(void)state;
	for (uint64_t value = 0; value < 100000; value++)
		assert_digits_of(value);
}

static void lengths_change_at_powers_of_ten_and_of_two(void **state)
{
	(void)state;
	for (uint64_t power = 1;; power *= 10) {
		assert_digits_of(power - 1);
		assert_digits_of(power);
		assert_digits_of(power + 1);
		if (power > UINT64_MAX / 10)
			break;
	}
	for (unsigned int bit = 0; bit < 64; bit++) {
		assert_digits_of((1ULL << bit) - 1);
		assert_digits_of(1ULL << bit);
	}
	assert_digits_of(UINT64_MAX);
}

static void what_does_not_fit_is_known(void **state)
{
	char text[4];
	struct thr_writer writer = {.at = text, .end = text + sizeof(text)};

	(void)state;
	assert_true(thr_writer_has(&writer, 4));
	THR_PUT(&writer, "abc");
	assert_false(writer.full);
	assert_false(thr_writer_has(&writer, 2));
	assert_true(writer.full);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_number_has_its_digits),
		cmocka_unit_test(lengths_change_at_powers_of_ten_and_of_two),
		cmocka_unit_test(what_does_not_fit_is_known),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
