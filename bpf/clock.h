/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The two clocks. The fine one is monotonic nanoseconds. The coarse one is the
 * kernel's count of timer ticks: reading it is reading memory, and it never
 * runs ahead of the fine one. Tests define THR_CLOCK_H and these themselves.
 */
#ifndef THR_CLOCK_H
#define THR_CLOCK_H

static __always_inline __u64 clock_ns(void)
{
	return bpf_ktime_get_ns();
}

static __always_inline __u64 clock_jiffies(void)
{
	return bpf_jiffies64();
}

#endif
