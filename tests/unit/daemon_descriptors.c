/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is said where a process may not open as many files as it could use: tried in a child
 * process each, which may not raise its limit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/master.h"
#include "support/run.h"

#define NOBODY 65534
#define FILES 8192

struct given {
	bool has_routes, has_api;
	uint32_t max_connections;
	unsigned int workers;
};

static _Noreturn void raise_in_child(const struct given *given, int said)
{
	const struct rlimit limit = {FILES, FILES};
	struct thr_slot slots[32] = {};
	const struct thr_master master = {.slots = slots, .worker_count = given->workers};
	const struct thr_config config = {.route_count = given->has_routes,
					  .api.present = given->has_api,
					  .server.max_connections = given->max_connections};

	if (dup2(said, STDERR_FILENO) < 0 || setrlimit(RLIMIT_NOFILE, &limit) ||
	    (!geteuid() && setuid(NOBODY)))
		_exit(1);
	thr_descriptors_raise(&master, &config);
	_exit(0);
}

/* What it says; "" where it has enough. */
static void raise_with(const struct given *given, char *text, size_t size)
{
	int pipes[2], status;
	ssize_t got;
	pid_t pid;

	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		raise_in_child(given, pipes[1]);
	close(pipes[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	got = read(pipes[0], text, size - 1);
	assert_true(got >= 0);
	text[got] = '\0';
	close(pipes[0]);
}

static void assert_enough(const struct given *given)
{
	char text[1024];

	raise_with(given, text, sizeof(text));
	assert_string_equal(text, "");
}

static void assert_says(const struct given *given, const char *what)
{
	char text[1024];

	raise_with(given, text, sizeof(text));
	if (!strstr(text, what))
		fail_msg("'%s' is not in: %s", what, text);
}

/* 1024 are neither's, and each connection of the proxy takes two. */
static void what_is_advised_is_the_most_that_fits(void **state)
{
	(void)state;
	assert_enough(&(struct given){true, false, 3584, 1});
	assert_says(&(struct given){true, false, 3585, 1}, "max_connections to 3584 or less");
	assert_says(&(struct given){true, false, 3585, 1}, "can take 8194:");
}

static void the_api_takes_an_eighth_at_most(void **state)
{
	(void)state;
	assert_enough(&(struct given){true, true, 3072, 1});
	assert_says(&(struct given){true, true, 3073, 1}, "max_connections to 3072 or less");
	assert_says(&(struct given){true, true, 3073, 1}, "can take 8194:");
	assert_enough(&(struct given){false, true, 0, 1});
}

static void the_api_takes_a_worker_s_share_where_that_is_less(void **state)
{
	(void)state;
	/* 16384 for 32 workers */
	assert_enough(&(struct given){true, true, 3328, 32});
	assert_says(&(struct given){true, true, 3329, 32}, "max_connections to 3328 or less");
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_advised_is_the_most_that_fits),
		cmocka_unit_test(the_api_takes_an_eighth_at_most),
		cmocka_unit_test(the_api_takes_a_worker_s_share_where_that_is_less),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
