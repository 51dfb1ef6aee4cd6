/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The floor of the HTTP bench: what a proxy in user space cannot do without. Bytes
 * go from a client's connection to one of its own to the upstream and back, and
 * nothing looks at them: a small request costs two reads, two writes and its
 * share of epoll_wait().
 *
 *   relay --port 8001 --upstream 8000 --seconds 60
 *
 *   client --> [from=0]  pair  [from=1] <-- upstream
 *
 * Edge-triggered: an end is read until the kernel has no more, or until the other
 * end takes no more; the bytes in between wait in memory of the pair. When one
 * end closes, so does the other.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "lib/tcp.h"
#include "lib/tool.h"

#define CHUNK_MAX 65536 /* of one read */

/* One direction of a pair: what came from `fd` goes to peer->fd. */
struct end {
	int fd;
	struct end *peer;
	struct pair *pair;
	char *waiting; /* that peer->fd did not take yet, or NULL */
	size_t waiting_size;
};

/* The end that an event names may be one of a pair that closed in the same turn:
 * pairs are freed after it. */
struct pair {
	struct end ends[2];
	bool is_closed;
	struct pair *next_closed;
};

static const char usage[] = "usage: relay [--port P] [--upstream P] [--seconds S]\n"
			    "  --port P         to listen on, of 127.0.0.1 (default 8001)\n"
			    "  --upstream P     to connect to, of 127.0.0.1 (default 8000)\n"
			    "  --seconds S      to live for, at most 900 (default 60)\n";

static struct sockaddr_in upstream;
static struct pair *closed;

static void close_pair(struct pair *pair)
{
	if (pair->is_closed)
		return;
	pair->is_closed = true;
	for (int i = 0; i < 2; i++)
		close(pair->ends[i].fd);
	pair->next_closed = closed;
	closed = pair;
}

static void swept(struct tool_server *server)
{
	(void)server;
	while (closed) {
		struct pair *pair = closed;

		closed = pair->next_closed;
		free(pair->ends[0].waiting);
		free(pair->ends[1].waiting);
		free(pair);
	}
}

/* Keep what the other end did not take: `size` bytes at `bytes`. */
static void keep(struct end *end, const char *bytes, size_t size)
{
	end->waiting = malloc(size);
	if (!end->waiting)
		tool_die("out of memory");
	memcpy(end->waiting, bytes, size);
	end->waiting_size = size;
}

/* Returns how many of the bytes were written, or -1 when the connection broke. */
static ssize_t push(int fd, const char *bytes, size_t size)
{
	size_t written = 0;

	while (written < size) {
		ssize_t sent = send(fd, bytes + written, size - written, MSG_NOSIGNAL);

		if (sent < 0)
			return errno == EAGAIN ? (ssize_t)written : -1;
		written += (size_t)sent;
	}
	return (ssize_t)written;
}

/* Write what waits. Whether the way is free again; a broken one closes the pair. */
static bool flush(struct end *end)
{
	ssize_t written;

	if (!end->waiting)
		return true;
	written = push(end->peer->fd, end->waiting, end->waiting_size);
	if (written < 0)
		close_pair(end->pair);
	if (written <= 0)
		return false;
	end->waiting_size -= (size_t)written;
	memmove(end->waiting, end->waiting + written, end->waiting_size);
	if (end->waiting_size)
		return false;
	free(TAKE_PTR(end->waiting));
	return true;
}

/* Move bytes from `end` to its peer until one of them has had enough. A read that
 * did not fill the buffer is the last one, but for an end that `is_ending`. */
static void pump(struct end *end, bool is_ending)
{
	static char chunk[CHUNK_MAX];
	ssize_t got, written;

	if (end->pair->is_closed || !flush(end))
		return;
	do {
		got = recv(end->fd, chunk, sizeof(chunk), 0);
		if (got < 0 && errno == EAGAIN)
			return;
		written = got > 0 ? push(end->peer->fd, chunk, (size_t)got) : -1;
		if (written < 0) {
			close_pair(end->pair);
			return;
		}
		if (written < got) {
			keep(end, chunk + written, (size_t)(got - written));
			return;
		}
	} while (got == sizeof(chunk) || is_ending);
}

static void ready(struct tool_server *server, void *object, uint32_t events)
{
	struct end *end = object;

	(void)server;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		pump(end, events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
	/* This end can be written to again: go on with what waited for it. */
	if (events & EPOLLOUT && !end->pair->is_closed && end->peer->waiting)
		pump(end->peer, true);
}

/* The connection to the upstream is made on the spot: over loopback that does not
 * wait for anything. */
static void opened(struct tool_server *server, int fd)
{
	struct pair *pair = calloc(1, sizeof(*pair));
	int up = tool_connect(&upstream);

	if (!pair)
		tool_die("out of memory");
	if (up < 0)
		tool_die("cannot connect to the upstream: %s", strerror(errno));
	pair->ends[0] = (struct end){.fd = fd, .peer = &pair->ends[1], .pair = pair};
	pair->ends[1] = (struct end){.fd = up, .peer = &pair->ends[0], .pair = pair};
	for (int i = 0; i < 2; i++)
		tool_watch(server->epoll, pair->ends[i].fd, &pair->ends[i]);
}

int main(int argc, char **argv)
{
	struct tool_server server = {.opened = opened, .ready = ready, .swept = swept};
	uint64_t port = 8001, upstream_port = 8000, seconds = 60;
	struct sockaddr_in at;
	const struct tool_option options[] = {
		{"--port", .number = &port, .min = 1, .max = UINT16_MAX},
		{"--upstream", .number = &upstream_port, .min = 1, .max = UINT16_MAX},
		{"--seconds", .number = &seconds, .min = 1, .max = TOOL_SERVE_SECONDS_MAX},
		{0},
	};

	tool_options(argc, argv, options, usage);
	upstream = tool_address("127.0.0.1", (uint16_t)upstream_port);
	at = tool_address("127.0.0.1", (uint16_t)port);
	server.listener = tool_listen(&at);
	tool_stop_after(seconds * TOOL_NS_PER_S);
	tool_serve(&server);
	return 0;
}
