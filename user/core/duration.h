/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Durations as text: "500ms", "10s", "5m", "1h", and "10", which is seconds.
 * Whole numbers only, and never 0: a time limit that is no limit, or one that
 * nothing can keep, is what a typing mistake looks like.
 */
#ifndef THR_DURATION_H
#define THR_DURATION_H

#include <stdint.h>

#define THR_DURATION_MAX_MS (24 * 3600 * 1000ULL)
#define THR_DURATION_TEXT 24

/* Parse to milliseconds. Returns 0, or with *ret_ms unchanged -EINVAL for what is
 * not a whole number with ms, s, m, h or nothing right after it (no sign, no
 * leading zero), -ERANGE for 0 and beyond THR_DURATION_MAX_MS. */
int thr_duration_parse(const char *text, uint64_t *ret_ms);

/* In the largest unit that is exact: "90s", "2m". */
void thr_duration_format(uint64_t ms, char text[static THR_DURATION_TEXT]);

#endif
