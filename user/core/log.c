/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The two streams; see log.h. */
#include "core/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log_event.h"
#include "core/log_stream.h"

#define GIVE_UP_MS 1000

static struct thr_log_stream events = {.fd = STDERR_FILENO};
static struct thr_log_stream requests = {.fd = STDOUT_FILENO, .delay_ms = THR_LOG_STREAM_DELAY_MS};

void thr_log(enum thr_log_level level, const char *format, ...)
{
	char message[THR_EVENT_MESSAGE_MAX + 1], *line;
	va_list arguments;

	if (!thr_log_enabled(level))
		return;
	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	line = thr_log_stream_reserve(&events, THR_EVENT_MAX);
	if (line)
		thr_log_stream_commit(&events, thr_event_format(line, level, message));
}

char *thr_log_reserve(size_t size)
{
	return thr_log_stream_reserve(&requests, size);
}

void thr_log_commit(size_t length)
{
	thr_log_stream_commit(&requests, length);
}

int thr_log_start(void)
{
	int r = thr_log_stream_start(&events);

	if (r < 0)
		return r;
	r = thr_log_stream_start(&requests);
	if (r < 0)
		thr_log_stop(GIVE_UP_MS);
	return r;
}

int thr_log_turn(uint64_t now_ms)
{
	int of_events = thr_log_stream_turn(&events, now_ms);
	int of_requests = thr_log_stream_turn(&requests, now_ms);

	if (of_events < 0 || of_requests < 0)
		return of_events < 0 ? of_requests : of_events;
	return of_events < of_requests ? of_events : of_requests;
}

void thr_log_forget(void)
{
	thr_log_stream_forget(&requests);
	thr_log_stream_forget(&events);
}

void thr_log_stop(unsigned int wait_ms)
{
	uint64_t end_ns = thr_clock_monotonic_ns() + wait_ms * THR_NS_PER_MS;
	const struct timespec deadline = {.tv_sec = (time_t)(end_ns / THR_NS_PER_S),
					  .tv_nsec = (long)(end_ns % THR_NS_PER_S)};

	thr_log_stream_end(&requests);
	thr_log_stream_end(&events);
	thr_log_stream_join(&requests, &deadline);
	thr_log_stream_join(&events, &deadline);
}
