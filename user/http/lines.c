/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Bytes and lines. A line is found with memchr(), which beats a loop of ours by
 * far on long values; its bytes are then looked at once, by the table.
 */
#include "http/parse.h"

#define ALL (THR_BYTE_TOKEN | THR_BYTE_VALUE | THR_BYTE_TARGET)
#define NAME (ALL | THR_BYTE_HOST)
#define PRINTED (THR_BYTE_VALUE | THR_BYTE_TARGET)

const uint8_t thr_http_bytes[256] = {
	['\t'] = THR_BYTE_VALUE,
	[' '] = THR_BYTE_VALUE,
	['!'] = ALL,
	['"'] = PRINTED,
	['#'] = THR_BYTE_TOKEN | THR_BYTE_VALUE,
	['$' ... '\''] = ALL,
	['('] = PRINTED,
	[')'] = PRINTED,
	['*'] = ALL,
	['+'] = ALL,
	[','] = PRINTED,
	['-'] = NAME,
	['.'] = NAME,
	['/'] = PRINTED,
	['0' ... '9'] = NAME,
	[':' ... '@'] = PRINTED,
	['A' ... 'Z'] = NAME,
	['[' ... ']'] = PRINTED,
	['^'] = ALL,
	['_'] = NAME,
	['`'] = ALL,
	['a' ... 'z'] = NAME,
	['{'] = PRINTED,
	['|'] = ALL,
	['}'] = PRINTED,
	['~'] = ALL,
	[0x80 ... 0xff] = THR_BYTE_VALUE,
};

static int next_partial(const struct thr_http_cursor *cursor)
{
	size_t length = (size_t)(cursor->end - cursor->at);
	const char *cr = memchr(cursor->at, '\r', length);

	/* The LF of a CR that is last may still come. */
	return cr && cr + 1 < cursor->end ? -400 : 0;
}

int thr_http_next_line(struct thr_http_cursor *cursor, struct thr_slice *ret_line)
{
	const char *lf;

	if (cursor->at == cursor->end) /* of no bytes there may be no pointer */
		return 0;
	lf = memchr(cursor->at, '\n', (size_t)(cursor->end - cursor->at));
	if (!lf)
		return next_partial(cursor);
	if (lf == cursor->at || lf[-1] != '\r')
		return -400;
	ret_line->at = cursor->at;
	ret_line->length = (size_t)(lf - 1 - cursor->at);
	cursor->at = lf + 1;
	return 1;
}

bool thr_http_says_more(const struct thr_http_limits *limits, const char *at, size_t length,
			size_t known)
{
	return memchr(at + known, '\n', length - known) ||
	       (known <= limits->line_bytes && length > limits->line_bytes) ||
	       length > limits->head_bytes;
}
