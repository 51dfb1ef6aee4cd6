/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A limit as clients are told of it: RateLimit-Policy and RateLimit
 * (draft-ietf-httpapi-ratelimit-headers-10), Retry-After (RFC 9110, 10.2.3), and
 * a problem in JSON (RFC 9457). The proxy and the check API write the same.
 */
#ifndef THR_HTTP_LIMITS_H
#define THR_HTTP_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/standing.h"

/* Whole seconds, rounded up; `least` at least. */
uint64_t thr_seconds_up(uint64_t ns, uint64_t least);

/*
 * Write the fields, each with its CRLF:
 *   RateLimit-Policy: "default";q=100;w=2
 *   RateLimit: "default";r=99;t=1
 *   Retry-After: 1                         (only when it was not allowed)
 * t is the time to a full bucket, or after a refusal the same as Retry-After: a
 * client told to come back then is not told to wait longer. `policy` is at most
 * THR_POLICY_MAX printable ASCII bytes; '"' and '\' are escaped. Returns the
 * length.
 */
#define THR_POLICY_MAX 256
#define THR_LIMIT_FIELDS_MAX (4 * THR_POLICY_MAX + 256)
size_t thr_http_limit_fields(const char *policy, const struct thr_standing *standing,
			     char fields[static THR_LIMIT_FIELDS_MAX]);

/* What is wrong with a request, in the words of RFC 9457. Type and title are our own words,
 * which need no escapes; of them 96 and 64 bytes are written, of `field` 64, of the detail
 * what fits, and that is 384 bytes without escapes. */
struct thr_problem {
	unsigned int status;
	const char *type;   /* a URI; NULL: about:blank */
	const char *title;  /* NULL: the reason of the status, as about:blank has it */
	const char *field;  /* what of the request is at fault; NULL: nothing in particular */
	const char *detail; /* what would be right */
};

/* {"type":"about:blank","title":"Too Many Requests","status":429,"field":"cost",
 * "detail":"..."} and a newline; texts are JSON-escaped. Returns the length. */
#define THR_PROBLEM_MAX 1024
size_t thr_http_problem(const struct thr_problem *problem, char text[static THR_PROBLEM_MAX]);

#endif
