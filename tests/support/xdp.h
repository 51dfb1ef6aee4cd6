/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The XDP program in a test: loaded, attached to nothing, its tables written
 * straight into the maps, packets run by BPF_PROG_TEST_RUN.
 *
 *   given  thr_xdp_grant(), thr_xdp_list(), thr_xdp_serve(), thr_xdp_publish()
 *   when   thr_xdp_send(), thr_xdp_offer()
 *   then   the reason, or how many packets passed
 *
 * The tables are mapped memory: a test may change `xdp->live` and the others
 * at will. Calls that cannot fail in a sane test assert, and end it.
 */
#ifndef THR_TEST_XDP_H
#define THR_TEST_XDP_H

#include <stdint.h>
#include <netinet/in.h>

#include "thr_abi.h"
#include "thr_bucket.h"
#include "control/stats.h"
#include "thr_reasons.h"
#include "support/mock_clock.h"
#include "support/packet.h"

struct thr_xdp {
	struct bpf_object *object;
	int program;
	int sources, buckets, stats; /* maps */
	struct thr_live *live;
	struct thr_ports *ports;
	struct thr_service *services;
	struct thr_policy *policies;
	uint64_t *summary;
	struct thr_mock_clock *clock; /* NULL when the clocks are real */
};

#define THR_XDP_PRODUCT "xdp_throttle.bpf.o"
#define THR_XDP_MOCKED "tests/bpf/mock_clock.bpf.o"

/*
 * Load `object`, one of the above, from the build directory (environment B, or
 * "build"). All maps are zero; the table of buckets has `buckets` entries (0:
 * as built). Returns 0 or a negative errno: -EPERM without privilege.
 */
int thr_xdp_open(const char *object, uint32_t buckets, struct thr_xdp **ret_xdp);
void thr_xdp_free(struct thr_xdp *xdp);

/* cmocka fixtures: a fresh THR_XDP_MOCKED as *state, its clock at one
 * second and its timer at 250 ticks a second; the test stays on one CPU. */
int thr_xdp_setup(void **state);
int thr_xdp_teardown(void **state);

/* The program of thr_xdp_setup(); skips the test when it could not be loaded
 * for lack of privilege. */
struct thr_xdp *thr_xdp_given(void **state);

#define XDP_TEST(test) cmocka_unit_test_setup_teardown(test, thr_xdp_setup, thr_xdp_teardown)

/* --- given: tables --- */

struct thr_grant {
	uint32_t slot;
	uint32_t policy; /* index: 0 the default, then services, then any */
	enum thr_kind kind;
	uint32_t scope;
	uint64_t rate; /* tokens in per_s seconds */
	uint64_t burst;
	uint32_t per_s; /* 0: 1 */
};

/* Write one limit: GRANT(xdp, .rate = 10, .burst = 20). */
void thr_xdp_grant(struct thr_xdp *xdp, const struct thr_grant *grant);
#define GRANT(xdp, ...) thr_xdp_grant(xdp, &(struct thr_grant){__VA_ARGS__})

struct thr_listing {
	uint32_t slot;
	const char *prefix; /* "192.0.2.0/24" */
	enum thr_source_action action;
	uint32_t policy;
};

/* Enter a source prefix into the trie and the summary. */
void thr_xdp_list(struct thr_xdp *xdp, const struct thr_listing *listing);
#define LIST(xdp, ...) thr_xdp_list(xdp, &(struct thr_listing){__VA_ARGS__})

/* Let `port` belong to `service`. */
void thr_xdp_serve(struct thr_xdp *xdp, uint32_t slot, uint16_t port, uint8_t service);

/* Put `slot` in force under a generation that was never used before. */
void thr_xdp_publish(struct thr_xdp *xdp, uint32_t slot, enum thr_action action);

/* --- when --- */

/* Let time go by on both of the program's clocks. */
void thr_xdp_advance(struct thr_xdp *xdp, uint64_t ns);

/* Run the frame `repeat` times; the verdict of the last, or a negative errno. */
int thr_xdp_run(struct thr_xdp *xdp, const struct thr_frame *frame, uint32_t repeat);

/* Run the packet once; the reason that it was counted under, and only that. The
 * verdict must be the one that goes with the reason. */
enum thr_reason thr_xdp_send(struct thr_xdp *xdp, const struct thr_layer *layers);

/* As above, of a finished frame; `ret_after` is the frame as the program left it. */
enum thr_reason thr_xdp_exchange(struct thr_xdp *xdp, const struct thr_frame *frame,
				 struct thr_frame *ret_after);

/* Run the packet `count` times; how many were counted under a reason that passes. */
uint64_t thr_xdp_offer(struct thr_xdp *xdp, const struct thr_layer *layers, uint32_t count);

#define SYN_FROM(address) LAYERS(ETH, IP4(.source = (address)), TCP(SYN))
#define SYN_TO(address, to) LAYERS(ETH, IP4(.source = (address)), TCP(SYN, .port = (to)))
#define SYN6_FROM(address) LAYERS(ETH, IP6(.source = (address)), TCP(SYN))
#define ACK_FROM(address) LAYERS(ETH, IP4(.source = (address)), TCP(ACK))
#define UDP_FROM(address) LAYERS(ETH, IP4(.source = (address)), UDP())

/* --- then --- */

struct thr_tally {
	struct thr_count of[THR_REASON_COUNT]; /* summed over the CPUs */
};

void thr_xdp_tally(const struct thr_xdp *xdp, struct thr_tally *ret_tally);

/* Packets counted since `before` under reasons that pass. */
uint64_t thr_xdp_passed_since(const struct thr_xdp *xdp, const struct thr_tally *before);

#define assert_reason(is, expected)                                                                \
	assert_string_equal(thr_reason_name(is), thr_reason_name(THR_REASON_##expected))

/* --- sources that stand out, and budgets --- */

/* Let the source of `address` be in the set `map`, "thr_verified" or "thr_blocked",
 * for `ns` from now on. The masks of the active slot must be set. */
void thr_xdp_mark(struct thr_xdp *xdp, const char *map, const char *address, uint64_t ns);

struct thr_test_budget {
	uint32_t slot;
	uint32_t service;
	uint64_t rate, burst; /* connections of new sources, a second and at once */
	enum thr_overload on_overload;
};

/* Give a service a budget for new sources: BUDGET(xdp, .rate = 10, .burst = 20). */
void thr_xdp_set_budget(struct thr_xdp *xdp, const struct thr_test_budget *budget);
#define BUDGET(xdp, ...) thr_xdp_set_budget(xdp, &(struct thr_test_budget){__VA_ARGS__})

/* Sources that have a bucket of their own. */
uint32_t thr_xdp_own_buckets(const struct thr_xdp *xdp);

#define NS_PER_S 1000000000ULL
#define NS_PER_MS 1000000ULL
#define THR_TEST_JIFFY_NS (4 * NS_PER_MS)

#endif
