/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What was done, or could not be, beside what was asked for: lines for the user. As with
 * errors, who fills them in does not print; the command prints them, the daemon logs them.
 */
#ifndef THR_NOTICES_H
#define THR_NOTICES_H

#include <stdbool.h>
#include <stddef.h>

#define THR_NOTICES_MAX 4

struct thr_notices {
	size_t count;
	struct thr_notice {
		bool is_warning;
		char text[256];
	} items[THR_NOTICES_MAX];
};

/* Add a line, unless there is no more room for it, or `notices` is NULL. */
void thr_note(struct thr_notices *notices, bool is_warning, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
