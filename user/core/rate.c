/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counts and rates to and from text, and what a bucket can keep; see rate.h. */
#include "core/rate.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "thr_bucket.h"

static const struct {
	char letter;
	uint64_t factor;
} suffixes[] = {{'G', 1000000000}, {'M', 1000000}, {'k', 1000}};
#define SUFFIXES (sizeof(suffixes) / sizeof(suffixes[0]))

static const struct {
	char letter;
	uint32_t per_s;
} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}};
#define UNITS (sizeof(units) / sizeof(units[0]))

/* Powers of ten, and the integers below them, that a double has exactly. */
#define DECIMAL_FRACTION_MAX 22
#define DECIMAL_MANTISSA_MAX 999999999999999

static uint64_t suffix_factor(char letter)
{
	for (size_t i = 0; i < SUFFIXES; i++)
		if (suffixes[i].letter == letter)
			return suffixes[i].factor;
	return 0;
}

/* A count in the `length` bytes at `text`. */
static int parse_count(const char *text, size_t length, uint64_t *ret_count)
{
	uint64_t factor = length ? suffix_factor(text[length - 1]) : 0;
	uint64_t count = 0;

	if (factor)
		length--;
	else
		factor = 1;
	if (!length || (text[0] == '0' && length > 1))
		return -EINVAL;
	if (strspn(text, "0123456789") < length)
		return -EINVAL;
	for (size_t i = 0; i < length; i++) {
		count = count * 10 + (uint64_t)(text[i] - '0');
		if (count > THR_COUNT_MAX)
			return -ERANGE;
	}
	if (count > THR_COUNT_MAX / factor)
		return -ERANGE;
	*ret_count = count * factor;
	return 0;
}

int thr_count_parse(const char *text, uint64_t *ret_count)
{
	return parse_count(text, strlen(text), ret_count);
}

int thr_rate_parse(const char *text, struct thr_rate *ret_rate)
{
	const char *slash = strchr(text, '/');
	uint64_t count;
	int r;

	if (!slash || !slash[1] || slash[2])
		return -EINVAL;
	r = parse_count(text, (size_t)(slash - text), &count);
	if (r < 0)
		return r;
	if (!count)
		return -EINVAL;
	for (size_t i = 0; i < UNITS; i++) {
		if (units[i].letter == slash[1]) {
			ret_rate->count = count;
			ret_rate->per_s = units[i].per_s;
			return 0;
		}
	}
	return -EINVAL;
}

int thr_decimal_parse(const char *text, double *ret_number)
{
	size_t whole = strspn(text, "0123456789");
	size_t fraction = text[whole] == '.' ? strspn(text + whole + 1, "0123456789") : 0;
	uint64_t mantissa = 0;
	double divisor = 1;

	if (!whole || (text[0] == '0' && whole > 1))
		return -EINVAL;
	if (text[whole] == '.' ? !fraction || text[whole + 1 + fraction] : text[whole] != 0)
		return -EINVAL;
	if (fraction > DECIMAL_FRACTION_MAX)
		return -ERANGE;
	for (const char *at = text; *at; at++) {
		if (*at == '.')
			continue;
		mantissa = mantissa * 10 + (uint64_t)(*at - '0');
		if (mantissa > DECIMAL_MANTISSA_MAX)
			return -ERANGE;
	}
	if (!mantissa)
		return -ERANGE;
	/* Both are exact in a double, so that the one division rounds correctly. */
	for (; fraction; fraction--)
		divisor *= 10;
	*ret_number = (double)mantissa / divisor;
	return 0;
}

void thr_count_format(uint64_t count, char text[static THR_RATE_TEXT])
{
	for (size_t i = 0; i < SUFFIXES; i++) {
		if (count && count % suffixes[i].factor == 0) {
			snprintf(text, THR_RATE_TEXT, "%" PRIu64 "%c", count / suffixes[i].factor,
				 suffixes[i].letter);
			return;
		}
	}
	snprintf(text, THR_RATE_TEXT, "%" PRIu64, count);
}

void thr_rate_format(const struct thr_rate *rate, char text[static THR_RATE_TEXT])
{
	size_t used;
	char letter = 's';

	for (size_t i = 0; i < UNITS; i++)
		if (units[i].per_s == rate->per_s)
			letter = units[i].letter;
	thr_count_format(rate->count, text);
	used = strlen(text);
	snprintf(text + used, THR_RATE_TEXT - used, "/%c", letter);
}

void thr_rate_default_burst(struct thr_rate *rate, uint64_t least)
{
	if (rate->burst)
		return;
	rate->burst = (rate->count + rate->per_s - 1) / rate->per_s;
	if (rate->burst < least)
		rate->burst = least;
}

/* `interval` is the time of one token, in 2^-20 ns. */
static int check_interval(uint64_t interval, uint64_t burst)
{
	if (thr_bucket_fits(interval, burst))
		return 0;
	/* A burst past the largest count is refused as one that takes too long. */
	if (burst <= THR_COUNT_MAX && interval < 1ULL << THR_INTERVAL_TO_TICK &&
	    !thr_bucket_ticks(interval, burst))
		return -EDOM;
	return -ERANGE;
}

int thr_rate_check(const struct thr_rate *rate)
{
	if (!rate->count || !rate->per_s || !rate->burst)
		return -EINVAL;
	return check_interval(thr_bucket_interval(rate->count, rate->per_s), rate->burst);
}

uint64_t thr_refill_interval(double per_s)
{
	const double units_per_s = 1e9 * (1 << THR_INTERVAL_SHIFT);

	return (uint64_t)(units_per_s / per_s + 0.5);
}

const char *thr_refill_hint(const char *name)
{
	static const struct {
		const char *name, *hint;
	} hints[] = {
		{"refill_per_minute", "write refill_per_second: divide by 60"},
		{"refill_per_hour", "write refill_per_second: divide by 3600"},
		{"refill_per_day", "write refill_per_second: divide by 86400"},
	};

	for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++)
		if (strcmp(name, hints[i].name) == 0)
			return hints[i].hint;
	return NULL;
}

int thr_refill_check(double per_s, uint64_t burst)
{
	if (!(per_s >= THR_REFILL_LEAST) || !burst)
		return -EINVAL;
	return check_interval(thr_refill_interval(per_s), burst);
}
