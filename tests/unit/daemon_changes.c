/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the master makes of a worker's wish to change a quota. The test is the worker. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "daemon/master.h"
#include "daemon/message.h"
#include "support/run.h"

#define OTHERS_PID 1 /* never signalled here */

struct fixture {
	char folder[32], path[64];
	struct thr_master master;
	struct thr_slot slot;
	struct thr_config config;
	int channel; /* the worker's */
};

static int setup(void **state)
{
	struct fixture *fixture = aligned_alloc(_Alignof(struct fixture), sizeof(*fixture));
	int ends[2];

	if (!fixture)
		return -1;
	memset(fixture, 0, sizeof(*fixture));
	strcpy(fixture->folder, "/tmp/thr-changes-XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	snprintf(fixture->path, sizeof(fixture->path), "%s/limits.json", fixture->folder);
	fixture->config.api.present = true;
	fixture->config.store.state_file = fixture->path;
	fixture->master.slots = &fixture->slot;
	fixture->master.worker_count = 1;
	assert_int_equal(thr_loop_new(&fixture->master.loop), 0);
	assert_int_equal(thr_memory_new(100, &fixture->master.buckets), 0);
	assert_int_equal(thr_quotas_new(100, true, &fixture->master.quotas), 0);
	thr_slot_init(&fixture->slot, &fixture->master, 0);
	assert_int_equal(thr_message_pair(ends), 0);
	fixture->slot.channel.fd = ends[0];
	fixture->slot.pid = OTHERS_PID;
	fixture->channel = ends[1];
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	char lock[80];

	thr_state_free(fixture->master.state);
	thr_quotas_free(fixture->master.quotas);
	thr_memory_free(fixture->master.buckets);
	thr_loop_free(fixture->master.loop);
	close(fixture->slot.channel.fd);
	close(fixture->channel);
	unlink(fixture->path);
	snprintf(lock, sizeof(lock), "%s.lock", fixture->path);
	unlink(lock);
	rmdir(fixture->folder);
	free(fixture);
	return 0;
}

static void open_file(struct fixture *fixture)
{
	assert_int_equal(thr_changes_open(&fixture->master, &fixture->config, NULL), 0);
	assert_non_null(fixture->master.state);
}

static struct thr_message_change put(uint64_t number)
{
	return (struct thr_message_change){.number = number,
					   .kind = THR_QUOTA_PUT,
					   .capacity = 10,
					   .refill_per_s = 0.5,
					   .key_length = 6,
					   .key = "user:1"};
}

static int hear(struct fixture *fixture, const struct thr_message_change *change)
{
	return thr_changes_hear(&fixture->slot, change);
}

static bool is_told(const struct fixture *fixture, struct thr_message *ret_message)
{
	int r = thr_message_receive(fixture->channel, ret_message, NULL);

	assert_true(r >= 0);
	if (r)
		assert_int_equal(ret_message->kind, THR_MESSAGE_CHANGED);
	return r;
}

static struct thr_message_changed await(struct fixture *fixture)
{
	struct thr_message message;

	while (!is_told(fixture, &message))
		assert_int_equal(thr_loop_turn(fixture->master.loop, 10000), 0);
	return message.changed;
}

static void a_change_is_made_and_answered(void **state)
{
	struct fixture *fixture = *state;
	struct thr_message_change change = put(7);
	struct thr_message_changed changed;

	open_file(fixture);
	assert_int_equal(hear(fixture, &change), 1);
	assert_int_equal(fixture->slot.changes, 1);
	changed = await(fixture);
	assert_int_equal(changed.number, 7);
	assert_int_equal(changed.result, THR_CHANGE_CREATED);
	assert_int_equal(changed.version, 1);
	assert_string_equal(changed.why, "");
	assert_int_equal(fixture->slot.changes, 0);
	assert_int_equal(thr_quotas_count(fixture->master.quotas), 1);

	change.condition = THR_IF_MATCH;
	change.version_count = 1;
	change.version[0] = 2;
	assert_int_equal(hear(fixture, &change), 1);
	assert_int_equal(await(fixture).result, THR_CHANGE_CONFLICT);
}

static void what_the_api_does_not_let_through_makes_no_sense(void **state)
{
	struct thr_message_change bad[] = {put(1), put(2), put(3), put(4),  put(5),  put(6),
					   put(7), put(8), put(9), put(10), put(11), put(12)};
	struct fixture *fixture = *state;
	struct thr_message message;

	open_file(fixture);
	bad[0].kind = THR_QUOTA_GET;
	bad[1].kind = ~0U;
	bad[2].key_length = 0;
	bad[3].key_length = THR_KEY_MAX + 1;
	bad[4].key_length = ~0U;
	bad[5].key[0] = '\xff';
	bad[6].capacity = 0;
	bad[7].refill_per_s = NAN;
	bad[8].refill_per_s = -1;
	bad[9].on_error = THR_ON_ERROR_DENY + 1;
	bad[10].condition = ~0U;
	bad[11].version_count = THR_VERSIONS_MAX + 1;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(hear(fixture, &bad[i]), -EPROTO);
	assert_int_equal(fixture->slot.changes, 0);
	assert_false(is_told(fixture, &message));
}

/* Whatever it is: sense is what can be stored and read back. */
static void noise_harms_nothing(void **state)
{
	struct fixture *fixture = *state;

	open_file(fixture);
	for (int i = 0; i < 100000; i++) {
		struct thr_message_change change;

		assert_int_equal(getrandom(&change, sizeof(change), 0), sizeof(change));
		if (i % 2) {
			change.kind = THR_QUOTA_PUT;
			change.key_length = 1;
			change.on_error = change.condition = change.version_count = 0;
		}
		fixture->slot.changes = 0;
		hear(fixture, &change);
		if (i % 1000 == 0)
			assert_int_equal(thr_loop_turn(fixture->master.loop, 0), 0);
	}
	thr_state_free(fixture->master.state);
	fixture->master.state = NULL;
	thr_quotas_free(fixture->master.quotas);
	assert_int_equal(thr_quotas_new(100, true, &fixture->master.quotas), 0);
	open_file(fixture);
}

static void changes_of_a_worker_that_has_ended_are_not_answered(void **state)
{
	struct fixture *fixture = *state;
	struct thr_message_change change = put(1);
	struct thr_message message;

	open_file(fixture);
	assert_int_equal(hear(fixture, &change), 1);
	thr_changes_forget(&fixture->slot);
	assert_int_equal(fixture->slot.changes, 0);
	change.key[0] = 'x';
	change.number = 2; /* of the next worker in its place */
	assert_int_equal(hear(fixture, &change), 1);
	assert_int_equal(await(fixture).number, 2);
	assert_false(is_told(fixture, &message));
	assert_int_equal(thr_quotas_count(fixture->master.quotas), 2);
}

/* It would fill the channel with its answers. */
static void one_that_does_not_wait_for_answers_makes_no_sense(void **state)
{
	const struct thr_message_change more = put(THR_CHANGES_MAX + 1);
	struct fixture *fixture = *state;

	open_file(fixture);
	for (uint64_t number = 1; number <= THR_CHANGES_MAX; number++) {
		const struct thr_message_change change = put(number);

		assert_int_equal(hear(fixture, &change), 1);
	}
	assert_int_equal(hear(fixture, &more), -EPROTO);
	/* All answers of a worker that reads only now. */
	while (fixture->slot.changes)
		assert_int_equal(thr_loop_turn(fixture->master.loop, 10000), 0);
	for (uint64_t number = 1; number <= THR_CHANGES_MAX; number++)
		assert_int_equal(await(fixture).number, number);
	assert_int_equal(hear(fixture, &more), 1);
}

static void without_a_state_file_nothing_is_changed(void **state)
{
	struct fixture *fixture = *state;
	struct thr_message_change change = put(1);

	fixture->config.store.backend = THR_BACKEND_REDIS;
	assert_int_equal(thr_changes_open(&fixture->master, &fixture->config, NULL), 0);
	assert_null(fixture->master.state);
	assert_int_equal(hear(fixture, &change), 1);
	assert_int_equal(await(fixture).result, THR_CHANGE_FAILED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_change_is_made_and_answered),
		TEST(what_the_api_does_not_let_through_makes_no_sense),
		TEST(noise_harms_nothing),
		TEST(changes_of_a_worker_that_has_ended_are_not_answered),
		TEST(one_that_does_not_wait_for_answers_makes_no_sense),
		TEST(without_a_state_file_nothing_is_changed),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
