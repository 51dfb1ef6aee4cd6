/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rows of a table of configurations that are refused: a test each, which parses
 * the text as the file t.yaml and compares the message after that name.
 */
#ifndef THR_TEST_REFUSAL_H
#define THR_TEST_REFUSAL_H

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/config.h"
#include "support/run.h"

struct refusal {
	const char *text;
	size_t size;
	const char *message; /* "LINE:COLUMN: ..." */
};

/* The text may have NUL bytes in it. */
#define REFUSES(what, file, why)                                                                   \
	{                                                                                          \
		.name = "refuses_" what, .test_func = thr_test_refusal,                            \
		.initial_state = &(struct refusal)                                                 \
		{                                                                                  \
			file, sizeof(file) - 1, why                                                \
		}                                                                                  \
	}

static inline void thr_test_refusal(void **state)
{
	const struct refusal *refusal = *state;
	struct thr_config *const untouched = (struct thr_config *)state, *config = untouched;
	struct thr_error error = {""};
	char expected[sizeof(error.text)];

	snprintf(expected, sizeof(expected), "t.yaml:%s", refusal->message);
	assert_int_equal(
		thr_config_parse("t.yaml", refusal->text, refusal->size, NULL, &config, &error),
		-EINVAL);
	assert_string_equal(error.text, expected);
	assert_ptr_equal(config, untouched);
}

#endif
