/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Why a packet got its verdict: every packet is counted under exactly one of
 * these. One list serves the enum of both sides, the keys of `status --json`,
 * the labels of the metrics and the table in the manual.
 *
 * The list has four parts, and the part is the verdict:
 *   PASS      the packet goes on to the kernel
 *   UNPARSED  it cannot be read, and the kernel discards it too: passes, unless
 *             the configuration says `malformed: drop`
 *   ANSWERED  the answer to it is sent back, and the kernel never sees it (under
 *             `action: monitor`: counted, passed)
 *   DROP      the packet is dropped (under `action: monitor`: counted, passed).
 *             Among them is what the kernel would take although the parser cannot
 *             see through it, and no stack sends: it could only be a way around
 *             the limits
 *
 * X(NAME, "name", "what it means"). Names are part of the contract.
 */
#ifndef THR_REASONS_H
#define THR_REASONS_H

#define THR_REASONS_PASS(X)                                                                        \
	X(NEW_CONNECTION, "new_connection", "TCP SYN within its limits")                           \
	X(ESTABLISHED, "established", "TCP segment other than a SYN")                              \
	X(CHALLENGE_COMPLETED, "challenge_completed",                                              \
	  "TCP ACK that returned the cookie of a challenge: its source is verified")               \
	X(OVERLOAD_PASSED, "overload_passed",                                                      \
	  "TCP SYN beyond the budget for new sources, under `on_overload: pass`")                  \
	X(UDP, "udp", "UDP datagram within its limits")                                            \
	X(ICMP, "icmp", "ICMP or ICMPv6 message within its limits")                                \
	X(OTHER_PROTOCOL, "other_protocol", "IP protocol without ports (ESP, GRE, SCTP, ...)")     \
	X(FRAGMENT, "fragment", "fragment after the first: it has no ports to look at")            \
	X(ALLOWED, "allowed", "source in an allow prefix: uncharged")                              \
	X(NEIGHBOR_DISCOVERY, "neighbor_discovery",                                                \
	  "ICMPv6 neighbor discovery from the link: never limited (RFC 4861)")                     \
	X(NOT_IP, "not_ip", "frame that is neither IPv4 nor IPv6 (ARP, LLDP, ...)")                \
	X(NO_BUCKET, "no_bucket", "no bucket could be made for the source: passed uncharged")

#define THR_REASONS_UNPARSED(X)                                                                    \
	X(SHORT_ETHERNET, "short_ethernet", "frame ends within the Ethernet header")               \
	X(SHORT_VLAN, "short_vlan", "frame ends within a VLAN tag")                                \
	X(SHORT_IPV4, "short_ipv4", "frame ends within the IPv4 header")                           \
	X(SHORT_IPV6, "short_ipv6", "frame ends within the IPv6 header")                           \
	X(SHORT_EXTENSION, "short_extension", "packet ends within an IPv6 extension header")       \
	X(SHORT_TCP, "short_tcp", "packet ends within the TCP header")                             \
	X(SHORT_UDP, "short_udp", "packet ends within the UDP header")                             \
	X(SHORT_ICMP, "short_icmp", "packet ends within the ICMP header")                          \
	X(BAD_IP_VERSION, "bad_ip_version", "IP version does not match the EtherType")             \
	X(BAD_IHL, "bad_ihl", "IPv4 header length under 20 bytes")                                 \
	X(BAD_IP_LENGTH, "bad_ip_length", "IPv4 total length under the header length")             \
	X(NO_NEXT_HEADER, "no_next_header",                                                        \
	  "IPv6 chain ends without an upper layer (RFC 8200 4.7)")                                 \
	X(SHORT_PACKET, "short_packet", "frame is shorter than the IP length says")                \
	X(BAD_DOFF, "bad_doff", "TCP data offset under 20 bytes")                                  \
	X(BAD_UDP_LENGTH, "bad_udp_length", "UDP length under 8 or beyond the packet")

#define THR_REASONS_ANSWERED(X)                                                                    \
	X(CHALLENGED, "challenged",                                                                \
	  "TCP SYN beyond the budget for new sources, under `on_overload: challenge`")

#define THR_REASONS_DROP(X)                                                                        \
	X(DENIED, "denied", "source in a deny prefix")                                             \
	X(BLOCKED, "blocked", "source blocked for a while, by the proxy or by hand")               \
	X(OVER_CONNECTIONS, "over_connections", "source over its limit on new connections")        \
	X(OVER_PACKETS, "over_packets", "source over its limit on packets")                        \
	X(OVER_BYTES, "over_bytes", "source over its limit on bytes")                              \
	X(PREFIX_OVER_CONNECTIONS, "prefix_over_connections",                                      \
	  "prefix over its shared limit on new connections")                                       \
	X(PREFIX_OVER_PACKETS, "prefix_over_packets", "prefix over its shared limit on packets")   \
	X(PREFIX_OVER_BYTES, "prefix_over_bytes", "prefix over its shared limit on bytes")         \
	X(NEW_SOURCES_OVER, "new_sources_over",                                                    \
	  "TCP SYN beyond the budget for new sources, under `on_overload: drop`")                  \
	X(UNCHALLENGED, "unchallenged",                                                            \
	  "TCP SYN that was to be challenged and could not: no listener, IP options, ...")         \
	X(NO_OWN_BUCKET, "no_own_bucket",                                                          \
	  "source shares a bucket that is over, and can have none of its own now")                 \
	X(SYN_FIN, "syn_fin", "TCP SYN with FIN: no stack sends it")                               \
	X(SYN_RST, "syn_rst", "TCP SYN with RST: no stack sends it")                               \
	X(TINY_FRAGMENT, "tiny_fragment",                                                          \
	  "first fragment ends within the headers (RFC 1858, RFC 7112)")                           \
	X(OVERLAPPING_FRAGMENT, "overlapping_fragment",                                            \
	  "TCP fragment that would overwrite the flags (RFC 3128)")                                \
	X(TOO_MANY_TAGS, "too_many_tags", "more than 4 VLAN tags")                                 \
	X(TOO_MANY_EXTENSIONS, "too_many_extensions", "more than 8 IPv6 extension headers")        \
	X(BEYOND_FIRST_BUFFER, "beyond_first_buffer",                                              \
	  "headers of a multi-buffer frame reach beyond its first buffer")                         \
	X(FRAGMENT_REFUSED, "fragment_refused", "fragment after the first, under `fragments: drop`")

#define THR_REASONS(X)                                                                             \
	THR_REASONS_PASS(X) THR_REASONS_UNPARSED(X) THR_REASONS_ANSWERED(X) THR_REASONS_DROP(X)

#define THR_REASON_ENUM(NAME, name, text) THR_REASON_##NAME,
/* 0 is no reason: the stage leaves the packet to the next one. */
enum thr_reason { THR_REASON_NONE, THR_REASONS(THR_REASON_ENUM) THR_REASON_COUNT };
#undef THR_REASON_ENUM

/* Room in thr_stats, so that a further reason does not change the map's shape. It
 * does change THR_ABI_VERSION, unless it comes last: numbers are kept in maps. */
#define THR_REASONS_MAX 128
_Static_assert(THR_REASON_COUNT <= THR_REASONS_MAX, "thr_stats has room");

#define THR_REASON_FIRST_UNPARSED THR_REASON_SHORT_ETHERNET
#define THR_REASON_FIRST_ANSWERED THR_REASON_CHALLENGED
#define THR_REASON_FIRST_DROP THR_REASON_DENIED
_Static_assert(THR_REASON_FRAGMENT_REFUSED == 47, "a reason moved: raise THR_ABI_VERSION");

/* The frame's first buffer ended within a header: these are the first of UNPARSED. */
#define THR_REASON_LAST_SHORT THR_REASON_SHORT_ICMP

#endif
