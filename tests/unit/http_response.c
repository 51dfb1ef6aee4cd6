/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Responses: how the body ends, what stays, what is refused; at every length. */
#include <stdio.h>

#include "unit/http_edge.h"

static struct thr_http_response response;

static int parse(const char *bytes, size_t length, enum thr_http_method method)
{
	memset(&response, 0xa5, sizeof(response));
	return thr_http_parse_response(before_the_edge(bytes, length), length, method, &limits,
				       &response);
}

static void assert_parses(const char *head, enum thr_http_method method)
{
	size_t length = strlen(head);

	for (size_t cut = 0; cut < length; cut++)
		assert_int_equal(parse(head, cut, method), 0);
	assert_int_equal(parse(head, length, method), length);
}

static void the_status_line_is_split(void **state)
{
	(void)state;
	assert_parses("HTTP/1.1 404 Not\t\xc3\xa9 Found\r\nDate: x\r\nA: b\r\n\r\n",
		      THR_METHOD_GET);
	assert_int_equal(response.status, 404);
	assert_int_equal(response.minor, 1);
	assert_slice(response.reason, "Not\t\xc3\xa9 Found");
	assert_int_equal(response.field_count, 2);
	assert_slice(response.field[1].value, "b");
	assert_parses("HTTP/1.0 599 \r\n\r\n", THR_METHOD_GET);
	assert_int_equal(response.status, 599);
	assert_int_equal(response.minor, 0);
	assert_slice(response.reason, "");
	assert_int_equal(response.field_count, 0);
}

static void the_body_ends_by_method_status_and_framing(void **state)
{
	static const char chunked[] = "Transfer-Encoding: chunked\r\n";
	static const char five[] = "Content-Length: 5\r\n";
	static const struct {
		enum thr_http_method method;
		const char *status, *fields;
		enum thr_http_body body;
		bool keep_alive, has_length;
	} cases[] = {
		{THR_METHOD_GET, "200", "", THR_BODY_CLOSE, false, false},
		{THR_METHOD_GET, "200", five, THR_BODY_LENGTH, true, true},
		{THR_METHOD_GET, "200", "Content-Length: 0\r\n", THR_BODY_NONE, true, true},
		{THR_METHOD_GET, "200", chunked, THR_BODY_CHUNKED, true, false},
		{THR_METHOD_OTHER, "404", chunked, THR_BODY_CHUNKED, true, false},
		{THR_METHOD_HEAD, "200", "", THR_BODY_NONE, true, false},
		{THR_METHOD_HEAD, "200", five, THR_BODY_NONE, true, true},
		{THR_METHOD_HEAD, "200", chunked, THR_BODY_NONE, true, false},
		{THR_METHOD_GET, "100", "", THR_BODY_NONE, true, false},
		{THR_METHOD_GET, "103", five, THR_BODY_NONE, true, true},
		{THR_METHOD_GET, "204", "", THR_BODY_NONE, true, false},
		{THR_METHOD_GET, "304", five, THR_BODY_NONE, true, true},
		{THR_METHOD_GET, "304", chunked, THR_BODY_NONE, true, false},
		{THR_METHOD_GET, "205", "", THR_BODY_CLOSE, false, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char head[128];

		snprintf(head, sizeof(head), "HTTP/1.1 %s X\r\n%s\r\n", cases[i].status,
			 cases[i].fields);
		assert_parses(head, cases[i].method);
		assert_int_equal(response.body, cases[i].body);
		assert_int_equal(response.keep_alive, cases[i].keep_alive);
		assert_int_equal(response.has_length, cases[i].has_length);
		assert_int_equal(response.content_length, cases[i].fields == five ? 5 : 0);
		assert_false(response.upgrade);
	}
}

static void the_connection_stays_by_version_and_option(void **state)
{
	(void)state;
	assert_parses("HTTP/1.1 204 \r\nConnection: close\r\n\r\n", THR_METHOD_GET);
	assert_false(response.keep_alive);
	assert_parses("HTTP/1.0 204 \r\n\r\n", THR_METHOD_GET);
	assert_false(response.keep_alive);
	assert_parses("HTTP/1.0 204 \r\nConnection: keep-alive\r\n\r\n", THR_METHOD_GET);
	assert_true(response.keep_alive);
}

static void an_upgrade_is_seen(void **state)
{
	(void)state;
	assert_parses("HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
		      THR_METHOD_GET);
	assert_true(response.upgrade);
	assert_parses("HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n", THR_METHOD_GET);
	assert_false(response.upgrade);
}

static void a_request_s_rules_are_not_a_response_s(void **state)
{
	(void)state;
	assert_parses("HTTP/1.1 204 \r\nHost: a b\r\nHost: c\r\nExpect: x\r\n\r\n", THR_METHOD_GET);
}

static void what_is_ambiguous_is_refused(void **state)
{
#define OK "HTTP/1.1 200 OK\r\n"
	static const struct {
		const char *bytes;
		size_t length;
	} cases[] = {
		{BYTES("\r\n" OK "\r\n")},
		{BYTES("HTTP/1.1 200\r\n\r\n")},
		{BYTES("HTTP/1.1 200OK\r\n\r\n")},
		{BYTES("HTTP/1.1  200 OK\r\n\r\n")},
		{BYTES("HTTP/1.1\t200 OK\r\n\r\n")},
		{BYTES("HTTP/1.1 200\tOK\r\n\r\n")},
		{BYTES("HTTP/1.1 20 OK\r\n\r\n")},
		{BYTES("HTTP/1.1 2000 OK\r\n\r\n")},
		{BYTES("HTTP/1.1 099 OK\r\n\r\n")},
		{BYTES("HTTP/1.1 600 OK\r\n\r\n")},
		{BYTES("HTTP/1.1 2x0 OK\r\n\r\n")},
		{BYTES("HTTP/1.1 20x OK\r\n\r\n")},
		{BYTES("HTTP/1.2 200 OK\r\n\r\n")},
		{BYTES("HTTP/2.0 200 OK\r\n\r\n")},
		{BYTES("http/1.1 200 OK\r\n\r\n")},
		{BYTES("ICY 200 OK and on\r\n\r\n")},
		{BYTES("HTTP/1.1 200 O\0K\r\n\r\n")},
		{BYTES("HTTP/1.1 200 O\rK\r\n\r\n")},
		{BYTES("HTTP/1.1 200 OK\n\r\n")},
		{BYTES(OK "A : b\r\n\r\n")},
		{BYTES(OK "A: b\r\n c\r\n\r\n")},
		{BYTES(OK "A: b\n\r\n")},
		{BYTES(OK "A: b\x01\r\n\r\n")},
		{BYTES(OK "no colon\r\n\r\n")},
		{BYTES(OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\n")},
		{BYTES(OK "Content-Length: 5, 5\r\n\r\n")},
		{BYTES(OK "Content-Length: -5\r\n\r\n")},
		{BYTES(OK "Content-Length: 05\r\n\r\n")},
		{BYTES(OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n")},
		{BYTES(OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n")},
		{BYTES(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n")},
		{BYTES(OK "Transfer-Encoding: gzip, chunked\r\n\r\n")},
		{BYTES(OK "Transfer-Encoding: identity\r\n\r\n")},
		{BYTES("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")},
		{BYTES("HTTP/1.1 101 X\r\nTransfer-Encoding: chunked\r\n\r\n")},
		{BYTES("HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n")},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int last = 0;

		for (size_t cut = 0; cut <= cases[i].length; cut++) {
			int r = parse(cases[i].bytes, cut, THR_METHOD_GET);

			if (r != last && (last != 0 || r != -502))
				fail_msg("case %zu, %zu bytes: %d", i, cut, r);
			last = r;
		}
		if (last != -502)
			fail_msg("case %zu: %d", i, last);
	}
}

static void limits_hold_to_the_byte(void **state)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
	const size_t whole = sizeof(head) - 1;
	struct thr_http_limits tight = {1, whole, 1}; /* the first is for requests */

	(void)state;
	assert_int_equal(thr_http_parse_response(head, whole, THR_METHOD_GET, &tight, &response),
			 whole);
	tight.field_count = 0;
	assert_int_equal(thr_http_parse_response(head, whole, THR_METHOD_GET, &tight, &response),
			 -502);
	tight = (struct thr_http_limits){1, whole - 1, 1};
	assert_int_equal(
		thr_http_parse_response(head, whole - 2, THR_METHOD_GET, &tight, &response), 0);
	assert_int_equal(
		thr_http_parse_response(head, whole - 1, THR_METHOD_GET, &tight, &response), -502);
	assert_int_equal(thr_http_parse_response(head, whole, THR_METHOD_GET, &tight, &response),
			 -502);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_status_line_is_split),
		cmocka_unit_test(the_body_ends_by_method_status_and_framing),
		cmocka_unit_test(the_connection_stays_by_version_and_option),
		cmocka_unit_test(an_upgrade_is_seen),
		cmocka_unit_test(a_request_s_rules_are_not_a_response_s),
		cmocka_unit_test(what_is_ambiguous_is_refused),
		cmocka_unit_test(limits_hold_to_the_byte),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
