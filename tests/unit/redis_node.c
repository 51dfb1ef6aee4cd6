/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The Redis client and servers that misbehave: each is a listener in this process that gets
 * its turn between those of the loop, and answers calls with what the test has written
 * down, one piece a call.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "support/redis.h"
#include "support/run.h"

#define DEADLINE_MS 50
#define CALM_MS 5000 /* where what is tested is not the deadline: the machine may be busy */

/* --- the server --- */

#define SILENCE ""
#define CLOSE "(close)"
#define FLOOD "(flood)" /* 'x' without end after this, until the client closes */

struct fake {
	int listener, fd;
	uint16_t port;
	redisReader *reader;
	const char *greeting;	    /* answer to each of its commands; NULL: +OK */
	const char *const *answers; /* to calls, NULL last: +OK from then on */
	const char *slots;	    /* to CLUSTER SLOTS */
	bool trickles;		    /* a byte a turn */
	bool floods, is_deaf;
	char out[4096];
	size_t out_length;
	unsigned int connections, calls, asking, asked_slots, reads;
	char last[64]; /* first word of the last call */
};

static struct fake fakes[2];

static void fake_listen(struct fake *fake)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(at);

	*fake = (struct fake){.fd = -1};
	fake->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fake->listener, (struct sockaddr *)&at, length), 0);
	assert_int_equal(listen(fake->listener, 8), 0);
	assert_int_equal(getsockname(fake->listener, (struct sockaddr *)&at, &length), 0);
	fake->port = ntohs(at.sin_port);
}

static void fake_hang_up(struct fake *fake)
{
	if (fake->fd < 0)
		return;
	close(fake->fd);
	redisReaderFree(fake->reader);
	fake->fd = -1;
	fake->floods = false;
	fake->out_length = 0;
}

static void say(struct fake *fake, const char *text)
{
	size_t length = strlen(text);

	assert_true(fake->out_length + length <= sizeof(fake->out));
	memcpy(fake->out + fake->out_length, text, length);
	fake->out_length += length;
}

/* Of those of a greeting the last one runs a script, too. */
static bool is_call(const redisReply *command)
{
	return strncmp(command->element[0]->str, "EVAL", 4) == 0 &&
	       !strstr(command->element[3]->str, "probe");
}

/* Returns false when the connection was closed. */
static bool answer(struct fake *fake, const redisReply *command)
{
	const char *word = command->element[0]->str, *text;

	if (strcmp(word, "ASKING") == 0) {
		fake->asking++;
		say(fake, "+OK\r\n");
	} else if (strcmp(word, "CLUSTER") == 0) {
		fake->asked_slots++;
		say(fake, fake->slots ? fake->slots : "-ERR no cluster\r\n");
	} else if (!is_call(command)) {
		say(fake, fake->greeting ? fake->greeting : "+OK\r\n");
	} else {
		fake->calls++;
		snprintf(fake->last, sizeof(fake->last), "%s", word);
		text = fake->answers && *fake->answers ? *fake->answers++ : "+OK\r\n";
		if (strcmp(text, CLOSE) == 0) {
			fake_hang_up(fake);
			return false;
		}
		fake->floods = strstr(text, FLOOD) != NULL;
		say(fake, text);
		if (fake->floods)
			fake->out_length -= strlen(FLOOD);
	}
	return true;
}

static void fake_read(struct fake *fake)
{
	static char bytes[1 << 20];
	ssize_t got = recv(fake->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	void *command;

	if (got == 0 || (got < 0 && errno != EAGAIN)) {
		fake_hang_up(fake);
		return;
	}
	if (got < 0)
		return;
	fake->reads++;
	assert_int_equal(redisReaderFeed(fake->reader, bytes, (size_t)got), REDIS_OK);
	for (;;) {
		bool stays;

		command = NULL;
		assert_int_equal(redisReaderGetReply(fake->reader, &command), REDIS_OK);
		if (!command)
			return;
		stays = answer(fake, command);
		freeReplyObject(command);
		if (!stays)
			return;
	}
}

static void fake_write(struct fake *fake)
{
	static char flood[1 << 20];
	size_t length = fake->trickles && fake->out_length ? 1 : fake->out_length;

	if (length && send(fake->fd, fake->out, length, MSG_NOSIGNAL) == (ssize_t)length) {
		memmove(fake->out, fake->out + length, fake->out_length - length);
		fake->out_length -= length;
	}
	if (fake->floods && !fake->out_length) {
		memset(flood, 'x', sizeof(flood));
		send(fake->fd, flood, sizeof(flood), MSG_NOSIGNAL | MSG_DONTWAIT);
	}
}

static void fake_turn(struct fake *fake)
{
	if (fake->listener < 0)
		return;
	if (fake->fd < 0) {
		fake->fd = accept4(fake->listener, NULL, NULL, SOCK_CLOEXEC);
		if (fake->fd < 0)
			return;
		fake->connections++;
		fake->reader = redisReaderCreate();
	}
	if (!fake->is_deaf)
		fake_read(fake);
	if (fake->fd >= 0)
		fake_write(fake);
}

static void turn_fakes(void *context)
{
	(void)context;
	for (size_t i = 0; i < ARRAY_SIZE(fakes); i++)
		fake_turn(&fakes[i]);
}

static void begin(struct redis_client *client, const char *const *answers, uint64_t deadline_ms)
{
	struct thr_redis_settings settings = {
		.host = (char *)(uintptr_t) "127.0.0.1",
		.password = (char *)(uintptr_t) "swordfish",
		.deadline_ms = deadline_ms,
		.failures = 3,
	};

	for (size_t i = 0; i < ARRAY_SIZE(fakes); i++)
		fake_listen(&fakes[i]);
	fakes[0].answers = answers;
	settings.port = fakes[0].port;
	client_begin(client, &settings);
	client->between = turn_fakes;
}

static void end(struct redis_client *client)
{
	client_end(client);
	for (size_t i = 0; i < ARRAY_SIZE(fakes); i++) {
		fake_hang_up(&fakes[i]);
		close(fakes[i].listener);
	}
}

static void call_and_wait(struct redis_client *client, struct redis_call *call)
{
	assert_int_equal(client_call(client, call, SCRIPT_ECHO, "foo", "x"), 0);
	client_until(client, &call->is_over);
}

/* --- settings --- */

static char *text(const char *string)
{
	return (char *)(uintptr_t)string;
}

static void settings_are_copied_as_a_whole(void **state)
{
	struct thr_redis_settings settings = {
		.host = text("host"),
		.user = text("user"),
		.password = text("password"),
		.key_prefix = text("p:"),
		.port = 6379,
		.failures = 3,
	};
	struct thr_redis_settings copy;

	(void)state;
	assert_int_equal(thr_redis_settings_copy(&settings, &copy), 0);
	assert_true(thr_redis_settings_are_same(&settings, &copy));
	assert_ptr_not_equal(copy.password, settings.password);
	settings.password = text("another");
	assert_false(thr_redis_settings_are_same(&settings, &copy));
	assert_true(thr_redis_settings_are_same_place(&settings, &copy));
	settings.key_prefix = NULL;
	assert_false(thr_redis_settings_are_same_place(&settings, &copy));
	thr_redis_settings_clear(&copy);
	assert_null(copy.host);
	assert_null(copy.password);
	thr_redis_settings_clear(&copy);
}

/* --- connections that are of no use --- */

static void what_is_not_redis_is_left(void **state)
{
	static const struct {
		const char *answer, *told;
	} cases[] = {
		{"HTTP/1.1 400 Bad Request\r\n\r\n", "it answers is not the protocol of Redis"},
		{":12x\r\n", "not the protocol"},
		{"$-2\r\n", "not the protocol"},
		{"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
		 "not the protocol"},
		{"*1048577\r\n", "too large to keep"},
		{"*-2\r\n", "not the protocol"},
		{"+" FLOOD, "too large to keep"},
		{"$" FLOOD, "too large to keep"},
		{"$99999999999\r\n" FLOOD, "too large to keep"},
		{"+OK\r\n+OK\r\n", "it answers what was not asked"},
		{CLOSE, "it closed the connection"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *const answers[] = {cases[i].answer, NULL};
		struct redis_client client;
		struct redis_call call;

		begin(&client, answers, CALM_MS);
		call_and_wait(&client, &call);
		client_until_breaker(&client, 2);
		if (!strstr(client.told, cases[i].told))
			fail_msg("case %zu: %s", i, client.told);
		assert_true(call.is_answered == (strncmp(cases[i].answer, "+OK", 3) == 0));
		assert_int_equal(client_call(&client, &call, SCRIPT_ECHO, "foo", "x"), -ENOTCONN);
		client_until_breaker(&client, 0);
		call_and_wait(&client, &call);
		assert_string_equal(call.text, "OK");
		assert_int_equal(fakes[0].connections, 2);
		end(&client);
	}
}

static void replies_may_come_in_pieces(void **state)
{
	static const char *const answers[] = {"$5\r\nhello\r\n", "*2\r\n:1\r\n$2\r\nab\r\n",
					      "+x\r\n", NULL};
	struct redis_client client;
	struct redis_call calls[3];

	(void)state;
	begin(&client, answers, CALM_MS);
	fakes[0].trickles = true;
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		assert_int_equal(client_call(&client, &calls[i], SCRIPT_ECHO, "foo", "x"), 0);
	client_until(&client, &calls[2].is_over);
	assert_string_equal(calls[0].text, "hello");
	assert_int_equal(calls[1].type, REDIS_REPLY_ARRAY);
	assert_string_equal(calls[2].text, "x");
	end(&client);
}

static void commands_of_a_turn_arrive_together(void **state)
{
	static struct redis_call calls[100];
	struct redis_client client;
	struct redis_call call;
	unsigned int reads;

	(void)state;
	begin(&client, NULL, CALM_MS);
	call_and_wait(&client, &call);
	reads = fakes[0].reads;
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		assert_int_equal(client_call(&client, &calls[i], SCRIPT_ECHO, "foo", "x"), 0);
	client_until(&client, &calls[99].is_over);
	assert_int_equal(fakes[0].reads, reads + 1);
	assert_int_equal(client.commands, 1 + SCRIPTS + 1 + 1 + 100);
	end(&client);
}

static void what_waits_to_be_sent_is_bounded(void **state)
{
	static char megabyte[(1 << 20) + 1];
	static struct redis_call calls[64];
	struct redis_client client;
	int r = 0, first;
	size_t i;

	(void)state;
	memset(megabyte, 'x', sizeof(megabyte) - 1);
	/* Before the first connection, and when the server does not read. */
	for (int connected = 0; connected < 2; connected++) {
		struct redis_call call;

		begin(&client, NULL, CALM_MS);
		if (connected)
			call_and_wait(&client, &call);
		fakes[0].is_deaf = true;
		for (i = 0, r = 0; i < ARRAY_SIZE(calls) && !r; i++) {
			r = client_call(&client, &calls[i], SCRIPT_ECHO, "foo", megabyte);
			if (connected)
				client_turn(&client);
		}
		assert_int_equal(r, -ENOBUFS);
		first = (int)i;
		assert_true(first >= 4 && first < 60);
		end(&client);
	}
}

/* --- deadlines --- */

static void a_late_reply_is_dropped_and_the_next_is_for_the_next(void **state)
{
	static const char *const answers[] = {SILENCE, "+late\r\n+second\r\n", "+third\r\n", NULL};
	struct redis_client client;
	struct redis_call first, second, third;

	(void)state;
	begin(&client, answers, 400);
	call_and_wait(&client, &first);
	assert_string_equal(first.text, "Redis did not answer in time");
	call_and_wait(&client, &second);
	assert_string_equal(second.text, "second");
	call_and_wait(&client, &third);
	assert_string_equal(third.text, "third");
	assert_int_equal(client.timeouts, 1);
	assert_int_equal(client.bad, 0);
	end(&client);
}

static void silence_is_waited_for_no_longer_than_the_deadline(void **state)
{
	static const char *const answers[] = {"+OK\r\n", SILENCE, SILENCE, SILENCE, NULL};
	struct redis_client client;
	struct redis_call call;

	(void)state;
	begin(&client, answers, DEADLINE_MS);
	/* The first connection may be late on a busy machine: it is no matter here. */
	do {
		while (client_call(&client, &call, SCRIPT_ECHO, "foo", "x") < 0)
			client_turn(&client);
		client_until(&client, &call.is_over);
	} while (!call.is_answered);
	client.bad = 0;
	client.timeouts = 0;
	for (unsigned int i = 1; i <= 3; i++) {
		uint64_t begun_ns;

		client_turn(&client);
		begun_ns = thr_clock_monotonic_ns();
		call_and_wait(&client, &call);
		assert_false(call.is_answered);
		assert_true(call.over_ns - begun_ns > (DEADLINE_MS - 20) * THR_NS_PER_MS);
		assert_true(call.over_ns - begun_ns < 4 * DEADLINE_MS * THR_NS_PER_MS);
		assert_int_equal(client.timeouts, i);
		assert_int_equal(client.bad, i / 3);
	}
	assert_int_equal(thr_redis_breaker(client.redis), 2);
	assert_int_equal(client_call(&client, &call, SCRIPT_ECHO, "foo", "x"), -ENOTCONN);
	client_until_breaker(&client, 0);
	assert_int_equal(client.good, 1);
	end(&client);
}

static void a_short_deadline_is_half_waited_for(void **state)
{
	struct redis_client client;
	struct redis_call call;
	uint64_t begun_ns;

	(void)state;
	assert_int_equal(thr_redis_wait_ms(50), 34);
	assert_int_equal(thr_redis_wait_ms(32), 16);
	assert_int_equal(thr_redis_wait_ms(20), 10);
	begin(&client, NULL, 20);
	do {
		while (client_call(&client, &call, SCRIPT_ECHO, "foo", "x") < 0)
			client_turn(&client);
		client_until(&client, &call.is_over);
	} while (!call.is_answered);
	client_turn(&client);
	fakes[0].is_deaf = true;
	begun_ns = thr_clock_monotonic_ns();
	call_and_wait(&client, &call);
	assert_false(call.is_answered);
	/* The loop counts in whole ms, from its turn. */
	assert_true(call.over_ns - begun_ns > 7 * THR_NS_PER_MS);
	end(&client);
}

static void a_late_call_is_as_many_failures_as_checks_wait_for_it(void **state)
{
	static const char *const answers[] = {"+OK\r\n", SILENCE, NULL};
	struct redis_client client;
	struct redis_call call;

	(void)state;
	begin(&client, answers, 400);
	call_and_wait(&client, &call);
	assert_true(call.is_answered);
	assert_int_equal(client_call(&client, &call, SCRIPT_ECHO, "foo", "x"), 0);
	call.call.checks = 3;
	client_until(&client, &call.is_over);
	assert_false(call.is_answered);
	assert_int_equal(client.timeouts, 1);
	assert_int_equal(client.bad, 1);
	assert_int_equal(thr_redis_breaker(client.redis), 2);
	end(&client);
}

static void what_was_late_before_the_probe_is_not_counted_after_it(void **state)
{
	struct redis_client client;
	struct redis_call calls[3];

	(void)state;
	begin(&client, NULL, 200);
	fakes[0].is_deaf = true;
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		assert_int_equal(client_call(&client, &calls[i], SCRIPT_ECHO, "foo", "x"), 0);
	client_until(&client, &calls[2].is_over);
	fakes[0].is_deaf = false;
	client_until_breaker(&client, 0);
	fakes[0].is_deaf = true;
	call_and_wait(&client, &calls[0]);
	assert_false(calls[0].is_answered);
	assert_int_equal(thr_redis_breaker(client.redis), 0);
	assert_int_equal(client.opened, 1);
	end(&client);
}

static void calls_wait_for_the_first_connection_as_long_as_for_an_answer(void **state)
{
	struct redis_client client;
	struct redis_call calls[3], call;
	char expected[128];

	(void)state;
	begin(&client, NULL, DEADLINE_MS);
	fakes[0].greeting = SILENCE;
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		assert_int_equal(client_call(&client, &calls[i], SCRIPT_ECHO, "foo", "x"), 0);
	client_until(&client, &calls[2].is_over);
	assert_string_equal(calls[0].text, "Redis did not answer in time");
	snprintf(expected, sizeof(expected),
		 "redis 127.0.0.1:%u: no answer within 50ms: not asked until it answers",
		 fakes[0].port);
	assert_string_equal(client.told, expected);
	assert_int_equal(client_call(&client, &call, SCRIPT_ECHO, "foo", "x"), -ENOTCONN);
	/* The connection goes on as the probe, and ends in its own time. */
	assert_int_equal(thr_redis_breaker(client.redis), 1);
	client_until_breaker(&client, 2);
	assert_true(thr_redis_retry_ms(client.redis) >= 1);
	assert_true(thr_redis_retry_ms(client.redis) <= 166);
	fakes[0].greeting = NULL;
	client_until_breaker(&client, 0);
	assert_int_equal(client.bad, 1);
	assert_int_equal(client.good, 1);
	assert_int_equal(fakes[0].calls, 0);
	end(&client);
}

static void a_call_that_is_forgotten_is_not_answered(void **state)
{
	static const char *const answers[] = {SILENCE, "+first\r\n+second\r\n", NULL};
	struct redis_client client;
	struct redis_call first, second;

	(void)state;
	begin(&client, answers, CALM_MS);
	assert_int_equal(client_call(&client, &first, SCRIPT_ECHO, "foo", "x"), 0);
	while (!fakes[0].calls)
		client_turn(&client);
	thr_redis_forget(client.redis, &first.call);
	thr_redis_forget(client.redis, &first.call);
	call_and_wait(&client, &second);
	assert_string_equal(second.text, "second");
	assert_false(first.is_over);
	end(&client);
}

/* --- errors --- */

static void errors_of_a_server_that_cannot_serve_open_the_breaker(void **state)
{
	static const char *const errors[] = {
		"-LOADING Redis is loading the dataset in memory\r\n",
		"-READONLY You can't write against a read only replica.\r\n",
		"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
		"-MASTERDOWN Link with MASTER is down\r\n",
		"-CLUSTERDOWN The cluster is down\r\n",
		"-MISCONF Redis is configured to save RDB snapshots\r\n",
		"-NOREPLICAS Not enough good replicas to write.\r\n",
		"-BUSY Redis is busy running a script.\r\n",
		"-NOAUTH Authentication required.\r\n",
		"-NOPERM this user has no permissions\r\n",
		"-ERR max number of clients reached\r\n",
		"-ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -OOM "
		"command not allowed\r\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		const char *const answers[] = {errors[i], NULL};
		struct redis_client client;
		struct redis_call call, other;

		begin(&client, answers, CALM_MS);
		assert_int_equal(client_call(&client, &call, SCRIPT_ECHO, "foo", "x"), 0);
		assert_int_equal(client_call(&client, &other, SCRIPT_ECHO, "foo", "x"), 0);
		client_until(&client, &call.is_over);
		assert_false(call.is_answered);
		assert_true(strlen(call.text) > 0);
		assert_true(other.is_over);
		assert_int_equal(client.bad, 1);
		assert_int_equal(client.opened, 1);
		assert_int_equal(client.errors, 1);
		end(&client);
	}
}

static void other_errors_are_answers(void **state)
{
	static const char *const answers[] = {"-ERR user_script:1: oops\r\n", "-WRONGTYPE no\r\n",
					      "-READONLYX\r\n", "-\r\n", NULL};
	struct redis_client client;
	struct redis_call call;

	(void)state;
	begin(&client, answers, CALM_MS);
	for (size_t i = 0; i < 4; i++) {
		call_and_wait(&client, &call);
		assert_true(call.is_answered);
		assert_int_equal(call.type, REDIS_REPLY_ERROR);
	}
	assert_int_equal(client.bad, 0);
	assert_int_equal(client.errors, 4);
	end(&client);
}

static void a_password_that_the_server_repeats_is_not_told(void **state)
{
	struct redis_client client;
	struct redis_call call;

	(void)state;
	begin(&client, NULL, CALM_MS);
	fakes[0].greeting =
		"-ERR unknown command 'AUTH', with args beginning with: 'swordfish'\r\n";
	call_and_wait(&client, &call);
	assert_non_null(strstr(client.told, ": AUTH: ERR unknown command 'AUTH': not asked"));
	assert_null(strstr(client.told, "swordfish"));
	end(&client);
}

static void noscript_is_followed_by_the_text_once(void **state)
{
	static const char *const answers[] = {"-NOSCRIPT No matching script.\r\n", "+done\r\n",
					      NULL};
	struct redis_client client;
	struct redis_call call;

	(void)state;
	begin(&client, answers, CALM_MS);
	call_and_wait(&client, &call);
	assert_string_equal(call.text, "done");
	assert_int_equal(fakes[0].calls, 2);
	assert_string_equal(fakes[0].last, "EVAL");
	end(&client);
}

/* --- clusters --- */

static void moved_is_followed_and_remembered(void **state)
{
	const char *answers[] = {NULL, NULL};
	struct redis_client client;
	struct redis_call call;
	char moved[64], slots[128];

	(void)state;
	begin(&client, answers, CALM_MS);
	snprintf(moved, sizeof(moved), "-MOVED 12182 127.0.0.1:%u\r\n", fakes[1].port);
	snprintf(slots, sizeof(slots),
		 "*2\r\n*3\r\n:0\r\n:5000\r\n*2\r\n$0\r\n\r\n:%u\r\n"
		 "*3\r\n:5001\r\n:16383\r\n*2\r\n$-1\r\n:%u\r\n",
		 fakes[0].port, fakes[1].port);
	answers[0] = moved;
	fakes[0].slots = slots;
	call_and_wait(&client, &call);
	assert_string_equal(call.text, "OK");
	assert_int_equal(fakes[0].calls, 1);
	assert_int_equal(fakes[1].calls, 1);
	while (!fakes[0].asked_slots)
		client_turn(&client);
	/* foo by what MOVED said, bar (slot 5061) once the list has come. */
	call_and_wait(&client, &call);
	assert_int_equal(fakes[0].calls, 1);
	assert_int_equal(fakes[1].calls, 2);
	while (fakes[1].calls == 2) {
		assert_int_equal(client_call(&client, &call, SCRIPT_ECHO, "bar", "x"), 0);
		client_until(&client, &call.is_over);
	}
	assert_int_equal(fakes[0].asked_slots, 1);
	assert_int_equal(fakes[1].connections, 1);
	end(&client);
}

static void ask_is_followed_with_asking_and_not_remembered(void **state)
{
	const char *answers[] = {NULL, "+here\r\n", NULL};
	static const char *const others[] = {"-NOSCRIPT no\r\n", "+there\r\n", NULL};
	struct redis_client client;
	struct redis_call call;
	char ask[64];

	(void)state;
	begin(&client, answers, CALM_MS);
	snprintf(ask, sizeof(ask), "-ASK 12182 127.0.0.1:%u\r\n", fakes[1].port);
	answers[0] = ask;
	fakes[1].answers = others;
	call_and_wait(&client, &call);
	assert_string_equal(call.text, "there");
	assert_int_equal(fakes[1].asking, 2);
	call_and_wait(&client, &call);
	assert_string_equal(call.text, "here");
	assert_int_equal(fakes[0].asked_slots, 0);
	end(&client);
}

static void a_call_is_not_sent_around_for_ever(void **state)
{
	const char *answers[8] = {NULL};
	struct redis_client client;
	struct redis_call call;
	char moved[64];

	(void)state;
	begin(&client, answers, CALM_MS);
	snprintf(moved, sizeof(moved), "-MOVED 12182 :%u\r\n", fakes[0].port);
	for (size_t i = 0; i < 7; i++)
		answers[i] = moved;
	call_and_wait(&client, &call);
	assert_false(call.is_answered);
	assert_string_equal(call.text, "the Redis cluster sends the call around");
	assert_int_equal(fakes[0].calls, 6);
	assert_int_equal(client.bad, 0);
	end(&client);
}

static void tryagain_and_a_place_that_is_none_fail_the_call_alone(void **state)
{
	static const char *const answers[] = {"-TRYAGAIN Multiple keys request\r\n",
					      "-MOVED 99999 127.0.0.1:1\r\n", "-MOVED\r\n", NULL};
	struct redis_client client;
	struct redis_call call;

	(void)state;
	begin(&client, answers, CALM_MS);
	for (size_t i = 0; i < 3; i++) {
		call_and_wait(&client, &call);
		assert_false(call.is_answered);
	}
	assert_int_equal(client.bad, 0);
	call_and_wait(&client, &call);
	assert_string_equal(call.text, "OK");
	end(&client);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings_are_copied_as_a_whole),
		cmocka_unit_test(what_is_not_redis_is_left),
		cmocka_unit_test(replies_may_come_in_pieces),
		cmocka_unit_test(commands_of_a_turn_arrive_together),
		cmocka_unit_test(what_waits_to_be_sent_is_bounded),
		cmocka_unit_test(a_late_reply_is_dropped_and_the_next_is_for_the_next),
		cmocka_unit_test(silence_is_waited_for_no_longer_than_the_deadline),
		cmocka_unit_test(a_short_deadline_is_half_waited_for),
		cmocka_unit_test(a_late_call_is_as_many_failures_as_checks_wait_for_it),
		cmocka_unit_test(what_was_late_before_the_probe_is_not_counted_after_it),
		cmocka_unit_test(calls_wait_for_the_first_connection_as_long_as_for_an_answer),
		cmocka_unit_test(a_call_that_is_forgotten_is_not_answered),
		cmocka_unit_test(errors_of_a_server_that_cannot_serve_open_the_breaker),
		cmocka_unit_test(other_errors_are_answers),
		cmocka_unit_test(a_password_that_the_server_repeats_is_not_told),
		cmocka_unit_test(noscript_is_followed_by_the_text_once),
		cmocka_unit_test(moved_is_followed_and_remembered),
		cmocka_unit_test(ask_is_followed_with_asking_and_not_remembered),
		cmocka_unit_test(a_call_is_not_sent_around_for_ever),
		cmocka_unit_test(tryagain_and_a_place_that_is_none_fail_the_call_alone),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
