/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The wall clock of a worker, and the date that its answers have: written once a second.
 *
 * It is the loop's monotonic time plus a difference that is looked at once a second, so that
 * within a turn it costs no call, and a clock that is set is followed within a second.
 */
#ifndef THR_HTTP_DATE_H
#define THR_HTTP_DATE_H

#include <stdint.h>

/* IMF-fixdate (RFC 9110, 5.6.7), 29 bytes and a NUL, of seconds since 1970. */
#define THR_HTTP_DATE_TEXT 30
void thr_http_date_format(uint64_t seconds, char text[static THR_HTTP_DATE_TEXT]);

/* All zeros: not looked at yet. */
struct thr_wall {
	uint64_t ahead_ns; /* of the monotonic clock; modulo 2^64 */
	uint64_t looked_ns;
	uint64_t date_s;
	char date[THR_HTTP_DATE_TEXT];
};

/* Nanoseconds since 1970 at `now_ns` of the monotonic clock, of which no call's is before
 * that of the last one. */
uint64_t thr_wall_ns(struct thr_wall *wall, uint64_t now_ns);

/* The same as an IMF-fixdate, valid until the next call. */
const char *thr_wall_date(struct thr_wall *wall, uint64_t now_ns);

#endif
