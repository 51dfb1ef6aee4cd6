/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The world around a flooded host, at the other end of its link: takes what is sent to
 * 10.0.0.0/8, where the bench's clients are, and anything that is not IPv4, and drops
 * the answers to spoofed sources as early as can be.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int backscatter(struct xdp_md *ctx)
{
	const struct ethhdr *ethernet = (void *)(long)ctx->data;
	const struct iphdr *ip = (const void *)(ethernet + 1);

	if ((const void *)(ip + 1) > (void *)(long)ctx->data_end ||
	    ethernet->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	return bpf_ntohl(ip->daddr) >> 24 == 10 ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
