/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See run.h. */
#include "support/run.h"

#include <stdio.h>

void thr_run_prepare(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1 && *argv[1])
		cmocka_set_test_filter(argv[1]);
}
