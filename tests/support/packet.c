/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Two passes over the layers: where each starts, then what each says; see packet.h. */
#include "support/packet.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdbool.h>
#include <string.h>
#include <linux/if_ether.h>

#define ETHERTYPE_LOCAL 0x88b5 /* IEEE 802, for local experiments */
#define PROTOCOL_LOCAL 253     /* RFC 3692 */

size_t thr_layer_size(const struct thr_layer *layer)
{
	static const uint8_t fixed[] = {
		[THR_LAYER_ETHERNET] = 14, [THR_LAYER_TAG] = 4,	      [THR_LAYER_IP4] = 20,
		[THR_LAYER_IP6] = 40,	   [THR_LAYER_EXTENSION] = 8, [THR_LAYER_TCP] = 20,
		[THR_LAYER_UDP] = 8,	   [THR_LAYER_ICMP] = 8,      [THR_LAYER_PADDING] = 0,
	};

	return layer->kind == THR_LAYER_CUT ? 0 : fixed[layer->kind] + layer->bytes;
}

static void put_16(uint8_t *at, uint32_t value)
{
	at[0] = value >> 8;
	at[1] = value;
}

static void put_32(uint8_t *at, uint32_t value)
{
	put_16(at, value >> 16);
	put_16(at + 2, value);
}

static uint32_t said_or(uint32_t said, uint32_t truth)
{
	return said ? said & 0xffff : truth;
}

static uint32_t ethertype_of(const struct thr_layer *layer)
{
	switch (layer->kind) {
	case THR_LAYER_TAG:
		return layer->type ? ETH_P_8021AD : ETH_P_8021Q;
	case THR_LAYER_IP4:
		return ETH_P_IP;
	case THR_LAYER_IP6:
		return ETH_P_IPV6;
	default:
		return ETHERTYPE_LOCAL;
	}
}

static uint32_t protocol_of(const struct thr_layer *layer, bool is_v6)
{
	switch (layer->kind) {
	case THR_LAYER_EXTENSION:
		return layer->type;
	case THR_LAYER_TCP:
		return IPPROTO_TCP;
	case THR_LAYER_UDP:
		return IPPROTO_UDP;
	case THR_LAYER_ICMP:
		return is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	case THR_LAYER_IP4:
		return IPPROTO_IPIP;
	case THR_LAYER_IP6:
		return IPPROTO_IPV6;
	default:
		return PROTOCOL_LOCAL;
	}
}

void thr_packet_address(const char *text, struct in6_addr *ret_address)
{
	struct in_addr v4;

	if (inet_pton(AF_INET6, text, ret_address) == 1)
		return;
	assert(inet_pton(AF_INET, text, &v4) == 1);
	memset(ret_address, 0, sizeof(*ret_address));
	memset(&ret_address->s6_addr[10], 0xff, 2);
	memcpy(&ret_address->s6_addr[12], &v4, sizeof(v4));
}

static void put_ip4(const struct thr_layer *layer, uint32_t rest, uint8_t *at)
{
	struct in6_addr source;

	thr_packet_address(layer->source ? layer->source : "192.0.2.1", &source);
	at[0] = (layer->version ? layer->version : 4) << 4 |
		said_or(layer->header, thr_layer_size(layer) / 4);
	put_16(at + 2, said_or(layer->length, rest));
	put_16(at + 6, layer->fragment);
	at[8] = layer->hops ? layer->hops : 64;
	at[9] = said_or(layer->next, protocol_of(layer + 1, false));
	memcpy(at + 12, &source.s6_addr[12], 4);
	memcpy(at + 16, (uint8_t[]){198, 51, 100, 1}, 4);
	memset(at + 20, 1 /* no operation */, layer->bytes);
}

static void put_ip6(const struct thr_layer *layer, uint32_t rest, uint8_t *at)
{
	struct in6_addr source;

	thr_packet_address(layer->source ? layer->source : "2001:db8::1", &source);
	at[0] = (layer->version ? layer->version : 6) << 4;
	put_16(at + 4, said_or(layer->length, rest - 40));
	at[6] = said_or(layer->next, protocol_of(layer + 1, true));
	at[7] = layer->hops ? layer->hops : 64;
	memcpy(at + 8, &source, 16);
	memcpy(at + 24, (uint8_t[16]){0x20, 0x01, 0x0d, 0xb8, [15] = 0x99}, 16);
}

static void put_extension(const struct thr_layer *layer, uint8_t *at)
{
	size_t size = thr_layer_size(layer);
	uint32_t length = layer->type == IPPROTO_AH ? size / 4 - 2 : size / 8 - 1;

	at[0] = said_or(layer->next, protocol_of(layer + 1, true));
	at[1] = said_or(layer->header, length);
	put_16(at + 2, layer->fragment);
}

static void put_tcp(const struct thr_layer *layer, uint8_t *at)
{
	put_16(at, layer->from ? layer->from : 40000);
	put_16(at + 2, layer->port ? layer->port : 80);
	put_32(at + 4, layer->sequence);
	put_32(at + 8, layer->acknowledges);
	at[12] = said_or(layer->header, thr_layer_size(layer) / 4) << 4;
	at[13] = layer->flags;
	memset(at + 20, 1 /* no operation */, layer->bytes);
	if (layer->text)
		memcpy(at + 20, layer->text, layer->bytes);
}

/* `rest` is what there is from this layer on, padding left out. */
static void put_layer(const struct thr_layer *layer, uint32_t rest, uint8_t *at)
{
	switch (layer->kind) {
	case THR_LAYER_ETHERNET:
		memset(at, 2, 6);
		memset(at + 6, 6, 6);
		put_16(at + 12, said_or(layer->next, ethertype_of(layer + 1)));
		break;
	case THR_LAYER_TAG:
		put_16(at, 7);
		put_16(at + 2, said_or(layer->next, ethertype_of(layer + 1)));
		break;
	case THR_LAYER_IP4:
		put_ip4(layer, rest, at);
		break;
	case THR_LAYER_IP6:
		put_ip6(layer, rest, at);
		break;
	case THR_LAYER_EXTENSION:
		put_extension(layer, at);
		break;
	case THR_LAYER_TCP:
		put_tcp(layer, at);
		break;
	case THR_LAYER_UDP:
		put_16(at, 40000);
		put_16(at + 2, layer->port ? layer->port : 80);
		put_16(at + 4, said_or(layer->length, rest));
		break;
	case THR_LAYER_ICMP:
		at[0] = layer->type;
		break;
	default:
		break;
	}
}

void thr_frame_build(const struct thr_layer *layers, struct thr_frame *ret_frame)
{
	size_t size = 0, counted = 0, at = 0, cut = 0;
	const struct thr_layer *layer;

	for (layer = layers; layer->kind != THR_LAYER_END; layer++) {
		size += thr_layer_size(layer);
		if (layer->kind == THR_LAYER_CUT)
			cut = layer->bytes;
		else if (layer->kind != THR_LAYER_PADDING)
			counted = size;
	}
	assert(size <= sizeof(ret_frame->bytes) && cut <= size);
	memset(ret_frame->bytes, 0, size);
	for (layer = layers; layer->kind != THR_LAYER_END; layer++) {
		put_layer(layer, at < counted ? counted - at : 0, ret_frame->bytes + at);
		at += thr_layer_size(layer);
	}
	ret_frame->size = size - cut;
}
