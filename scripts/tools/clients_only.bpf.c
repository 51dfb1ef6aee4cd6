/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The filter that no real one can be: knows the bench's clients, which are in 10.0.0.0/8,
 * and drops the rest of IPv4 after one comparison. What it cannot save, none can.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int clients_only(struct xdp_md *ctx)
{
	const struct ethhdr *ethernet = (void *)(long)ctx->data;
	const struct iphdr *ip = (const void *)(ethernet + 1);

	if ((const void *)(ip + 1) > (void *)(long)ctx->data_end ||
	    ethernet->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	return bpf_ntohl(ip->saddr) >> 24 == 10 ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
