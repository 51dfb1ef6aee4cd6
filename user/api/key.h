/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Keys of the check API as bytes: any UTF-8 of 1 to THR_KEY_MAX bytes without U+0000, which
 * much of what reads a key later takes for its end. Two ways lead in, a string in JSON and a
 * segment of a path, and both end at the same bytes.
 */
#ifndef THR_API_KEY_H
#define THR_API_KEY_H

#include <stdbool.h>

#include "core/slice.h"
#include "store/quotas.h"

/* The length of the character at `at`, of which `left` bytes (at least 1) may be read: 1 to
 * 4; 0 when it is not UTF-8 (RFC 3629): cut short, overlong, a surrogate, over U+10FFFF. */
size_t thr_utf8_length(const char *at, size_t left);

/* Whether bytes can be a key; else *ret_why is a static phrase that says what would be
 * right. */
bool thr_key_is_valid(struct thr_slice key, const char **ret_why);

/*
 * Decode the segment of a path that is a key: %XX once, all else as it is. Returns 0 with the
 * key in `bytes`, or -EINVAL with *ret_why as above.
 */
int thr_key_decode(struct thr_slice segment, char bytes[static THR_KEY_MAX],
		   struct thr_slice *ret_key, const char **ret_why);

#endif
