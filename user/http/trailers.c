/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Trailer sections (RFC 9110, 6.5). What a recipient decided by the head must not
 * be said again after the body, where only some would listen.
 */
#include <assert.h>

#include "http/parse.h"

/* Of RFC 9110, 6.5.1 and RFC 7230, 4.1.2, those that have no id of their own. */
static const char *const heads_only[] = {
	"Authorization", "WWW-Authenticate", "Cookie",	      "Set-Cookie",   "Content-Encoding",
	"Content-Type",	 "Content-Range",    "Cache-Control", "Max-Forwards", "Range",
	"Age",		 "Expires",	     "Location",      "Pragma",	      "Vary",
	"Warning",
};

/* What the proxy acts on is no trailer either, were it only for who merges them. */
static bool belongs_in_head(const struct thr_http_field *field)
{
	if (field->id != THR_FIELD_OTHER)
		return true;
	for (size_t i = 0; i < sizeof(heads_only) / sizeof(heads_only[0]); i++)
		if (thr_slice_is_word(field->name, heads_only[i]))
			return true;
	return false;
}

int thr_http_parse_trailers(const char *at, size_t length, const struct thr_http_limits *limits,
			    struct thr_http_field *ret_fields, size_t *ret_count)
{
	size_t window = length < limits->head_bytes ? length : limits->head_bytes;
	struct thr_http_cursor cursor = {at, at + window};
	struct thr_http_head head = {
		.section = THR_SECTION_TRAILERS,
		.field_max = limits->field_count,
		.field = ret_fields,
	};
	int r;

	assert(limits->field_count <= THR_HTTP_FIELDS_MAX);
	r = thr_http_read_fields(&cursor, &head);
	if (r < 0)
		return r;
	if (r == 0)
		return length >= limits->head_bytes ? -431 : 0;
	for (size_t i = 0; i < head.field_count; i++)
		ret_fields[i].hop_by_hop = belongs_in_head(&ret_fields[i]);
	*ret_count = head.field_count;
	return (int)(cursor.at - at);
}
