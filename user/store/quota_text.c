/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A quota as Redis keeps it. Seventeen digits give back the same number. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/writer.h"
#include "store/sync_internal.h"

static const char *const on_error_word[] = {
	[THR_ON_ERROR_LOCAL] = "local",
	[THR_ON_ERROR_ALLOW] = "allow",
	[THR_ON_ERROR_DENY] = "deny",
};

struct thr_slice thr_quota_write(const struct thr_quota *quota, char text[static THR_QUOTA_TEXT])
{
	int length = snprintf(text, THR_QUOTA_TEXT, "%" PRIu64 " %.17g %s", quota->capacity,
			      quota->refill_per_s, on_error_word[quota->on_error]);

	return (struct thr_slice){text, (size_t)length};
}

/* The number that `*text` begins with, and a space after it. */
static bool read_whole(const char **text, uint64_t *ret_number)
{
	uint64_t number = 0;
	const char *at = *text;

	for (; *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(*at - '0'), &number))
			return false;
	if (at == *text || *at != ' ')
		return false;
	*text = at + 1;
	*ret_number = number;
	return true;
}

bool thr_quota_read(const char *text, struct thr_quota *ret_quota)
{
	uint64_t version, capacity;
	struct thr_quota quota;
	const char *why;
	double refill;
	char *end;

	if (!read_whole(&text, &version) || !version || !read_whole(&text, &capacity))
		return false;
	refill = strtod(text, &end);
	if (end == text || *end != ' ')
		return false;
	for (size_t i = 0; i < sizeof(on_error_word) / sizeof(on_error_word[0]); i++) {
		if (strcmp(end + 1, on_error_word[i]) != 0)
			continue;
		if (thr_quota_make(capacity, refill, (enum thr_on_error)i, &quota, &why) < 0)
			return false;
		quota.version = version;
		*ret_quota = quota;
		return true;
	}
	return false;
}
