/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The walk through X-Forwarded-For, and the keys of clients; see identity.h.
 *
 *   X-Forwarded-For: 10.9.9.9, 203.0.113.7      field lines count as if joined;
 *   X-Forwarded-For: 10.0.0.2, 10.0.0.1         the peer, 10.0.0.9, wrote the last entry
 *                        <- walk: 10.0.0.1 and 10.0.0.2 are trusted, 203.0.113.7
 *                           is not: the client. 10.9.9.9 is its own invention.
 */
#include "proxy/identity.h"

#include <errno.h>
#include <stdio.h>

#define ENTRIES_MAX 64 /* that are looked at: longer chains of trusted proxies do not exist */

struct walk {
	const struct thr_prefix *trusted;
	size_t trusted_count;
	size_t left; /* entries that may still be looked at */
	struct thr_address client;
};

static struct thr_slice trim(struct thr_slice text)
{
	while (text.length && (text.at[0] == ' ' || text.at[0] == '\t')) {
		text.at++;
		text.length--;
	}
	while (text.length && (text.at[text.length - 1] == ' ' || text.at[text.length - 1] == '\t'))
		text.length--;
	return text;
}

/* The host of HOST[:PORT]; the rest, from the colon on, in *ret_port. A second
 * colon without brackets makes all of it an IPv6 address. */
static struct thr_slice split(struct thr_slice entry, struct thr_slice *ret_port)
{
	const char *end = entry.at + entry.length, *colon;
	struct thr_slice host = entry;

	if (entry.length && entry.at[0] == '[') {
		const char *bracket = memchr(entry.at, ']', entry.length);

		colon = bracket ? bracket + 1 : end;
		host.at++;
		host.length = bracket ? (size_t)(bracket - host.at) : 0;
	} else {
		colon = entry.length ? memchr(entry.at, ':', entry.length) : NULL;
		if (!colon || memchr(colon + 1, ':', (size_t)(end - colon - 1)))
			colon = end;
		host.length = (size_t)(colon - host.at);
	}
	*ret_port = (struct thr_slice){colon, (size_t)(end - colon)};
	return host;
}

/* ADDRESS, IPV4:PORT, [IPV6] or [IPV6]:PORT, with white space around it. */
static int parse_entry(struct thr_slice entry, struct thr_address *ret_address)
{
	struct thr_address address;
	struct thr_slice port, host = split(trim(entry), &port);
	uint16_t number = 0;

	if (thr_address_parse(host, &address) < 0)
		return -EINVAL;
	if (port.length) {
		if (port.at[0] != ':')
			return -EINVAL;
		port.at++;
		port.length--;
		if (thr_port_parse(port, &number) < 0)
			return -EINVAL;
	}
	address.port = number;
	*ret_address = address;
	return 0;
}

/* Go on through one field line, from the right; returns whether all of its
 * entries are trusted proxies. */
static bool walk_line(struct walk *walk, struct thr_slice line)
{
	const char *comma;

	do {
		struct thr_slice entry = line;

		comma = line.length ? memrchr(line.at, ',', line.length) : NULL;
		if (comma) {
			entry.at = comma + 1;
			entry.length = (size_t)(line.at + line.length - entry.at);
			line.length = (size_t)(comma - line.at);
		}
		if (!walk->left-- || parse_entry(entry, &walk->client) < 0)
			return false;
		if (!thr_address_in(&walk->client, walk->trusted, walk->trusted_count))
			return false;
	} while (comma);
	return true;
}

void thr_identity_find(const struct thr_http_field *fields, size_t count,
		       const struct thr_address *peer, const struct thr_prefix *trusted,
		       size_t trusted_count, struct thr_address *ret_client)
{
	struct walk walk = {
		.trusted = trusted,
		.trusted_count = trusted_count,
		.left = ENTRIES_MAX,
		.client = *peer,
	};

	while (count--)
		if (fields[count].id == THR_FIELD_X_FORWARDED_FOR &&
		    !walk_line(&walk, fields[count].value))
			break;
	*ret_client = walk.client;
}

void thr_identity_source(const struct thr_address *address, unsigned int v6_bits,
			 uint8_t ret_source[static 16])
{
	memcpy(ret_source, address->bytes, sizeof(address->bytes));
	for (unsigned int i = v6_bits; !thr_address_is_v4(address) && i < 128; i++)
		ret_source[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
}

void thr_identity_source_key(const struct thr_hash_key *scope, const struct thr_address *client,
			     unsigned int v6_bits, struct thr_memory_key *ret_key)
{
	uint8_t source[sizeof(client->bytes)];

	thr_client_key(scope, client, ret_key);
	if (v6_bits <= 64 || thr_address_is_v4(client))
		return;
	thr_identity_source(client, v6_bits, source);
	ret_key->key = thr_hash(scope, source, sizeof(source));
}

size_t thr_identity_name(const char *scope, const struct thr_address *client,
			 char name[static THR_IDENTITY_NAME_MAX])
{
	struct thr_address prefix = *client;
	char text[THR_ADDRESS_TEXT];
	bool is_v4 = thr_address_is_v4(client);

	if (!is_v4)
		memset(prefix.bytes + 8, 0, 8);
	thr_address_format(&prefix, text);
	return (size_t)snprintf(name, THR_IDENTITY_NAME_MAX, "http:%.1024s|%s%s", scope, text,
				is_v4 ? "" : "/64");
}
