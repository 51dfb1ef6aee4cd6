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

/* {"type":"about:blank","title":"Too Many Requests","status":429,"detail":"..."}
 * and a newline, into `size` bytes; the detail is JSON-escaped and cut where it
 * does not fit. Returns the length. */
#define THR_PROBLEM_MAX 512
size_t thr_http_problem(unsigned int status, const char *detail,
			char problem[static THR_PROBLEM_MAX]);

#endif
