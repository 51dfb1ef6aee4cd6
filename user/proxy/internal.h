/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the files of the data plane share.
 *
 *   client --- session --- exchange --- upstream --- target
 *              a connection  a request    a connection
 *                            and its      to an endpoint
 *                            response
 *
 * A session has at most one exchange at a time, an exchange at most one upstream;
 * an upstream without an exchange lies idle with its endpoint. Whatever happens,
 * on either connection or on a timer, sets flags and pumps the session: its steps
 * run until none of them gets anywhere. So nothing recurses, and who closes what
 * is decided in one place.
 *
 * Back-pressure: nothing is read from one side while something waits to be
 * written to the other. What waits is what one read gave, at most SCRATCH bytes.
 *
 * Objects are freed at the end of the loop's turn, so that a callback may still
 * look at the state of one that a step has just closed.
 */
#ifndef THR_PROXY_INTERNAL_H
#define THR_PROXY_INTERNAL_H

#include "core/acceptor.h"
#include "core/clock.h"
#include "core/resolve.h"
#include "core/stream.h"
#include "http/date.h"
#include "proxy/access.h"
#include "proxy/balance.h"
#include "proxy/body.h"
#include "proxy/counts.h"
#include "proxy/heads.h"
#include "proxy/proxy.h"
#include "proxy/route.h"

#define SCRATCH 65536 /* bytes read at once */
#define REQUEST_ID_TEXT 32
#define ENDPOINT_BUCKETS 1024

struct exchange;

/* --- endpoints and connections to them: upstream.c ------------------------------- */

/* A host and port that targets name, over all routes and configurations. */
struct endpoint {
	struct endpoint *next; /* in its bucket */
	struct thr_proxy *proxy;
	unsigned int references;
	char *host;
	char *name; /* "host:port", for logs */
	uint16_t port;
	bool is_literal; /* an address, or localhost: never looked up */
	bool resolving;
	uint64_t expires_ms; /* when the addresses are to be looked up again */
	size_t address_count, turn;
	struct thr_address address[THR_ADDRESSES_MAX];
	struct thr_link waiting; /* exchanges, for the first addresses */
	struct thr_link idle;	 /* upstreams, the one used last at the end */
	size_t idle_count;
};

struct upstream {
	struct thr_io io;
	struct thr_timer timer;
	struct thr_deferred deferred;
	struct thr_link item; /* of endpoint->idle */
	struct endpoint *endpoint;
	struct exchange *exchange; /* NULL: idle or closed */
	struct thr_buffer in;	   /* a part of a head or of trailers */
	bool connected;
	bool readable, writable; /* as far as we know */
	bool peer_closed;	 /* the peer will send no more than what is there */
	bool reused;
	bool closed;
};

struct endpoint *endpoint_get(struct thr_proxy *proxy, const struct thr_target *target);
void endpoint_put(struct endpoint *endpoint); /* NULL-safe */

/* Look the name up, when its addresses are out of date and nobody does. */
void endpoint_refresh(struct endpoint *endpoint);

/* Take an idle connection; NULL: there is none. With `checked`, one that the peer
 * has closed or written to a moment ago is not given out. */
struct upstream *upstream_reuse(struct endpoint *endpoint, bool checked);

/* Begin to connect to the endpoint's next address. Returns a descriptor for the caller
 * to close, or a negative errno: -EADDRNOTAVAIL when no address is known. */
int endpoint_connect(struct endpoint *endpoint);

/* The same, as a connection for exchanges. Returns 0 or a negative errno. */
int upstream_open(struct endpoint *endpoint, struct upstream **ret_upstream);

/* Keep the connection for other requests, or close it when there are enough. */
void upstream_park(struct upstream *upstream);

/* Read into the proxy's scratch memory. Returns the bytes, 0 at the end, -EAGAIN when
 * there are none for now, or another negative errno. */
ssize_t upstream_read(struct upstream *upstream);

/* Write; -EAGAIN when nothing can be taken for now, or another negative errno. */
ssize_t upstream_write(struct upstream *upstream, const struct iovec *piece, size_t count);

/* Idempotent; the structure stays until the end of the turn. */
void upstream_close(struct upstream *upstream);

/* Milliseconds within which the upstream's exchange wants to see progress; 0: it
 * waits for something else. */
void upstream_wait(struct upstream *upstream, uint64_t timeout_ms);

/* Close idle connections that nothing will use: at the end. */
void endpoint_close_idle(struct endpoint *endpoint);

/* --- configurations: generation.c ------------------------------------------------ */

struct target {
	struct endpoint *endpoint;
	uint64_t told_ms; /* when a failure was last told of; 0: never */
};

struct limit {
	bool limited;
	struct thr_store_limit limit;
	enum thr_on_error on_error;
	struct thr_hash_key scope;
	const char *name;   /* of the scope: the route's path, "" for the default */
	const char *policy; /* what clients are told */
};

/* Refusals for which a client is blocked. */
struct block {
	bool blocks;
	struct thr_store_limit limit;
	struct thr_hash_key scope;
	uint64_t for_ns;
};

struct route {
	const struct thr_route_config *config;
	struct limit own;
	struct thr_picker picker;
	unsigned int slot;		 /* of parts->route_counts */
	struct thr_route_counts *counts; /* of this worker in it */
};

/* A configuration in use: by the proxy while it is the latest, and by requests that
 * began with it. */
struct generation {
	unsigned int references;
	struct thr_proxy *proxy;
	struct thr_config *config;
	struct thr_targets *targets;
	struct thr_routes *index;
	struct route *routes;
	struct target *target; /* by their numbers */
	uint64_t *weights;
	size_t target_count;
	struct limit fallback;
	struct block block;
	bool verifies;		       /* the packet layer asks which sources are verified */
	struct thr_http_limits limits; /* of requests */
	struct checks *checks;
};

/* Takes nothing over on failure. */
int generation_new(struct thr_proxy *proxy, struct thr_config *config, struct thr_targets *targets,
		   struct generation **ret);
struct generation *generation_get(struct generation *generation);
void generation_put(struct generation *generation); /* NULL-safe */

/* --- active checks: health.c ------------------------------------------------------ */

int checks_start(struct generation *generation);
void checks_stop(struct generation *generation);

/* --- a request and its response: exchange.c ---------------------------------------- */

struct exchange {
	struct session *session;
	struct generation *generation;
	const struct route *route;
	struct thr_link item; /* of endpoint->waiting, or proxy->spare */
	struct thr_deferred deferred;

	/* where it goes */
	struct upstream *upstream;
	uint64_t client_hash;
	size_t target;
	size_t tried[THR_TRIED_MAX];
	size_t tried_count;
	unsigned int addresses_left; /* of the target, to connect to */
	int error;		     /* errno of the last try, where it has one */
	unsigned int failed_status;  /* of the last try: what to answer when there is none left */
	const char *failed_detail;
	uint64_t due_ms; /* when the target's time is over */

	/* the request */
	struct thr_buffer request; /* kept until the response: head, and a body that came with it */
	size_t request_sent;
	struct thr_buffer pending; /* what follows `request`, not taken by the target yet */
	struct thr_body body;
	enum thr_http_method method;

	/* for the answer and the log */
	unsigned int status;
	struct thr_body answer;
	struct thr_standing standing;
	const char *policy;
	uint64_t begin_ns;
	uint64_t upstream_begin_ns, upstream_ns; /* of the last try, until its head came */
	uint64_t wall_ns;
	uint64_t sent_before;		     /* session->stream.sent at the beginning */
	size_t method_length, target_length; /* at the front of `request` */
	size_t id_length;
	char id[THR_REQUEST_ID_MAX];
	struct thr_address client;
	uint8_t minor;

	/* of the request */
	bool keep_alive, upgrade, limited;
	bool replayable; /* `request` is all that was taken from the client */
	bool send_failed;

	/* of the try */
	bool has_target;
	bool fresh_only;  /* a kept-alive connection turned out to be stale: */
	bool keep_target; /* the same target is tried again */
	bool awaits;	  /* the target is to do something, within a time that is running */
	bool progressed;  /* it did: the time begins anew */
	bool late;	  /* its time is over */
	bool answered;	  /* bytes came from the upstream */

	/* of the answer */
	bool interim_sent; /* a 1xx was */
	bool head_sent;	   /* of the final response, to the client's buffer at least */
	bool answer_complete;
	bool reply_keep_alive, upstream_keep_alive;
	bool tunnel, upstream_eof, shut_up, shut_down;
	bool ended;
};

/* What a session found out about a request that is to be forwarded. */
struct admitted {
	const struct thr_http_request *request;
	struct generation *generation; /* by which all of it was found out */
	const struct route *route;     /* NULL: none */
	uint64_t begin_ns;	       /* when the head was complete */
	struct thr_address client;
	uint64_t client_hash;
	struct thr_slice id;
	bool trusted; /* the peer is a trusted proxy */
	bool limited;
	bool alone; /* what the client itself took decided, not its group or the want of a store */
	bool blocked;
	struct thr_standing standing;
	const char *policy;
};

/* Begin; `rest` is what followed the head, and *ret_used how much of it was taken.
 * Returns 0 or a negative errno with nothing begun. */
int exchange_begin(struct session *session, const struct admitted *admitted, struct thr_slice rest,
		   size_t *ret_used);

/* Free those that are kept for others: at the end. */
void exchange_free_spare(struct thr_proxy *proxy);

/* One round of its steps; returns whether one of them got anywhere. It may end the
 * exchange, and the session. */
bool exchange_step(struct exchange *exchange);

/* The upstream's time is over. */
void exchange_timed_out(struct exchange *exchange);

/* The client took too long over its body. */
void exchange_client_timed_out(struct exchange *exchange);

/* The try failed with what is to be answered if no other follows. Until it returns
 * the exchange may be over, and the session closed. */
void exchange_fail(struct exchange *exchange, unsigned int status, const char *detail);

/* Answer in the target's place, and end. */
void exchange_answer(struct exchange *exchange, unsigned int status, const char *detail);

/* End it and log it; the upstream is parked or closed. Idempotent. */
void exchange_finish(struct exchange *exchange);

/* Whether it waits for the addresses of its target. */
bool exchange_wants_name(const struct exchange *exchange);

/* Arm the upstream's timer for what the target is to do next: called at the end of each
 * pump. */
void exchange_settle(struct exchange *exchange);

/* Whether more of the request's body is to come from the client, and would be read. */
bool exchange_wants_body(const struct exchange *exchange);

/* The target has all of the request: what it gets next on this connection is another. */
bool exchange_is_delivered(const struct exchange *exchange);

/* The upstream, if there is one, is the exchange's no longer. */
void exchange_let_go(struct exchange *exchange, bool reusable);

/* --- tries: attempt.c ---------------------------------------------------------------- */

/* Choose a target, unless one is chosen, and get a connection, or begin to. Returns whether
 * there is one; else it waits for addresses, may be tried again, or has ended. */
bool attempt_begin(struct exchange *exchange);

/* See how connecting went. Returns whether anything changed. */
bool attempt_connect(struct exchange *exchange);

/* --- the head of the answer: reply.c -------------------------------------------------- */

extern const struct thr_http_limits reply_limits;

/* Returns whether anything came. */
bool reply_receive(struct exchange *exchange);

/* --- bodies and tunnels: relay.c ------------------------------------------------- */

/* Each returns whether it got anywhere; each may end the exchange. */
bool relay_request(struct exchange *exchange); /* what is ready for the target */
bool relay_body_up(struct exchange *exchange); /* from the client */
bool relay_answer(struct exchange *exchange);  /* from the target */
bool relay_tunnel(struct exchange *exchange);  /* both ways, after a 101 */

/* Send `head` and the body bytes at `at`, which followed it. Returns 0, or a negative
 * errno when the client cannot be given a whole answer any more. */
int relay_body_down(struct exchange *exchange, struct thr_slice head, char *at, size_t length);

/* --- tokens: charge.c ------------------------------------------------------------- */

/* A request whose token a shared store was asked for. Its head stays in session->stream.in, is
 * parsed again when the answer is there, and is decided on by what it began with. */
struct asking {
	struct thr_ask ask;
	struct session *session;
	struct generation *generation;
	const struct route *route;
	struct thr_address client;
	uint64_t begin_ns;
};

/* Take a token of the client's bucket, where a limit applies: by `answer`, when the store
 * was asked before. Returns 0 with `admitted` filled; -EINPROGRESS: the session is
 * SESSION_ASKING, and SESSION_HEAD with session->asking set when the answer is there; or
 * -ENOMEM. */
int charge(struct session *session, const struct limit *limit, const struct asking *answer,
	   struct admitted *admitted);

/* The answer was used, or nobody waits for it any more. NULL-safe. */
void charge_end(struct thr_proxy *proxy, struct asking *asking);

/* --- what the packet layer is told of clients: notes.c ----------------------------- */

#define NOTE_PLACES 4096

/* A client that was told of, in a table by a hash of its source: another one whose hash
 * leads there takes the place, and then both are told of more often than need be. */
struct noted {
	uint64_t source; /* the rest of the hash */
	uint64_t due_ns; /* when it may be told of again */
};

/* A target has answered the exchange with `status`. To be called when session->note_ns is
 * over, which this sets anew. */
void note_answered(struct exchange *exchange, unsigned int status, uint64_t now_ns);

/* A request is about to be answered 429. Returns whether its client is blocked from now on. */
bool note_refused(struct session *session, const struct admitted *admitted);

/* --- a client's connection: session.c --------------------------------------------- */

enum session_state {
	SESSION_PREFACE, /* a PROXY protocol header is due */
	SESSION_HEAD,	 /* between requests, or in a head */
	SESSION_ASKING,	 /* a request's head is there, and the store was asked for a token */
	SESSION_BUSY,	 /* an exchange is in progress */
	SESSION_LINGER,	 /* all is said; what the client still sends is dropped */
	SESSION_CLOSED,
};

enum session_wait {
	WAIT_NOTHING,
	WAIT_NAME,
	WAIT_IDLE,
	WAIT_HEAD,
	WAIT_BODY,
	WAIT_SEND,
	WAIT_LINGER,
	WAIT_TUNNEL
};

struct session {
	struct thr_stream stream;
	struct thr_timer timer;
	struct thr_deferred again; /* goes on in the next turn */
	struct thr_deferred deferred;
	struct thr_link item; /* of proxy->acceptor */
	struct thr_proxy *proxy;
	struct exchange *exchange;
	struct asking *asking; /* of the head at the front of what is kept; NULL: the store was
				* not asked */
	struct thr_address peer;
	uint64_t discard; /* bytes of a refused request's body that are still to come */
	uint64_t note_ns; /* from when on a good answer says something new of the client */
	uint8_t state, wait;
	bool direct;	  /* the peer is the socket's, not one that a header named */
	bool close_after; /* when all is written */
	bool linger;	  /* more input may come: see session.c */
	bool used;	  /* a request was answered */
	bool renewed;	  /* what it waits for next begins anew */
};

void session_new(struct thr_proxy *proxy, int fd, const struct thr_address *peer);
void session_pump(struct session *session);
void session_drain(struct session *session);

/* The exchange has ended; go on with the next request, or close. */
void session_next(struct session *session, bool keep_alive);

/* Close so that the client sees a broken connection, not the end of a message. */
void session_abort(struct session *session);
void session_close(struct session *session);

/* Answer in place of a target, after the exchange's own request. */
void session_answer(struct session *session, const struct thr_answer *answer);

/* --- the proxy -------------------------------------------------------------------- */

struct thr_proxy {
	struct thr_proxy_parts parts;
	struct generation *generation; /* NULL before the first configuration */
	struct endpoint *endpoints[ENDPOINT_BUCKETS];
	struct thr_acceptor acceptor;
	struct thr_link spare; /* exchanges that ended */
	size_t spare_count;
	struct asking *spare_asking;	       /* NULL: none */
	struct thr_route_counts *other_counts; /* of requests without a route */
	bool draining;
	uint64_t full_told_ms; /* when it was told of being full; 0: never */
	uint64_t random[2];
	struct thr_wall wall;
	struct noted noted[NOTE_PLACES];
	struct thr_http_request request;   /* being parsed */
	struct thr_http_response response; /* being parsed */
	char in[SCRATCH];		   /* what was read last */
	char head[SCRATCH + 4096];	   /* the head that is being written */
	char trailers[SCRATCH];
};

uint64_t proxy_wall_ns(struct thr_proxy *proxy);
const char *proxy_date(struct thr_proxy *proxy);
uint64_t proxy_random(struct thr_proxy *proxy);
void proxy_make_id(struct thr_proxy *proxy, char id[static REQUEST_ID_TEXT]);

/* A request is over: count it for its route (NULL: none) and write its line. */
void proxy_tell(struct thr_proxy *proxy, const struct route *route,
		const struct thr_access *access);

#endif
