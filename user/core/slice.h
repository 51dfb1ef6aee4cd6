/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Bytes that belong to someone else: a pointer and a length, no terminator. */
#ifndef THR_SLICE_H
#define THR_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct thr_slice {
	const char *at;
	size_t length;
};

#define THR_SLICE(literal) ((struct thr_slice){.at = (literal), .length = sizeof(literal) - 1})

static inline bool thr_slice_is(struct thr_slice slice, const char *text)
{
	return strlen(text) == slice.length &&
	       (!slice.length || memcmp(slice.at, text, slice.length) == 0);
}

/* The same, of ASCII letters in any case. */
static inline bool thr_slice_is_word(struct thr_slice slice, const char *text)
{
	return strlen(text) == slice.length && strncasecmp(slice.at, text, slice.length) == 0;
}

/* Whether two C strings are the same; either may be NULL, which is the same as itself only. */
static inline bool thr_same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

#endif
