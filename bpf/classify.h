/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a packet is, and therefore what may limit it.
 *
 * A TCP SYN without ACK opens a connection, with ECE and CWR too (RFC 3168).
 * Every other segment belongs to a connection that exists, or will be answered
 * by the kernel with a reset: unless packets or bytes are limited, it goes by
 * without a look at its source.
 */
#ifndef THR_CLASSIFY_H
#define THR_CLASSIFY_H

struct class
{
	__u32 pass;   /* enum thr_reason when nothing limits the packet */
	__u32 kinds;  /* bit per enum thr_kind that it counts for */
	__u32 listed; /* allow and deny prefixes apply although nothing limits it */
};

#define CLASSIFY_ALWAYS (1u << THR_PACKETS | 1u << THR_BYTES)

static __always_inline int classify_tcp(const struct packet *packet, struct class *class)
{
	__u8 flags = packet->tcp_flags;

	class->pass = THR_REASON_ESTABLISHED;
	if (!(flags & PARSE_SYN))
		return 0;
	if (flags & PARSE_FIN)
		return THR_REASON_SYN_FIN;
	if (flags & PARSE_RST)
		return THR_REASON_SYN_RST;
	if (flags & PARSE_ACK)
		return 0;
	class->pass = THR_REASON_NEW_CONNECTION;
	class->kinds |= 1u << THR_CONNECTIONS;
	class->listed = true;
	return 0;
}

/* Returns 0 with `class` set, or the reason that ends the matter. */
static __always_inline int classify_packet(const struct packet *packet, __u32 flags,
					   struct class *class)
{
	class->kinds = CLASSIFY_ALWAYS;
	class->listed = false;
	if (packet->protocol == IPPROTO_TCP && !packet->later)
		return classify_tcp(packet, class);
	if (packet->neighbor)
		return THR_REASON_NEIGHBOR_DISCOVERY;
	class->listed = true;
	if (packet->later) {
		if (flags & THR_DROP_FRAGMENTS)
			return THR_REASON_FRAGMENT_REFUSED;
		class->pass = THR_REASON_FRAGMENT;
	} else if (packet->protocol == IPPROTO_UDP) {
		class->pass = THR_REASON_UDP;
	} else if (packet->protocol == (packet->is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP)) {
		class->pass = THR_REASON_ICMP;
	} else {
		class->pass = THR_REASON_OTHER_PROTOCOL;
	}
	return 0;
}

#endif
