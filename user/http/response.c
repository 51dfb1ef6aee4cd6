/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Response heads (RFC 9112, 4). Whatever is wrong with one is the same to the
 * client: the upstream's answer cannot be used, 502.
 */
#include <assert.h>

#include "http/parse.h"

#define BEFORE_REASON 13 /* "HTTP/1.1 200 " */

/* HTTP-version SP status-code SP [ reason-phrase ] */
static int parse_line(struct thr_slice line, struct thr_http_response *response)
{
	const char *at = line.at;
	struct thr_slice reason;

	if (line.length < BEFORE_REASON || memcmp(at, "HTTP/1.", 7) != 0)
		return -502;
	if ((at[7] != '0' && at[7] != '1') || at[8] != ' ' || at[12] != ' ')
		return -502;
	if (at[9] < '1' || at[9] > '5' || at[10] < '0' || at[10] > '9' || at[11] < '0' ||
	    at[11] > '9')
		return -502;
	reason = (struct thr_slice){at + BEFORE_REASON, line.length - BEFORE_REASON};
	if (!thr_http_is_all(reason, THR_BYTE_VALUE))
		return -502;
	response->minor = (uint8_t)(at[7] - '0');
	response->status = (uint16_t)((at[9] - '0') * 100 + (at[10] - '0') * 10 + at[11] - '0');
	response->reason = reason;
	return 0;
}

/* RFC 9112, 6.3. */
static enum thr_http_body find_body(const struct thr_http_response *response,
				    const struct thr_http_head *head, enum thr_http_method method)
{
	if (method == THR_METHOD_HEAD || response->status < 200 || response->status == 204 ||
	    response->status == 304)
		return THR_BODY_NONE;
	if (head->is_chunked)
		return THR_BODY_CHUNKED;
	if (!head->has_length)
		return THR_BODY_CLOSE;
	return head->content_length ? THR_BODY_LENGTH : THR_BODY_NONE;
}

static int conclude(struct thr_http_response *response, const struct thr_http_head *head,
		    enum thr_http_method method)
{
	if (head->is_chunked && (response->status < 200 || response->status == 204))
		return -502;
	response->body = find_body(response, head, method);
	response->has_length = head->has_length;
	response->content_length = head->content_length;
	response->upgrade = thr_http_upgrades(head);
	response->keep_alive = thr_http_keeps_alive(head) && response->body != THR_BODY_CLOSE;
	response->field_count = head->field_count;
	return 0;
}

static int read_head(struct thr_http_cursor *cursor, size_t field_max, enum thr_http_method method,
		     struct thr_http_response *response)
{
	struct thr_http_head head = {
		.section = THR_SECTION_RESPONSE,
		.field_max = field_max,
		.field = response->field,
	};
	struct thr_slice line;
	int r = thr_http_next_line(cursor, &line);

	if (r <= 0)
		return r;
	r = parse_line(line, response);
	if (r < 0)
		return r;
	head.minor = response->minor;
	r = thr_http_read_fields(cursor, &head);
	if (r <= 0)
		return r;
	r = conclude(response, &head, method);
	return r < 0 ? r : 1;
}

int thr_http_parse_response(const char *at, size_t length, enum thr_http_method method,
			    const struct thr_http_limits *limits, struct thr_http_response *ret)
{
	size_t window = length < limits->head_bytes ? length : limits->head_bytes;
	struct thr_http_cursor cursor = {at, at + window};
	int r;

	assert(limits->field_count <= THR_HTTP_FIELDS_MAX);
	r = read_head(&cursor, limits->field_count, method, ret);
	if (r < 0 || (r == 0 && length >= limits->head_bytes))
		return -502;
	return r ? (int)(cursor.at - at) : 0;
}
