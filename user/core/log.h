/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Two streams of lines: events on standard error, for who runs the program, and
 * one line a request on standard output.
 *
 * Before thr_log_start() lines are written at once. After it, lines go to a
 * buffer in memory and a thread for each stream writes them, so that a pipe that
 * nobody reads never holds up the loop: when the buffers (1 MiB a stream) are
 * full, lines are dropped, counted, and their number is written as a line as soon
 * as there is room. Lines that could not be written (a full disk) are counted too, and
 * told before the next one that can be. No more than 250 ms pass before a line is handed to the
 * kernel. Lines never interleave with those of another process that writes to
 * the same file, pipe or socket: to a pipe or socket each write is whole lines of
 * at most PIPE_BUF bytes (a longer line is a write of its own).
 *
 * All functions are for the thread that called thr_log_start().
 */
#ifndef THR_LOG_H
#define THR_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum thr_log_level { THR_LOG_DEBUG, THR_LOG_INFO, THR_LOG_WARNING, THR_LOG_ERROR };
enum thr_log_format { THR_LOG_TEXT, THR_LOG_JSON };

/* What is written and how; INFO and TEXT until it is called. */
void thr_log_setup(enum thr_log_level level, enum thr_log_format format);

bool thr_log_enabled(enum thr_log_level level);
enum thr_log_format thr_log_current_format(void);

/* Who speaks, in events: "master", "worker 1". At most 31 bytes are kept. */
void thr_log_name(const char *name);

/*
 * Write one event when its level is enabled:
 *   2026-11-21T20:17:46.123Z warning worker 1: upstream 127.0.0.1:9000 set aside: ...
 *   {"time":"2026-11-21T20:17:46.123Z","level":"warning","process":"worker 1","message":"..."}
 * Control characters, backslashes and bytes beyond ASCII are escaped (\xHH in text, as
 * JSON does in JSON); the text is cut at 1,000 bytes.
 */
void thr_log(enum thr_log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Room for one line of at most `size` bytes (<= 16 KiB) in the stream of requests,
 * to be written in place and committed with its length, its newline included;
 * NULL when it is full: the line is counted as lost. */
char *thr_log_reserve(size_t size);
void thr_log_commit(size_t length);

/* Start the threads. Returns 0 or a negative errno. They are this process's: a child of
 * fork() has none of them. */
int thr_log_start(void);

/* In a child that a process forked after it started: what waits to be written is the
 * parent's business, and this process is as before thr_log_start(), which it may call. */
void thr_log_forget(void);

/* Once a turn of the loop: hands over what is due at `now_ms`. Returns the
 * milliseconds until it wants to be called again, -1 when nothing waits. */
int thr_log_turn(uint64_t now_ms);

/* Write what is left, for at most `wait_ms`, and end the threads. */
void thr_log_stop(unsigned int wait_ms);

#endif
