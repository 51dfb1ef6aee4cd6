/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The event loop of one worker: epoll, timers, and work put off to the end of
 * the turn. One thread; nothing here is shared.
 *
 *   turn: wait -> sample the clock -> ready callbacks -> timers -> deferred work
 *
 * Descriptors are watched edge-triggered with whatever events were asked for
 * once, so that a connection costs one epoll_ctl() in its life. A callback reads
 * and writes until the kernel has no more, or has itself called again.
 */
#ifndef THR_LOOP_H
#define THR_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct thr_loop;

/* A watched descriptor, embedded in what it belongs to. */
struct thr_io {
	int fd; /* -1: none */
	void (*ready)(struct thr_io *io, uint32_t events);
};

/* A deadline, embedded in what it belongs to. All zeros but `fire`: not armed. */
struct thr_timer {
	struct thr_timer *next, **link;
	uint64_t due_ms;    /* when it fires; 0: not armed */
	uint64_t queued_ms; /* when it is looked at: at most 8 ms after due_ms */
	void (*fire)(struct thr_timer *timer);
};

/* Work for the end of the turn: what frees an object that callbacks of this turn
 * may still be given, or goes on with one that others should not wait for. */
struct thr_deferred {
	struct thr_deferred *next;
	void (*run)(struct thr_deferred *deferred);
	bool queued;
};

/* Returns 0 or a negative errno. */
int thr_loop_new(struct thr_loop **ret_loop);

/* NULL-safe. What is still watched or armed is forgotten, nothing is called. */
void thr_loop_free(struct thr_loop *loop);

/* Watch io->fd for `events` (EPOLLIN, EPOLLOUT, EPOLLRDHUP; EPOLLET is added).
 * Returns 0 or a negative errno. */
int thr_loop_watch(struct thr_loop *loop, struct thr_io *io, uint32_t events);

/* The same, level-triggered: for listeners. */
int thr_loop_watch_level(struct thr_loop *loop, struct thr_io *io, uint32_t events);

/* Stop watching; io->fd stays open. An event of this turn that was not delivered
 * yet is not. Closing a descriptor must come after this. Safe when not watched. */
void thr_loop_forget(struct thr_loop *loop, struct thr_io *io);

/* Fire `after_ms` from now (at least 1, to 16 ms at the latest after it); moves a
 * timer that is armed. O(1), and next to nothing when an armed one moves back. */
void thr_loop_arm(struct thr_loop *loop, struct thr_timer *timer, uint64_t after_ms);
void thr_loop_disarm(struct thr_loop *loop, struct thr_timer *timer);

/* Run at the end of this turn, once however often asked; what is deferred by then
 * runs in the next turn, which does not wait for events. */
void thr_loop_defer(struct thr_loop *loop, struct thr_deferred *deferred);

/* The same at the end of the next turn, which waits for events for at most `wait_ns`: for
 * what timers are too coarse for. Where it is queued already, it stays as it is. */
void thr_loop_defer_within(struct thr_loop *loop, struct thr_deferred *deferred, uint64_t wait_ns);

/* Monotonic time, sampled after the wait. */
uint64_t thr_loop_now_ns(const struct thr_loop *loop);
uint64_t thr_loop_now_ms(const struct thr_loop *loop);

/* One turn that waits at most `wait_ms` (-1: until something happens). Returns 0,
 * or a negative errno when waiting failed. Signals do not end the wait early
 * with an error. */
int thr_loop_turn(struct thr_loop *loop, int wait_ms);

#endif
