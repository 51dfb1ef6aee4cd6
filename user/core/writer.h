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

/* The digits of `value`, at the end of `text`. */
static inline struct thr_slice thr_decimal(uint64_t value, char text[static THR_DECIMAL_MAX])
{
	size_t first = THR_DECIMAL_MAX;

	do {
		text[--first] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	return (struct thr_slice){text + first, THR_DECIMAL_MAX - first};
}

static inline void thr_put_decimal(struct thr_writer *writer, uint64_t value)
{
	char text[THR_DECIMAL_MAX];

	thr_put_slice(writer, thr_decimal(value, text));
}

#endif
