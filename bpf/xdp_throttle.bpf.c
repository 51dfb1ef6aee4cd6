/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The way of a packet, one header a stage:
 *
 *   parse -> classify -> limit -> account
 *
 * Each stage returns 0 or the reason that decides the packet; account counts
 * the reason and turns it into a verdict.
 *
 * Section `xdp`, program `xdp_throttle`: for `ip link set dev IF xdp obj ...`
 * as well as for our own loader. With no tables applied every packet passes.
 * For kernels from 6.1.
 */
#include <stdbool.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <xdp/xdp_helpers.h>

#include "thr_abi.h"
#include "thr_bucket.h"
#include "thr_reasons.h"

#include "clock.h"
#include "maps.h"
#include "parse.h"
#include "classify.h"
#include "limit.h"
#include "account.h"

/* Under libxdp's dispatcher: early, since what is dropped here costs the others
 * nothing, and what passes goes on to them. */
struct {
	__uint(priority, 10);
	__uint(XDP_PASS, 1);
} XDP_RUN_CONFIG(xdp_throttle);

/* Whether the IP length claims more than the frame has. Asked of the parts of
 * a frame that lies in several buffers only when the first does not suffice. */
static __always_inline int check_length(struct xdp_md *ctx, const struct packet *packet,
					__u32 linear)
{
	if (packet->end <= linear || packet->end <= bpf_xdp_get_buff_len(ctx))
		return 0;
	return THR_REASON_SHORT_PACKET;
}

static __always_inline int decide(struct xdp_md *ctx, const struct thr_live *live, __u32 slot,
				  __u32 *bytes)
{
	const void *frame = (void *)(long)ctx->data;
	const void *end = (void *)(long)ctx->data_end;
	const struct thr_settings *settings = &live->slot[slot];
	struct packet packet = {};
	struct class class;
	int reason;

	*bytes = end - frame;
	reason = parse_frame(frame, end, &packet);
	if (!reason)
		reason = check_length(ctx, &packet, *bytes);
	if (!reason)
		reason = classify_packet(&packet, settings->flags, &class);
	if (reason)
		return reason;
	if (settings->kinds & 1u << THR_BYTES)
		*bytes = bpf_xdp_get_buff_len(ctx);
	if (!(class.kinds & settings->kinds) &&
	    !(class.listed && settings->flags & THR_SOURCES_ANY))
		return class.pass;
	return limit_packet(&packet, &class, live, slot, *bytes);
}

SEC("xdp")
int xdp_throttle(struct xdp_md *ctx)
{
	const __u32 zero = 0;
	const struct thr_live *live = bpf_map_lookup_elem(&thr_config, &zero);
	__u32 slot, bytes;
	int reason;

	if (!live)
		return XDP_PASS;
	slot = *(const volatile __u32 *)&live->active & (THR_SLOTS - 1);
	reason = decide(ctx, live, slot, &bytes);
	return account_packet(reason, &live->slot[slot], bytes);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
