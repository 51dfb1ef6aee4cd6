/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Header fields that the API acts on, as values (RFC 9110): what the content is, what the
 * client would like, under which condition, and who it is.
 */
#ifndef THR_API_FIELDS_H
#define THR_API_FIELDS_H

#include <stdbool.h>

#include "core/slice.h"
#include "store/quotas.h"

/* Whether a Content-Type is application/json, with whatever parameters. */
bool thr_is_json(struct thr_slice content_type);

/* Wishes for a media type, in thousandths: RFC 9110, 12.5.1. All zeros: nothing was said. */
struct thr_accept {
	unsigned int open_metrics; /* application/openmetrics-text in version 1.0.0 */
	unsigned int text;	   /* text/plain, as the most specific range says */
	unsigned int specific;	   /* how specific that was */
};

/* Add the elements of an Accept field; what is not understood is passed over. */
void thr_accept_add(struct thr_accept *accept, struct thr_slice value);

/* Whether OpenMetrics was asked for, and no less than the older format. */
bool thr_accept_prefers_open_metrics(const struct thr_accept *accept);

/*
 * Add an If-Match or If-None-Match field (`kind`) to a condition: "*", or a list of entity
 * tags, of which those that are one of our versions are kept. A weak tag is never the same
 * for If-Match (RFC 9110, 8.8.3.2), which compares strongly. Returns 0 or -EINVAL: malformed,
 * over THR_VERSIONS_MAX tags, or of another kind than what was added before.
 */
int thr_condition_add(struct thr_condition *condition, int kind, struct thr_slice value);

/* A version in digits, as an entity tag has it between its quotes; 0: it is none. */
uint64_t thr_version_read(struct thr_slice text);

/* The token of an Authorization field of the scheme Bearer (RFC 6750, 2.1), in any case; an
 * empty slice when it is of another scheme or malformed. */
struct thr_slice thr_bearer_token(struct thr_slice value);

#endif
