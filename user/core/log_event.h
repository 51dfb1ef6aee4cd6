/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* An event as a line, by what thr_log_setup() and thr_log_name() have said; see log.h. */
#ifndef THR_LOG_EVENT_H
#define THR_LOG_EVENT_H

#include "core/log.h"

#define THR_EVENT_MESSAGE_MAX 1000 /* bytes of the text, before what is escaped in it */
#define THR_EVENT_NAME_MAX 31
#define THR_EVENT_ESCAPED(length) (6 * (length) + 1)
#define THR_EVENT_MAX                                                                              \
	(THR_EVENT_ESCAPED(THR_EVENT_MESSAGE_MAX) + THR_EVENT_ESCAPED(THR_EVENT_NAME_MAX) + 128)

/* Write the line at `line`, of at most THR_EVENT_MAX bytes with its newline and a NUL.
 * Returns its length. For any thread. */
size_t thr_event_format(char *line, enum thr_log_level level, const char *message);

#endif
