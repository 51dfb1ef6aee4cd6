/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A server beyond its budget, in a network namespace of each test's own: the kernel's
 * listeners on it, and the SYNs that the XDP program is to answer for them.
 *
 *   given  given_challenge(), or given_overload() with listeners of the test's own
 *   when   challenged(), and RETURNS() of what it answered
 */
#ifndef THR_TEST_CHALLENGE_H
#define THR_TEST_CHALLENGE_H

#include "support/run.h"
#include "support/xdp.h"

/* Who the frames of support/packet.h are sent to, and from. */
#define SERVER "198.51.100.1"
#define SERVER6 "2001:db8::99"
#define CLIENT "192.0.2.1"
#define CLIENT6 "2001:db8::1"
#define WEB 7
#define SEQUENCE 0x89abcdef

int challenge_setup(void **state);

#define CHALLENGE_TEST(test)                                                                       \
	cmocka_unit_test_setup_teardown(test, challenge_setup, thr_xdp_teardown)

/* --- given --- */

void write_sysctl(const char *name, const char *value);
void run_command(const char *command);

/* The frames' addresses are the machine's own; a budget of one connection an hour for
 * port 80, which is used up; what is offered is what Linux offers by default. */
struct thr_xdp *given_overload(void **state, enum thr_overload policy);

int given_listener(const char *address, in_port_t port, int backlog);

/* A connection to `port` of the server from port 40000, as the frames have it. */
int given_connection(const char *client, const char *server, in_port_t port);

/* Budget used up, policy challenge, listeners on both families. */
struct given {
	struct thr_xdp *xdp;
	int v4, v6;
};

struct given given_challenge(void **state);
void end_challenge(const struct given *given);

/* --- when: the SYN is sent --- */

/* What Linux says in a SYN: MSS 1460, SACK, timestamps, window scale 9. */
extern const uint8_t linux_options[20];
#define LINUX_SYN                                                                                  \
	TCP(SYN, .sequence = SEQUENCE, .text = linux_options, .bytes = sizeof(linux_options))

struct answer {
	struct thr_frame frame;
	size_t network, upper; /* offsets */
	bool is_v6;
	const uint8_t *options;
	size_t options_size;
	uint32_t cookie;
};

/* Send a SYN that must be answered, and look at the answer: everything that is not an
 * option is as it must be. */
void challenged(struct thr_xdp *xdp, const struct thr_layer *layers, struct answer *ret_answer);

/* The segment that returns the cookie, with these flags; IP4() or IP6() before it. */
#define RETURNS(answer, flags)                                                                     \
	TCP(flags, .sequence = SEQUENCE + 1, .acknowledges = (answer).cookie + 1)

/* Network byte order. */
uint32_t get_16(const uint8_t *at);
uint32_t get_32(const uint8_t *at);

#endif
