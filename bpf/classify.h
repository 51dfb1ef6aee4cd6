/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a packet is, and therefore what may limit it.
 *
 * A TCP SYN without ACK opens a connection, with ECE and CWR too (RFC 3168).
 * Every other segment belongs to a connection that exists, answers a SYN cookie,
 * or will be answered by the kernel with a reset: unless packets or bytes are
 * limited, it goes by without a look at its source.
 */
#ifndef THR_CLASSIFY_H
#define THR_CLASSIFY_H

#define CLASSIFY_ALWAYS (1u << THR_PACKETS | 1u << THR_BYTES)

struct traffic {
	__u32 pass;  /* enum thr_reason when nothing limits the packet */
	__u32 kinds; /* bit per enum thr_kind that it counts for */
	bool listed; /* allow and deny prefixes apply although nothing limits it */
};

static __always_inline int classify_tcp(__u8 flags, struct traffic *traffic)
{
	traffic->pass = THR_REASON_ESTABLISHED;
	if (!(flags & PARSE_SYN))
		return 0;
	if (flags & PARSE_FIN)
		return THR_REASON_SYN_FIN;
	if (flags & PARSE_RST)
		return THR_REASON_SYN_RST;
	if (flags & PARSE_ACK)
		return 0;
	traffic->pass = THR_REASON_NEW_CONNECTION;
	traffic->kinds |= 1u << THR_CONNECTIONS;
	traffic->listed = true;
	return 0;
}

/* Returns 0 with `traffic` set, or the reason that ends the matter. */
static __always_inline int classify_packet(const struct packet *packet, __u32 flags,
					   struct traffic *traffic)
{
	traffic->kinds = CLASSIFY_ALWAYS;
	traffic->listed = false;
	if (packet->protocol == IPPROTO_TCP && !packet_is_later_fragment(packet))
		return classify_tcp(packet->tcp_flags, traffic);
	if (packet->neighbor)
		return THR_REASON_NEIGHBOR_DISCOVERY;
	traffic->listed = true;
	if (packet_is_later_fragment(packet)) {
		if (flags & THR_DROP_FRAGMENTS)
			return THR_REASON_FRAGMENT_REFUSED;
		traffic->pass = THR_REASON_FRAGMENT;
	} else if (packet->protocol == IPPROTO_UDP) {
		traffic->pass = THR_REASON_UDP;
	} else if (packet_is_icmp(packet)) {
		traffic->pass = THR_REASON_ICMP;
	} else {
		traffic->pass = THR_REASON_OTHER_PROTOCOL;
	}
	return 0;
}

#endif
