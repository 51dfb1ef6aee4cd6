/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Any bytes as the beginning of a connection that a load balancer opens.
 *
 * However they are split, they mean the same: what was refused stays refused, a
 * header is found at one length, and what follows it changes nothing. A source
 * that is known, written in the other version and read again, is the same. The
 * bytes are copied to a block of their very size, so that a read past their end
 * is caught.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/proxy_protocol.h"
#include "fuzz/holds.h"

struct outcome {
	int result;
	struct thr_address source;
	bool known;
};

/* Of the first `size` bytes. */
static struct outcome parse(const uint8_t *data, size_t size)
{
	struct outcome outcome = {0};
	char *bytes = malloc(size + !size);

	if (!bytes)
		abort();
	memcpy(bytes, data, size);
	outcome.result = thr_proxy_header_parse(bytes, size, &outcome.source, &outcome.known);
	free(bytes);
	return outcome;
}

static bool same(const struct outcome *a, const struct outcome *b)
{
	return a->result == b->result && a->known == b->known &&
	       memcmp(a->source.bytes, b->source.bytes, sizeof(a->source.bytes)) == 0 &&
	       a->source.port == b->source.port;
}

static size_t write_v1(const struct thr_address *source, uint8_t bytes[128])
{
	const char *family = thr_address_is_v4(source) ? "TCP4" : "TCP6";
	char text[THR_ADDRESS_TEXT];

	thr_address_format(source, text);
	return (size_t)snprintf((char *)bytes, 128, "PROXY %s %s %s %u 0\r\n", family, text, text,
				source->port);
}

static size_t write_v2(const struct thr_address *source, uint8_t bytes[128])
{
	static const uint8_t head[] = "\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24";
	uint16_t port = htons(source->port);

	memset(bytes, 0, 128);
	memcpy(bytes, head, 16);
	memcpy(bytes + 16, source->bytes, 16);
	memcpy(bytes + 48, &port, sizeof(port));
	return 52;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome whole = parse(data, size), again;
	uint8_t written[128];

	HOLDS(whole.result <= (int)size && whole.result <= THR_PROXY_HEADER_MAX);
	HOLDS(whole.result != 0 || size < THR_PROXY_HEADER_MAX);
	for (size_t cut = 0; cut < size; cut++) {
		struct outcome part = parse(data, cut);

		if (part.result)
			HOLDS(same(&part, &whole));
		else
			HOLDS(whole.result <= 0 || (int)cut < whole.result);
	}
	if (whole.result <= 0 || !whole.known)
		return 0;
	again = parse(written, write_v1(&whole.source, written));
	again.result = whole.result;
	HOLDS(same(&again, &whole));
	again = parse(written, write_v2(&whole.source, written));
	again.result = whole.result;
	HOLDS(same(&again, &whole));
	return 0;
}
