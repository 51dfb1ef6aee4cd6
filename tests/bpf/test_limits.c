/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a limit does to the packets of a source: burst, refill, who shares a
 * bucket with whom, and what a refused packet costs. The clock is the test's.
 */
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "support/run.h"
#include "support/xdp.h"

/* The only limit: `rate` connections a second for each source, `burst` at once. */
static struct thr_xdp *given_connections(void **state, uint64_t rate, uint64_t burst)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	GRANT(xdp, .kind = THR_CONNECTIONS, .rate = rate, .burst = burst);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	return xdp;
}

/* --- burst and refill --- */

static void burst_passes_then_the_source_is_over(void **state)
{
	struct thr_xdp *xdp = given_connections(state, 10, 5);

	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 100), 5);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), OVER_CONNECTIONS);
}

static void other_sources_have_buckets_of_their_own(void **state)
{
	struct thr_xdp *xdp = given_connections(state, 10, 5);

	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 100), 5);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.2"), 100), 5);
	assert_int_equal(thr_xdp_offer(xdp, SYN6_FROM("2001:db8::1"), 100), 5);
}

static void token_comes_back_to_the_nanosecond(void **state)
{
	struct thr_xdp *xdp = given_connections(state, 20, 3);

	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 10), 3);
	for (int i = 0; i < 100; i++) {
		thr_xdp_advance(xdp, NS_PER_S / 20 - 1);
		assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), OVER_CONNECTIONS);
		thr_xdp_advance(xdp, 1);
		assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 10), 1);
	}
}

static void refill_stops_at_burst(void **state)
{
	struct thr_xdp *xdp = given_connections(state, 20, 3);

	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 10), 3);
	thr_xdp_advance(xdp, 3600 * NS_PER_S);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 10), 3);
}

static void refused_packets_do_not_put_off_the_refill(void **state)
{
	struct thr_xdp *xdp = given_connections(state, 1, 1);

	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 1), 1);
	for (int i = 0; i < 99; i++) {
		thr_xdp_advance(xdp, NS_PER_S / 100);
		assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 100), 0);
	}
	thr_xdp_advance(xdp, NS_PER_S / 100);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 100), 1);
}

/* --- what is charged --- */

static void established_is_free_when_connections_are_limited(void **state)
{
	struct thr_xdp *xdp = given_connections(state, 1, 1);

	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 10), 1);
	assert_int_equal(thr_xdp_offer(xdp, ACK_FROM("192.0.2.1"), 1000), 1000);
	assert_reason(thr_xdp_send(xdp, ACK_FROM("192.0.2.1")), ESTABLISHED);
	assert_reason(thr_xdp_send(xdp, UDP_FROM("192.0.2.1")), UDP);
}

static void every_packet_is_charged_when_packets_are_limited(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	GRANT(xdp, .kind = THR_PACKETS, .rate = 1, .burst = 4);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), NEW_CONNECTION);
	assert_reason(thr_xdp_send(xdp, ACK_FROM("192.0.2.1")), ESTABLISHED);
	assert_reason(thr_xdp_send(xdp, UDP_FROM("192.0.2.1")), UDP);
	assert_reason(thr_xdp_send(xdp, LAYERS(ETH, IP4(.source = "192.0.2.1"), ICMP(8))), ICMP);
	assert_reason(thr_xdp_send(xdp, ACK_FROM("192.0.2.1")), OVER_PACKETS);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), OVER_PACKETS);
}

static void bytes_of_the_whole_frame_are_charged(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);
	const struct thr_layer *frame_of_100 =
		LAYERS(ETH, IP4(.source = "192.0.2.1"), UDP(), DATA(58));
	const struct thr_layer *frame_of_42 = LAYERS(ETH, IP4(.source = "192.0.2.1"), UDP());

	GRANT(xdp, .kind = THR_BYTES, .rate = 1000, .burst = 1042);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_int_equal(thr_xdp_offer(xdp, frame_of_100, 20), 10);
	assert_reason(thr_xdp_send(xdp, frame_of_100), OVER_BYTES);
	assert_reason(thr_xdp_send(xdp, frame_of_42), UDP);
	assert_reason(thr_xdp_send(xdp, frame_of_42), OVER_BYTES);
}

static void neighbor_discovery_is_never_charged(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	GRANT(xdp, .kind = THR_PACKETS, .rate = 1, .burst = 1);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_int_equal(thr_xdp_offer(xdp, LAYERS(ETH, IP6(.hops = 255), ICMP(135)), 100), 100);
	assert_int_equal(thr_xdp_offer(xdp, LAYERS(ETH, IP6(.hops = 64), ICMP(135)), 100), 1);
}

static void unreadable_packets_are_not_charged(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	GRANT(xdp, .kind = THR_PACKETS, .rate = 1, .burst = 1);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_int_equal(thr_xdp_offer(xdp, LAYERS(ETH, IP4(), TCP(SYN), CUT(1)), 100), 100);
	assert_int_equal(thr_xdp_offer(xdp, LAYERS(ETH, IP4(), TCP(SYN)), 100), 1);
}

/* --- refused by one limit, charged for none --- */

static void given_three_limits(struct thr_xdp *xdp, uint64_t connections, uint64_t packets,
			       uint64_t bytes)
{
	GRANT(xdp, .kind = THR_CONNECTIONS, .rate = 1, .burst = connections);
	GRANT(xdp, .kind = THR_PACKETS, .rate = 1, .burst = packets);
	GRANT(xdp, .kind = THR_BYTES, .rate = 1, .burst = bytes);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
}

static void refused_connection_leaves_packets_and_bytes_alone(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	given_three_limits(xdp, 1, 11, 11 * 54);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 50), 1);
	assert_int_equal(thr_xdp_offer(xdp, ACK_FROM("192.0.2.1"), 50), 10);
}

static void refused_packet_gives_its_connection_back(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	given_three_limits(xdp, 3, 2, 1 << 20);
	assert_int_equal(thr_xdp_offer(xdp, ACK_FROM("192.0.2.1"), 2), 2);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), OVER_PACKETS);
	thr_xdp_advance(xdp, 2 * NS_PER_S);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 50), 2);
	thr_xdp_advance(xdp, NS_PER_S);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 50), 1);
}

static void refused_bytes_give_connection_and_packet_back(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);
	const struct thr_layer *large = LAYERS(ETH, IP4(.source = "192.0.2.1"), TCP(SYN), DATA(2));

	given_three_limits(xdp, 2, 2, 55);
	for (int i = 0; i < 10; i++)
		assert_reason(thr_xdp_send(xdp, large), OVER_BYTES);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), NEW_CONNECTION);
}

static void refusal_by_the_tier_charges_the_source_nothing(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	given_three_limits(xdp, 5, 5, 5 * 54);
	GRANT(xdp, .policy = 300, .kind = THR_CONNECTIONS, .rate = 1, .burst = 4,
	      .scope = THR_SCOPE_TIER | 120 << 8);
	xdp->services[0].tier[0] = 300;
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 50), 4);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.9")), PREFIX_OVER_CONNECTIONS);
	assert_int_equal(thr_xdp_offer(xdp, ACK_FROM("192.0.2.1"), 50), 1);
	assert_int_equal(thr_xdp_offer(xdp, ACK_FROM("192.0.2.9"), 50), 5);
}

static void refusal_by_the_source_charges_the_tier_nothing(void **state)
{
	struct thr_xdp *xdp = given_connections(state, 1, 2);

	GRANT(xdp, .policy = 300, .kind = THR_CONNECTIONS, .rate = 1, .burst = 5,
	      .scope = THR_SCOPE_TIER | 120 << 8);
	xdp->services[0].tier[0] = 300;
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 50), 2);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.2"), 50), 2);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.3"), 50), 1);
}

/* --- tiers and IPv6 sources --- */

static void tier_limits_all_of_an_ipv4_prefix(void **state)
{
	struct thr_xdp *xdp = given_connections(state, 1, 1);
	char source[] = "192.0.2.10";
	int passed = 0;

	GRANT(xdp, .policy = 300, .kind = THR_CONNECTIONS, .rate = 1, .burst = 6,
	      .scope = THR_SCOPE_TIER | 120 << 8);
	xdp->services[0].tier[0] = 300;
	for (char digit = '0'; digit <= '9'; digit++) {
		source[sizeof(source) - 2] = digit;
		passed += thr_xdp_offer(xdp, SYN_FROM(source), 1);
	}
	assert_int_equal(passed, 6);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.255")), PREFIX_OVER_CONNECTIONS);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.3.0")), NEW_CONNECTION);
	assert_reason(thr_xdp_send(xdp, SYN6_FROM("2001:db8::1")), NEW_CONNECTION);
}

static void tier_limits_all_of_an_ipv6_prefix(void **state)
{
	struct thr_xdp *xdp = given_connections(state, 1, 1);

	GRANT(xdp, .policy = 301, .kind = THR_CONNECTIONS, .rate = 1, .burst = 3,
	      .scope = THR_SCOPE_TIER | 48 << 8);
	xdp->services[0].tier[1] = 301;
	assert_reason(thr_xdp_send(xdp, SYN6_FROM("2001:db8:1:1::1")), NEW_CONNECTION);
	assert_reason(thr_xdp_send(xdp, SYN6_FROM("2001:db8:1:2::1")), NEW_CONNECTION);
	assert_reason(thr_xdp_send(xdp, SYN6_FROM("2001:db8:1:ffff::1")), NEW_CONNECTION);
	assert_reason(thr_xdp_send(xdp, SYN6_FROM("2001:db8:1:4::1")), PREFIX_OVER_CONNECTIONS);
	assert_reason(thr_xdp_send(xdp, SYN6_FROM("2001:db8:2:1::1")), NEW_CONNECTION);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), NEW_CONNECTION);
}

static void ipv6_source_is_its_64(void **state)
{
	struct thr_xdp *xdp = given_connections(state, 1, 3);

	assert_reason(thr_xdp_send(xdp, SYN6_FROM("2001:db8:0:1::1")), NEW_CONNECTION);
	assert_reason(thr_xdp_send(xdp, SYN6_FROM("2001:db8:0:1:ffff::")), NEW_CONNECTION);
	assert_reason(thr_xdp_send(xdp, SYN6_FROM("2001:db8:0:1::9")), NEW_CONNECTION);
	assert_reason(thr_xdp_send(xdp, SYN6_FROM("2001:db8:0:1:2:3:4:5")), OVER_CONNECTIONS);
	assert_reason(thr_xdp_send(xdp, SYN6_FROM("2001:db8:0:2::1")), NEW_CONNECTION);
}

static void ipv6_source_follows_the_mask(void **state)
{
	struct thr_xdp *xdp = given_connections(state, 1, 1);

	xdp->live->slot[0].v6_source_mask[1] = ~0ULL; /* /128 */
	assert_reason(thr_xdp_send(xdp, SYN6_FROM("2001:db8:0:1::1")), NEW_CONNECTION);
	assert_reason(thr_xdp_send(xdp, SYN6_FROM("2001:db8:0:1::2")), NEW_CONNECTION);
	assert_reason(thr_xdp_send(xdp, SYN6_FROM("2001:db8:0:1::1")), OVER_CONNECTIONS);
}

/* --- the table of buckets, and CPUs --- */

static void more_sources_than_buckets_are_still_limited(void **state)
{
	struct thr_xdp *xdp = given_connections(state, 1, 1);
	struct thr_tally before, after;
	struct thr_frame frame;

	thr_frame_build(SYN_FROM("10.0.0.0"), &frame);
	thr_xdp_tally(xdp, &before);
	for (uint32_t source = 0; source < 40000; source++) {
		frame.bytes[28] = source >> 8;
		frame.bytes[29] = source;
		assert_int_equal(thr_xdp_run(xdp, &frame, 2), 1 /* XDP_DROP */);
	}
	thr_xdp_tally(xdp, &after);
	assert_int_equal(after.of[THR_REASON_NEW_CONNECTION].packets -
				 before.of[THR_REASON_NEW_CONNECTION].packets,
			 40000);
	assert_int_equal(after.of[THR_REASON_NO_BUCKET].packets, 0);
}

#define SENDERS 4

struct sender {
	pthread_t thread;
	struct thr_xdp *xdp;
	int cpu;
};

static void *send_many(void *argument)
{
	const struct sender *sender = argument;
	struct thr_frame frame;
	cpu_set_t cpu;

	CPU_ZERO(&cpu);
	CPU_SET(sender->cpu, &cpu);
	sched_setaffinity(0, sizeof(cpu), &cpu);
	thr_frame_build(SYN_FROM("192.0.2.1"), &frame);
	thr_xdp_run(sender->xdp, &frame, 20000);
	return NULL;
}

static void limit_holds_across_cpus(void **state)
{
	struct thr_xdp *xdp = given_connections(state, 1, 30000);
	struct sender senders[SENDERS];
	struct thr_tally before;

	thr_xdp_tally(xdp, &before);
	for (int i = 0; i < SENDERS; i++) {
		senders[i].xdp = xdp;
		senders[i].cpu = i % sysconf(_SC_NPROCESSORS_ONLN);
		assert_int_equal(pthread_create(&senders[i].thread, NULL, send_many, &senders[i]),
				 0);
	}
	for (int i = 0; i < SENDERS; i++)
		assert_int_equal(pthread_join(senders[i].thread, NULL), 0);
	assert_int_equal(thr_xdp_passed_since(xdp, &before), 30000);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		XDP_TEST(burst_passes_then_the_source_is_over),
		XDP_TEST(other_sources_have_buckets_of_their_own),
		XDP_TEST(token_comes_back_to_the_nanosecond),
		XDP_TEST(refill_stops_at_burst),
		XDP_TEST(refused_packets_do_not_put_off_the_refill),
		XDP_TEST(established_is_free_when_connections_are_limited),
		XDP_TEST(every_packet_is_charged_when_packets_are_limited),
		XDP_TEST(bytes_of_the_whole_frame_are_charged),
		XDP_TEST(neighbor_discovery_is_never_charged),
		XDP_TEST(unreadable_packets_are_not_charged),
		XDP_TEST(refused_connection_leaves_packets_and_bytes_alone),
		XDP_TEST(refused_packet_gives_its_connection_back),
		XDP_TEST(refused_bytes_give_connection_and_packet_back),
		XDP_TEST(refusal_by_the_tier_charges_the_source_nothing),
		XDP_TEST(refusal_by_the_source_charges_the_tier_nothing),
		XDP_TEST(tier_limits_all_of_an_ipv4_prefix),
		XDP_TEST(tier_limits_all_of_an_ipv6_prefix),
		XDP_TEST(ipv6_source_is_its_64),
		XDP_TEST(ipv6_source_follows_the_mask),
		XDP_TEST(more_sources_than_buckets_are_still_limited),
		XDP_TEST(limit_holds_across_cpus),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
