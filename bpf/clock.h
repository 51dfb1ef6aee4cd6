/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The clocks. The fine one is monotonic nanoseconds, and costs more than all else
 * that a packet does. The coarse one is the same clock as of the last timer tick:
 * reading it is reading memory, and it never runs ahead of the fine one. So does the
 * count of ticks, which costs nothing. Tests define THR_CLOCK_H and these themselves.
 */
#ifndef THR_CLOCK_H
#define THR_CLOCK_H

static __always_inline __u64 clock_ns(void)
{
	return bpf_ktime_get_ns();
}

static __always_inline __u64 clock_coarse_ns(void)
{
	return bpf_ktime_get_coarse_ns();
}

static __always_inline __u64 clock_jiffies(void)
{
	return bpf_jiffies64();
}

#endif
