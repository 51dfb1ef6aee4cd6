/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Checks and configs whose answer the store has later: over a real Redis, which the test can
 * stop in the middle of it. */
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

#include "support/store.h"
#include "unit/api_server.h"

#define CHECK(key)                                                                                 \
	"POST /check HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n{\"key\":\"" key "\"}"
#define CALM_MS 10000 /* a deadline that plays no part */

static struct redis_server redis;
static time_t ahead_s; /* of the time that it is */

/* In the place of the C library's. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
	int r = (int)syscall(SYS_clock_gettime, clock, now);

	now->tv_sec += ahead_s;
	return r;
}

static void use_redis(struct server *server, uint64_t deadline_ms)
{
	char prefix[] = "t:";
	const struct thr_redis_settings redis_settings = {
		.socket = redis.socket,
		.key_prefix = prefix,
		.deadline_ms = deadline_ms,
		.failures = 3,
	};
	struct thr_store_settings settings = {.redis = &redis_settings};
	const char *why;

	assert_int_equal(
		thr_quota_make(3, 1.0 / 3600, THR_ON_ERROR_ALLOW, &settings.fallback, &why), 0);
	assert_int_equal(thr_store_configure(server->store, &settings, NULL), 0);
}

static int setup(void **state)
{
	server_begin(&redis, NULL);
	return server_setup(state);
}

static int teardown(void **state)
{
	server_teardown(state);
	server_end(&redis);
	return 0;
}

/* Until Redis answers what is asked: the first calls are what connects. */
static void warm_up(struct server *server)
{
	for (int turns = 0; server->store_counts.instances != 1; turns++) {
		assert_true(turns < TURNS_MAX);
		server_turn(server);
	}
}

/* Send to a Redis that stands still, and wait until the request has come. */
static int ask_the_frozen(struct server *server, const char *request)
{
	uint64_t before =
		server->counts.requests[THR_API_CHECK] + server->counts.requests[THR_API_CONFIG];
	int fd = client_connect(server);

	assert_int_equal(kill(redis.pid, SIGSTOP), 0);
	client_put(server, fd, request, strlen(request));
	for (int turns = 0;
	     server->counts.requests[THR_API_CHECK] + server->counts.requests[THR_API_CONFIG] ==
	     before;
	     turns++) {
		assert_true(turns < TURNS_MAX);
		server_turn(server);
	}
	assert_int_equal(server->counts.responses[2], 0);
	return fd;
}

static void a_check_is_answered_when_redis_has_answered(void **state)
{
	struct server *server = *state;
	struct reply *reply;

	use_redis(server, CALM_MS);
	warm_up(server);
	reply = ask(server, CHECK("a") CHECK("a"));
	assert_reply(reply, 200, "{\"allowed\":true,\"limit\":3,\"remaining\":2,");
	assert_non_null(strstr(reply->body, "\"degraded\":false"));
	free(reply);
	assert_ask_json(server, "POST /check", "{\"key\":\"a\",\"cost\":3}", 429,
			"\"allowed\":false");
	assert_ask(server, GET("/ready"), 200, "\"store\":\"redis\",\"degraded\":false");
	assert_int_equal(redis_number(&redis, "EXISTS t:check:a"), 1);
}

static void a_batch_is_answered_when_its_last_check_is(void **state)
{
	struct server *server = *state;

	use_redis(server, CALM_MS);
	warm_up(server);
	assert_ask_json(server, "POST /check",
			"{\"checks\":[{\"key\":\"a\",\"cost\":2},{\"key\":\"b\"},{\"key\":\"a\","
			"\"cost\":2},{\"key\":\"a\",\"cost\":0}]}",
			200, "{\"results\":[{\"allowed\":true,\"limit\":3,\"remaining\":1,");
	assert_ask_json(server, "POST /check", "{\"key\":\"b\",\"cost\":0}", 200,
			"\"remaining\":2");
	assert_int_equal(server->counts.checks[THR_API_DENIED], 1);
	assert_int_equal(server->counts.checks[THR_API_ALLOWED], 2);
	assert_int_equal(server->counts.checks[THR_API_PEEKED], 2);
}

static void a_large_batch_is_answered_too(void **state)
{
	struct server *server = *state;
	char *body = malloc(1000 * 32), *at = body;
	struct reply *reply;
	size_t results = 0;

	assert_non_null(body);
	at += sprintf(at, "{\"checks\":[");
	for (int i = 0; i < 1000; i++)
		at += sprintf(at, "%s{\"key\":\"%d\"}", i ? "," : "", i);
	sprintf(at, "]}");
	use_redis(server, CALM_MS);
	warm_up(server);
	reply = ask_json(server, "POST /check", body);
	assert_int_equal(reply->status, 200);
	for (const char *found = reply->body; (found = strstr(found, "\"degraded\":false"));
	     found++)
		results++;
	assert_int_equal(results, 1000);
	free(reply);
	free(body);
}

static void a_frozen_redis_is_waited_for_until_the_deadline(void **state)
{
	struct server *server = *state;
	struct reply *reply = calloc(1, sizeof(*reply));
	int fd;

	use_redis(server, 60);
	warm_up(server);
	fd = ask_the_frozen(server, CHECK("a") CHECK("a"));
	client_get(server, fd, reply, false);
	assert_reply(reply, 200, "\"degraded\":true");
	client_get(server, fd, reply, false);
	assert_reply(reply, 200, "\"degraded\":true");
	close(fd);
	free(reply);
	assert_ask_json(server, "POST /check", "{\"checks\":[{\"key\":\"a\"},{\"key\":\"b\"}]}",
			200, "\"degraded\":true");
	assert_int_equal(kill(redis.pid, SIGCONT), 0);
}

/* Its client has gone; the answer, when it comes, has nobody to go to. */
static void who_goes_while_the_store_is_asked_is_forgotten(void **state)
{
	static const char *const requests[] = {
		CHECK("a"),
		"POST /check HTTP/1.1\r\nHost: a\r\nContent-Length: 36\r\n\r\n"
		"{\"checks\":[{\"key\":\"a\"},{\"key\":\"b\"}]}",
		GET("/config/a"),
		"DELETE /config/a HTTP/1.1\r\nHost: a\r\n\r\n",
	};
	struct server *server = *state;
	struct linger reset = {.l_onoff = 1};

	use_redis(server, CALM_MS);
	warm_up(server);
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		int fd = ask_the_frozen(server, requests[i]);

		assert_int_equal(thr_api_busy(server->api), 1);
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
		close(fd);
		for (int turns = 0; thr_api_busy(server->api); turns++) {
			assert_true(turns < TURNS_MAX);
			server_turn(server);
		}
		assert_int_equal(kill(redis.pid, SIGCONT), 0);
	}
	assert_ask(server, CHECK("c"), 200, "\"degraded\":false");
}

static void configs_are_kept_in_redis(void **state)
{
	struct server *server = *state;
	struct reply *reply;

	use_redis(server, CALM_MS);
	warm_up(server);
	reply = ask_json(server, "PUT /config/vip", "{\"capacity\":9,\"refill_per_second\":0.001}");
	assert_int_equal(reply->status, 201);
	assert_true(reply_field(reply, "ETag").length > 2);
	free(reply);
	assert_ask(server, GET("/config/vip"), 200, "\"capacity\":9");
	assert_ask(server, GET("/config/default"), 200, "\"capacity\":3");
	assert_ask(server, GET("/config/none"), 404, "no-such-config");
	assert_ask_json(server, "POST /check", "{\"key\":\"vip\"}", 200,
			"\"limit\":9,\"remaining\":8");
}

static void a_change_that_redis_cannot_make_is_503(void **state)
{
	struct server *server = *state;

	use_redis(server, 60);
	warm_up(server);
	assert_int_equal(kill(redis.pid, SIGSTOP), 0);
	assert_ask_json(server, "PUT /config/a", "{\"capacity\":9,\"refill_per_second\":1}", 503,
			"store-unavailable");
	assert_int_equal(kill(redis.pid, SIGCONT), 0);
}

/* The store has deadlines of its own: one that does not keep them. */
static void what_is_not_known_of_an_unanswered_request_is_said(void **state)
{
	static const char *const cases[][2] = {
		{CHECK("a"), "whether tokens were taken is not known"},
		{GET("/config/a"), "did not answer in time: try again."},
		{"DELETE /config/a HTTP/1.1\r\nHost: a\r\n\r\n",
		 "whether a change was made is not known"},
	};
	struct server *server = *state;

	use_redis(server, 100 * CALM_MS);
	warm_up(server);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct reply *reply = calloc(1, sizeof(*reply));
		int fd = ask_the_frozen(server, cases[i][0]);

		ahead_s += 16;
		client_get(server, fd, reply, false);
		assert_reply(reply, 503, "store-unavailable");
		assert_reply(reply, 503, cases[i][1]);
		close(fd);
		free(reply);
	}
	assert_int_equal(kill(redis.pid, SIGCONT), 0);
}

#define WAIT_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		WAIT_TEST(a_check_is_answered_when_redis_has_answered),
		WAIT_TEST(a_batch_is_answered_when_its_last_check_is),
		WAIT_TEST(a_large_batch_is_answered_too),
		WAIT_TEST(a_frozen_redis_is_waited_for_until_the_deadline),
		WAIT_TEST(who_goes_while_the_store_is_asked_is_forgotten),
		WAIT_TEST(what_is_not_known_of_an_unanswered_request_is_said),
		WAIT_TEST(configs_are_kept_in_redis),
		WAIT_TEST(a_change_that_redis_cannot_make_is_503),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
