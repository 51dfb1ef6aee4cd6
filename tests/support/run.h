/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What every test program includes: cmocka with the headers that it needs, and
 * a main() in one line. tests/run.sh reads the TAP that comes out of it.
 */
#ifndef THR_TEST_RUN_H
#define THR_TEST_RUN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* Run the array `tests`; argv[1], when given, is a glob (* and ?) that the names
 * of the tests to run must match. The value is main()'s. */
#define THR_RUN_TESTS(tests, argc, argv)                                                           \
	(thr_run_prepare(argc, argv), cmocka_run_group_tests(tests, NULL, NULL) != 0)

/* Writes line by line, so that nothing is lost when the program dies, and sets
 * the filter. */
void thr_run_prepare(int argc, char **argv);

/* End the running test as skipped. A reason that starts with "needs root" is
 * one that CI does not accept. */
#define THR_SKIP(reason)                                                                           \
	do {                                                                                       \
		print_message("# skip: %s\n", reason);                                             \
		skip();                                                                            \
	} while (0)

#endif
