/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The parser on the host. Every packet is cut at every length and put right
 * before a page that must not be touched: a read past the end is a fault. What
 * a cut packet comes to follows from the header that the cut goes through.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/packet.h"
#include "support/run.h"
#include "support/host_bpf.h"
#include "parse.h"
#include "classify.h"
#include "established.h"

#define ARENA (64 * 1024)

/* `size` bytes of `frame`, ended by the page that must not be touched. */
static const uint8_t *before_the_edge(const struct thr_frame *frame, size_t size)
{
	static uint8_t *edge;

	if (!edge) {
		size_t page = sysconf(_SC_PAGESIZE);
		uint8_t *arena = mmap(NULL, ARENA + page, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		assert_true(arena != MAP_FAILED);
		assert_int_equal(mprotect(arena + ARENA, page, PROT_NONE), 0);
		edge = arena + ARENA;
	}
	assert_true(size <= ARENA);
	memcpy(edge - size, frame->bytes, size);
	return edge - size;
}

static int parse(const struct thr_layer *layers, struct packet *packet)
{
	struct thr_frame frame;
	const uint8_t *bytes;

	thr_frame_build(layers, &frame);
	bytes = before_the_edge(&frame, frame.size);
	memset(packet, 0, sizeof(*packet));
	return parse_frame(bytes, bytes + frame.size, packet);
}

/* --- every length --- */

#define EXT8(kind)                                                                                 \
	EXT(kind), EXT(kind), EXT(kind), EXT(kind), EXT(kind), EXT(kind), EXT(kind), EXT(kind)
#define LONG8(kind)                                                                                \
	EXT(kind, .bytes = 2040), EXT(kind, .bytes = 2040), EXT(kind, .bytes = 2040),              \
		EXT(kind, .bytes = 2040), EXT(kind, .bytes = 2040), EXT(kind, .bytes = 2040),      \
		EXT(kind, .bytes = 2040), EXT(kind, .bytes = 2040)

static const struct {
	const char *name;
	const struct thr_layer *layers;
} whole[] = {
	{"every_length_of_ipv4_syn", LAYERS(ETH, IP4(), TCP(SYN))},
	{"every_length_of_ipv4_ack_with_data", LAYERS(ETH, IP4(), TCP(ACK), DATA(40))},
	{"every_length_of_ipv4_options",
	 LAYERS(ETH, IP4(.bytes = 40), TCP(SYN, .bytes = 40), DATA(7))},
	{"every_length_of_ipv4_udp", LAYERS(ETH, IP4(), UDP(), DATA(33))},
	{"every_length_of_ipv4_icmp", LAYERS(ETH, IP4(), ICMP(8), DATA(56))},
	{"every_length_of_ipv4_gre", LAYERS(ETH, IP4(.next = SAYS(47)), DATA(24))},
	{"every_length_of_ipv4_first_fragment",
	 LAYERS(ETH, IP4(.fragment = MORE4), TCP(SYN), DATA(4))},
	{"every_length_of_ipv4_later_fragment",
	 LAYERS(ETH, IP4(.fragment = OFFSET4(1480)), DATA(64))},
	{"every_length_of_tagged_ipv4", LAYERS(ETH, TAG, IP4(), TCP(SYN))},
	{"every_length_of_four_tags",
	 LAYERS(ETH, STAG, TAG, TAG, TAG, IP4(.bytes = 4), UDP(), DATA(5))},
	{"every_length_of_ipv6_syn", LAYERS(ETH, IP6(), TCP(SYN))},
	{"every_length_of_ipv6_tcp_options", LAYERS(ETH, IP6(), TCP(ACK, .bytes = 12), DATA(9))},
	{"every_length_of_ipv6_udp", LAYERS(ETH, IP6(), UDP(), DATA(5))},
	{"every_length_of_ipv6_neighbor_solicitation",
	 LAYERS(ETH, IP6(.hops = 255), ICMP(135), DATA(16))},
	{"every_length_of_ipv6_esp", LAYERS(ETH, IP6(.next = SAYS(50)), DATA(16))},
	{"every_length_of_qinq_ipv6",
	 LAYERS(ETH, STAG, TAG, IP6(), EXT(IPPROTO_HOPOPTS), TCP(SYN))},
	{"every_length_of_ipv6_auth", LAYERS(ETH, IP6(), EXT(IPPROTO_AH, .bytes = 16), TCP(SYN))},
	{"every_length_of_ipv6_routing_and_atomic_fragment",
	 LAYERS(ETH, IP6(), EXT(IPPROTO_ROUTING, .bytes = 48), EXT(IPPROTO_FRAGMENT), UDP())},
	{"every_length_of_ipv6_later_fragment",
	 LAYERS(ETH, IP6(), EXT(IPPROTO_FRAGMENT, .fragment = OFFSET6(1448)), DATA(32))},
	{"every_length_of_ipv6_8_extensions", LAYERS(ETH, IP6(), EXT8(IPPROTO_DSTOPTS), ICMP(128))},
	{"every_length_of_ipv6_longest_headers",
	 LAYERS(ETH, TAG, TAG, TAG, TAG, IP6(), LONG8(IPPROTO_DSTOPTS), TCP(SYN))},
	{"every_length_of_ipv6_jumbogram",
	 LAYERS(ETH, IP6(.length = SAYS(0)), EXT(IPPROTO_HOPOPTS), TCP(SYN), DATA(10))},
};

/* How much of the layer's header the parser must see, and what it says when
 * that is not there; 0 when it asks for nothing. */
static size_t header_of(const struct thr_layer *layer, int *ret_reason)
{
	static const struct {
		size_t bytes; /* 0: all of the layer */
		int reason;
	} headers[] = {
		[THR_LAYER_ETHERNET] = {14, THR_REASON_SHORT_ETHERNET},
		[THR_LAYER_TAG] = {4, THR_REASON_SHORT_VLAN},
		[THR_LAYER_IP4] = {0, THR_REASON_SHORT_IPV4},
		[THR_LAYER_IP6] = {40, THR_REASON_SHORT_IPV6},
		[THR_LAYER_EXTENSION] = {8, THR_REASON_SHORT_EXTENSION},
		[THR_LAYER_TCP] = {20, THR_REASON_SHORT_TCP},
		[THR_LAYER_UDP] = {8, THR_REASON_SHORT_UDP},
		[THR_LAYER_ICMP] = {8, THR_REASON_SHORT_ICMP},
		[THR_LAYER_DATA] = {0, 0},
	};

	*ret_reason = headers[layer->kind].reason;
	if (!*ret_reason)
		return 0;
	return headers[layer->kind].bytes ? headers[layer->kind].bytes : thr_layer_size(layer);
}

/* The reason of the first header that does not lie in `size` bytes; 0: none. */
static int expected_of(const struct thr_layer *layers, size_t size)
{
	size_t at = 0;
	int reason;

	for (; layers->kind != THR_LAYER_END; layers++) {
		if (at + header_of(layers, &reason) > size && reason)
			return reason;
		at += thr_layer_size(layers);
	}
	return 0;
}

static void every_length_has_its_reason(void **state)
{
	const struct thr_layer *layers = *state;
	struct thr_frame frame;
	struct packet complete;

	assert_int_equal(parse(layers, &complete), 0);
	thr_frame_build(layers, &frame);
	assert_int_equal(complete.upper + complete.left, frame.size);
	for (size_t size = 0; size <= frame.size; size++) {
		const uint8_t *bytes = before_the_edge(&frame, size);
		struct packet packet = {0};
		int reason = parse_frame(bytes, bytes + size, &packet);

		if (reason != expected_of(layers, size))
			print_error("# cut to %zu of %zu bytes\n", size, frame.size);
		assert_int_equal(reason, expected_of(layers, size));
		if (!reason) {
			assert_int_equal(packet.upper, complete.upper);
			assert_int_equal(packet.protocol, complete.protocol);
			assert_int_equal(packet.port, complete.port);
		}
	}
}

/* The short way must see no more of a frame than the long way does. */
static void shortcut_takes_only_whole_segments(void **state)
{
	const struct thr_layer *layers[] = {
		LAYERS(ETH, IP4(), TCP(ACK, .bytes = 12), DATA(9)),
		LAYERS(ETH, IP6(), TCP(FIN | ACK), DATA(9)),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(layers); i++) {
		struct thr_frame frame;

		thr_frame_build(layers[i], &frame);
		for (size_t size = 0; size <= frame.size; size++) {
			const uint8_t *bytes = before_the_edge(&frame, size);

			assert_int_equal(is_established(bytes, bytes + size), size == frame.size);
		}
	}
}

/* --- what a packet is read as --- */

static void assert_source(const struct thr_layer *layers, const char *text)
{
	struct in6_addr expected;
	struct thr_frame frame;
	struct packet packet = {0};
	const uint8_t *bytes;
	__be64 source[2];

	thr_frame_build(layers, &frame);
	bytes = before_the_edge(&frame, frame.size);
	assert_int_equal(parse_frame(bytes, bytes + frame.size, &packet), 0);
	assert_true(parse_source(bytes, bytes + frame.size, &packet, source));
	thr_packet_address(text, &expected);
	assert_memory_equal(source, &expected, sizeof(source));
}

static void source_is_read_through_tags_and_options(void **state)
{
	const char *v4 = "203.0.113.77", *v6 = "2001:db8:1:2:3:4:5:6";

	(void)state;
	assert_source(LAYERS(ETH, IP4(.source = v4), TCP(SYN)), v4);
	assert_source(LAYERS(ETH, STAG, TAG, IP4(.source = v4, .bytes = 40), UDP()), v4);
	assert_source(LAYERS(ETH, IP4(.source = v4, .fragment = OFFSET4(1480)), DATA(8)), v4);
	assert_source(LAYERS(ETH, IP6(.source = v6), TCP(SYN)), v6);
	assert_source(LAYERS(ETH, TAG, IP6(.source = v6), EXT(IPPROTO_HOPOPTS), ICMP(128)), v6);
}

static void ports_and_flags_are_those_of_the_upper_layer(void **state)
{
	struct packet packet;

	(void)state;
	assert_int_equal(parse(LAYERS(ETH, IP4(), TCP(SYN | ECE, .port = 65535)), &packet), 0);
	assert_int_equal(packet.port, 65535);
	assert_int_equal(packet.tcp_flags, SYN | ECE);
	assert_int_equal(packet.protocol, IPPROTO_TCP);
	assert_false(packet.is_v6);
	assert_int_equal(parse(LAYERS(ETH, IP6(), EXT(IPPROTO_DSTOPTS), UDP(.port = 443)), &packet),
			 0);
	assert_int_equal(packet.port, 443);
	assert_int_equal(packet.tcp_flags, 0);
	assert_int_equal(packet.protocol, IPPROTO_UDP);
	assert_true(packet.is_v6);
	assert_int_equal(parse(LAYERS(ETH, IP4(), ICMP(8)), &packet), 0);
	assert_int_equal(packet.port, 0);
	assert_int_equal(
		parse(LAYERS(ETH, IP4(.fragment = OFFSET4(1480)), TCP(SYN, .port = 80)), &packet),
		0);
	assert_int_equal(packet.port, 0);
	assert_int_equal(packet.tcp_flags, 0);
}

static void fragments_are_told_apart_in_both_families(void **state)
{
	struct packet packet;

	(void)state;
	assert_int_equal(parse(LAYERS(ETH, IP4(.fragment = DONT4), TCP(SYN)), &packet), 0);
	assert_false(packet_is_first_fragment(&packet) || packet_is_later_fragment(&packet));
	assert_int_equal(parse(LAYERS(ETH, IP4(.fragment = MORE4), TCP(SYN)), &packet), 0);
	assert_true(packet_is_first_fragment(&packet) && !packet_is_later_fragment(&packet));
	assert_int_equal(
		parse(LAYERS(ETH, IP4(.fragment = MORE4 | OFFSET4(65528)), DATA(8)), &packet), 0);
	assert_true(!packet_is_first_fragment(&packet) && packet_is_later_fragment(&packet));
	assert_int_equal(packet.fragment & PARSE_OFFSET, 65528);
	assert_int_equal(parse(LAYERS(ETH, IP6(), EXT(IPPROTO_FRAGMENT), TCP(SYN)), &packet), 0);
	assert_false(packet_is_first_fragment(&packet) || packet_is_later_fragment(&packet));
	assert_int_equal(
		parse(LAYERS(ETH, IP6(), EXT(IPPROTO_FRAGMENT, .fragment = MORE6), TCP(SYN)),
		      &packet),
		0);
	assert_true(packet_is_first_fragment(&packet) && !packet_is_later_fragment(&packet));
	assert_int_equal(
		parse(LAYERS(ETH, IP6(), EXT(IPPROTO_FRAGMENT, .fragment = OFFSET6(8) | MORE6),
			     DATA(8)),
		      &packet),
		0);
	assert_true(!packet_is_first_fragment(&packet) && packet_is_later_fragment(&packet));
}

static void neighbor_discovery_comes_from_the_link_alone(void **state)
{
	struct packet packet;

	(void)state;
	for (int type = 0; type < 256; type++) {
		assert_int_equal(parse(LAYERS(ETH, IP6(.hops = 255), ICMP(type)), &packet), 0);
		assert_int_equal(packet.neighbor, type >= 133 && type <= 137);
		assert_int_equal(parse(LAYERS(ETH, IP6(.hops = 254), ICMP(type)), &packet), 0);
		assert_false(packet.neighbor);
		assert_int_equal(parse(LAYERS(ETH, IP4(.hops = 255), ICMP(type)), &packet), 0);
		assert_false(packet.neighbor);
	}
}

/* --- what a segment is, for every combination of its flags --- */

static int reason_of_flags(uint8_t flags)
{
	struct packet packet;
	struct traffic traffic;
	int reason;

	assert_int_equal(parse(LAYERS(ETH, IP4(), TCP(flags)), &packet), 0);
	reason = classify_packet(&packet, 0, &traffic);
	return reason ? reason : (int)traffic.pass;
}

static void every_combination_of_flags_has_its_reason(void **state)
{
	(void)state;
	for (int flags = 0; flags < 256; flags++) {
		int expected = THR_REASON_ESTABLISHED;

		if (flags & SYN)
			expected = flags & FIN	 ? THR_REASON_SYN_FIN
				   : flags & RST ? THR_REASON_SYN_RST
				   : flags & ACK ? THR_REASON_ESTABLISHED
						 : THR_REASON_NEW_CONNECTION;
		assert_int_equal(reason_of_flags(flags), expected);
	}
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest facts[] = {
		cmocka_unit_test(shortcut_takes_only_whole_segments),
		cmocka_unit_test(source_is_read_through_tags_and_options),
		cmocka_unit_test(ports_and_flags_are_those_of_the_upper_layer),
		cmocka_unit_test(fragments_are_told_apart_in_both_families),
		cmocka_unit_test(neighbor_discovery_comes_from_the_link_alone),
		cmocka_unit_test(every_combination_of_flags_has_its_reason),
	};
	struct CMUnitTest tests[ARRAY_SIZE(whole) + ARRAY_SIZE(facts)];

	for (size_t i = 0; i < ARRAY_SIZE(whole); i++)
		tests[i] = (struct CMUnitTest){whole[i].name, every_length_has_its_reason, NULL,
					       NULL, (void *)whole[i].layers};
	memcpy(tests + ARRAY_SIZE(whole), facts, sizeof(facts));
	return THR_RUN_TESTS(tests, argc, argv);
}
