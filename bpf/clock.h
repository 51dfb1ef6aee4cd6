/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The two monotonic clocks, in nanoseconds. The coarse one is the time of the
 * last timer tick: an eighth of the cost, and behind by up to a tick (4 ms at
 * HZ=250). Tests define THR_CLOCK_H and these two functions themselves.
 */
#ifndef THR_CLOCK_H
#define THR_CLOCK_H

static __always_inline __u64 clock_fine_ns(void)
{
	return bpf_ktime_get_ns();
}

static __always_inline __u64 clock_coarse_ns(void)
{
	return bpf_ktime_get_coarse_ns();
}

#endif
