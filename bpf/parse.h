/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a frame to the few fields that later stages decide by.
 *
 *   Ethernet -> up to 4 x 802.1Q/802.1ad -> IPv4 -> TCP | UDP | ICMP | other
 *                                           IPv6 -> up to 8 extension headers
 *
 * Every shape that cannot be read has a reason of its own. Where the kernel
 * would discard the packet anyway (short headers, bad lengths), passing it is
 * harmless; that is why the default for those is to pass.
 *
 * What the IP length leaves out is padding, not packet: a TCP header there is
 * no TCP header. Only headers are read, so a frame whose tail lies in other
 * buffers (XDP frags) parses the same.
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

#define PARSE_IPV4_MORE 0x2000 /* RFC 791: more fragments */
#define PARSE_IPV4_OFFSET 0x1fff
#define PARSE_IPV6_MORE 0x0001 /* RFC 8200 4.5 */
#define PARSE_IPV6_OFFSET 0xfff8

/* The flags that tell a TCP segment's part in a connection: byte 13. */
enum parse_tcp_flag { PARSE_FIN = 1, PARSE_SYN = 2, PARSE_RST = 4, PARSE_ACK = 16 };

struct packet {
	__be64 source[2]; /* IPv4 as ::ffff:a.b.c.d */
	__u32 end;	  /* bytes of the frame that its IP length accounts for */
	__u16 port;	  /* destination, host order; 0 where there is none */
	__u8 protocol;	  /* of the upper layer */
	__u8 tcp_flags;
	bool is_v6;
	bool more;     /* a first fragment */
	bool later;    /* a fragment after the first */
	bool neighbor; /* neighbor discovery from the link */
};

struct parse_tag {
	__be16 tci;
	__be16 protocol;
};

struct parse_extension {
	__u8 next;
	__u8 length;   /* in 8 bytes beyond the first 8; AH: in 4 bytes, less 2 */
	__be16 offset; /* fragment header only: offset and flags */
	__u8 rest[4];
};

/* Fragments may hide the flags of a TCP header from the stage that looks for
 * them: by a first fragment too short to hold them, or by a second one that
 * overwrites them (RFC 1858, RFC 3128). No stack makes either. `offset` is in
 * bytes. */
static __always_inline int parse_fragment(struct packet *packet, __u32 offset, bool more)
{
	packet->more = more && !offset;
	packet->later = offset != 0;
	if (packet->protocol == IPPROTO_TCP && offset && offset < sizeof(struct tcphdr))
		return THR_REASON_OVERLAPPING_FRAGMENT;
	return 0;
}

/* `left` is what the IP length leaves for the header and what follows it. */
static __always_inline int parse_tcp(const void *at, const void *end, __u32 left,
				     struct packet *packet)
{
	const struct tcphdr *tcp = at;
	const __u8 *bytes = at;

	if (left < sizeof(*tcp))
		return packet->more ? THR_REASON_TINY_FRAGMENT : THR_REASON_SHORT_TCP;
	if ((const void *)(tcp + 1) > end)
		return THR_REASON_SHORT_TCP;
	if (tcp->doff < 5)
		return THR_REASON_BAD_DOFF;
	if (tcp->doff * 4u > left)
		return packet->more ? THR_REASON_TINY_FRAGMENT : THR_REASON_SHORT_TCP;
	packet->port = bpf_ntohs(tcp->dest);
	packet->tcp_flags = bytes[13];
	return 0;
}

static __always_inline int parse_udp(const void *at, const void *end, __u32 left,
				     struct packet *packet)
{
	const struct udphdr *udp = at;
	__u32 length;

	if (left < sizeof(*udp) || (const void *)(udp + 1) > end)
		return THR_REASON_SHORT_UDP;
	length = bpf_ntohs(udp->len);
	/* 0 stands for a jumbogram's length (RFC 2675 4). */
	if (length < sizeof(*udp) && !(packet->is_v6 && !length))
		return THR_REASON_BAD_UDP_LENGTH;
	if (length > left && !packet->more)
		return THR_REASON_BAD_UDP_LENGTH;
	packet->port = bpf_ntohs(udp->dest);
	return 0;
}

/* Neighbor discovery counts only from the link itself, which a hop limit of
 * 255 proves (RFC 4861 3.1). */
static __always_inline int parse_icmp(const void *at, const void *end, __u32 left, __u8 hops,
				      struct packet *packet)
{
	const struct icmp6hdr *icmp = at;

	if (left < sizeof(*icmp) || (const void *)(icmp + 1) > end)
		return THR_REASON_SHORT_ICMP;
	packet->neighbor =
		packet->is_v6 && hops == 255 && icmp->icmp6_type >= 133 && icmp->icmp6_type <= 137;
	return 0;
}

static __always_inline int parse_upper(const void *at, const void *end, __u32 left, __u8 hops,
				       struct packet *packet)
{
	if (packet->later)
		return 0;
	if (packet->protocol == IPPROTO_TCP)
		return parse_tcp(at, end, left, packet);
	if (packet->protocol == IPPROTO_UDP)
		return parse_udp(at, end, left, packet);
	if (packet->protocol == (packet->is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return parse_icmp(at, end, left, hops, packet);
	return 0;
}

static __always_inline int parse_ipv4(const void *frame, const void *at, const void *end,
				      struct packet *packet)
{
	const struct iphdr *ip = at;
	__u32 header, total, fragment;
	int reason;

	if ((const void *)(ip + 1) > end)
		return THR_REASON_SHORT_IPV4;
	if (ip->version != 4)
		return THR_REASON_BAD_IP_VERSION;
	header = ip->ihl * 4u;
	if (header < sizeof(*ip))
		return THR_REASON_BAD_IHL;
	if (at + header > end)
		return THR_REASON_SHORT_IPV4;
	total = bpf_ntohs(ip->tot_len);
	if (total < header)
		return THR_REASON_BAD_IP_LENGTH;
	packet->end = at - frame + total;
	packet->source[0] = 0;
	packet->source[1] = bpf_cpu_to_be64(0xffff00000000ULL | bpf_ntohl(ip->saddr));
	packet->protocol = ip->protocol;
	fragment = bpf_ntohs(ip->frag_off);
	if (fragment & (PARSE_IPV4_OFFSET | PARSE_IPV4_MORE)) {
		reason = parse_fragment(packet, (fragment & PARSE_IPV4_OFFSET) * 8,
					fragment & PARSE_IPV4_MORE);
		if (reason)
			return reason;
	}
	return parse_upper(at + header, end, total - header, ip->ttl, packet);
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

/* Keeps the compiler from turning an offset back into a pointer: the verifier
 * tells two states of a loop apart by their pointers, but not by numbers that
 * it need not know exactly, and gives up on a loop of 8 headers of 5 types. */
#define parse_keep_number(number) asm volatile("" : "+r"(number))

/*
 * Skip the extension headers from `*at` bytes into the frame, `*left` bytes
 * before the end of the IP packet; both are moved past them. `*fragment` is set
 * to the offset and flags of a fragment header, whose payload ends the chain
 * unless it is the first.
 */
static __always_inline int parse_extensions(const void *frame, const void *end, __u32 *at,
					    __u32 *left, __u32 *fragment, struct packet *packet)
{
	for (int i = 0; i < PARSE_EXTENSIONS_MAX; i++) {
		const struct parse_extension *header;
		__u8 type = packet->protocol;
		__u32 length;

		if (!parse_is_extension(type))
			return 0;
		parse_keep_number(*at);
		if (*at > PARSE_HEADERS_MAX)
			return THR_REASON_SHORT_EXTENSION;
		header = frame + *at;
		if (*left < sizeof(*header) || (const void *)(header + 1) > end)
			return THR_REASON_SHORT_EXTENSION;
		length = parse_extension_length(type, header->length);
		if (length > *left)
			return THR_REASON_SHORT_EXTENSION;
		packet->protocol = header->next;
		*left -= length;
		*at += length;
		if (type == IPPROTO_FRAGMENT) {
			*fragment |= bpf_ntohs(header->offset);
			if (*fragment & PARSE_IPV6_OFFSET)
				return 0;
		}
	}
	return parse_is_extension(packet->protocol) ? THR_REASON_TOO_MANY_EXTENSIONS : 0;
}

static __always_inline int parse_ipv6(const void *frame, const void *at, const void *end,
				      struct packet *packet)
{
	const struct ipv6hdr *ip = at;
	const __be64 *source;
	__u32 left, offset, fragment = 0;
	__u8 hops;
	int reason;

	if ((const void *)(ip + 1) > end)
		return THR_REASON_SHORT_IPV6;
	if (ip->version != 6)
		return THR_REASON_BAD_IP_VERSION;
	source = (const __be64 *)&ip->saddr;
	packet->source[0] = source[0];
	packet->source[1] = source[1];
	packet->is_v6 = true;
	packet->protocol = ip->nexthdr;
	left = bpf_ntohs(ip->payload_len);
	hops = ip->hop_limit;
	offset = at - frame + sizeof(*ip);
	packet->end = offset + left;
	/* A jumbogram's length is in an option (RFC 2675); of its headers no more
	 * is asked than that they lie in the frame. */
	if (!left && ip->nexthdr == IPPROTO_HOPOPTS)
		left = end - at;

	reason = parse_extensions(frame, end, &offset, &left, &fragment, packet);
	if (!reason)
		reason = parse_fragment(packet, fragment & PARSE_IPV6_OFFSET,
					fragment & PARSE_IPV6_MORE);
	if (reason)
		return reason;
	if (packet->protocol == IPPROTO_NONE && !packet->later)
		return THR_REASON_NO_NEXT_HEADER;
	parse_keep_number(offset);
	if (offset > PARSE_HEADERS_MAX)
		return THR_REASON_SHORT_EXTENSION;
	return parse_upper(frame + offset, end, left, hops, packet);
}

static __always_inline bool parse_is_tag(__be16 protocol)
{
	return protocol == bpf_htons(ETH_P_8021Q) || protocol == bpf_htons(ETH_P_8021AD);
}

/*
 * Read the frame from `frame` to `end` into `packet`, which the caller has
 * zeroed. Returns 0 or a reason; `source` is valid when packet->end is not 0.
 */
static __always_inline int parse_frame(const void *frame, const void *end, struct packet *packet)
{
	const struct ethhdr *ethernet = frame;
	const void *at = ethernet + 1;
	__be16 protocol;

	if (at > end)
		return THR_REASON_SHORT_ETHERNET;
	protocol = ethernet->h_proto;
	for (int i = 0; i <= PARSE_TAGS_MAX; i++) {
		const struct parse_tag *tag = at;

		if (!parse_is_tag(protocol))
			break;
		if (i == PARSE_TAGS_MAX)
			return THR_REASON_TOO_MANY_TAGS;
		if ((const void *)(tag + 1) > end)
			return THR_REASON_SHORT_VLAN;
		protocol = tag->protocol;
		at = tag + 1;
	}
	if (protocol == bpf_htons(ETH_P_IP))
		return parse_ipv4(frame, at, end, packet);
	if (protocol == bpf_htons(ETH_P_IPV6))
		return parse_ipv6(frame, at, end, packet);
	return THR_REASON_NOT_IP;
}

#endif
