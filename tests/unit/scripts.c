/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The scripts on buckets inside a real Redis, at any moment that the test wants
 * it to be, beside thr_bucket.h: small and large numbers, and those where one
 * tick more makes the difference.
 */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/scripts.h"
#include "support/random.h"
#include "support/redis.h"
#include "support/run.h"
#include "support/store.h"
#include "thr_bucket.h"

#define ARGUMENTS 128
#define RUNS 32
#define RUN_MOST 500000
#define STEPS 3000

struct inside {
	struct redis_server server;
	redisContext *context;
	struct thr_redis_script scripts[THR_SCRIPTS];
	uint64_t now[2]; /* seconds and ticks, which are whole microseconds */

	/* Of the call that is being made. */
	char word[ARGUMENTS][24];
	size_t words;
};

static void begin(struct inside *inside)
{
	server_begin(&inside->server, NULL);
	inside->context = redisConnectUnix(inside->server.socket);
	assert_int_equal(inside->context->err, 0);
	thr_scripts_fill(inside->scripts);
	inside->words = 0;
}

static void end(struct inside *inside)
{
	redisFree(inside->context);
	server_end(&inside->server);
}

/* --- calls --- */

static void put(struct inside *inside, uint64_t number)
{
	snprintf(inside->word[inside->words++], sizeof(inside->word[0]), "%llu",
		 (unsigned long long)number);
}

static void put_ticks(struct inside *inside, uint64_t ticks)
{
	put(inside, ticks / THR_TICKS_PER_S);
	put(inside, ticks % THR_TICKS_PER_S);
}

/* Run it for the bucket "b" with what was put, while the clock of Redis says
 * what `now` does. */
static redisReply *run(struct inside *inside, enum thr_script script)
{
	static const char clock[] = "local real = redis\n"
				    "local redis = {call = function(name, ...)\n"
				    "  if name == 'TIME' then return {'%llu', '%llu'} end\n"
				    "  return real.call(name, ...)\n"
				    "end, pcall = real.pcall}\n%s";
	const char *word[4 + ARGUMENTS] = {"EVAL", NULL, "1", "b"};
	char text[8192];
	redisReply *reply;

	snprintf(text, sizeof(text), clock, (unsigned long long)inside->now[0],
		 (unsigned long long)inside->now[1] / 16000, inside->scripts[script].text);
	word[1] = text;
	for (size_t i = 0; i < inside->words; i++)
		word[4 + i] = inside->word[i];
	reply = redisCommandArgv(inside->context, 4 + (int)inside->words, word, NULL);
	inside->words = 0;
	assert_non_null(reply);
	if (reply->type == REDIS_REPLY_ERROR)
		fail_msg("%s", reply->str);
	return reply;
}

/* Ticks between the epoch and the moment do not fit: only a debt is told in
 * them. */
static void set_debt(struct inside *inside, uint64_t debt)
{
	uint64_t ticks = inside->now[1] + debt % THR_TICKS_PER_S;

	freeReplyObject(redisCommand(inside->context, debt ? "SET b %llu:%llu" : "DEL b",
				     (unsigned long long)(inside->now[0] + debt / THR_TICKS_PER_S +
							  ticks / THR_TICKS_PER_S),
				     (unsigned long long)(ticks % THR_TICKS_PER_S)));
}

/* A debt that is paid soon may be forgotten already. */
static void expect_debt(struct inside *inside, uint64_t debt)
{
	redisReply *reply = redisCommand(inside->context, "GET b");
	unsigned long long seconds, ticks;

	assert_non_null(reply);
	if (reply->type == REDIS_REPLY_NIL) {
		assert_in_range(debt, 0, 10 * THR_TICKS_PER_S);
	} else {
		assert_int_equal(sscanf(reply->str, "%llu:%llu", &seconds, &ticks), 2);
		assert_true(ticks < THR_TICKS_PER_S);
		assert_int_equal((seconds - inside->now[0]) * THR_TICKS_PER_S + ticks -
					 inside->now[1],
				 debt);
	}
	freeReplyObject(reply);
}

/* --- numbers --- */

/* Of any size up to 2^bits. */
static uint64_t any(__u64 *random, unsigned int bits)
{
	return next_random(random) >> (64 - bits + next_random(random) % bits);
}

static void any_moment(struct inside *inside, __u64 *random)
{
	inside->now[0] = 1000000000 + any(random, 31);
	inside->now[1] = next_random(random) % 1000000 * 16000;
}

/* A debt, mostly at an edge of the window. */
static uint64_t any_debt(__u64 *random, uint64_t window)
{
	uint64_t little = next_random(random) % 3;

	switch (next_random(random) % 6) {
	case 0:
		return 0;
	case 1:
		return window - (little < window ? little : 0);
	case 2:
		return window + THR_CLOCK_SKEW + little - 1;
	case 3:
		return window + any(random, 59);
	default:
		return next_random(random) % (window + 1);
	}
}

/* --- TAKE --- */

struct taking {
	uint64_t window, debt;
	uint64_t token, lease; /* how many */
	bool is_informed;
	uint64_t spent[RUNS], count[RUNS];
	size_t runs;
};

static struct taking any_taking(__u64 *random)
{
	struct taking taking = {
		.window = 1 + any(random, 59),
		.is_informed = next_random(random) % 2,
		.runs = next_random(random) % 4 ? next_random(random) % 4 : RUNS,
	};

	taking.debt = any_debt(random, taking.window);
	taking.token = 1 + any(random, 59) % taking.window;
	taking.lease = next_random(random) % 2 ? any(random, 18) : 0;
	for (size_t i = 0; i < taking.runs; i++) {
		uint64_t all = next_random(random) % 4 ? any(random, 8) : RUN_MOST;
		uint64_t some = 1 + any(random, 8);

		taking.count[i] = all ? all : 1;
		taking.spent[i] = next_random(random) % 2 ? taking.window / some
							  : any(random, 59) % taking.window;
		taking.spent[i] += !taking.spent[i];
	}
	return taking;
}

/* The debt that it leaves in Redis. */
static uint64_t judge(const struct taking *taking)
{
	uint64_t debt = taking->debt, room;
	bool changed = false, refused = false;

	for (size_t i = 0; i < taking->runs; i++) {
		for (uint64_t n = 0; n < taking->count[i]; n++) {
			struct thr_taking one =
				thr_bucket_judge(debt, 0, taking->window, taking->spent[i]);

			debt = one.state;
			changed |= !one.wait;
			refused |= one.wait;
			if (one.wait)
				break;
		}
	}
	if (!taking->runs && debt > taking->window + THR_CLOCK_SKEW)
		debt = taking->window;
	room = debt < taking->window ? (taking->window - debt) / 2 / taking->token : 0;
	if (room > taking->lease)
		room = taking->lease;
	if (room && !refused) {
		debt += room * taking->token;
		changed = true;
	}
	return changed || (taking->is_informed && taking->runs) ? debt : taking->debt;
}

static void call_take(struct inside *inside, const struct taking *taking)
{
	redisReply *reply;

	put_ticks(inside, taking->window);
	put_ticks(inside, taking->token);
	put(inside, taking->lease);
	put(inside, taking->is_informed);
	for (size_t i = 0; i < taking->runs; i++) {
		put_ticks(inside, taking->spent[i]);
		put(inside, taking->count[i]);
	}
	reply = run(inside, THR_SCRIPT_TAKE);
	assert_int_equal(reply->elements, 4);
	assert_int_equal(reply->element[0]->integer * (long long)THR_TICKS_PER_S +
				 reply->element[1]->integer,
			 taking->debt);
	assert_int_equal(reply->element[2]->integer, inside->now[0]);
	assert_int_equal(reply->element[3]->integer, inside->now[1]);
	freeReplyObject(reply);
}

static void takings_are_judged_as_by_the_header_to_the_tick(void **state)
{
	__u64 random = 0x5eed0020;
	struct inside inside;

	(void)state;
	begin(&inside);
	for (int step = 0; step < STEPS; step++) {
		struct taking taking = any_taking(&random);

		any_moment(&inside, &random);
		set_debt(&inside, taking.debt);
		call_take(&inside, &taking);
		expect_debt(&inside, judge(&taking));
	}
	end(&inside);
}

/* --- GIVE_BACK --- */

/* What was leased `ago`, at or before now, or after it where the clock went
 * back since. */
static void give_back(struct inside *inside, uint64_t leased, uint64_t ago, bool went_back)
{
	uint64_t then[2] = {inside->now[0], inside->now[1] + THR_TICKS_PER_S};
	uint64_t ticks = ago % THR_TICKS_PER_S;

	then[0] += went_back ? ago / THR_TICKS_PER_S : -(ago / THR_TICKS_PER_S);
	then[1] += went_back ? ticks : -ticks;
	put_ticks(inside, leased);
	put(inside, then[0] + then[1] / THR_TICKS_PER_S - 1);
	put(inside, then[1] % THR_TICKS_PER_S);
	freeReplyObject(run(inside, THR_SCRIPT_GIVE_BACK));
}

static void what_is_given_back_is_less_by_the_time_since(void **state)
{
	__u64 random = 0x5eed0021;
	struct inside inside;

	(void)state;
	begin(&inside);
	for (int step = 0; step < STEPS; step++) {
		uint64_t leased = 1 + any(&random, 59), debt = any_debt(&random, leased);
		uint64_t ago = next_random(&random) % 2 ? any(&random, 59) : leased - 1;
		uint64_t back = leased > ago ? leased - ago : 0;

		any_moment(&inside, &random);
		set_debt(&inside, debt);
		give_back(&inside, leased, ago, false);
		expect_debt(&inside, debt > back ? debt - back : 0);
	}
	end(&inside);
}

static void no_more_is_given_back_than_was_leased_when_the_clock_goes_back(void **state)
{
	const uint64_t s = THR_TICKS_PER_S;
	struct inside inside = {.now = {1700000000, 500000 * 16000ULL}};

	(void)state;
	begin(&inside);
	set_debt(&inside, 100 * s);
	give_back(&inside, 20 * s, 5 * s, false);
	expect_debt(&inside, 85 * s);
	give_back(&inside, 20 * s, 30 * s, true);
	expect_debt(&inside, 65 * s);
	give_back(&inside, 20 * s, s / 4, true);
	expect_debt(&inside, 45 * s);
	end(&inside);
}

/* --- RESTORE --- */

#define REMOVALS 1000 /* that the log keeps */

/* Put back a config, or a removal where `quota` is "". */
static void restore(struct inside *inside, const char *key, unsigned int number, const char *quota)
{
	char version[16];
	const char *word[] = {"EVAL",	 inside->scripts[THR_SCRIPT_RESTORE].text,
			      "5",	 "meta",
			      "quotas",	 "log",
			      "removed", "instances",
			      "epoch",	 "0",
			      "epoch",	 key,
			      version,	 quota};
	redisReply *reply;

	snprintf(version, sizeof(version), "%u", number);
	reply = redisCommandArgv(inside->context, ARRAY_SIZE(word), word, NULL);
	assert_non_null(reply);
	if (reply->type == REDIS_REPLY_ERROR)
		fail_msg("%s", reply->str);
	freeReplyObject(reply);
}

/* What was dropped for others is older than they are, whenever it was put back. */
static void a_removal_is_put_back_but_where_one_after_it_was_dropped(void **state)
{
	struct inside inside;
	char key[16];

	(void)state;
	begin(&inside);
	for (unsigned int number = 1; number <= REMOVALS; number++) {
		snprintf(key, sizeof(key), "x%u", number);
		restore(&inside, key, number, "");
	}
	restore(&inside, "a", REMOVALS + 1, "");
	restore(&inside, "b", REMOVALS + 2, "");
	restore(&inside, "b", REMOVALS / 2, "500 10 1 local");
	assert_int_equal(redis_number(&inside.server, "HEXISTS quotas b"), 0);
	restore(&inside, "x1", 1, "");
	assert_int_equal(redis_number(&inside.server, "ZCARD log"), 1000);
	assert_int_equal(redis_number(&inside.server, "ZCARD removed"), 1000);
	assert_int_equal(redis_number(&inside.server, "EXISTS quotas"), 0);
	assert_int_equal(redis_number(&inside.server, "ZRANK removed x3"), 0);
	end(&inside);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takings_are_judged_as_by_the_header_to_the_tick),
		cmocka_unit_test(what_is_given_back_is_less_by_the_time_since),
		cmocka_unit_test(no_more_is_given_back_than_was_leased_when_the_clock_goes_back),
		cmocka_unit_test(a_removal_is_put_back_but_where_one_after_it_was_dropped),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
