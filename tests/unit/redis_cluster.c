/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The Redis client and a real cluster of three servers and a replica:
 *
 *    0   slots     0 -  5460      bar; the client is told of this one
 *    1   slots  5461 - 10922      name
 *    2   slots 10923 - 16383      foo
 *    3   none; for the last test, a replica of 1
 */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "support/redis.h"
#include "support/run.h"

#define CALM_MS 5000
#define MASTERS 3
#define SERVERS 4
#define REPLICA 3

static struct redis_server servers[SERVERS];
static uint16_t ports[SERVERS], buses[SERVERS];

static void begin_server(size_t i)
{
	char port[8], bus[8];
	const char *const options[] = {"--port",
				       port,
				       "--cluster-port",
				       bus,
				       "--cluster-enabled",
				       "yes",
				       "--cluster-node-timeout",
				       "1000",
				       "--cluster-require-full-coverage",
				       "no",
				       "--repl-diskless-sync-delay",
				       "0",
				       NULL};

	ports[i] = free_port();
	buses[i] = free_port();
	snprintf(port, sizeof(port), "%u", ports[i]);
	snprintf(bus, sizeof(bus), "%u", buses[i]);
	server_begin(&servers[i], options);
}

/* Ask until the answer has this in it. */
static void wait_for(const struct redis_server *server, const char *command, const char *part)
{
	uint64_t end_ns = thr_clock_monotonic_ns() + 30 * THR_NS_PER_S;
	char said[4096];

	do {
		server_text(server, command, said, sizeof(said));
		if (thr_clock_monotonic_ns() > end_ns)
			fail_msg("%s does not come to have %s", command, part);
	} while (!strstr(said, part));
}

static void wait_for_cluster(void)
{
	for (size_t i = 0; i < SERVERS; i++) {
		wait_for(&servers[i], "CLUSTER INFO", "cluster_state:ok");
		wait_for(&servers[i], "CLUSTER INFO", "cluster_slots_ok:16384");
	}
}

static void make_replica(void)
{
	char id[48], command[96];

	server_text(&servers[1], "CLUSTER MYID", id, sizeof(id));
	snprintf(command, sizeof(command), "CLUSTER REPLICATE %s", id);
	server_do(&servers[REPLICA], command);
	wait_for(&servers[REPLICA], "INFO replication", "master_link_status:up");
}

static int set_up(void **state)
{
	static const char *const ranges[MASTERS] = {"0 5460", "5461 10922", "10923 16383"};
	char command[96];

	(void)state;
	for (size_t i = 0; i < SERVERS; i++) {
		begin_server(i);
		if (i == REPLICA)
			continue;
		snprintf(command, sizeof(command), "CLUSTER ADDSLOTSRANGE %s", ranges[i]);
		server_do(&servers[i], command);
	}
	for (size_t i = 1; i < SERVERS; i++) {
		snprintf(command, sizeof(command), "CLUSTER MEET 127.0.0.1 %u %u", ports[i],
			 buses[i]);
		server_do(&servers[0], command);
	}
	wait_for_cluster();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < SERVERS; i++)
		server_end(&servers[i]);
	return 0;
}

static struct thr_redis_settings at_first(void)
{
	return (struct thr_redis_settings){
		.host = (char *)(uintptr_t) "127.0.0.1",
		.port = ports[0],
		.key_prefix = (char *)(uintptr_t) "test:",
		.deadline_ms = CALM_MS,
		.failures = 3,
	};
}

static void keys_of_every_server_are_reached(void **state)
{
	struct thr_redis_settings settings = at_first();
	struct redis_client client;
	struct redis_call call;
	char key[16];

	(void)state;
	client_begin(&client, &settings);
	for (int i = 0; i < 300; i++) {
		snprintf(key, sizeof(key), "key:%d", i);
		assert_int_equal(client_call(&client, &call, SCRIPT_SET, key, "x"), 0);
		client_until(&client, &call.is_over);
		assert_string_equal(call.text, "OK");
	}
	assert_int_equal(client.bad, 0);
	/* A few redirections at first, none once the slots are known. */
	assert_true(client.errors < 30);
	client_end(&client);
}

static void a_slot_that_moves_is_followed_while_it_does(void **state)
{
	struct thr_redis_settings settings = at_first();
	struct redis_client client;
	struct redis_call call;
	char ids[2][48], command[128];

	(void)state;
	client_begin(&client, &settings);
	client_expect(&client, "foo", "x");
	for (size_t i = 0; i < 2; i++)
		server_text(&servers[i + 1], "CLUSTER MYID", ids[i], sizeof(ids[i]));
	snprintf(command, sizeof(command), "CLUSTER SETSLOT 12182 IMPORTING %s", ids[1]);
	server_do(&servers[1], command);
	snprintf(command, sizeof(command), "CLUSTER SETSLOT 12182 MIGRATING %s", ids[0]);
	server_do(&servers[2], command);
	/* There is no such key: the one that it is being moved to is asked. */
	assert_int_equal(client_call(&client, &call, SCRIPT_SET, "foo", "asked"), 0);
	client_until(&client, &call.is_over);
	assert_string_equal(call.text, "OK");
	snprintf(command, sizeof(command), "CLUSTER SETSLOT 12182 NODE %s", ids[0]);
	server_do(&servers[1], command);
	server_do(&servers[2], command);
	server_expect(&servers[1], "GET foo", "asked");
	assert_int_equal(client_call(&client, &call, SCRIPT_SET, "foo", "moved"), 0);
	client_until(&client, &call.is_over);
	assert_string_equal(call.text, "OK");
	server_expect(&servers[1], "GET foo", "moved");
	assert_int_equal(client.bad, 0);
	client_end(&client);
}

static void a_server_that_is_away_takes_its_own_keys_only(void **state)
{
	struct thr_redis_settings settings = at_first();
	struct redis_client client;
	struct redis_call call;

	(void)state;
	settings.deadline_ms = 300;
	client_begin(&client, &settings);
	client_expect(&client, "name", "x");
	client_expect(&client, "bar", "x");
	kill(servers[1].pid, SIGSTOP);
	while (!client.bad) {
		client_call(&client, &call, SCRIPT_ECHO, "name", "x");
		client_until(&client, &call.is_over);
	}
	assert_false(thr_redis_is_available(client.redis, (struct thr_slice)THR_SLICE("name")));
	assert_int_equal(thr_redis_breaker(client.redis), 2);
	client_expect(&client, "bar", "x");
	kill(servers[1].pid, SIGCONT);
	client_until_breaker(&client, 0);
	client_expect(&client, "name", "x");
	client_end(&client);
}

/* The last of the tests: a server is gone for good. */
static void the_replica_of_a_server_that_died_is_found(void **state)
{
	struct thr_redis_settings settings = at_first();
	struct redis_client client;
	struct redis_call call = {.is_answered = false};

	(void)state;
	settings.port = ports[1];
	settings.deadline_ms = 300;
	wait_for_cluster();
	make_replica();
	client_begin(&client, &settings);
	/* A key of another server, so that there is a table; then only that of the dying one. */
	client_expect(&client, "bar", "x");
	client_expect(&client, "name", "x");
	kill(servers[1].pid, SIGKILL);
	client_until_breaker(&client, 2);
	while (!call.is_answered) {
		if (client_call(&client, &call, SCRIPT_SET, "name", "survivor") == 0)
			client_until(&client, &call.is_over);
		else
			client_turn(&client);
	}
	assert_string_equal(call.text, "OK");
	server_expect(&servers[REPLICA], "GET name", "survivor");
	/* What the user named is away, and nobody needs it. */
	assert_int_equal(thr_redis_breaker(client.redis), 0);
	client_end(&client);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_of_every_server_are_reached),
		cmocka_unit_test(a_slot_that_moves_is_followed_while_it_does),
		cmocka_unit_test(a_server_that_is_away_takes_its_own_keys_only),
		cmocka_unit_test(the_replica_of_a_server_that_died_is_found),
	};

	thr_run_prepare(argc, argv);
	return cmocka_run_group_tests(tests, set_up, tear_down) != 0;
}
