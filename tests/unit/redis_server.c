/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The Redis client and a real redis-server. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "support/redis.h"
#include "support/run.h"

#define DEADLINE_MS 50
#define CALM_MS 2000 /* where what is tested is not the deadline: the machine may be busy */

static struct thr_redis_settings on_socket(struct redis_server *server, uint64_t deadline_ms)
{
	return (struct thr_redis_settings){
		.socket = server->socket,
		.key_prefix = (char *)(uintptr_t) "test:",
		.deadline_ms = deadline_ms,
		.failures = 3,
	};
}

static void calls_of_a_turn_are_answered_in_their_order(void **state)
{
	static struct redis_call calls[500];
	struct redis_server server;
	struct redis_client client;
	struct thr_redis_settings settings;
	char text[16];

	(void)state;
	server_begin(&server, NULL);
	settings = on_socket(&server, CALM_MS);
	client_begin(&client, &settings);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 500; i++) {
			snprintf(text, sizeof(text), "%d", i);
			assert_int_equal(client_call(&client, &calls[i], SCRIPT_ECHO, "k", text),
					 0);
		}
		for (int i = 499; i >= 0; i--) {
			client_until(&client, &calls[i].is_over);
			snprintf(text, sizeof(text), "%d", i);
			assert_string_equal(calls[i].text, text);
		}
	}
	assert_int_equal(client.bad + client.good, 0);
	assert_int_equal(client.errors + client.timeouts, 0);
	client_end(&client);
	server_end(&server);
}

static void a_script_that_was_flushed_is_spelled_out_once(void **state)
{
	struct redis_server server;
	struct redis_client client;
	struct thr_redis_settings settings;
	uint64_t before;

	(void)state;
	server_begin(&server, NULL);
	settings = on_socket(&server, CALM_MS);
	client_begin(&client, &settings);
	client_expect(&client, "k", "one");
	server_do(&server, "SCRIPT FLUSH");
	before = client.commands;
	client_expect(&client, "k", "two");
	assert_int_equal(client.commands, before + 2);
	client_expect(&client, "k", "three");
	assert_int_equal(client.commands, before + 3);
	assert_int_equal(client.bad, 0);
	client_end(&client);
	server_end(&server);
}

static void user_password_and_database_are_used(void **state)
{
	static const char *const options[] = {"--user", "robin", "on", ">secret",
					      "~*",	"+@all", NULL};
	struct redis_server server;
	struct redis_client client;
	struct thr_redis_settings settings;
	struct redis_call call;

	(void)state;
	server_begin(&server, options);
	settings = on_socket(&server, CALM_MS);
	settings.user = (char *)(uintptr_t) "robin";
	settings.password = (char *)(uintptr_t) "secret";
	settings.database = 3;
	client_begin(&client, &settings);
	assert_int_equal(client_call(&client, &call, SCRIPT_SET, "name", "value"), 0);
	client_until(&client, &call.is_over);
	assert_string_equal(call.text, "OK");
	client_end(&client);
	server_do(&server, "SWAPDB 0 3");
	server_expect(&server, "GET name", "value");
	server_end(&server);
}

static void a_wrong_password_is_told_without_it(void **state)
{
	static const char *const options[] = {"--requirepass", "right", NULL};
	struct redis_server server;
	struct redis_client client;
	struct thr_redis_settings settings;
	struct redis_call call;

	(void)state;
	server_begin(&server, options);
	settings = on_socket(&server, CALM_MS);
	settings.password = (char *)(uintptr_t) "wrong-one";
	client_begin(&client, &settings);
	assert_int_equal(client_call(&client, &call, SCRIPT_ECHO, "k", "x"), 0);
	client_until(&client, &call.is_over);
	assert_false(call.is_answered);
	assert_string_equal(call.text, "Redis refuses the user or the password");
	assert_int_equal(client.bad, 1);
	assert_non_null(strstr(client.told, "AUTH: WRONGPASS"));
	assert_null(strstr(client.told, "wrong-one"));
	assert_int_equal(client_call(&client, &call, SCRIPT_ECHO, "k", "x"), -ENOTCONN);
	assert_true(thr_redis_retry_ms(client.redis) > 0);
	client_end(&client);

	settings.password = NULL;
	client_begin(&client, &settings);
	assert_int_equal(client_call(&client, &call, SCRIPT_ECHO, "k", "x"), 0);
	client_until(&client, &call.is_over);
	assert_string_equal(call.text, "Redis asks for a password");
	client_end(&client);
	server_end(&server);
}

static void nobody_is_there_and_then_somebody_is(void **state)
{
	struct redis_server server;
	struct redis_client client;
	struct thr_redis_settings settings = {
		.host = (char *)(uintptr_t) "localhost",
		.port = free_port(),
		.deadline_ms = CALM_MS,
		.failures = 3,
	};
	char port[8];
	const char *options[] = {"--port", port, NULL};
	struct redis_call call;
	char expected[128];

	(void)state;
	client_begin(&client, &settings);
	assert_int_equal(client_call(&client, &call, SCRIPT_ECHO, "k", "x"), 0);
	client_until(&client, &call.is_over);
	assert_string_equal(call.text, "the connection to Redis was lost");
	snprintf(expected, sizeof(expected),
		 "redis localhost:%u: Connection refused: not asked until it answers",
		 settings.port);
	assert_string_equal(client.told, expected);

	snprintf(port, sizeof(port), "%u", settings.port);
	server_begin(&server, options);
	client_until_breaker(&client, 0);
	snprintf(expected, sizeof(expected), "redis localhost:%u: answers again", settings.port);
	assert_string_equal(client.told, expected);
	client_expect(&client, "k", "x");
	assert_int_equal(client.bad, 1);
	assert_int_equal(client.opened, 1);
	client_end(&client);
	server_end(&server);
}

/* Until a call is answered; on a busy machine the deadline may pass before. */
static void warm_up(struct redis_client *client)
{
	struct redis_call call = {.is_answered = false};

	while (!call.is_answered) {
		if (client_call(client, &call, SCRIPT_ECHO, "k", "warm") == 0)
			client_until(client, &call.is_over);
		else
			client_turn(client);
	}
	client->bad = client->good = 0;
	client->timeouts = 0;
}

static void a_frozen_server_opens_the_breaker_and_closes_it_when_it_thaws(void **state)
{
	struct redis_call calls[3], call;
	struct redis_server server;
	struct redis_client client;
	struct thr_redis_settings settings;
	uint64_t begun_ns;

	(void)state;
	server_begin(&server, NULL);
	settings = on_socket(&server, DEADLINE_MS);
	client_begin(&client, &settings);
	warm_up(&client);

	kill(server.pid, SIGSTOP);
	thr_loop_turn(client.loop, 0);
	begun_ns = thr_clock_monotonic_ns();
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		assert_int_equal(client_call(&client, &calls[i], SCRIPT_ECHO, "k", "x"), 0);
	client_until(&client, &calls[2].is_over);
	assert_true(calls[2].over_ns - begun_ns < 4 * DEADLINE_MS * THR_NS_PER_MS);
	assert_false(calls[0].is_answered || calls[1].is_answered || calls[2].is_answered);
	assert_int_equal(client.timeouts, 3);
	assert_non_null(strstr(client.told, ": no answer within 50ms: not asked until it answers"));
	assert_int_equal(thr_redis_breaker(client.redis), 2);
	assert_int_equal(client_call(&client, &call, SCRIPT_ECHO, "k", "x"), -ENOTCONN);

	/* Long enough for probes that are not answered. */
	while (client.timeouts < 5)
		client_turn(&client);
	kill(server.pid, SIGCONT);
	begun_ns = thr_clock_monotonic_ns();
	client_until_breaker(&client, 0);
	assert_true(thr_clock_monotonic_ns() - begun_ns < 2 * THR_NS_PER_S);
	assert_int_equal(client.bad, 1);
	assert_int_equal(client.good, 1);
	client_end(&client);
	server_end(&server);
}

static void a_replica_and_a_full_memory_open_the_breaker(void **state)
{
	struct redis_server server;
	struct redis_client client;
	struct thr_redis_settings settings;
	struct redis_call call;

	(void)state;
	server_begin(&server, NULL);
	settings = on_socket(&server, CALM_MS);
	client_begin(&client, &settings);
	client_expect(&client, "k", "x");
	server_do(&server, "CONFIG SET maxmemory 1");
	assert_int_equal(client_call(&client, &call, SCRIPT_SET, "k", "x"), 0);
	client_until(&client, &call.is_over);
	assert_string_equal(call.text, "the memory of Redis is full");
	assert_non_null(strstr(client.told, ": OOM"));
	assert_int_equal(client.bad, 1);
	/* A probe or two, which is refused. */
	while (client.errors < 3)
		client_turn(&client);
	assert_int_equal(client.good, 0);
	server_do(&server, "CONFIG SET maxmemory 0");
	client_until_breaker(&client, 0);

	server_do(&server, "REPLICAOF 127.0.0.1 1");
	assert_int_equal(client_call(&client, &call, SCRIPT_SET, "k", "x"), 0);
	client_until(&client, &call.is_over);
	assert_string_equal(call.text, "this Redis is a replica that takes no writes");
	server_do(&server, "REPLICAOF NO ONE");
	client_until_breaker(&client, 0);
	client_expect(&client, "k", "x");
	client_end(&client);
	server_end(&server);
}

static void a_server_that_was_killed_and_is_back_empty_is_used_again(void **state)
{
	char port[8];
	const char *options[] = {"--port", port, NULL};
	struct redis_server server;
	struct redis_client client;
	struct thr_redis_settings settings = {
		.host = (char *)(uintptr_t) "127.0.0.1",
		.port = free_port(),
		.deadline_ms = CALM_MS,
		.failures = 3,
	};

	(void)state;
	snprintf(port, sizeof(port), "%u", settings.port);
	server_begin(&server, options);
	client_begin(&client, &settings);
	client_expect(&client, "k", "x");
	server_end(&server);
	client_until_breaker(&client, 2);
	server_begin(&server, options);
	client_until_breaker(&client, 0);
	client_expect(&client, "k", "x");
	assert_int_equal(client.bad, 1);
	assert_int_equal(client.good, 1);
	client_end(&client);
	server_end(&server);
}

/* --- answers that do what they like --- */

static struct {
	struct redis_client *client;
	struct redis_call second, third;
	bool is_over;
	struct thr_redis_call last;
} plot;

static void on_last(struct thr_redis_call *call, const struct redisReply *reply)
{
	(void)call;
	assert_non_null(reply);
	plot.is_over = true;
	thr_redis_free(plot.client->redis);
	plot.client->redis = NULL;
}

static void on_first(struct thr_redis_call *call, const struct redisReply *reply)
{
	struct thr_slice key = THR_SLICE("k");

	assert_non_null(reply);
	/* Nothing for itself; the one after it in the same reading; and one more. */
	thr_redis_forget(plot.client->redis, call);
	thr_redis_forget(plot.client->redis, &plot.second.call);
	plot.last.done = on_last;
	assert_int_equal(thr_redis_eval(plot.client->redis, &plot.last,
					&plot.client->scripts[SCRIPT_ECHO], &key, 1, &key, 1),
			 0);
}

static void an_answer_may_forget_and_call_and_free(void **state)
{
	struct thr_slice key = THR_SLICE("k");
	struct thr_redis_call first = {.done = on_first};
	struct redis_server server;
	struct redis_client client;
	struct thr_redis_settings settings;

	(void)state;
	server_begin(&server, NULL);
	settings = on_socket(&server, CALM_MS);
	client_begin(&client, &settings);
	plot.client = &client;
	assert_int_equal(thr_redis_eval(client.redis, &first, &client.scripts[SCRIPT_ECHO], &key, 1,
					&key, 1),
			 0);
	assert_int_equal(client_call(&client, &plot.second, SCRIPT_ECHO, "k", "2"), 0);
	assert_int_equal(client_call(&client, &plot.third, SCRIPT_ECHO, "k", "3"), 0);
	client_until(&client, &plot.is_over);
	assert_false(plot.second.is_over);
	assert_true(plot.third.is_over);
	client_end(&client);
	server_end(&server);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_of_a_turn_are_answered_in_their_order),
		cmocka_unit_test(a_script_that_was_flushed_is_spelled_out_once),
		cmocka_unit_test(user_password_and_database_are_used),
		cmocka_unit_test(a_wrong_password_is_told_without_it),
		cmocka_unit_test(nobody_is_there_and_then_somebody_is),
		cmocka_unit_test(a_frozen_server_opens_the_breaker_and_closes_it_when_it_thaws),
		cmocka_unit_test(a_replica_and_a_full_memory_open_the_breaker),
		cmocka_unit_test(a_server_that_was_killed_and_is_back_empty_is_used_again),
		cmocka_unit_test(an_answer_may_forget_and_call_and_free),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
