/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lines without waiting; see log.h. Each stream is a ring of 1 MiB with one writer
 * of lines, the loop's thread, and one reader, a thread of the stream's own that
 * writes to the descriptor and may block there for as long as it takes. Two threads,
 * because nothing but a thread can wait on a pipe that others write to as well:
 * readiness may be gone by the time of the write, and O_NONBLOCK would be set for
 * those others too. So a standard output that nobody reads does not hold up events.
 *
 *        tail            handed          head
 *    -----|----------------|---------------|-----------> bytes, counted mod 2^32
 *         |  the thread's  |  not handed   |
 *         |                |  over yet     |
 *
 * head and handed are the loop thread's, and what is handed over is published by a
 * semaphore's post; tail is the thread's. Each is at a line's end. The ring is mapped
 * twice in a row, so that any part of it can be written to as one piece.
 *
 * A line is handed over when 64 KiB have come together, or by the next
 * thr_log_turn() for an event, and the one 100 ms after it for a request: waking the
 * thread costs more than the line.
 */
#include "core/log.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/clock.h"

#define RING_BYTES (1U << 20)
#define LINE_MAX_BYTES (16U << 10)
#define HAND_OVER_BYTES (64U << 10)
#define REQUEST_DELAY_MS 100
#define MESSAGE_MAX 1000
#define NAME_MAX_BYTES 31
#define ESCAPED(length) (6 * (length) + 1)
#define EVENT_MAX (ESCAPED(MESSAGE_MAX) + ESCAPED(NAME_MAX_BYTES) + 128)
#define STACK_BYTES (64U << 10)

struct stream {
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

static struct {
	enum thr_log_level level;
	enum thr_log_format format;
	char name[NAME_MAX_BYTES + 1];
	char direct[LINE_MAX_BYTES]; /* a line to be written at once */
	struct stream events, requests;
} state = {
	.level = THR_LOG_INFO,
	.format = THR_LOG_TEXT,
	.events = {.fd = STDERR_FILENO},
	.requests = {.fd = STDOUT_FILENO, .delay_ms = REQUEST_DELAY_MS},
};

static const char *const level_names[] = {
	[THR_LOG_DEBUG] = "debug",
	[THR_LOG_INFO] = "info",
	[THR_LOG_WARNING] = "warning",
	[THR_LOG_ERROR] = "error",
};

void thr_log_setup(enum thr_log_level level, enum thr_log_format format)
{
	state.level = level;
	__atomic_store_n(&state.format, format, __ATOMIC_RELAXED); /* threads read it too */
}

bool thr_log_enabled(enum thr_log_level level)
{
	return level >= state.level;
}

enum thr_log_format thr_log_current_format(void)
{
	return __atomic_load_n(&state.format, __ATOMIC_RELAXED);
}

void thr_log_name(const char *name)
{
	snprintf(state.name, sizeof(state.name), "%s", name);
}

/* --- writing --- */

/* Write all of it, or what goes before a failure (the other end is gone, the disk is
 * full); returns how much. A descriptor that somebody made not to block is waited for,
 * which only the streams' threads and direct lines come to. */
static size_t write_all(int fd, const char *at, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t written = write(fd, at + done, size - done);

		if (written > 0) {
			done += (size_t)written;
		} else if (written < 0 && errno == EAGAIN) {
			struct pollfd ready = {.fd = fd, .events = POLLOUT};

			poll(&ready, 1, -1);
		} else if (written == 0 || errno != EINTR) {
			break;
		}
	}
	return done;
}

static size_t format_event(char *line, enum thr_log_level level, const char *message);

/* Say how many lines could not be written. Returns false when this one cannot be
 * either. */
static bool tell_failed(struct stream *stream)
{
	char message[96], line[EVENT_MAX + 1] = "\n";
	size_t length, skip = !stream->torn; /* the line end that a torn line lacks */

	if (!stream->failed)
		return true;
	snprintf(message, sizeof(message), "%llu log lines lost here: they could not be written",
		 (unsigned long long)stream->failed);
	length = 1 + format_event(line + 1, THR_LOG_WARNING, message) - skip;
	if (write_all(stream->fd, line + skip, length) < length)
		return false;
	stream->failed = 0;
	stream->torn = false;
	return true;
}

/* Whole lines. Those that cannot be written are counted, and told before the next that
 * can. */
static void write_lines(struct stream *stream, const char *at, size_t size)
{
	size_t done = tell_failed(stream) ? write_all(stream->fd, at, size) : 0;

	if (done == size)
		return;
	if (done)
		stream->torn = at[done - 1] != '\n';
	for (; done < size; done++)
		stream->failed += at[done] == '\n';
}

/* The first whole lines of `size` bytes that may be one write: PIPE_BUF bytes, which
 * the kernel does not mix with those of others; or one line that is longer. */
static size_t piece_of(const char *at, size_t size)
{
	const char *end;

	if (size <= PIPE_BUF)
		return size;
	end = memrchr(at, '\n', PIPE_BUF);
	if (!end)
		end = memchr(at + PIPE_BUF, '\n', size - PIPE_BUF);
	return end ? (size_t)(end + 1 - at) : size;
}

/* --- the threads --- */

static void drain(struct stream *stream)
{
	uint32_t end = __atomic_load_n(&stream->published, __ATOMIC_ACQUIRE);
	uint32_t tail = stream->tail;

	while (tail != end) {
		const char *at = stream->ring + tail % RING_BYTES;
		size_t size = end - tail;

		if (!stream->is_file)
			size = piece_of(at, size);
		write_lines(stream, at, size);
		tail += (uint32_t)size;
		__atomic_store_n(&stream->tail, tail, __ATOMIC_RELEASE);
	}
}

/* Have a table of descriptors of its own, with this one in it: the kernel takes and
 * drops a reference in each system call on a table that threads share, which would
 * cost the loop 2 % of a request. Where it is refused, that is all. */
static void unshare_descriptors(int fd)
{
	if (unshare(CLONE_FILES) < 0)
		return;
	if (fd > 0)
		close_range(0, (unsigned int)fd - 1, 0);
	close_range((unsigned int)fd + 1, ~0U, 0);
}

static void *write_stream(void *argument)
{
	struct stream *stream = argument;
	bool stopping;

	unshare_descriptors(stream->fd);
	sem_post(&stream->started);
	do {
		while (sem_wait(&stream->posted) < 0)
			; /* interrupted: signals are blocked, a debugger's stop is not */
		stopping = __atomic_load_n(&stream->stopping, __ATOMIC_ACQUIRE);
		drain(stream);
	} while (!stopping);
	return NULL;
}

/* The same pages twice in a row. */
static int map_ring(char **ret_ring)
{
	AUTO_CLOSE int fd = memfd_create("log", MFD_CLOEXEC);
	char *ring;

	if (fd < 0 || ftruncate(fd, RING_BYTES) < 0)
		return -errno;
	ring = mmap(NULL, 2 * RING_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ring == MAP_FAILED)
		return -errno;
	for (size_t half = 0; half < 2; half++) {
		if (mmap(ring + half * RING_BYTES, RING_BYTES, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
			int code = -errno;

			munmap(ring, 2 * RING_BYTES);
			return code;
		}
	}
	*ret_ring = ring;
	return 0;
}

static int start_thread(struct stream *stream)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	int code;

	code = pthread_attr_init(&attributes);
	if (code)
		return -code;
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	/* Signals are the loop's. SIGPIPE among them: blocked, it does not kill. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	code = pthread_create(&stream->thread, &attributes, write_stream, stream);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return -code;
}

static int stream_start(struct stream *stream)
{
	struct stat about;
	int r;

	if (stream->ring)
		return -EALREADY;
	r = map_ring(&stream->ring);
	if (r < 0)
		return r;
	stream->is_file = fstat(stream->fd, &about) == 0 && S_ISREG(about.st_mode);
	stream->head = stream->handed = stream->published = stream->tail = 0;
	stream->due_ms = stream->lost = 0;
	stream->stopping = false;
	sem_init(&stream->posted, 0, 0);
	sem_init(&stream->started, 0, 0);
	r = start_thread(stream);
	while (r == 0 && sem_wait(&stream->started) < 0)
		;
	if (r < 0) {
		munmap(stream->ring, 2 * RING_BYTES);
		stream->ring = NULL;
	}
	return r;
}

/* --- the loop's side --- */

static void hand_over(struct stream *stream)
{
	stream->due_ms = 0;
	stream->handed = stream->head;
	__atomic_store_n(&stream->published, stream->head, __ATOMIC_RELEASE);
	sem_post(&stream->posted);
}

/* Room for a line, or NULL. */
static char *room_for(struct stream *stream, size_t size)
{
	uint32_t used = stream->head - __atomic_load_n(&stream->tail, __ATOMIC_ACQUIRE);

	if (!stream->ring)
		return state.direct;
	return RING_BYTES - used >= size ? stream->ring + stream->head % RING_BYTES : NULL;
}

static void commit(struct stream *stream, size_t length)
{
	if (!stream->ring) {
		write_lines(stream, state.direct, length);
		return;
	}
	stream->head += (uint32_t)length;
	if (stream->head - stream->handed >= HAND_OVER_BYTES)
		hand_over(stream);
}

/* --- events --- */

/* With ESCAPED(length of `from`) bytes at `to`. */
static void escape(char *to, const char *from, bool is_json)
{
	for (; *from; from++) {
		unsigned char byte = (unsigned char)*from;

		if (is_json && (byte == '"' || byte == '\\'))
			to += sprintf(to, "\\%c", byte);
		else if (byte >= ' ' && byte <= '~' && byte != '\\')
			*to++ = (char)byte;
		else
			to += sprintf(to, is_json ? "\\u%04x" : "\\x%02x", byte);
	}
	*to = '\0';
}

/* One event of at most EVENT_MAX bytes. Returns its length. */
static size_t format_event(char *line, enum thr_log_level level, const char *message)
{
	uint64_t wall_ns = thr_clock_wall_ns();
	time_t seconds = (time_t)(wall_ns / THR_NS_PER_S);
	unsigned int ms = (unsigned int)(wall_ns % THR_NS_PER_S / THR_NS_PER_MS);
	char moment[32], name[ESCAPED(NAME_MAX_BYTES)], text[ESCAPED(MESSAGE_MAX)];
	bool is_json = thr_log_current_format() == THR_LOG_JSON;
	struct tm utc;

	gmtime_r(&seconds, &utc);
	strftime(moment, sizeof(moment), "%Y-%m-%dT%H:%M:%S", &utc);
	escape(name, state.name, is_json);
	escape(text, message, is_json);
	if (is_json)
		return (size_t)sprintf(line,
				       "{\"time\":\"%s.%03uZ\",\"level\":\"%s\",\"process\":\"%s\","
				       "\"message\":\"%s\"}\n",
				       moment, ms, level_names[level], name, text);
	return (size_t)sprintf(line, "%s.%03uZ %s%s%s: %s\n", moment, ms, level_names[level],
			       *name ? " " : "", name, text);
}

/* Say how many lines were lost, as soon as there is room for that and for a line of
 * `size` bytes behind it. Returns false when there is not. */
static bool tell_lost(struct stream *stream, size_t size)
{
	char message[96], *line;

	if (!stream->lost)
		return true;
	line = room_for(stream, EVENT_MAX + size);
	if (!line)
		return false;
	snprintf(message, sizeof(message), "%llu log lines lost here: they were not read in time",
		 (unsigned long long)stream->lost);
	stream->lost = 0;
	commit(stream, format_event(line, THR_LOG_WARNING, message));
	return true;
}

static char *reserve(struct stream *stream, size_t size)
{
	char *line = NULL;

	assert(size <= LINE_MAX_BYTES);
	if (tell_lost(stream, size))
		line = room_for(stream, size);
	if (!line)
		stream->lost++;
	return line;
}

void thr_log(enum thr_log_level level, const char *format, ...)
{
	char message[MESSAGE_MAX + 1], *line;
	va_list arguments;

	if (!thr_log_enabled(level))
		return;
	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	line = reserve(&state.events, EVENT_MAX);
	if (line)
		commit(&state.events, format_event(line, level, message));
}

/* --- requests --- */

char *thr_log_reserve(size_t size)
{
	return reserve(&state.requests, size);
}

void thr_log_commit(size_t length)
{
	commit(&state.requests, length);
}

/* --- start, turn, stop --- */

void thr_log_forget(void)
{
	struct stream *streams[] = {&state.requests, &state.events};

	for (size_t i = 0; i < 2; i++) {
		if (streams[i]->ring)
			munmap(streams[i]->ring, 2 * RING_BYTES);
		streams[i]->ring = NULL;
		streams[i]->lost = streams[i]->failed = 0;
		streams[i]->torn = false;
	}
}

int thr_log_start(void)
{
	int r = stream_start(&state.events);

	if (r < 0)
		return r;
	r = stream_start(&state.requests);
	if (r < 0)
		thr_log_stop(1000);
	return r;
}

/* Returns the milliseconds until the stream wants its next turn, or -1. */
static int turn(struct stream *stream, uint64_t now_ms)
{
	if (!stream->ring)
		return -1;
	if (!tell_lost(stream, 0))
		return REQUEST_DELAY_MS;
	if (stream->head == stream->handed)
		return -1;
	if (!stream->due_ms)
		stream->due_ms = now_ms + stream->delay_ms;
	if (now_ms < stream->due_ms)
		return (int)(stream->due_ms - now_ms);
	hand_over(stream);
	return -1;
}

int thr_log_turn(uint64_t now_ms)
{
	int events = turn(&state.events, now_ms), requests = turn(&state.requests, now_ms);

	if (events < 0 || requests < 0)
		return events < 0 ? requests : events;
	return events < requests ? events : requests;
}

/* A thread that does not end in time hangs in a write: it and its ring are left to the
 * end of the process, and further lines to that stream are lost. */
static void stream_stop(struct stream *stream, const struct timespec *deadline)
{
	if (!stream->ring || pthread_clockjoin_np(stream->thread, NULL, CLOCK_MONOTONIC, deadline))
		return;
	sem_destroy(&stream->posted);
	sem_destroy(&stream->started);
	munmap(stream->ring, 2 * RING_BYTES);
	stream->ring = NULL;
}

void thr_log_stop(unsigned int wait_ms)
{
	uint64_t end_ns = thr_clock_monotonic_ns() + wait_ms * THR_NS_PER_MS;
	struct timespec deadline = {.tv_sec = (time_t)(end_ns / THR_NS_PER_S),
				    .tv_nsec = (long)(end_ns % THR_NS_PER_S)};
	struct stream *streams[] = {&state.requests, &state.events};

	for (size_t i = 0; i < 2; i++) {
		if (!streams[i]->ring)
			continue;
		tell_lost(streams[i], 0);
		hand_over(streams[i]);
		__atomic_store_n(&streams[i]->stopping, true, __ATOMIC_RELEASE);
		sem_post(&streams[i]->posted);
	}
	for (size_t i = 0; i < 2; i++)
		stream_stop(streams[i], &deadline);
}
