/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a frame to the few fields that later stages decide by.
 *
 *   Ethernet -> up to 4 x 802.1Q/802.1ad -> IPv4 -> TCP | UDP | ICMP | other
 *                                           IPv6 -> up to 8 extension headers
 *
 * Every shape that cannot be read has a reason of its own. What the kernel would
 * discard anyway (short headers, bad lengths) does no harm when it passes. What
 * the kernel would take (more tags or extension headers than are followed here,
 * headers split over fragments) is refused: thr_reasons.h says which is which.
 *
 * What the IP length leaves out is padding, not packet: a TCP header there is
 * no TCP header. Only headers are read, and only in the first buffer of a frame.
 *
 * The functions take any pair of pointers and call no helper: tests run them
 * on the host, with input that ends at a guard page.
 */
#ifndef THR_PARSE_H
#define THR_PARSE_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/icmpv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>

#define PARSE_TAGS_MAX 4
#define PARSE_EXTENSIONS_MAX 8
/* No header starts further into a frame: 14 + 4 * 4 + 40 + 8 * 2048 bytes. */
#define PARSE_HEADERS_MAX 16454

#define PARSE_IPV4_MORE 0x2000 /* RFC 791 3.1: more fragments */
#define PARSE_IPV4_OFFSET 0x1fff

/* The flags that tell a TCP segment's part in a connection: byte 13. */
enum parse_tcp_flag { PARSE_FIN = 1, PARSE_SYN = 2, PARSE_RST = 4, PARSE_ACK = 16 };

struct packet {
	__u32 network; /* where the IP header starts in the frame, and */
	__u32 upper;   /* the upper layer's */
	__u32 left;    /* bytes of the IP packet from `upper` on */
	/* The fragment header of IPv6, and IPv4's fields in the same form: offset
	 * in bytes, and PARSE_MORE. 0 when the packet is whole. */
	__u32 fragment;
	__u16 port;    /* destination, host order; 0 where there is none */
	__u8 protocol; /* of the upper layer */
	__u8 tcp_flags;
	__u8 is_v6;
	__u8 neighbor; /* neighbor discovery from the link itself */
};
#define PARSE_MORE 0x0001
#define PARSE_OFFSET 0xfff8

static __always_inline bool packet_is_first_fragment(const struct packet *packet)
{
	return packet->fragment & PARSE_MORE && !(packet->fragment & PARSE_OFFSET);
}

/* A fragment after the first has no upper-layer header. */
static __always_inline bool packet_is_later_fragment(const struct packet *packet)
{
	return packet->fragment & PARSE_OFFSET;
}

static __always_inline bool packet_is_icmp(const struct packet *packet)
{
	return packet->protocol == (packet->is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
}

/* Keeps the compiler from turning an offset back into a pointer: the verifier
 * tells two states apart by their pointers, but not by numbers that it need not
 * know exactly, and would not get through 8 headers of 5 types each. */
#define parse_keep_number(number) asm volatile("" : "+r"(number))

struct parse_ethernet {
	__u8 addresses[12];
	__be16 protocol;
};

struct parse_tag {
	__be16 tci;
	__be16 protocol;
};

struct parse_extension {
	__u8 next;
	__u8 length;	 /* in 8 bytes beyond the first 8; AH: in 4 bytes, less 2 */
	__be16 fragment; /* of a fragment header only */
	__u8 rest[4];
};

/* --- the upper layer: `at` is its header, packet->left what the IP length
 * leaves for it --- */

static __always_inline int parse_tcp(const void *at, const void *end, struct packet *packet)
{
	const struct tcphdr *tcp = at;
	const __u8 *bytes = at;

	if (packet->left < sizeof(*tcp))
		return packet->fragment ? THR_REASON_TINY_FRAGMENT : THR_REASON_SHORT_TCP;
	if ((const void *)(tcp + 1) > end)
		return THR_REASON_SHORT_TCP;
	if (bytes[12] >> 4 < 5)
		return THR_REASON_BAD_DOFF;
	if ((bytes[12] >> 4) * 4u > packet->left)
		return packet->fragment ? THR_REASON_TINY_FRAGMENT : THR_REASON_SHORT_TCP;
	packet->port = bpf_ntohs(tcp->dest);
	packet->tcp_flags = bytes[13];
	return 0;
}

static __always_inline int parse_udp(const void *at, const void *end, struct packet *packet)
{
	const struct udphdr *udp = at;
	__u32 length;

	if (packet->left < sizeof(*udp) || (const void *)(udp + 1) > end)
		return THR_REASON_SHORT_UDP;
	length = bpf_ntohs(udp->len);
	/* 0 stands for a jumbogram's length (RFC 2675 4). */
	if (length < sizeof(*udp) && !(packet->is_v6 && !length))
		return THR_REASON_BAD_UDP_LENGTH;
	if (length > packet->left && !packet->fragment)
		return THR_REASON_BAD_UDP_LENGTH;
	packet->port = bpf_ntohs(udp->dest);
	return 0;
}

/* Neighbor discovery (types 133 to 137) counts only from the link itself, which
 * a hop limit of 255 proves (RFC 4861 3.1). */
static __always_inline int parse_icmp(const void *frame, const void *at, const void *end,
				      struct packet *packet)
{
	const struct ipv6hdr *ip = frame + packet->network;
	const struct icmp6hdr *icmp = at;

	if (packet->left < sizeof(*icmp) || (const void *)(icmp + 1) > end)
		return THR_REASON_SHORT_ICMP;
	if (packet->is_v6 && !packet->fragment && (const void *)(ip + 1) <= end)
		packet->neighbor =
			ip->hop_limit == 255 && icmp->icmp6_type >= 133 && icmp->icmp6_type <= 137;
	return 0;
}

/*
 * Fragments may hide the flags of a TCP header from the stage that looks for
 * them: by a first fragment too short to hold them, or by a second one that
 * overwrites them (RFC 1858, RFC 3128). No stack makes either.
 */
static __always_inline int parse_upper(const void *frame, const void *end, struct packet *packet)
{
	__u32 at = packet->upper;

	if (packet_is_later_fragment(packet)) {
		if (packet->protocol == IPPROTO_TCP &&
		    (packet->fragment & PARSE_OFFSET) < sizeof(struct tcphdr))
			return THR_REASON_OVERLAPPING_FRAGMENT;
		return 0;
	}
	parse_keep_number(at);
	if (at > PARSE_HEADERS_MAX)
		return THR_REASON_SHORT_EXTENSION;
	if (packet->protocol == IPPROTO_TCP)
		return parse_tcp(frame + at, end, packet);
	if (packet->protocol == IPPROTO_UDP)
		return parse_udp(frame + at, end, packet);
	if (packet_is_icmp(packet))
		return parse_icmp(frame, frame + at, end, packet);
	return 0;
}

/* --- IP: `at` is its header --- */

static __always_inline int parse_ipv4(const void *at, const void *end, struct packet *packet)
{
	const struct iphdr *ip = at;
	__u32 version_ihl, header, total, fragment;

	if ((const void *)(ip + 1) > end)
		return THR_REASON_SHORT_IPV4;
	version_ihl = *(const __u8 *)at;
	if (version_ihl >> 4 != 4)
		return THR_REASON_BAD_IP_VERSION;
	header = (version_ihl & 15) * 4;
	if (header < sizeof(*ip))
		return THR_REASON_BAD_IHL;
	if (at + header > end)
		return THR_REASON_SHORT_IPV4;
	total = bpf_ntohs(ip->tot_len);
	if (total < header)
		return THR_REASON_BAD_IP_LENGTH;
	packet->upper = packet->network + header;
	packet->left = total - header;
	packet->protocol = ip->protocol;
	if (ip->frag_off & bpf_htons(PARSE_IPV4_OFFSET | PARSE_IPV4_MORE)) {
		fragment = bpf_ntohs(ip->frag_off);
		packet->fragment =
			(fragment & PARSE_IPV4_OFFSET) << 3 | (fragment & PARSE_IPV4_MORE) >> 13;
	}
	return 0;
}

static __always_inline bool parse_is_extension(__u8 type)
{
	return type == IPPROTO_HOPOPTS || type == IPPROTO_ROUTING || type == IPPROTO_DSTOPTS ||
	       type == IPPROTO_AH || type == IPPROTO_FRAGMENT;
}

/* The length of an extension header in bytes. */
static __always_inline __u32 parse_extension_length(__u8 type, __u32 length)
{
	if (type == IPPROTO_FRAGMENT)
		return 8;
	return type == IPPROTO_AH ? (length + 2) * 4 : (length + 1) * 8;
}

/* A chain that ends too soon: in a first fragment, the rest of it and the upper
 * layer are hidden in the next one, which RFC 7112 forbids. */
static __always_inline int parse_short_chain(__u32 fragment)
{
	return fragment & PARSE_MORE ? THR_REASON_TINY_FRAGMENT : THR_REASON_SHORT_EXTENSION;
}

/* Move packet->upper and ->left past the extension headers, up to the upper
 * layer or to the payload of a fragment after the first. */
static __always_inline int parse_extensions(const void *frame, const void *end,
					    struct packet *packet)
{
	__u32 at = packet->upper, left = packet->left, fragment = 0;
	__u8 type = packet->protocol;

	for (int i = 0; i < PARSE_EXTENSIONS_MAX; i++) {
		const struct parse_extension *header;
		__u32 length;
		__u8 next;

		if (!parse_is_extension(type))
			break;
		parse_keep_number(at);
		if (at > PARSE_HEADERS_MAX)
			return THR_REASON_SHORT_EXTENSION;
		header = frame + at;
		if (left < sizeof(*header))
			return parse_short_chain(fragment);
		if ((const void *)(header + 1) > end)
			return THR_REASON_SHORT_EXTENSION;
		length = parse_extension_length(type, header->length);
		if (length > left)
			return parse_short_chain(fragment);
		next = header->next;
		left -= length;
		at += length;
		if (type == IPPROTO_FRAGMENT)
			fragment |= bpf_ntohs(header->fragment) & (PARSE_OFFSET | PARSE_MORE);
		type = next;
		if (fragment & PARSE_OFFSET)
			break;
	}
	packet->upper = at;
	packet->left = left;
	packet->fragment = fragment;
	packet->protocol = type;
	if (fragment & PARSE_OFFSET)
		return 0;
	if (parse_is_extension(type))
		return THR_REASON_TOO_MANY_EXTENSIONS;
	return type == IPPROTO_NONE ? THR_REASON_NO_NEXT_HEADER : 0;
}

static __always_inline int parse_ipv6(const void *frame, const void *at, const void *end,
				      struct packet *packet)
{
	const struct ipv6hdr *ip = at;

	if ((const void *)(ip + 1) > end)
		return THR_REASON_SHORT_IPV6;
	if (*(const __u8 *)at >> 4 != 6)
		return THR_REASON_BAD_IP_VERSION;
	packet->is_v6 = 1;
	packet->protocol = ip->nexthdr;
	packet->upper = packet->network + sizeof(*ip);
	packet->left = bpf_ntohs(ip->payload_len);
	/* A jumbogram's length is in an option (RFC 2675); of its headers no more
	 * is asked than that they lie in the frame. */
	if (!packet->left && ip->nexthdr == IPPROTO_HOPOPTS)
		packet->left = end - at - sizeof(*ip);
	return parse_is_extension(ip->nexthdr) || ip->nexthdr == IPPROTO_NONE
		       ? parse_extensions(frame, end, packet)
		       : 0;
}

static __always_inline bool parse_is_tag(__be16 protocol)
{
	return protocol == bpf_htons(ETH_P_8021Q) || protocol == bpf_htons(ETH_P_8021AD);
}

/*
 * Read the frame from `frame` to `end` into `packet`, which the caller has
 * zeroed. Returns 0 or a reason.
 */
static __always_inline int parse_frame(const void *frame, const void *end, struct packet *packet)
{
	const struct parse_ethernet *ethernet = frame;
	__u32 at = sizeof(*ethernet);
	__be16 protocol;
	int reason;

	if ((const void *)(ethernet + 1) > end)
		return THR_REASON_SHORT_ETHERNET;
	protocol = ethernet->protocol;
	for (int i = 0; parse_is_tag(protocol); i++) {
		const struct parse_tag *tag = frame + at;

		if (i == PARSE_TAGS_MAX)
			return THR_REASON_TOO_MANY_TAGS;
		if ((const void *)(tag + 1) > end)
			return THR_REASON_SHORT_VLAN;
		protocol = tag->protocol;
		at += sizeof(*tag);
	}
	packet->network = at;
	if (protocol == bpf_htons(ETH_P_IP))
		reason = parse_ipv4(frame + at, end, packet);
	else if (protocol == bpf_htons(ETH_P_IPV6))
		reason = parse_ipv6(frame, frame + at, end, packet);
	else
		return THR_REASON_NOT_IP;
	return reason ? reason : parse_upper(frame, end, packet);
}

/* The source of a frame that parse_frame() has read; an IPv4 address as
 * ::ffff:a.b.c.d. False where the frame ends before it, which it does not. */
static __always_inline bool parse_source(const void *frame, const void *end,
					 const struct packet *packet, __be64 source[2])
{
	const void *at = frame + packet->network;
	const struct iphdr *v4 = at;
	const struct ipv6hdr *v6 = at;
	const __be64 *halves;

	if (!packet->is_v6) {
		if ((const void *)(v4 + 1) > end)
			return false;
		source[0] = 0;
		source[1] = bpf_cpu_to_be64(0xffff00000000ULL | bpf_ntohl(v4->saddr));
		return true;
	}
	if ((const void *)(v6 + 1) > end)
		return false;
	halves = (const __be64 *)&v6->saddr;
	source[0] = halves[0];
	source[1] = halves[1];
	return true;
}

#endif
