/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sources that share a cell of the gate, in the program itself. The model of it, for
 * what takes long, is in the unit tests.
 */
#include <stdio.h>

#include "support/random.h"
#include "support/run.h"
#include "support/rivals.h"
#include "support/xdp.h"

#define XDP_PASSED 2

/* --- one cell, several sources --- */

static void innocent_is_served_beside_a_loud_one(void **state)
{
	struct rivals rivals;
	struct thr_xdp *xdp = given_rivals(state, 10, 5, &rivals);

	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM(rivals.text[0]), 50), 5);
	assert_int_equal(thr_xdp_own_buckets(xdp), 0);
	assert_reason(thr_xdp_send(xdp, SYN_FROM(rivals.text[1])), NEW_CONNECTION);
	assert_int_equal(thr_xdp_own_buckets(xdp), 1);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM(rivals.text[1]), 50), 4);
	assert_reason(thr_xdp_send(xdp, SYN_FROM(rivals.text[1])), OVER_CONNECTIONS);
	for (int i = 0; i < 100; i++) {
		thr_xdp_advance(xdp, NS_PER_S / 10);
		thr_xdp_offer(xdp, SYN_FROM(rivals.text[0]), 10);
		assert_reason(thr_xdp_send(xdp, SYN_FROM(rivals.text[1])), NEW_CONNECTION);
	}
	assert_int_equal(thr_xdp_own_buckets(xdp), 2);
}

static void source_alone_never_gets_a_bucket(void **state)
{
	struct rivals rivals;
	struct thr_xdp *xdp = given_rivals(state, 10, 5, &rivals);

	for (int i = 0; i < 50; i++) {
		thr_xdp_advance(xdp, NS_PER_S / 10);
		thr_xdp_offer(xdp, SYN_FROM(rivals.text[0]), 20);
	}
	assert_int_equal(thr_xdp_own_buckets(xdp), 0);
	assert_int_not_equal(cell_at(xdp, ANY_PLACE).owner, 0);
}

static void sources_that_share_a_cell_keep_their_limits(void **state)
{
	struct rivals rivals;
	struct thr_xdp *xdp = given_rivals(state, 10, 5, &rivals);
	uint64_t passed[RIVALS] = {0};

	for (int i = 0; i < 4000; i++) {
		thr_xdp_advance(xdp, NS_PER_S / 100);
		for (int k = 0; k < RIVALS; k++)
			passed[k] += thr_xdp_offer(xdp, SYN_FROM(rivals.text[k]), 1);
	}
	for (int k = 0; k < RIVALS; k++)
		assert_in_range(passed[k], 400, 400 + 2 * 5);
}

static void cell_has_an_owner_again_when_it_was_idle(void **state)
{
	struct rivals rivals;
	struct thr_xdp *xdp = given_rivals(state, 10, 5, &rivals);

	thr_xdp_offer(xdp, SYN_FROM(rivals.text[0]), 1);
	thr_xdp_offer(xdp, SYN_FROM(rivals.text[1]), 1);
	assert_int_equal(cell_at(xdp, ANY_PLACE).owner, 0);
	thr_xdp_advance(xdp, NS_PER_S / 5);
	thr_xdp_offer(xdp, SYN_FROM(rivals.text[2]), 1);
	assert_int_not_equal(cell_at(xdp, ANY_PLACE).owner, 0);
	assert_int_equal(thr_xdp_own_buckets(xdp), 0);
}

/* The accomplice's cell is free again at once, for what the source has just taken from
 * its own bucket. */
static void accomplice_gains_a_source_nothing(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);
	struct rivals rivals;
	char prefix[32];
	int passed = 0;

	GRANT(xdp, .kind = THR_CONNECTIONS, .rate = 1, .burst = 1);
	GRANT(xdp, .policy = 300, .kind = THR_CONNECTIONS, .rate = 100, .burst = 1);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	find_rivals(xdp, ANY_PLACE, THR_CONNECTIONS, &rivals);
	snprintf(prefix, sizeof(prefix), "%s/32", rivals.text[1]);
	LIST(xdp, .prefix = prefix, .policy = 300);
	for (int i = 0; i < 1000; i++) {
		thr_xdp_offer(xdp, SYN_FROM(rivals.text[1]), 1);
		passed += thr_xdp_offer(xdp, SYN_FROM(rivals.text[0]), 1);
		thr_xdp_advance(xdp, NS_PER_S / 100);
		passed += thr_xdp_offer(xdp, SYN_FROM(rivals.text[0]), 1);
		thr_xdp_advance(xdp, NS_PER_S);
	}
	assert_in_range(passed, 990, 1010 + 2);
}

/* --- promotion --- */

static void without_promotions_left_the_cell_decides(void **state)
{
	struct rivals rivals;
	struct thr_xdp *xdp = given_rivals(state, 10, 5, &rivals);

	allow_promotions(xdp, 1);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM(rivals.text[0]), 50), 5);
	assert_reason(thr_xdp_send(xdp, SYN_FROM(rivals.text[1])), NEW_CONNECTION);
	assert_reason(thr_xdp_send(xdp, SYN_FROM(rivals.text[2])), NO_OWN_BUCKET);
	assert_reason(thr_xdp_send(xdp, SYN_FROM(rivals.text[1])), NEW_CONNECTION);
	assert_int_equal(thr_xdp_own_buckets(xdp), 1);
	thr_xdp_advance(xdp, NS_PER_S); /* the cell has tokens again */
	assert_reason(thr_xdp_send(xdp, SYN_FROM(rivals.text[2])), NEW_CONNECTION);
}

/* The cell is over by 0 and promotions are used up; a budget for new sources is there. */
static struct thr_xdp *given_no_promotions(void **state, enum thr_overload on_overload,
					   struct rivals *ret_rivals)
{
	struct thr_xdp *xdp = given_rivals(state, 10, 5, ret_rivals);

	BUDGET(xdp, .rate = 1000, .burst = 1000, .on_overload = on_overload);
	allow_promotions(xdp, 1);
	thr_xdp_offer(xdp, SYN_FROM(ret_rivals->text[0]), 50);
	thr_xdp_offer(xdp, SYN_FROM(ret_rivals->text[1]), 1);
	return xdp;
}

static void without_promotions_left_the_service_may_drop(void **state)
{
	struct rivals rivals;
	struct thr_xdp *xdp = given_no_promotions(state, THR_OVERLOAD_DROP, &rivals);

	assert_reason(thr_xdp_send(xdp, SYN_FROM(rivals.text[2])), NO_OWN_BUCKET);
}

static void without_promotions_left_the_service_may_let_pass(void **state)
{
	struct rivals rivals;
	struct thr_xdp *xdp = given_no_promotions(state, THR_OVERLOAD_PASS, &rivals);

	assert_reason(thr_xdp_send(xdp, SYN_FROM(rivals.text[2])), OVERLOAD_PASSED);
}

static void without_promotions_left_the_service_may_challenge(void **state)
{
	struct rivals rivals;
	struct thr_xdp *xdp = given_no_promotions(state, THR_OVERLOAD_CHALLENGE, &rivals);

	thr_xdp_publish(xdp, 0, THR_ACTION_MONITOR); /* counted, not answered */
	assert_reason(thr_xdp_send(xdp, SYN_FROM(rivals.text[2])), CHALLENGED);
}

/* It is within its own limit, and its prefix shares a cell that is over. */
static void what_passes_for_want_of_a_prefix_bucket_is_charged_to_the_source(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);
	struct thr_bucket_key key = key_of(0xc0000200);
	struct rivals rivals;

	key.scope = THR_SCOPE_TIER | 120 << 8;
	GRANT(xdp, .kind = THR_CONNECTIONS, .rate = 10, .burst = 5);
	GRANT(xdp, .policy = 300, .kind = THR_CONNECTIONS, .rate = 10, .burst = 3,
	      .scope = key.scope);
	xdp->services[0].tier[0] = 300;
	BUDGET(xdp, .rate = 1000, .burst = 1000, .on_overload = THR_OVERLOAD_PASS);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	find_rivals(xdp, place_of(xdp, &key, THR_CONNECTIONS), THR_CONNECTIONS, &rivals);
	allow_promotions(xdp, 0);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM(rivals.text[0]), 50), 3);
	for (int i = 0; i < 5; i++)
		assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), OVERLOAD_PASSED);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), OVER_CONNECTIONS);
}

static void verified_source_is_promoted_beyond_the_budget(void **state)
{
	struct rivals rivals;
	struct thr_xdp *xdp = given_no_promotions(state, THR_OVERLOAD_DROP, &rivals);

	thr_xdp_mark(xdp, "thr_verified", rivals.text[2], 60 * NS_PER_S);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM(rivals.text[2]), 50), 5);
	assert_reason(thr_xdp_send(xdp, SYN_FROM(rivals.text[3])), NO_OWN_BUCKET);
}

/* Spoofed, as far as one can see: it comes back with a full bucket each time. */
static void flood_of_random_sources_makes_no_entry(void **state)
{
	struct rivals rivals;
	struct thr_xdp *xdp = given_rivals(state, 10, 20, &rivals);
	struct thr_frame frame;
	__u64 random = 0x5eed0301;

	thr_xdp_offer(xdp, SYN_FROM(rivals.text[0]), 50);
	thr_xdp_offer(xdp, SYN_FROM(rivals.text[1]), 50);
	thr_frame_build(SYN_FROM("10.0.0.0"), &frame);
	for (int i = 0; i < 100000; i++) {
		uint32_t source = next_random(&random) >> 32;

		frame.bytes[26] = 11 + source % 200;
		memcpy(&frame.bytes[27], (const uint8_t *)&source + 1, 3);
		assert_int_equal(thr_xdp_run(xdp, &frame, 1), XDP_PASSED);
	}
	assert_int_equal(thr_xdp_own_buckets(xdp), 1);
	assert_reason(thr_xdp_send(xdp, SYN_FROM(rivals.text[1])), OVER_CONNECTIONS);
}

/* --- every kind, every bucket --- */

static void packets_have_buckets_of_their_own_too(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);
	struct rivals rivals;

	GRANT(xdp, .kind = THR_PACKETS, .rate = 10, .burst = 6);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	find_rivals(xdp, ANY_PLACE, THR_PACKETS, &rivals);
	allow_promotions(xdp, 1);
	assert_int_equal(thr_xdp_offer(xdp, UDP_FROM(rivals.text[0]), 50), 6);
	assert_int_equal(thr_xdp_offer(xdp, ACK_FROM(rivals.text[1]), 50), 6);
	assert_reason(thr_xdp_send(xdp, UDP_FROM(rivals.text[1])), OVER_PACKETS);
	assert_reason(thr_xdp_send(xdp, UDP_FROM(rivals.text[2])), NO_OWN_BUCKET);
	assert_reason(thr_xdp_send(xdp, ACK_FROM(rivals.text[2])), NO_OWN_BUCKET);
}

static void bytes_have_buckets_of_their_own_too(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);
	struct rivals rivals;

	GRANT(xdp, .kind = THR_BYTES, .rate = 1000, .burst = 42 * 10 + 41);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	find_rivals(xdp, ANY_PLACE, THR_BYTES, &rivals);
	assert_int_equal(thr_xdp_offer(xdp, UDP_FROM(rivals.text[0]), 50), 10);
	assert_int_equal(thr_xdp_offer(xdp, UDP_FROM(rivals.text[1]), 50), 10);
	assert_reason(thr_xdp_send(xdp, UDP_FROM(rivals.text[1])), OVER_BYTES);
}

static void kinds_of_a_source_do_not_share_a_cell(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);
	struct rivals rivals;

	GRANT(xdp, .kind = THR_CONNECTIONS, .rate = 10, .burst = 2);
	GRANT(xdp, .kind = THR_PACKETS, .rate = 10, .burst = 6);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	find_rivals(xdp, ANY_PLACE, THR_PACKETS, &rivals);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM(rivals.text[0]), 50), 2);
	assert_int_equal(thr_xdp_offer(xdp, ACK_FROM(rivals.text[0]), 50), 4);
}

static void tier_that_refuses_leaves_cell_and_own_bucket_as_they_were(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);
	struct rivals rivals;
	struct thr_cell before, after;

	GRANT(xdp, .kind = THR_CONNECTIONS, .rate = 1, .per_s = HOUR_S, .burst = 5);
	GRANT(xdp, .slot = 1, .kind = THR_CONNECTIONS, .rate = 1, .per_s = HOUR_S, .burst = 5);
	thr_xdp_publish(xdp, 1, THR_ACTION_ENFORCE);
	find_rivals(xdp, ANY_PLACE, THR_CONNECTIONS, &rivals);
	thr_xdp_offer(xdp, SYN_FROM(rivals.text[0]), 5);

	GRANT(xdp, .policy = 300, .kind = THR_CONNECTIONS, .rate = 1, .per_s = HOUR_S, .burst = 2,
	      .scope = THR_SCOPE_TIER | 120 << 8);
	xdp->services[0].tier[0] = 300;
	xdp->live->jiffy_ns = 0; /* remember no refusal */
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM(rivals.text[1]), 2), 2);
	before = cell_at(xdp, ANY_PLACE);
	for (int i = 0; i < 20; i++)
		assert_reason(thr_xdp_send(xdp, SYN_FROM(rivals.text[1])), PREFIX_OVER_CONNECTIONS);
	after = cell_at(xdp, ANY_PLACE);
	assert_int_equal(after.tat, before.tat);

	thr_xdp_publish(xdp, 1, THR_ACTION_ENFORCE);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM(rivals.text[1]), 50), 3);
}

static void shared_prefix_is_one_source_at_the_gate(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);
	struct thr_bucket_key key = key_of(0xc0000200);
	struct rivals rivals;

	key.scope = THR_SCOPE_SHARED | 120 << 8;
	GRANT(xdp, .kind = THR_CONNECTIONS, .rate = 10, .burst = 5);
	GRANT(xdp, .policy = 300, .kind = THR_CONNECTIONS, .rate = 10, .burst = 3,
	      .scope = key.scope);
	LIST(xdp, .prefix = "192.0.2.0/24", .policy = 300);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	find_rivals(xdp, place_of(xdp, &key, THR_CONNECTIONS), THR_CONNECTIONS, &rivals);
	allow_promotions(xdp, 1);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM(rivals.text[0]), 50), 5);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), NEW_CONNECTION);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.2")), NEW_CONNECTION);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.3")), NEW_CONNECTION);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.4")), PREFIX_OVER_CONNECTIONS);
	assert_int_equal(thr_xdp_own_buckets(xdp), 1);
}

/* --- tables that change while a cell holds debt --- */

/* From 1 an hour to 10 a second: the debt of hours stays in the shared cell, so that
 * sources go past it, each on a bucket of its own. */
static void raised_limit_holds_in_a_shared_cell(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);
	struct rivals rivals;

	GRANT(xdp, .kind = THR_CONNECTIONS, .rate = 1, .per_s = HOUR_S, .burst = 2);
	GRANT(xdp, .slot = 1, .kind = THR_CONNECTIONS, .rate = 10, .burst = 5);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	find_rivals(xdp, ANY_PLACE, THR_CONNECTIONS, &rivals);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM(rivals.text[0]), 50), 2);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM(rivals.text[1]), 50), 2);
	thr_xdp_publish(xdp, 1, THR_ACTION_ENFORCE);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM(rivals.text[0]), 50), 5);
	thr_xdp_offer(xdp, SYN_FROM(rivals.text[1]), 1); /* ends the old debt of its bucket */
	thr_xdp_advance(xdp, NS_PER_S);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM(rivals.text[1]), 50), 5);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM(rivals.text[2]), 50), 5);
}

static void lowered_limit_holds_in_a_shared_cell(void **state)
{
	struct rivals rivals;
	struct thr_xdp *xdp = given_rivals(state, 20, 40, &rivals);

	GRANT(xdp, .slot = 1, .kind = THR_CONNECTIONS, .rate = 10, .burst = 5);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM(rivals.text[0]), 50), 40);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM(rivals.text[1]), 50), 40);
	thr_xdp_publish(xdp, 1, THR_ACTION_ENFORCE);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM(rivals.text[1]), 50), 0);
	thr_xdp_advance(xdp, NS_PER_S);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM(rivals.text[1]), 50), 5);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM(rivals.text[2]), 50), 5);
	thr_xdp_advance(xdp, NS_PER_S / 2);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM(rivals.text[1]), 50), 5);
}

static void raised_limit_of_a_sole_owner_holds_at_once(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	GRANT(xdp, .kind = THR_CONNECTIONS, .rate = 1, .per_s = HOUR_S, .burst = 2);
	GRANT(xdp, .slot = 1, .kind = THR_CONNECTIONS, .rate = 10, .burst = 5);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 50), 2);
	thr_xdp_publish(xdp, 1, THR_ACTION_ENFORCE);
	thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 1);
	thr_xdp_advance(xdp, NS_PER_S);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 50), 5);
	assert_int_equal(thr_xdp_own_buckets(xdp), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		XDP_TEST(innocent_is_served_beside_a_loud_one),
		XDP_TEST(source_alone_never_gets_a_bucket),
		XDP_TEST(sources_that_share_a_cell_keep_their_limits),
		XDP_TEST(cell_has_an_owner_again_when_it_was_idle),
		XDP_TEST(accomplice_gains_a_source_nothing),
		XDP_TEST(without_promotions_left_the_cell_decides),
		XDP_TEST(without_promotions_left_the_service_may_drop),
		XDP_TEST(without_promotions_left_the_service_may_let_pass),
		XDP_TEST(without_promotions_left_the_service_may_challenge),
		XDP_TEST(what_passes_for_want_of_a_prefix_bucket_is_charged_to_the_source),
		XDP_TEST(verified_source_is_promoted_beyond_the_budget),
		XDP_TEST(flood_of_random_sources_makes_no_entry),
		XDP_TEST(packets_have_buckets_of_their_own_too),
		XDP_TEST(bytes_have_buckets_of_their_own_too),
		XDP_TEST(kinds_of_a_source_do_not_share_a_cell),
		XDP_TEST(tier_that_refuses_leaves_cell_and_own_bucket_as_they_were),
		XDP_TEST(shared_prefix_is_one_source_at_the_gate),
		XDP_TEST(raised_limit_holds_in_a_shared_cell),
		XDP_TEST(lowered_limit_holds_in_a_shared_cell),
		XDP_TEST(raised_limit_of_a_sole_owner_holds_at_once),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
