/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Peers' addresses to and from sockets and text, and the prefixes that hold them;
 * see address.h. */
#include "core/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#define MAPPED_BITS 96 /* that lead an IPv4 address in its v4-mapped form */
#define PORT_DIGITS 5

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool thr_address_is_v4(const struct thr_address *address)
{
	return memcmp(address->bytes, mapped, sizeof(mapped)) == 0;
}

void thr_address_set_v4(struct thr_address *address, const void *bytes)
{
	memcpy(address->bytes, mapped, sizeof(mapped));
	memcpy(address->bytes + sizeof(mapped), bytes, sizeof(struct in_addr));
}

void thr_address_from_sockaddr(const struct sockaddr *from, struct thr_address *ret_address)
{
	const struct sockaddr_in *v4 = (const void *)from;
	const struct sockaddr_in6 *v6 = (const void *)from;

	*ret_address = (struct thr_address){0};
	if (from->sa_family == AF_INET) {
		thr_address_set_v4(ret_address, &v4->sin_addr);
		ret_address->port = ntohs(v4->sin_port);
	} else if (from->sa_family == AF_INET6) {
		memcpy(ret_address->bytes, &v6->sin6_addr, sizeof(ret_address->bytes));
		ret_address->port = ntohs(v6->sin6_port);
	}
}

socklen_t thr_address_to_sockaddr(const struct thr_address *address,
				  struct sockaddr_storage *ret_to)
{
	struct sockaddr_in *v4 = (void *)ret_to;
	struct sockaddr_in6 *v6 = (void *)ret_to;

	memset(ret_to, 0, sizeof(*ret_to));
	if (thr_address_is_v4(address)) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(address->port);
		memcpy(&v4->sin_addr, address->bytes + sizeof(mapped), sizeof(v4->sin_addr));
		return sizeof(*v4);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(address->port);
	memcpy(&v6->sin6_addr, address->bytes, sizeof(v6->sin6_addr));
	return sizeof(*v6);
}

int thr_address_parse(struct thr_slice text, struct thr_address *ret_address)
{
	struct thr_address address = {0};
	char copy[THR_ADDRESS_TEXT];
	uint8_t v4[4];

	/* A NUL would end the copy early, and hide what follows it. */
	if (!text.length || text.length >= sizeof(copy) || memchr(text.at, '\0', text.length))
		return -EINVAL;
	memcpy(copy, text.at, text.length);
	copy[text.length] = '\0';

	if (inet_pton(AF_INET, copy, v4) == 1)
		thr_address_set_v4(&address, v4);
	else if (inet_pton(AF_INET6, copy, address.bytes) != 1)
		return -EINVAL;
	*ret_address = address;
	return 0;
}

int thr_port_parse(struct thr_slice text, uint16_t *ret_port)
{
	unsigned int port = 0;

	if (!text.length || text.length > PORT_DIGITS || (text.at[0] == '0' && text.length > 1))
		return -EINVAL;
	for (size_t i = 0; i < text.length; i++) {
		if (text.at[i] < '0' || text.at[i] > '9')
			return -EINVAL;
		port = port * 10 + (unsigned int)(text.at[i] - '0');
	}
	if (port > UINT16_MAX)
		return -EINVAL;
	*ret_port = (uint16_t)port;
	return 0;
}

static char *put_decimal(char *at, uint8_t byte)
{
	if (byte >= 100)
		*at++ = (char)('0' + byte / 100);
	if (byte >= 10)
		*at++ = (char)('0' + byte / 10 % 10);
	*at++ = (char)('0' + byte % 10);
	return at;
}

size_t thr_address_format(const struct thr_address *address, char text[static THR_ADDRESS_TEXT])
{
	struct thr_prefix prefix = {.bits = 128, .is_v6 = true};
	char written[THR_PREFIX_TEXT];
	char *at = text;
	size_t length;

	/* Every request writes its client's address, most often an IPv4 one: no printf(). */
	if (thr_address_is_v4(address)) {
		for (size_t i = sizeof(mapped); i < sizeof(address->bytes); i++) {
			at = put_decimal(at, address->bytes[i]);
			*at++ = '.';
		}
		*--at = '\0';
		return (size_t)(at - text);
	}
	memcpy(prefix.address, address->bytes, sizeof(prefix.address));
	thr_prefix_format(&prefix, written);
	length = (size_t)(strchrnul(written, '/') - written);
	memcpy(text, written, length);
	text[length] = '\0';
	return length;
}

/* Whether the first `bits` bits of the two are the same. */
static bool begin_alike(const uint8_t a[16], const uint8_t b[16], unsigned int bits)
{
	unsigned int whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return !rest || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

bool thr_address_in(const struct thr_address *address, const struct thr_prefix *prefixes,
		    size_t count)
{
	bool is_v6 = !thr_address_is_v4(address);

	for (size_t i = 0; i < count; i++) {
		unsigned int bits = prefixes[i].bits + (is_v6 ? 0 : MAPPED_BITS);

		if (prefixes[i].is_v6 == is_v6 &&
		    begin_alike(address->bytes, prefixes[i].address, bits))
			return true;
	}
	return false;
}
