/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See challenge.h. */
#include "support/challenge.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <sys/socket.h>

/* --- given --- */

void write_sysctl(const char *name, const char *value)
{
	char path[128];
	int file;

	snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
	file = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(file >= 0);
	assert_int_equal(write(file, value, strlen(value)), (ssize_t)strlen(value));
	close(file);
}

void run_command(const char *command)
{
	assert_int_equal(system(command), 0);
}

int challenge_setup(void **state)
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

/* Whether a socket can be bound to an IPv6 address of the machine, and a packet routed to it. */
static bool is_usable(const char *address)
{
	int probe = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_storage to;
	bool usable;

	given_address(address, 9, &to);
	usable = !bind(probe, (struct sockaddr *)&to, sizeof(struct sockaddr_in6)) &&
		 !connect(probe, (struct sockaddr *)&to, sizeof(struct sockaddr_in6));
	close(probe);
	return usable;
}

/* The kernel lets an IPv6 address of its own be used, and sets the route to it, a moment after
 * it was added, and tells nobody who has no netlink socket: asked for once a millisecond, for 10
 * seconds. */
static void wait_for_address(const char *address)
{
	int tries = 10000;

	while (!is_usable(address) && tries--)
		usleep(1000);
	assert_true(tries > 0);
}

struct thr_xdp *given_overload(void **state, enum thr_overload policy)
{
	struct thr_xdp *xdp = thr_xdp_given(state);
	uint64_t interval = thr_bucket_interval(1, 3600);

	run_command("ip link set lo mtu 1500 up");
	run_command("ip addr add " SERVER "/32 dev lo && ip addr add " CLIENT "/32 dev lo");
	run_command("ip -6 addr add " SERVER6 "/128 dev lo && ip -6 addr add " CLIENT6
		    "/128 dev lo");
	wait_for_address(SERVER6);
	wait_for_address(CLIENT6);
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

int given_listener(const char *address, in_port_t port, int backlog)
{
	int listener = given_socket(address, port);

	assert_int_equal(listen(listener, backlog), 0);
	return listener;
}

int given_connection(const char *client, const char *server, in_port_t port)
{
	struct sockaddr_storage to;
	int connection = given_socket(client, 40000);

	given_address(server, port, &to);
	assert_int_equal(connect(connection, (struct sockaddr *)&to, sizeof(to)), 0);
	return connection;
}

struct given given_challenge(void **state)
{
	struct given given = {.xdp = given_overload(state, THR_OVERLOAD_CHALLENGE)};

	given.v4 = given_listener(SERVER, 80, 64);
	given.v6 = given_listener(SERVER6, 80, 64);
	return given;
}

void end_challenge(const struct given *given)
{
	close(given->v4);
	close(given->v6);
}

/* --- when: the SYN is sent --- */

const uint8_t linux_options[20] = {2,	 4,    0x05, 0xb4, 4, 2, 8, 10, 0x11, 0x22,
				   0x33, 0x44, 0,    0,	   0, 0, 1, 3,	3,    9};
uint32_t get_16(const uint8_t *at)
{
	return at[0] << 8 | at[1];
}

uint32_t get_32(const uint8_t *at)
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

void challenged(struct thr_xdp *xdp, const struct thr_layer *layers, struct answer *ret_answer)
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
