/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The two clocks: one to measure and to limit by, which never steps, and one to
 * write down. */
#ifndef THR_CLOCK_H
#define THR_CLOCK_H

#include <stdint.h>
#include <time.h>

#define THR_NS_PER_MS 1000000ULL
#define THR_NS_PER_S 1000000000ULL

static inline uint64_t thr_clock_read_ns(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (uint64_t)now.tv_sec * THR_NS_PER_S + (uint64_t)now.tv_nsec;
}

static inline uint64_t thr_clock_monotonic_ns(void)
{
	return thr_clock_read_ns(CLOCK_MONOTONIC);
}

static inline uint64_t thr_clock_wall_ns(void)
{
	return thr_clock_read_ns(CLOCK_REALTIME);
}

#endif
