/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A stream of whole lines to a descriptor that may block: a ring in memory, and a thread
 * that writes what is in it. log.h says what holds of the lines. All functions are for one
 * thread.
 */
#ifndef THR_LOG_STREAM_H
#define THR_LOG_STREAM_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define THR_LOG_STREAM_DELAY_MS 100 /* what a line may wait for others; see delay_ms */

/* The first two are the caller's to set; zero elsewhere. */
struct thr_log_stream {
	int fd;
	unsigned int delay_ms; /* from the turn that sees a line to handing it over */

	/* The loop thread's. */
	uint32_t head, handed;
	uint64_t due_ms; /* when to hand over; 0: not set */
	uint64_t lost;	 /* lines since the last that were told */

	/* Of who writes: the thread, or before its start the caller. */
	uint64_t failed; /* lines that could not be written since the last that was told */
	bool torn;	 /* one of them was written in part */

	/* The thread's, and what both use. */
	char *ring;   /* NULL: not started, lines are written at once */
	bool is_file; /* to a regular file: whatever there is, in one write */
	pthread_t thread;
	sem_t posted;
	sem_t started; /* it has all that it needs of the process */
	bool stopping;
	uint32_t published;
	uint32_t tail;
};

/* Start the thread. Returns 0 or a negative errno: -EALREADY. Until then lines are written
 * at once. */
int thr_log_stream_start(struct thr_log_stream *stream);

/* Room for a line of at most `size` bytes (<= 16 KiB), to be committed with its length; NULL
 * when there is none: the line is counted as lost, and told of when there is. */
char *thr_log_stream_reserve(struct thr_log_stream *stream, size_t size);
void thr_log_stream_commit(struct thr_log_stream *stream, size_t length);

/* Hand over what is due at `now_ms`. Returns the milliseconds until the stream wants its
 * next turn, or -1. */
int thr_log_stream_turn(struct thr_log_stream *stream, uint64_t now_ms);

/* Hand over what is left and have the thread end when that is written; then wait for it.
 * One that does not end in time hangs in a write: it and its ring are left to the end of the
 * process, and further lines are lost. */
void thr_log_stream_end(struct thr_log_stream *stream);
void thr_log_stream_join(struct thr_log_stream *stream, const struct timespec *deadline);

/* In a child of fork(), which has no such thread: as before thr_log_stream_start(). */
void thr_log_stream_forget(struct thr_log_stream *stream);

#endif
