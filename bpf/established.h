/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The short way out, which most packets of a healthy server take: an untagged,
 * whole TCP segment over IPv4 without options, or over IPv6 without extension
 * headers, that opens no connection.
 *
 * It says yes only where parsing and classifying would come to ESTABLISHED too
 * (the fuzzer holds it to that), at a third of their cost. Whatever it does not
 * know at a glance goes the whole way.
 */
#ifndef THR_ESTABLISHED_H
#define THR_ESTABLISHED_H

/* `length` is the TCP segment's, `at` its header, which lies in the frame. */
static __always_inline bool established_segment(const __u8 *at, __u32 length)
{
	__u32 header = (at[12] & 0xf0) >> 2;

	return header >= sizeof(struct tcphdr) && header <= length && !(at[13] & PARSE_SYN);
}

static __always_inline bool established_ipv4(const void *at, const void *end)
{
	const struct iphdr *ip = at;
	const struct tcphdr *tcp = (const void *)(ip + 1);
	__u32 total;

	if ((const void *)(tcp + 1) > end || *(const __u8 *)at != 0x45 ||
	    ip->protocol != IPPROTO_TCP ||
	    ip->frag_off & bpf_htons(PARSE_IPV4_OFFSET | PARSE_IPV4_MORE))
		return false;
	total = bpf_ntohs(ip->tot_len);
	return total >= sizeof(*ip) && total <= end - at &&
	       established_segment((const __u8 *)tcp, total - sizeof(*ip));
}

static __always_inline bool established_ipv6(const void *at, const void *end)
{
	const struct ipv6hdr *ip = at;
	const struct tcphdr *tcp = (const void *)(ip + 1);
	__u32 length;

	if ((const void *)(tcp + 1) > end || *(const __u8 *)at >> 4 != 6 ||
	    ip->nexthdr != IPPROTO_TCP)
		return false;
	length = bpf_ntohs(ip->payload_len);
	return length <= end - (const void *)tcp && established_segment((const __u8 *)tcp, length);
}

static __always_inline bool is_established(const void *frame, const void *end)
{
	const struct parse_ethernet *ethernet = frame;

	if ((const void *)(ethernet + 1) > end)
		return false;
	if (ethernet->protocol == bpf_htons(ETH_P_IP))
		return established_ipv4(ethernet + 1, end);
	return ethernet->protocol == bpf_htons(ETH_P_IPV6) && established_ipv6(ethernet + 1, end);
}

#endif
