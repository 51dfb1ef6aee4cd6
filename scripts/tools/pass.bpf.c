/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Does nothing: veth hands over what the other end sends by XDP_TX only where there
 * is an XDP program. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int pass(struct xdp_md *ctx);

SEC("xdp")
int pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
