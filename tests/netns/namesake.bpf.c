/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A program of our name that is not ours: it has none of our maps. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int xdp_throttle(struct xdp_md *ctx);

SEC("xdp")
int xdp_throttle(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}
