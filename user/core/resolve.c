/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* c-ares driven by the loop: it says which sockets it waits for and until when. */
#include "core/resolve.h"

#include <ares.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/link.h"

#define QUERY_TIMEOUT_MS 2000
#define QUERY_TRIES 2
#define TTL_LEAST_S 5  /* a TTL of 0, as what /etc/hosts says has, is no query a request */
#define TTL_MOST_S 300 /* an address that moved is noticed, whatever its TTL was */
#define SOCKETS_MAX 16

struct lookup_socket {
	struct thr_io io; /* fd -1: free */
	struct thr_resolver *resolver;
};

struct thr_resolver {
	ares_channel channel;
	struct thr_loop *loop;
	struct thr_timer timer;
	struct lookup_socket sockets[SOCKETS_MAX];
};

struct lookup {
	thr_resolved *done;
	void *context;
};

/* Be called again when c-ares' next deadline has come. */
static void settle(struct thr_resolver *resolver)
{
	struct timeval left;

	if (ares_timeout(resolver->channel, NULL, &left))
		thr_loop_arm(resolver->loop, &resolver->timer,
			     (uint64_t)left.tv_sec * 1000 + (uint64_t)left.tv_usec / 1000 + 1);
	else
		thr_loop_disarm(resolver->loop, &resolver->timer);
}

static void on_ready(struct thr_io *io, uint32_t events)
{
	struct thr_resolver *resolver = THR_CONTAINER(io, struct lookup_socket, io)->resolver;
	bool readable = events & (EPOLLIN | EPOLLERR | EPOLLHUP);
	bool writable = events & (EPOLLOUT | EPOLLERR | EPOLLHUP);

	ares_process_fd(resolver->channel, readable ? io->fd : ARES_SOCKET_BAD,
			writable ? io->fd : ARES_SOCKET_BAD);
	settle(resolver);
}

static void on_timer(struct thr_timer *timer)
{
	struct thr_resolver *resolver = THR_CONTAINER(timer, struct thr_resolver, timer);

	ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	settle(resolver);
}

/* c-ares wants to know of a socket, or no more. One beyond SOCKETS_MAX is served by
 * its deadline only: the query is repeated on another. */
static void on_socket(void *context, ares_socket_t fd, int readable, int writable)
{
	struct thr_resolver *resolver = context;
	uint32_t events = (readable ? EPOLLIN : 0) | (writable ? EPOLLOUT : 0);
	struct lookup_socket *at = NULL;

	for (size_t i = 0; i < SOCKETS_MAX; i++) {
		struct lookup_socket *socket = &resolver->sockets[i];

		if (socket->io.fd == fd || (!at && socket->io.fd < 0))
			at = socket;
		if (socket->io.fd == fd)
			break;
	}
	if (!at)
		return;
	if (at->io.fd == fd)
		thr_loop_forget(resolver->loop, &at->io);
	at->io.fd = -1;
	if (!events)
		return;
	at->io.fd = fd;
	if (thr_loop_watch_level(resolver->loop, &at->io, events) < 0)
		at->io.fd = -1;
}

static void on_result(void *context, int status, int timeouts, struct ares_addrinfo *found)
{
	struct thr_address address[THR_ADDRESSES_MAX];
	struct lookup *lookup = context;
	uint32_t ttl_s = TTL_MOST_S;
	size_t count = 0;

	(void)timeouts;
	if (status == ARES_SUCCESS && found) {
		for (const struct ares_addrinfo_node *node = found->nodes;
		     node && count < THR_ADDRESSES_MAX; node = node->ai_next) {
			thr_address_from_sockaddr(node->ai_addr, &address[count]);
			address[count++].port = 0;
			if (node->ai_ttl >= 0 && (uint32_t)node->ai_ttl < ttl_s)
				ttl_s = (uint32_t)node->ai_ttl;
		}
	}
	if (found)
		ares_freeaddrinfo(found);
	lookup->done(lookup->context, address, count, ttl_s < TTL_LEAST_S ? TTL_LEAST_S : ttl_s);
	free(lookup);
}

size_t thr_fixed_addresses(const char *host,
			   struct thr_address ret_address[static THR_FIXED_ADDRESSES_MAX])
{
	if (strcasecmp(host, "localhost") == 0)
		return thr_address_parse(THR_SLICE("127.0.0.1"), &ret_address[0]) == 0 &&
				       thr_address_parse(THR_SLICE("::1"), &ret_address[1]) == 0
			       ? 2
			       : 0;
	return thr_address_parse((struct thr_slice){host, strlen(host)}, &ret_address[0]) == 0;
}

int thr_resolver_new(struct thr_loop *loop, struct thr_resolver **ret)
{
	struct thr_resolver *resolver = calloc(1, sizeof(*resolver));
	struct ares_options options = {
		.timeout = QUERY_TIMEOUT_MS,
		.tries = QUERY_TRIES,
		.sock_state_cb = on_socket,
		.sock_state_cb_data = resolver,
	};

	if (!resolver)
		return -ENOMEM;
	resolver->loop = loop;
	resolver->timer.fire = on_timer;
	for (size_t i = 0; i < SOCKETS_MAX; i++)
		resolver->sockets[i] =
			(struct lookup_socket){{.fd = -1, .ready = on_ready}, resolver};
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS ||
	    ares_init_options(&resolver->channel, &options,
			      ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB) !=
		    ARES_SUCCESS) {
		free(resolver);
		return -ENOMEM;
	}
	*ret = resolver;
	return 0;
}

void thr_resolver_free(struct thr_resolver *resolver)
{
	if (!resolver)
		return;
	ares_destroy(resolver->channel);
	ares_library_cleanup();
	thr_loop_disarm(resolver->loop, &resolver->timer);
	free(resolver);
}

void thr_resolver_find(struct thr_resolver *resolver, const char *host, thr_resolved *done,
		       void *context)
{
	const struct ares_addrinfo_hints hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
	};
	struct lookup *lookup = malloc(sizeof(*lookup));

	if (!lookup) {
		done(context, NULL, 0, TTL_LEAST_S);
		return;
	}
	*lookup = (struct lookup){done, context};
	ares_getaddrinfo(resolver->channel, host, NULL, &hints, on_result, lookup);
	settle(resolver);
}
