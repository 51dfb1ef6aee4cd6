/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the parsers of URLs and addresses share, none of which knows of a file. */
#ifndef THR_URL_H
#define THR_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define THR_HOST_MAX 253 /* of a name, RFC 1035 */

struct thr_authority {
	char host[THR_HOST_MAX + 1]; /* without brackets */
	uint16_t port;		     /* 0: none was written */
	bool is_address;
};

/* Split the `length` bytes of HOST[:PORT] at `text`. Returns what would be right, a
 * static phrase, with nothing filled; or NULL. */
const char *thr_authority_split(const char *text, size_t length,
				struct thr_authority *ret_authority);

/* What comes after `scheme` in any case, or NULL when the text does not begin with it. */
const char *thr_after_scheme(const char *text, const char *scheme);

#endif
