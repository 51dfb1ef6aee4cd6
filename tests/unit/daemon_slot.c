/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The master's side of a worker: what it says, that it says nothing, that it dies. The
 * worker is a process that only waits, so that it can be seen whether it was killed, and
 * the test speaks for it.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "daemon/listener.h"
#include "daemon/master.h"
#include "daemon/message.h"
#include "support/run.h"
#include "unit/daemon_generation.h"

#define WORKERS 2
#define OLD 1
#define NEW 2

struct fixture {
	struct thr_master master;
	struct thr_generation *generation;
	struct thr_proxy_counts counts[WORKERS];
	struct thr_api_counts api_counts[WORKERS];
	struct thr_slot slots[WORKERS];
	int ends[WORKERS]; /* the workers' */
	pid_t pids[WORKERS];
};

static pid_t start_waiting(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		for (;;)
			pause();
	return pid;
}

/* A worker that was given the configuration. */
static void give_life(struct fixture *fixture, unsigned int number)
{
	struct thr_slot *slot = &fixture->slots[number];
	int ends[2];

	assert_int_equal(thr_message_pair(ends), 0);
	slot->channel.fd = ends[0];
	slot->born_ms = thr_clock_monotonic_ns() / THR_NS_PER_MS; /* so none is started at once */
	fixture->ends[number] = ends[1];
	assert_int_equal(thr_loop_watch_level(fixture->master.loop, &slot->channel, EPOLLIN), 0);
	fixture->pids[number] = slot->pid = start_waiting();
	thr_slot_configure(slot);
}

static int setup(void **state)
{
	struct fixture *fixture = aligned_alloc(_Alignof(struct fixture), sizeof(*fixture));
	struct thr_server_config *server;
	struct thr_endpoint endpoint;

	if (!fixture)
		return -1;
	memset(fixture, 0, sizeof(*fixture));
	fixture->generation = generation_for(WORKERS);
	fixture->master = (struct thr_master){
		.path = "test.yaml",
		.phase = THR_SERVING,
		.signals.fd = -1,
		.generation = fixture->generation,
		.counts = fixture->counts,
		.api_counts = fixture->api_counts,
		.worker_count = WORKERS,
		.slots = fixture->slots,
	};
	server = &fixture->generation->config->server;
	server->address = strdup("127.0.0.1");
	server->port = (uint16_t)(20000 + getpid() % 12000);
	thr_front_find(&fixture->master, fixture->generation->config, THR_FRONT_PROXY, &endpoint);
	assert_int_equal(thr_loop_new(&fixture->master.loop), 0);
	for (unsigned int i = 0; i < WORKERS; i++) {
		thr_slot_init(&fixture->slots[i], &fixture->master, i);
		assert_int_equal(thr_listeners_open(&endpoint, i > 0,
						    &fixture->slots[i].listener[THR_FRONT_PROXY], 1,
						    NULL),
				 0);
		give_life(fixture, i);
	}
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	for (unsigned int i = 0; i < WORKERS; i++) {
		kill(fixture->pids[i], SIGKILL);
		waitpid(fixture->pids[i], NULL, 0);
		close(fixture->ends[i]);
		if (fixture->slots[i].channel.fd >= 0)
			close(fixture->slots[i].channel.fd);
		thr_listeners_close(fixture->slots[i].listener, THR_FRONTS);
	}
	thr_loop_free(fixture->master.loop);
	thr_generation_free(fixture->generation);
	free(fixture);
	return 0;
}

static bool was_killed(pid_t pid)
{
	siginfo_t info = {0};

	/* It is a zombie at once or not at all: signals of one process come in order. */
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
	return info.si_pid == pid;
}

static void wait_until_killed(pid_t pid)
{
	siginfo_t info;

	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(info.si_status, SIGKILL);
}

static void say(struct fixture *fixture, unsigned int number, const struct thr_message *message)
{
	assert_int_equal(thr_message_send(fixture->ends[number], message, NULL), 0);
}

static void answer(struct fixture *fixture, unsigned int number, uint64_t generation, int code)
{
	const struct thr_message message = {.kind = THR_MESSAGE_CONFIGURED,
					    .generation = generation,
					    .code = code,
					    .text = "no room"};

	say(fixture, number, &message);
	assert_int_equal(thr_loop_turn(fixture->master.loop, 1000), 0);
}

/* What the master sent the worker, in order; stops at the first of `kind`. */
static bool hears(struct fixture *fixture, unsigned int number, enum thr_message_kind kind,
		  struct thr_message *ret_message)
{
	int fds[THR_MESSAGE_FDS];

	while (thr_message_receive(fixture->ends[number], ret_message, fds) > 0) {
		for (int i = 0; i < THR_MESSAGE_FDS; i++)
			if (fds[i] >= 0)
				close(fds[i]);
		if (ret_message->kind == kind)
			return true;
	}
	return false;
}

static void serve_old(struct fixture *fixture)
{
	struct thr_message message;

	for (unsigned int i = 0; i < WORKERS; i++) {
		answer(fixture, i, OLD, 0);
		assert_int_equal(fixture->slots[i].generation, OLD);
		assert_true(hears(fixture, i, THR_MESSAGE_CONFIG, &message));
	}
}

static void reload(struct fixture *fixture)
{
	fixture->generation->number = NEW;
	fixture->master.phase = THR_RELOADING;
	for (unsigned int i = 0; i < WORKERS; i++)
		thr_slot_configure(&fixture->slots[i]);
}

static void a_worker_that_cannot_take_a_reload_keeps_its_connections(void **state)
{
	struct fixture *fixture = *state;
	struct thr_slot *slot = &fixture->slots[0];
	struct thr_message message;

	serve_old(fixture);
	reload(fixture);
	answer(fixture, 1, NEW, 0);
	answer(fixture, 0, NEW, -EMFILE);
	assert_false(was_killed(slot->pid));
	assert_int_equal(slot->generation, OLD);
	/* The others go on: the reload is over, and the listener lent. */
	assert_int_equal(fixture->master.phase, THR_SERVING);
	assert_true(hears(fixture, 1, THR_MESSAGE_LISTEN, &message));
	assert_int_equal(message.slot, 0);
	assert_int_equal(slot->borrower[THR_FRONT_PROXY], 1);

	/* It is asked again. */
	assert_true(hears(fixture, 0, THR_MESSAGE_CONFIG, &message));
	while (!hears(fixture, 0, THR_MESSAGE_CONFIG, &message))
		assert_int_equal(thr_loop_turn(fixture->master.loop, 1000), 0);
	answer(fixture, 0, NEW, 0);
	assert_int_equal(slot->generation, NEW);
	assert_false(slot->behind);
	assert_int_equal(slot->borrower[THR_FRONT_PROXY], THR_NOBODY);
}

static void one_that_has_no_configuration_at_all_is_started_anew(void **state)
{
	struct fixture *fixture = *state;

	answer(fixture, 0, OLD, -ENOMEM);
	wait_until_killed(fixture->pids[0]);
}

static void an_answer_to_what_was_not_asked_makes_no_sense(void **state)
{
	struct fixture *fixture = *state;

	serve_old(fixture);
	answer(fixture, 1, OLD, 0);
	wait_until_killed(fixture->pids[1]);
}

static void a_newer_configuration_waits_for_the_answer_to_the_one_before(void **state)
{
	struct fixture *fixture = *state;
	struct thr_message message;

	assert_true(hears(fixture, 0, THR_MESSAGE_CONFIG, &message));
	reload(fixture);
	assert_false(hears(fixture, 0, THR_MESSAGE_CONFIG, &message));
	answer(fixture, 0, OLD, 0);
	assert_int_equal(fixture->slots[0].generation, 0);
	assert_true(hears(fixture, 0, THR_MESSAGE_CONFIG, &message));
	assert_int_equal(message.generation, NEW);
}

static void a_listener_that_was_declined_is_lent_again(void **state)
{
	struct thr_message declined = {.kind = THR_MESSAGE_UNLISTEN, .slot = 0}, message;
	struct fixture *fixture = *state;

	serve_old(fixture);
	reload(fixture);
	answer(fixture, 1, NEW, 0);
	answer(fixture, 0, NEW, -EMFILE);
	assert_int_equal(fixture->slots[0].borrower[THR_FRONT_PROXY], 1);
	assert_true(hears(fixture, 1, THR_MESSAGE_LISTEN, &message));
	say(fixture, 1, &declined);
	assert_int_equal(thr_loop_turn(fixture->master.loop, 1000), 0);
	assert_int_equal(fixture->slots[0].borrower[THR_FRONT_PROXY], THR_NOBODY);
	thr_slots_look(&fixture->master);
	assert_int_equal(fixture->slots[0].borrower[THR_FRONT_PROXY], 1);
	assert_true(hears(fixture, 1, THR_MESSAGE_LISTEN, &message));
}

/* What is served in a new place may ask for more than it knows: a token. */
static void a_worker_with_the_configuration_before_borrows_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct thr_message message;

	serve_old(fixture);
	reload(fixture);
	thr_slot_died(&fixture->slots[0], 0);
	assert_int_equal(fixture->slots[0].borrower[THR_FRONT_PROXY], THR_NOBODY);
	assert_false(hears(fixture, 1, THR_MESSAGE_LISTEN, &message));
	answer(fixture, 1, NEW, 0);
	assert_int_equal(fixture->slots[0].borrower[THR_FRONT_PROXY], 1);
	assert_true(hears(fixture, 1, THR_MESSAGE_LISTEN, &message));
}

static void one_that_falls_behind_gives_back_what_it_borrowed(void **state)
{
	struct fixture *fixture = *state;
	struct thr_message message;

	serve_old(fixture);
	thr_slot_died(&fixture->slots[0], 0);
	assert_int_equal(fixture->slots[0].borrower[THR_FRONT_PROXY], 1);
	reload(fixture);
	answer(fixture, 1, NEW, -ENOMEM);
	assert_int_equal(fixture->slots[0].borrower[THR_FRONT_PROXY], THR_NOBODY);
	assert_true(hears(fixture, 1, THR_MESSAGE_UNLISTEN, &message));
	assert_int_equal(message.slot, 0);
	assert_int_equal(message.front, THR_FRONT_PROXY);
}

/* Its process id may be another process's by then: here it still is one. */
static void the_last_words_of_a_dead_worker_change_nothing(void **state)
{
	static const int codes[] = {0, -ENOMEM};
	struct fixture *fixture = *state;

	for (unsigned int i = 0; i < WORKERS; i++) {
		const struct thr_message words = {
			.kind = THR_MESSAGE_CONFIGURED, .generation = OLD, .code = codes[i]};

		say(fixture, i, &words);
		thr_slot_died(&fixture->slots[i], 0);
		assert_false(was_killed(fixture->pids[i]));
		assert_int_equal(fixture->slots[i].pid, 0);
		assert_int_equal(fixture->slots[i].generation, 0);
	}
}

static void the_listener_of_a_dead_worker_is_as_it_was(void **state)
{
	struct fixture *fixture = *state;
	int listens = 0;
	socklen_t length = sizeof(listens);

	serve_old(fixture);
	assert_int_equal(shutdown(fixture->slots[0].listener[THR_FRONT_PROXY], SHUT_RDWR), 0);
	thr_slot_died(&fixture->slots[0], 0);
	assert_int_equal(getsockopt(fixture->slots[0].listener[THR_FRONT_PROXY], SOL_SOCKET,
				    SO_ACCEPTCONN, &listens, &length),
			 0);
	assert_true(listens);
}

/* The API on a Unix socket, which is one for all workers. */
static struct sockaddr_un serve_api_on_a_socket(struct fixture *fixture)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct thr_config *config = fixture->generation->config;
	struct thr_endpoint endpoint;
	int fds[WORKERS];

	snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/thr-slot-%d", getpid());
	free(config->api.listen);
	free(config->api.address);
	config->api.address = NULL;
	config->api.listen = strdup(address.sun_path);
	config->api.present = true;
	assert_true(thr_front_find(&fixture->master, config, THR_FRONT_API, &endpoint));
	assert_int_equal(thr_listeners_open(&endpoint, false, fds, WORKERS, NULL), 0);
	for (unsigned int i = 0; i < WORKERS; i++)
		fixture->slots[i].listener[THR_FRONT_API] = fds[i];
	return address;
}

static bool is_answered(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool is = !connect(fd, (const struct sockaddr *)address, sizeof(*address));

	close(fd);
	return is;
}

static void a_socket_that_a_worker_shut_down_is_new_for_all(void **state)
{
	struct fixture *fixture = *state;
	const struct sockaddr_un address = serve_api_on_a_socket(fixture);
	struct thr_message message;

	serve_old(fixture);
	assert_int_equal(shutdown(fixture->slots[0].listener[THR_FRONT_API], SHUT_RDWR), 0);
	assert_false(is_answered(&address));
	thr_slot_died(&fixture->slots[0], 0);
	assert_true(is_answered(&address));
	/* The other worker has its own back, and that of the dead one of both fronts. */
	assert_true(hears(fixture, 1, THR_MESSAGE_LISTEN, &message));
	assert_int_equal(message.front, THR_FRONT_API);
	assert_int_equal(message.slot, 1);
	for (unsigned int i = 0; i < THR_FRONTS; i++) {
		assert_true(hears(fixture, 1, THR_MESSAGE_LISTEN, &message));
		assert_int_equal(message.front, i);
		assert_int_equal(message.slot, 0);
	}
	thr_fronts_close(&fixture->master);
	assert_int_equal(access(address.sun_path, F_OK), -1);
}

static void a_new_socket_is_not_for_one_with_the_configuration_before(void **state)
{
	struct fixture *fixture = *state;
	struct sockaddr_un address;
	struct thr_message message;

	serve_old(fixture);
	reload(fixture);
	answer(fixture, 0, NEW, 0);
	answer(fixture, 1, NEW, -ENOMEM);
	address = serve_api_on_a_socket(fixture);
	assert_int_equal(shutdown(fixture->slots[0].listener[THR_FRONT_API], SHUT_RDWR), 0);
	thr_slot_died(&fixture->slots[0], 0);
	assert_true(is_answered(&address));
	assert_false(hears(fixture, 1, THR_MESSAGE_LISTEN, &message));
	assert_false(was_killed(fixture->pids[1]));
	thr_fronts_close(&fixture->master);
}

static void a_change_that_makes_no_sense_ends_the_worker(void **state)
{
	const struct thr_message message = {.kind = THR_MESSAGE_CHANGE};
	struct fixture *fixture = *state;

	serve_old(fixture);
	say(fixture, 1, &message);
	assert_int_equal(thr_loop_turn(fixture->master.loop, 1000), 0);
	wait_until_killed(fixture->pids[1]);
}

static void one_that_takes_no_messages_is_killed_and_told_no_more(void **state)
{
	struct thr_message message = {.kind = THR_MESSAGE_CHANGED};
	struct fixture *fixture = *state;
	struct thr_slot *slot = &fixture->slots[0];
	unsigned int told = 0;

	serve_old(fixture);
	for (; !slot->deaf; told++)
		thr_slot_tell(slot, &message, NULL);
	assert_true(told > THR_CHANGES_MAX);
	wait_until_killed(fixture->pids[0]);
	while (hears(fixture, 0, THR_MESSAGE_CHANGED, &message))
		;
	thr_slot_tell(slot, &message, NULL);
	assert_false(hears(fixture, 0, THR_MESSAGE_CHANGED, &message));
}

static void a_loop_that_stands_still_is_killed(void **state)
{
	struct fixture *fixture = *state;

	serve_old(fixture);
	for (uint64_t second = 1; second < 30; second++) {
		fixture->counts[1].turn_ms = second * 1000;
		thr_slots_look(&fixture->master);
	}
	assert_false(was_killed(fixture->pids[0]));
	fixture->counts[1].turn_ms++;
	thr_slots_look(&fixture->master);
	wait_until_killed(fixture->pids[0]);
	assert_false(was_killed(fixture->pids[1]));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_worker_that_cannot_take_a_reload_keeps_its_connections),
		TEST(one_that_has_no_configuration_at_all_is_started_anew),
		TEST(an_answer_to_what_was_not_asked_makes_no_sense),
		TEST(a_newer_configuration_waits_for_the_answer_to_the_one_before),
		TEST(a_listener_that_was_declined_is_lent_again),
		TEST(a_worker_with_the_configuration_before_borrows_nothing),
		TEST(one_that_falls_behind_gives_back_what_it_borrowed),
		TEST(the_last_words_of_a_dead_worker_change_nothing),
		TEST(the_listener_of_a_dead_worker_is_as_it_was),
		TEST(a_socket_that_a_worker_shut_down_is_new_for_all),
		TEST(a_new_socket_is_not_for_one_with_the_configuration_before),
		TEST(a_change_that_makes_no_sense_ends_the_worker),
		TEST(one_that_takes_no_messages_is_killed_and_told_no_more),
		TEST(a_loop_that_stands_still_is_killed),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
