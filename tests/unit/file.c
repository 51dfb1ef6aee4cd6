/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* All of what is written and read, over pipes, which take and give it in parts. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/file.h"
#include "support/run.h"

#define SIZE (1 << 20) /* more than a pipe holds */

static char sent[SIZE], got[SIZE];

static void what_does_not_go_at_once_goes_in_parts(void **state)
{
	int ends[2], status;
	pid_t pid;

	(void)state;
	for (size_t i = 0; i < SIZE; i++)
		sent[i] = (char)(i * 31 >> 7);
	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(ends[0]);
		_exit(thr_file_write(ends[1], sent, SIZE) != 0);
	}
	close(ends[1]);
	assert_int_equal(thr_file_read(ends[0], got, SIZE), 0);
	assert_memory_equal(got, sent, SIZE);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(ends[0]);
}

static void a_file_that_ends_too_soon_is_an_error(void **state)
{
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(thr_file_write(ends[1], "four", 4), 0);
	close(ends[1]);
	assert_int_equal(thr_file_read(ends[0], got, 5), -EIO);
	close(ends[0]);
}

static void what_cannot_be_written_is_an_error(void **state)
{
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	close(ends[0]);
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(thr_file_write(ends[1], "x", 1), -EPIPE);
	assert_int_equal(thr_file_write(ends[1], "x", 0), 0);
	close(ends[1]);
	assert_int_equal(thr_file_read(ends[1], got, 1), -EBADF);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_does_not_go_at_once_goes_in_parts),
		cmocka_unit_test(a_file_that_ends_too_soon_is_an_error),
		cmocka_unit_test(what_cannot_be_written_is_an_error),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
