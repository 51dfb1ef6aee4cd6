/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the master shows its workers. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/board.h"
#include "support/run.h"

static int in_child(int (*work)(struct thr_board *board), struct thr_board *board)
{
	const struct rlimit none = {0};
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &none);
		signal(SIGSEGV, SIG_DFL);
		_exit(thr_board_read_only(board) ? 2 : work(board));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static int read_it(struct thr_board *board)
{
	struct thr_facts facts;

	return !(thr_board_read(board, &facts) && facts.restarts == 5 && facts.last_good);
}

static void workers_read_what_the_master_wrote(void **state)
{
	const struct thr_facts facts = {.restarts = 5, .last_good = true};
	struct thr_board *board;
	int status;

	(void)state;
	assert_int_equal(thr_board_new(&board), 0);
	thr_board_write(board, &facts);
	status = in_child(read_it, board);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	thr_board_free(board);
}

static int write_it(struct thr_board *board)
{
	thr_board_write(board, &(struct thr_facts){.restarts = 1});
	return 0;
}

static void workers_cannot_write(void **state)
{
	struct thr_facts facts;
	struct thr_board *board;
	int status;

	(void)state;
	assert_int_equal(thr_board_new(&board), 0);
	status = in_child(write_it, board);
	assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_true(thr_board_read(board, &facts));
	assert_int_equal(facts.restarts, 0);
	thr_board_free(board);
}

/* Every write has the same number in all places that are looked at. */
static _Noreturn void write_on(struct thr_board *board)
{
	struct thr_facts facts = {};

	for (uint64_t i = 1;; i++) {
		facts.start_ns = facts.packets.dropped = facts.interfaces = i;
		thr_board_write(board, &facts);
	}
}

static void what_is_read_was_written_at_once(void **state)
{
	struct thr_board *board;
	struct thr_facts facts;
	size_t read = 0;
	pid_t pid;

	(void)state;
	assert_int_equal(thr_board_new(&board), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		write_on(board);
	while (read < 1000) {
		if (!thr_board_read(board, &facts))
			continue;
		assert_int_equal(facts.start_ns, facts.packets.dropped);
		assert_int_equal(facts.start_ns, facts.interfaces);
		read++;
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	thr_board_free(board);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(workers_read_what_the_master_wrote),
		cmocka_unit_test(workers_cannot_write),
		cmocka_unit_test(what_is_read_was_written_at_once),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
