/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Text into memory of fixed size, for what is written once or twice a request:
 * no format strings, and one check for all the pieces that it covers. A put is
 * not checked by itself: it comes after a thr_writer_has() that counted it, or
 * where the memory is known to hold the longest text.
 *
 * A piece that does not fit is left out, and `full` says so at the end.
 */
#ifndef THR_WRITER_H
#define THR_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/slice.h"

struct thr_writer {
	char *at;
	char *end;
	bool full; /* something did not fit */
};

#define THR_DECIMAL_MAX 20 /* digits of a uint64_t */

static inline bool thr_writer_has(struct thr_writer *writer, size_t need)
{
	if (need <= (size_t)(writer->end - writer->at))
		return true;
	writer->full = true;
	return false;
}

static inline void thr_put(struct thr_writer *writer, const char *bytes, size_t length)
{
	if (!length) /* an empty slice may point nowhere */
		return;
	memcpy(writer->at, bytes, length);
	writer->at += length;
}

#define THR_PUT(writer, literal) thr_put(writer, literal, sizeof(literal) - 1)

static inline void thr_put_slice(struct thr_writer *writer, struct thr_slice slice)
{
	thr_put(writer, slice.at, slice.length);
}

extern const char thr_digit_pairs[201]; /* "00" to "99" */
extern const uint64_t thr_powers_of_ten[THR_DECIMAL_MAX];

/* A number of n bits has n * log10(2) digits, or one more: 1233 / 4096 is close enough for 64. */
static inline size_t thr_decimal_length(uint64_t value)
{
	size_t least = (size_t)(64 - __builtin_clzll(value | 1)) * 1233 >> 12;

	return least + ((value | 1) >= thr_powers_of_ten[least]);
}

/* Write the digits of `value` up to `end`, which has thr_decimal_length() bytes before it. */
static inline void thr_decimal_fill(uint64_t value, char *end)
{
	for (; value >= 100; value /= 100)
		memcpy(end -= 2, &thr_digit_pairs[value % 100 * 2], 2);
	if (value >= 10)
		memcpy(end - 2, &thr_digit_pairs[value * 2], 2);
	else
		end[-1] = (char)('0' + value);
}

/* The digits of `value`, in `text`. */
static inline struct thr_slice thr_decimal(uint64_t value, char text[static THR_DECIMAL_MAX])
{
	size_t length = thr_decimal_length(value);

	thr_decimal_fill(value, text + length);
	return (struct thr_slice){text, length};
}

static inline void thr_put_decimal(struct thr_writer *writer, uint64_t value)
{
	writer->at += thr_decimal_length(value);
	thr_decimal_fill(value, writer->at);
}

#endif
