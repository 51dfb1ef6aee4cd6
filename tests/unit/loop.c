/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The event loop: descriptors and deferred work on the real epoll, timers in a time
 * that the test makes. Its clock_gettime() and epoll_wait() stand in for those of
 * the C library; in virtual time, waiting moves the clock.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/loop.h"
#include "support/random.h"
#include "support/run.h"

/* --- the clock --- */

static struct {
	bool virtual;
	uint64_t now_ns;
	uint64_t oversleep_ns; /* how much longer each wait takes than was asked for */
	int last_wait_ms;
} ours;

int clock_gettime(clockid_t id, struct timespec *now)
{
	if (!ours.virtual)
		return (int)syscall(SYS_clock_gettime, id, now);
	now->tv_sec = (time_t)(ours.now_ns / THR_NS_PER_S);
	now->tv_nsec = (long)(ours.now_ns % THR_NS_PER_S);
	return 0;
}

int epoll_wait(int fd, struct epoll_event *events, int count, int wait_ms)
{
	ours.last_wait_ms = wait_ms;
	if (!ours.virtual)
		return (int)syscall(SYS_epoll_pwait, fd, events, count, wait_ms, NULL, 8);
	assert_true(wait_ms >= 0);
	ours.now_ns += (uint64_t)wait_ms * THR_NS_PER_MS + ours.oversleep_ns;
	return 0;
}

static struct thr_loop *virtual_loop(void)
{
	struct thr_loop *loop;

	memset(&ours, 0, sizeof(ours));
	ours.virtual = true;
	ours.now_ns = 123456 * THR_NS_PER_S + 789012345;
	assert_int_equal(thr_loop_new(&loop), 0);
	return loop;
}

static struct thr_loop *real_loop(void)
{
	struct thr_loop *loop;

	memset(&ours, 0, sizeof(ours));
	assert_int_equal(thr_loop_new(&loop), 0);
	return loop;
}

/* --- timers --- */

#define LATE_NS (16 * THR_NS_PER_MS)

struct clocked {
	struct thr_timer timer;
	uint64_t due_ns; /* the model; 0: not armed */
	unsigned int fired;
	uint64_t again_ms; /* arm itself again by this when it fires */
};

static struct thr_loop *current;

static void clocked_arm(struct clocked *clocked, uint64_t after_ms)
{
	thr_loop_arm(current, &clocked->timer, after_ms);
	clocked->due_ns = thr_loop_now_ns(current) + (after_ms ? after_ms : 1) * THR_NS_PER_MS;
}

static void clocked_disarm(struct clocked *clocked)
{
	thr_loop_disarm(current, &clocked->timer);
	clocked->due_ns = 0;
}

static void clocked_fired(struct thr_timer *timer)
{
	struct clocked *clocked = (struct clocked *)timer;

	assert_int_not_equal(clocked->due_ns, 0);
	assert_true(thr_loop_now_ns(current) >= clocked->due_ns);
	assert_true(thr_loop_now_ns(current) <= clocked->due_ns + LATE_NS + ours.oversleep_ns);
	assert_int_equal(timer->due_ms, 0);
	clocked->due_ns = 0;
	clocked->fired++;
	if (clocked->again_ms)
		clocked_arm(clocked, clocked->again_ms);
}

static void a_timer_fires_once_neither_early_nor_16_ms_late(void **state)
{
	struct thr_loop *loop = current = virtual_loop();

	(void)state;
	for (uint64_t after_ms = 0; after_ms < 40000; after_ms += 1 + after_ms / 7) {
		struct clocked one = {.timer.fire = clocked_fired};

		ours.now_ns += after_ms * 1234567;
		assert_int_equal(thr_loop_turn(loop, 0), 0);
		clocked_arm(&one, after_ms);
		for (int turns = 0; !one.fired; turns++) {
			assert_true(turns < 6);
			assert_int_equal(thr_loop_turn(loop, -1), 0);
		}
		thr_loop_turn(loop, 100);
		assert_int_equal(one.fired, 1);
	}
	thr_loop_free(loop);
}

static void a_timer_that_is_moved_fires_at_its_last_time(void **state)
{
	struct thr_loop *loop = current = virtual_loop();
	struct clocked back = {.timer.fire = clocked_fired};
	struct clocked forth = {.timer.fire = clocked_fired};

	(void)state;
	clocked_arm(&back, 100);
	clocked_arm(&forth, 5000);
	for (int i = 0; i < 1000; i++) {
		thr_loop_turn(loop, 10);
		clocked_arm(&back, 100);
	}
	assert_int_equal(back.fired, 0);
	assert_int_equal(forth.fired, 1);
	clocked_arm(&forth, 5000);
	clocked_arm(&forth, 50);
	for (int i = 0; i < 4; i++)
		thr_loop_turn(loop, 17);
	assert_int_equal(forth.fired, 2);
	thr_loop_free(loop);
}

static void moving_back_costs_no_wait_of_its_own(void **state)
{
	struct thr_loop *loop = current = virtual_loop();
	struct clocked one = {.timer.fire = clocked_fired};
	int turns = 0;

	(void)state;
	/* Hung at 1 s, then put off by 10,000 stores: looked at once on the way. */
	for (uint64_t after_ms = 1000; after_ms < 11000; after_ms++)
		clocked_arm(&one, after_ms);
	for (; !one.fired; turns++)
		thr_loop_turn(loop, -1);
	assert_int_equal(turns, 2);
	thr_loop_free(loop);
}

static void a_disarmed_timer_neither_fires_nor_wakes(void **state)
{
	struct thr_loop *loop = current = virtual_loop();
	struct clocked one = {.timer.fire = clocked_fired};

	(void)state;
	clocked_disarm(&one);
	clocked_arm(&one, 50);
	clocked_disarm(&one);
	clocked_disarm(&one);
	thr_loop_turn(loop, 5000);
	assert_int_equal(ours.last_wait_ms, 5000);
	assert_int_equal(one.fired, 0);
	thr_loop_free(loop);
}

static void a_periodic_timer_does_not_lose_count(void **state)
{
	struct thr_loop *loop = current = virtual_loop();
	struct clocked one = {.timer.fire = clocked_fired, .again_ms = 1};

	(void)state;
	clocked_arm(&one, 1);
	for (int turns = 0; turns < 1000; turns++)
		thr_loop_turn(loop, -1);
	assert_int_equal(one.fired, 1000);
	thr_loop_free(loop);
}

static struct clocked *others, *disarms_others;

static void disarm_others(struct thr_timer *timer)
{
	clocked_fired(timer);
	for (int i = 0; i < 16; i++)
		if (&others[i].timer != timer)
			clocked_disarm(&others[i]);
	clocked_arm(disarms_others, 3);
}

static void a_callback_may_disarm_and_arm_others_of_its_slot(void **state)
{
	struct thr_loop *loop = current = virtual_loop();
	struct clocked timers[16] = {0}, extra = {.timer.fire = clocked_fired};
	unsigned int fired = 0;

	(void)state;
	others = timers;
	disarms_others = &extra;
	for (size_t i = 0; i < ARRAY_SIZE(timers); i++) {
		timers[i].timer.fire = disarm_others;
		clocked_arm(&timers[i], 20);
	}
	thr_loop_turn(loop, -1);
	for (size_t i = 0; i < ARRAY_SIZE(timers); i++)
		fired += timers[i].fired;
	assert_int_equal(fired, 1);
	assert_int_equal(extra.fired, 0);
	thr_loop_turn(loop, -1);
	assert_int_equal(extra.fired, 1);
	thr_loop_free(loop);
}

static void all_that_is_due_fires_after_a_stop_of_any_length(void **state)
{
	static const uint64_t stops_s[] = {1, 16, 17, 33, 1000};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(stops_s); i++) {
		struct thr_loop *loop = current = virtual_loop();
		static struct clocked timers[1000];

		memset(timers, 0, sizeof(timers));
		for (size_t t = 0; t < ARRAY_SIZE(timers); t++) {
			timers[t].timer.fire = clocked_fired;
			timers[t].again_ms = 16000;
			clocked_arm(&timers[t], t + 1);
		}
		ours.oversleep_ns = stops_s[i] * THR_NS_PER_S;
		thr_loop_turn(loop, 0);
		/* Timers go to 1 s; those of the last slots may or may not be due. */
		for (size_t t = 0; t < 980; t++)
			assert_int_equal(timers[t].fired, 1);
		ours.oversleep_ns = 0;
		for (size_t t = 0; t < ARRAY_SIZE(timers); t++)
			clocked_disarm(&timers[t]);
		thr_loop_free(loop);
	}
}

#define MANY 5000

/* The invariant after a turn: nothing that is due by more than a slot still hangs. */
static void assert_none_is_late(const struct clocked *timers)
{
	for (size_t i = 0; i < MANY; i++)
		if (timers[i].due_ns)
			assert_true(timers[i].due_ns + LATE_NS > thr_loop_now_ns(current));
}

static void many_timers_agree_with_a_model(void **state)
{
	struct thr_loop *loop = current = virtual_loop();
	static struct clocked timers[MANY];
	__u64 random = 0x5eed0100;

	(void)state;
	for (size_t i = 0; i < MANY; i++)
		timers[i].timer.fire = clocked_fired;
	for (int turn = 0; turn < 5000; turn++) {
		for (int i = 0; i < 20; i++) {
			struct clocked *one = &timers[next_random(&random) % MANY];
			uint64_t longest = 1ULL << next_random(&random) % 17;

			if (next_random(&random) % 4)
				clocked_arm(one, next_random(&random) % longest);
			else
				clocked_disarm(one);
		}
		ours.oversleep_ns = next_random(&random) % (3 * THR_NS_PER_MS);
		assert_int_equal(thr_loop_turn(loop, (int)(next_random(&random) % 64)), 0);
		if (turn % 16 == 0)
			assert_none_is_late(timers);
	}
	for (size_t i = 0; i < MANY; i++)
		clocked_disarm(&timers[i]);
	thr_loop_turn(loop, 77);
	assert_int_equal(ours.last_wait_ms, 77);
	thr_loop_free(loop);
}

static void a_wait_is_for_the_nearest_timer_in_real_time_too(void **state)
{
	struct thr_loop *loop = current = real_loop();
	struct clocked near = {.timer.fire = clocked_fired}, far = {.timer.fire = clocked_fired};

	(void)state;
	thr_loop_arm(loop, &far.timer, 600000);
	thr_loop_arm(loop, &near.timer, 30);
	near.due_ns = thr_loop_now_ns(loop) + 30 * THR_NS_PER_MS;
	ours.oversleep_ns = 60 * THR_NS_PER_S; /* a busy machine may be late, not early */
	thr_loop_turn(loop, -1);
	assert_int_equal(near.fired, 1);
	assert_int_equal(far.fired, 0);
	thr_loop_free(loop);
}

/* --- descriptors --- */

struct watched {
	struct thr_io io;
	unsigned int calls;
	uint32_t events;
	struct watched *forgets; /* when it is called */
};

static void watched_ready(struct thr_io *io, uint32_t events)
{
	struct watched *watched = (struct watched *)io;

	watched->calls++;
	watched->events = events;
	if (watched->forgets)
		thr_loop_forget(current, &watched->forgets->io);
}

static void watched_open(struct watched *watched, bool ready)
{
	memset(watched, 0, sizeof(*watched));
	watched->io.fd = eventfd(ready, EFD_NONBLOCK | EFD_CLOEXEC);
	watched->io.ready = watched_ready;
	assert_true(watched->io.fd >= 0);
}

static void edges_are_delivered_once_and_levels_until_they_are_read(void **state)
{
	struct thr_loop *loop = current = real_loop();
	struct watched edge, level;

	(void)state;
	watched_open(&edge, true);
	watched_open(&level, true);
	assert_int_equal(thr_loop_watch(loop, &edge.io, EPOLLIN), 0);
	assert_int_equal(thr_loop_watch_level(loop, &level.io, EPOLLIN), 0);
	for (int i = 0; i < 3; i++)
		thr_loop_turn(loop, -1);
	assert_int_equal(edge.calls, 1);
	assert_int_equal(level.calls, 3);
	assert_int_equal(level.events, EPOLLIN);
	assert_int_equal(eventfd_write(edge.io.fd, 1), 0);
	thr_loop_turn(loop, -1);
	assert_int_equal(edge.calls, 2);
	close(edge.io.fd);
	close(level.io.fd);
	thr_loop_free(loop);
}

static void the_end_of_a_stream_is_told(void **state)
{
	struct thr_loop *loop = current = real_loop();
	struct watched one = {.io.ready = watched_ready};
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	one.io.fd = pair[0];
	assert_int_equal(thr_loop_watch(loop, &one.io, EPOLLIN | EPOLLOUT | EPOLLRDHUP), 0);
	thr_loop_turn(loop, -1);
	assert_int_equal(one.events, EPOLLOUT);
	shutdown(pair[1], SHUT_WR);
	thr_loop_turn(loop, -1);
	assert_int_equal(one.events, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
	close(pair[0]);
	close(pair[1]);
	thr_loop_free(loop);
}

static void a_forgotten_descriptor_gets_no_event_of_the_same_turn(void **state)
{
	struct thr_loop *loop = current = real_loop();
	struct watched one, other;

	(void)state;
	watched_open(&one, true);
	watched_open(&other, true);
	one.forgets = &other;
	other.forgets = &one;
	assert_int_equal(thr_loop_watch(loop, &one.io, EPOLLIN), 0);
	assert_int_equal(thr_loop_watch(loop, &other.io, EPOLLIN), 0);
	thr_loop_turn(loop, -1);
	assert_int_equal(one.calls + other.calls, 1);
	/* Only the one that was forgotten can be watched anew. */
	assert_int_equal(thr_loop_watch(loop, one.calls ? &one.io : &other.io, EPOLLIN), -EEXIST);
	assert_int_equal(thr_loop_watch(loop, one.calls ? &other.io : &one.io, EPOLLIN), 0);
	close(one.io.fd);
	close(other.io.fd);
	thr_loop_free(loop);
}

static void forgetting_what_is_not_watched_does_nothing(void **state)
{
	struct thr_loop *loop = current = real_loop();
	struct watched one, none = {.io.fd = -1};

	(void)state;
	watched_open(&one, true);
	thr_loop_forget(loop, &one.io);
	thr_loop_forget(loop, &none.io);
	assert_int_equal(thr_loop_watch(loop, &none.io, EPOLLIN), -EBADF);
	close(one.io.fd);
	thr_loop_free(loop);
	thr_loop_free(NULL);
}

#define CROWD 600 /* more than are delivered in a turn */

static void every_descriptor_of_a_crowd_has_its_turn(void **state)
{
	struct thr_loop *loop = current = real_loop();
	static struct watched crowd[CROWD];

	(void)state;
	for (size_t i = 0; i < CROWD; i++) {
		watched_open(&crowd[i], true);
		assert_int_equal(thr_loop_watch(loop, &crowd[i].io, EPOLLIN), 0);
	}
	for (int i = 0; i < 3; i++)
		thr_loop_turn(loop, 0);
	for (size_t i = 0; i < CROWD; i++) {
		assert_int_equal(crowd[i].calls, 1);
		close(crowd[i].io.fd);
	}
	thr_loop_free(loop);
}

static void on_alarm(int number)
{
	(void)number;
}

static void a_signal_is_no_error(void **state)
{
	struct thr_loop *loop = current = real_loop();
	const struct itimerval soon = {.it_interval.tv_usec = 5000, .it_value.tv_usec = 5000};
	const struct itimerval never = {0};
	struct sigaction action = {.sa_handler = on_alarm};

	(void)state;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	assert_int_equal(thr_loop_turn(loop, 10000), 0);
	setitimer(ITIMER_REAL, &never, NULL);
	thr_loop_free(loop);
}

/* --- deferred work --- */

struct late {
	struct thr_deferred deferred;
	unsigned int runs;
	bool again;
};

static void late_run(struct thr_deferred *deferred)
{
	struct late *late = (struct late *)deferred;

	late->runs++;
	if (late->again)
		thr_loop_defer(current, deferred);
}

static void free_late(struct thr_deferred *deferred)
{
	free(deferred);
}

static void deferred_work_runs_once_at_the_end_of_the_turn(void **state)
{
	struct thr_loop *loop = current = real_loop();
	struct late late = {.deferred.run = late_run};
	struct late *freed = calloc(1, sizeof(*freed));

	(void)state;
	assert_non_null(freed);
	freed->deferred.run = free_late;
	thr_loop_defer(loop, &late.deferred);
	thr_loop_defer(loop, &freed->deferred);
	thr_loop_defer(loop, &late.deferred);
	assert_int_equal(late.runs, 0);
	thr_loop_turn(loop, -1);
	assert_int_equal(ours.last_wait_ms, 0);
	assert_int_equal(late.runs, 1);
	thr_loop_turn(loop, 1);
	assert_int_equal(ours.last_wait_ms, 1);
	assert_int_equal(late.runs, 1);
	thr_loop_free(loop);
}

static void what_defers_itself_runs_in_the_next_turn_which_does_not_wait(void **state)
{
	struct thr_loop *loop = current = real_loop();
	struct late late = {.deferred.run = late_run, .again = true};

	(void)state;
	thr_loop_defer(loop, &late.deferred);
	for (unsigned int turn = 1; turn < 10; turn++) {
		thr_loop_turn(loop, -1);
		assert_int_equal(late.runs, turn);
	}
	thr_loop_free(loop);
}

/* Defers the other one in the turn that runs it. */
static void defer_within(struct thr_deferred *deferred)
{
	struct late *late = (struct late *)deferred;

	thr_loop_defer_within(current, &late[1].deferred, 2000000);
}

static void what_is_deferred_within_a_time_waits_for_it_in_the_next_turn(void **state)
{
	struct thr_loop *loop = current = real_loop();
	struct late late[2] = {{.deferred.run = defer_within}, {.deferred.run = late_run}};
	uint64_t before_ns;

	(void)state;
	thr_loop_defer(loop, &late[0].deferred);
	thr_loop_turn(loop, -1);
	assert_int_equal(late[1].runs, 0);
	before_ns = thr_clock_monotonic_ns();
	thr_loop_turn(loop, -1);
	assert_int_equal(late[1].runs, 1);
	assert_true(thr_clock_monotonic_ns() - before_ns >= 2000000);
	thr_loop_defer_within(loop, &late[1].deferred, UINT64_MAX);
	thr_loop_turn(loop, 1);
	assert_int_equal(ours.last_wait_ms, 1);
	assert_int_equal(late[1].runs, 2);
	thr_loop_free(loop);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_timer_fires_once_neither_early_nor_16_ms_late),
		cmocka_unit_test(a_timer_that_is_moved_fires_at_its_last_time),
		cmocka_unit_test(moving_back_costs_no_wait_of_its_own),
		cmocka_unit_test(a_disarmed_timer_neither_fires_nor_wakes),
		cmocka_unit_test(a_periodic_timer_does_not_lose_count),
		cmocka_unit_test(a_callback_may_disarm_and_arm_others_of_its_slot),
		cmocka_unit_test(all_that_is_due_fires_after_a_stop_of_any_length),
		cmocka_unit_test(many_timers_agree_with_a_model),
		cmocka_unit_test(a_wait_is_for_the_nearest_timer_in_real_time_too),
		cmocka_unit_test(edges_are_delivered_once_and_levels_until_they_are_read),
		cmocka_unit_test(the_end_of_a_stream_is_told),
		cmocka_unit_test(a_forgotten_descriptor_gets_no_event_of_the_same_turn),
		cmocka_unit_test(forgetting_what_is_not_watched_does_nothing),
		cmocka_unit_test(every_descriptor_of_a_crowd_has_its_turn),
		cmocka_unit_test(a_signal_is_no_error),
		cmocka_unit_test(deferred_work_runs_once_at_the_end_of_the_turn),
		cmocka_unit_test(what_defers_itself_runs_in_the_next_turn_which_does_not_wait),
		cmocka_unit_test(what_is_deferred_within_a_time_waits_for_it_in_the_next_turn),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
