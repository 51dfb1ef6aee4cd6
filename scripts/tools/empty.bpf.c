/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What packet filters are measured against: the cheapest drop there is.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int empty_drop(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
