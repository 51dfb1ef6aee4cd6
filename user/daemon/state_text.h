/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What writing and reading the state file have in common; see state_file.h. */
#ifndef THR_STATE_TEXT_H
#define THR_STATE_TEXT_H

#include <stddef.h>

#include "core/standing.h"

/* The last line, for `size` bytes before it. */
#define THR_STATE_TAIL (sizeof("\"checksum\": \"\"}\n") - 1 + 32)
void thr_state_tail(const char *bytes, size_t size, char ret_line[static THR_STATE_TAIL + 1]);

/* By enum thr_on_error. */
extern const char *const thr_state_on_error[THR_ON_ERROR_DENY + 1];

#endif
