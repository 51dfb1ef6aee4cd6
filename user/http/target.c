/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The request-target in its four forms (RFC 9112, 3.2), and the host with its
 * port that a target or a Host field names. A target's bytes were looked at
 * before; nothing is decoded or put in order here.
 */
#include <arpa/inet.h>

#include "http/parse.h"

#define PORT_DIGITS_MAX 5

static bool is_port(const char *at, const char *end)
{
	unsigned int port = 0;

	if (at == end || end - at > PORT_DIGITS_MAX)
		return false;
	for (; at < end; at++) {
		if (*at < '0' || *at > '9')
			return false;
		port = port * 10 + (unsigned int)(*at - '0');
	}
	return port <= UINT16_MAX;
}

/* The end of "[" IPv6 "]" at `at`, or NULL. */
static const char *skip_literal(const char *at, const char *end)
{
	const char *bracket = memchr(at, ']', (size_t)(end - at));
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;
	size_t length;

	if (!bracket)
		return NULL;
	length = (size_t)(bracket - at - 1);
	if (length >= sizeof(text))
		return NULL;
	memcpy(text, at + 1, length);
	text[length] = '\0';
	return inet_pton(AF_INET6, text, &address) == 1 ? bracket + 1 : NULL;
}

bool thr_http_is_authority(struct thr_slice text)
{
	const char *end = text.at + text.length, *at;

	if (!text.length)
		return false;
	if (text.at[0] == '[')
		at = skip_literal(text.at, end);
	else
		at = thr_http_skip(text.at, end, THR_BYTE_HOST);
	if (!at || at == text.at)
		return false;
	return at == end || (*at == ':' && is_port(at + 1, end));
}

/* The length of "http://" or "https://" in any case, or 0. */
static size_t scheme_length(struct thr_slice target)
{
	static const struct thr_slice schemes[] = {{"http://", 7}, {"https://", 8}};

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (target.length >= schemes[i].length &&
		    strncasecmp(target.at, schemes[i].at, schemes[i].length) == 0)
			return schemes[i].length;
	return 0;
}

static int parse_absolute(struct thr_http_request *request)
{
	const char *end = request->target.at + request->target.length;
	size_t scheme = scheme_length(request->target);
	const char *host = request->target.at + scheme, *path = host;

	if (!scheme)
		return -400;
	while (path < end && *path != '/' && *path != '?')
		path++;
	request->authority = (struct thr_slice){host, (size_t)(path - host)};
	request->path = (struct thr_slice){path, (size_t)(end - path)};
	request->absolute = true;
	return thr_http_is_authority(request->authority) ? 0 : -400;
}

int thr_http_parse_target(struct thr_http_request *request)
{
	if (request->method_id == THR_METHOD_CONNECT)
		return thr_http_is_authority(request->target) ? -501 : -400;
	if (request->target.at[0] == '/') {
		request->path = request->target;
		return 0;
	}
	if (thr_slice_is(request->target, "*"))
		return request->method_id == THR_METHOD_OPTIONS ? -501 : -400;
	return parse_absolute(request);
}
