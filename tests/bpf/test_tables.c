/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Tables that change while packets come: the swap of slots, limits that are
 * raised and lowered, monitoring, and what a CPU remembers across all that.
 */
#include "control/policies.h"
#include "support/random.h"
#include "support/run.h"
#include "support/xdp.h"

#define DROP 1
#define PASS 2

static void give_connections(struct thr_xdp *xdp, uint32_t slot, uint64_t rate, uint64_t burst)
{
	GRANT(xdp, .slot = slot, .kind = THR_CONNECTIONS, .rate = rate, .burst = burst);
}

/* The verdict on one packet. */
static int verdict_on(struct thr_xdp *xdp, const struct thr_layer *layers)
{
	struct thr_frame frame;

	thr_frame_build(layers, &frame);
	return thr_xdp_run(xdp, &frame, 1);
}

/* --- nothing applied, monitoring --- */

static void nothing_is_limited_before_a_table_is_applied(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 1000), 1000);
	assert_int_equal(verdict_on(xdp, LAYERS(ETH, IP4(), TCP(SYN | FIN))), PASS);
}

static void monitor_counts_and_charges_but_passes(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);
	struct thr_tally before, after;

	give_connections(xdp, 0, 1, 3);
	thr_xdp_publish(xdp, 0, THR_ACTION_MONITOR);
	thr_xdp_tally(xdp, &before);
	for (int i = 0; i < 10; i++)
		assert_int_equal(verdict_on(xdp, SYN_FROM("192.0.2.1")), PASS);
	thr_xdp_tally(xdp, &after);
	assert_int_equal(after.of[THR_REASON_NEW_CONNECTION].packets -
				 before.of[THR_REASON_NEW_CONNECTION].packets,
			 3);
	assert_int_equal(after.of[THR_REASON_OVER_CONNECTIONS].packets -
				 before.of[THR_REASON_OVER_CONNECTIONS].packets,
			 7);
	assert_int_equal(after.of[THR_REASON_OVER_CONNECTIONS].dropped, 0);

	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_int_equal(verdict_on(xdp, SYN_FROM("192.0.2.1")), DROP);
}

static void monitor_passes_denied_sources(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	LIST(xdp, .prefix = "192.0.2.0/24", .action = THR_SOURCE_DENY);
	thr_xdp_publish(xdp, 0, THR_ACTION_MONITOR);
	assert_int_equal(verdict_on(xdp, SYN_FROM("192.0.2.1")), PASS);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), DENIED);
}

/* --- the swap --- */

static void slot_takes_effect_when_it_is_made_active(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	give_connections(xdp, 0, 1, 3);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	xdp->live->slot[1].action = THR_ACTION_ENFORCE;
	xdp->live->slot[1].generation = 99;
	give_connections(xdp, 1, 1, 7);
	LIST(xdp, .slot = 1, .prefix = "203.0.113.0/24", .action = THR_SOURCE_DENY);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 50), 3);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("203.0.113.1")), NEW_CONNECTION);

	xdp->live->active = 1;
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.2"), 50), 7);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("203.0.113.1")), DENIED);

	xdp->live->active = 0;
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.3"), 50), 3);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("203.0.113.2")), NEW_CONNECTION);
}

static void slots_keep_ports_and_tiers_apart(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	for (uint32_t slot = 0; slot < THR_SLOTS; slot++) {
		give_connections(xdp, slot, 1, 100);
		GRANT(xdp, .slot = slot, .policy = 1, .kind = THR_CONNECTIONS, .rate = 1,
		      .burst = 2 + slot, .scope = 1);
	}
	thr_xdp_serve(xdp, 0, 443, 1);
	thr_xdp_serve(xdp, 1, 80, 1);
	GRANT(xdp, .slot = 1, .policy = 300, .kind = THR_CONNECTIONS, .rate = 1, .burst = 40,
	      .scope = THR_SCOPE_TIER | 120 << 8);
	xdp->services[THR_SERVICES_MAX + 1].tier[0] = 300;

	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_int_equal(thr_xdp_offer(xdp, SYN_TO("192.0.2.1", 443), 50), 2);
	assert_int_equal(thr_xdp_offer(xdp, SYN_TO("192.0.2.1", 80), 50), 50);
	thr_xdp_publish(xdp, 1, THR_ACTION_ENFORCE);
	assert_int_equal(thr_xdp_offer(xdp, SYN_TO("192.0.2.2", 80), 50), 3);
	assert_int_equal(thr_xdp_offer(xdp, SYN_TO("192.0.2.2", 443), 50), 40);
}

static void sources_of_the_slots_do_not_mix(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	LIST(xdp, .slot = 0, .prefix = "192.0.2.0/24", .action = THR_SOURCE_DENY);
	LIST(xdp, .slot = 0, .prefix = "2001:db8::/32", .action = THR_SOURCE_ALLOW);
	LIST(xdp, .slot = 1, .prefix = "192.0.2.0/25", .action = THR_SOURCE_ALLOW);
	LIST(xdp, .slot = 1, .prefix = "2001:db8::/48", .action = THR_SOURCE_DENY);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), DENIED);
	assert_reason(thr_xdp_send(xdp, SYN6_FROM("2001:db8::1")), ALLOWED);
	thr_xdp_publish(xdp, 1, THR_ACTION_ENFORCE);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), ALLOWED);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.200")), NEW_CONNECTION);
	assert_reason(thr_xdp_send(xdp, SYN6_FROM("2001:db8::1")), DENIED);
	assert_reason(thr_xdp_send(xdp, SYN6_FROM("2001:db8:1::1")), NEW_CONNECTION);
}

static void buckets_survive_the_swap(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	give_connections(xdp, 0, 1, 5);
	give_connections(xdp, 1, 1, 5);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 4), 4);
	thr_xdp_publish(xdp, 1, THR_ACTION_ENFORCE);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 50), 1);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 50), 0);
}

/* --- limits that change under a bucket in debt --- */

static void raised_limit_holds_at_once(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	GRANT(xdp, .kind = THR_CONNECTIONS, .rate = 1, .per_s = 3600, .burst = 2);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 50), 2);
	give_connections(xdp, 1, 20, 40);
	thr_xdp_publish(xdp, 1, THR_ACTION_ENFORCE);
	thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 1);
	thr_xdp_advance(xdp, NS_PER_S);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 50), 20);
}

static void lowered_limit_holds_at_once(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	give_connections(xdp, 0, 1000, 1000);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 500), 500);
	give_connections(xdp, 1, 1, 2);
	thr_xdp_publish(xdp, 1, THR_ACTION_ENFORCE);
	assert_in_range(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 500), 1, 2);
	thr_xdp_advance(xdp, NS_PER_S);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 500), 1);
}

/* --- what a CPU remembers --- */

/* New connections of all sources to port 80 together, as `service`. */
static void give_budget(struct thr_xdp *xdp, uint32_t slot, uint8_t service, struct thr_rate rate)
{
	struct thr_service *given = &xdp->services[slot * (THR_SERVICES_MAX + 1) + service];

	given->new_sources = thr_limit_of(&rate, 0);
	given->on_overload = THR_OVERLOAD_DROP;
	xdp->live->slot[slot].flags |= THR_HAS_BUDGETS;
	thr_xdp_serve(xdp, slot, 80, service);
	thr_xdp_publish(xdp, slot, THR_ACTION_ENFORCE);
}

static void raised_budget_holds_at_once(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	give_budget(xdp, 0, 1, (struct thr_rate){.count = 1, .per_s = 3600, .burst = 3});
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 50), 3);
	give_budget(xdp, 1, 1, (struct thr_rate){.count = 20, .per_s = 1, .burst = 40});
	thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 1);
	thr_xdp_advance(xdp, NS_PER_S);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 50), 20);
}

static void remembered_answer_ends_with_its_table(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	LIST(xdp, .prefix = "192.0.2.0/24", .action = THR_SOURCE_DENY);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), DENIED);
	LIST(xdp, .prefix = "192.0.2.0/24", .action = THR_SOURCE_ALLOW);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), ALLOWED);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), ALLOWED);
}

static void remembered_refusal_ends_with_its_table(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	GRANT(xdp, .kind = THR_CONNECTIONS, .rate = 1, .per_s = 3600, .burst = 1);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 50), 1);
	xdp->live->slot[1].generation = 99;
	xdp->live->slot[1].action = THR_ACTION_ENFORCE;
	xdp->live->active = 1;
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 50), 50);
}

static void remembered_refusal_is_for_what_was_refused(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	give_connections(xdp, 0, 1, 1);
	GRANT(xdp, .kind = THR_PACKETS, .rate = 1, .burst = 10);
	thr_xdp_serve(xdp, 0, 443, 1);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 50), 1);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), OVER_CONNECTIONS);
	assert_int_equal(thr_xdp_offer(xdp, ACK_FROM("192.0.2.1"), 5), 5);
	assert_int_equal(thr_xdp_offer(xdp, SYN_TO("192.0.2.1", 443), 5), 5);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.2"), 5), 1);
}

/* More sources than a CPU has places to remember them in: some must meet. */
static void remembered_refusal_is_for_one_source(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);
	struct thr_frame frame;

	give_connections(xdp, 0, 1, 1);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	thr_frame_build(SYN6_FROM("2001:db8::1"), &frame);
	for (uint32_t network = 0; network < THR_RECENT_MAX + 100; network++) {
		frame.bytes[28] = network >> 8; /* of 2001:db8:0:NETWORK::1 */
		frame.bytes[29] = network;
		assert_int_equal(thr_xdp_run(xdp, &frame, 1), PASS);
		assert_int_equal(thr_xdp_run(xdp, &frame, 1), DROP);
	}
}

static void refusal_is_remembered_no_longer_than_it_holds(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	/* Half way between two timer ticks; the next token half way between others. */
	thr_xdp_advance(xdp, THR_TEST_JIFFY_NS / 2);
	give_connections(xdp, 0, 50, 1);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 2), 1);
	thr_xdp_advance(xdp, NS_PER_S / 50 - 1);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 1), 0);
	thr_xdp_advance(xdp, 1);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 2), 1);
}

static void refusals_are_remembered_while_the_timer_stands_still(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	give_connections(xdp, 0, 1, 1);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 2), 1);
	/* Only a memory, not the bucket, refuses with the fine clock this far on. */
	xdp->clock->now_ns += 10 * NS_PER_S;
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), OVER_CONNECTIONS);
	xdp->live->jiffy_ns = 0;
	xdp->clock->jiffies = xdp->clock->now_ns / THR_TEST_JIFFY_NS;
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), NEW_CONNECTION);
}

static void give_all_kinds(struct thr_xdp *xdp)
{
	give_connections(xdp, 0, 100, 7);
	GRANT(xdp, .kind = THR_PACKETS, .rate = 150, .burst = 12);
	GRANT(xdp, .kind = THR_BYTES, .rate = 9000, .burst = 1500);
	GRANT(xdp, .policy = 300, .kind = THR_CONNECTIONS, .rate = 200, .burst = 9,
	      .scope = THR_SCOPE_TIER | 120 << 8);
	xdp->services[0].tier[0] = 300;
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
}

/* The same packets at the same times, to a program that remembers refusals and
 * to one that asks the bucket every time. */
static void remembering_never_changes_a_verdict(void **state)
{
	struct thr_xdp *remembers = thr_xdp_given(state), *asks;
	struct thr_frame frames[3];
	__u64 random = 0x5eed0005;
	int dropped = 0;

	assert_int_equal(thr_xdp_open(THR_XDP_MOCKED, 4096, &asks), 0);
	asks->live->jiffy_ns = 0;
	thr_xdp_advance(asks, NS_PER_S);
	give_all_kinds(remembers);
	give_all_kinds(asks);
	thr_frame_build(SYN_FROM("192.0.2.0"), &frames[0]);
	thr_frame_build(ACK_FROM("192.0.2.0"), &frames[1]);
	thr_frame_build(LAYERS(ETH, IP4(), UDP(), DATA(500)), &frames[2]);
	for (int i = 0; i < 50000; i++) {
		struct thr_frame *frame = &frames[next_random(&random) % 3];
		uint64_t ns = next_random(&random) % (NS_PER_MS * 2);
		int verdict, other;

		frame->bytes[29] = next_random(&random) % 4;
		thr_xdp_advance(remembers, ns);
		thr_xdp_advance(asks, ns);
		verdict = thr_xdp_run(remembers, frame, 1);
		other = thr_xdp_run(asks, frame, 1);
		if (verdict != other)
			print_error("# packet %d\n", i);
		assert_int_equal(verdict, other);
		dropped += verdict == DROP;
	}
	assert_in_range(dropped, 10000, 40000);
	thr_xdp_free(asks);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		XDP_TEST(nothing_is_limited_before_a_table_is_applied),
		XDP_TEST(monitor_counts_and_charges_but_passes),
		XDP_TEST(monitor_passes_denied_sources),
		XDP_TEST(slot_takes_effect_when_it_is_made_active),
		XDP_TEST(slots_keep_ports_and_tiers_apart),
		XDP_TEST(sources_of_the_slots_do_not_mix),
		XDP_TEST(buckets_survive_the_swap),
		XDP_TEST(raised_limit_holds_at_once),
		XDP_TEST(lowered_limit_holds_at_once),
		XDP_TEST(raised_budget_holds_at_once),
		XDP_TEST(remembered_answer_ends_with_its_table),
		XDP_TEST(remembered_refusal_ends_with_its_table),
		XDP_TEST(remembered_refusal_is_for_what_was_refused),
		XDP_TEST(remembered_refusal_is_for_one_source),
		XDP_TEST(refusal_is_remembered_no_longer_than_it_holds),
		XDP_TEST(refusals_are_remembered_while_the_timer_stands_still),
		XDP_TEST(remembering_never_changes_a_verdict),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
