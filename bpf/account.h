/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a reason to a counter and a verdict. The part of the list in
 * thr_reasons.h that a reason stands in is its verdict.
 */
#ifndef THR_ACCOUNT_H
#define THR_ACCOUNT_H

static __always_inline bool account_refuses(__u32 reason, const struct thr_settings *settings)
{
	if (reason >= THR_REASON_FIRST_DROP)
		return true;
	return reason >= THR_REASON_FIRST_UNPARSED && settings->flags & THR_DROP_MALFORMED;
}

static __always_inline int account_packet(__u32 reason, const struct thr_settings *settings,
					  __u32 bytes)
{
	bool drop = account_refuses(reason, settings) && settings->action == THR_ACTION_ENFORCE;
	struct thr_count *count = bpf_map_lookup_elem(&thr_stats, &reason);

	if (count) {
		count->packets++;
		count->bytes += bytes;
		if (drop)
			count->dropped++;
	}
	return drop ? XDP_DROP : XDP_PASS;
}

#endif
