/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one way in which an error gets its words; see error.h. */
#include "core/error.h"

#include <stdarg.h>
#include <stdio.h>

void thr_clean_line(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

int thr_fail(struct thr_error *error, int code, const char *format, ...)
{
	va_list arguments;

	if (error) {
		va_start(arguments, format);
		vsnprintf(error->text, sizeof(error->text), format, arguments);
		va_end(arguments);
		thr_clean_line(error->text);
	}
	return -code;
}
