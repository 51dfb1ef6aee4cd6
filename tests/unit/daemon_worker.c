/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A worker that runs out of descriptors: a process of its own, told by the test, which
 * plays the master. */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/generation.h"
#include "daemon/listener.h"
#include "daemon/message.h"
#include "daemon/worker.h"
#include "support/run.h"
#include "unit/daemon_generation.h"

#define WAIT_MS 10000

struct fixture {
	struct thr_generation *generation;
	struct thr_memory *buckets;
	struct thr_quotas *quotas;
	struct thr_board *board;
	struct thr_notes *notes;
	struct thr_store_counts store_counts;
	struct thr_api_counts api_counts;
	struct thr_proxy_counts *counts;
	void *route_counts;
	int listener;
	int channel;
	pid_t pid;
};

static void start_worker(struct fixture *fixture)
{
	int ends[2];

	assert_int_equal(thr_message_pair(ends), 0);
	fixture->pid = fork();
	assert_true(fixture->pid >= 0);
	if (fixture->pid == 0) {
		const struct thr_worker_parts parts = {
			.channel = ends[1],
			.workers = 1,
			.buckets = fixture->buckets,
			.quotas = fixture->quotas,
			.board = fixture->board,
			.notes = fixture->notes,
			.store_counts = &fixture->store_counts,
			.api_counts = &fixture->api_counts,
			.counts = fixture->counts,
			.route_counts = fixture->route_counts,
		};

		thr_worker_run(&parts);
	}
	close(ends[1]);
	fixture->channel = ends[0];
}

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	char address[] = "127.0.0.1";
	struct thr_endpoint server = {.address = address};
	void *counts = mmap(NULL, sizeof(*fixture->counts), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (!fixture || counts == MAP_FAILED)
		return -1;
	fixture->counts = counts;
	fixture->route_counts = calloc(1, thr_proxy_route_counts_size(1));
	if (!fixture->route_counts)
		return -1;
	fixture->generation = generation_for(1);
	assert_int_equal(thr_memory_new(100, &fixture->buckets), 0);
	assert_int_equal(thr_quotas_new(100, true, &fixture->quotas), 0);
	assert_int_equal(thr_board_new(&fixture->board), 0);
	assert_int_equal(thr_notes_new(1, &fixture->notes), 0);
	assert_int_equal(thr_listeners_open(&server, false, &fixture->listener, 1, NULL), 0);
	start_worker(fixture);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	if (fixture->pid > 0) {
		kill(fixture->pid, SIGKILL);
		waitpid(fixture->pid, NULL, 0);
	}
	close(fixture->channel);
	thr_listeners_close(&fixture->listener, 1);
	thr_memory_free(fixture->buckets);
	thr_quotas_free(fixture->quotas);
	thr_board_free(fixture->board);
	thr_notes_free(fixture->notes);
	thr_generation_free(fixture->generation);
	munmap(fixture->counts, sizeof(*fixture->counts));
	free(fixture->route_counts);
	free(fixture);
	return 0;
}

/* The next message of the worker. */
static struct thr_message hear(struct fixture *fixture)
{
	struct pollfd ready = {.fd = fixture->channel, .events = POLLIN};
	struct thr_message message;

	assert_int_equal(poll(&ready, 1, WAIT_MS), 1);
	assert_int_equal(thr_message_receive(fixture->channel, &message, NULL), 1);
	return message;
}

static int configure(struct fixture *fixture, uint64_t number)
{
	const int fds[THR_MESSAGE_FDS] = {
		[THR_FD_TEXT] = fixture->generation->text_fd,
		[THR_FD_TARGETS] = fixture->generation->targets_fd,
		[THR_FD_SECRETS] = fixture->generation->secrets_fd,
		[THR_FD_LISTENERS + THR_FRONT_PROXY] = fixture->listener,
		[THR_FD_LISTENERS + THR_FRONT_API] = -1,
	};
	struct thr_message message = {
		.kind = THR_MESSAGE_CONFIG, .generation = number, .text = "test.yaml"};

	assert_int_equal(thr_message_send(fixture->channel, &message, fds), 0);
	message = hear(fixture);
	assert_int_equal(message.kind, THR_MESSAGE_CONFIGURED);
	assert_int_equal(message.generation, number);
	return message.code;
}

static void let_it_have(struct fixture *fixture, rlim_t descriptors)
{
	struct rlimit limit;

	assert_int_equal(prlimit(fixture->pid, RLIMIT_NOFILE, NULL, &limit), 0);
	limit.rlim_cur = descriptors < limit.rlim_max ? descriptors : limit.rlim_max;
	assert_int_equal(prlimit(fixture->pid, RLIMIT_NOFILE, &limit, NULL), 0);
}

/* One more than its highest. */
static rlim_t count_descriptors(pid_t pid)
{
	rlim_t end = 0;
	char path[64];
	DIR *directory;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	directory = opendir(path);
	assert_non_null(directory);
	for (struct dirent *entry; (entry = readdir(directory));) {
		rlim_t fd = strtoul(entry->d_name, NULL, 10);

		if (fd >= end)
			end = fd + 1;
	}
	closedir(directory);
	return end;
}

static void drain(struct fixture *fixture)
{
	const struct thr_message message = {.kind = THR_MESSAGE_DRAIN};
	int status;

	assert_int_equal(thr_message_send(fixture->channel, &message, NULL), 0);
	assert_int_equal(waitpid(fixture->pid, &status, 0), fixture->pid);
	fixture->pid = 0;
	assert_int_equal(status, 0);
}

static void a_configuration_comes_in_by_the_reserve(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(configure(fixture, 1), 0);
	let_it_have(fixture, count_descriptors(fixture->pid));
	for (uint64_t number = 2; number < 6; number++)
		assert_int_equal(configure(fixture, number), 0);
	drain(fixture);
}

static void without_any_it_says_so_and_goes_on(void **state)
{
	const struct thr_message listen = {.kind = THR_MESSAGE_LISTEN, .slot = 0};
	struct fixture *fixture = *state;
	struct thr_message message;

	assert_int_equal(configure(fixture, 1), 0);
	let_it_have(fixture, STDERR_FILENO + 1);
	assert_int_equal(configure(fixture, 2), -EMFILE);
	assert_int_equal(
		thr_message_send(fixture->channel, &listen,
				 (int[THR_MESSAGE_FDS]){fixture->listener, -1, -1, -1, -1}),
		0);
	message = hear(fixture);
	assert_int_equal(message.kind, THR_MESSAGE_UNLISTEN);
	assert_int_equal(message.slot, 0);
	let_it_have(fixture, 1024);
	assert_int_equal(configure(fixture, 3), 0);
	drain(fixture);
}

static void an_idle_loop_turns_every_second(void **state)
{
	struct fixture *fixture = *state;
	uint64_t seen[3] = {0};

	for (size_t i = 0; i < ARRAY_SIZE(seen); i++) {
		seen[i] = i ? seen[i - 1] : 0;
		for (int wait = 0; seen[i] == (i ? seen[i - 1] : 0); wait++) {
			assert_true(wait < WAIT_MS);
			poll(NULL, 0, 1);
			seen[i] = __atomic_load_n(&fixture->counts->turn_ms, __ATOMIC_RELAXED);
		}
	}
	assert_true(seen[2] - seen[1] < 2000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_configuration_comes_in_by_the_reserve),
		TEST(without_any_it_says_so_and_goes_on),
		TEST(an_idle_loop_turns_every_second),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
