/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * epoll, and a timer wheel made for deadlines that are moved far more often than
 * they pass: a connection's is put off with every read and write.
 *
 * The wheel has 2048 slots of 8 ms. Slot `tick % 2048` holds the timers that are
 * to be looked at when the clock reaches 8 * tick ms: those due in the 8 ms up to
 * it, and those that have been put off since they were hung there, or that are due
 * beyond the wheel's 16 s; these are hung again when their slot comes. Moving an
 * armed timer back is therefore one store, and each timer is hung at most once in
 * the time that it was armed for, or in 16 s.
 *
 *   done                                      done + 2048
 *    |  .  x  .  .  x  .  .  .  .  .  .  .  .  x  |     x: slots with timers, found
 *    '- every slot up to here was looked at             by a bitmap of 256 bytes
 *
 * Invariants: a timer hangs in exactly one list, and link points to what points to
 * it. A slot's bit is set while its list is not empty. A timer never fires early: it
 * is due at a whole millisecond at or after the time asked for. It is late by up to
 * 1 ms for that, 7 ms for the rest of its slot, 1 ms for epoll's unit, and what the
 * callbacks of the turn before the wait took.
 */
#include "core/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/clock.h"

#define EVENTS_A_TURN 256

#define SLOT_MS 8
#define SLOTS 2048 /* a power of two */
#define WORD_BITS 64
#define WORDS (SLOTS / WORD_BITS)

struct thr_loop {
	int epoll_fd;
	uint64_t now_ns;

	/* Of this turn: events from `delivered` to `ready` are still to come. */
	struct epoll_event events[EVENTS_A_TURN];
	int ready, delivered;

	uint64_t done; /* the last tick that was looked at */
	uint64_t occupied[WORDS];
	struct thr_timer *slots[SLOTS];

	struct thr_deferred *deferred, **deferred_end;
	struct thr_deferred *patient; /* for the end of the turn that waits next */
	uint64_t patience_ns;	      /* of that wait, at most */
};

int thr_loop_new(struct thr_loop **ret_loop)
{
	struct thr_loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return -ENOMEM;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0) {
		int code = -errno;

		free(loop);
		return code;
	}
	loop->now_ns = thr_clock_monotonic_ns();
	loop->done = thr_loop_now_ms(loop) / SLOT_MS;
	loop->deferred_end = &loop->deferred;
	*ret_loop = loop;
	return 0;
}

void thr_loop_free(struct thr_loop *loop)
{
	if (!loop)
		return;
	close(loop->epoll_fd);
	free(loop);
}

uint64_t thr_loop_now_ns(const struct thr_loop *loop)
{
	return loop->now_ns;
}

uint64_t thr_loop_now_ms(const struct thr_loop *loop)
{
	return loop->now_ns / THR_NS_PER_MS;
}

/* --- descriptors --- */

static int watch(struct thr_loop *loop, struct thr_io *io, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = io};

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, io->fd, &event) < 0 ? -errno : 0;
}

int thr_loop_watch(struct thr_loop *loop, struct thr_io *io, uint32_t events)
{
	return watch(loop, io, events | EPOLLET);
}

int thr_loop_watch_level(struct thr_loop *loop, struct thr_io *io, uint32_t events)
{
	return watch(loop, io, events);
}

void thr_loop_forget(struct thr_loop *loop, struct thr_io *io)
{
	if (io->fd < 0)
		return;
	/* Fails when it is not watched, which is what was wanted. */
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL);
	for (int i = loop->delivered; i < loop->ready; i++)
		if (loop->events[i].data.ptr == io)
			loop->events[i].data.ptr = NULL;
}

static void deliver(struct thr_loop *loop)
{
	while (loop->delivered < loop->ready) {
		struct epoll_event *event = &loop->events[loop->delivered++];
		struct thr_io *io = event->data.ptr;

		if (io)
			io->ready(io, event->events);
	}
}

/* --- timers --- */

/* The tick at which what is due at `due_ms` is looked at. */
static uint64_t tick_of(uint64_t due_ms)
{
	return (due_ms + SLOT_MS - 1) / SLOT_MS;
}

static void mark_empty(struct thr_loop *loop, size_t slot)
{
	loop->occupied[slot / WORD_BITS] &= ~(1ULL << slot % WORD_BITS);
}

static void hang(struct thr_loop *loop, struct thr_timer *timer)
{
	uint64_t tick = tick_of(timer->due_ms);
	struct thr_timer **head;
	size_t slot;

	if (tick > loop->done + SLOTS)
		tick = loop->done + SLOTS;
	slot = tick % SLOTS;
	head = &loop->slots[slot];
	timer->queued_ms = tick * SLOT_MS;
	timer->next = *head;
	timer->link = head;
	if (*head)
		(*head)->link = &timer->next;
	*head = timer;
	loop->occupied[slot / WORD_BITS] |= 1ULL << slot % WORD_BITS;
}

static void unhang(struct thr_timer *timer)
{
	*timer->link = timer->next;
	if (timer->next)
		timer->next->link = timer->link;
}

void thr_loop_disarm(struct thr_loop *loop, struct thr_timer *timer)
{
	size_t slot = timer->queued_ms / SLOT_MS % SLOTS;

	if (!timer->due_ms)
		return;
	unhang(timer);
	if (!loop->slots[slot])
		mark_empty(loop, slot);
	timer->due_ms = 0;
}

void thr_loop_arm(struct thr_loop *loop, struct thr_timer *timer, uint64_t after_ms)
{
	uint64_t due_ms = (loop->now_ns + THR_NS_PER_MS - 1) / THR_NS_PER_MS;

	due_ms += after_ms ? after_ms : 1;
	if (timer->due_ms && due_ms + SLOT_MS > timer->queued_ms) {
		timer->due_ms = due_ms;
		return;
	}
	thr_loop_disarm(loop, timer);
	timer->due_ms = due_ms;
	hang(loop, timer);
}

/* The first tick after `tick`, and at most `count` after it, whose slot has timers;
 * 0 when there is none. */
static uint64_t next_occupied(const struct thr_loop *loop, uint64_t tick, uint64_t count)
{
	uint64_t last = tick + count;

	for (tick++; tick <= last; tick += WORD_BITS - tick % WORD_BITS) {
		uint64_t word = loop->occupied[tick % SLOTS / WORD_BITS] >> tick % WORD_BITS;

		if (word) {
			tick += (uint64_t)__builtin_ctzll(word);
			return tick <= last ? tick : 0;
		}
	}
	return 0;
}

/* Empties the slot first: timers that its callbacks arm go into lists of their own
 * time, and one that they disarm leaves the list that is being walked. */
static void fire_slot(struct thr_loop *loop, size_t slot)
{
	uint64_t now_ms = thr_loop_now_ms(loop);
	struct thr_timer *due = loop->slots[slot];

	loop->slots[slot] = NULL;
	mark_empty(loop, slot);
	due->link = &due;
	while (due) {
		struct thr_timer *timer = due;

		unhang(timer);
		if (timer->due_ms > now_ms) {
			hang(loop, timer);
		} else {
			timer->due_ms = 0;
			timer->fire(timer);
		}
	}
}

/* After a stop longer than the wheel every slot is looked at once. What callbacks
 * arm hangs after `done`, and is due after now: it never fires in the same turn. */
static void fire_due(struct thr_loop *loop)
{
	uint64_t tick = loop->done, now_tick = thr_loop_now_ms(loop) / SLOT_MS;

	if (now_tick - tick > SLOTS)
		tick = now_tick - SLOTS;
	loop->done = now_tick;
	while ((tick = next_occupied(loop, tick, now_tick - tick)))
		fire_slot(loop, tick % SLOTS);
}

/* --- deferred work --- */

void thr_loop_defer(struct thr_loop *loop, struct thr_deferred *deferred)
{
	if (deferred->queued)
		return;
	deferred->queued = true;
	deferred->next = NULL;
	*loop->deferred_end = deferred;
	loop->deferred_end = &deferred->next;
}

void thr_loop_defer_within(struct thr_loop *loop, struct thr_deferred *deferred, uint64_t wait_ns)
{
	if (deferred->queued)
		return;
	if (!loop->patient || wait_ns < loop->patience_ns)
		loop->patience_ns = wait_ns;
	deferred->queued = true;
	deferred->next = loop->patient;
	loop->patient = deferred;
}

/* What is run may free the object that it belongs to, or defer it again. */
static void run_all(struct thr_deferred *first)
{
	while (first) {
		struct thr_deferred *deferred = first;

		first = deferred->next;
		deferred->queued = false;
		deferred->run(deferred);
	}
}

static void run_deferred(struct thr_loop *loop)
{
	struct thr_deferred *first = loop->deferred;

	loop->deferred = NULL;
	loop->deferred_end = &loop->deferred;
	run_all(first);
}

/* --- the turn --- */

/* Milliseconds, rounded up, from the last sample of the clock to the next slot with
 * timers; `wait_ms` when that is sooner. */
static int wait_of(const struct thr_loop *loop, int wait_ms)
{
	uint64_t tick, at_ns, left_ms;

	if (loop->deferred)
		return 0;
	tick = next_occupied(loop, loop->done, SLOTS);
	if (!tick)
		return wait_ms;
	at_ns = tick * SLOT_MS * THR_NS_PER_MS;
	if (at_ns <= loop->now_ns)
		return 0;
	left_ms = (at_ns - loop->now_ns + THR_NS_PER_MS - 1) / THR_NS_PER_MS;
	return wait_ms >= 0 && (uint64_t)wait_ms < left_ms ? wait_ms : (int)left_ms;
}

static int wait_for_events(struct thr_loop *loop, int wait_ms)
{
	uint64_t patience_ns = loop->patience_ns;
	struct timespec wait;

	wait_ms = wait_of(loop, wait_ms);
	if (!loop->patient || (wait_ms >= 0 && (uint64_t)wait_ms * THR_NS_PER_MS <= patience_ns))
		return epoll_wait(loop->epoll_fd, loop->events, EVENTS_A_TURN, wait_ms);
	wait.tv_sec = (time_t)(patience_ns / THR_NS_PER_S);
	wait.tv_nsec = (long)(patience_ns % THR_NS_PER_S);
	return epoll_pwait2(loop->epoll_fd, loop->events, EVENTS_A_TURN, &wait, NULL);
}

int thr_loop_turn(struct thr_loop *loop, int wait_ms)
{
	int count = wait_for_events(loop, wait_ms);
	struct thr_deferred *patient = loop->patient;

	if (count < 0 && errno != EINTR)
		return -errno;
	loop->patient = NULL;
	loop->ready = count > 0 ? count : 0;
	loop->delivered = 0;
	loop->now_ns = thr_clock_monotonic_ns();

	deliver(loop);
	fire_due(loop);
	run_deferred(loop);
	run_all(patient);
	return 0;
}
