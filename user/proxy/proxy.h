/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The reverse proxy of one worker. Composed by the daemon, which owns what is
 * shared: listeners, buckets, what is known of targets, counters.
 *
 * One thread, all of it driven by the loop.
 */
#ifndef THR_PROXY_H
#define THR_PROXY_H

#include "config/config.h"
#include "core/loop.h"
#include "proxy/target.h"
#include "store/store.h"

struct thr_proxy;

/* Counters of a worker, in shared memory: written by it alone, read by all. They are
 * there for metrics to show; the master itself reads open_connections and turn_ms. Requests
 * are counted by route, in parts->route_counts. */
struct thr_proxy_counts {
	uint64_t connections;	  /* accepted */
	uint64_t malformed;	  /* answered 400, 414, 417, 431, 501, 505 or closed */
	uint64_t upstream_errors; /* 502, 503, 504 */
	uint64_t retries;
	uint64_t open_connections; /* now */
	uint64_t turn_ms; /* when the loop last turned, monotonic: at least once a second */
} __attribute__((aligned(128)));

/* What the packet layer is to make of a client, whose address is that of the socket's peer. */
enum thr_note_kind {
	THR_NOTE_VERIFIED, /* it had a good answer: no spoofed address */
	THR_NOTE_BLOCKED,  /* it goes on and on over its limits */
	THR_NOTES
};

struct thr_note {
	struct thr_address address;
	uint32_t kind;	   /* enum thr_note_kind */
	uint64_t until_ns; /* monotonic */
};

struct thr_proxy_parts {
	struct thr_loop *loop;
	struct thr_store *store;
	struct thr_memory *buckets; /* of this machine: for refusals */
	struct thr_resolver *resolver;
	struct thr_proxy_counts *counts;
	void *route_counts;  /* of all workers: shared memory, zeroed when it was made, of
			      * thr_proxy_route_counts_size() */
	unsigned int worker; /* from 0 */
	unsigned int workers;

	/* Take a note on to the packet layer, or lose it. */
	void (*note)(void *context, const struct thr_note *note);
	void *context;
};

/* Bytes of shared memory for what is counted by route. */
size_t thr_proxy_route_counts_size(unsigned int workers);

/* Returns 0 or a negative errno with `error` filled. The parts outlive it. */
int thr_proxy_new(const struct thr_proxy_parts *parts, struct thr_proxy **ret_proxy,
		  struct thr_error *error);

/*
 * Serve by `config` and `targets` (of that configuration) from the next
 * request on; requests in flight end by what they began with. On success the
 * proxy owns `config` and `targets`, and frees them when nothing uses them any more;
 * on failure nothing changed.
 */
int thr_proxy_configure(struct thr_proxy *proxy, struct thr_config *config,
			struct thr_targets *targets, struct thr_error *error);

/* Accept from `fd`, a listening socket that does not block, for the worker `slot`:
 * this one's own, or one that is down. The proxy owns the descriptor. Returns 0 or
 * a negative errno. */
int thr_proxy_listen(struct thr_proxy *proxy, unsigned int slot, int fd);
void thr_proxy_unlisten(struct thr_proxy *proxy, unsigned int slot);

/* Accept no more, close connections that wait for a request, and others after the
 * request they are in. */
void thr_proxy_drain(struct thr_proxy *proxy);

/* Connections that are open. */
size_t thr_proxy_busy(const struct thr_proxy *proxy);

/* The families of the proxy, over all workers: `counts` is the first of parts->workers. */
void thr_proxy_write_metrics(struct thr_proxy *proxy, const struct thr_proxy_counts *counts,
			     struct thr_metrics *metrics);

/* Closes what is open. The resolver, whose lookups end in the proxy, is freed before.
 * NULL-safe. */
void thr_proxy_free(struct thr_proxy *proxy);

#endif
