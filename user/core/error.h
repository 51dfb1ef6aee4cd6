/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What went wrong, in words for the user: one line that says what, where and
 * what would be right. Libraries of this program do not print; they fill one
 * of these in and return a negative errno, and the command prints it once.
 */
#ifndef THR_ERROR_H
#define THR_ERROR_H

struct thr_error {
	char text[512]; /* no newline, no trailing full stop */
};

/* Replace control characters in `text` by '?', so that it stays one line and does
 * nothing to a terminal. */
void thr_clean_line(char *text);

/* Sets the text (cut at its size) and returns -code, for `return thr_fail(...)`.
 * `code` is an errno; `error` may be NULL. */
int thr_fail(struct thr_error *error, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
