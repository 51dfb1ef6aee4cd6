/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Connections to the API: bytes in any pieces, bodies in any framing, one answer after the
 * other, methods, and what is not HTTP. */
#include <sys/resource.h>

#include "core/clock.h"
#include "unit/api_server.h"

#define CHECK_BODY "{\"key\":\"a\",\"cost\":0}"
#define CHECK "POST /check HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n" CHECK_BODY

/* A client and the reply that it reads into. */
struct talk {
	struct server *server;
	struct reply *reply;
	int fd;
};

static struct talk talk_begin(void **state)
{
	struct talk talk = {.server = *state, .reply = calloc(1, sizeof(struct reply))};

	assert_non_null(talk.reply);
	talk.fd = client_connect(talk.server);
	return talk;
}

static void talk_end(struct talk *talk)
{
	close(talk->fd);
	free(talk->reply);
}

static void say(struct talk *talk, const char *text)
{
	client_put(talk->server, talk->fd, text, strlen(text));
}

static void hear(struct talk *talk, unsigned int status, const char *part)
{
	client_get(talk->server, talk->fd, talk->reply, false);
	assert_reply(talk->reply, status, part);
}

static void hear_the_end(struct talk *talk)
{
	client_get(talk->server, talk->fd, talk->reply, false);
	assert_int_equal(talk->reply->status, 0);
	assert_int_equal(talk->reply->length, 0);
}

/* --- pieces and order --- */

static void a_request_in_single_bytes_is_answered(void **state)
{
	struct talk talk = talk_begin(state);

	for (const char *at = CHECK; *at; at++) {
		client_put(talk.server, talk.fd, at, 1);
		server_turn(talk.server);
	}
	hear(&talk, 200, "\"remaining\":3");
	assert_int_equal(talk.server->counts.requests[THR_API_CHECK], 1);
	talk_end(&talk);
}

static void requests_in_a_row_are_answered_in_their_order(void **state)
{
	struct talk talk = talk_begin(state);

	say(&talk, CHECK GET("/health") CHECK GET("/nothing") GET("/ready"));
	hear(&talk, 200, "\"remaining\":3");
	hear(&talk, 200, "\"status\":\"ok\"");
	hear(&talk, 200, "\"remaining\":3");
	hear(&talk, 404, "no-such-path");
	hear(&talk, 200, "\"ready\":true");
	assert_int_equal(talk.server->counts.connections, 1);
	talk_end(&talk);
}

static void many_requests_in_a_row_are_answered_over_several_turns(void **state)
{
	struct talk talk = talk_begin(state);
	char *many = malloc(500 * sizeof(CHECK)), *at = many;

	assert_non_null(many);
	for (int i = 0; i < 500; i++)
		at = stpcpy(at, CHECK);
	say(&talk, many);
	for (int i = 0; i < 500; i++)
		hear(&talk, 200, "\"remaining\":3");
	free(many);
	talk_end(&talk);
}

/* A client that asks for more than it reads is not read any further; when it reads on, nothing
 * is missing. Over a Unix socket, whose buffers have a size and no timers. */
static void answers_that_are_not_read_hold_requests_back(void **state)
{
	size_t whole = sizeof(CHECK) - 1, sent = 0;
	struct talk talk;

	server_listen(*state, AF_UNIX);
	talk = talk_begin(state);
	/* Until nothing goes any more, though the other side had its turns. */
	for (int idle = 0; idle < 5; idle++) {
		ssize_t got;

		while ((got = send(talk.fd, CHECK + sent % whole, whole - sent % whole,
				   MSG_NOSIGNAL)) > 0) {
			sent += (size_t)got;
			idle = 0;
		}
		server_turn(talk.server);
	}
	assert_true(talk.server->counts.requests[THR_API_CHECK] < sent / whole);
	for (size_t i = 0; i < sent / whole; i++)
		hear(&talk, 200, "\"remaining\":3");
	if (sent % whole) {
		say(&talk, CHECK + sent % whole);
		hear(&talk, 200, "\"remaining\":3");
	}
	talk_end(&talk);
}

/* --- bodies --- */

static void a_chunked_body_is_put_together(void **state)
{
	static const char text[] =
		"POST /check HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
		"chunked\r\n\r\n5;x=y\r\n{\"key\r\n1\r\n\"\r\nE\r\n:\"a\",\"cost\":0"
		"}\r\n0\r\nX-Sum: 1\r\n\r\n" GET("/health");
	struct talk talk = talk_begin(state);

	say(&talk, text);
	hear(&talk, 200, "\"remaining\":3");
	hear(&talk, 200, "ok");
	for (const char *at = text; *at; at++) {
		client_put(talk.server, talk.fd, at, 1);
		server_turn(talk.server);
	}
	hear(&talk, 200, "\"remaining\":3");
	hear(&talk, 200, "ok");
	talk_end(&talk);
}

static void a_body_that_is_no_chunks_ends_the_connection(void **state)
{
	struct talk talk = talk_begin(state);

	say(&talk, "POST /check HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n");
	hear(&talk, 400, "malformed-request");
	assert_false(talk.reply->keep_alive);
	hear_the_end(&talk);
	talk_end(&talk);
}

static void a_client_that_waits_for_100_is_told_to_go_on(void **state)
{
	struct talk talk = talk_begin(state);

	say(&talk, "POST /check HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
		   "Content-Length: 20\r\n\r\n");
	hear(&talk, 100, "");
	say(&talk, CHECK_BODY);
	hear(&talk, 200, "\"remaining\":3");
	say(&talk, "PUT /nothing HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
		   "Content-Length: 20\r\n\r\n");
	hear(&talk, 404, "no-such-path");
	assert_false(talk.reply->keep_alive);
	talk_end(&talk);
}

static void a_body_that_is_too_large_is_413(void **state)
{
	static const char *const heads[] = {
		"POST /check HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n",
		"PUT /config/a HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n",
		"POST /check HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
		"Content-Length: 9223372036854775807\r\n\r\n",
		"PUT /config/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		struct talk talk = talk_begin(state);
		static char chunk[65536 + 16];

		say(&talk, heads[i]);
		if (strstr(heads[i], "chunked")) {
			memset(chunk, ' ', sizeof(chunk) - 1);
			memcpy(chunk, "20000\r\n", 7);
			say(&talk, chunk);
		}
		hear(&talk, 413, "body-too-large");
		assert_false(talk.reply->keep_alive);
		hear_the_end(&talk);
		talk_end(&talk);
	}
}

static void the_largest_body_is_taken(void **state)
{
	struct talk talk = talk_begin(state);
	char *body = malloc((1 << 20) + 1);

	assert_non_null(body);
	memset(body, ' ', 1 << 20);
	memcpy(body, CHECK_BODY, 20);
	body[1 << 20] = '\0';
	say(&talk, "POST /check HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n");
	say(&talk, body);
	hear(&talk, 200, "\"remaining\":3");
	say(&talk, "POST /check HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
		   "100000\r\n");
	say(&talk, body);
	say(&talk, "\r\n0\r\n\r\n");
	hear(&talk, 200, "\"remaining\":3");
	free(body);
	talk_end(&talk);
}

static void large_bodies_are_bounded_by_their_number(void **state)
{
	static const char head[] =
		"POST /check HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n{";
	struct server *server = *state;
	struct talk talk;
	int fd[64];

	for (size_t i = 0; i < ARRAY_SIZE(fd); i++) {
		fd[i] = client_connect(server);
		client_put(server, fd[i], head, sizeof(head) - 1);
	}
	for (int turns = 0; server->counts.requests[THR_API_CHECK] < ARRAY_SIZE(fd); turns++) {
		assert_true(turns < TURNS_MAX);
		server_turn(server);
	}
	talk = talk_begin(state);
	say(&talk, head);
	hear(&talk, 503, "Retry-After: 1");
	assert_reply(talk.reply, 503, "urn:xdp-throttle:problem:busy");
	talk_end(&talk);
	/* Small ones are not concerned, and one that goes makes room. */
	assert_ask(server, CHECK, 200, "");
	close(fd[0]);
	for (int turns = 0; thr_api_busy(server->api) > 63; turns++) {
		assert_true(turns < TURNS_MAX);
		server_turn(server);
	}
	talk = talk_begin(state);
	say(&talk, head);
	for (int i = 0; i < 10; i++)
		server_turn(server);
	assert_int_equal(server->counts.responses[5], 1);
	talk_end(&talk);
	for (size_t i = 1; i < ARRAY_SIZE(fd); i++)
		close(fd[i]);
}

/* A batch of `count` peeks. */
static char *batch_of(size_t count)
{
	char *body = malloc(32 + count * 24), *at = body;

	assert_non_null(body);
	at = stpcpy(at, "{\"checks\":[");
	for (size_t i = 0; i < count; i++)
		at += sprintf(at, "%s{\"key\":\"a\"}", i ? "," : "");
	stpcpy(at, "]}");
	return body;
}

static void assert_batch(struct server *server, size_t count, unsigned int status)
{
	char *body = batch_of(count);

	assert_ask_json(server, "POST /check", body, status, "");
	free(body);
}

static void large_answers_that_are_not_read_are_bounded_by_their_number(void **state)
{
	struct server *server = *state;
	struct reply *reply = calloc(1, sizeof(*reply));
	int fd[LARGE_ANSWERS];

	leave_large_answers(server, fd);
	assert_ask(server, GET("/metrics"), 503, "Retry-After: 1");
	/* Before anything is taken. */
	assert_batch(server, 1000, 503);
	assert_ask(server, CHECK, 200, "\"remaining\":3");
	assert_batch(server, 300, 200);
	/* One that is read, and one that goes, make room, each for one. */
	client_get(server, fd[0], reply, false);
	assert_reply(reply, 200, "xdp_throttle_tests_total{a=\"9999\"} 9999");
	assert_ask(server, GET("/metrics"), 200, "9999");
	client_put(server, fd[0], GET("/metrics"), sizeof(GET("/metrics")) - 1);
	for (int turns = 0; server->counts.requests[THR_API_METRICS] < 67; turns++) {
		assert_true(turns < TURNS_MAX);
		server_turn(server);
	}
	assert_batch(server, 1000, 503);
	close(fd[1]);
	for (int turns = 0; thr_api_busy(server->api) > 63; turns++) {
		assert_true(turns < TURNS_MAX);
		server_turn(server);
	}
	assert_batch(server, 1000, 200);
	for (size_t i = 0; i < ARRAY_SIZE(fd); i++)
		if (i != 1)
			close(fd[i]);
	free(reply);
}

static void the_body_of_a_call_that_takes_none_is_passed_over(void **state)
{
	struct talk talk = talk_begin(state);

	say(&talk, "GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
	hear(&talk, 200, "ok");
	assert_true(talk.reply->keep_alive);
	say(&talk, "llo" GET("/ready"));
	hear(&talk, 200, "ready");
	say(&talk,
	    "DELETE /config/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" GET("/ready"));
	hear(&talk, 404, "no-such-config");
	hear(&talk, 200, "ready");
	talk_end(&talk);
}

/* --- methods, versions, paths --- */

static void head_is_get_without_content(void **state)
{
	static const char *const paths[] = {"/health", "/ready", "/metrics", "/config/default",
					    "/config/none"};
	struct server *server = *state;
	char request[128];

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct reply *get, *head;

		snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", paths[i]);
		get = ask(server, request);
		snprintf(request, sizeof(request), "HEAD %s HTTP/1.1\r\nHost: a\r\n\r\n", paths[i]);
		head = ask(server, request);
		assert_int_equal(head->status, get->status);
		assert_int_equal(head->used, head->length);
		assert_true(reply_field(head, "Content-Length").length > 0);
		free(get);
		free(head);
	}
}

static void options_and_other_methods_are_told_what_is_allowed(void **state)
{
	static const struct {
		const char *path, *allow, *other;
	} cases[] = {
		{"/check", "POST, OPTIONS", "GET"},
		{"/config/a", "GET, HEAD, PUT, DELETE, OPTIONS", "POST"},
		{"/health", "GET, HEAD, OPTIONS", "POST"},
		{"/ready", "GET, HEAD, OPTIONS", "TRACE"},
		{"/metrics", "GET, HEAD, OPTIONS", "BREW"},
	};
	struct server *server = *state;
	char request[128];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct reply *reply;

		snprintf(request, sizeof(request), "OPTIONS %s HTTP/1.1\r\nHost: a\r\n\r\n",
			 cases[i].path);
		reply = ask(server, request);
		assert_int_equal(reply->status, 204);
		assert_field(reply, "Allow", cases[i].allow);
		free(reply);
		snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: a\r\n\r\n",
			 cases[i].other, cases[i].path);
		reply = ask(server, request);
		assert_reply(reply, 405, "method-not-allowed");
		assert_field(reply, "Allow", cases[i].allow);
		free(reply);
	}
}

static void http_1_0_is_answered_and_closed_unless_it_asks(void **state)
{
	struct talk talk = talk_begin(state);

	say(&talk, "GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	hear(&talk, 200, "Connection: keep-alive");
	say(&talk, "GET /health HTTP/1.0\r\n\r\n");
	hear(&talk, 200, "Connection: close");
	hear_the_end(&talk);
	talk_end(&talk);
}

static void a_client_that_shuts_its_side_is_answered(void **state)
{
	struct talk talk = talk_begin(state);

	say(&talk, CHECK GET("/health"));
	assert_int_equal(shutdown(talk.fd, SHUT_WR), 0);
	hear(&talk, 200, "\"remaining\":3");
	hear(&talk, 200, "ok");
	hear_the_end(&talk);
	talk_end(&talk);
}

static void paths_are_exact_and_take_no_query(void **state)
{
	struct server *server = *state;

	assert_ask(server, GET("/"), 404, "no-such-path");
	assert_ask(server, GET("/health/"), 404, "no-such-path");
	assert_ask(server, GET("/Health"), 404, "no-such-path");
	assert_ask(server, GET("/%68ealth"), 404, "no-such-path");
	assert_ask(server, GET("/health?"), 400, "unexpected-query");
	assert_ask(server, GET("/check?key=a"), 400, "unexpected-query");
	assert_ask(server, GET("http://a/health"), 200, "ok");
	assert_ask(server, GET("http://a"), 404, "no-such-path");
	assert_ask(server, GET("http://a?x"), 404, "no-such-path");
}

static void what_is_not_http_is_refused_and_closed(void **state)
{
	static const struct {
		const char *text;
		unsigned int status;
		const char *part;
	} cases[] = {
		{"GET /health HTTP/1.1\r\n\r\n", 400, "malformed-request"},
		{"GET /health HTTP/1.1\nHost: a\n\n", 400, "malformed-request"},
		{"GET /health HTTP/2.0\r\nHost: a\r\n\r\n", 505, "version-not-supported"},
		{"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 501, "not-implemented"},
		{"POST /check HTTP/1.1\r\nHost: a\r\nExpect: x\r\nContent-Length: 1\r\n\r\n", 417,
		 "expectation-failed"},
		{"POST /check HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
		 "Transfer-Encoding: chunked\r\n\r\n",
		 400, "malformed-request"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct talk talk = talk_begin(state);

		say(&talk, cases[i].text);
		hear(&talk, cases[i].status, cases[i].part);
		assert_reply(talk.reply, cases[i].status, "Connection: close");
		hear_the_end(&talk);
		assert_int_equal(talk.server->counts.malformed, i + 1);
		talk_end(&talk);
	}
}

/* --- time and drain --- */

static bool is_listener(int fd)
{
	int value = 0;
	socklen_t length = sizeof(value);

	return !getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &length) && value;
}

static void a_head_and_a_body_that_do_not_come_are_408(void **state)
{
	static const char *const beginnings[] = {
		"GET /health HTTP/1.1\r\nHost",
		"POST /check HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n{",
	};
	struct server *server = *state;

	server->config.server.header_timeout_ms = 20;
	server->config.server.body_timeout_ms = 20;
	server_configure(server, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(beginnings); i++) {
		struct talk talk = talk_begin(state);

		say(&talk, beginnings[i]);
		hear(&talk, 408, "request-timeout");
		hear_the_end(&talk);
		talk_end(&talk);
	}
}

static void who_says_nothing_is_closed(void **state)
{
	struct server *server = *state;
	struct talk talk;

	server->config.server.header_timeout_ms = 20;
	server->config.server.idle_timeout_ms = 20;
	server_configure(server, NULL);
	talk = talk_begin(state);
	hear_the_end(&talk);
	talk_end(&talk);
	talk = talk_begin(state);
	say(&talk, GET("/health"));
	hear(&talk, 200, "ok");
	hear_the_end(&talk);
	talk_end(&talk);
	assert_int_equal(thr_api_busy(server->api), 0);
}

/* As a worker out of control does to a Unix socket that it shares with the others. */
static void a_listener_that_is_shut_costs_no_time(void **state)
{
	struct server *server = *state;
	uint64_t begin_ns;
	int fd;

	server_listen(server, AF_UNIX);
	/* The number that the API was given. */
	for (fd = 0; !is_listener(fd); fd++)
		assert_true(fd < 1024);
	assert_int_equal(shutdown(fd, SHUT_RDWR), 0);
	assert_int_equal(thr_loop_turn(server->loop, 1000), 0);
	begin_ns = thr_clock_monotonic_ns();
	assert_int_equal(thr_loop_turn(server->loop, 50), 0);
	assert_true(thr_clock_monotonic_ns() - begin_ns > 20 * THR_NS_PER_MS);
}

static void a_drain_ends_connections_after_their_request(void **state)
{
	struct talk idle = talk_begin(state), busy = talk_begin(state);
	struct server *server = *state;
	int fd;

	say(&idle, GET("/ready"));
	hear(&idle, 200, "\"draining\":false");
	say(&busy, "GET /ready HTTP/1.1\r\nHost: ");
	for (int turns = 0; thr_api_busy(server->api) < 2; turns++) {
		assert_true(turns < TURNS_MAX);
		server_turn(server);
	}
	server_turn(server);
	thr_api_drain(server->api);
	hear_the_end(&idle);
	say(&busy, "a\r\n\r\n");
	hear(&busy, 503,
	     "{\"ready\":false,\"draining\":true,\"store\":\"memory\","
	     "\"degraded\":false}");
	assert_false(busy.reply->keep_alive);
	hear_the_end(&busy);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&server->address, server->address_length),
			 -1);
	close(fd);
	talk_end(&idle);
	talk_end(&busy);
}

/* --- too many --- */

static void of_too_many_connections_the_longest_idle_one_goes(void **state)
{
	struct server *server = *state;
	struct rlimit before, limit;
	struct talk talk[11];

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = (struct rlimit){80, before.rlim_max}; /* 10 connections: an eighth */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	server_configure(server, NULL);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	for (size_t i = 0; i < ARRAY_SIZE(talk); i++) {
		talk[i] = talk_begin(state);
		say(&talk[i], GET("/health"));
		hear(&talk[i], 200, "ok");
	}
	assert_int_equal(thr_api_busy(server->api), 10);
	hear_the_end(&talk[0]);
	for (size_t i = 1; i < ARRAY_SIZE(talk); i++) {
		say(&talk[i], GET("/health"));
		hear(&talk[i], 200, "ok");
	}
	for (size_t i = 0; i < ARRAY_SIZE(talk); i++)
		talk_end(&talk[i]);
}

static void connections_that_are_all_in_use_make_new_ones_wait(void **state)
{
	struct server *server = *state;
	struct rlimit before, limit;
	struct talk talk[3];

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = (struct rlimit){16, before.rlim_max}; /* 2 connections */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	server_configure(server, NULL);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	for (size_t i = 0; i < ARRAY_SIZE(talk); i++) {
		talk[i] = talk_begin(state);
		say(&talk[i], i < 2 ? "GET /health HTTP/1.1\r\n" : GET("/health"));
	}
	for (int turns = 0; thr_api_busy(server->api) < 2; turns++) {
		assert_true(turns < TURNS_MAX);
		server_turn(server);
	}
	server_turn(server);
	assert_int_equal(thr_api_busy(server->api), 2);
	say(&talk[1], "Host: a\r\n\r\n");
	hear(&talk[1], 200, "ok");
	hear(&talk[2], 200, "ok");
	hear_the_end(&talk[1]);
	for (size_t i = 0; i < ARRAY_SIZE(talk); i++)
		talk_end(&talk[i]);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		SERVER_TEST(a_request_in_single_bytes_is_answered),
		SERVER_TEST(requests_in_a_row_are_answered_in_their_order),
		SERVER_TEST(many_requests_in_a_row_are_answered_over_several_turns),
		SERVER_TEST(answers_that_are_not_read_hold_requests_back),
		SERVER_TEST(a_chunked_body_is_put_together),
		SERVER_TEST(a_body_that_is_no_chunks_ends_the_connection),
		SERVER_TEST(a_client_that_waits_for_100_is_told_to_go_on),
		SERVER_TEST(a_body_that_is_too_large_is_413),
		SERVER_TEST(the_largest_body_is_taken),
		SERVER_TEST(large_bodies_are_bounded_by_their_number),
		SERVER_TEST(large_answers_that_are_not_read_are_bounded_by_their_number),
		SERVER_TEST(the_body_of_a_call_that_takes_none_is_passed_over),
		SERVER_TEST(head_is_get_without_content),
		SERVER_TEST(options_and_other_methods_are_told_what_is_allowed),
		SERVER_TEST(http_1_0_is_answered_and_closed_unless_it_asks),
		SERVER_TEST(a_client_that_shuts_its_side_is_answered),
		SERVER_TEST(paths_are_exact_and_take_no_query),
		SERVER_TEST(what_is_not_http_is_refused_and_closed),
		SERVER_TEST(a_head_and_a_body_that_do_not_come_are_408),
		SERVER_TEST(who_says_nothing_is_closed),
		SERVER_TEST(of_too_many_connections_the_longest_idle_one_goes),
		SERVER_TEST(connections_that_are_all_in_use_make_new_ones_wait),
		SERVER_TEST(a_listener_that_is_shut_costs_no_time),
		SERVER_TEST(a_drain_ends_connections_after_their_request),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
