/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Counts and rates as text: "40", "10k", "1M", "20/s", "300/m", "0.25".
 * Suffixes k, M and G are powers of 1000.
 */
#ifndef THR_RATE_H
#define THR_RATE_H

#include <stdint.h>

struct thr_rate {
	uint64_t count; /* in per_s seconds; 0: no rate was given */
	uint64_t burst; /* tokens that may be taken at once */
	uint32_t per_s; /* 1, 60 or 3600 */
};

#define THR_RATE_TEXT 32
#define THR_COUNT_MAX (1ULL << 40) /* the largest burst that thr_bucket.h keeps */

/* Parse a count with an optional suffix. Returns 0, or -EINVAL for anything that
 * is not a whole number (no sign, no space, no leading zero, nothing after it),
 * -ERANGE beyond THR_COUNT_MAX. 0 is accepted. *ret_count is set on success. */
int thr_count_parse(const char *text, uint64_t *ret_count);

/* Parse "20/s", "300/m", "10/h". Sets count and per_s, leaves burst; changes
 * nothing on failure. Returns 0, -EINVAL, -ERANGE; a count of 0 is -EINVAL. */
int thr_rate_parse(const char *text, struct thr_rate *ret_rate);

/* Parse a decimal number over 0, such as "10" or "0.25", to the double nearest to it.
 * Returns 0, or with *ret_number unchanged -EINVAL for what is not digits with maybe a
 * '.' and digits (no sign, no exponent, no leading zero but before the '.'), -ERANGE
 * for 0, for more than 15 digits that count, and below 1e-22. */
int thr_decimal_parse(const char *text, double *ret_number);

/* "20/s": the shortest exact form, with a suffix where the count has one. */
void thr_rate_format(const struct thr_rate *rate, char text[static THR_RATE_TEXT]);
void thr_count_format(uint64_t count, char text[static THR_RATE_TEXT]);

/* A frame that no burst of bytes may be smaller than: an Ethernet header and a
 * full MTU. The default burst of bytes holds what segmentation offload hands
 * over at once. */
#define THR_FRAME_BYTES 1514
#define THR_BYTE_BURST_LEAST 65536

/* Where no burst was given (0), set it to what comes in a second, rounded up,
 * and to `least` at least. */
void thr_rate_default_burst(struct thr_rate *rate, uint64_t least);

/* Whether a bucket can keep the rate and its burst (thr_bucket.h): 0, -EINVAL when
 * either is 0, -ERANGE when the burst would take longer than 416 days to come
 * back, -EDOM when it would come back within one tick (1/16 ns). */
int thr_rate_check(const struct thr_rate *rate);

/* The same for `burst` tokens of which `per_s`, maybe a fraction, come back in a second.
 * -EINVAL too for less than THR_REFILL_LEAST, of which 64 bits do not hold the time that
 * one token takes. */
#define THR_REFILL_LEAST 0.0001
int thr_refill_check(double per_s, uint64_t burst);

/* What to write in the place of a refill by another time, "refill_per_minute" and the like;
 * NULL for any other name. */
const char *thr_refill_hint(const char *name);

/* The time of one token in units of thr_bucket.h, rounded to nearest; `per_s` is at least
 * THR_REFILL_LEAST. */
uint64_t thr_refill_interval(double per_s);

#endif
