/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See notices.h. */
#include "control/notices.h"

#include <stdarg.h>
#include <stdio.h>

void thr_note(struct thr_notices *notices, bool is_warning, const char *format, ...)
{
	struct thr_notice *notice;
	va_list arguments;

	if (!notices || notices->count == THR_NOTICES_MAX)
		return;
	notice = &notices->items[notices->count++];
	notice->is_warning = is_warning;
	va_start(arguments, format);
	vsnprintf(notice->text, sizeof(notice->text), format, arguments);
	va_end(arguments);
}
