/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a reason to a counter and a verdict. The part of the list in
 * thr_reasons.h that a reason stands in is its verdict.
 */
#ifndef THR_ACCOUNT_H
#define THR_ACCOUNT_H

/* Whether the packet does not go on to the kernel. */
static __always_inline bool account_withholds(__u32 reason, const struct thr_settings *settings)
{
	if (reason < THR_REASON_FIRST_UNPARSED || settings->action != THR_ACTION_ENFORCE)
		return false;
	return reason >= THR_REASON_FIRST_ANSWERED || settings->flags & THR_DROP_MALFORMED;
}

static __always_inline int account_packet(__u32 reason, const struct thr_settings *settings)
{
	struct thr_count *count = bpf_map_lookup_elem(&thr_stats, &reason);

	if (!count)
		return XDP_PASS;
	count->packets++;
	if (!account_withholds(reason, settings))
		return XDP_PASS;
	count->dropped++;
	return reason == THR_REASON_CHALLENGED ? XDP_TX : XDP_DROP;
}

#endif
