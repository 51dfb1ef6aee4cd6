/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See stats.h. */
#include "control/stats.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"

#define REASON_NAME(NAME, name, text) [THR_REASON_##NAME] = name,
#define REASON_TEXT(NAME, name, text) [THR_REASON_##NAME] = text,

const char *thr_reason_name(enum thr_reason reason)
{
	static const char *const names[THR_REASON_COUNT] = {"none", THR_REASONS(REASON_NAME)};

	return names[reason];
}

const char *thr_reason_text(enum thr_reason reason)
{
	static const char *const texts[THR_REASON_COUNT] = {THR_REASONS(REASON_TEXT)};

	return texts[reason];
}

bool thr_reason_is_answer(enum thr_reason reason)
{
	return reason >= THR_REASON_FIRST_ANSWERED && reason < THR_REASON_FIRST_DROP;
}

int thr_stats_read(const struct thr_instance *instance, struct thr_stats *ret_stats,
		   struct thr_error *error)
{
	int cpus = libbpf_num_possible_cpus();
	AUTO_FREE struct thr_count *counts =
		cpus > 0 ? calloc((size_t)cpus, sizeof(*counts)) : NULL;
	struct thr_stats stats = {};

	if (!counts)
		return thr_fail(error, ENOMEM, "out of memory");
	for (__u32 reason = THR_REASON_NONE + 1; reason < THR_REASON_COUNT; reason++) {
		struct thr_count *sum = &stats.reason[reason];

		if (bpf_map_lookup_elem(instance->map_fd[THR_MAP_STATS], &reason, counts))
			return thr_fail(error, errno, "the counters cannot be read: %s",
					strerror(errno));
		for (int cpu = 0; cpu < cpus; cpu++) {
			sum->packets += counts[cpu].packets;
			sum->dropped += counts[cpu].dropped;
		}
		stats.passed += sum->packets - sum->dropped;
		if (thr_reason_is_answer(reason))
			stats.challenged += sum->dropped;
		else
			stats.dropped += sum->dropped;
	}
	*ret_stats = stats;
	return 0;
}
