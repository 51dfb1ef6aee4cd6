/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Any bytes as a response's head, and as a trailer section: what http.h promises
 * of them, at every length, and for the response the same reading as llhttp's. The
 * first byte chooses the request's method.
 */
#include "fuzz/http_peer.h"

static const struct thr_http_limits limits = {8192, 1024, 16};

static int parse(const char *bytes, size_t length, enum thr_http_method method,
		 struct thr_http_response *response)
{
	/* Of its very size, so that a read past the end is caught. */
	char *copy = malloc(length ? length : 1);
	int r;

	if (!copy)
		abort();
	memcpy(copy, bytes, length);
	r = thr_http_parse_response(copy, length, method, &limits, response);
	free(copy);
	return r;
}

static void check_prefixes(const char *bytes, size_t length, enum thr_http_method method,
			   int result)
{
	static struct thr_http_response response;
	size_t step = 1 + length / 256;
	bool decided = false;

	for (size_t cut = 0; cut <= length; cut += step) {
		int r = parse(bytes, cut, method, &response);

		check_prefix(r, cut, result);
		HOLDS(!decided || r);
		decided = r != 0;
	}
}

static void check_response(const char *bytes, size_t length, enum thr_http_method method,
			   const struct thr_http_response *response)
{
	const char *fields = response->reason.at + response->reason.length + 2;

	HOLDS(length <= limits.head_bytes && response->field_count <= limits.field_count);
	HOLDS(response->reason.at == bytes + 13);
	HOLDS(response->status >= 100 && response->status < 600 && response->minor <= 1);
	HOLDS(response->has_length || !response->content_length);
	HOLDS(response->body != THR_BODY_LENGTH || response->content_length);
	HOLDS(response->body != THR_BODY_CHUNKED || (response->minor && !response->has_length));
	HOLDS(response->body != THR_BODY_CLOSE || (!response->keep_alive && !response->has_length));
	if (method == THR_METHOD_HEAD || response->status < 200 || response->status == 204 ||
	    response->status == 304)
		HOLDS(response->body == THR_BODY_NONE);
	check_fields(fields, bytes + length, response->field, response->field_count);
}

static bool has_option(const struct thr_http_response *response, const char *option)
{
	for (size_t i = 0; i < response->field_count; i++)
		if (response->field[i].id == THR_FIELD_CONNECTION &&
		    thr_http_list_has(response->field[i].value, option))
			return true;
	return false;
}

static void compare(const char *bytes, size_t length, enum thr_http_method method,
		    const struct thr_http_response *response)
{
	static struct peer peer;

	/* Known to differ: llhttp reads a body after 1xx, 204 and 304 where a field
	 * announces one (RFC 9112, 6.3: there is none). */
	bool has_none =
		response->status < 200 || response->status == 204 || response->status == 304;

	if (peer_is_misled_by_tabs(response->field, response->field_count))
		return;
	peer_init(&peer, HTTP_RESPONSE);
	peer.is_to_head = method == THR_METHOD_HEAD || has_none;
	peer_read(&peer, bytes, length);
	HOLDS(peer.parser.status_code == response->status);
	HOLDS(peer.parser.http_major == 1 && peer.parser.http_minor == response->minor);
	peer_compare_fields(&peer, response->field, response->field_count);
	peer_read_body(&peer, response->body, response->content_length);
	if (!peer.messages)
		return;
	/* Known to differ: in HTTP/1.0, llhttp has keep-alive win over close. */
	if (response->minor || !has_option(response, "close"))
		HOLDS(peer.keep_alive == response->keep_alive);
	else
		HOLDS(!response->keep_alive);
}

static void check_trailers(const char *bytes, size_t length)
{
	static struct thr_http_field fields[THR_HTTP_FIELDS_MAX];
	size_t count = SIZE_MAX, ignored, cut = length / 2;
	int r = thr_http_parse_trailers(bytes, length, &limits, fields, &count);

	HOLDS(r == -400 || r == -431 || (r >= 0 && (size_t)r <= length));
	HOLDS((count != SIZE_MAX) == (r > 0));
	if (r > 0) {
		HOLDS(count <= limits.field_count);
		check_fields(bytes, bytes + r, fields, count);
	}
	check_prefix(thr_http_parse_trailers(bytes, cut, &limits, fields, &ignored), cut, r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct thr_http_response response;
	const char *bytes = (const char *)data + 1;
	enum thr_http_method method;
	int r;

	if (!size)
		return 0;
	method = data[0] % 2 ? THR_METHOD_HEAD : THR_METHOD_GET;
	memset(&response, 0xa5, sizeof(response));
	r = thr_http_parse_response(bytes, size - 1, method, &limits, &response);
	HOLDS(r == -502 || (r >= 0 && (size_t)r <= size - 1));
	if (r > 0) {
		check_response(bytes, (size_t)r, method, &response);
		compare(bytes, (size_t)r, method, &response);
	}
	check_prefixes(bytes, size - 1, method, r);
	check_trailers(bytes, size - 1);
	return 0;
}
