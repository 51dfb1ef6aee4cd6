/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The way of a packet, one header a stage:
 *
 *   parse -> classify -> limit -> challenge -> account
 *
 * Each stage returns 0 or the reason that decides the packet; account counts
 * the reason and turns it into a verdict.
 *
 * Section `xdp`, program `xdp_throttle`: for `ip link set dev IF xdp obj ...`
 * as well as for our own loader. With no tables applied every packet passes.
 * For kernels from 6.1.
 */
#include <stdbool.h>
#include <stddef.h>
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
#include "established.h"
#include "gate.h"
#include "source.h"
#include "limit.h"
#include "synack.h"
#include "challenge.h"
#include "account.h"

/* Under libxdp's dispatcher: early, since what is dropped here costs the others
 * nothing, and what passes goes on to them. */
struct {
	__uint(priority, 10);
	__uint(XDP_PASS, 1);
} XDP_RUN_CONFIG(xdp_throttle);

/* Whether the IP length claims more than the frame has. A frame may lie in
 * several buffers; their sum is asked for only when the first does not do. */
static __always_inline bool is_short(struct xdp_md *ctx, const struct packet *packet, __u32 linear)
{
	__u32 claimed = packet->upper + packet->left;

	return claimed > linear && claimed > bpf_xdp_get_buff_len(ctx);
}

/* Whether a frame that ended too soon goes on in another buffer, where the kernel
 * will find the headers that were not seen here. */
static __always_inline bool is_hidden(struct xdp_md *ctx, __u32 reason, __u32 linear)
{
	return reason >= THR_REASON_FIRST_UNPARSED && reason <= THR_REASON_LAST_SHORT &&
	       bpf_xdp_get_buff_len(ctx) > linear;
}

/* Whether the ladder may have something to say of the packet. */
static __always_inline bool is_concerned(const struct traffic *traffic, const struct thr_live *live,
					 __u32 flags)
{
	if (traffic->kinds ||
	    (traffic->listed && (flags & THR_SOURCES_ANY || live->blocked_until_ns)))
		return true;
	return traffic->pass == THR_REASON_CHALLENGE_COMPLETED ||
	       (traffic->pass == THR_REASON_NEW_CONNECTION && flags & THR_HAS_BUDGETS);
}

static __always_inline int decide(struct xdp_md *ctx, struct thr_live *live, __u32 slot,
				  const struct thr_settings *settings)
{
	const void *frame = (void *)(long)ctx->data;
	const void *end = (void *)(long)ctx->data_end;
	struct packet packet = {};
	struct traffic traffic;
	struct ask ask = {};
	int reason, lesson = CHALLENGE_NOTHING;

	if (!(settings->kinds & CLASSIFY_ALWAYS) && !challenge_is_on(live) &&
	    is_established(frame, end))
		return THR_REASON_ESTABLISHED;
	reason = parse_frame(frame, end, &packet);
	if (reason)
		return is_hidden(ctx, reason, end - frame) ? THR_REASON_BEYOND_FIRST_BUFFER
							   : reason;
	if (is_short(ctx, &packet, end - frame))
		return THR_REASON_SHORT_PACKET;
	reason = classify_packet(&packet, settings->flags, &traffic);
	if (reason)
		return reason;
	ask.is_v6 = packet.is_v6;
	ask.port = packet.port;
	ask.opens = traffic.pass == THR_REASON_NEW_CONNECTION;
	if (traffic.pass == THR_REASON_ESTABLISHED && challenge_is_on(live) &&
	    parse_source(frame, end, &packet, ask.source))
		lesson = challenge_learn(ctx, challenge_place(&packet), &ask, slot);
	if (lesson == CHALLENGE_COMPLETED)
		traffic.pass = THR_REASON_CHALLENGE_COMPLETED;
	ask.returns = lesson != CHALLENGE_NOTHING;
	traffic.kinds |= ask.returns << THR_CONNECTIONS;
	traffic.kinds &= settings->kinds;
	ask.kinds = traffic.kinds;
	if (!is_concerned(&traffic, live, settings->flags) ||
	    !parse_source(frame, end, &packet, ask.source))
		return traffic.pass;
	ask.bytes = traffic.kinds & 1u << THR_BYTES ? bpf_xdp_get_buff_len(ctx) : 0;
	reason = limit_packet(&ask, live, slot);
	if (lesson)
		challenge_settle(&ask, slot, reason);
	if (reason == THR_REASON_CHALLENGED && settings->action == THR_ACTION_ENFORCE)
		reason = challenge_answer(ctx, live, challenge_place(&packet), packet.is_v6);
	return reason ? reason : traffic.pass;
}

SEC("xdp")
int xdp_throttle(struct xdp_md *ctx)
{
	const __u32 zero = 0;
	struct thr_live *live = bpf_map_lookup_elem(&thr_config, &zero);
	const struct thr_settings *settings;
	__u32 slot;

	if (!live)
		return XDP_PASS;
	slot = *(const volatile __u32 *)&live->active & (THR_SLOTS - 1);
	settings = &live->slot[slot];
	return account_packet(decide(ctx, live, slot, settings), settings);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
