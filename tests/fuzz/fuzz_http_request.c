/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Any bytes as a request's head: what http.h promises of it, at every length, and
 * the same reading as llhttp's. The first byte chooses the limits.
 */
#include "fuzz/http_peer.h"

/* Through memory of its very size, so that a read past the end is caught. */
static int parse(const char *bytes, size_t length, const struct thr_http_limits *limits,
		 struct thr_http_request *request)
{
	char *copy = malloc(length ? length : 1);
	int r;

	if (!copy)
		abort();
	memcpy(copy, bytes, length);
	r = thr_http_parse_request(copy, length, limits, request);
	free(copy);
	return r;
}

static void check_prefixes(const char *bytes, size_t length, const struct thr_http_limits *limits,
			   int result)
{
	static struct thr_http_request request;
	size_t step = 1 + length / 256;
	bool decided = false;

	for (size_t cut = 0; cut <= length; cut += step) {
		int r = parse(bytes, cut, limits, &request);

		check_prefix(r, cut, result);
		HOLDS(!decided || r);
		decided = r != 0;
	}
}

static void check_request(const char *bytes, size_t length, const struct thr_http_limits *limits,
			  const struct thr_http_request *request)
{
	const char *end = bytes + length;
	const char *version = request->target.at + request->target.length + 1;

	HOLDS(length <= limits->head_bytes && request->field_count <= limits->field_count);
	HOLDS(request->method.at == bytes || request->method.at == bytes + 2);
	HOLDS(request->target.at == request->method.at + request->method.length + 1);
	HOLDS(end - version > 10 && !memcmp(version, "HTTP/1.", 7) && version[8] == '\r');
	HOLDS(version[7] - '0' == request->minor && request->minor <= 1);
	HOLDS((size_t)(version + 10 - request->method.at) <= limits->line_bytes);
	HOLDS(request->path.at + request->path.length == version - 1);
	HOLDS(request->absolute || request->path.at == request->target.at);
	HOLDS(!request->path.length || strchr("/?", *request->path.at));
	HOLDS(request->path.length || request->absolute);
	HOLDS(request->authority.length || (!request->minor && !request->absolute));
	HOLDS(request->method_id != THR_METHOD_CONNECT);
	HOLDS((request->body == THR_BODY_LENGTH) == (request->content_length != 0));
	HOLDS(request->body != THR_BODY_CLOSE);
	HOLDS(!request->expect_continue || request->minor);
	HOLDS(!request->upgrade || request->body == THR_BODY_NONE);
	check_fields(version + 10, end, request->field, request->field_count);
}

static bool has_option(const struct thr_http_request *request, const char *option)
{
	for (size_t i = 0; i < request->field_count; i++)
		if (request->field[i].id == THR_FIELD_CONNECTION &&
		    thr_http_list_has(request->field[i].value, option))
			return true;
	return false;
}

/* Known to differ: llhttp has a list of methods, and takes SOURCE for another
 * protocol's. */
static bool is_method_of_peer(struct thr_slice method)
{
	for (int i = HTTP_DELETE; i < HTTP_SOURCE; i++)
		if (thr_slice_is(method, llhttp_method_name((llhttp_method_t)i)))
			return true;
	return false;
}

static void compare(const char *bytes, size_t length, const struct thr_http_request *request)
{
	static struct peer peer;

	if (!is_method_of_peer(request->method))
		return;
	if (peer_is_misled_by_tabs(request->field, request->field_count))
		return;
	peer_init(&peer, HTTP_REQUEST);
	peer_read(&peer, bytes, length);
	HOLDS(thr_slice_is(request->method, llhttp_method_name(peer.parser.method)));
	HOLDS(peer.url.at == request->target.at && peer.url.length == request->target.length);
	HOLDS(peer.parser.http_major == 1 && peer.parser.http_minor == request->minor);
	peer_compare_fields(&peer, request->field, request->field_count);
	HOLDS(!request->upgrade || peer.parser.upgrade);
	peer_read_body(&peer, request->body, request->content_length);
	if (!peer.messages)
		return;
	/* Known to differ: in HTTP/1.0, llhttp has keep-alive win over close. */
	if (request->minor || !has_option(request, "close"))
		HOLDS(peer.keep_alive == request->keep_alive);
	else
		HOLDS(!request->keep_alive);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct thr_http_limits choices[] = {
		{8192, 16384, 100},
		{24, 128, 4},
		{64, 48, THR_HTTP_FIELDS_MAX},
	};
	static struct thr_http_request request;
	const struct thr_http_limits *limits;
	const char *bytes = (const char *)data + 1;
	int r;

	if (!size)
		return 0;
	limits = &choices[data[0] % (sizeof(choices) / sizeof(choices[0]))];
	memset(&request, 0xa5, sizeof(request));
	r = thr_http_parse_request(bytes, size - 1, limits, &request);
	HOLDS(r == -400 || r == -414 || r == -417 || r == -431 || r == -501 || r == -505 ||
	      (r >= 0 && (size_t)r <= size - 1));
	if (r > 0) {
		check_request(bytes, (size_t)r, limits, &request);
		compare(bytes, (size_t)r, &request);
	}
	check_prefixes(bytes, size - 1, limits, r);
	return 0;
}
