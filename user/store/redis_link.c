/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sockets to Redis; see redis_link.h.
 *
 * Events are edge-triggered: flags remember that there may be something to read, or room to
 * write, until the kernel says otherwise. All progress is made by pump(), which stops as
 * soon as a callback has closed the link. A server that sends without end gets READS_A_TURN
 * reads, then others have theirs.
 */
#include "store/redis_link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "core/buffer.h"
#include "core/link.h"
#include "core/socket.h"
#include "store/redis_tls.h"

#define READ_BYTES 16384
#define READS_A_TURN 64

/* A look-up cannot be called off: it outlives a link that is closed. */
struct lookup {
	struct thr_redis_link *link;
};

struct thr_redis_link {
	struct thr_redis_link_parts parts;
	struct thr_io io;
	struct thr_deferred deferred;
	enum { LOOKING, CONNECTING, SECURING, UP, LOST, CLOSED } state;
	bool readable, writable, peer_closed;
	struct lookup *lookup;
	char *host; /* whose certificate is expected */
	struct thr_address address[THR_ADDRESSES_MAX];
	size_t address_count, tried;
	struct thr_redis_tls *tls;
	struct thr_buffer plain; /* to be made TLS of at the end of the turn */
	struct thr_buffer out;
	char why[THR_REDIS_WHY];
	char in[READ_BYTES], clear[READ_BYTES];
};

static void connect_next(struct thr_redis_link *link);
static void read_all(struct thr_redis_link *link);

/* --- the end --- */

static void close_socket(struct thr_redis_link *link)
{
	if (link->io.fd < 0)
		return;
	thr_loop_forget(link->parts.loop, &link->io);
	close(link->io.fd);
	link->io.fd = -1;
}

static void release(struct thr_redis_link *link)
{
	thr_redis_tls_free(link->tls);
	thr_buffer_clear(&link->plain);
	thr_buffer_clear(&link->out);
	free(link->host);
	free(link);
}

void thr_redis_link_close(struct thr_redis_link *link)
{
	if (!link || link->state == CLOSED)
		return;
	link->state = CLOSED;
	if (link->lookup)
		link->lookup->link = NULL;
	close_socket(link);
	thr_loop_defer(link->parts.loop, &link->deferred);
}

/* It is told at the end of the turn, whoever finds out: then nobody's function is being
 * run. */
static void lose(struct thr_redis_link *link, const char *why)
{
	if (link->state == LOST || link->state == CLOSED)
		return;
	link->state = LOST;
	if (why != link->why)
		snprintf(link->why, sizeof(link->why), "%s", why);
	close_socket(link);
	thr_loop_defer(link->parts.loop, &link->deferred);
}

/* --- reading and writing --- */

/* What the server said before it closed tells more than that it did. */
static void write_failed(struct thr_redis_link *link, const char *why)
{
	link->writable = false;
	link->readable = true;
	if (link->state == UP)
		read_all(link);
	lose(link, why);
}

static void flush(struct thr_redis_link *link)
{
	if (link->state == UP && link->tls && thr_buffer_length(&link->plain)) {
		if (thr_redis_tls_write(link->tls, thr_buffer_bytes(&link->plain),
					thr_buffer_length(&link->plain), link->why) < 0) {
			lose(link, link->why);
			return;
		}
		thr_buffer_clear(&link->plain);
	}
	if (link->tls && thr_redis_tls_drain(link->tls, &link->out) < 0) {
		lose(link, strerror(ENOMEM));
		return;
	}
	while (link->writable && thr_buffer_length(&link->out)) {
		ssize_t sent = thr_send(link->io.fd, thr_buffer_bytes(&link->out),
					thr_buffer_length(&link->out));

		if (sent >= 0) {
			thr_buffer_consume(&link->out, (size_t)sent);
		} else if (errno == EAGAIN) {
			link->writable = false;
		} else if (errno != EINTR) {
			write_failed(link, strerror(errno));
			return;
		}
	}
}

/* What TLS has made plain, as far as it goes. */
static void receive_plain(struct thr_redis_link *link)
{
	while (link->state == UP) {
		ssize_t got =
			thr_redis_tls_read(link->tls, link->clear, sizeof(link->clear), link->why);

		if (got < 0)
			lose(link, link->why);
		if (got <= 0)
			return;
		link->parts.received(link->parts.context, link->clear, (size_t)got);
	}
}

static void shake(struct thr_redis_link *link)
{
	int r = thr_redis_tls_shake(link->tls, link->why);

	/* An alert says to the server why it is left. */
	flush(link);
	if (r < 0)
		lose(link, link->why);
	if (r <= 0 || link->state != SECURING)
		return;
	link->state = UP;
	link->parts.opened(link->parts.context);
}

static void received(struct thr_redis_link *link, size_t length)
{
	if (!link->tls) {
		link->parts.received(link->parts.context, link->in, length);
		return;
	}
	if (thr_redis_tls_feed(link->tls, link->in, length) < 0) {
		lose(link, strerror(ENOMEM));
		return;
	}
	if (link->state == SECURING)
		shake(link);
	if (link->state == UP)
		receive_plain(link);
}

static void read_all(struct thr_redis_link *link)
{
	for (int reads = 0; link->readable && (link->state == SECURING || link->state == UP);
	     reads++) {
		ssize_t got;

		if (reads == READS_A_TURN) {
			thr_loop_defer(link->parts.loop, &link->deferred);
			return;
		}
		got = thr_recv(link->io.fd, link->in, sizeof(link->in));
		if (got < 0 && errno == EINTR)
			continue;
		/* A short read has emptied the socket, but for an end that follows it. */
		if (got < READ_BYTES && !(got > 0 && link->peer_closed))
			link->readable = false;
		if (got > 0)
			received(link, (size_t)got);
		else if (got == 0)
			lose(link, "it closed the connection");
		else if (errno != EAGAIN)
			lose(link, strerror(errno));
	}
}

/* --- getting there --- */

static void connected(struct thr_redis_link *link)
{
	if (!link->parts.tls) {
		link->state = UP;
		link->parts.opened(link->parts.context);
		return;
	}
	if (thr_redis_tls_new(link->parts.tls, link->host, &link->tls) < 0) {
		lose(link, strerror(ENOMEM));
		return;
	}
	link->state = SECURING;
	shake(link);
}

static void settle_connect(struct thr_redis_link *link)
{
	socklen_t length = sizeof(int);
	int error = 0;

	if (!link->writable)
		return;
	if (getsockopt(link->io.fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
		error = errno;
	if (!error) {
		connected(link);
		return;
	}
	snprintf(link->why, sizeof(link->why), "%s", strerror(error));
	close_socket(link);
	connect_next(link);
}

static void pump(struct thr_redis_link *link)
{
	if (link->state == CONNECTING)
		settle_connect(link);
	if (link->state == SECURING || link->state == UP)
		read_all(link);
	if (link->state == SECURING || link->state == UP)
		flush(link);
}

static void on_ready(struct thr_io *io, uint32_t events)
{
	struct thr_redis_link *link = THR_CONTAINER(io, struct thr_redis_link, io);

	if (events & EPOLLRDHUP)
		link->peer_closed = true;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP))
		link->readable = true;
	if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		link->writable = true;
	pump(link);
}

static void on_turn_end(struct thr_deferred *deferred)
{
	struct thr_redis_link *link = THR_CONTAINER(deferred, struct thr_redis_link, deferred);

	if (link->state == CLOSED)
		release(link);
	else if (link->state == LOST)
		link->parts.lost(link->parts.context, link->why);
	else
		pump(link);
}

/* Returns 0 when it is under way, or a negative errno. */
static int connect_to(struct thr_redis_link *link, const struct sockaddr *to, socklen_t length)
{
	int one = 1, r, fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (to->sa_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	r = connect(fd, to, length) == 0 || errno == EINPROGRESS ? 0 : -errno;
	link->io.fd = fd;
	link->readable = link->writable = link->peer_closed = false;
	if (!r)
		r = thr_loop_watch(link->parts.loop, &link->io, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
	if (r < 0)
		close_socket(link);
	return r;
}

static void connect_next(struct thr_redis_link *link)
{
	link->state = CONNECTING;
	while (link->tried < link->address_count) {
		size_t at = (link->parts.turn + link->tried++) % link->address_count;
		struct sockaddr_storage to;
		socklen_t length;
		int r;

		link->address[at].port = link->parts.port;
		length = thr_address_to_sockaddr(&link->address[at], &to);
		r = connect_to(link, (struct sockaddr *)&to, length);
		if (!r)
			return;
		snprintf(link->why, sizeof(link->why), "%s", strerror(-r));
	}
	lose(link, link->why);
}

static void connect_found(struct thr_redis_link *link)
{
	link->parts.found(link->parts.context);
	connect_next(link);
}

static void on_resolved(void *context, const struct thr_address *address, size_t count,
			uint32_t ttl_s)
{
	struct lookup *lookup = context;
	struct thr_redis_link *link = lookup->link;

	(void)ttl_s;
	free(lookup);
	if (!link)
		return;
	link->lookup = NULL;
	if (!count) {
		lose(link, "its name has no address");
		return;
	}
	memcpy(link->address, address, count * sizeof(*address));
	link->address_count = count;
	connect_found(link);
}

static void connect_socket(struct thr_redis_link *link, const char *path)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int r = -ENAMETOOLONG;

	link->parts.found(link->parts.context);
	link->state = CONNECTING;
	if (strlen(path) < sizeof(to.sun_path)) {
		memcpy(to.sun_path, path, strlen(path));
		r = connect_to(link, (const struct sockaddr *)&to, sizeof(to));
	}
	if (r < 0)
		lose(link, strerror(-r));
}

static int connect_host(struct thr_redis_link *link)
{
	struct lookup *lookup;

	link->address_count = thr_fixed_addresses(link->host, link->address);
	if (link->address_count) {
		connect_found(link);
		return 0;
	}
	lookup = malloc(sizeof(*lookup));
	if (!lookup)
		return -ENOMEM;
	lookup->link = link;
	link->lookup = lookup;
	thr_resolver_find(link->parts.resolver, link->host, on_resolved, lookup);
	return 0;
}

int thr_redis_link_open(const struct thr_redis_link_parts *parts, struct thr_redis_link **ret_link)
{
	struct thr_redis_link *link = calloc(1, sizeof(*link));
	int r = 0;

	if (!link)
		return -ENOMEM;
	link->parts = *parts;
	link->io = (struct thr_io){.fd = -1, .ready = on_ready};
	link->deferred.run = on_turn_end;
	if (parts->socket) {
		connect_socket(link, parts->socket);
	} else {
		link->host = strdup(parts->host);
		r = link->host ? connect_host(link) : -ENOMEM;
	}
	if (r < 0) {
		release(link);
		return r;
	}
	*ret_link = link;
	return 0;
}

int thr_redis_link_send(struct thr_redis_link *link, const void *bytes, size_t length)
{
	struct thr_buffer *to = link->tls ? &link->plain : &link->out;

	if (thr_buffer_length(&link->plain) + thr_buffer_length(&link->out) + length >
	    THR_REDIS_UNSENT_MAX)
		return -ENOBUFS;
	if (thr_buffer_append(to, bytes, length) < 0)
		return -ENOMEM;
	thr_loop_defer(link->parts.loop, &link->deferred);
	return 0;
}
