/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SYN in, SYN-ACK out: the challenge against the kernel's own listeners. Whether the kernel
 * then takes the connection is for tests/netns; what returns the cookie, for
 * test_completion.c.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support/challenge.h"

/* --- the answer --- */

static void syn_beyond_the_budget_is_answered(void **state)
{
	static const uint8_t options[] = {2,	4,    0x05, 0xb4, 4,	2,    8, 10, 0, 0,
					  0x03, 0xd7, 0x11, 0x22, 0x33, 0x44, 1, 3,  3, 7};
	struct given given = given_challenge(state);
	struct answer answer;

	/* At 1000 ms: 960 of them, SACK (16) and the client's window scale. */
	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	assert_int_equal(answer.options_size, sizeof(options));
	assert_memory_equal(answer.options, options, 10);
	assert_int_equal(get_32(answer.options + 8), 960 + 16 + 9);
	assert_memory_equal(answer.options + 12, options + 12, 8);
	end_challenge(&given);
}

static void ipv6_syn_beyond_the_budget_is_answered(void **state)
{
	static const uint8_t before[] = {2, 4, 0x05, 0xa0, 4, 2, 8, 10};
	static const uint8_t after[] = {0x11, 0x22, 0x33, 0x44, 1, 3, 3, 7};
	struct given given = given_challenge(state);
	struct answer answer;

	challenged(given.xdp, LAYERS(ETH, IP6(), LINUX_SYN), &answer);
	assert_int_equal(answer.options_size, 20);
	assert_memory_equal(answer.options, before, sizeof(before));
	assert_int_equal(get_32(answer.options + 8), 960 + 16 + 9);
	assert_memory_equal(answer.options + 12, after, sizeof(after));
	end_challenge(&given);
}

static void tags_stay_in_the_answer(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer;

	challenged(given.xdp, LAYERS(ETH, TAG, IP4(), LINUX_SYN), &answer);
	challenged(given.xdp, LAYERS(ETH, STAG, TAG, IP4(), LINUX_SYN), &answer);
	challenged(given.xdp, LAYERS(ETH, STAG, TAG, TAG, TAG, IP6(), LINUX_SYN), &answer);
	end_challenge(&given);
}

static void timestamp_is_not_ahead_of_the_clock(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer;

	thr_xdp_advance(given.xdp, 24 * NS_PER_MS); /* 1024 ms: with any bit too much */
	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	assert_int_equal(get_32(answer.options + 8), 960 + 16 + 9);
	thr_xdp_advance(given.xdp, 28 * NS_PER_MS);
	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	assert_int_equal(get_32(answer.options + 8), 1024 + 16 + 9);
	end_challenge(&given);
}

/* What the SYN says and what the answer does, as text in which t is a timestamp: that of
 * the SYN is 0x11223344, ours is 960 and the number given. */
struct option_case {
	struct thr_offer offer;
	uint8_t said[40];
	uint8_t said_size;
	uint8_t bits;
	uint8_t answered[20]; /* our timestamp is left zero */
	uint8_t answered_size;
};

#define OFFER_ALL                                                                                  \
	{                                                                                          \
		.timestamps = 1, .sack = 1, .window_scale = 7                                      \
	}
#define MSS(high, low) 2, 4, high, low
#define TS_OF_CLIENT 8, 10, 0x11, 0x22, 0x33, 0x44, 0, 0, 0, 0
#define TS_OF_SERVER 8, 10, 0, 0, 0, 0, 0x11, 0x22, 0x33, 0x44
#define OUR_MSS MSS(0x05, 0xb4)

static const struct option_case option_cases[] = {
	/* Without timestamps the cookie cannot carry more than the MSS. */
	{OFFER_ALL, {OUR_MSS}, 4, 0, {OUR_MSS}, 4},
	{OFFER_ALL, {OUR_MSS, 1, 3, 3, 7, 4, 2, 1, 1}, 12, 0, {OUR_MSS}, 4},
	/* With them, what the client offers. */
	{OFFER_ALL, {OUR_MSS, 1, 1, TS_OF_CLIENT}, 16, 15, {OUR_MSS, 1, 1, TS_OF_SERVER}, 16},
	{OFFER_ALL, {OUR_MSS, 4, 2, TS_OF_CLIENT}, 16, 31, {OUR_MSS, 4, 2, TS_OF_SERVER}, 16},
	{OFFER_ALL,
	 {OUR_MSS, 1, 1, TS_OF_CLIENT, 1, 3, 3, 0},
	 20,
	 0,
	 {OUR_MSS, 1, 1, TS_OF_SERVER, 1, 3, 3, 7},
	 20},
	{OFFER_ALL,
	 {TS_OF_CLIENT, 3, 3, 14, 4, 2, 2, 4, 2, 0, 0},
	 20,
	 30,
	 {OUR_MSS, 4, 2, TS_OF_SERVER, 1, 3, 3, 7},
	 20},
	/* A shift beyond 14 counts as 14. */
	{OFFER_ALL,
	 {OUR_MSS, 4, 2, TS_OF_CLIENT, 3, 3, 255, 0},
	 20,
	 30,
	 {OUR_MSS, 4, 2, TS_OF_SERVER, 1, 3, 3, 7},
	 20},
	/* What the kernel does not do is not offered. */
	{{.timestamps = 0, .sack = 1, .window_scale = 7},
	 {OUR_MSS, 4, 2, TS_OF_CLIENT, 1, 3, 3, 9},
	 20,
	 0,
	 {OUR_MSS},
	 4},
	{{.timestamps = 1, .sack = 0, .window_scale = 0},
	 {OUR_MSS, 4, 2, TS_OF_CLIENT, 1, 3, 3, 9},
	 20,
	 9,
	 {OUR_MSS, 1, 1, TS_OF_SERVER, 1, 3, 3, 0},
	 20},
	{{.timestamps = 1, .sack = 1, .window_scale = 255},
	 {OUR_MSS, 4, 2, TS_OF_CLIENT, 1, 3, 3, 9},
	 20,
	 31,
	 {OUR_MSS, 4, 2, TS_OF_SERVER},
	 16},
	/* Only padding, and as many options as there can be. */
	{OFFER_ALL, {1, 1, 1, 1}, 4, 0, {OUR_MSS}, 4},
	{OFFER_ALL,
	 {[0] = 1,  [1] = 1,  [2] = 1,	[3] = 1,  [4] = 1,  [5] = 1,  [6] = 1,	   [7] = 1,
	  [8] = 1,  [9] = 1,  [10] = 1, [11] = 1, [12] = 1, [13] = 1, [14] = 1,	   [15] = 1,
	  [16] = 1, [17] = 1, [18] = 1, [19] = 1, [20] = 1, [21] = 1, [22] = 1,	   [23] = 1,
	  [24] = 1, [25] = 1, [26] = 1, [27] = 1, [28] = 1, [29] = 1, TS_OF_CLIENT},
	 40,
	 15,
	 {OUR_MSS, 1, 1, TS_OF_SERVER},
	 16},
	/* Options after the end, of no length, or beyond the header, are none. */
	{OFFER_ALL, {OUR_MSS, 0, 1, TS_OF_CLIENT}, 16, 0, {OUR_MSS}, 4},
	{OFFER_ALL, {OUR_MSS, 77, 0, TS_OF_CLIENT}, 16, 0, {OUR_MSS}, 4},
	{OFFER_ALL, {OUR_MSS, 77, 1, TS_OF_CLIENT}, 16, 0, {OUR_MSS}, 4},
	{OFFER_ALL, {OUR_MSS, 8, 10, 0, 0}, 8, 0, {OUR_MSS}, 4},
	{OFFER_ALL, {OUR_MSS, 1, 1, 1, 8}, 8, 0, {OUR_MSS}, 4},
	/* An unknown one is passed over: here, a request for Fast Open. */
	{OFFER_ALL, {OUR_MSS, 34, 2, TS_OF_CLIENT}, 16, 15, {OUR_MSS, 1, 1, TS_OF_SERVER}, 16},
	/* A wrong length makes it unknown. */
	{OFFER_ALL,
	 {2, 6, 0, 99, 0, 0, 4, 3, 0, 3, 4, 9, 9, 1, TS_OF_CLIENT},
	 24,
	 15,
	 {OUR_MSS, 1, 1, TS_OF_SERVER},
	 16},
};

static void answer_offers_what_both_sides_can_and_the_cookie_carries(void **state)
{
	struct given given = given_challenge(state);

	for (size_t i = 0; i < ARRAY_SIZE(option_cases); i++) {
		const struct option_case *c = &option_cases[i];
		struct answer answer;
		uint8_t expected[20];

		print_message("# options %zu\n", i);
		memcpy(expected, c->answered, sizeof(expected));
		if (c->answered_size > 8) {
			expected[10] = (960 + c->bits) >> 8;
			expected[11] = (uint8_t)(960 + c->bits);
		}
		given.xdp->live->offer = c->offer;
		challenged(given.xdp,
			   LAYERS(ETH, IP4(), TCP(SYN, .text = c->said, .bytes = c->said_size)),
			   &answer);
		assert_int_equal(answer.options_size, c->answered_size);
		assert_memory_equal(answer.options, expected, c->answered_size);
	}
	end_challenge(&given);
}

static void own_mss_follows_the_mtu(void **state)
{
	static const struct {
		const char *command;
		uint32_t v4, v6;
	} cases[] = {
		{"ip link set lo mtu 1280", 1240, 1220},
		{"ip link set lo mtu 9000", 8960, 8940},
		{"ip link set lo mtu 65536", 65495, 65475},
	};
	struct given given = given_challenge(state);
	struct answer answer;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		run_command(cases[i].command);
		challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
		assert_int_equal(get_16(answer.options + 2), cases[i].v4);
		challenged(given.xdp, LAYERS(ETH, IP6(), LINUX_SYN), &answer);
		assert_int_equal(get_16(answer.options + 2), cases[i].v6);
	}
	end_challenge(&given);
}

/* The frame does not grow; what there is after the SYN may be written over. */
static void options_take_no_more_room_than_the_frame_has(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer;

	challenged(given.xdp, LAYERS(ETH, IP4(), TCP(SYN)), &answer);
	assert_int_equal(answer.options_size, 0);
	challenged(given.xdp, LAYERS(ETH, IP4(), TCP(SYN), PADDING(6)), &answer);
	assert_int_equal(answer.options_size, 4);
	challenged(given.xdp,
		   LAYERS(ETH, IP6(),
			  TCP(SYN, .text = (const uint8_t[]){TS_OF_CLIENT, 1, 1}, .bytes = 12)),
		   &answer);
	assert_int_equal(answer.options_size, 4);
	end_challenge(&given);
}

static void early_data_is_neither_acknowledged_nor_returned_as_data(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer;

	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN, DATA(1000)), &answer);
	assert_int_equal(answer.options_size, 20);
	challenged(given.xdp, LAYERS(ETH, IP6(), LINUX_SYN, DATA(1001)), &answer);
	end_challenge(&given);
}

static void ecn_is_not_agreed_on(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer;

	challenged(given.xdp, LAYERS(ETH, IP4(), TCP(SYN | ECE | CWR)), &answer);
	end_challenge(&given);
}

static void listener_of_both_families_answers_ipv4(void **state)
{
	struct thr_xdp *xdp = given_overload(state, THR_OVERLOAD_CHALLENGE);
	int listener = given_listener("::", 80, 64);
	struct answer answer;

	challenged(xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	challenged(xdp, LAYERS(ETH, IP6(), LINUX_SYN), &answer);
	close(listener);
}

/* --- what is not answered --- */

static void syn_without_a_listener_is_dropped(void **state)
{
	struct thr_xdp *xdp = given_overload(state, THR_OVERLOAD_CHALLENGE);
	int port = given_listener(SERVER, 81, 64), address = given_listener(CLIENT, 80, 64);

	assert_reason(thr_xdp_send(xdp, LAYERS(ETH, IP4(), LINUX_SYN)), UNCHALLENGED);
	assert_reason(thr_xdp_send(xdp, LAYERS(ETH, IP6(), LINUX_SYN)), UNCHALLENGED);
	close(port);
	close(address);
}

static void shapes_that_cannot_be_answered_are_dropped(void **state)
{
	static const uint8_t md5[20] = {19, 18}, ao[16] = {2, 4, 5, 0xb4, 29, 12};
	struct given given = given_challenge(state);
	struct thr_xdp *xdp = given.xdp;

	assert_reason(thr_xdp_send(xdp, LAYERS(ETH, IP4(.bytes = 4), LINUX_SYN)), UNCHALLENGED);
	assert_reason(thr_xdp_send(xdp, LAYERS(ETH, IP6(), EXT(IPPROTO_DSTOPTS), LINUX_SYN)),
		      UNCHALLENGED);
	assert_reason(thr_xdp_send(xdp, LAYERS(ETH, IP4(.fragment = MORE4), LINUX_SYN, DATA(8))),
		      UNCHALLENGED);
	assert_reason(thr_xdp_send(xdp, LAYERS(ETH, IP6(), EXT(IPPROTO_FRAGMENT, .fragment = MORE6),
					       LINUX_SYN, DATA(8))),
		      UNCHALLENGED);
	assert_reason(thr_xdp_send(xdp, LAYERS(ETH, IP4(), LINUX_SYN, DATA(9000))), UNCHALLENGED);
	assert_reason(thr_xdp_send(xdp, LAYERS(ETH, IP4(), TCP(SYN, .text = md5, .bytes = 20))),
		      UNCHALLENGED);
	assert_reason(thr_xdp_send(xdp, LAYERS(ETH, IP4(), TCP(SYN, .text = ao, .bytes = 16))),
		      UNCHALLENGED);
	end_challenge(&given);
}

static void sources_that_no_connection_has_are_not_answered(void **state)
{
	static const char *const sources[] = {
		"0.0.0.1", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "ff02::1"};
	struct given given = given_challenge(state);

	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		if (strchr(sources[i], ':'))
			assert_reason(thr_xdp_send(given.xdp, SYN6_FROM(sources[i])), UNCHALLENGED);
		else
			assert_reason(thr_xdp_send(given.xdp, SYN_FROM(sources[i])), UNCHALLENGED);
	}
	end_challenge(&given);
}

static void group_address_of_the_link_is_not_answered(void **state)
{
	struct given given = given_challenge(state);
	struct thr_frame sent, after;

	thr_frame_build(LAYERS(ETH, IP4(), LINUX_SYN), &sent);
	sent.bytes[0] |= 1;
	assert_reason(thr_xdp_exchange(given.xdp, &sent, &after), UNCHALLENGED);
	end_challenge(&given);
}

static void syn_that_would_be_forwarded_is_not_answered(void **state)
{
	struct thr_xdp *xdp = given_overload(state, THR_OVERLOAD_CHALLENGE);
	int listener = given_listener("::", 80, 64);
	struct answer answer;

	write_sysctl("ipv4/ip_forward", "1");
	write_sysctl("ipv6/conf/all/forwarding", "1");
	challenged(xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	challenged(xdp, LAYERS(ETH, IP6(), LINUX_SYN), &answer);
	run_command("ip addr del " SERVER "/32 dev lo && ip route add " SERVER "/32 dev lo");
	run_command("ip -6 addr del " SERVER6 "/128 dev lo && ip -6 route add " SERVER6
		    "/128 dev lo");
	assert_reason(thr_xdp_send(xdp, LAYERS(ETH, IP4(), LINUX_SYN)), UNCHALLENGED);
	assert_reason(thr_xdp_send(xdp, LAYERS(ETH, IP6(), LINUX_SYN)), UNCHALLENGED);
	close(listener);
}

static void kernel_that_makes_no_cookies_is_not_spoken_for(void **state)
{
	struct given given = given_challenge(state);

	write_sysctl("ipv4/tcp_syncookies", "1");
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN)), UNCHALLENGED);
	write_sysctl("ipv4/tcp_syncookies", "0");
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN)), UNCHALLENGED);
	end_challenge(&given);
}

static void full_accept_queue_takes_no_more(void **state)
{
	struct thr_xdp *xdp = given_overload(state, THR_OVERLOAD_CHALLENGE);
	int listener = given_listener(SERVER, 80, 0), connection;
	struct answer answer;

	challenged(xdp, SYN_FROM("203.0.113.1"), &answer);
	connection = given_connection(CLIENT, SERVER, 80);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("203.0.113.1")), UNCHALLENGED);
	close(connection);
	close(listener);
}

static void syn_for_a_known_connection_passes_to_the_kernel(void **state)
{
	struct given given = given_challenge(state);
	int v4 = given_connection(CLIENT, SERVER, 80), v6 = given_connection(CLIENT6, SERVER6, 80);
	struct answer answer;

	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN)), NEW_CONNECTION);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP6(), LINUX_SYN)), NEW_CONNECTION);
	challenged(given.xdp, LAYERS(ETH, IP4(), TCP(SYN, .from = 40001)), &answer);
	close(v4);
	close(v6);
	end_challenge(&given);
}

/* --- the other policies --- */

static void other_policies_answer_nothing(void **state)
{
	struct thr_xdp *xdp = given_overload(state, THR_OVERLOAD_DROP);
	int listener = given_listener(SERVER, 80, 64);

	assert_reason(thr_xdp_send(xdp, LAYERS(ETH, IP4(), LINUX_SYN)), NEW_SOURCES_OVER);
	xdp->services[WEB].on_overload = THR_OVERLOAD_PASS;
	assert_reason(thr_xdp_send(xdp, LAYERS(ETH, IP4(), LINUX_SYN)), OVERLOAD_PASSED);
	assert_int_equal(xdp->live->challenged_until, 0);
	close(listener);
}

static void monitor_counts_and_answers_nothing(void **state)
{
	struct given given = given_challenge(state);
	struct thr_frame sent, after;

	thr_xdp_publish(given.xdp, 0, THR_ACTION_MONITOR);
	thr_frame_build(LAYERS(ETH, IP4(), LINUX_SYN), &sent);
	assert_reason(thr_xdp_exchange(given.xdp, &sent, &after), CHALLENGED);
	assert_int_equal(after.size, sent.size);
	assert_memory_equal(after.bytes, sent.bytes, sent.size);
	end_challenge(&given);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CHALLENGE_TEST(syn_beyond_the_budget_is_answered),
		CHALLENGE_TEST(ipv6_syn_beyond_the_budget_is_answered),
		CHALLENGE_TEST(tags_stay_in_the_answer),
		CHALLENGE_TEST(timestamp_is_not_ahead_of_the_clock),
		CHALLENGE_TEST(answer_offers_what_both_sides_can_and_the_cookie_carries),
		CHALLENGE_TEST(own_mss_follows_the_mtu),
		CHALLENGE_TEST(options_take_no_more_room_than_the_frame_has),
		CHALLENGE_TEST(early_data_is_neither_acknowledged_nor_returned_as_data),
		CHALLENGE_TEST(ecn_is_not_agreed_on),
		CHALLENGE_TEST(listener_of_both_families_answers_ipv4),
		CHALLENGE_TEST(syn_without_a_listener_is_dropped),
		CHALLENGE_TEST(shapes_that_cannot_be_answered_are_dropped),
		CHALLENGE_TEST(sources_that_no_connection_has_are_not_answered),
		CHALLENGE_TEST(group_address_of_the_link_is_not_answered),
		CHALLENGE_TEST(syn_that_would_be_forwarded_is_not_answered),
		CHALLENGE_TEST(kernel_that_makes_no_cookies_is_not_spoken_for),
		CHALLENGE_TEST(full_accept_queue_takes_no_more),
		CHALLENGE_TEST(syn_for_a_known_connection_passes_to_the_kernel),
		CHALLENGE_TEST(other_policies_answer_nothing),
		CHALLENGE_TEST(monitor_counts_and_answers_nothing),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
