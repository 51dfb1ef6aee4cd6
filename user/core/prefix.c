/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Prefixes to and from text, their order and their nesting; see prefix.h. */
#include "core/prefix.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MAPPED_BITS 96 /* that lead an IPv4 address in its v4-mapped form */
static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* Bits of the prefix as it is kept, the v4-mapped ones included. */
static unsigned int kept_bits(const struct thr_prefix *prefix)
{
	return prefix->bits + (prefix->is_v6 ? 0 : MAPPED_BITS);
}

static bool is_mapped(const uint8_t address[16])
{
	return memcmp(address, mapped, sizeof(mapped)) == 0;
}

/* A prefix length in decimal, no longer and no larger than it must be. */
static int parse_bits(const char *text, unsigned int max, uint8_t *ret_bits)
{
	unsigned int bits = 0;
	size_t length = strlen(text);

	if (length < 1 || length > 3 || (text[0] == '0' && length > 1))
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		bits = bits * 10 + (unsigned int)(*text - '0');
	}
	if (bits > max)
		return -EINVAL;
	*ret_bits = (uint8_t)bits;
	return 0;
}

/* Clear what follows the first `bits` bits; returns whether any was set. */
static bool clear_host_bits(uint8_t address[16], unsigned int bits)
{
	uint8_t cleared = 0;

	for (unsigned int i = bits / 8; i < 16; i++) {
		uint8_t host = i == bits / 8 ? 0xff >> bits % 8 : 0xff;

		cleared |= address[i] & host;
		address[i] &= (uint8_t)~host;
	}
	return cleared;
}

static int refuse(const char **ret_why, const char *why)
{
	*ret_why = why;
	return -EINVAL;
}

int thr_prefix_parse(const char *text, struct thr_prefix *ret_prefix, const char **ret_why)
{
	struct thr_prefix prefix = {0};
	const char *slash = strchrnul(text, '/');
	char address[INET6_ADDRSTRLEN];
	size_t length = (size_t)(slash - text);

	if (length >= sizeof(address))
		return refuse(ret_why, "write an IPv4 or IPv6 prefix, such as 192.0.2.0/24");
	memcpy(address, text, length);
	address[length] = '\0';

	prefix.is_v6 = strchr(address, ':') != NULL;
	if (prefix.is_v6) {
		if (inet_pton(AF_INET6, address, prefix.address) != 1)
			return refuse(ret_why, "write an IPv6 prefix, such as 2001:db8::/32");
	} else {
		memcpy(prefix.address, mapped, sizeof(mapped));
		if (inet_pton(AF_INET, address, prefix.address + sizeof(mapped)) != 1)
			return refuse(ret_why, "write an IPv4 prefix, such as 192.0.2.0/24");
	}

	prefix.bits = prefix.is_v6 ? 128 : 32;
	if (*slash && parse_bits(slash + 1, prefix.bits, &prefix.bits) < 0)
		return refuse(ret_why, prefix.is_v6 ? "write a prefix length from 0 to 128"
						    : "write a prefix length from 0 to 32");
	if (prefix.is_v6 && prefix.bits >= MAPPED_BITS && is_mapped(prefix.address))
		return refuse(ret_why, "write an IPv4 prefix in its own form, not mapped to IPv6");

	if (clear_host_bits(prefix.address, kept_bits(&prefix))) {
		*ret_why = "host bits are set";
		*ret_prefix = prefix;
		return -EADDRNOTAVAIL;
	}
	*ret_prefix = prefix;
	return 0;
}

/* The longest run of at least two zero groups, the first of equals (RFC 5952,
 * 4.2); its length is 0 when there is none. */
static unsigned int longest_zeros(const uint16_t group[8], unsigned int *ret_length)
{
	unsigned int start = 0, longest = 1;

	for (unsigned int i = 0, run = 0; i < 8; i++) {
		run = group[i] ? 0 : run + 1;
		if (run > longest) {
			longest = run;
			start = i + 1 - run;
		}
	}
	*ret_length = longest > 1 ? longest : 0;
	return start;
}

/* inet_ntop() writes ::1:0 as ::0.1.0.0, which RFC 5952 does not. */
static int format_v6(const uint8_t address[16], char *text, size_t size)
{
	uint16_t group[8];
	unsigned int start, length;
	int used = 0;

	for (size_t i = 0; i < 8; i++)
		group[i] = (uint16_t)(address[2 * i] << 8 | address[2 * i + 1]);
	start = longest_zeros(group, &length);
	for (unsigned int i = 0; i < 8; i++) {
		if (length && i == start) {
			used += snprintf(text + used, size - (size_t)used, "::");
			i += length - 1;
			continue;
		}
		used += snprintf(text + used, size - (size_t)used, "%s%x",
				 i == 0 || (length && i == start + length) ? "" : ":", group[i]);
	}
	return used;
}

void thr_prefix_format(const struct thr_prefix *prefix, char text[static THR_PREFIX_TEXT])
{
	const uint8_t *v4 = prefix->address + sizeof(mapped);
	int used;

	if (prefix->is_v6)
		used = format_v6(prefix->address, text, THR_PREFIX_TEXT);
	else
		used = snprintf(text, THR_PREFIX_TEXT, "%u.%u.%u.%u", v4[0], v4[1], v4[2], v4[3]);
	snprintf(text + used, THR_PREFIX_TEXT - (size_t)used, "/%u", prefix->bits);
}

int thr_prefix_compare(const struct thr_prefix *a, const struct thr_prefix *b)
{
	int order = (int)a->is_v6 - (int)b->is_v6;

	if (!order)
		order = memcmp(a->address, b->address, sizeof(a->address));
	return order ? order : (int)a->bits - (int)b->bits;
}

bool thr_prefix_holds(const struct thr_prefix *outer, const struct thr_prefix *inner)
{
	struct thr_prefix cut = *inner;

	if (outer->is_v6 != inner->is_v6 || outer->bits > inner->bits)
		return false;
	clear_host_bits(cut.address, kept_bits(outer));
	return memcmp(cut.address, outer->address, sizeof(cut.address)) == 0;
}
