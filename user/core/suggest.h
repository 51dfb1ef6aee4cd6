/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* "Did you mean": the name that one which does not exist was meant to be. */
#ifndef THR_SUGGEST_H
#define THR_SUGGEST_H

#include <stddef.h>

/* Set `wanted`, zero the rest, offer every name that exists: `nearest` is then the
 * one that is most likely meant, or NULL when none is near. It points to the name
 * as it was offered. */
struct thr_suggestion {
	const char *wanted;
	const char *nearest;
	size_t distance;
};

void thr_suggestion_offer(struct thr_suggestion *suggestion, const char *name);

#endif
