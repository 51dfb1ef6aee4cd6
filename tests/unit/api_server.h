/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * For the tests of user/api: the API on a loop of the test, over the memory store, with a
 * keeper of changes that the test can hold back, and clients that drive the loop until they
 * have their answer.
 */
#ifndef THR_TEST_API_SERVER_H
#define THR_TEST_API_SERVER_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/api.h"
#include "http/http.h"
#include "support/run.h"

#define REPLY_MAX (512 * 1024)
#define TURNS_MAX 2000 /* of 10 ms at most: until an answer must be there */
#define CHANGES_MAX 16
#ifndef SERVER_QUOTAS
#define SERVER_QUOTAS 4 /* that there may be */
#endif

struct server {
	struct thr_loop *loop;
	struct thr_memory *buckets;
	struct thr_quotas *quotas;
	struct thr_store *store;
	struct thr_store_counts store_counts;
	struct thr_api *api;
	struct thr_api_counts counts;
	struct thr_config config;
	int family;
	struct sockaddr_storage address;
	socklen_t address_length;

	size_t samples; /* of a family of the test's, in /metrics */

	/* Changes that were handed over to be kept. */
	bool hold; /* they wait for server_keep() */
	struct thr_change *change[CHANGES_MAX];
	uint64_t number[CHANGES_MAX];
	size_t change_count;
	uint64_t version;
};

/* --- the keeper --- */

static inline void server_decide(struct server *server, struct thr_change *change, uint64_t number)
{
	struct thr_quota before = {0};
	bool found = thr_quotas_find(server->quotas, &change->hash, change->key, &before);
	enum thr_change_result result = found ? THR_CHANGE_DONE : THR_CHANGE_CREATED;

	if (!thr_condition_holds(&change->condition, found ? before.version : 0)) {
		result = THR_CHANGE_CONFLICT;
	} else if (change->kind == THR_QUOTA_DELETE) {
		if (!thr_quotas_remove(server->quotas, &change->hash, change->key))
			result = THR_CHANGE_ABSENT;
	} else {
		change->quota.version = ++server->version;
		if (thr_quotas_set(server->quotas, &change->hash, change->key, &change->quota) < 0)
			result = THR_CHANGE_FULL;
	}
	thr_store_changed(server->store, number, result, server->version, "");
}

static inline void server_on_keep(void *context, struct thr_change *change)
{
	struct server *server = context;

	assert_true(server->change_count < CHANGES_MAX);
	server->change[server->change_count] = change;
	server->number[server->change_count++] = change->number;
}

/* Keep what was handed over. */
static inline void server_keep(struct server *server)
{
	size_t count = server->change_count;

	server->change_count = 0;
	for (size_t i = 0; i < count; i++)
		server_decide(server, server->change[i], server->number[i]);
}

static inline void server_turn(struct server *server)
{
	assert_int_equal(thr_loop_turn(server->loop, 10), 0);
	if (!server->hold)
		server_keep(server);
}

/* --- the server --- */

static inline void server_on_tell(void *context, bool bad, const char *text)
{
	(void)context;
	(void)bad;
	(void)text;
}

static inline void server_on_metrics(void *context, struct thr_metrics *metrics)
{
	struct server *server = context;

	thr_api_write_metrics(&server->counts, 1, metrics);
	if (server->samples)
		thr_metrics_family(metrics, THR_COUNTER, "tests", "Many.");
	for (size_t i = 0; i < server->samples; i++) {
		char text[24];
		const struct thr_label label = {"a", {text, (size_t)sprintf(text, "%zu", i)}};

		thr_metrics_count(metrics, &label, 1, i);
	}
}

static inline void server_listen(struct server *server, int family)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_storage address = {.ss_family = (sa_family_t)family};
	socklen_t length = sizeof(sa_family_t); /* of a Unix socket: any abstract name */

	assert_true(fd >= 0);
	if (family == AF_INET) {
		memcpy(&address, &v4, sizeof(v4));
		length = sizeof(v4);
	}
	assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
	assert_int_equal(listen(fd, 64), 0);
	server->family = family;
	server->address_length = sizeof(server->address);
	assert_int_equal(
		getsockname(fd, (struct sockaddr *)&server->address, &server->address_length), 0);
	assert_int_equal(thr_api_listen(server->api, 0, fd), 0);
}

static inline void server_configure(struct server *server, const uint8_t *token)
{
	assert_int_equal(thr_api_configure(server->api, &server->config, token, NULL), 0);
}

static inline int server_setup(void **state)
{
	struct server *server = calloc(1, sizeof(*server));
	struct thr_store_settings settings = {0};
	const char *why;

	assert_non_null(server);
	server->config.server = (struct thr_server_config){
		.header_timeout_ms = 10000,
		.idle_timeout_ms = 10000,
		.body_timeout_ms = 10000,
		.max_request_line = 8192,
		.max_header_bytes = 16384,
		.max_headers = 100,
	};
	assert_int_equal(thr_loop_new(&server->loop), 0);
	assert_int_equal(thr_memory_new(1000, &server->buckets), 0);
	assert_int_equal(thr_quotas_new(SERVER_QUOTAS, false, &server->quotas), 0);
	{
		const struct thr_store_parts parts = {
			.loop = server->loop,
			.buckets = server->buckets,
			.quotas = server->quotas,
			.counts = &server->store_counts,
			.instance = 1,
			.tell = server_on_tell,
			.keep = server_on_keep,
			.context = server,
		};

		assert_int_equal(thr_store_new(&parts, &server->store), 0);
	}
	/* As good as no refill: a test takes no hour. */
	assert_int_equal(
		thr_quota_make(3, 1.0 / 3600, THR_ON_ERROR_LOCAL, &settings.fallback, &why), 0);
	assert_int_equal(thr_store_configure(server->store, &settings, NULL), 0);
	{
		const struct thr_api_parts parts = {
			.loop = server->loop,
			.store = server->store,
			.buckets = server->buckets,
			.counts = &server->counts,
			.workers = 1,
			.write_metrics = server_on_metrics,
			.context = server,
		};

		assert_int_equal(thr_api_new(&parts, &server->api, NULL), 0);
	}
	server_configure(server, NULL);
	server_listen(server, AF_INET);
	*state = server;
	return 0;
}

static inline int server_teardown(void **state)
{
	struct server *server = *state;

	thr_api_free(server->api);
	thr_store_free(server->store);
	/* A client of Redis puts off its end, once more where it was in a callback. */
	thr_loop_turn(server->loop, 0);
	thr_loop_turn(server->loop, 0);
	thr_quotas_free(server->quotas);
	thr_memory_free(server->buckets);
	thr_loop_free(server->loop);
	free(server);
	return 0;
}

#define SERVER_TEST(test) cmocka_unit_test_setup_teardown(test, server_setup, server_teardown)

/* --- a client --- */

struct reply {
	unsigned int status; /* 0: the connection was closed without one */
	bool keep_alive;
	struct thr_http_response head;
	const char *body; /* NUL-terminated, as far as the text goes */
	size_t body_length;
	size_t used; /* of the bytes */
	size_t length;
	char bytes[REPLY_MAX + 1];
};

static inline int client_connect(struct server *server)
{
	int fd = socket(server->family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&server->address, server->address_length),
			 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

/* Send all of it, however slowly it is read. */
static inline void client_put(struct server *server, int fd, const char *bytes, size_t length)
{
	for (int turns = 0; length; turns++) {
		ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);

		assert_true(sent >= 0 || errno == EAGAIN);
		assert_true(turns < TURNS_MAX);
		bytes += sent > 0 ? sent : 0;
		length -= sent > 0 ? (size_t)sent : 0;
		if (sent < 0)
			server_turn(server);
	}
}

/* Whether the bytes are a whole answer; `to_head` has no content. */
static inline bool reply_parse(struct reply *reply, bool to_head)
{
	static const struct thr_http_limits all = {65536, 65536, 100};
	int head = thr_http_parse_response(reply->bytes, reply->length,
					   to_head ? THR_METHOD_HEAD : THR_METHOD_GET, &all,
					   &reply->head);

	assert_true(head >= 0);
	reply->body_length =
		reply->head.body == THR_BODY_LENGTH ? (size_t)reply->head.content_length : 0;
	if (head == 0 || reply->length - (size_t)head < reply->body_length)
		return false;
	reply->status = reply->head.status;
	reply->keep_alive = reply->head.keep_alive;
	reply->body = reply->bytes + head;
	reply->used = (size_t)head + reply->body_length;
	return true;
}

/* The next answer; what is behind it is kept for the next call. The reply is all zeros before
 * the first. */
static inline void client_get(struct server *server, int fd, struct reply *reply, bool to_head)
{
	bool ended = false;

	reply->length -= reply->used;
	memmove(reply->bytes, reply->bytes + reply->used, reply->length);
	reply->used = 0;
	reply->status = 0;
	reply->bytes[reply->length] = '\0';
	for (int turns = 0; !ended; turns++) {
		ssize_t got;

		if (reply->length && reply_parse(reply, to_head))
			return;
		assert_true(turns < TURNS_MAX);
		server_turn(server);
		got = recv(fd, reply->bytes + reply->length, REPLY_MAX - reply->length, 0);
		ended = got == 0 || (got < 0 && errno != EAGAIN);
		reply->length += got > 0 ? (size_t)got : 0;
		reply->bytes[reply->length] = '\0';
	}
}

/* One request on a connection of its own. The caller frees the reply. */
static inline struct reply *ask(struct server *server, const char *request)
{
	struct reply *reply = calloc(1, sizeof(*reply));
	int fd = client_connect(server);

	assert_non_null(reply);
	client_put(server, fd, request, strlen(request));
	client_get(server, fd, reply, strncmp(request, "HEAD ", 5) == 0);
	close(fd);
	return reply;
}

/* A request with a body of JSON. */
static inline struct reply *ask_json(struct server *server, const char *line, const char *body)
{
	struct reply *reply;
	char *request;

	assert_true(asprintf(&request,
			     "%s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
			     "Content-Length: %zu\r\n\r\n%s",
			     line, strlen(body), body) > 0);
	reply = ask(server, request);
	free(request);
	return reply;
}

/* The value of a field, or an empty slice. */
static inline struct thr_slice reply_field(const struct reply *reply, const char *name)
{
	for (size_t i = 0; i < reply->head.field_count; i++)
		if (thr_slice_is_word(reply->head.field[i].name, name))
			return reply->head.field[i].value;
	return THR_SLICE("");
}

static inline void assert_field(const struct reply *reply, const char *name, const char *value)
{
	struct thr_slice slice = reply_field(reply, name);

	if (!thr_slice_is(slice, value))
		fail_msg("%s: \"%.*s\" is not \"%s\"", name, (int)slice.length, slice.at, value);
}

static inline void assert_reply(struct reply *reply, unsigned int status, const char *body_part)
{
	if (reply->status != status || !strstr(reply->bytes, body_part))
		fail_msg("not %u with %s:\n%s", status, body_part, reply->bytes);
}

/* Ask, look at the status and a part of the answer, and forget it. */
static inline void assert_ask(struct server *server, const char *request, unsigned int status,
			      const char *part)
{
	struct reply *reply = ask(server, request);

	assert_reply(reply, status, part);
	free(reply);
}

static inline void assert_ask_json(struct server *server, const char *line, const char *body,
				   unsigned int status, const char *part)
{
	struct reply *reply = ask_json(server, line, body);

	assert_reply(reply, status, part);
	free(reply);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

#define LARGE_ANSWERS 64 /* as many as there may be */

/* As many clients have an answer and do not read it: over a Unix socket, whose buffers have a
 * size, less than that of an answer. The descriptors are the caller's to close. */
static inline void leave_large_answers(struct server *server, int fd[static LARGE_ANSWERS])
{
	server_listen(server, AF_UNIX);
	server->samples = 10000;
	for (size_t i = 0; i < LARGE_ANSWERS; i++) {
		fd[i] = client_connect(server);
		client_put(server, fd[i], GET("/metrics"), sizeof(GET("/metrics")) - 1);
	}
	for (int turns = 0; server->counts.responses[2] < LARGE_ANSWERS; turns++) {
		assert_true(turns < TURNS_MAX);
		server_turn(server);
	}
}

#endif
