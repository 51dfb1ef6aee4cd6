/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The program as it is, but for its clocks: they tell what the test wrote. */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../support/mock_clock.h"

#define THR_CLOCK_H

volatile struct thr_mock_clock mock_clock;

static __always_inline __u64 clock_ns(void)
{
	return mock_clock.now_ns;
}

static __always_inline __u64 clock_coarse_ns(void)
{
	return mock_clock.coarse_ns;
}

static __always_inline __u64 clock_jiffies(void)
{
	return mock_clock.jiffies;
}

#include "../../bpf/xdp_throttle.bpf.c"
