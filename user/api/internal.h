/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the files of the API share.
 *
 *                 a head              a body          the store is asked
 *   accept --> HEAD -------------> BODY -----------> BUSY
 *               ^ \__ no body _______|_______________^ |
 *               |  \__ refused       |                 |
 *               '------- answered ---'-----------------'
 *                      or, when the connection does not stay: LINGER --> CLOSED
 *
 * As in the proxy: whatever happens sets flags and pumps the client; its steps run until none
 * of them gets anywhere; what was closed is freed at the end of the turn.
 *
 * Memory that a client can make us hold: its structure, a head (server.max_header_bytes) or a
 * body of SMALL_BODY, and as much that it does not take of an answer. Of bodies and answers over
 * SMALL_BODY, and of batches that wait for the store, there are at most LARGE_MAX a worker.
 */
#ifndef THR_API_INTERNAL_H
#define THR_API_INTERNAL_H

#include <openssl/evp.h>

#include "api/api.h"
#include "api/check_json.h"
#include "api/fields.h"
#include "core/acceptor.h"
#include "core/clock.h"
#include "core/stream.h"
#include "core/writer.h"
#include "http/chunks.h"
#include "http/date.h"
#include "http/http.h"
#include "http/limits.h"

#define SCRATCH 65536
#define SMALL_BODY 65536     /* the largest body but for POST /check */
#define LARGE_BODY (1 << 20) /* and the largest of that */
#define LARGE_MAX 64
#define ANSWER_MAX (256 * 1024) /* the body of the largest batch's answer, or page of configs */

/* --- a request ---------------------------------------------------------------------- */

/* What was understood of a head. */
struct call {
	enum thr_api_call kind;
	enum thr_http_method method;
	uint8_t minor; /* of HTTP/1.x */
	bool keep_alive;
	bool open_metrics;
	uint64_t begin_ns; /* when the head was complete, by the loop's clock */

	/* its body */
	enum thr_http_body body;
	uint64_t length;  /* of THR_BODY_LENGTH */
	size_t most;	  /* bytes that the call takes */
	bool in_trailers; /* of THR_BODY_CHUNKED */
	bool is_large;	  /* counted in api->large */
	struct thr_http_chunks chunks;
};

/* --- a client's connection: client.c ------------------------------------------------- */

enum client_state {
	CLIENT_HEAD,   /* between requests, or in a head */
	CLIENT_BODY,   /* in a body */
	CLIENT_BUSY,   /* the store will call back */
	CLIENT_LINGER, /* all is said; what the client still sends is dropped */
	CLIENT_CLOSED,
};

enum client_wait {
	WAIT_IDLE,
	WAIT_HEAD,
	WAIT_BODY,
	WAIT_STORE,
	WAIT_SEND,
	WAIT_LINGER,
};

struct client {
	struct thr_stream stream;
	struct thr_timer timer;
	struct thr_deferred again; /* goes on at the end of the turn, or in the next one */
	struct thr_deferred deferred;
	struct thr_link item; /* of api->acceptor */
	struct thr_api *api;
	struct thr_buffer body;	 /* of chunks, decoded */
	bool out_is_large;	 /* what is to be written is counted in api->large */
	struct thr_address peer; /* all zeros: a Unix socket's */
	uint64_t discard;	 /* bytes of a refused request's body that are still to come */
	uint8_t state, wait;
	bool close_after; /* when all is written */
	bool linger;	  /* more input may come */
	bool used;	  /* a request was answered */
	bool renewed;	  /* what it waits for next begins anew */

	struct call call;
	struct thr_ask ask; /* of a single check */
	bool ask_is_own;    /* by a quota of the key's own */
	bool ask_waits;
	struct batch *batch;
	struct edit *edit;
};

void client_new(struct thr_api *api, int fd, const struct thr_address *peer);
void client_pump(struct client *client);
void client_drain(struct client *client);
void client_close(struct client *client);

/* Write, or keep for later, a head and a body. */
void client_send(struct client *client, struct thr_slice head, struct thr_slice body);

/* The request is answered: go on with the next one, or close. */
void client_next(struct client *client, bool keep_alive);

/* --- bodies: body.c -------------------------------------------------------------------- */

/* Begin with the body of a head, of which the call takes `most` bytes: more is refused. */
void body_begin(struct client *client, const struct thr_http_request *request, size_t most);

/* Take what has come of the body, and when that is all of it go on with the call. Returns
 * the bytes used; without an effect on client->state more is needed. */
size_t body_take(struct client *client, char *at, size_t length);

/* Pass over the body of a request that is answered before it was read: it is dropped as it
 * comes, or the connection closes. */
void body_skip(struct client *client, const struct thr_http_request *request);

/* Count the call as a large one: for its body, or before its answer, which is then counted for
 * as long as it is held. Returns false when there are too many; body_refuse_large() says so. */
bool body_grow(struct client *client);
void body_refuse_large(struct client *client);
void body_clear(struct client *client);

/* --- dispatch.c ------------------------------------------------------------------------ */

/* Act on a head: answer it, or go on to its body or the store (client->state). */
void call_begin(struct client *client, const struct thr_http_request *request);

/* Its body is there, in memory that is the call's to change until this returns. */
void call_body(struct client *client, char *at, size_t length);

/* The client is gone, or was answered: nothing is waited for any more. */
void call_forget(struct client *client);

/* --- access.c -------------------------------------------------------------------------- */

/* Charge the peer. Returns whether it may go on; else *ret_standing says how long it waits. */
bool access_charge(struct client *client, struct thr_standing *ret_standing);

/* Whether what was shown (empty: nothing) is the token, where one is asked for. */
bool access_has_token(struct thr_api *api, struct thr_slice token);

int access_new(struct thr_api *api);
void access_free(struct thr_api *api);

/* --- answer.c -------------------------------------------------------------------------- */

struct answer {
	unsigned int status;
	const char *type; /* Content-Type; NULL: there is no content */
	struct thr_slice body;
	struct thr_slice fields; /* further ones, each with its CRLF; may be empty */
	bool may_be_stored;
};

/* Answer client->call, and go on. */
void answer_send(struct client *client, const struct answer *answer);

/* Types of problems; each has its status, name and title in answer.c. */
enum problem {
	PROBLEM_MALFORMED,
	PROBLEM_QUERY,
	PROBLEM_KEY,
	PROBLEM_BODY,
	PROBLEM_CONDITION,
	PROBLEM_UNAUTHORIZED,
	PROBLEM_NO_PATH,
	PROBLEM_NO_CONFIG,
	PROBLEM_METHOD,
	PROBLEM_TIMEOUT,
	PROBLEM_PRECONDITION,
	PROBLEM_TOO_LARGE,
	PROBLEM_TARGET,
	PROBLEM_MEDIA,
	PROBLEM_EXPECTATION,
	PROBLEM_COST,
	PROBLEM_RATE,
	PROBLEM_FIELDS,
	PROBLEM_NOT_KNOWN,
	PROBLEM_STORE,
	PROBLEM_BUSY,
	PROBLEM_VERSION,
	PROBLEM_FULL,
};

/* Answer client->call by a problem; with the field of the request that is at fault (NULL:
 * none), or with further fields of the head. */
void answer_problem(struct client *client, enum problem problem, const char *detail,
		    const char *field);
void answer_problem_with(struct client *client, enum problem problem, const char *detail,
			 struct thr_slice fields);

/* Answer what is not a request, by the status that the parser gave it, and close. */
void answer_malformed(struct client *client, unsigned int status);

/* --- events.c -------------------------------------------------------------------------- */

enum refusal { REFUSED_NO_TOKEN, REFUSED_WRONG_TOKEN, REFUSED_RATE, REFUSALS };

/* Calls that were refused for one reason. */
struct refused {
	struct thr_timer timer; /* armed for a second by a line */
	struct thr_api *api;
	uint64_t untold; /* since that line */
	struct thr_address last;
};

/* A PUT or DELETE was answered 201, 204 or 503; 0: its client went before the store's answer. */
void event_change(const struct client *client, const struct thr_change *change,
		  unsigned int status);

/* A call was answered 401, or 429 for api.rate_limit. */
void event_refused(struct client *client, enum refusal refusal);

void events_begin(struct thr_api *api);
void events_end(struct thr_api *api); /* tells what is left; an event may follow */

/* --- the calls: check.c, config.c, config_list.c, report.c ------------------------------ */

void check_begin(struct client *client, char *body, size_t length);
void check_forget(struct client *client);

/* A request for the key `segment` of a path. */
void config_begin(struct client *client, const struct thr_http_request *request,
		  struct thr_slice segment, const struct thr_condition *condition);
void config_body(struct client *client, const char *body, size_t length);
void config_forget(struct client *client);

/* A request for all of them. */
void config_list(struct client *client, const struct thr_http_request *request);

void report_health(struct client *client);
void report_ready(struct client *client);
void report_metrics(struct client *client);

/* --- the API ----------------------------------------------------------------------------- */

/* What is needed of a configuration. */
struct settings {
	struct thr_http_limits limits;
	uint64_t header_timeout_ms, idle_timeout_ms, body_timeout_ms;
	bool limited;		      /* peers are */
	struct thr_store_limit limit; /* if so */
	enum thr_on_error on_error;   /* of quotas that say nothing else */
	bool has_token;
	uint8_t token[THR_TOKEN_DIGEST]; /* its digest */
};

struct thr_api {
	struct thr_api_parts parts;
	struct settings settings;
	bool configured;
	struct thr_acceptor acceptor;
	size_t large; /* bodies, batches and answers over SMALL_BODY that are held */
	bool draining;
	struct refused refused[REFUSALS];
	struct thr_hash_key peer_scope;
	EVP_MD *digest;
	EVP_MD_CTX *digest_context;
	struct thr_wall wall;
	struct thr_http_request request; /* being parsed */
	struct thr_check_list checks;	 /* being asked */
	char in[SCRATCH];		 /* what was read last */
	char head[8192];		 /* the head of an answer, and a body that fits */
	char body[ANSWER_MAX];		 /* that of a check, or of a page */
};

/* Now, as an IMF-fixdate. */
const char *api_date(struct thr_api *api);

#endif
