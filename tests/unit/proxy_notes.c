/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a proxy tells of its clients for the packet layer: a proxy, a client and a target in
 * one thread, and the notes as they are made. Nothing is attached: the interface that the
 * configurations name is nowhere.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "unit/proxy_fixture.h"

#define TURNS_MAX 1000 /* of 10 ms at most */
#define XDP "xdp: {interfaces: [nowhere0]}\n"
#define BUDGET                                                                                     \
	"xdp: {interfaces: [nowhere0], services: [{name: web, ports: [80], "                       \
	"new_sources: {per_second: 1}}]}\n"
#define STRICT                                                                                     \
	"rate_limit: {requests_per_minute: 1, burst: 1, block: {refusals_per_minute: 3, for: "     \
	"5m}}\n"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
#define ANSWER(status) "HTTP/1.1 " status " \r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

struct fixture {
	struct proxy_fixture parts;
	int target;    /* listens */
	int forwarded; /* a connection that it has accepted; -1: none */
	uint16_t port;
	size_t count;
	struct thr_note notes[16];
};

static void on_note(void *context, const struct thr_note *note)
{
	struct fixture *fixture = context;

	assert_true(fixture->count < ARRAY_SIZE(fixture->notes));
	fixture->notes[fixture->count++] = *note;
}

static int listen_on(uint16_t *ret_port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static int setup(void **state)
{
	struct fixture *fixture = aligned_alloc(_Alignof(struct fixture), sizeof(*fixture));

	if (!fixture)
		return -1;
	thr_log_setup(THR_LOG_ERROR, THR_LOG_TEXT);
	memset(fixture, 0, sizeof(*fixture));
	proxy_begin(&fixture->parts, on_note, fixture);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	proxy_end(&fixture->parts);
	close(fixture->target);
	free(fixture);
	return 0;
}

/* Serve by these sections, with a route to the target. */
static struct fixture *given(void **state, const char *sections)
{
	struct fixture *fixture = *state;
	char text[1024];
	uint16_t port;

	fixture->target = listen_on(&port);
	fixture->forwarded = -1;
	snprintf(text, sizeof(text), "%sroutes: [{path: /, target: 'http://127.0.0.1:%u'}]\n",
		 sections, port);
	proxy_configure(&fixture->parts, text);
	assert_int_equal(thr_proxy_listen(fixture->parts.proxy, 0, listen_on(&fixture->port)), 0);
	return fixture;
}

/* A client at 127.0.0.`host`. */
static int connect_from(const struct fixture *fixture, uint8_t host)
{
	struct sockaddr_in from = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(0x7f000000u + host)};
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(0x7f000001),
				 .sin_port = htons(fixture->port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* Answer one that was forwarded, if there is one: the proxy connects in one turn and sends
 * in another. */
static void serve(struct fixture *fixture, const char *answer)
{
	struct pollfd ready = {.events = POLLIN};
	char request[4096];

	if (fixture->forwarded < 0)
		fixture->forwarded = accept4(fixture->target, NULL, NULL, SOCK_CLOEXEC);
	ready.fd = fixture->forwarded;
	if (fixture->forwarded < 0 || poll(&ready, 1, 0) < 1)
		return;
	if (read(fixture->forwarded, request, sizeof(request)) > 0)
		assert_int_equal(write(fixture->forwarded, answer, strlen(answer)), strlen(answer));
	close(fixture->forwarded);
	fixture->forwarded = -1;
}

/* Send, and return the status of what is answered. `answer` is the target's. */
static unsigned int ask(struct fixture *fixture, int fd, const char *request, const char *answer)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	char got[4096] = "";

	assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
	for (int turns = 0; poll(&ready, 1, 0) == 0; turns++) {
		assert_true(turns < TURNS_MAX);
		assert_int_equal(thr_loop_turn(fixture->parts.loop, 10), 0);
		serve(fixture, answer);
	}
	assert_true(recv(fd, got, sizeof(got) - 1, 0) > 12);
	return (unsigned int)strtoul(got + 9, NULL, 10);
}

static unsigned int ask_once(struct fixture *fixture, uint8_t host, const char *request,
			     const char *answer)
{
	int fd = connect_from(fixture, host);
	unsigned int status = ask(fixture, fd, request, answer);

	close(fd);
	return status;
}

static void assert_note(const struct thr_note *note, enum thr_note_kind kind, uint8_t host,
			uint64_t for_ns)
{
	const uint8_t bytes[] = {127, 0, 0, host};
	uint64_t until_ns = thr_clock_monotonic_ns() + for_ns;
	struct thr_address address = {};

	thr_address_set_v4(&address, bytes);
	assert_int_equal(note->kind, kind);
	assert_memory_equal(note->address.bytes, address.bytes, sizeof(address.bytes));
	assert_true(note->until_ns <= until_ns && note->until_ns > until_ns - 30 * THR_NS_PER_S);
}

/* --- verified --- */

static void a_good_answer_verifies_the_client_once_a_minute(void **state)
{
	struct fixture *fixture = given(state, BUDGET);
	int fd = connect_from(fixture, 2);

	for (int i = 0; i < 3; i++)
		assert_int_equal(ask(fixture, fd, GET, OK), 200);
	assert_int_equal(ask_once(fixture, 2, GET, OK), 200);
	assert_int_equal(ask_once(fixture, 3, GET, ANSWER("404")), 404);
	assert_int_equal(fixture->count, 2);
	assert_note(&fixture->notes[0], THR_NOTE_VERIFIED, 2, THR_VERIFIED_NS);
	assert_note(&fixture->notes[1], THR_NOTE_VERIFIED, 3, THR_VERIFIED_NS);
	close(fd);
}

static void an_answer_that_is_not_good_verifies_nobody(void **state)
{
	static const char *const answers[] = {ANSWER("400"), ANSWER("429"), ANSWER("500"),
					      ANSWER("503"), "nonsense\r\n\r\n"};
	struct fixture *fixture = given(state, BUDGET);

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		assert_true(ask_once(fixture, 2, GET, answers[i]) >= 400);
	assert_int_equal(ask_once(fixture, 2, "GET / HTTP/1.1\r\nno colon\r\n\r\n", OK), 400);
	assert_int_equal(fixture->count, 0);
}

static void without_a_budget_nobody_is_told_of(void **state)
{
	struct fixture *fixture = given(state, XDP);

	assert_int_equal(ask_once(fixture, 2, GET, OK), 200);
	assert_int_equal(fixture->count, 0);
}

static void without_interfaces_nobody_is_told_of(void **state)
{
	struct fixture *fixture = given(
		state,
		"xdp: {services: [{name: web, ports: [80], new_sources: {per_second: 1}}]}\n");

	assert_int_equal(ask_once(fixture, 2, GET, OK), 200);
	assert_int_equal(fixture->count, 0);
}

static void a_client_that_a_header_names_is_not_verified(void **state)
{
	struct fixture *fixture = given(state, "server: {proxy_protocol: true}\n" BUDGET);

	assert_int_equal(ask_once(fixture, 2, "PROXY TCP4 192.0.2.1 192.0.2.2 1000 80\r\n" GET, OK),
			 200);
	assert_int_equal(ask_once(fixture, 3, "PROXY UNKNOWN\r\n" GET, OK), 200);
	assert_int_equal(fixture->count, 0);
}

static void a_trusted_proxy_and_who_is_behind_it_are_not_verified(void **state)
{
	struct fixture *fixture = given(state, "trusted_proxies: [127.0.0.2]\n" BUDGET);

	assert_int_equal(ask_once(fixture, 2,
				  "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
				  OK),
			 200);
	assert_int_equal(ask_once(fixture, 2, GET, OK), 200);
	assert_int_equal(fixture->count, 0);
	assert_int_equal(ask_once(fixture, 3, GET, OK), 200);
	assert_int_equal(fixture->count, 1);
}

/* --- blocked --- */

static void more_refusals_than_allowed_block_and_close(void **state)
{
	struct fixture *fixture = given(state, STRICT XDP);
	int fd = connect_from(fixture, 2);
	char rest;

	assert_int_equal(ask(fixture, fd, GET, OK), 200);
	for (int i = 0; i < 3; i++)
		assert_int_equal(ask(fixture, fd, GET, OK), 429);
	assert_int_equal(fixture->count, 0);
	assert_int_equal(ask(fixture, fd, GET, OK), 429);
	assert_int_equal(fixture->count, 1);
	assert_note(&fixture->notes[0], THR_NOTE_BLOCKED, 2, 300 * THR_NS_PER_S);
	assert_int_equal(thr_loop_turn(fixture->parts.loop, 10), 0);
	assert_int_equal(recv(fd, &rest, 1, MSG_DONTWAIT), 0);
	close(fd);
}

static void each_client_has_refusals_of_its_own(void **state)
{
	struct fixture *fixture = given(state, STRICT XDP);

	for (uint8_t host = 2; host < 10; host++)
		for (int i = 0; i < 4; i++)
			assert_int_equal(ask_once(fixture, host, GET, OK), i ? 429 : 200);
	assert_int_equal(fixture->count, 0);
}

static void nobody_is_blocked_where_block_is_not_written(void **state)
{
	struct fixture *fixture =
		given(state, "rate_limit: {requests_per_minute: 1, burst: 1}\n" XDP);
	int fd = connect_from(fixture, 2);

	for (int i = 0; i < 100; i++)
		assert_int_equal(ask(fixture, fd, GET, OK), i ? 429 : 200);
	assert_int_equal(fixture->count, 0);
	close(fd);
}

static void a_client_behind_a_trusted_proxy_is_not_blocked(void **state)
{
	struct fixture *fixture = given(state, "trusted_proxies: [127.0.0.2]\n" STRICT XDP);
	int fd = connect_from(fixture, 2);

	for (int i = 0; i < 20; i++)
		assert_int_equal(
			ask(fixture, fd,
			    "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n", OK),
			i ? 429 : 200);
	assert_int_equal(fixture->count, 0);
	close(fd);
}

/* A table of 64 cells in use by others: who comes then shares a bucket with its /24. */
static void refusals_on_account_of_others_block_nobody(void **state)
{
	struct fixture *fixture = given(state, STRICT XDP);
	const struct thr_rate rate = {.count = 1, .burst = 1, .per_s = 3600};
	const struct thr_store_limit limit = thr_store_limit_of(&rate);
	struct thr_memory_counts before, after;
	struct thr_standing standing;
	unsigned int refused = 0;

	for (uint64_t i = 0; i < 100000; i++) {
		struct thr_memory_key key = {.key = {{i * 0x9E3779B97F4A7C15ULL, ~i * 0x9E3779B9U}},
					     .group = {{{i, 1}}, {{i, 2}}}};

		thr_memory_take(fixture->parts.buckets, &key, &limit, 1, thr_clock_monotonic_ns(),
				&standing);
	}
	thr_memory_count(fixture->parts.buckets, &before);
	for (int i = 0; i < 20; i++)
		refused += ask_once(fixture, 2, GET, OK) == 429;
	thr_memory_count(fixture->parts.buckets, &after);
	assert_true(refused >= 19);
	assert_int_equal(after.own, before.own);
	assert_int_equal(fixture->count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_good_answer_verifies_the_client_once_a_minute),
		TEST(an_answer_that_is_not_good_verifies_nobody),
		TEST(without_a_budget_nobody_is_told_of),
		TEST(without_interfaces_nobody_is_told_of),
		TEST(a_client_that_a_header_names_is_not_verified),
		TEST(a_trusted_proxy_and_who_is_behind_it_are_not_verified),
		TEST(more_refusals_than_allowed_block_and_close),
		TEST(each_client_has_refusals_of_its_own),
		TEST(nobody_is_blocked_where_block_is_not_written),
		TEST(a_client_behind_a_trusted_proxy_is_not_blocked),
		TEST(refusals_on_account_of_others_block_nobody),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
