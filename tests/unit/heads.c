/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Heads as they pass through: given what came, then what goes out, byte by byte. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/heads.h"
#include "support/run.h"

#define DATE "Sat, 21 Nov 2026 20:17:46 GMT"

static const struct thr_http_limits limits = {8192, 32768, THR_HTTP_FIELDS_MAX};
static const struct thr_http_request no_request;
static const struct thr_http_response no_response;

static struct thr_slice slice_of(const char *text)
{
	return (struct thr_slice){text, strlen(text)};
}

static struct thr_address address_of(const char *text)
{
	struct thr_address address;

	assert_int_equal(thr_address_parse(slice_of(text), &address), 0);
	return address;
}

/* Parsed as the proxy would; `text` must outlive it. */
static void parse_request(const char *text, struct thr_http_request *ret_request)
{
	*ret_request = no_request;
	assert_int_equal(thr_http_parse_request(text, strlen(text), &limits, ret_request),
			 strlen(text));
}

static void parse_response(const char *text, enum thr_http_method method,
			   struct thr_http_response *ret_response)
{
	*ret_response = no_response;
	assert_int_equal(thr_http_parse_response(text, strlen(text), method, &limits, ret_response),
			 strlen(text));
}

/* The head of `request` is `expected`, and fits into no less. */
static void assert_request(const struct thr_http_request *request, const struct thr_origin *origin,
			   const char *expected)
{
	char out[4096];
	size_t length = thr_head_request(out, sizeof(out), request, origin);

	out[length] = '\0';
	assert_string_equal(out, expected);
	for (size_t size = 0; size <= length; size++) {
		char *tight = malloc(size ? size : 1);

		assert_non_null(tight);
		assert_int_equal(thr_head_request(tight, size, request, origin),
				 size < length ? 0 : length);
		free(tight);
	}
}

static void assert_response(const struct thr_http_response *response, const struct thr_reply *reply,
			    const char *expected)
{
	char out[4096];
	size_t length = thr_head_response(out, sizeof(out), response, reply);

	out[length] = '\0';
	assert_string_equal(out, expected);
	for (size_t size = 0; size <= length; size++) {
		char *tight = malloc(size ? size : 1);

		assert_non_null(tight);
		assert_int_equal(thr_head_response(tight, size, response, reply),
				 size < length ? 0 : length);
		free(tight);
	}
}

static void assert_forwards(const char *peer, bool trusted, const char *head, const char *expected)
{
	struct thr_address address = address_of(peer);
	struct thr_origin origin = {
		.peer = &address, .peer_is_trusted = trusted, .request_id = THR_SLICE("id-1")};
	struct thr_http_request request;

	parse_request(head, &request);
	assert_request(&request, &origin, expected);
}

#define OURS                                                                                       \
	"X-Forwarded-For: 192.0.2.7\r\n"                                                           \
	"X-Forwarded-Proto: http\r\n"                                                              \
	"X-Forwarded-Host: example.com\r\n"                                                        \
	"Forwarded: for=192.0.2.7;host=example.com;proto=http\r\n"                                 \
	"Via: 1.1 xdp-throttle\r\n"                                                                \
	"X-Request-Id: id-1\r\n\r\n"

static void fields_pass_in_their_order_behind_host(void **state)
{
	(void)state;
	assert_forwards("192.0.2.7", false,
			"GET /a//b/../%2e?q=%2F HTTP/1.1\r\n"
			"user-agent:  a  b \r\n"
			"Accept: */*\r\n"
			"X-Empty:\r\n"
			"hOST: example.com\r\n"
			"Cookie: a=b\r\n"
			"Max-Forwards: 3\r\n\r\n",
			"GET /a//b/../%2e?q=%2F HTTP/1.1\r\n"
			"Host: example.com\r\n"
			"user-agent: a  b\r\n"
			"Accept: */*\r\n"
			"X-Empty: \r\n"
			"Cookie: a=b\r\n"
			"Max-Forwards: 3\r\n" OURS);
}

static void hop_by_hop_fields_stay_here(void **state)
{
	(void)state;
	assert_forwards("192.0.2.7", false,
			"GET / HTTP/1.1\r\n"
			"Host: example.com\r\n"
			"Connection: close, X-Mine\r\n"
			"Keep-Alive: timeout=5\r\n"
			"Proxy-Connection: keep-alive\r\n"
			"TE: trailers\r\n"
			"Upgrade: websocket\r\n"
			"HTTP2-Settings: AAA\r\n"
			"X-Mine: 1\r\n"
			"X-Other: 2\r\n\r\n",
			"GET / HTTP/1.1\r\n"
			"Host: example.com\r\n"
			"X-Other: 2\r\n" OURS);
}

static void connection_does_not_keep_back_what_is_written_anew(void **state)
{
	(void)state;
	assert_forwards("192.0.2.7", true,
			"POST / HTTP/1.1\r\n"
			"Host: example.com\r\n"
			"Connection: Host, Content-Length, X-Forwarded-For, Via\r\n"
			"X-Forwarded-For: 198.51.100.1\r\n"
			"Content-Length: 5\r\n\r\n",
			"POST / HTTP/1.1\r\n"
			"Host: example.com\r\n"
			"Content-Length: 5\r\n"
			"X-Forwarded-For: 198.51.100.1, 192.0.2.7\r\n"
			"X-Forwarded-Proto: http\r\n"
			"X-Forwarded-Host: example.com\r\n"
			"Forwarded: for=198.51.100.1, "
			"for=192.0.2.7;host=example.com;proto=http\r\n"
			"Via: 1.1 xdp-throttle\r\n"
			"X-Request-Id: id-1\r\n\r\n");
}

static void an_untrusted_peers_word_is_replaced(void **state)
{
	(void)state;
	assert_forwards("192.0.2.7", false,
			"GET / HTTP/1.1\r\n"
			"X-Forwarded-For: 10.0.0.1\r\n"
			"X-Forwarded-Proto: https\r\n"
			"X-Forwarded-Host: other\r\n"
			"Forwarded: for=10.0.0.1\r\n"
			"Via: 1.1 other\r\n"
			"X-Request-Id: mine\r\n"
			"Host: example.com\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: example.com\r\n" OURS);
}

static void a_trusted_peers_word_is_kept_and_lists_become_one_line(void **state)
{
	(void)state;
	assert_forwards("10.0.0.1", true,
			"GET / HTTP/1.1\r\n"
			"Host: example.com\r\n"
			"X-Forwarded-For: 192.0.2.9, 198.51.100.1\r\n"
			"X-Forwarded-Proto: https\r\n"
			"Via: 1.1 first\r\n"
			"X-Forwarded-For:\r\n"
			"X-Forwarded-For: 203.0.113.5\r\n"
			"X-Forwarded-Host: shop.example\r\n"
			"Forwarded: for=192.0.2.9;proto=https\r\n"
			"via: 1.0 second\r\n\r\n",
			"GET / HTTP/1.1\r\n"
			"Host: example.com\r\n"
			"X-Forwarded-For: 192.0.2.9, 198.51.100.1, 203.0.113.5, 10.0.0.1\r\n"
			"X-Forwarded-Proto: https\r\n"
			"X-Forwarded-Host: shop.example\r\n"
			"Forwarded: for=192.0.2.9;proto=https, "
			"for=10.0.0.1;host=example.com;proto=http\r\n"
			"Via: 1.1 first, 1.0 second, 1.1 xdp-throttle\r\n"
			"X-Request-Id: id-1\r\n\r\n");
}

static void twins_of_what_is_written_here_are_left_out(void **state)
{
	static const char head[] = "GET / HTTP/1.1\r\n"
				   "Host: example.com\r\n"
				   "X_Forwarded_For: 10.0.0.1\r\n"
				   "x-forwarded_host: other\r\n"
				   "Content_Length: 5\r\n"
				   "Transfer_Encoding: chunked\r\n"
				   "X_Request_Id: mine\r\n"
				   "X_Custom: 1\r\n\r\n";
	static const char expected[] = "GET / HTTP/1.1\r\n"
				       "Host: example.com\r\n"
				       "X_Custom: 1\r\n" OURS;

	(void)state;
	assert_forwards("192.0.2.7", false, head, expected);
	assert_forwards("192.0.2.7", true, head, expected);
}

static void forwarded_quotes_what_is_not_a_token(void **state)
{
	(void)state;
	assert_forwards("2001:db8::7", false, "GET / HTTP/1.1\r\nHost: example.com:8080\r\n\r\n",
			"GET / HTTP/1.1\r\n"
			"Host: example.com:8080\r\n"
			"X-Forwarded-For: 2001:db8::7\r\n"
			"X-Forwarded-Proto: http\r\n"
			"X-Forwarded-Host: example.com:8080\r\n"
			"Forwarded: for=\"[2001:db8::7]\";host=\"example.com:8080\";proto=http\r\n"
			"Via: 1.1 xdp-throttle\r\n"
			"X-Request-Id: id-1\r\n\r\n");
}

static void an_http_1_0_client_is_forwarded_as_1_1(void **state)
{
	(void)state;
	assert_forwards("192.0.2.7", false,
			"POST / HTTP/1.0\r\n"
			"Connection: keep-alive\r\n"
			"Expect: 100-continue\r\n"
			"Content-Length: 3\r\n\r\n",
			"POST / HTTP/1.1\r\n"
			"Host: \r\n"
			"Content-Length: 3\r\n"
			"X-Forwarded-For: 192.0.2.7\r\n"
			"X-Forwarded-Proto: http\r\n"
			"Forwarded: for=192.0.2.7;proto=http\r\n"
			"Via: 1.0 xdp-throttle\r\n"
			"X-Request-Id: id-1\r\n\r\n");
}

static void absolute_form_becomes_origin_form_of_its_own_authority(void **state)
{
	static const struct {
		const char *line, *expected;
	} cases[] = {
		{"GET http://example.com/a?b HTTP/1.1\r\n", "GET /a?b HTTP/1.1\r\n"},
		{"GET http://example.com HTTP/1.1\r\n", "GET / HTTP/1.1\r\n"},
		{"GET http://example.com?b=c HTTP/1.1\r\n", "GET /?b=c HTTP/1.1\r\n"},
		{"OPTIONS http://example.com HTTP/1.1\r\n", "OPTIONS * HTTP/1.1\r\n"},
		{"OPTIONS http://example.com?b HTTP/1.1\r\n", "OPTIONS /?b HTTP/1.1\r\n"},
		{"OPTIONS http://example.com/ HTTP/1.1\r\n", "OPTIONS / HTTP/1.1\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char head[256], expected[512];

		snprintf(head, sizeof(head), "%sHost: example.com\r\n\r\n", cases[i].line);
		snprintf(expected, sizeof(expected), "%sHost: example.com\r\n" OURS,
			 cases[i].expected);
		assert_forwards("192.0.2.7", false, head, expected);
	}
	assert_forwards("192.0.2.7", false,
			"GET http://example.com/ HTTP/1.1\r\nHost: other.example\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: example.com\r\n" OURS);
}

static void a_body_keeps_its_framing(void **state)
{
	static const struct {
		const char *fields, *expected;
	} cases[] = {
		{"Content-Length: 10\r\nExpect: 100-continue\r\n",
		 "Expect: 100-continue\r\nContent-Length: 10\r\n"},
		{"Content-Length: 0\r\n", "Content-Length: 0\r\n"},
		{"Transfer-Encoding: chunked\r\nX-Other: 1\r\n",
		 "X-Other: 1\r\nTransfer-Encoding: chunked\r\n"},
		{"", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char head[256], expected[512];

		snprintf(head, sizeof(head), "PUT /a HTTP/1.1\r\nHost: example.com\r\n%s\r\n",
			 cases[i].fields);
		snprintf(expected, sizeof(expected),
			 "PUT /a HTTP/1.1\r\nHost: example.com\r\n%s" OURS, cases[i].expected);
		assert_forwards("192.0.2.7", false, head, expected);
	}
}

static void an_upgrade_is_asked_for_as_the_client_did(void **state)
{
	(void)state;
	assert_forwards("192.0.2.7", false,
			"GET /chat HTTP/1.1\r\n"
			"Host: example.com\r\n"
			"Upgrade: WebSocket\r\n"
			"Connection: keep-alive, Upgrade\r\n"
			"Sec-WebSocket-Version: 13\r\n\r\n",
			"GET /chat HTTP/1.1\r\n"
			"Host: example.com\r\n"
			"Sec-WebSocket-Version: 13\r\n"
			"Connection: upgrade\r\n"
			"Upgrade: WebSocket\r\n" OURS);
}

/* What goes out is a head that the strict parser takes, of the same meaning. */
static void a_forwarded_head_is_well_formed(void **state)
{
	struct thr_address peer = address_of("2001:db8::7");
	struct thr_origin origin = {.peer = &peer};
	struct thr_http_request request, again = no_request;
	char out[4096];
	size_t length;

	(void)state;
	parse_request("PUT http://[2001:db8::1]:81/a?b HTTP/1.1\r\n"
		      "Host: other\r\n"
		      "Transfer-Encoding: chunked\r\n"
		      "X-Bytes: \x80\xff\t\"\\\r\n\r\n",
		      &request);
	length = thr_head_request(out, sizeof(out), &request, &origin);
	assert_int_equal(thr_http_parse_request(out, length, &limits, &again), length);
	assert_true(thr_slice_is(again.path, "/a?b"));
	assert_true(thr_slice_is(again.authority, "[2001:db8::1]:81"));
	assert_int_equal(again.body, THR_BODY_CHUNKED);
	assert_true(again.keep_alive);
	assert_true(thr_slice_is(again.field[1].value, "\x80\xff\t\"\\"));
}

static void a_request_id_that_is_fit_is_passed_on(void **state)
{
	static char longest[THR_REQUEST_ID_MAX + 2];
	static const struct {
		const char *fields, *id;
	} cases[] = {
		{"", ""},
		{"X-Request-Id: a\r\n", "a"},
		{"x-request-id: 5f2b-_.:/+=@Zz9\r\n", "5f2b-_.:/+=@Zz9"},
		{"X-Request-Id:\r\n", ""},
		{"X-Request-Id: a b\r\n", ""},
		{"X-Request-Id: a\"\r\n", ""},
		{"X-Request-Id: a,b\r\n", ""},
		{"X-Request-Id: \xe9\r\n", ""},
		{"X-Request-Id: a\r\nX-Request-Id: b\r\n", ""},
		{"X-Request-Id: a\r\nX-Request-Id: a\r\n", ""},
		{"X-Request-Id:\r\nX-Request-Id: a\r\n", ""},
	};
	char head[512];
	struct thr_http_request request;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n",
			 cases[i].fields);
		parse_request(head, &request);
		assert_true(thr_slice_is(thr_head_request_id(&request), cases[i].id));
	}

	memset(longest, 'x', THR_REQUEST_ID_MAX);
	snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: h\r\nX-Request-Id: %s\r\n\r\n",
		 longest);
	parse_request(head, &request);
	assert_true(thr_slice_is(thr_head_request_id(&request), longest));

	longest[THR_REQUEST_ID_MAX] = 'x';
	snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: h\r\nX-Request-Id: %s\r\n\r\n",
		 longest);
	parse_request(head, &request);
	assert_int_equal(thr_head_request_id(&request).length, 0);
}

static const struct thr_reply plain_reply = {.client_minor = 1, .keep_alive = true, .date = DATE};

static void a_response_passes_with_ours_at_its_end(void **state)
{
	struct thr_http_response response;
	struct thr_reply reply = plain_reply;

	(void)state;
	parse_response("HTTP/1.1 200 Very Well\r\n"
		       "Server: x\r\n"
		       "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
		       "Connection: keep-alive, X-Mine\r\n"
		       "Keep-Alive: timeout=5\r\n"
		       "X-Mine: 1\r\n"
		       "Set-Cookie: a\r\n"
		       "Set-Cookie: b\r\n"
		       "Via: 1.0 inner\r\n"
		       "Upgrade: h2c\r\n"
		       "Retry-After: 9\r\n"
		       "RateLimit: \"theirs\";r=1\r\n"
		       "Content-Length: 10\r\n\r\n",
		       THR_METHOD_GET, &response);
	assert_response(&response, &reply,
			"HTTP/1.1 200 Very Well\r\n"
			"Server: x\r\n"
			"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
			"Set-Cookie: a\r\n"
			"Set-Cookie: b\r\n"
			"Retry-After: 9\r\n"
			"RateLimit: \"theirs\";r=1\r\n"
			"Content-Length: 10\r\n"
			"Via: 1.0 inner, 1.1 xdp-throttle\r\n\r\n");

	reply.limits = THR_SLICE("RateLimit-Policy: \"default\";q=1;w=1\r\n");
	assert_response(&response, &reply,
			"HTTP/1.1 200 Very Well\r\n"
			"Server: x\r\n"
			"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
			"Set-Cookie: a\r\n"
			"Set-Cookie: b\r\n"
			"Retry-After: 9\r\n"
			"Content-Length: 10\r\n"
			"Via: 1.0 inner, 1.1 xdp-throttle\r\n"
			"RateLimit-Policy: \"default\";q=1;w=1\r\n\r\n");
}

static void a_date_is_added_where_there_is_none(void **state)
{
	struct thr_http_response response;

	(void)state;
	parse_response("HTTP/1.0 404 \r\n\r\n", THR_METHOD_GET, &response);
	assert_response(&response, &plain_reply,
			"HTTP/1.1 404 \r\n"
			"Via: 1.0 xdp-throttle\r\n"
			"Date: " DATE "\r\n\r\n");
}

static void connection_says_what_the_clients_version_does_not(void **state)
{
	static const struct {
		uint8_t minor;
		bool keep_alive;
		const char *line;
	} cases[] = {
		{1, true, ""},
		{1, false, "Connection: close\r\n"},
		{0, true, "Connection: keep-alive\r\n"},
		{0, false, "Connection: close\r\n"},
	};
	struct thr_http_response response;

	(void)state;
	parse_response("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", THR_METHOD_GET,
		       &response);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct thr_reply reply = {.client_minor = cases[i].minor,
					  .keep_alive = cases[i].keep_alive,
					  .date = DATE};
		char expected[256];

		snprintf(expected, sizeof(expected),
			 "HTTP/1.1 204 No Content\r\n%sVia: 1.1 xdp-throttle\r\nDate: " DATE
			 "\r\n\r\n",
			 cases[i].line);
		assert_response(&response, &reply, expected);
	}
}

static void a_length_is_stated_where_it_may_be(void **state)
{
	static const struct {
		const char *line;
		enum thr_http_method method;
		const char *length;
	} cases[] = {
		{"HTTP/1.1 200 OK\r\n", THR_METHOD_GET, "Content-Length: 7\r\n"},
		{"HTTP/1.1 200 OK\r\n", THR_METHOD_HEAD, "Content-Length: 7\r\n"},
		{"HTTP/1.1 304 Not Modified\r\n", THR_METHOD_GET, "Content-Length: 7\r\n"},
		{"HTTP/1.1 204 No Content\r\n", THR_METHOD_GET, ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct thr_http_response response;
		char head[256], expected[256];

		snprintf(head, sizeof(head), "%sContent-Length: 7\r\n\r\n", cases[i].line);
		snprintf(expected, sizeof(expected),
			 "%s%sVia: 1.1 xdp-throttle\r\nDate: " DATE "\r\n\r\n", cases[i].line,
			 cases[i].length);
		parse_response(head, cases[i].method, &response);
		assert_response(&response, &plain_reply, expected);
	}
}

static void a_chunked_reply_says_so_and_nothing_of_a_length(void **state)
{
	struct thr_reply reply = plain_reply;
	struct thr_http_response response;

	(void)state;
	reply.chunked = true;
	parse_response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", THR_METHOD_GET,
		       &response);
	response.has_length = true;
	assert_response(&response, &reply,
			"HTTP/1.1 200 OK\r\n"
			"Transfer-Encoding: chunked\r\n"
			"Via: 1.1 xdp-throttle\r\n"
			"Date: " DATE "\r\n\r\n");
}

static void switching_protocols_names_the_protocol(void **state)
{
	struct thr_http_response response;

	(void)state;
	parse_response("HTTP/1.1 101 Switching Protocols\r\n"
		       "upgrade: websocket\r\n"
		       "Connection: Upgrade\r\n"
		       "Sec-WebSocket-Accept: x\r\n\r\n",
		       THR_METHOD_GET, &response);
	assert_response(&response, &plain_reply,
			"HTTP/1.1 101 Switching Protocols\r\n"
			"Sec-WebSocket-Accept: x\r\n"
			"Connection: upgrade\r\n"
			"upgrade: websocket\r\n"
			"Via: 1.1 xdp-throttle\r\n"
			"Date: " DATE "\r\n\r\n");
}

static void an_interim_response_carries_nothing_of_ours(void **state)
{
	struct thr_reply reply = {.client_minor = 1,
				  .limits = THR_SLICE("RateLimit: \"default\";r=1;t=1\r\n"),
				  .date = DATE};
	struct thr_http_response response;

	(void)state;
	parse_response("HTTP/1.1 103 Early Hints\r\n"
		       "Link: </a.css>; rel=preload\r\n"
		       "Via: 1.1 inner\r\n"
		       "RateLimit: \"theirs\";r=1\r\n"
		       "Connection: close\r\n\r\n",
		       THR_METHOD_GET, &response);
	assert_response(&response, &reply,
			"HTTP/1.1 103 Early Hints\r\n"
			"Link: </a.css>; rel=preload\r\n"
			"Via: 1.1 inner\r\n"
			"RateLimit: \"theirs\";r=1\r\n\r\n");
	parse_response("HTTP/1.1 100 Continue\r\n\r\n", THR_METHOD_GET, &response);
	assert_response(&response, &reply, "HTTP/1.1 100 Continue\r\n\r\n");
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_pass_in_their_order_behind_host),
		cmocka_unit_test(hop_by_hop_fields_stay_here),
		cmocka_unit_test(connection_does_not_keep_back_what_is_written_anew),
		cmocka_unit_test(an_untrusted_peers_word_is_replaced),
		cmocka_unit_test(a_trusted_peers_word_is_kept_and_lists_become_one_line),
		cmocka_unit_test(twins_of_what_is_written_here_are_left_out),
		cmocka_unit_test(forwarded_quotes_what_is_not_a_token),
		cmocka_unit_test(an_http_1_0_client_is_forwarded_as_1_1),
		cmocka_unit_test(absolute_form_becomes_origin_form_of_its_own_authority),
		cmocka_unit_test(a_body_keeps_its_framing),
		cmocka_unit_test(an_upgrade_is_asked_for_as_the_client_did),
		cmocka_unit_test(a_forwarded_head_is_well_formed),
		cmocka_unit_test(a_request_id_that_is_fit_is_passed_on),
		cmocka_unit_test(a_response_passes_with_ours_at_its_end),
		cmocka_unit_test(a_date_is_added_where_there_is_none),
		cmocka_unit_test(connection_says_what_the_clients_version_does_not),
		cmocka_unit_test(a_length_is_stated_where_it_may_be),
		cmocka_unit_test(a_chunked_reply_says_so_and_nothing_of_a_length),
		cmocka_unit_test(switching_protocols_names_the_protocol),
		cmocka_unit_test(an_interim_response_carries_nothing_of_ours),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
