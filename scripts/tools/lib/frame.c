/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See frame.h. */
#include "frame.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* The sum of RFC 1071 over `size` bytes, not yet folded; `size` is even. */
static uint32_t checksum_add(uint32_t sum, const void *bytes, size_t size)
{
	for (size_t i = 0; i < size; i += 2) {
		uint16_t word;

		memcpy(&word, (const uint8_t *)bytes + i, sizeof(word));
		sum += word;
	}
	return sum;
}

static uint16_t checksum_fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static size_t address_size(const struct frame_address *address)
{
	return address->is_v6 ? 16 : 4;
}

/* The checksum of the upper layer with its pseudo header (RFC 9293 3.1). */
static uint16_t upper_checksum(const struct frame_spec *spec, uint8_t protocol, const void *upper,
			       size_t size)
{
	uint32_t sum = htons(protocol) + (uint32_t)htons((uint16_t)size);

	sum = checksum_add(sum, spec->source.bytes, address_size(&spec->source));
	sum = checksum_add(sum, spec->destination.bytes, address_size(&spec->destination));
	return checksum_fold(checksum_add(sum, upper, size));
}

static size_t build_tcp(const struct frame_spec *spec, uint8_t *at)
{
	struct tcphdr tcp = {
		.source = htons(spec->source_port),
		.dest = htons(spec->destination_port),
		.seq = htonl(1),
		.doff = sizeof(tcp) / 4,
		.syn = spec->kind == FRAME_SYN,
		.ack = spec->kind == FRAME_ACK,
		.window = htons(64240),
	};

	tcp.check = upper_checksum(spec, IPPROTO_TCP, &tcp, sizeof(tcp));
	memcpy(at, &tcp, sizeof(tcp));
	return sizeof(tcp);
}

static size_t build_udp(const struct frame_spec *spec, uint8_t *at)
{
	struct udphdr udp = {
		.source = htons(spec->source_port),
		.dest = htons(spec->destination_port),
		.len = htons(sizeof(udp)),
	};

	udp.check = upper_checksum(spec, IPPROTO_UDP, &udp, sizeof(udp));
	if (!udp.check)
		udp.check = 0xffff; /* 0 would say that there is none (RFC 768) */
	memcpy(at, &udp, sizeof(udp));
	return sizeof(udp);
}

static void build_ipv4(const struct frame_spec *spec, uint8_t protocol, size_t payload, uint8_t *at)
{
	struct iphdr ip = {
		.version = 4,
		.ihl = sizeof(ip) / 4,
		.tot_len = htons((uint16_t)(sizeof(ip) + payload)),
		.ttl = 64,
		.protocol = protocol,
	};

	memcpy(&ip.saddr, spec->source.bytes, sizeof(ip.saddr));
	memcpy(&ip.daddr, spec->destination.bytes, sizeof(ip.daddr));
	ip.check = checksum_fold(checksum_add(0, &ip, sizeof(ip)));
	memcpy(at, &ip, sizeof(ip));
}

static void build_ipv6(const struct frame_spec *spec, uint8_t protocol, size_t payload, uint8_t *at)
{
	struct ipv6hdr ip = {
		.version = 6,
		.payload_len = htons((uint16_t)payload),
		.nexthdr = protocol,
		.hop_limit = 64,
	};

	memcpy(&ip.saddr, spec->source.bytes, sizeof(ip.saddr));
	memcpy(&ip.daddr, spec->destination.bytes, sizeof(ip.daddr));
	memcpy(at, &ip, sizeof(ip));
}

size_t frame_build(const struct frame_spec *spec, uint8_t frame[static FRAME_MAX])
{
	bool is_v6 = spec->source.is_v6, is_udp = spec->kind == FRAME_UDP;
	struct ethhdr ethernet = {.h_proto = htons(is_v6 ? ETH_P_IPV6 : ETH_P_IP)};
	uint8_t protocol = is_udp ? IPPROTO_UDP : IPPROTO_TCP;
	uint8_t *upper = frame + FRAME_L4(is_v6);
	size_t payload, size;

	memset(frame, 0, FRAME_MAX);
	memcpy(ethernet.h_source, spec->source_mac, ETH_ALEN);
	memcpy(ethernet.h_dest, spec->destination_mac, ETH_ALEN);
	memcpy(frame, &ethernet, sizeof(ethernet));
	payload = is_udp ? build_udp(spec, upper) : build_tcp(spec, upper);
	(is_v6 ? build_ipv6 : build_ipv4)(spec, protocol, payload, frame + sizeof(ethernet));
	size = FRAME_L4(is_v6) + payload;
	return size < ETH_ZLEN ? ETH_ZLEN : size;
}

bool frame_parse_address(const char *text, struct frame_address *ret_address)
{
	struct frame_address address = {.is_v6 = strchr(text, ':') != NULL};

	if (inet_pton(address.is_v6 ? AF_INET6 : AF_INET, text, address.bytes) != 1)
		return false;
	*ret_address = address;
	return true;
}

bool frame_parse_mac(const char *text, uint8_t ret_mac[static 6])
{
	uint8_t mac[6];
	int used = 0;

	if (sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2],
		   &mac[3], &mac[4], &mac[5], &used) != 6 ||
	    text[used])
		return false;
	memcpy(ret_mac, mac, sizeof(mac));
	return true;
}

bool frame_parse_kind(const char *text, enum frame_kind *ret_kind)
{
	static const char *const names[] = {
		[FRAME_SYN] = "syn", [FRAME_ACK] = "ack", [FRAME_UDP] = "udp"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (!strcmp(text, names[i])) {
			*ret_kind = (enum frame_kind)i;
			return true;
		}
	}
	return false;
}
