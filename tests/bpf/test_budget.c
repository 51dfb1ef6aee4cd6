/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a service has for sources that nobody knows yet, who needs none of it, and who
 * is shut out for a while. That a SYN is answered with a cookie is not seen here: under
 * `monitor` it is counted, and goes on.
 */
#include <stdio.h>

#include "support/run.h"
#include "support/xdp.h"

#define XDP_PASSED 2

/* A SYN to `port` from source number `number`, none of which has another's address. */
static enum thr_reason send_from(struct thr_xdp *xdp, uint32_t number, uint16_t port)
{
	char source[32];

	snprintf(source, sizeof(source), "10.%u.%u.%u", number >> 16 & 255, number >> 8 & 255,
		 number & 255);
	return thr_xdp_send(xdp, SYN_TO(source, port));
}

/* How many of the next `count` sources open a connection. */
static int open_from_each(struct thr_xdp *xdp, uint32_t count, uint16_t port)
{
	static uint32_t next;
	int opened = 0;

	while (count--)
		opened += send_from(xdp, next++, port) == THR_REASON_NEW_CONNECTION;
	return opened;
}

/* Only a budget: five connections at once, ten a second. */
static struct thr_xdp *given_budget(void **state, enum thr_overload on_overload)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	BUDGET(xdp, .rate = 10, .burst = 5, .on_overload = on_overload);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	return xdp;
}

/* --- rate and burst --- */

static void new_sources_share_the_burst(void **state)
{
	struct thr_xdp *xdp = given_budget(state, THR_OVERLOAD_DROP);

	assert_int_equal(open_from_each(xdp, 50, 80), 5);
	assert_reason(send_from(xdp, 1000, 80), NEW_SOURCES_OVER);
}

static void new_sources_share_the_rate(void **state)
{
	struct thr_xdp *xdp = given_budget(state, THR_OVERLOAD_DROP);
	int opened = 0;

	open_from_each(xdp, 5, 80);
	for (int i = 0; i < 400; i++) {
		thr_xdp_advance(xdp, NS_PER_S / 40);
		opened += open_from_each(xdp, 2, 80);
	}
	assert_int_equal(opened, 100);
}

static void one_source_may_use_the_budget_up(void **state)
{
	struct thr_xdp *xdp = given_budget(state, THR_OVERLOAD_DROP);

	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 50), 5);
	assert_reason(thr_xdp_send(xdp, SYN6_FROM("2001:db8::1")), NEW_SOURCES_OVER);
}

static void only_new_connections_need_it(void **state)
{
	struct thr_xdp *xdp = given_budget(state, THR_OVERLOAD_DROP);

	assert_int_equal(open_from_each(xdp, 6, 80), 5);
	assert_reason(thr_xdp_send(xdp, ACK_FROM("192.0.2.1")), ESTABLISHED);
	assert_reason(thr_xdp_send(xdp, UDP_FROM("192.0.2.1")), UDP);
	assert_reason(thr_xdp_send(xdp, LAYERS(ETH, IP4(), ICMP(8))), ICMP);
}

/* --- beyond it --- */

static void beyond_it_the_service_may_let_pass(void **state)
{
	struct thr_xdp *xdp = given_budget(state, THR_OVERLOAD_PASS);

	assert_int_equal(open_from_each(xdp, 50, 80), 5);
	assert_reason(send_from(xdp, 1000, 80), OVERLOAD_PASSED);
	thr_xdp_advance(xdp, NS_PER_S / 10);
	assert_reason(send_from(xdp, 1000, 80), NEW_CONNECTION);
}

static void beyond_it_the_service_may_challenge(void **state)
{
	struct thr_xdp *xdp = given_budget(state, THR_OVERLOAD_CHALLENGE);

	thr_xdp_publish(xdp, 0, THR_ACTION_MONITOR);
	assert_int_equal(open_from_each(xdp, 50, 80), 5);
	assert_reason(send_from(xdp, 1000, 80), CHALLENGED);
}

static void monitor_counts_and_passes(void **state)
{
	struct thr_xdp *xdp = given_budget(state, THR_OVERLOAD_DROP);
	struct thr_tally tally;
	struct thr_frame frame;

	thr_xdp_publish(xdp, 0, THR_ACTION_MONITOR);
	thr_frame_build(SYN_FROM("192.0.2.1"), &frame);
	for (int i = 0; i < 12; i++)
		assert_int_equal(thr_xdp_run(xdp, &frame, 1), XDP_PASSED);
	thr_xdp_tally(xdp, &tally);
	assert_int_equal(tally.of[THR_REASON_NEW_CONNECTION].packets, 5);
	assert_int_equal(tally.of[THR_REASON_NEW_SOURCES_OVER].packets, 7);
	assert_int_equal(tally.of[THR_REASON_NEW_SOURCES_OVER].dropped, 0);
}

static void given_all_limits(struct thr_xdp *xdp, uint32_t slot)
{
	GRANT(xdp, .slot = slot, .kind = THR_CONNECTIONS, .rate = 1, .per_s = 3600, .burst = 5);
	GRANT(xdp, .slot = slot, .kind = THR_PACKETS, .rate = 1, .per_s = 3600, .burst = 9);
	GRANT(xdp, .slot = slot, .policy = 300, .kind = THR_CONNECTIONS, .rate = 1, .per_s = 3600,
	      .burst = 4, .scope = THR_SCOPE_TIER | 120 << 8);
	xdp->services[slot * (THR_SERVICES_MAX + 1)].tier[0] = 300;
}

/* Two of the budget; five of the source; nine packets of it; four of its /24. The
 * budget is asked first, but only what is a timer tick from a token is sure to be over:
 * then nothing is charged, later it is given back. */
static void what_is_dropped_for_it_is_charged_to_nobody(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	given_all_limits(xdp, 0);
	given_all_limits(xdp, 1);
	BUDGET(xdp, .rate = 1, .burst = 2);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 2), 2);
	for (int i = 0; i < 40; i++) {
		if (i == 20)
			thr_xdp_advance(xdp, NS_PER_S - 1);
		assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), NEW_SOURCES_OVER);
	}
	thr_xdp_publish(xdp, 1, THR_ACTION_ENFORCE);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 2), 2);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), PREFIX_OVER_CONNECTIONS);
	xdp->services[THR_SERVICES_MAX + 1].tier[0] = 0;
	thr_xdp_publish(xdp, 1, THR_ACTION_ENFORCE);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 2), 1);
	assert_int_equal(thr_xdp_offer(xdp, UDP_FROM("192.0.2.1"), 50), 9 - 5);
}

/* No address is sent more answers than it may open connections. */
static void what_is_challenged_stays_charged_to_the_source(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	GRANT(xdp, .kind = THR_CONNECTIONS, .rate = 1, .per_s = 3600, .burst = 5);
	BUDGET(xdp, .rate = 1, .burst = 2, .on_overload = THR_OVERLOAD_CHALLENGE);
	thr_xdp_publish(xdp, 0, THR_ACTION_MONITOR);
	for (int i = 0; i < 5; i++) {
		enum thr_reason reason = thr_xdp_send(xdp, SYN_FROM("192.0.2.1"));

		if (i < 2)
			assert_reason(reason, NEW_CONNECTION);
		else
			assert_reason(reason, CHALLENGED);
	}
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), OVER_CONNECTIONS);
}

static void source_over_its_limit_takes_nothing_of_it(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	GRANT(xdp, .kind = THR_CONNECTIONS, .rate = 1, .per_s = 3600, .burst = 2);
	BUDGET(xdp, .rate = 1, .burst = 5);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 50), 2);
	assert_int_equal(open_from_each(xdp, 50, 80), 3);
}

/* A flood beyond it shall touch no memory but the budget's. */
static void used_up_budget_is_asked_before_the_source(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	GRANT(xdp, .kind = THR_CONNECTIONS, .rate = 1, .per_s = 3600, .burst = 1);
	BUDGET(xdp, .rate = 1, .burst = 5);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), NEW_CONNECTION);
	assert_int_equal(open_from_each(xdp, 50, 80), 4);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), NEW_SOURCES_OVER);
	thr_xdp_advance(xdp, NS_PER_S);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), OVER_CONNECTIONS);
}

/* --- services and tables --- */

static void services_have_budgets_of_their_own(void **state)
{
	struct thr_xdp *xdp = given_budget(state, THR_OVERLOAD_DROP);

	BUDGET(xdp, .service = 1, .rate = 1, .burst = 7, .on_overload = THR_OVERLOAD_PASS);
	thr_xdp_serve(xdp, 0, 443, 1);
	thr_xdp_serve(xdp, 0, 25, 2); /* has none */
	assert_int_equal(open_from_each(xdp, 50, 443), 7);
	assert_int_equal(open_from_each(xdp, 50, 80), 5);
	assert_int_equal(open_from_each(xdp, 50, 25), 50);
	assert_reason(send_from(xdp, 1000, 443), OVERLOAD_PASSED);
	assert_reason(send_from(xdp, 1000, 80), NEW_SOURCES_OVER);
}

static void used_up_budget_stays_so_in_the_next_table(void **state)
{
	struct thr_xdp *xdp = given_budget(state, THR_OVERLOAD_DROP);

	BUDGET(xdp, .slot = 1, .rate = 10, .burst = 5);
	assert_int_equal(open_from_each(xdp, 50, 80), 5);
	thr_xdp_publish(xdp, 1, THR_ACTION_ENFORCE);
	assert_int_equal(open_from_each(xdp, 50, 80), 0);
	thr_xdp_advance(xdp, NS_PER_S / 5);
	assert_int_equal(open_from_each(xdp, 50, 80), 2);
}

static void raised_budget_holds_at_once(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	BUDGET(xdp, .rate = 1, .burst = 3600);
	BUDGET(xdp, .slot = 1, .rate = 10, .burst = 5);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_int_equal(open_from_each(xdp, 4000, 80), 3600);
	thr_xdp_publish(xdp, 1, THR_ACTION_ENFORCE);
	open_from_each(xdp, 1, 80);
	thr_xdp_advance(xdp, NS_PER_S);
	assert_int_equal(open_from_each(xdp, 50, 80), 5);
}

/* --- who needs none --- */

static void verified_source_needs_none(void **state)
{
	struct thr_xdp *xdp = given_budget(state, THR_OVERLOAD_DROP);

	thr_xdp_mark(xdp, "thr_verified", "192.0.2.1", 60 * NS_PER_S);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 50), 50);
	assert_int_equal(open_from_each(xdp, 50, 80), 5);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), NEW_CONNECTION);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.2")), NEW_SOURCES_OVER);
}

static void verified_source_keeps_to_its_limit(void **state)
{
	struct thr_xdp *xdp = given_budget(state, THR_OVERLOAD_DROP);

	GRANT(xdp, .kind = THR_CONNECTIONS, .rate = 1, .burst = 8);
	thr_xdp_mark(xdp, "thr_verified", "192.0.2.1", 60 * NS_PER_S);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 50), 8);
}

static void verification_ends(void **state)
{
	struct thr_xdp *xdp = given_budget(state, THR_OVERLOAD_DROP);

	open_from_each(xdp, 5, 80);
	thr_xdp_mark(xdp, "thr_verified", "192.0.2.1", NS_PER_S / 50);
	thr_xdp_mark(xdp, "thr_verified", "192.0.2.2", NS_PER_S);
	thr_xdp_advance(xdp, NS_PER_S / 50 - 1);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), NEW_CONNECTION);
	thr_xdp_advance(xdp, 1);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), NEW_SOURCES_OVER);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.2")), NEW_CONNECTION);
}

static void verified_are_all_addresses_of_an_ipv6_source(void **state)
{
	struct thr_xdp *xdp = given_budget(state, THR_OVERLOAD_DROP);

	open_from_each(xdp, 5, 80);
	thr_xdp_mark(xdp, "thr_verified", "2001:db8:0:1::1", 60 * NS_PER_S);
	assert_reason(thr_xdp_send(xdp, SYN6_FROM("2001:db8:0:1:2:3:4:5")), NEW_CONNECTION);
	assert_reason(thr_xdp_send(xdp, SYN6_FROM("2001:db8:0:2::1")), NEW_SOURCES_OVER);
}

static void verified_address_of_one_family_is_none_of_the_other(void **state)
{
	struct thr_xdp *xdp = given_budget(state, THR_OVERLOAD_DROP);

	xdp->live->slot[0].v6_source_mask[1] = ~0ULL;
	open_from_each(xdp, 5, 80);
	thr_xdp_mark(xdp, "thr_verified", "192.0.2.1", 60 * NS_PER_S);
	assert_reason(thr_xdp_send(xdp, SYN6_FROM("::ffff:192.0.2.1")), NEW_SOURCES_OVER);
}

static void allowed_source_needs_none(void **state)
{
	struct thr_xdp *xdp = given_budget(state, THR_OVERLOAD_DROP);

	LIST(xdp, .prefix = "192.0.2.0/24", .action = THR_SOURCE_ALLOW);
	open_from_each(xdp, 5, 80);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), ALLOWED);
}

/* --- the blocked --- */

static struct thr_xdp *given_blocked(void **state, const char *address)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	thr_xdp_mark(xdp, "thr_blocked", address, 60 * NS_PER_S);
	return xdp;
}

static void blocked_source_opens_and_asks_nothing(void **state)
{
	struct thr_xdp *xdp = given_blocked(state, "192.0.2.1");

	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), BLOCKED);
	assert_reason(thr_xdp_send(xdp, SYN_TO("192.0.2.1", 443)), BLOCKED);
	assert_reason(thr_xdp_send(xdp, UDP_FROM("192.0.2.1")), BLOCKED);
	assert_reason(thr_xdp_send(xdp, LAYERS(ETH, IP4(), ICMP(8))), BLOCKED);
	assert_reason(thr_xdp_send(xdp, LAYERS(ETH, IP4(.fragment = OFFSET4(800)), DATA(100))),
		      BLOCKED);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.2")), NEW_CONNECTION);
}

/* As with prefixes of `deny`, unless packets or bytes are limited. */
static void blocked_source_keeps_its_connections(void **state)
{
	struct thr_xdp *xdp = given_blocked(state, "192.0.2.1");

	assert_reason(thr_xdp_send(xdp, ACK_FROM("192.0.2.1")), ESTABLISHED);
	GRANT(xdp, .kind = THR_PACKETS, .rate = 10, .burst = 10);
	assert_reason(thr_xdp_send(xdp, ACK_FROM("192.0.2.1")), BLOCKED);
}

static void block_ends(void **state)
{
	struct thr_xdp *xdp = given_blocked(state, "192.0.2.1");

	thr_xdp_mark(xdp, "thr_blocked", "192.0.2.2", 120 * NS_PER_S);
	thr_xdp_advance(xdp, 60 * NS_PER_S - 1);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), BLOCKED);
	thr_xdp_advance(xdp, 1);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), NEW_CONNECTION);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.2")), BLOCKED);
}

static void blocked_are_all_addresses_of_an_ipv6_source(void **state)
{
	struct thr_xdp *xdp = given_blocked(state, "2001:db8:0:1::1");

	assert_reason(thr_xdp_send(xdp, SYN6_FROM("2001:db8:0:1:2:3:4:5")), BLOCKED);
	assert_reason(thr_xdp_send(xdp, SYN6_FROM("2001:db8:0:2::1")), NEW_CONNECTION);
}

static void allow_prefix_outdoes_a_block(void **state)
{
	struct thr_xdp *xdp = given_blocked(state, "192.0.2.1");

	LIST(xdp, .prefix = "192.0.2.0/24", .action = THR_SOURCE_ALLOW);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), ALLOWED);
	assert_reason(thr_xdp_send(xdp, UDP_FROM("192.0.2.1")), ALLOWED);
}

static void blocked_source_is_charged_for_nothing(void **state)
{
	struct thr_xdp *xdp = given_blocked(state, "192.0.2.1");

	GRANT(xdp, .kind = THR_CONNECTIONS, .rate = 1, .per_s = 3600, .burst = 3);
	BUDGET(xdp, .rate = 1, .burst = 3);
	for (int i = 0; i < 10; i++)
		assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), BLOCKED);
	assert_int_equal(open_from_each(xdp, 10, 80), 3);
	thr_xdp_advance(xdp, 60 * NS_PER_S);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 50), 3);
}

static void block_outdoes_verification(void **state)
{
	struct thr_xdp *xdp = given_blocked(state, "192.0.2.1");

	thr_xdp_mark(xdp, "thr_verified", "192.0.2.1", 60 * NS_PER_S);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), BLOCKED);
}

static void monitor_passes_the_blocked(void **state)
{
	struct thr_xdp *xdp = given_blocked(state, "192.0.2.1");

	thr_xdp_publish(xdp, 0, THR_ACTION_MONITOR);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), BLOCKED);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		XDP_TEST(new_sources_share_the_burst),
		XDP_TEST(new_sources_share_the_rate),
		XDP_TEST(one_source_may_use_the_budget_up),
		XDP_TEST(only_new_connections_need_it),
		XDP_TEST(beyond_it_the_service_may_let_pass),
		XDP_TEST(beyond_it_the_service_may_challenge),
		XDP_TEST(monitor_counts_and_passes),
		XDP_TEST(what_is_dropped_for_it_is_charged_to_nobody),
		XDP_TEST(what_is_challenged_stays_charged_to_the_source),
		XDP_TEST(source_over_its_limit_takes_nothing_of_it),
		XDP_TEST(used_up_budget_is_asked_before_the_source),
		XDP_TEST(services_have_budgets_of_their_own),
		XDP_TEST(used_up_budget_stays_so_in_the_next_table),
		XDP_TEST(raised_budget_holds_at_once),
		XDP_TEST(verified_source_needs_none),
		XDP_TEST(verified_source_keeps_to_its_limit),
		XDP_TEST(verification_ends),
		XDP_TEST(verified_are_all_addresses_of_an_ipv6_source),
		XDP_TEST(verified_address_of_one_family_is_none_of_the_other),
		XDP_TEST(allowed_source_needs_none),
		XDP_TEST(blocked_source_opens_and_asks_nothing),
		XDP_TEST(blocked_source_keeps_its_connections),
		XDP_TEST(block_ends),
		XDP_TEST(blocked_are_all_addresses_of_an_ipv6_source),
		XDP_TEST(allow_prefix_outdoes_a_block),
		XDP_TEST(blocked_source_is_charged_for_nothing),
		XDP_TEST(block_outdoes_verification),
		XDP_TEST(monitor_passes_the_blocked),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
