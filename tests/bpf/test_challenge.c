/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SYN in, SYN-ACK out: the challenge against the kernel's own listeners, in a network
 * namespace of each test's own. Whether the kernel then takes the connection is for
 * tests/netns.
 */
#include "support/run.h"
#include "support/xdp.h"

#include <endian.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

/* Who the frames of support/packet.h are sent to, and from. */
#define SERVER "198.51.100.1"
#define SERVER6 "2001:db8::99"
#define CLIENT "192.0.2.1"
#define CLIENT6 "2001:db8::1"
#define WEB 7
#define SEQUENCE 0x89abcdef

#define MINUTE (60 * NS_PER_S)

/* --- given --- */

static void write_sysctl(const char *name, const char *value)
{
	char path[128];
	int file;

	snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
	file = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(file >= 0);
	assert_int_equal(write(file, value, strlen(value)), (ssize_t)strlen(value));
	close(file);
}

static void run(const char *command)
{
	assert_int_equal(system(command), 0);
}

static int setup(void **state)
{
	*state = NULL;
	if (geteuid() != 0)
		return 0;
	if (unshare(CLONE_NEWNET))
		return -1;
	return thr_xdp_setup(state);
}

static void given_address(const char *text, in_port_t port, struct sockaddr_storage *ret_address)
{
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret_address;
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret_address;

	memset(ret_address, 0, sizeof(*ret_address));
	v4->sin_port = htons(port); /* where IPv6 has it too */
	v4->sin_family = strchr(text, ':') ? AF_INET6 : AF_INET;
	assert_int_equal(inet_pton(v4->sin_family, text,
				   v4->sin_family == AF_INET ? (void *)&v4->sin_addr
							     : (void *)&v6->sin6_addr),
			 1);
}

/* The kernel sets the route to an IPv6 address of its own a moment after the address, and
 * tells nobody who has no netlink socket: asked for once a millisecond, for 10 seconds. */
static void wait_for_route(const char *address)
{
	struct sockaddr_storage to;
	int tries = 10000, probe = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	given_address(address, 9, &to);
	while (connect(probe, (struct sockaddr *)&to, sizeof(struct sockaddr_in6)) && tries--)
		usleep(1000);
	assert_true(tries > 0);
	close(probe);
}

/* The frames' addresses are the machine's own; a budget of one connection an hour for
 * port 80, which is used up; what is offered is what Linux offers by default. */
static struct thr_xdp *given_overload(void **state, enum thr_overload policy)
{
	struct thr_xdp *xdp = thr_xdp_given(state);
	uint64_t interval = thr_bucket_interval(1, 3600);

	run("ip link set lo mtu 1500 up");
	run("ip addr add " SERVER "/32 dev lo && ip addr add " CLIENT "/32 dev lo");
	run("ip -6 addr add " SERVER6 "/128 dev lo && ip -6 addr add " CLIENT6 "/128 dev lo");
	wait_for_route(SERVER6);
	wait_for_route(CLIENT6);
	write_sysctl("ipv4/tcp_syncookies", "2");
	write_sysctl("ipv4/tcp_timestamps", "2");
	xdp->services[WEB] = (struct thr_service){
		.name = "web",
		.on_overload = policy,
		.new_sources = {.interval = interval, .window = interval >> THR_INTERVAL_TO_TICK},
	};
	thr_xdp_serve(xdp, 0, 80, WEB);
	xdp->live->slot[0].flags |= THR_HAS_BUDGETS | THR_HAS_CHALLENGES;
	xdp->live->slot[0].v6_source_mask[0] = ~0ULL;
	xdp->live->offer = (struct thr_offer){.timestamps = 1, .sack = 1, .window_scale = 7};
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("203.0.113.77")), NEW_CONNECTION);
	return xdp;
}

static int given_socket(const char *address, in_port_t port)
{
	struct sockaddr_storage bound;
	int made;

	given_address(address, port, &bound);
	made = socket(bound.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(made >= 0);
	assert_int_equal(bind(made, (struct sockaddr *)&bound, sizeof(bound)), 0);
	return made;
}

static int given_listener(const char *address, in_port_t port, int backlog)
{
	int listener = given_socket(address, port);

	assert_int_equal(listen(listener, backlog), 0);
	return listener;
}

/* A connection to the server from port 40000, as the frames have it. */
static int given_connection(const char *client, const char *server)
{
	struct sockaddr_storage to;
	int connection = given_socket(client, 40000);

	given_address(server, 80, &to);
	assert_int_equal(connect(connection, (struct sockaddr *)&to, sizeof(to)), 0);
	return connection;
}

/* Budget used up, policy challenge, listeners on both families. */
struct given {
	struct thr_xdp *xdp;
	int v4, v6;
};

static struct given given_challenge(void **state)
{
	struct given given = {.xdp = given_overload(state, THR_OVERLOAD_CHALLENGE)};

	given.v4 = given_listener(SERVER, 80, 64);
	given.v6 = given_listener(SERVER6, 80, 64);
	return given;
}

static void end(const struct given *given)
{
	close(given->v4);
	close(given->v6);
}

/* What Linux says in a SYN: MSS 1460, SACK, timestamps, window scale 9. */
static const uint8_t linux_options[20] = {2,	4,    0x05, 0xb4, 4, 2, 8, 10, 0x11, 0x22,
					  0x33, 0x44, 0,    0,	  0, 0, 1, 3,  3,    9};
#define LINUX_SYN                                                                                  \
	TCP(SYN, .sequence = SEQUENCE, .text = linux_options, .bytes = sizeof(linux_options))

/* --- when: the SYN is sent --- */

struct answer {
	struct thr_frame frame;
	size_t network, upper; /* offsets */
	bool is_v6;
	const uint8_t *options;
	size_t options_size;
	uint32_t cookie;
};

static uint32_t get_16(const uint8_t *at)
{
	return at[0] << 8 | at[1];
}

static uint32_t get_32(const uint8_t *at)
{
	return get_16(at) << 16 | get_16(at + 2);
}

/* The sum of RFC 1071; 0xffff over what holds its own checksum. */
static uint32_t sum(const uint8_t *at, size_t size, uint32_t so_far)
{
	for (size_t i = 0; i + 1 < size; i += 2)
		so_far += get_16(at + i);
	assert_int_equal(size % 2, 0);
	while (so_far >> 16)
		so_far = (so_far & 0xffff) + (so_far >> 16);
	return so_far;
}

static void assert_checksums(const struct answer *answer)
{
	const uint8_t *ip = answer->frame.bytes + answer->network;
	const uint8_t *tcp = answer->frame.bytes + answer->upper;
	size_t size = 20 + answer->options_size;
	uint32_t addresses;

	if (!answer->is_v6)
		assert_int_equal(sum(ip, 20, 0), 0xffff);
	addresses = answer->is_v6 ? sum(ip + 8, 32, 0) : sum(ip + 12, 8, 0);
	assert_int_equal(sum(tcp, size, addresses + IPPROTO_TCP + size), 0xffff);
}

/* Of the frame that came back for `sent`: everything that is not an option. */
static void assert_answers(const struct thr_frame *sent, const struct answer *answer)
{
	const uint8_t *was = sent->bytes, *is = answer->frame.bytes;
	size_t network = answer->network, upper = answer->upper;
	size_t size = answer->is_v6 ? 16 : 4, addresses = upper - 2 * size;

	assert_int_equal(answer->frame.size, sent->size);
	assert_memory_equal(is, was + 6, 6);
	assert_memory_equal(is + 6, was, 6);
	assert_memory_equal(is + 12, was + 12, network - 12);
	assert_memory_equal(is + addresses, was + addresses + size, size);
	assert_memory_equal(is + addresses + size, was + addresses, size);
	if (answer->is_v6) {
		assert_int_equal(get_32(is + network), 0x60000000);
		assert_int_equal(get_16(is + network + 4), 20 + answer->options_size);
		assert_int_equal(get_16(is + network + 6), IPPROTO_TCP << 8 | 64);
	} else {
		assert_int_equal(get_32(is + network), 0x45000000 | (40 + answer->options_size));
		assert_int_equal(get_32(is + network + 4), 0x4000); /* don't fragment */
		assert_int_equal(get_16(is + network + 8), 64 << 8 | IPPROTO_TCP);
	}
	assert_memory_equal(is + upper, was + upper + 2, 2);
	assert_memory_equal(is + upper + 2, was + upper, 2);
	assert_int_equal(get_32(is + upper + 8), get_32(was + upper + 4) + 1);
	assert_int_equal(is[upper + 13], SYN | ACK);
	assert_in_range(get_16(is + upper + 14), 32768, 65535);
	assert_int_equal(get_16(is + upper + 18), 0);
	assert_checksums(answer);
}

/* Send a SYN that must be answered, and look at the answer. */
static void challenged(struct thr_xdp *xdp, const struct thr_layer *layers,
		       struct answer *ret_answer)
{
	struct thr_frame sent;
	const uint8_t *bytes = ret_answer->frame.bytes;
	size_t at = 12;

	thr_frame_build(layers, &sent);
	assert_reason(thr_xdp_exchange(xdp, &sent, &ret_answer->frame), CHALLENGED);
	while (get_16(bytes + at) == 0x8100 || get_16(bytes + at) == 0x88a8)
		at += 4;
	ret_answer->is_v6 = get_16(bytes + at) == 0x86dd;
	ret_answer->network = at + 2;
	ret_answer->upper = at + 2 + (ret_answer->is_v6 ? 40 : 20);
	ret_answer->options = bytes + ret_answer->upper + 20;
	ret_answer->options_size = (bytes[ret_answer->upper + 12] >> 4) * 4 - 20;
	ret_answer->cookie = get_32(bytes + ret_answer->upper + 4);
	assert_answers(&sent, ret_answer);
}

/* The segment that returns the cookie, with these flags; IP4() or IP6() before it. */
#define RETURNS(answer, flags)                                                                     \
	TCP(flags, .sequence = SEQUENCE + 1, .acknowledges = (answer).cookie + 1)

static enum thr_reason complete(struct thr_xdp *xdp, const char *address)
{
	struct answer answer;

	challenged(xdp, LAYERS(ETH, IP4(.source = address), LINUX_SYN), &answer);
	return thr_xdp_send(xdp, LAYERS(ETH, IP4(.source = address), RETURNS(answer, ACK)));
}

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
	end(&given);
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
	end(&given);
}

static void tags_stay_in_the_answer(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer;

	challenged(given.xdp, LAYERS(ETH, TAG, IP4(), LINUX_SYN), &answer);
	challenged(given.xdp, LAYERS(ETH, STAG, TAG, IP4(), LINUX_SYN), &answer);
	challenged(given.xdp, LAYERS(ETH, STAG, TAG, TAG, TAG, IP6(), LINUX_SYN), &answer);
	end(&given);
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
	end(&given);
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
	end(&given);
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
		run(cases[i].command);
		challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
		assert_int_equal(get_16(answer.options + 2), cases[i].v4);
		challenged(given.xdp, LAYERS(ETH, IP6(), LINUX_SYN), &answer);
		assert_int_equal(get_16(answer.options + 2), cases[i].v6);
	}
	end(&given);
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
	end(&given);
}

static void early_data_is_neither_acknowledged_nor_returned_as_data(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer;

	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN, DATA(1000)), &answer);
	assert_int_equal(answer.options_size, 20);
	challenged(given.xdp, LAYERS(ETH, IP6(), LINUX_SYN, DATA(1001)), &answer);
	end(&given);
}

static void ecn_is_not_agreed_on(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer;

	challenged(given.xdp, LAYERS(ETH, IP4(), TCP(SYN | ECE | CWR)), &answer);
	end(&given);
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
	end(&given);
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
	end(&given);
}

static void group_address_of_the_link_is_not_answered(void **state)
{
	struct given given = given_challenge(state);
	struct thr_frame sent, after;

	thr_frame_build(LAYERS(ETH, IP4(), LINUX_SYN), &sent);
	sent.bytes[0] |= 1;
	assert_reason(thr_xdp_exchange(given.xdp, &sent, &after), UNCHALLENGED);
	end(&given);
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
	run("ip addr del " SERVER "/32 dev lo && ip route add " SERVER "/32 dev lo");
	run("ip -6 addr del " SERVER6 "/128 dev lo && ip -6 route add " SERVER6 "/128 dev lo");
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
	end(&given);
}

static void full_accept_queue_takes_no_more(void **state)
{
	struct thr_xdp *xdp = given_overload(state, THR_OVERLOAD_CHALLENGE);
	int listener = given_listener(SERVER, 80, 0), connection;
	struct answer answer;

	challenged(xdp, SYN_FROM("203.0.113.1"), &answer);
	connection = given_connection(CLIENT, SERVER);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("203.0.113.1")), UNCHALLENGED);
	close(connection);
	close(listener);
}

static void syn_for_a_known_connection_passes_to_the_kernel(void **state)
{
	struct given given = given_challenge(state);
	int v4 = given_connection(CLIENT, SERVER), v6 = given_connection(CLIENT6, SERVER6);
	struct answer answer;

	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN)), NEW_CONNECTION);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP6(), LINUX_SYN)), NEW_CONNECTION);
	challenged(given.xdp, LAYERS(ETH, IP4(), TCP(SYN, .from = 40001)), &answer);
	close(v4);
	close(v6);
	end(&given);
}

/* --- who completes it --- */

static void cookie_returned_verifies_the_source(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer;

	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), RETURNS(answer, ACK))),
		      CHALLENGE_COMPLETED);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN)), NEW_CONNECTION);
	challenged(given.xdp, LAYERS(ETH, IP4(.source = "192.0.2.2"), LINUX_SYN), &answer);
	end(&given);
}

static void ipv6_cookie_returned_verifies_the_source_and_its_prefix(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer;

	challenged(given.xdp, LAYERS(ETH, IP6(), LINUX_SYN), &answer);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP6(), RETURNS(answer, ACK))),
		      CHALLENGE_COMPLETED);
	assert_reason(thr_xdp_send(given.xdp, SYN6_FROM("2001:db8::2")), NEW_CONNECTION);
	challenged(given.xdp, SYN6_FROM("2001:db8:0:1::1"), &answer);
	end(&given);
}

static void cookie_returned_with_data_through_a_tag_verifies_the_source(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer;

	challenged(given.xdp, LAYERS(ETH, TAG, IP4(), LINUX_SYN), &answer);
	assert_reason(thr_xdp_send(given.xdp,
				   LAYERS(ETH, TAG, IP4(), RETURNS(answer, ACK | PSH), DATA(9000))),
		      CHALLENGE_COMPLETED);
	end(&given);
}

static void wrong_cookie_verifies_nobody(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer, other;

	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	challenged(given.xdp, LAYERS(ETH, IP4(.source = "192.0.2.2"), LINUX_SYN), &other);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), RETURNS(other, ACK))),
		      ESTABLISHED);
	answer.cookie++;
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), RETURNS(answer, ACK))),
		      ESTABLISHED);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), TCP(ACK))), ESTABLISHED);
	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	end(&given);
}

static void resets_and_syns_verify_nobody(void **state)
{
	struct given given = given_challenge(state);
	int connection = given_connection("192.0.2.1", SERVER);
	struct answer answer;

	challenged(given.xdp, LAYERS(ETH, IP4(), TCP(SYN, .sequence = SEQUENCE, .from = 4)),
		   &answer);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), TCP(RST | ACK))), ESTABLISHED);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), TCP(SYN | ACK))), ESTABLISHED);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), TCP(FIN))), ESTABLISHED);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), RETURNS(answer, RST | ACK))),
		      ESTABLISHED);
	challenged(given.xdp, LAYERS(ETH, IP4(), TCP(SYN, .from = 4)), &answer);
	close(connection);
	end(&given);
}

static void connection_that_the_kernel_has_verifies_the_source(void **state)
{
	struct given given = given_challenge(state);
	int v4 = given_connection(CLIENT, SERVER), v6 = given_connection(CLIENT6, SERVER6);
	struct answer answer;

	challenged(given.xdp, SYN_FROM("203.0.113.1"), &answer);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), TCP(ACK))), ESTABLISHED);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP6(), TCP(ACK | FIN))), ESTABLISHED);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), TCP(SYN, .from = 9))),
		      NEW_CONNECTION);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP6(), TCP(SYN, .from = 9))),
		      NEW_CONNECTION);
	close(v4);
	close(v6);
	end(&given);
}

static void source_stays_verified_for_ten_minutes(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer;

	assert_reason(complete(given.xdp, CLIENT), CHALLENGE_COMPLETED);
	thr_xdp_advance(given.xdp, 10 * MINUTE - NS_PER_S);
	assert_reason(thr_xdp_send(given.xdp, SYN_FROM(CLIENT)), NEW_CONNECTION);
	thr_xdp_advance(given.xdp, 2 * NS_PER_S);
	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	end(&given);
}

static void source_whose_time_ran_out_is_verified_by_its_next_cookie(void **state)
{
	struct given given = given_challenge(state);

	assert_reason(complete(given.xdp, CLIENT), CHALLENGE_COMPLETED);
	thr_xdp_advance(given.xdp, 10 * MINUTE + NS_PER_S);
	assert_reason(complete(given.xdp, CLIENT), CHALLENGE_COMPLETED);
	assert_reason(thr_xdp_send(given.xdp, SYN_FROM(CLIENT)), NEW_CONNECTION);
	end(&given);
}

static uint64_t verified_until(const struct thr_xdp *xdp)
{
	struct thr_source_id id = {.source[1] = htobe64(0xffffc0000201)};
	struct thr_expiry entry;
	int map = bpf_object__find_map_fd_by_name(xdp->object, "thr_verified");

	assert_int_equal(bpf_map_lookup_elem(map, &id, &entry), 0);
	return entry.until_ns;
}

static void entry_is_renewed_when_half_of_its_time_is_over(void **state)
{
	struct given given = given_challenge(state);
	int connection = given_connection(CLIENT, SERVER);
	uint64_t first;

	assert_reason(complete(given.xdp, "203.0.113.1"), CHALLENGE_COMPLETED);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), TCP(ACK))), ESTABLISHED);
	first = verified_until(given.xdp);
	thr_xdp_advance(given.xdp, 4 * MINUTE);
	complete(given.xdp, "203.0.113.2");
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), TCP(ACK))), ESTABLISHED);
	assert_int_equal(verified_until(given.xdp), first);
	thr_xdp_advance(given.xdp, MINUTE + NS_PER_S);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), TCP(ACK))), ESTABLISHED);
	assert_int_equal(verified_until(given.xdp), first + 5 * MINUTE + NS_PER_S);
	close(connection);
	end(&given);
}

/* --- cookies that are returned again --- */

static void given_limit(struct thr_xdp *xdp, uint64_t burst)
{
	GRANT(xdp, .policy = WEB, .kind = THR_CONNECTIONS, .rate = 1, .burst = burst,
	      .scope = THR_SCOPE_SERVICE | WEB);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
}

/* That the source is verified, which has its segments looked at in one tick of eight
 * only, ends as soon as it is caught. */
static void cookie_returned_again_and_again_is_charged_and_verifies_no_more(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer;
	uint64_t passed = 0;

	given_limit(given.xdp, 5);
	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	for (int tick = 0; tick < 125; tick++) {
		passed += thr_xdp_offer(given.xdp, LAYERS(ETH, IP4(), RETURNS(answer, ACK)), 20);
		thr_xdp_advance(given.xdp, THR_TEST_JIFFY_NS);
	}
	/* Twice the burst, and the ticks until the first that is looked at. */
	assert_in_range(passed, 2 * 5, 2 * 5 + 24 * 20);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), RETURNS(answer, ACK))),
		      OVER_CONNECTIONS);
	thr_xdp_advance(given.xdp, 5 * NS_PER_S);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), RETURNS(answer, ACK))),
		      CHALLENGE_COMPLETED);
	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	end(&given);
}

static void cookies_of_sources_that_are_over_with_syns_still_complete(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer;

	given_limit(given.xdp, 1);
	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN)), OVER_CONNECTIONS);

	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), RETURNS(answer, ACK))),
		      CHALLENGE_COMPLETED);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN)), OVER_CONNECTIONS);
	end(&given);
}

/* Who returned one is real, and needs no budget for a bucket of its own. */
static void cookie_completes_though_its_cell_is_over_and_nothing_is_promoted(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer;
	int gate = bpf_object__find_map_fd_by_name(given.xdp->object, "thr_gate");
	const struct thr_cell over = {.tat = ~0ULL >> 2};

	given_limit(given.xdp, 5);
	given.xdp->live->promotion = (struct thr_limit){.interval = 1ULL << 50, .window = 1};
	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	for (__u32 cell = 0; cell < THR_GATE_CELLS; cell++)
		assert_int_equal(bpf_map_update_elem(gate, &cell, &over, BPF_ANY), 0);

	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), RETURNS(answer, ACK))),
		      CHALLENGE_COMPLETED);
	end(&given);
}

/* --- when segments are looked at --- */

static void segments_are_looked_at_for_two_minutes_after_an_answer(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer;

	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	thr_xdp_advance(given.xdp, 2 * MINUTE + 2 * NS_PER_S);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), RETURNS(answer, ACK))),
		      ESTABLISHED);
	challenged(given.xdp, SYN_FROM("203.0.113.1"), &answer);
	thr_xdp_advance(given.xdp, MINUTE);
	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	thr_xdp_advance(given.xdp, 2 * MINUTE - NS_PER_MS);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), RETURNS(answer, ACK))),
		      CHALLENGE_COMPLETED);
	end(&given);
}

static void tick_of_unknown_length_has_segments_looked_at_no_shorter(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer;

	given.xdp->live->jiffy_ns = 0;
	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	given.xdp->clock->jiffies += 2 * 60 * 1000; /* at 1000 a second */
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), RETURNS(answer, ACK))),
		      CHALLENGE_COMPLETED);
	end(&given);
}

static void time_is_written_once_a_second(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer;
	uint64_t until;

	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	until = given.xdp->live->challenged_until;
	thr_xdp_advance(given.xdp, NS_PER_S - 8 * NS_PER_MS);
	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	assert_int_equal(given.xdp->live->challenged_until, until);
	thr_xdp_advance(given.xdp, 16 * NS_PER_MS);
	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	assert_true(given.xdp->live->challenged_until > until);
	end(&given);
}

static void segments_of_other_services_are_not_looked_at(void **state)
{
	struct given given = given_challenge(state);
	int listener = given_listener(SERVER, 81, 64), connection;
	struct sockaddr_storage to;
	struct answer answer;

	challenged(given.xdp, SYN_FROM("203.0.113.1"), &answer);
	connection = given_socket(CLIENT, 40000);
	given_address(SERVER, 81, &to);
	assert_int_equal(connect(connection, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), TCP(ACK, .port = 81))),
		      ESTABLISHED);
	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	close(connection);
	close(listener);
	end(&given);
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
	end(&given);
}

#define CHALLENGE_TEST(test) cmocka_unit_test_setup_teardown(test, setup, thr_xdp_teardown)

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
		CHALLENGE_TEST(cookie_returned_verifies_the_source),
		CHALLENGE_TEST(ipv6_cookie_returned_verifies_the_source_and_its_prefix),
		CHALLENGE_TEST(cookie_returned_with_data_through_a_tag_verifies_the_source),
		CHALLENGE_TEST(wrong_cookie_verifies_nobody),
		CHALLENGE_TEST(resets_and_syns_verify_nobody),
		CHALLENGE_TEST(connection_that_the_kernel_has_verifies_the_source),
		CHALLENGE_TEST(source_stays_verified_for_ten_minutes),
		CHALLENGE_TEST(source_whose_time_ran_out_is_verified_by_its_next_cookie),
		CHALLENGE_TEST(entry_is_renewed_when_half_of_its_time_is_over),
		CHALLENGE_TEST(cookie_returned_again_and_again_is_charged_and_verifies_no_more),
		CHALLENGE_TEST(cookies_of_sources_that_are_over_with_syns_still_complete),
		CHALLENGE_TEST(cookie_completes_though_its_cell_is_over_and_nothing_is_promoted),
		CHALLENGE_TEST(segments_are_looked_at_for_two_minutes_after_an_answer),
		CHALLENGE_TEST(tick_of_unknown_length_has_segments_looked_at_no_shorter),
		CHALLENGE_TEST(time_is_written_once_a_second),
		CHALLENGE_TEST(segments_of_other_services_are_not_looked_at),
		CHALLENGE_TEST(other_policies_answer_nothing),
		CHALLENGE_TEST(monitor_counts_and_answers_nothing),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
