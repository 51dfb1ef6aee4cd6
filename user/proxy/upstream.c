/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Endpoints, and the connections to them. A connection that served its request is
 * kept for the next one, the one used last first: the others grow old and go. One
 * on which anything happens while it is idle is closed: the peer has closed it, or
 * sends what nobody asked for.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/socket.h"
#include "proxy/internal.h"

/* --- endpoints --------------------------------------------------------------------- */

static size_t bucket_of(const char *host, uint16_t port)
{
	uint64_t hash = port;

	/* FNV-1a: the hosts are the user's own. */
	for (; *host; host++)
		hash = (hash ^ (uint8_t)*host) * 0x100000001b3ULL;
	return (size_t)(hash >> 20) % ENDPOINT_BUCKETS;
}

static struct endpoint *endpoint_new(struct thr_proxy *proxy, const struct thr_target *target)
{
	struct endpoint *endpoint = calloc(1, sizeof(*endpoint));
	bool is_v6 = strchr(target->host, ':');

	if (!endpoint)
		return NULL;
	endpoint->host = strdup(target->host);
	if (!endpoint->host || asprintf(&endpoint->name, is_v6 ? "[%s]:%u" : "%s:%u", target->host,
					target->port) < 0) {
		free(endpoint->host);
		free(endpoint);
		return NULL;
	}
	endpoint->proxy = proxy;
	endpoint->port = target->port;
	thr_link_init(&endpoint->waiting);
	thr_link_init(&endpoint->idle);
	endpoint->address_count = thr_fixed_addresses(target->host, endpoint->address);
	endpoint->is_literal = endpoint->address_count > 0;
	for (size_t i = 0; i < endpoint->address_count; i++)
		endpoint->address[i].port = target->port;
	return endpoint;
}

struct endpoint *endpoint_get(struct thr_proxy *proxy, const struct thr_target *target)
{
	struct endpoint **bucket = &proxy->endpoints[bucket_of(target->host, target->port)];
	struct endpoint *endpoint;

	for (endpoint = *bucket; endpoint; endpoint = endpoint->next)
		if (endpoint->port == target->port && strcmp(endpoint->host, target->host) == 0)
			break;
	if (!endpoint) {
		endpoint = endpoint_new(proxy, target);
		if (!endpoint)
			return NULL;
		endpoint->next = *bucket;
		*bucket = endpoint;
	}
	endpoint->references++;
	return endpoint;
}

void endpoint_close_idle(struct endpoint *endpoint)
{
	while (!thr_link_is_empty(&endpoint->idle))
		upstream_close(THR_CONTAINER(endpoint->idle.next, struct upstream, item));
}

void endpoint_put(struct endpoint *endpoint)
{
	struct endpoint **link;

	if (!endpoint || --endpoint->references)
		return;
	endpoint_close_idle(endpoint);
	link = &endpoint->proxy->endpoints[bucket_of(endpoint->host, endpoint->port)];
	while (*link != endpoint)
		link = &(*link)->next;
	*link = endpoint->next;
	free(endpoint->host);
	free(endpoint->name);
	free(endpoint);
}

/* --- connections ------------------------------------------------------------------- */

static void release(struct thr_deferred *deferred)
{
	struct upstream *upstream = THR_CONTAINER(deferred, struct upstream, deferred);

	thr_buffer_clear(&upstream->in);
	free(upstream);
}

void upstream_close(struct upstream *upstream)
{
	struct thr_loop *loop = upstream->endpoint->proxy->parts.loop;

	if (upstream->closed)
		return;
	upstream->closed = true;
	if (!thr_link_is_empty(&upstream->item)) {
		thr_link_remove(&upstream->item);
		upstream->endpoint->idle_count--;
	}
	upstream->exchange = NULL;
	thr_loop_forget(loop, &upstream->io);
	thr_loop_disarm(loop, &upstream->timer);
	close(upstream->io.fd);
	upstream->io.fd = -1;
	thr_loop_defer(loop, &upstream->deferred);
}

static void on_ready(struct thr_io *io, uint32_t events)
{
	struct upstream *upstream = THR_CONTAINER(io, struct upstream, io);

	if (upstream->closed)
		return;
	if (events & EPOLLRDHUP)
		upstream->peer_closed = true;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP))
		upstream->readable = true;
	if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		upstream->writable = true;
	if (upstream->exchange)
		session_pump(upstream->exchange->session);
	else if (upstream->readable)
		upstream_close(upstream);
}

static void on_timer(struct thr_timer *timer)
{
	struct upstream *upstream = THR_CONTAINER(timer, struct upstream, timer);

	if (upstream->exchange)
		exchange_timed_out(upstream->exchange);
	else
		upstream_close(upstream);
}

void upstream_wait(struct upstream *upstream, uint64_t timeout_ms)
{
	struct thr_loop *loop = upstream->endpoint->proxy->parts.loop;

	if (timeout_ms)
		thr_loop_arm(loop, &upstream->timer, timeout_ms);
	else
		thr_loop_disarm(loop, &upstream->timer);
}

int endpoint_connect(struct endpoint *endpoint)
{
	struct sockaddr_storage to;
	socklen_t length;
	int one = 1, error, fd;

	if (!endpoint->address_count)
		return -EADDRNOTAVAIL;
	length = thr_address_to_sockaddr(
		&endpoint->address[endpoint->turn++ % endpoint->address_count], &to);
	fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)&to, length) == 0 || errno == EINPROGRESS)
		return fd;
	error = errno;
	close(fd);
	return -error;
}

int upstream_open(struct endpoint *endpoint, struct upstream **ret_upstream)
{
	struct upstream *upstream = calloc(1, sizeof(*upstream));
	int r;

	if (!upstream)
		return -ENOMEM;
	r = endpoint_connect(endpoint);
	if (r < 0) {
		free(upstream);
		return r;
	}
	upstream->io = (struct thr_io){.fd = r, .ready = on_ready};
	upstream->timer.fire = on_timer;
	upstream->deferred.run = release;
	upstream->endpoint = endpoint;
	thr_link_init(&upstream->item);
	r = thr_loop_watch(endpoint->proxy->parts.loop, &upstream->io,
			   EPOLLIN | EPOLLOUT | EPOLLRDHUP);
	if (r < 0) {
		close(upstream->io.fd);
		free(upstream);
		return r;
	}
	*ret_upstream = upstream;
	return 0;
}

/* Whether the peer has neither closed nor sent anything. */
static bool is_quiet(const struct upstream *upstream)
{
	char byte;

	return recv(upstream->io.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

struct upstream *upstream_reuse(struct endpoint *endpoint, bool checked)
{
	while (!thr_link_is_empty(&endpoint->idle)) {
		struct upstream *upstream =
			THR_CONTAINER(endpoint->idle.prev, struct upstream, item);

		if (checked && !is_quiet(upstream)) {
			upstream_close(upstream);
			continue;
		}
		thr_link_remove(&upstream->item);
		endpoint->idle_count--;
		upstream->reused = true;
		return upstream;
	}
	return NULL;
}

void upstream_park(struct upstream *upstream)
{
	struct endpoint *endpoint = upstream->endpoint;
	const struct thr_upstream_config *rules = &endpoint->proxy->generation->config->upstream;

	/* What came behind the answer was not read: its event will not come again. */
	if (endpoint->idle_count >= rules->keepalive || endpoint->proxy->draining ||
	    upstream->peer_closed || thr_buffer_length(&upstream->in) ||
	    (upstream->readable && !is_quiet(upstream))) {
		upstream_close(upstream);
		return;
	}
	upstream->readable = false;
	upstream->exchange = NULL;
	thr_link_add_last(&endpoint->idle, &upstream->item);
	endpoint->idle_count++;
	upstream_wait(upstream, rules->idle_timeout_ms);
}

ssize_t upstream_read(struct upstream *upstream)
{
	ssize_t got = thr_recv(upstream->io.fd, upstream->endpoint->proxy->in, SCRATCH);

	if (got < 0 && errno == EINTR)
		return -EAGAIN;
	/* A short read has emptied the socket, but for an end that follows it. */
	if (got < SCRATCH && !(got > 0 && upstream->peer_closed))
		upstream->readable = false;
	return got < 0 ? -errno : got;
}

ssize_t upstream_write(struct upstream *upstream, const struct iovec *piece, size_t count)
{
	struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)piece, .msg_iovlen = count};
	ssize_t sent;

	if (!upstream->writable)
		return -EAGAIN;
	sent = count == 1 ? thr_send(upstream->io.fd, piece->iov_base, piece->iov_len)
			  : sendmsg(upstream->io.fd, &message, MSG_NOSIGNAL);
	if (sent >= 0)
		return sent;
	if (errno == EAGAIN)
		upstream->writable = false;
	return errno == EINTR ? -EAGAIN : -errno;
}
