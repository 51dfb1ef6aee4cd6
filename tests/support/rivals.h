/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses whose buckets share a cell of the gate: looked for with the program's seeds,
 * until as many as a test needs lead to one cell. */
#ifndef THR_TEST_RIVALS_H
#define THR_TEST_RIVALS_H

#include <stdio.h>
#include <string.h>
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "support/host_bpf.h"
#include "support/run.h"
#include "support/xdp.h"
#include "gate.h"

#define HOUR_S 3600

#define RIVALS 4

struct rivals {
	char text[RIVALS][16]; /* 10.x.y.z */
};

static inline struct thr_bucket_key key_of(uint32_t address)
{
	struct thr_bucket_key key = {0};
	const uint8_t bytes[16] = {[10] = 0xff,		 [11] = 0xff,	      [12] = address >> 24,
				   [13] = address >> 16, [14] = address >> 8, [15] = address};

	memcpy(key.source, bytes, sizeof(key.source));
	return key;
}

static inline uint32_t place_of(const struct thr_xdp *xdp, const struct thr_bucket_key *key,
				enum thr_kind kind)
{
	return gate_hash(xdp->live->seed, key, kind) >> xdp->live->gate_shift;
}

/* Addresses of 10.0.0.0/8 that lead to the cell `place`, of different /24s. */
static inline void find_rivals(const struct thr_xdp *xdp, uint32_t place, enum thr_kind kind,
			       struct rivals *ret_rivals)
{
	int found = 0;

	for (uint32_t address = 10u << 24; found < RIVALS; address++) {
		const struct thr_bucket_key key = key_of(address);
		struct in_addr in = {htonl(address)};

		assert_true(address < 11u << 24);
		if (place_of(xdp, &key, kind) != place)
			continue;
		inet_ntop(AF_INET, &in, ret_rivals->text[found++], sizeof(ret_rivals->text[0]));
		address |= 0xff;
	}
}

#define ANY_PLACE 12345

static inline struct thr_cell cell_at(const struct thr_xdp *xdp, uint32_t place)
{
	struct thr_cell cell;

	assert_int_equal(
		bpf_map_lookup_elem(bpf_object__find_map_fd_by_name(xdp->object, "thr_gate"),
				    &place, &cell),
		0);
	return cell;
}

/* The only limit; rivals under it. */
static inline struct thr_xdp *given_rivals(void **state, uint64_t rate, uint64_t burst,
					   struct rivals *ret_rivals)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	GRANT(xdp, .kind = THR_CONNECTIONS, .rate = rate, .burst = burst);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	find_rivals(xdp, ANY_PLACE, THR_CONNECTIONS, ret_rivals);
	return xdp;
}

/* Let there be `count` promotions, and no more for an hour. */
static inline void allow_promotions(struct thr_xdp *xdp, uint64_t count)
{
	uint64_t interval = thr_bucket_interval(1, HOUR_S);

	xdp->live->promotion = (struct thr_limit){.interval = interval,
						  .window = thr_bucket_ticks(interval, count)};
}

#endif
