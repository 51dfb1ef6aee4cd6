/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The two clocks of a limit, under timers of several lengths: the coarse one decides
 * wherever the fine one would not decide otherwise.
 */
#include "support/run.h"
#include "support/rivals.h"
#include "support/xdp.h"

#define XDP_PASSED 2

static void set_clock(struct thr_xdp *xdp, uint64_t now_ns)
{
	uint64_t tick = xdp->live->jiffy_ns;

	xdp->clock->now_ns = now_ns;
	xdp->clock->jiffies = now_ns / tick;
	xdp->clock->coarse_ns = now_ns / tick * tick;
}

#define OFFERED 6000

/* Offer four times the rate from each source in turn; how many of the first one pass. */
static uint32_t flood(struct thr_xdp *xdp, const struct thr_frame *frames, int sources,
		      uint64_t rate)
{
	uint64_t step = NS_PER_S / rate / 4, now = xdp->clock->now_ns;
	uint32_t passed = 0;

	for (int i = 0; i < OFFERED; i++)
		for (int k = 0; k < sources; k++) {
			set_clock(xdp, now + i * step + k * step / sources);
			if (thr_xdp_run(xdp, &frames[k], 1) == XDP_PASSED && !k)
				passed++;
		}
	return passed;
}

static const uint64_t ticks_ms[] = {1, 4, 10};
static const uint64_t rates[] = {1, 10, 100, 1000, 10000, 100000};

static void assert_rate_holds(void **state, int sources, uint64_t burst)
{
	struct rivals rivals;
	struct thr_xdp *xdp = given_rivals(state, 1, 1, &rivals);
	static struct thr_frame frames[2];

	for (int k = 0; k < sources; k++)
		thr_frame_build(SYN_FROM(rivals.text[k]), &frames[k]);
	for (size_t i = 0; i < ARRAY_SIZE(ticks_ms); i++)
		for (size_t k = 0; k < ARRAY_SIZE(rates); k++) {
			uint32_t passed;

			GRANT(xdp, .kind = THR_CONNECTIONS, .rate = rates[k], .burst = burst);
			thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
			xdp->live->jiffy_ns = ticks_ms[i] * NS_PER_MS;
			/* Long after what was before, between two ticks. */
			set_clock(xdp, xdp->clock->now_ns + 100000 * NS_PER_S + 123457);
			passed = flood(xdp, frames, sources, rates[k]);
			assert_in_range(passed, OFFERED / 4 * 99 / 100,
					OFFERED / 4 * 101 / 100 + sources * burst);
		}
}

static void coarse_clock_does_not_change_a_rate(void **state)
{
	assert_rate_holds(state, 1, 1);
	assert_rate_holds(state, 1, 10);
}

static void coarse_clock_does_not_change_a_rate_in_a_shared_cell(void **state)
{
	assert_rate_holds(state, 2, 1);
	assert_rate_holds(state, 2, 10);
}

/* Two of them, each at two fifths of a limit whose burst comes back within a tick: the
 * cell has enough for both, and no bucket can be had. */
static void coarse_clock_holds_nobody_back_in_a_shared_cell(void **state)
{
	struct rivals rivals;
	struct thr_xdp *xdp = given_rivals(state, 10000, 10, &rivals);
	const uint64_t step = NS_PER_S / 8000;

	allow_promotions(xdp, 1);
	thr_xdp_offer(xdp, SYN_FROM(rivals.text[2]), 10);
	assert_reason(thr_xdp_send(xdp, SYN_FROM(rivals.text[3])), NEW_CONNECTION);
	thr_xdp_advance(xdp, NS_PER_S);
	for (int i = 0; i < 400; i++) {
		thr_xdp_advance(xdp, step);
		assert_reason(thr_xdp_send(xdp, SYN_FROM(rivals.text[i % 2])), NEW_CONNECTION);
	}
}

/* While a taking is clear of the limit's edge by more than a tick, the coarse clock is
 * enough: the fine one may say what it likes. */
static void fine_clock_is_read_only_near_the_edge(void **state)
{
	struct rivals rivals;
	struct thr_xdp *xdp = given_rivals(state, 10, 20, &rivals);

	xdp->clock->now_ns += 1000 * NS_PER_S; /* a fine clock that would refill it */
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM(rivals.text[0]), 50), 20);
	assert_reason(thr_xdp_send(xdp, SYN_FROM(rivals.text[0])), OVER_CONNECTIONS);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		XDP_TEST(coarse_clock_does_not_change_a_rate),
		XDP_TEST(coarse_clock_does_not_change_a_rate_in_a_shared_cell),
		XDP_TEST(coarse_clock_holds_nobody_back_in_a_shared_cell),
		XDP_TEST(fine_clock_is_read_only_near_the_edge),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
