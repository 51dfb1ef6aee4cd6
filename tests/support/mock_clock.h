/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The time as mock_clock.bpf.c tells it to the program under test. */
#ifndef THR_TEST_MOCK_CLOCK_H
#define THR_TEST_MOCK_CLOCK_H

#include <linux/types.h>

struct thr_mock_clock {
	__u64 now_ns;
	__u64 coarse_ns;
	__u64 jiffies;
};

#endif
