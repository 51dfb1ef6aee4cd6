/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A quota as JSON: {"capacity":100,"refill_per_second":10,"on_error":"local"}; in a list its
 * key comes before that, and its entity tag behind. */
#ifndef THR_QUOTA_JSON_H
#define THR_QUOTA_JSON_H

#include "api/check_json.h"
#include "core/writer.h"
#include "store/quotas.h"

/* Parse `length` bytes at `text`. `on_error` is what holds where it is left out. Returns 0, or
 * -EINVAL with *ret_fault filled. */
int thr_quota_parse(const char *text, size_t length, enum thr_on_error on_error,
		    struct thr_quota *ret_quota, struct thr_fault *ret_fault);

/* Write it, with a newline, so that parsing it gives the same quota. Returns the length. */
#define THR_QUOTA_TEXT 160
size_t thr_quota_format(const struct thr_quota *quota, char text[static THR_QUOTA_TEXT]);

/* The same for people, on a line: "capacity 5, refill_per_second 0.5, on_error local". */
const char *thr_quota_words(const struct thr_quota *quota, char text[static THR_QUOTA_TEXT]);

/* Write it with its key: {"key":"user:42","capacity":100,...,"etag":"\"7\""}. The key is UTF-8, of
 * which a character may take up six times as much, and THR_QUOTA_ITEM bytes are free. Returns
 * false when there is no memory: then nothing was written. */
#define THR_QUOTA_ITEM (6 * THR_KEY_MAX + THR_QUOTA_TEXT + 64)
bool thr_quota_put(struct thr_writer *writer, struct thr_slice key, const struct thr_quota *quota);

#endif
