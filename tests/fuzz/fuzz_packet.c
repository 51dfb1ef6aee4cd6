/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Any frame: what the packet layer makes of it beside a second reader of
 * packets, written straight from the RFCs and as plainly as can be.
 *
 * The two must agree on which frames open a connection: a frame that only the
 * second reader takes for one would be a way around every limit. The frame is
 * copied to a block of its very size, so that a read past its end is caught.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "support/host_bpf.h"
#include "parse.h"
#include "classify.h"
#include "established.h"

/* --- the second reader --- */

struct reader {
	const uint8_t *bytes;
	size_t at, size; /* `size` ends with the IP packet once its length is known */
};

static uint32_t read_16(const struct reader *reader, size_t offset)
{
	return reader->bytes[reader->at + offset] << 8 | reader->bytes[reader->at + offset + 1];
}

static bool has(const struct reader *reader, size_t count)
{
	return reader->at + count <= reader->size;
}

static bool opens_by_tcp(const struct reader *reader)
{
	const uint8_t *tcp = reader->bytes + reader->at;

	if (!has(reader, 20) || tcp[12] >> 4 < 5 || !has(reader, (tcp[12] >> 4) * 4))
		return false;
	return (tcp[13] & (1 | 2 | 4 | 16)) == 2; /* FIN SYN RST ACK: SYN alone */
}

static bool opens_by_ipv4(struct reader *reader)
{
	const uint8_t *ip = reader->bytes + reader->at;
	size_t header, total;

	if (!has(reader, 20) || ip[0] >> 4 != 4)
		return false;
	header = (ip[0] & 15) * 4;
	total = read_16(reader, 2);
	if (header < 20 || total < header || !has(reader, total))
		return false;
	if (ip[9] != 6 || read_16(reader, 6) & 0x1fff)
		return false;
	reader->size = reader->at + total;
	reader->at += header;
	return opens_by_tcp(reader);
}

static bool opens_by_ipv6(struct reader *reader)
{
	const uint8_t *ip = reader->bytes + reader->at;
	size_t payload;
	uint8_t next;

	if (!has(reader, 40) || ip[0] >> 4 != 6)
		return false;
	payload = read_16(reader, 4);
	next = ip[6];
	reader->at += 40;
	if (!has(reader, payload))
		return false;
	if (payload || next != 0) /* otherwise a jumbogram: to the end of the frame */
		reader->size = reader->at + payload;
	for (int headers = 0; headers < 8 && next != 6; headers++) {
		const uint8_t *header = reader->bytes + reader->at;
		size_t length;

		if (next != 0 && next != 43 && next != 44 && next != 51 && next != 60)
			return false;
		if (!has(reader, 8))
			return false;
		length = next == 44 ? 8 : next == 51 ? (header[1] + 2) * 4 : (header[1] + 1) * 8;
		if (!has(reader, length) || (next == 44 && read_16(reader, 2) >> 3))
			return false;
		next = header[0];
		reader->at += length;
	}
	return next == 6 && opens_by_tcp(reader);
}

static bool opens_connection(const uint8_t *bytes, size_t size)
{
	struct reader reader = {.bytes = bytes, .at = 12, .size = size};

	for (int tags = 0; has(&reader, 2); tags++) {
		uint32_t type = read_16(&reader, 0);

		reader.at += 2;
		if (type == 0x0800)
			return opens_by_ipv4(&reader);
		if (type == 0x86dd)
			return opens_by_ipv6(&reader);
		if ((type != 0x8100 && type != 0x88a8) || tags == 4)
			return false;
		reader.at += 2;
	}
	return false;
}

/* --- what must hold --- */

static bool is_parse_reason(int reason)
{
	return reason == THR_REASON_NOT_IP || reason == THR_REASON_TINY_FRAGMENT ||
	       reason == THR_REASON_OVERLAPPING_FRAGMENT || reason == THR_REASON_TOO_MANY_TAGS ||
	       reason == THR_REASON_TOO_MANY_EXTENSIONS ||
	       (reason >= THR_REASON_FIRST_UNPARSED && reason < THR_REASON_FIRST_DROP &&
		reason != THR_REASON_SHORT_PACKET);
}

static void check_fields(const uint8_t *bytes, size_t size, const struct packet *packet)
{
	__be64 source[2];

	assert(packet->network >= 14 && packet->network <= 14 + 4 * 4);
	assert(packet->upper >= packet->network + (packet->is_v6 ? 40 : 20));
	assert(packet->upper <= PARSE_HEADERS_MAX || packet_is_later_fragment(packet));
	assert(!packet_is_first_fragment(packet) || !packet_is_later_fragment(packet));
	if (packet_is_later_fragment(packet))
		assert(!packet->port && !packet->tcp_flags && !packet->neighbor);
	if (packet->tcp_flags)
		assert(packet->protocol == IPPROTO_TCP);
	if (packet->neighbor)
		assert(packet->is_v6 && packet->protocol == IPPROTO_ICMPV6);
	assert(parse_source(bytes, bytes + size, packet, source));
	if (!packet->is_v6)
		assert(!source[0] && !memcmp((uint8_t *)&source[1] + 2, "\xff\xff", 2));
}

/* The reason that the packet layer comes to where nothing is limited. */
static int decide(const uint8_t *bytes, size_t size)
{
	struct packet packet = {0};
	struct traffic traffic;
	int reason = parse_frame(bytes, bytes + size, &packet);

	if (reason) {
		assert(is_parse_reason(reason));
		return reason;
	}
	check_fields(bytes, size, &packet);
	if (packet.upper + packet.left > size)
		return THR_REASON_SHORT_PACKET;
	reason = classify_packet(&packet, 0, &traffic);
	return reason ? reason : (int)traffic.pass;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *bytes = malloc(size ? size : 1);
	int reason;

	if (!bytes)
		return 0;
	memcpy(bytes, data, size);
	reason = decide(bytes, size);
	assert(reason > 0 && reason < THR_REASON_COUNT);
	assert((reason == THR_REASON_NEW_CONNECTION) == opens_connection(bytes, size));
	if (is_established(bytes, bytes + size))
		assert(reason == THR_REASON_ESTABLISHED);
	free(bytes);
	return 0;
}
