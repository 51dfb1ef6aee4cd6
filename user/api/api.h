/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The check API of one worker, on api.listen: POST /check, /config, /config/{key},
 * /health, /ready, /metrics. Composed by the daemon, like the proxy, and on the same loop.
 *
 *   api.c         connections, configuration, drain
 *   client.c      a client's connection: bytes to requests, answers to bytes
 *   body.c        the body of a request
 *   dispatch.c    paths and methods       access.c      who may ask, and how often
 *   answer.c      answers, problems (RFC 9457)
 *   events.c      what is logged
 *   check.c       POST /check             check_json.c  its body
 *   config.c      /config/{key}           quota_json.c  its body
 *   config_list.c /config
 *   report.c      /health, /ready, /metrics
 *   fields.c      values of header fields key.c         what a key may be
 *
 * A request is answered at once, in the turn that it came in, or when the store calls back.
 * A connection has one request at a time; what comes behind it waits, at first in the kernel.
 */
#ifndef THR_API_H
#define THR_API_H

#include "config/config.h"
#include "core/loop.h"
#include "core/metrics.h"
#include "store/store.h"

struct thr_api;

/* Counters of a worker, in shared memory: written by it alone, read by all. */
struct thr_api_counts {
	uint64_t connections;	    /* accepted */
	uint64_t open_connections;  /* now */
	uint64_t requests[5];	    /* by THR_API_CHECK ... THR_API_OTHER */
	uint64_t responses[6];	    /* by first digit of the status */
	uint64_t malformed;	    /* not HTTP */
	uint64_t unauthorized;	    /* 401 */
	uint64_t limited;	    /* over api.rate_limit: 429 of the API itself, not of a check */
	uint64_t checks[3];	    /* by enum thr_api_verdict, single ones and those in batches */
	struct thr_histogram check; /* of POST /check, from its head to its answer */
} __attribute__((aligned(128)));

enum thr_api_call { THR_API_CHECK, THR_API_CONFIG, THR_API_HEALTH, THR_API_METRICS, THR_API_OTHER };
enum thr_api_verdict { THR_API_ALLOWED, THR_API_DENIED, THR_API_PEEKED };

#define THR_TOKEN_MAX 4096  /* bytes of a token; a longer one is not looked at */
#define THR_TOKEN_DIGEST 32 /* SHA-256 */

struct thr_api_parts {
	struct thr_loop *loop;
	struct thr_store *store;
	struct thr_memory *buckets; /* for api.rate_limit, which is this machine's own */
	struct thr_api_counts *counts;
	unsigned int worker; /* from 0 */
	unsigned int workers;

	/* Write every family there is, but for the end. */
	void (*write_metrics)(void *context, struct thr_metrics *metrics);
	void *context;
};

/* Connections that the API of one of `workers`, which may open `files`, takes at most. */
uint64_t thr_api_share(unsigned int workers, uint64_t files);

/* Returns 0 or a negative errno with `error` filled. The parts outlive it. */
int thr_api_new(const struct thr_api_parts *parts, struct thr_api **ret_api,
		struct thr_error *error);

/* Serve by `config` from the next request on; what is needed of it is copied. `token` is
 * the digest of the token that clients must show, or NULL: none. Returns 0, or a negative
 * errno with nothing changed. */
int thr_api_configure(struct thr_api *api, const struct thr_config *config, const uint8_t *token,
		      struct thr_error *error);

/* As thr_proxy_listen() and thr_proxy_unlisten(). `fd` may be of a Unix socket. */
int thr_api_listen(struct thr_api *api, unsigned int slot, int fd);
void thr_api_unlisten(struct thr_api *api, unsigned int slot);

/* Accept no more; close connections that wait for a request, others after the request
 * they are in. /ready says no from now on. */
void thr_api_drain(struct thr_api *api);

/* Connections that are open. */
size_t thr_api_busy(const struct thr_api *api);

/* Closes what is open. NULL-safe. */
void thr_api_free(struct thr_api *api);

/* The families of the API: counts of `workers` workers. */
void thr_api_write_metrics(const struct thr_api_counts *counts, unsigned int workers,
			   struct thr_metrics *metrics);

#endif
