/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Ethernet frames for the generators: one TCP or UDP packet without a payload,
 * over IPv4 or IPv6, with every length and checksum right.
 *
 * The program that varies the source relies on the places below. They are in
 * bytes from the start of the frame; the word that a range of sources counts
 * in lies at the same place for both families: the IPv4 source address, and
 * the second 32 bits of the IPv6 one, so that each IPv6 source is a /64.
 */
#ifndef FRAME_H
#define FRAME_H

#define FRAME_MAX 128
#define FRAME_IPV4_CHECK 24
#define FRAME_SOURCE_WORD 26
#define FRAME_L4(is_v6) ((is_v6) ? 54 : 34)
#define FRAME_TCP_CHECK 16 /* from the start of the TCP header */
#define FRAME_UDP_CHECK 6

#ifndef __bpf__
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum frame_kind { FRAME_SYN, FRAME_ACK, FRAME_UDP };

struct frame_address {
	bool is_v6;
	uint8_t bytes[16]; /* network order; of IPv4 the first four */
};

struct frame_spec {
	enum frame_kind kind;
	struct frame_address source, destination; /* of one family */
	uint16_t source_port, destination_port;
	uint8_t source_mac[6], destination_mac[6];
};

/* Write the frame and return its length: at least 60 bytes, as on a wire. */
size_t frame_build(const struct frame_spec *spec, uint8_t frame[static FRAME_MAX]);

/* From text; false when it is neither an IPv4 nor an IPv6 address. */
bool frame_parse_address(const char *text, struct frame_address *ret_address);
/* From six pairs of hexadecimal digits joined by colons. */
bool frame_parse_mac(const char *text, uint8_t ret_mac[static 6]);
/* From "syn", "ack" or "udp". */
bool frame_parse_kind(const char *text, enum frame_kind *ret_kind);
#endif

#endif
