/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Request heads (RFC 9112, 3).
 *
 * The input is cut at the limits before it is looked at, so that a head is judged
 * by the same bytes however many follow them.
 */
#include <assert.h>

#include "http/parse.h"

#define VERSION_BYTES 8 /* "HTTP/1.1" */

static const struct {
	struct thr_slice name;
	enum thr_http_method id;
	bool is_idempotent;
} methods[] = {
	{{"GET", 3}, THR_METHOD_GET, true},	     {{"POST", 4}, THR_METHOD_POST, false},
	{{"HEAD", 4}, THR_METHOD_HEAD, true},	     {{"PUT", 3}, THR_METHOD_PUT, true},
	{{"DELETE", 6}, THR_METHOD_DELETE, true},    {{"OPTIONS", 7}, THR_METHOD_OPTIONS, true},
	{{"PATCH", 5}, THR_METHOD_PATCH, false},     {{"TRACE", 5}, THR_METHOD_TRACE, true},
	{{"CONNECT", 7}, THR_METHOD_CONNECT, false},
};
#define METHODS (sizeof(methods) / sizeof(methods[0]))

static enum thr_http_method find_method(struct thr_slice name)
{
	for (size_t i = 0; i < METHODS; i++)
		if (methods[i].name.length == name.length &&
		    memcmp(methods[i].name.at, name.at, name.length) == 0)
			return methods[i].id;
	return THR_METHOD_OTHER;
}

bool thr_http_is_idempotent(enum thr_http_method method)
{
	for (size_t i = 0; i < METHODS; i++)
		if (methods[i].id == method)
			return methods[i].is_idempotent;
	return false;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int parse_version(struct thr_slice version, uint8_t *ret_minor)
{
	const char *at = version.at;

	if (version.length != VERSION_BYTES || memcmp(at, "HTTP/", 5) != 0)
		return -400;
	if (!is_digit(at[5]) || at[6] != '.' || !is_digit(at[7]))
		return -400;
	if (at[5] != '1' || at[7] > '1')
		return -505;
	*ret_minor = (uint8_t)(at[7] - '0');
	return 0;
}

/* method SP request-target SP HTTP-version */
static int parse_line(struct thr_slice line, struct thr_http_request *request)
{
	const char *end = line.at + line.length;
	const char *space = thr_http_skip(line.at, end, THR_BYTE_TOKEN), *target;
	int r;

	if (space == line.at || space == end || *space != ' ')
		return -400;
	request->method = (struct thr_slice){line.at, (size_t)(space - line.at)};
	request->method_id = find_method(request->method);

	target = space + 1;
	space = thr_http_skip(target, end, THR_BYTE_TARGET);
	if (space == target || space == end || *space != ' ')
		return -400;
	request->target = (struct thr_slice){target, (size_t)(space - target)};

	r = parse_version((struct thr_slice){space + 1, (size_t)(end - space - 1)},
			  &request->minor);
	return r < 0 ? r : thr_http_parse_target(request);
}

/* A line that goes on past its limit. One that has not even come to the end of its
 * method by then is not a request with a long target. */
static int too_long(const struct thr_http_cursor *line)
{
	return memchr(line->at, ' ', (size_t)(line->end - line->at)) ? -414 : -400;
}

/* Read the request line, and an empty line before it (RFC 9112, 2.2). */
static int read_line(struct thr_http_cursor *cursor, size_t line_bytes,
		     struct thr_http_request *request)
{
	struct thr_slice line = THR_SLICE("");
	int r = 0;

	for (int lines = 0; lines < 2 && !line.length; lines++) {
		struct thr_http_cursor window = *cursor;

		if (line_bytes < (size_t)(window.end - window.at))
			window.end = window.at + line_bytes;
		r = thr_http_next_line(&window, &line);
		if (r == 0 && (size_t)(window.end - window.at) == line_bytes)
			return too_long(&window);
		if (r <= 0)
			return r;
		cursor->at = window.at;
	}
	r = parse_line(line, request);
	return r < 0 ? r : 1;
}

/* What the whole head says. */
static int conclude(struct thr_http_request *request, const struct thr_http_head *head)
{
	if (head->minor >= 1 && !head->has_host)
		return -400;
	if (!request->absolute)
		request->authority = head->has_host ? head->host : THR_SLICE("");
	if (head->is_chunked)
		request->body = THR_BODY_CHUNKED;
	else
		request->body = head->content_length ? THR_BODY_LENGTH : THR_BODY_NONE;
	request->content_length = head->content_length;
	request->keep_alive = thr_http_keeps_alive(head);
	/* RFC 9110, 10.1.1: ignored in HTTP/1.0, and without a body to wait for. */
	request->expect_continue =
		head->expects_continue && head->minor >= 1 && request->body != THR_BODY_NONE;
	request->upgrade = thr_http_upgrades(head) && request->body == THR_BODY_NONE &&
			   !head->is_upgrade_to_h2c;
	request->field_count = head->field_count;
	return 0;
}

int thr_http_parse_request(const char *at, size_t length, const struct thr_http_limits *limits,
			   struct thr_http_request *ret)
{
	size_t window = length < limits->head_bytes ? length : limits->head_bytes;
	struct thr_http_cursor cursor = {at, at + window};
	int r;

	assert(limits->field_count <= THR_HTTP_FIELDS_MAX);
	ret->method = THR_SLICE("");
	ret->target = THR_SLICE("");
	ret->absolute = false;
	r = read_line(&cursor, limits->line_bytes, ret);
	if (r > 0) {
		struct thr_http_head head = {
			.section = THR_SECTION_REQUEST,
			.minor = ret->minor,
			.field_max = limits->field_count,
			.field = ret->field,
		};

		r = thr_http_read_fields(&cursor, &head);
		if (r > 0)
			r = conclude(ret, &head) < 0 ? -400 : 1;
	}
	if (r < 0)
		return r;
	if (r == 0)
		return length >= limits->head_bytes ? -431 : 0;
	return (int)(cursor.at - at);
}
