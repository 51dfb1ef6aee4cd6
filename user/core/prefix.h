/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * IP prefixes as text and as the bytes that the packet layer keys by: IPv4 as
 * v4-mapped IPv6, ::ffff:a.b.c.d, with 96 more bits of prefix length.
 */
#ifndef THR_PREFIX_H
#define THR_PREFIX_H

#include <stdbool.h>
#include <stdint.h>

struct thr_prefix {
	uint8_t address[16]; /* network order, v4-mapped; host bits are zero */
	uint8_t bits;	     /* of the family: 0 to 32, or 0 to 128 */
	bool is_v6;
};

/* Longest text of a prefix, with its NUL. */
#define THR_PREFIX_TEXT 50

/*
 * Parse `text`: "192.0.2.0/24", "2001:db8::/32", or an address alone, which is
 * a prefix of one. IPv4 mapped to IPv6 (::ffff:192.0.2.0/120) is refused: as an
 * IPv6 prefix it would match no packet. Returns
 *   0
 *   -EINVAL         *ret_why is a static phrase that says what would be right
 *   -EADDRNOTAVAIL  host bits are set; *ret_prefix is the prefix without them,
 *                   for a message such as "write 192.0.2.0/24"
 */
int thr_prefix_parse(const char *text, struct thr_prefix *ret_prefix, const char **ret_why);

/* Write the canonical text (RFC 5952) with its length: "192.0.2.0/24". */
void thr_prefix_format(const struct thr_prefix *prefix, char text[static THR_PREFIX_TEXT]);

/* Order: IPv4 before IPv6, then by address, then shorter prefixes first, so that
 * a prefix comes right after those that hold it. */
int thr_prefix_compare(const struct thr_prefix *a, const struct thr_prefix *b);

/* Whether every address of `inner` lies in `outer`. */
bool thr_prefix_holds(const struct thr_prefix *outer, const struct thr_prefix *inner);

#endif
