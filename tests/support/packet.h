/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Frames from a list of layers, so that a packet reads in one line:
 *
 *   LAYERS(ETH, TAG(), IP4(.source = "192.0.2.1"), TCP(SYN), DATA(100))
 *
 * Lengths and next-protocol fields are worked out from the layers that follow.
 * A field that is to lie is given with SAYS(): IP4(.length = SAYS(19)). Fields
 * that are left out get a plausible value. Checksums are left zero: nothing
 * here looks at them.
 */
#ifndef THR_TEST_PACKET_H
#define THR_TEST_PACKET_H

#include <stddef.h>
#include <stdint.h>
#include <netinet/in.h>

#define THR_FRAME_MAX 20480

struct thr_frame {
	size_t size;
	uint8_t bytes[THR_FRAME_MAX];
};

enum thr_layer_kind {
	THR_LAYER_END,
	THR_LAYER_ETHERNET,
	THR_LAYER_TAG,
	THR_LAYER_IP4,
	THR_LAYER_IP6,
	THR_LAYER_EXTENSION,
	THR_LAYER_TCP,
	THR_LAYER_UDP,
	THR_LAYER_ICMP,
	THR_LAYER_DATA,	   /* bytes that the IP length counts */
	THR_LAYER_PADDING, /* bytes that it does not; last */
	THR_LAYER_CUT,	   /* bytes to take off the end of the finished frame; last */
};

struct thr_layer {
	uint8_t kind;	    /* enum thr_layer_kind */
	uint8_t type;	    /* extension: its protocol number; ICMP: type */
	uint8_t flags;	    /* of TCP */
	uint8_t hops;	    /* TTL or hop limit; 0: 64 */
	uint8_t version;    /* of IP; 0: the right one */
	uint16_t fragment;  /* as on the wire, host order: offset and flags */
	uint16_t port;	    /* destination; 0: 80 */
	uint16_t bytes;	    /* of options after the fixed header, or of data */
	uint32_t next;	    /* SAYS(EtherType or protocol of what follows) */
	uint32_t length;    /* SAYS(length in bytes) of IPv4, IPv6, UDP */
	uint32_t header;    /* SAYS(length field of this header): IHL, offset, extension */
	const char *source; /* address; NULL: 192.0.2.1 or 2001:db8::1 */
	uint32_t sequence;  /* TCP, and */
	uint32_t acknowledges;
	uint16_t from;	     /* source port; 0: 40000 */
	const uint8_t *text; /* TCP: what is in `bytes` of options; NULL: no operation */
};

/* A value to write instead of the true one; 0 alone is "the true one". */
#define SAYS(value) (0x10000u | (value))

#define LAYERS(...) ((const struct thr_layer[]){__VA_ARGS__, {.kind = THR_LAYER_END}})

#define ETH                                                                                        \
	{                                                                                          \
		.kind = THR_LAYER_ETHERNET                                                         \
	}
#define ETH_SAYS(ethertype)                                                                        \
	{                                                                                          \
		.kind = THR_LAYER_ETHERNET, .next = SAYS(ethertype)                                \
	}
#define TAG                                                                                        \
	{                                                                                          \
		.kind = THR_LAYER_TAG                                                              \
	} /* 802.1Q */
#define STAG                                                                                       \
	{                                                                                          \
		.kind = THR_LAYER_TAG, .type = 1                                                   \
	} /* 802.1ad */
#define IP4(...)                                                                                   \
	{                                                                                          \
		.kind = THR_LAYER_IP4, __VA_ARGS__                                                 \
	}
#define IP6(...)                                                                                   \
	{                                                                                          \
		.kind = THR_LAYER_IP6, __VA_ARGS__                                                 \
	}
#define EXT(number, ...)                                                                           \
	{                                                                                          \
		.kind = THR_LAYER_EXTENSION, .type = (number), __VA_ARGS__                         \
	}
#define TCP(bits, ...)                                                                             \
	{                                                                                          \
		.kind = THR_LAYER_TCP, .flags = (bits), __VA_ARGS__                                \
	}
#define UDP(...)                                                                                   \
	{                                                                                          \
		.kind = THR_LAYER_UDP, __VA_ARGS__                                                 \
	}
#define ICMP(number)                                                                               \
	{                                                                                          \
		.kind = THR_LAYER_ICMP, .type = (number)                                           \
	}
#define DATA(count)                                                                                \
	{                                                                                          \
		.kind = THR_LAYER_DATA, .bytes = (count)                                           \
	}
#define PADDING(count)                                                                             \
	{                                                                                          \
		.kind = THR_LAYER_PADDING, .bytes = (count)                                        \
	}
#define CUT(count)                                                                                 \
	{                                                                                          \
		.kind = THR_LAYER_CUT, .bytes = (count)                                            \
	}

/* TCP flags, as in byte 13 of the header. */
enum {
	FIN = 0x01,
	SYN = 0x02,
	RST = 0x04,
	PSH = 0x08,
	ACK = 0x10,
	URG = 0x20,
	ECE = 0x40,
	CWR = 0x80
};

/* Fragment fields: IPv4 counts 8 bytes an offset, IPv6 shifts it by 3 bits. */
#define MORE4 0x2000
#define DONT4 0x4000
#define OFFSET4(bytes) ((bytes) / 8)
#define MORE6 0x0001
#define OFFSET6(bytes) (bytes)

/* Bytes that the layer adds to the frame. */
size_t thr_layer_size(const struct thr_layer *layer);

/* Build `layers`, ended by THR_LAYER_END; asserts that they fit. */
void thr_frame_build(const struct thr_layer *layers, struct thr_frame *ret_frame);

/* The IPv4 or IPv6 address `text` as the packet layer keeps it, IPv4 mapped. */
void thr_packet_address(const char *text, struct in6_addr *ret_address);

#endif
