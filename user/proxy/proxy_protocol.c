/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The two versions of the PROXY header; see proxy_protocol.h.
 *
 *   1   PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n
 *   2   signature, version and command, family and transport, length, addresses, TLVs
 *       12         1                    1                     2       length
 *
 * What is wrong is refused as soon as it can be told from what is short, and
 * nothing is repaired: the sender is a load balancer that was configured, not a
 * stranger.
 */
#include "proxy/proxy_protocol.h"

#include <errno.h>
#include <string.h>

#define V1_MAX 107 /* CRLF included */
#define V1_WORDS 5 /* TCP4 source destination port port */

#define V2_HEAD 16
#define V2_BODY_MAX (THR_PROXY_HEADER_MAX - V2_HEAD)

enum v2_command { V2_LOCAL = 0x20, V2_PROXY = 0x21 }; /* with the version, 2 */
enum v2_family { V2_UNSPEC, V2_INET, V2_INET6, V2_UNIX, V2_FAMILIES };
enum v2_transport { V2_STREAM = 1, V2_DGRAM };

static const struct thr_slice v1_signature = THR_SLICE("PROXY ");
static const struct thr_slice v2_signature = THR_SLICE("\r\n\r\n\0\r\nQUIT\n");

/* Whether the bytes are the signature, or as much of it as came. */
static bool may_be(struct thr_slice signature, const char *at, size_t length)
{
	return memcmp(at, signature.at, length < signature.length ? length : signature.length) == 0;
}

/* --- version 1 --- */

/* The words of `line`, with one space between two: what a second space leaves
 * between is an empty word. Returns how many there are, at most `max` + 1. */
static size_t split(struct thr_slice line, struct thr_slice *ret_words, size_t max)
{
	for (size_t count = 0; count < max; count++) {
		const char *space = memchr(line.at, ' ', line.length);
		size_t length = space ? (size_t)(space - line.at) : line.length;

		ret_words[count] = (struct thr_slice){line.at, length};
		if (!space)
			return count + 1;
		line.at += length + 1;
		line.length -= length + 1;
	}
	return max + 1;
}

/* An address in the text of its family: a mapped IPv4 one is text of IPv6. */
static int parse_v1_address(struct thr_slice word, bool is_v6, struct thr_address *ret_address)
{
	if (is_v6 != (memchr(word.at, ':', word.length) != NULL))
		return -EINVAL;
	return thr_address_parse(word, ret_address);
}

/* What follows the signature, without CRLF. */
static int parse_v1_line(struct thr_slice line, struct thr_address *ret_source, bool *ret_known)
{
	struct thr_slice word[V1_WORDS];
	struct thr_address source, destination;
	size_t words = split(line, word, V1_WORDS);
	bool is_v6 = thr_slice_is(word[0], "TCP6");

	if (thr_slice_is(word[0], "UNKNOWN")) { /* the rest is to be ignored */
		*ret_known = false;
		return 0;
	}
	if (words != V1_WORDS || (!is_v6 && !thr_slice_is(word[0], "TCP4")))
		return -EPROTO;
	if (parse_v1_address(word[1], is_v6, &source) < 0 ||
	    parse_v1_address(word[2], is_v6, &destination) < 0 ||
	    thr_port_parse(word[3], &source.port) < 0 ||
	    thr_port_parse(word[4], &destination.port) < 0)
		return -EPROTO;
	*ret_source = source;
	*ret_known = true;
	return 0;
}

static int parse_v1(const char *at, size_t length, struct thr_address *ret_source, bool *ret_known)
{
	const char *end = memchr(at, '\n', length < V1_MAX ? length : V1_MAX);
	struct thr_slice line = {at + v1_signature.length, 0};

	if (!end)
		return length < V1_MAX ? 0 : -EPROTO;
	if (end[-1] != '\r')
		return -EPROTO;
	line.length = (size_t)(end - 1 - line.at);
	if (parse_v1_line(line, ret_source, ret_known) < 0)
		return -EPROTO;
	return (int)(end + 1 - at);
}

/* --- version 2 --- */

/* The source in the `size` bytes at `body`; `what` is the byte of family and
 * transport. Datagrams and Unix sockets are not how HTTP comes here: not known. */
static int parse_v2_source(uint8_t what, const uint8_t *body, size_t size,
			   struct thr_address *ret_source, bool *ret_known)
{
	static const size_t needed[V2_FAMILIES] = {
		[V2_INET] = 4 + 4 + 2 + 2,
		[V2_INET6] = 16 + 16 + 2 + 2,
		[V2_UNIX] = 108 + 108,
	};
	unsigned int family = what >> 4, transport = what & 0xf;
	struct thr_address source = {0};
	const uint8_t *port;

	if (family >= V2_FAMILIES || transport > V2_DGRAM || size < needed[family])
		return -EPROTO;
	*ret_known = transport == V2_STREAM && (family == V2_INET || family == V2_INET6);
	if (!*ret_known)
		return 0;
	if (family == V2_INET) {
		thr_address_set_v4(&source, body);
		port = body + 4 + 4;
	} else {
		memcpy(source.bytes, body, sizeof(source.bytes));
		port = body + 16 + 16;
	}
	source.port = (uint16_t)(port[0] << 8 | port[1]);
	*ret_source = source;
	return 0;
}

static int parse_v2(const char *at, size_t length, struct thr_address *ret_source, bool *ret_known)
{
	const uint8_t *head = (const uint8_t *)at + v2_signature.length;
	size_t size;
	int r;

	if (length < V2_HEAD)
		return 0;
	size = (size_t)head[2] << 8 | head[3];
	if ((head[0] != V2_LOCAL && head[0] != V2_PROXY) || size > V2_BODY_MAX)
		return -EPROTO;
	if (length < V2_HEAD + size)
		return 0;
	if (head[0] == V2_LOCAL) { /* the balancer's own check; the family is to be ignored */
		*ret_known = false;
		return (int)(V2_HEAD + size);
	}
	r = parse_v2_source(head[1], head + 4, size, ret_source, ret_known);
	return r < 0 ? r : (int)(V2_HEAD + size);
}

int thr_proxy_header_parse(const char *at, size_t length, struct thr_address *ret_source,
			   bool *ret_known)
{
	if (!length)
		return 0;
	if (may_be(v2_signature, at, length))
		return length < v2_signature.length ? 0
						    : parse_v2(at, length, ret_source, ret_known);
	if (may_be(v1_signature, at, length))
		return length < v1_signature.length ? 0
						    : parse_v1(at, length, ret_source, ret_known);
	return -EPROTO;
}
