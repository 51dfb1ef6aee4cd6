/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one way in which an error gets its words; see error.h. */
#include "core/error.h"

#include <stdarg.h>
#include <stdio.h>

int thr_fail(struct thr_error *error, int code, const char *format, ...)
{
	va_list arguments;

	if (error) {
		va_start(arguments, format);
		vsnprintf(error->text, sizeof(error->text), format, arguments);
		va_end(arguments);
	}
	return -code;
}
