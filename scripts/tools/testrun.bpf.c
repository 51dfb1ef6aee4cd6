/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The programs that testrun times: the throttle, the throttle behind a change
 * of the packet's source, and what to compare them with. A source from a wide
 * range for each run must not cost a system call, so the program draws it; and where
 * the throttle answers, it writes the packet anew besides.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "lib/frame.h"

/* The code that is attached to interfaces, in two programs of this object. */
__attribute__((always_inline)) int xdp_throttle(struct xdp_md *ctx);
#include "xdp_throttle.bpf.c"

/* What an answer written over the frame, in another size, is replaced with. */
__u8 restored_frame[FRAME_MAX];
__u32 restored_size; /* of two: RESTORED_V4, RESTORED_V6 */
#define RESTORED_V4 60
#define RESTORED_V6 74

__u32 vary_first; /* host order: of the word at FRAME_SOURCE_WORD */
__u32 vary_mask;  /* bits of it that are drawn */

static __always_inline bool vary_source(struct xdp_md *ctx)
{
	__be32 *source = (void *)(long)ctx->data + FRAME_SOURCE_WORD;

	if ((void *)(source + 1) > (void *)(long)ctx->data_end)
		return false;
	*source = bpf_htonl(vary_first + (bpf_get_prandom_u32() & vary_mask));
	return true;
}

static __always_inline bool restore_frame(struct xdp_md *ctx)
{
	int longer = restored_size - (ctx->data_end - ctx->data);
	void *frame;

	if (longer && bpf_xdp_adjust_tail(ctx, longer))
		return false;
	frame = (void *)(long)ctx->data;
	if (restored_size == RESTORED_V6 && frame + RESTORED_V6 <= (void *)(long)ctx->data_end)
		__builtin_memcpy(frame, restored_frame, RESTORED_V6);
	else if (frame + RESTORED_V4 <= (void *)(long)ctx->data_end)
		__builtin_memcpy(frame, restored_frame, RESTORED_V4);
	return true;
}

SEC("xdp")
int restored_throttle(struct xdp_md *ctx)
{
	return restore_frame(ctx) && vary_source(ctx) ? xdp_throttle(ctx) : XDP_ABORTED;
}

SEC("xdp")
int restored_drop(struct xdp_md *ctx)
{
	return restore_frame(ctx) && vary_source(ctx) ? XDP_DROP : XDP_ABORTED;
}

SEC("xdp")
int vary_throttle(struct xdp_md *ctx)
{
	return vary_source(ctx) ? xdp_throttle(ctx) : XDP_ABORTED;
}

SEC("xdp")
int vary_pass(struct xdp_md *ctx)
{
	return vary_source(ctx) ? XDP_PASS : XDP_ABORTED;
}

SEC("xdp")
int vary_drop(struct xdp_md *ctx)
{
	return vary_source(ctx) ? XDP_DROP : XDP_ABORTED;
}

SEC("xdp")
int empty_pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

SEC("xdp")
int empty_drop(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_DROP;
}
