/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lines without waiting; see log_stream.h. A stream is a ring of 1 MiB with one writer
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
 * A line is handed over when 64 KiB have come together, or by the next turn, or one
 * `delay_ms` after that for a stream of many lines: waking the thread costs more than the
 * line.
 */
#include "core/log_stream.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/log_event.h"

#define RING_BYTES (1U << 20)
#define LINE_MAX_BYTES (16U << 10)
#define HAND_OVER_BYTES (64U << 10)
#define STACK_BYTES (64U << 10)

static char direct[LINE_MAX_BYTES]; /* a line to be written at once */

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

/* Say how many lines could not be written. Returns false when this one cannot be
 * either. */
static bool tell_failed(struct thr_log_stream *stream)
{
	char message[96], line[THR_EVENT_MAX + 1] = "\n";
	size_t length, skip = !stream->torn; /* the line end that a torn line lacks */

	if (!stream->failed)
		return true;
	snprintf(message, sizeof(message), "%llu log lines lost here: they could not be written",
		 (unsigned long long)stream->failed);
	length = 1 + thr_event_format(line + 1, THR_LOG_WARNING, message) - skip;
	if (write_all(stream->fd, line + skip, length) < length)
		return false;
	stream->failed = 0;
	stream->torn = false;
	return true;
}

/* Whole lines. Those that cannot be written are counted, and told before the next that
 * can. */
static void write_lines(struct thr_log_stream *stream, const char *at, size_t size)
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

static void drain(struct thr_log_stream *stream)
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
	struct thr_log_stream *stream = argument;
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

static int start_thread(struct thr_log_stream *stream)
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

int thr_log_stream_start(struct thr_log_stream *stream)
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

static void hand_over(struct thr_log_stream *stream)
{
	stream->due_ms = 0;
	stream->handed = stream->head;
	__atomic_store_n(&stream->published, stream->head, __ATOMIC_RELEASE);
	sem_post(&stream->posted);
}

/* Room for a line, or NULL. */
static char *room_for(struct thr_log_stream *stream, size_t size)
{
	uint32_t used = stream->head - __atomic_load_n(&stream->tail, __ATOMIC_ACQUIRE);

	if (!stream->ring)
		return direct;
	return RING_BYTES - used >= size ? stream->ring + stream->head % RING_BYTES : NULL;
}

void thr_log_stream_commit(struct thr_log_stream *stream, size_t length)
{
	if (!stream->ring) {
		write_lines(stream, direct, length);
		return;
	}
	stream->head += (uint32_t)length;
	if (stream->head - stream->handed >= HAND_OVER_BYTES)
		hand_over(stream);
}

/* Say how many lines were lost, as soon as there is room for that and for a line of
 * `size` bytes behind it. Returns false when there is not. */
static bool tell_lost(struct thr_log_stream *stream, size_t size)
{
	char message[96], *line;

	if (!stream->lost)
		return true;
	line = room_for(stream, THR_EVENT_MAX + size);
	if (!line)
		return false;
	snprintf(message, sizeof(message), "%llu log lines lost here: they were not read in time",
		 (unsigned long long)stream->lost);
	stream->lost = 0;
	thr_log_stream_commit(stream, thr_event_format(line, THR_LOG_WARNING, message));
	return true;
}

char *thr_log_stream_reserve(struct thr_log_stream *stream, size_t size)
{
	char *line = NULL;

	assert(size <= LINE_MAX_BYTES);
	if (tell_lost(stream, size))
		line = room_for(stream, size);
	if (!line)
		stream->lost++;
	return line;
}

/* --- turn, end --- */

int thr_log_stream_turn(struct thr_log_stream *stream, uint64_t now_ms)
{
	if (!stream->ring)
		return -1;
	if (!tell_lost(stream, 0))
		return THR_LOG_STREAM_DELAY_MS;
	if (stream->head == stream->handed)
		return -1;
	if (!stream->due_ms)
		stream->due_ms = now_ms + stream->delay_ms;
	if (now_ms < stream->due_ms)
		return (int)(stream->due_ms - now_ms);
	hand_over(stream);
	return -1;
}

void thr_log_stream_end(struct thr_log_stream *stream)
{
	if (!stream->ring)
		return;
	tell_lost(stream, 0);
	hand_over(stream);
	__atomic_store_n(&stream->stopping, true, __ATOMIC_RELEASE);
	sem_post(&stream->posted);
}

void thr_log_stream_join(struct thr_log_stream *stream, const struct timespec *deadline)
{
	if (!stream->ring || pthread_clockjoin_np(stream->thread, NULL, CLOCK_MONOTONIC, deadline))
		return;
	sem_destroy(&stream->posted);
	sem_destroy(&stream->started);
	munmap(stream->ring, 2 * RING_BYTES);
	stream->ring = NULL;
}

void thr_log_stream_forget(struct thr_log_stream *stream)
{
	if (stream->ring)
		munmap(stream->ring, 2 * RING_BYTES);
	stream->ring = NULL;
	stream->lost = stream->failed = 0;
	stream->torn = false;
}
