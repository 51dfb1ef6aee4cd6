/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The line that is written for each request:
 *
 *   2026-11-21T20:17:46.123Z 192.0.2.7 "GET /api/users?id=7" 200 1532 2.104ms
 *       127.0.0.1:8000 1.870ms allowed 5f2b...          (one line)
 *   {"time":"...","client":"192.0.2.7","method":"GET","target":"/api/users?id=7",
 *    "status":200,"bytes":1532,"duration_ms":2.104,"upstream":"127.0.0.1:8000",
 *    "upstream_ms":1.870,"verdict":"allowed","request_id":"5f2b..."}
 *
 * What there is none of is "-" in text and null in JSON. Durations are cut to the
 * microsecond.
 *
 * No body, no field of the request but its id. Control bytes, '"' and '\' are
 * escaped (JSON escapes in JSON, \xHH in text), bytes beyond ASCII too (JSON:
 * as the Latin-1 code point), and in text spaces: a line of text has eleven parts
 * with one space between them, whatever was sent.
 */
#ifndef THR_ACCESS_H
#define THR_ACCESS_H

#include "core/address.h"
#include "core/log.h"
#include "core/slice.h"

enum thr_access_verdict {
	THR_VERDICT_NONE,    /* not asked: refused before, or no limit applies */
	THR_VERDICT_ALLOWED, /* "allowed" */
	THR_VERDICT_LIMITED, /* "limited": 429 */
};

#define THR_ACCESS_TARGET_MAX 1024 /* bytes of the target that are kept; "..." after a cut */

struct thr_access {
	uint64_t wall_ns;		  /* when the request's head was complete */
	const struct thr_address *client; /* NULL: not known */
	struct thr_slice method;	  /* empty: none was read; 32 bytes are kept */
	struct thr_slice target;	  /* empty: none was read */
	unsigned int status; /* 0: the client went before an answer; no number stands for it */
	uint64_t bytes;	     /* sent to the client, heads included */
	uint64_t duration_ns;
	const char *upstream; /* NULL: none */
	uint64_t upstream_ns;
	enum thr_access_verdict verdict;
	struct thr_slice request_id; /* may be empty */
};

#define THR_ACCESS_LINE_MAX 9216
/* The line with its newline. Returns its length. The date is kept for the next
 * line of the same second, for each thread. */
size_t thr_access_format(char line[static THR_ACCESS_LINE_MAX], enum thr_log_format format,
			 const struct thr_access *access);

#endif
