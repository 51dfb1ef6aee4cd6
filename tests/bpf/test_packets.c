/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packet shapes: which reason each is counted under, and what happens to it.
 *
 * A row is one packet. It goes through the program once under each of the
 * settings below, none of which limits it, and must come to the row's reason
 * every time: exactly that counter moves, by one.
 */
#include <string.h>
#include <errno.h>
#include <linux/bpf.h>

#include "support/packet.h"
#include "support/run.h"
#include "support/xdp.h"

/* What becomes of a packet that nothing limits. */
enum fate {
	PASSES,
	UNREAD, /* passes, unless malformed packets drop */
	DROPS,
};

struct row {
	const char *name;
	enum fate fate;
	enum thr_reason reason;
	const struct thr_layer *layers;
};

#define ROW(name, fate, reason, ...)                                                               \
	{                                                                                          \
		name, fate, THR_REASON_##reason, LAYERS(__VA_ARGS__)                               \
	}

#define HOP IPPROTO_HOPOPTS
#define ROUTE IPPROTO_ROUTING
#define DEST IPPROTO_DSTOPTS
#define AUTH IPPROTO_AH
#define FRAG IPPROTO_FRAGMENT
#define DEST3 EXT(DEST), EXT(DEST), EXT(DEST)
#define DEST7 DEST3, DEST3, EXT(DEST)
#define MOBILITY 135

static const struct row rows[] = {
	/* Ethernet */
	ROW("arp", PASSES, NOT_IP, ETH_SAYS(0x0806), DATA(28)),
	ROW("lldp", PASSES, NOT_IP, ETH_SAYS(0x88cc), DATA(46)),
	ROW("unknown_ethertype", PASSES, NOT_IP, ETH_SAYS(0x1234), DATA(46)),
	ROW("ethernet_alone", PASSES, NOT_IP, ETH_SAYS(0xffff)),
	ROW("llc_length", PASSES, NOT_IP, ETH_SAYS(46), DATA(46)),
	ROW("llc_length_zero", PASSES, NOT_IP, ETH_SAYS(0), DATA(46)),
	ROW("mpls", PASSES, NOT_IP, ETH_SAYS(0x8847), DATA(46)),
	ROW("pppoe", PASSES, NOT_IP, ETH_SAYS(0x8864), DATA(46)),

	/* VLAN tags */
	ROW("tag_1_ipv4_syn", PASSES, NEW_CONNECTION, ETH, TAG, IP4(), TCP(SYN)),
	ROW("tag_1_ipv6_syn", PASSES, NEW_CONNECTION, ETH, TAG, IP6(), TCP(SYN)),
	ROW("stag_1_ipv4_syn", PASSES, NEW_CONNECTION, ETH, STAG, IP4(), TCP(SYN)),
	ROW("qinq_ipv4_syn", PASSES, NEW_CONNECTION, ETH, STAG, TAG, IP4(), TCP(SYN)),
	ROW("qinq_ipv6_syn", PASSES, NEW_CONNECTION, ETH, STAG, TAG, IP6(), TCP(SYN)),
	ROW("qinq_ipv4_syn_fin", DROPS, SYN_FIN, ETH, STAG, TAG, IP4(), TCP(SYN | FIN)),
	ROW("tags_2_same", PASSES, NEW_CONNECTION, ETH, TAG, TAG, IP4(), TCP(SYN)),
	ROW("tags_3", PASSES, NEW_CONNECTION, ETH, STAG, TAG, TAG, IP4(), TCP(SYN)),
	ROW("tags_4_ipv4", PASSES, NEW_CONNECTION, ETH, STAG, STAG, TAG, TAG, IP4(), TCP(SYN)),
	ROW("tags_4_ipv6", PASSES, NEW_CONNECTION, ETH, TAG, TAG, TAG, TAG, IP6(), TCP(SYN)),
	ROW("tags_4_arp", PASSES, NOT_IP, ETH, TAG, TAG, TAG, TAG, DATA(28)),
	ROW("tags_5", DROPS, TOO_MANY_TAGS, ETH, TAG, TAG, TAG, TAG, TAG, IP4(), TCP(SYN)),
	ROW("tags_5_mixed", DROPS, TOO_MANY_TAGS, ETH, STAG, TAG, STAG, TAG, STAG, IP6(), TCP(SYN)),
	ROW("tag_cut", UNREAD, SHORT_VLAN, ETH, TAG, CUT(1)),
	ROW("tag_missing", UNREAD, SHORT_VLAN, ETH_SAYS(0x8100)),
	ROW("tag_4_cut", UNREAD, SHORT_VLAN, ETH, TAG, TAG, TAG, STAG, CUT(2)),
	ROW("tag_then_nothing", UNREAD, SHORT_IPV4, ETH, TAG, IP4(), CUT(20)),
	ROW("tag_unknown_ethertype", PASSES, NOT_IP, ETH, TAG, DATA(46)),
	ROW("tag_established", PASSES, ESTABLISHED, ETH, TAG, IP4(), TCP(ACK)),

	/* IPv4 header */
	ROW("ipv4_ihl_0", UNREAD, BAD_IHL, ETH, IP4(.header = SAYS(0)), TCP(SYN)),
	ROW("ipv4_ihl_1", UNREAD, BAD_IHL, ETH, IP4(.header = SAYS(1)), TCP(SYN)),
	ROW("ipv4_ihl_2", UNREAD, BAD_IHL, ETH, IP4(.header = SAYS(2)), TCP(SYN)),
	ROW("ipv4_ihl_3", UNREAD, BAD_IHL, ETH, IP4(.header = SAYS(3)), TCP(SYN)),
	ROW("ipv4_ihl_4", UNREAD, BAD_IHL, ETH, IP4(.header = SAYS(4)), TCP(SYN)),
	ROW("ipv4_ihl_5", PASSES, NEW_CONNECTION, ETH, IP4(), TCP(SYN)),
	ROW("ipv4_ihl_6", PASSES, NEW_CONNECTION, ETH, IP4(.bytes = 4), TCP(SYN)),
	ROW("ipv4_ihl_7", PASSES, NEW_CONNECTION, ETH, IP4(.bytes = 8), TCP(SYN)),
	ROW("ipv4_ihl_8", PASSES, NEW_CONNECTION, ETH, IP4(.bytes = 12), TCP(SYN)),
	ROW("ipv4_ihl_9", PASSES, NEW_CONNECTION, ETH, IP4(.bytes = 16), TCP(SYN)),
	ROW("ipv4_ihl_10", PASSES, NEW_CONNECTION, ETH, IP4(.bytes = 20), TCP(SYN)),
	ROW("ipv4_ihl_11", PASSES, NEW_CONNECTION, ETH, IP4(.bytes = 24), TCP(SYN)),
	ROW("ipv4_ihl_12", PASSES, NEW_CONNECTION, ETH, IP4(.bytes = 28), TCP(SYN)),
	ROW("ipv4_ihl_13", PASSES, NEW_CONNECTION, ETH, IP4(.bytes = 32), TCP(SYN)),
	ROW("ipv4_ihl_14", PASSES, NEW_CONNECTION, ETH, IP4(.bytes = 36), TCP(SYN)),
	ROW("ipv4_ihl_15", PASSES, NEW_CONNECTION, ETH, IP4(.bytes = 40), TCP(SYN)),
	ROW("ipv4_ihl_15_syn_fin", DROPS, SYN_FIN, ETH, IP4(.bytes = 40), TCP(SYN | FIN)),
	ROW("ipv4_ihl_15_established", PASSES, ESTABLISHED, ETH, IP4(.bytes = 40), TCP(ACK)),
	ROW("ipv4_ihl_beyond_total", UNREAD, BAD_IP_LENGTH, ETH,
	    IP4(.bytes = 40, .length = SAYS(59)), TCP(SYN)),
	ROW("ipv4_version_0", UNREAD, BAD_IP_VERSION, ETH_SAYS(0x0800), DATA(40)),
	ROW("ipv4_version_6", UNREAD, BAD_IP_VERSION, ETH, IP4(.version = 6), TCP(SYN)),
	ROW("ipv4_total_0", UNREAD, BAD_IP_LENGTH, ETH, IP4(.length = SAYS(0)), TCP(SYN)),
	ROW("ipv4_total_19", UNREAD, BAD_IP_LENGTH, ETH, IP4(.length = SAYS(19)), TCP(SYN)),
	ROW("ipv4_total_20", UNREAD, SHORT_TCP, ETH, IP4(.length = SAYS(20)), TCP(SYN)),
	ROW("ipv4_total_39", UNREAD, SHORT_TCP, ETH, IP4(.length = SAYS(39)), TCP(SYN)),
	ROW("ipv4_total_41", UNREAD, SHORT_PACKET, ETH, IP4(.length = SAYS(41)), TCP(SYN)),
	ROW("ipv4_total_41_established", UNREAD, SHORT_PACKET, ETH, IP4(.length = SAYS(41)),
	    TCP(ACK)),
	ROW("ipv4_total_65535", UNREAD, SHORT_PACKET, ETH, IP4(.length = SAYS(65535)), TCP(SYN)),
	ROW("ipv4_payload_cut", UNREAD, SHORT_PACKET, ETH, IP4(), TCP(ACK), DATA(100), CUT(1)),
	ROW("ipv4_padded", PASSES, NEW_CONNECTION, ETH, IP4(), TCP(SYN), PADDING(6)),
	ROW("ipv4_header_cut_1", UNREAD, SHORT_IPV4, ETH, IP4(), CUT(1)),
	ROW("ipv4_header_missing", UNREAD, SHORT_IPV4, ETH, IP4(), CUT(20)),
	ROW("ipv4_options_cut", UNREAD, SHORT_IPV4, ETH, IP4(.bytes = 8), CUT(1)),
	ROW("ipv4_dont_fragment", PASSES, NEW_CONNECTION, ETH, IP4(.fragment = DONT4), TCP(SYN)),

	/* TCP flags */
	ROW("tcp_none", PASSES, ESTABLISHED, ETH, IP4(), TCP(0)),
	ROW("tcp_fin", PASSES, ESTABLISHED, ETH, IP4(), TCP(FIN)),
	ROW("tcp_rst", PASSES, ESTABLISHED, ETH, IP4(), TCP(RST)),
	ROW("tcp_ack", PASSES, ESTABLISHED, ETH, IP4(), TCP(ACK)),
	ROW("tcp_psh_ack_data", PASSES, ESTABLISHED, ETH, IP4(), TCP(PSH | ACK), DATA(1000)),
	ROW("tcp_fin_ack", PASSES, ESTABLISHED, ETH, IP4(), TCP(FIN | ACK)),
	ROW("tcp_rst_ack", PASSES, ESTABLISHED, ETH, IP4(), TCP(RST | ACK)),
	ROW("tcp_fin_rst", PASSES, ESTABLISHED, ETH, IP4(), TCP(FIN | RST)),
	ROW("tcp_xmas", PASSES, ESTABLISHED, ETH, IP4(), TCP(FIN | PSH | URG)),
	ROW("tcp_ece_ack", PASSES, ESTABLISHED, ETH, IP4(), TCP(ECE | ACK)),
	ROW("tcp_syn_data", PASSES, NEW_CONNECTION, ETH, IP4(), TCP(SYN), DATA(10)),
	ROW("tcp_syn_psh", PASSES, NEW_CONNECTION, ETH, IP4(), TCP(SYN | PSH)),
	ROW("tcp_syn_urg", PASSES, NEW_CONNECTION, ETH, IP4(), TCP(SYN | URG)),
	ROW("tcp_syn_ece", PASSES, NEW_CONNECTION, ETH, IP4(), TCP(SYN | ECE)),
	ROW("tcp_syn_cwr", PASSES, NEW_CONNECTION, ETH, IP4(), TCP(SYN | CWR)),
	ROW("tcp_syn_ece_cwr", PASSES, NEW_CONNECTION, ETH, IP4(), TCP(SYN | ECE | CWR)),
	ROW("tcp_syn_ack", PASSES, ESTABLISHED, ETH, IP4(), TCP(SYN | ACK)),
	ROW("tcp_syn_ack_ece", PASSES, ESTABLISHED, ETH, IP4(), TCP(SYN | ACK | ECE)),
	ROW("tcp_syn_fin", DROPS, SYN_FIN, ETH, IP4(), TCP(SYN | FIN)),
	ROW("tcp_syn_fin_ack", DROPS, SYN_FIN, ETH, IP4(), TCP(SYN | FIN | ACK)),
	ROW("tcp_syn_fin_ece_cwr", DROPS, SYN_FIN, ETH, IP4(), TCP(SYN | FIN | ECE | CWR)),
	ROW("tcp_syn_rst", DROPS, SYN_RST, ETH, IP4(), TCP(SYN | RST)),
	ROW("tcp_syn_rst_ack", DROPS, SYN_RST, ETH, IP4(), TCP(SYN | RST | ACK)),
	ROW("tcp_syn_fin_rst", DROPS, SYN_FIN, ETH, IP4(), TCP(SYN | FIN | RST)),
	ROW("tcp_all", DROPS, SYN_FIN, ETH, IP4(), TCP(0xff)),
	ROW("tcp_all_but_syn", PASSES, ESTABLISHED, ETH, IP4(), TCP(0xff & ~SYN)),

	/* TCP header */
	ROW("tcp_doff_0", UNREAD, BAD_DOFF, ETH, IP4(), TCP(SYN, .header = SAYS(0))),
	ROW("tcp_doff_4", UNREAD, BAD_DOFF, ETH, IP4(), TCP(SYN, .header = SAYS(4))),
	ROW("tcp_doff_4_established", UNREAD, BAD_DOFF, ETH, IP4(), TCP(ACK, .header = SAYS(4))),
	ROW("tcp_doff_6_missing", UNREAD, SHORT_TCP, ETH, IP4(), TCP(SYN, .header = SAYS(6))),
	ROW("tcp_doff_6_established", UNREAD, SHORT_TCP, ETH, IP4(), TCP(ACK, .header = SAYS(6))),
	ROW("tcp_doff_10", PASSES, NEW_CONNECTION, ETH, IP4(), TCP(SYN, .bytes = 20)),
	ROW("tcp_doff_15", PASSES, NEW_CONNECTION, ETH, IP4(), TCP(SYN, .bytes = 40)),
	ROW("tcp_doff_15_syn_fin", DROPS, SYN_FIN, ETH, IP4(), TCP(SYN | FIN, .bytes = 40)),
	ROW("tcp_options_in_padding", UNREAD, SHORT_TCP, ETH, IP4(), TCP(SYN, .header = SAYS(10)),
	    PADDING(20)),
	ROW("tcp_header_in_padding", UNREAD, SHORT_TCP, ETH, IP4(.length = SAYS(20)),
	    TCP(SYN | FIN)),
	ROW("tcp_cut_1", UNREAD, SHORT_TCP, ETH, IP4(), TCP(SYN), CUT(1)),
	ROW("tcp_cut_before_flags", UNREAD, SHORT_TCP, ETH, IP4(), TCP(SYN | FIN), CUT(7)),
	ROW("tcp_missing", UNREAD, SHORT_TCP, ETH, IP4(), TCP(SYN), CUT(20)),

	/* UDP, ICMP, others over IPv4 */
	ROW("udp", PASSES, UDP, ETH, IP4(), UDP(), DATA(32)),
	ROW("udp_empty", PASSES, UDP, ETH, IP4(), UDP()),
	ROW("udp_padded", PASSES, UDP, ETH, IP4(), UDP(), PADDING(18)),
	ROW("udp_length_0", UNREAD, BAD_UDP_LENGTH, ETH, IP4(), UDP(.length = SAYS(0)), DATA(8)),
	ROW("udp_length_7", UNREAD, BAD_UDP_LENGTH, ETH, IP4(), UDP(.length = SAYS(7)), DATA(8)),
	ROW("udp_length_8_with_data", PASSES, UDP, ETH, IP4(), UDP(.length = SAYS(8)), DATA(8)),
	ROW("udp_length_beyond", UNREAD, BAD_UDP_LENGTH, ETH, IP4(), UDP(.length = SAYS(17)),
	    DATA(8)),
	ROW("udp_length_into_padding", UNREAD, BAD_UDP_LENGTH, ETH, IP4(), UDP(.length = SAYS(9)),
	    PADDING(9)),
	ROW("udp_cut", UNREAD, SHORT_UDP, ETH, IP4(), UDP(), CUT(1)),
	ROW("udp_total_27", UNREAD, SHORT_UDP, ETH, IP4(.length = SAYS(27)), UDP()),
	ROW("udp_data_cut", UNREAD, SHORT_PACKET, ETH, IP4(), UDP(), DATA(100), CUT(50)),
	ROW("icmp_echo", PASSES, ICMP, ETH, IP4(), ICMP(8), DATA(56)),
	ROW("icmp_like_neighbor", PASSES, ICMP, ETH, IP4(.hops = 255), ICMP(135)),
	ROW("icmp_cut", UNREAD, SHORT_ICMP, ETH, IP4(), ICMP(8), CUT(1)),
	ROW("icmp_total_27", UNREAD, SHORT_ICMP, ETH, IP4(.length = SAYS(27)), ICMP(8)),
	ROW("gre", PASSES, OTHER_PROTOCOL, ETH, IP4(.next = SAYS(47)), DATA(40)),
	ROW("esp", PASSES, OTHER_PROTOCOL, ETH, IP4(.next = SAYS(50)), DATA(40)),
	ROW("sctp", PASSES, OTHER_PROTOCOL, ETH, IP4(.next = SAYS(132)), DATA(12)),
	ROW("ipip_syn_fin", PASSES, OTHER_PROTOCOL, ETH, IP4(), IP4(), TCP(SYN | FIN)),
	ROW("ipv4_icmpv6", PASSES, OTHER_PROTOCOL, ETH, IP4(.next = SAYS(58), .hops = 255),
	    DATA(8)),
	ROW("ipv4_nothing", PASSES, OTHER_PROTOCOL, ETH, IP4()),
	ROW("ipv4_protocol_cut", UNREAD, SHORT_PACKET, ETH, IP4(.next = SAYS(47)), DATA(40),
	    CUT(1)),

	/* IPv4 fragments */
	ROW("fragment4_first", PASSES, NEW_CONNECTION, ETH, IP4(.fragment = MORE4), TCP(SYN),
	    DATA(4)),
	ROW("fragment4_first_ack", PASSES, ESTABLISHED, ETH, IP4(.fragment = MORE4), TCP(ACK),
	    DATA(4)),
	ROW("fragment4_first_syn_fin", DROPS, SYN_FIN, ETH, IP4(.fragment = MORE4), TCP(SYN | FIN)),
	ROW("fragment4_first_tiny_8", DROPS, TINY_FRAGMENT, ETH,
	    IP4(.fragment = MORE4, .next = SAYS(6)), DATA(8)),
	ROW("fragment4_first_tiny_16", DROPS, TINY_FRAGMENT, ETH,
	    IP4(.fragment = MORE4, .next = SAYS(6)), DATA(16)),
	ROW("fragment4_first_tiny_options", DROPS, TINY_FRAGMENT, ETH, IP4(.fragment = MORE4),
	    TCP(SYN, .header = SAYS(8)), DATA(4)),
	ROW("fragment4_first_cut", UNREAD, SHORT_TCP, ETH, IP4(.fragment = MORE4), TCP(SYN),
	    CUT(1)),
	ROW("fragment4_tcp_8", DROPS, OVERLAPPING_FRAGMENT, ETH,
	    IP4(.fragment = MORE4 | OFFSET4(8), .next = SAYS(6)), DATA(16)),
	ROW("fragment4_tcp_16_last", DROPS, OVERLAPPING_FRAGMENT, ETH,
	    IP4(.fragment = OFFSET4(16), .next = SAYS(6)), DATA(16)),
	ROW("fragment4_tcp_24", PASSES, FRAGMENT, ETH,
	    IP4(.fragment = MORE4 | OFFSET4(24), .next = SAYS(6)), DATA(16)),
	ROW("fragment4_tcp_far_last", PASSES, FRAGMENT, ETH,
	    IP4(.fragment = OFFSET4(65528), .next = SAYS(6)), DATA(7)),
	ROW("fragment4_later_looks_syn_fin", PASSES, FRAGMENT, ETH, IP4(.fragment = OFFSET4(1480)),
	    TCP(SYN | FIN)),
	ROW("fragment4_later_short", UNREAD, SHORT_PACKET, ETH,
	    IP4(.fragment = OFFSET4(1480), .next = SAYS(6)), DATA(16), CUT(1)),
	ROW("fragment4_udp_first", PASSES, UDP, ETH, IP4(.fragment = MORE4),
	    UDP(.length = SAYS(3000)), DATA(1472)),
	ROW("fragment4_udp_first_tiny", UNREAD, SHORT_UDP, ETH,
	    IP4(.fragment = MORE4, .next = SAYS(17)), DATA(7)),
	ROW("fragment4_udp_8", PASSES, FRAGMENT, ETH, IP4(.fragment = OFFSET4(8), .next = SAYS(17)),
	    DATA(8)),
	ROW("fragment4_icmp_first", PASSES, ICMP, ETH, IP4(.fragment = MORE4), ICMP(8), DATA(1472)),
	ROW("fragment4_icmp_later", PASSES, FRAGMENT, ETH,
	    IP4(.fragment = OFFSET4(1480), .next = SAYS(1)), DATA(8)),
	ROW("fragment4_gre_later", PASSES, FRAGMENT, ETH,
	    IP4(.fragment = OFFSET4(1480), .next = SAYS(47)), DATA(8)),
	ROW("fragment4_options_first", PASSES, NEW_CONNECTION, ETH,
	    IP4(.fragment = MORE4, .bytes = 8), TCP(SYN), DATA(4)),
	ROW("fragment4_reserved_bit", PASSES, NEW_CONNECTION, ETH, IP4(.fragment = 0x8000),
	    TCP(SYN)),

	/* IPv6 header and what it carries */
	ROW("ipv6_syn", PASSES, NEW_CONNECTION, ETH, IP6(), TCP(SYN)),
	ROW("ipv6_syn_ece_cwr", PASSES, NEW_CONNECTION, ETH, IP6(), TCP(SYN | ECE | CWR)),
	ROW("ipv6_ack", PASSES, ESTABLISHED, ETH, IP6(), TCP(ACK), DATA(100)),
	ROW("ipv6_syn_ack", PASSES, ESTABLISHED, ETH, IP6(), TCP(SYN | ACK)),
	ROW("ipv6_syn_fin", DROPS, SYN_FIN, ETH, IP6(), TCP(SYN | FIN)),
	ROW("ipv6_syn_rst", DROPS, SYN_RST, ETH, IP6(), TCP(SYN | RST)),
	ROW("ipv6_udp", PASSES, UDP, ETH, IP6(), UDP(), DATA(32)),
	ROW("ipv6_udp_length_7", UNREAD, BAD_UDP_LENGTH, ETH, IP6(), UDP(.length = SAYS(7))),
	ROW("ipv6_udp_length_beyond", UNREAD, BAD_UDP_LENGTH, ETH, IP6(), UDP(.length = SAYS(9))),
	ROW("ipv6_udp_length_0", PASSES, UDP, ETH, IP6(), UDP(.length = SAYS(0)), DATA(8)),
	ROW("ipv6_icmpv6_echo", PASSES, ICMP, ETH, IP6(), ICMP(128)),
	ROW("ipv6_icmpv4", PASSES, OTHER_PROTOCOL, ETH, IP6(.next = SAYS(1)), ICMP(8)),
	ROW("ipv6_icmp_cut", UNREAD, SHORT_ICMP, ETH, IP6(), ICMP(128), CUT(4)),
	ROW("ipv6_esp", PASSES, OTHER_PROTOCOL, ETH, IP6(.next = SAYS(50)), DATA(40)),
	ROW("ipv6_mobility", PASSES, OTHER_PROTOCOL, ETH, IP6(.next = SAYS(MOBILITY)), DATA(8)),
	ROW("ipv6_no_next_header", UNREAD, NO_NEXT_HEADER, ETH, IP6(.next = SAYS(59))),
	ROW("ipv6_version_4", UNREAD, BAD_IP_VERSION, ETH, IP6(.version = 4), TCP(SYN)),
	ROW("ipv6_version_7", UNREAD, BAD_IP_VERSION, ETH, IP6(.version = 7), TCP(ACK)),
	ROW("ipv6_header_cut_1", UNREAD, SHORT_IPV6, ETH, IP6(), CUT(1)),
	ROW("ipv6_header_missing", UNREAD, SHORT_IPV6, ETH, IP6(), CUT(40)),
	ROW("ipv6_payload_0", UNREAD, SHORT_TCP, ETH, IP6(.length = SAYS(0)), TCP(SYN)),
	ROW("ipv6_payload_19", UNREAD, SHORT_TCP, ETH, IP6(.length = SAYS(19)), TCP(SYN)),
	ROW("ipv6_payload_21", UNREAD, SHORT_PACKET, ETH, IP6(.length = SAYS(21)), TCP(SYN)),
	ROW("ipv6_payload_21_established", UNREAD, SHORT_PACKET, ETH, IP6(.length = SAYS(21)),
	    TCP(ACK)),
	ROW("ipv6_tcp_cut", UNREAD, SHORT_TCP, ETH, IP6(), TCP(SYN), CUT(1)),
	ROW("ipv6_tcp_doff_4", UNREAD, BAD_DOFF, ETH, IP6(), TCP(ACK, .header = SAYS(4))),
	ROW("ipv6_padded", PASSES, NEW_CONNECTION, ETH, IP6(), TCP(SYN), PADDING(6)),
	ROW("ipv6_jumbo", PASSES, NEW_CONNECTION, ETH, IP6(.length = SAYS(0)), EXT(HOP), TCP(SYN)),
	ROW("ipv6_jumbo_syn_fin", DROPS, SYN_FIN, ETH, IP6(.length = SAYS(0)), EXT(HOP),
	    TCP(SYN | FIN)),
	ROW("ipv6_jumbo_udp", PASSES, UDP, ETH, IP6(.length = SAYS(0)), EXT(HOP),
	    UDP(.length = SAYS(0)), DATA(1000)),

	/* Neighbor discovery */
	ROW("nd_router_solicitation", PASSES, NEIGHBOR_DISCOVERY, ETH, IP6(.hops = 255), ICMP(133)),
	ROW("nd_router_advertisement", PASSES, NEIGHBOR_DISCOVERY, ETH, IP6(.hops = 255),
	    ICMP(134)),
	ROW("nd_solicitation", PASSES, NEIGHBOR_DISCOVERY, ETH, IP6(.hops = 255), ICMP(135),
	    DATA(16)),
	ROW("nd_advertisement", PASSES, NEIGHBOR_DISCOVERY, ETH, IP6(.hops = 255), ICMP(136),
	    DATA(16)),
	ROW("nd_redirect", PASSES, NEIGHBOR_DISCOVERY, ETH, IP6(.hops = 255), ICMP(137)),
	ROW("nd_hops_254", PASSES, ICMP, ETH, IP6(.hops = 254), ICMP(135), DATA(16)),
	ROW("nd_type_132", PASSES, ICMP, ETH, IP6(.hops = 255), ICMP(132)),
	ROW("nd_type_138", PASSES, ICMP, ETH, IP6(.hops = 255), ICMP(138)),
	ROW("nd_tagged", PASSES, NEIGHBOR_DISCOVERY, ETH, TAG, IP6(.hops = 255), ICMP(135)),
	ROW("nd_behind_extension", PASSES, NEIGHBOR_DISCOVERY, ETH, IP6(.hops = 255), EXT(HOP),
	    ICMP(135)),
	ROW("nd_fragmented", PASSES, ICMP, ETH, IP6(.hops = 255), EXT(FRAG, .fragment = MORE6),
	    ICMP(135)),
	ROW("nd_atomic_fragment", PASSES, NEIGHBOR_DISCOVERY, ETH, IP6(.hops = 255), EXT(FRAG),
	    ICMP(135)),
	ROW("nd_cut", UNREAD, SHORT_ICMP, ETH, IP6(.hops = 255), ICMP(135), CUT(1)),

	/* IPv6 extension headers */
	ROW("extension_hop", PASSES, NEW_CONNECTION, ETH, IP6(), EXT(HOP), TCP(SYN)),
	ROW("extension_hop_long", PASSES, NEW_CONNECTION, ETH, IP6(), EXT(HOP, .bytes = 248),
	    TCP(SYN)),
	ROW("extension_hop_longest", PASSES, NEW_CONNECTION, ETH, IP6(), EXT(HOP, .bytes = 2040),
	    TCP(SYN)),
	ROW("extension_routing", PASSES, NEW_CONNECTION, ETH, IP6(), EXT(ROUTE, .bytes = 16),
	    TCP(SYN)),
	ROW("extension_destination", PASSES, NEW_CONNECTION, ETH, IP6(), EXT(DEST), TCP(SYN)),
	ROW("extension_auth_12", PASSES, NEW_CONNECTION, ETH, IP6(), EXT(AUTH, .bytes = 4),
	    TCP(SYN)),
	ROW("extension_auth_24", PASSES, NEW_CONNECTION, ETH, IP6(), EXT(AUTH, .bytes = 16),
	    TCP(SYN)),
	ROW("extension_auth_syn_fin", DROPS, SYN_FIN, ETH, IP6(), EXT(AUTH, .bytes = 4),
	    TCP(SYN | FIN)),
	ROW("extension_atomic_fragment", PASSES, NEW_CONNECTION, ETH, IP6(), EXT(FRAG), TCP(SYN)),
	ROW("extension_rfc_order", PASSES, NEW_CONNECTION, ETH, IP6(), EXT(HOP), EXT(DEST),
	    EXT(ROUTE), EXT(FRAG), EXT(AUTH, .bytes = 4), EXT(DEST), TCP(SYN)),
	ROW("extension_udp", PASSES, UDP, ETH, IP6(), EXT(DEST), UDP(), DATA(8)),
	ROW("extension_icmp", PASSES, ICMP, ETH, IP6(), EXT(DEST), ICMP(128)),
	ROW("extension_ack", PASSES, ESTABLISHED, ETH, IP6(), EXT(DEST), TCP(ACK)),
	ROW("extension_esp", PASSES, OTHER_PROTOCOL, ETH, IP6(), EXT(DEST, .next = SAYS(50)),
	    DATA(8)),
	ROW("extension_no_next_header", UNREAD, NO_NEXT_HEADER, ETH, IP6(),
	    EXT(DEST, .next = SAYS(59))),
	ROW("extensions_2", PASSES, NEW_CONNECTION, ETH, IP6(), EXT(HOP), EXT(DEST), TCP(SYN)),
	ROW("extensions_3", PASSES, NEW_CONNECTION, ETH, IP6(), DEST3, TCP(SYN)),
	ROW("extensions_4", PASSES, NEW_CONNECTION, ETH, IP6(), EXT(HOP), DEST3, TCP(SYN)),
	ROW("extensions_5", PASSES, NEW_CONNECTION, ETH, IP6(), EXT(HOP), EXT(ROUTE), DEST3,
	    TCP(SYN)),
	ROW("extensions_6", PASSES, NEW_CONNECTION, ETH, IP6(), DEST3, DEST3, TCP(SYN)),
	ROW("extensions_7", PASSES, NEW_CONNECTION, ETH, IP6(), DEST7, TCP(SYN)),
	ROW("extensions_8", PASSES, NEW_CONNECTION, ETH, IP6(), EXT(HOP), DEST7, TCP(SYN)),
	ROW("extensions_8_syn_fin", DROPS, SYN_FIN, ETH, IP6(), EXT(HOP), DEST7, TCP(SYN | FIN)),
	ROW("extensions_8_long", PASSES, NEW_CONNECTION, ETH, IP6(), EXT(HOP, .bytes = 1000), DEST7,
	    TCP(SYN)),
	ROW("extensions_9", DROPS, TOO_MANY_EXTENSIONS, ETH, IP6(), EXT(HOP), EXT(ROUTE), DEST7,
	    TCP(SYN)),
	ROW("extensions_8_no_next_header", UNREAD, NO_NEXT_HEADER, ETH, IP6(), DEST7,
	    EXT(DEST, .next = SAYS(59))),
	ROW("extension_cut_1", UNREAD, SHORT_EXTENSION, ETH, IP6(), EXT(HOP), CUT(1)),
	ROW("extension_missing", UNREAD, SHORT_EXTENSION, ETH, IP6(), EXT(DEST), CUT(8)),
	ROW("extension_2_cut", UNREAD, SHORT_EXTENSION, ETH, IP6(), EXT(HOP), EXT(DEST), CUT(4)),
	ROW("extension_8_cut", UNREAD, SHORT_EXTENSION, ETH, IP6(), DEST7, EXT(DEST), CUT(1)),
	ROW("extension_beyond_packet", UNREAD, SHORT_EXTENSION, ETH, IP6(),
	    EXT(HOP, .header = SAYS(9)), TCP(SYN)),
	ROW("extension_into_padding", UNREAD, SHORT_EXTENSION, ETH, IP6(.length = SAYS(8)),
	    EXT(HOP, .bytes = 8), TCP(SYN)),
	ROW("extension_upper_cut", UNREAD, SHORT_TCP, ETH, IP6(), EXT(HOP), TCP(SYN), CUT(1)),
	ROW("extension_payload_cut", UNREAD, SHORT_PACKET, ETH, IP6(), EXT(HOP), TCP(ACK), DATA(9),
	    CUT(9)),

	/* IPv6 fragments */
	ROW("fragment6_first", PASSES, NEW_CONNECTION, ETH, IP6(), EXT(FRAG, .fragment = MORE6),
	    TCP(SYN), DATA(4)),
	ROW("fragment6_first_syn_fin", DROPS, SYN_FIN, ETH, IP6(), EXT(FRAG, .fragment = MORE6),
	    TCP(SYN | FIN), DATA(4)),
	ROW("fragment6_first_tiny", DROPS, TINY_FRAGMENT, ETH, IP6(),
	    EXT(FRAG, .fragment = MORE6, .next = SAYS(6)), DATA(8)),
	ROW("fragment6_first_tiny_chain", DROPS, TINY_FRAGMENT, ETH, IP6(),
	    EXT(FRAG, .fragment = MORE6, .next = SAYS(DEST))),
	ROW("fragment6_first_hides_upper_in_chain", DROPS, TINY_FRAGMENT, ETH, IP6(),
	    EXT(FRAG, .fragment = MORE6), EXT(DEST, .next = SAYS(DEST))),
	ROW("fragment6_first_9_extensions", DROPS, TOO_MANY_EXTENSIONS, ETH, IP6(),
	    EXT(FRAG, .fragment = MORE6), EXT(DEST), DEST7, TCP(SYN)),
	ROW("fragment6_whole_short_chain", UNREAD, SHORT_EXTENSION, ETH, IP6(), EXT(FRAG),
	    EXT(DEST, .next = SAYS(DEST))),

	/* Frames in several buffers: of these, test-run puts some 3.5 kB in the first. */
	ROW("buffers_payload_beyond_first", PASSES, NEW_CONNECTION, ETH, IP6(), TCP(SYN),
	    DATA(6000)),
	ROW("buffers_tcp_beyond_first", DROPS, BEYOND_FIRST_BUFFER, ETH, IP6(),
	    EXT(DEST, .bytes = 2040), EXT(DEST, .bytes = 2040), TCP(SYN)),
	ROW("buffers_chain_beyond_first", DROPS, BEYOND_FIRST_BUFFER, ETH, IP6(),
	    EXT(DEST, .bytes = 2040), EXT(DEST, .bytes = 2040), EXT(DEST, .bytes = 8), TCP(ACK)),
	ROW("fragment6_tcp_8", DROPS, OVERLAPPING_FRAGMENT, ETH, IP6(),
	    EXT(FRAG, .fragment = OFFSET6(8), .next = SAYS(6)), DATA(16)),
	ROW("fragment6_tcp_24", PASSES, FRAGMENT, ETH, IP6(),
	    EXT(FRAG, .fragment = MORE6 | OFFSET6(24), .next = SAYS(6)), DATA(16)),
	ROW("fragment6_later_last", PASSES, FRAGMENT, ETH, IP6(),
	    EXT(FRAG, .fragment = OFFSET6(1448)), TCP(SYN | FIN)),
	ROW("fragment6_later_extension", PASSES, FRAGMENT, ETH, IP6(),
	    EXT(FRAG, .fragment = OFFSET6(1448), .next = SAYS(DEST)), DATA(8)),
	ROW("fragment6_later_none", PASSES, FRAGMENT, ETH, IP6(),
	    EXT(FRAG, .fragment = OFFSET6(1448), .next = SAYS(59)), DATA(8)),
	ROW("fragment6_later_icmp", PASSES, FRAGMENT, ETH, IP6(.hops = 255),
	    EXT(FRAG, .fragment = OFFSET6(1448), .next = SAYS(58)), DATA(8)),
	ROW("fragment6_udp_first", PASSES, UDP, ETH, IP6(), EXT(FRAG, .fragment = MORE6),
	    UDP(.length = SAYS(3000)), DATA(1440)),
	ROW("fragment6_behind_routing", PASSES, NEW_CONNECTION, ETH, IP6(), EXT(ROUTE),
	    EXT(FRAG, .fragment = MORE6), EXT(DEST), TCP(SYN), DATA(4)),
	ROW("fragment6_eighth_later", PASSES, FRAGMENT, ETH, IP6(), DEST7,
	    EXT(FRAG, .fragment = OFFSET6(1448), .next = SAYS(DEST)), DATA(8)),
	ROW("fragment6_reserved_bits", PASSES, NEW_CONNECTION, ETH, IP6(),
	    EXT(FRAG, .fragment = 0x0006), TCP(SYN)),
	ROW("fragment6_reserved_bits_short", UNREAD, SHORT_TCP, ETH, IP6(),
	    EXT(FRAG, .fragment = 0x0006, .next = SAYS(6)), DATA(8)),
	ROW("fragment6_header_cut", UNREAD, SHORT_EXTENSION, ETH, IP6(), EXT(FRAG, .next = SAYS(6)),
	    CUT(1)),
};

/* --- the settings that each packet meets --- */

static struct thr_xdp *program; /* NULL: the kernel does not let us */

/* Run `frame` and check that `reason`'s counter moves, no other, and that the
 * packet is dropped, and counted as dropped, only where `drops`. */
static void expect(const struct thr_frame *frame, enum thr_reason reason, bool drops)
{
	struct thr_tally before, after;

	thr_xdp_tally(program, &before);
	assert_int_equal(thr_xdp_run(program, frame, 1), drops ? XDP_DROP : XDP_PASS);
	thr_xdp_tally(program, &after);
	for (int i = 0; i < THR_REASON_COUNT; i++) {
		uint64_t packets = after.of[i].packets - before.of[i].packets;
		uint64_t dropped = after.of[i].dropped - before.of[i].dropped;

		if (packets && i != (int)reason)
			print_error("# counted as %s, not %s\n", thr_reason_name(i),
				    thr_reason_name(reason));
		assert_int_equal(packets, i == (int)reason);
		assert_int_equal(dropped, i == (int)reason && drops);
	}
}

static void set(enum thr_action action, uint32_t flags)
{
	memset(program->live, 0, sizeof(*program->live));
	program->live->slot[0].action = action;
	program->live->slot[0].flags = flags;
}

/* Limits on everything, too wide to be met: the whole way through the program. */
static void set_wide_limits(void)
{
	set(THR_ACTION_ENFORCE, 0);
	for (enum thr_kind kind = 0; kind < THR_KINDS; kind++)
		GRANT(program, .kind = kind, .rate = 1000000000, .burst = 1000000000);
	thr_xdp_publish(program, 0, THR_ACTION_ENFORCE);
}

static void check_row(void **state)
{
	const struct row *row = *state;
	enum thr_reason strict = row->reason;
	struct thr_frame frame;

	if (!program)
		THR_SKIP("needs root: the kernel refuses to load a BPF program");
	thr_frame_build(row->layers, &frame);

	set(THR_ACTION_OFF, 0);
	expect(&frame, row->reason, false);
	set(THR_ACTION_ENFORCE, 0);
	expect(&frame, row->reason, row->fate == DROPS);
	set(THR_ACTION_ENFORCE, THR_DROP_MALFORMED);
	expect(&frame, row->reason, row->fate != PASSES);
	set(THR_ACTION_MONITOR, THR_DROP_MALFORMED | THR_DROP_FRAGMENTS);
	if (row->reason == THR_REASON_FRAGMENT)
		strict = THR_REASON_FRAGMENT_REFUSED;
	expect(&frame, strict, false);
	set(THR_ACTION_ENFORCE, THR_DROP_FRAGMENTS);
	expect(&frame, strict, row->fate == DROPS || strict != row->reason);
	set_wide_limits();
	expect(&frame, row->reason, row->fate == DROPS);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[ARRAY_SIZE(rows)];
	int error = thr_xdp_open(THR_XDP_PRODUCT, 0, &program);
	int failed;

	if (error && error != -EPERM) {
		print_error("# the program does not load: %s\n", strerror(-error));
		return 1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		tests[i] =
			(struct CMUnitTest){rows[i].name, check_row, NULL, NULL, (void *)&rows[i]};
	failed = THR_RUN_TESTS(tests, argc, argv);
	thr_xdp_free(program);
	return failed;
}
