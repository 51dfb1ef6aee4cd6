/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Requests that are refused, and with what. Each is read at every length, its end
 * at a page that must not be touched: once it is refused it stays so, with the
 * same status, and it is never accepted on the way.
 */
#include <stdio.h>

#include "unit/http_edge.h"

#define HOST "Host: example.com\r\n"
#define GET "GET / HTTP/1.1\r\n" HOST
#define POST "POST / HTTP/1.1\r\n" HOST
#define END "\r\n"
#define CL5 "Content-Length: 5\r\n"

struct refused {
	int status;
	const char *bytes;
	size_t length;
};

static struct thr_http_request request;

static void assert_refused(const struct refused *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int last = 0;

		for (size_t cut = 0; cut <= cases[i].length; cut++) {
			int r = thr_http_parse_request(before_the_edge(cases[i].bytes, cut), cut,
						       &limits, &request);

			if (r != last && (last != 0 || r != cases[i].status))
				fail_msg("case %zu, %zu bytes: %d", i, cut, r);
			last = r;
		}
		if (last != cases[i].status)
			fail_msg("case %zu: %d, not %d", i, last, cases[i].status);
	}
}

static void lines_that_do_not_end_in_crlf(void **state)
{
	static const struct refused cases[] = {
		{-400, BYTES("\n")},
		{-400, BYTES("\n" GET END)},
		{-400, BYTES("GET / HTTP/1.1\n" HOST END)},
		{-400, BYTES("GET / HTTP/1.1\r\nHost: a\nX-Test: v\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\rHost: a\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\r\r\n" HOST END)},
		{-400, BYTES(GET "X: val\rue\r\n\r\n")},
		{-400, BYTES(GET "X: value\r\r\n\r\n")},
		{-400, BYTES(GET "X\r: value\r\n\r\n")},
		{-400, BYTES(GET "\n")},
		{-400, BYTES(GET "\r\r\n")},
		{-400, BYTES(GET "\rX")},
		{-400, BYTES("\r\n\r\n" GET END)},
		{-400, BYTES("\r\n\r\n")},
		{-400, BYTES("\r\r\n" GET END)},
		{-400, BYTES("\rGET / HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("   \r\n\r\n")},
	};

	(void)state;
	assert_refused(cases, ARRAY_SIZE(cases));
}

static void first_lines_that_are_not_of_three_parts(void **state)
{
	static const struct refused cases[] = {
		{-400, BYTES("GET\r\n")},
		{-400, BYTES("GET \r\n")},
		{-400, BYTES("GET /\r\n")},
		{-400, BYTES("GET / \r\n")},
		{-400, BYTES("GET HTTP/1.1\r\n" HOST END)},
		{-400, BYTES(" GET / HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("GET  / HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("GET /  HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("GET / HTTP/1.1 \r\n" HOST END)},
		{-400, BYTES("GET\t/ HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("GET /\tHTTP/1.1\r\n" HOST END)},
		{-400, BYTES("GET /pa th HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("G[T / HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("G\xc3\x8bT / HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("GET: / HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("\0GET / HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n")},
	};

	(void)state;
	assert_refused(cases, ARRAY_SIZE(cases));
}

static void versions_but_1_0_and_1_1(void **state)
{
	static const struct refused cases[] = {
		{-505, BYTES("GET / HTTP/9.9\r\n" HOST END)},
		{-505, BYTES("GET / HTTP/1.2\r\n" HOST END)},
		{-505, BYTES("GET / HTTP/0.9\r\n" HOST END)},
		{-505, BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1\r\n" HOST END)},
		{-400, BYTES("GET / HTTP/1.\r\n" HOST END)},
		{-400, BYTES("GET / HTTP/01.01\r\n" HOST END)},
		{-400, BYTES("GET / HTTP/1.10\r\n" HOST END)},
		{-400, BYTES("GET / HTTP/ 1.1\r\n" HOST END)},
		{-400, BYTES("GET / http/1.1\r\n" HOST END)},
		{-400, BYTES("GET / HTTP/1,1\r\n" HOST END)},
		{-400, BYTES("GET / HTTP/x.1\r\n" HOST END)},
		{-400, BYTES("GET / RTSP/1.0\r\n" HOST END)},
		{-400, BYTES("GET / HTTPS/1.1\r\n" HOST END)},
		{-400, BYTES("GET / HTTP/1.\0\r\n" HOST END)},
	};

	(void)state;
	assert_refused(cases, ARRAY_SIZE(cases));
}

static void targets_of_no_form_or_not_ours(void **state)
{
	static const struct refused cases[] = {
		{-400, BYTES("GET /\0test HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("GET /\x7f HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("GET /caf\xc3\xa9 HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("GET /\xc0\xaf HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("GET /path#frag HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("GET path HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("GET ?q HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("GET example.com:80 HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("GET * HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("OPTIONS ** HTTP/1.1\r\n" HOST END)},
		{-501, BYTES("OPTIONS * HTTP/1.1\r\n" HOST END)},
		{-501, BYTES("CONNECT example.com:443 HTTP/1.1\r\n" HOST END)},
		{-501, BYTES("CONNECT [::1]:443 HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("CONNECT / HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("CONNECT http://a/ HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("GET ftp://a/ HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("GET http:/a HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("GET http:// HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("GET http:///a HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("GET http://?a HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("GET http://:80/ HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("GET http://user@a/ HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("GET http://a:b@c/ HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("GET http://a\\b/ HTTP/1.1\r\n" HOST END)},
		{-400, BYTES("GET http://a/ HTTP/1.1\r\n\r\n")},
	};

	(void)state;
	assert_refused(cases, ARRAY_SIZE(cases));
}

static void field_lines_that_can_be_read_in_two_ways(void **state)
{
	static const struct refused cases[] = {
		{-400, BYTES(GET "X : v\r\n\r\n")},
		{-400, BYTES(GET "X\t: v\r\n\r\n")},
		{-400, BYTES(GET ": v\r\n\r\n")},
		{-400, BYTES(GET "NoColon\r\n\r\n")},
		{-400, BYTES(GET "Bad[Name: v\r\n\r\n")},
		{-400, BYTES(GET "X Y: v\r\n\r\n")},
		{-400, BYTES(GET "X-T\xc3\xabst: v\r\n\r\n")},
		{-400, BYTES(GET "X\0: v\r\n\r\n")},
		{-400, BYTES(GET "X: v\r\n continued\r\n\r\n")},
		{-400, BYTES(GET "X: v\r\n\tcontinued: x\r\n\r\n")},
		{-400, BYTES(GET "X:\r\n \r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\r\n \r\n" HOST END)},
		{-400, BYTES("GET / HTTP/1.1\r\n " HOST END)},
		{-400, BYTES(GET "X: a\0b\r\n\r\n")},
		{-400, BYTES(GET "X: a\x07\x08\x0b"
				 "d\r\n\r\n")},
		{-400, BYTES(GET "X: \x1b[2J\r\n\r\n")},
		{-400, BYTES(GET "X: a\x7f\r\n\r\n")},
		{-400, BYTES(GET "X: \x0c\r\n\r\n")},
	};

	(void)state;
	assert_refused(cases, ARRAY_SIZE(cases));
}

static void hosts_that_are_missing_repeated_or_odd(void **state)
{
	static const struct refused cases[] = {
		{-400, BYTES("GET / HTTP/1.1\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\r\nX-Host: a\r\n\r\n")},
		{-400, BYTES(GET "Host: other.example\r\n\r\n")},
		{-400, BYTES(GET HOST END)},
		{-400, BYTES("GET / HTTP/1.0\r\n" HOST HOST END)},
		{-400, BYTES("GET / HTTP/1.1\r\nHost:\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\r\nHost: \r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.0\r\nHost:\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\r\nHost: user@a\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\r\nHost: a/path\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\r\nHost: a:80, b\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\r\nHost: a b\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\r\nHost: http://a\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\r\nHost: :80\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\r\nHost: a:\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\r\nHost: a:8o\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\r\nHost: a:-1\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\r\nHost: a:000080\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\r\nHost: ::1\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\r\nHost: []\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\r\nHost: [127.0.0.1]\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\r\nHost: [v1.a]\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\r\nHost: [1:2:3:4:5:6:7:8:9:1:2:3:4:5:6:7:8:9:1:2:3"
			     "]\r\n\r\n")},
		{-400,
		 BYTES("GET / HTTP/1.1\r\nHost: [0000:0000:0000:0000:0000:0000:255.255.255.2550]"
		       "\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\r\nHost: a%2eb\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\r\nHost: a;b=c\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\r\nHost: \"a\"\r\n\r\n")},
		{-400, BYTES("GET / HTTP/1.1\r\nHost: caf\xc3\xa9\r\n\r\n")},
	};

	(void)state;
	assert_refused(cases, ARRAY_SIZE(cases));
}

static void lengths_that_are_not_one_plain_number(void **state)
{
	static const char *const values[] = {
		"",
		"abc",
		"+5",
		"-1",
		"-0",
		"5, 10",
		"5, 5",
		"5,",
		"0x5",
		"0o5",
		"1_0",
		"1 0",
		"5.0",
		"1e3",
		"005",
		"00",
		"0200",
		"\"5\"",
		"5;x",
		"\v5",
		"18446744073709551616",
		"9223372036854775808",
		"99999999999999999999",
		"00000000000000000005",
	};
	static const struct refused repeated[] = {
		{-400, BYTES(POST CL5 CL5 END)},
		{-400, BYTES(POST CL5 "Content-Length: 10\r\n\r\n")},
		{-400, BYTES(POST "Content-Length: 0\r\ncontent-length: 0\r\n\r\n")},
		{-400, BYTES(POST "Content-Length: 5\0\r\n\r\n")},
		{-400, BYTES(POST "Content-Length : 5\r\n\r\n")},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		char head[160];
		int length =
			snprintf(head, sizeof(head), POST "Content-Length: %s\r\n\r\n", values[i]);
		struct refused one = {-400, head, (size_t)length};

		assert_refused(&one, 1);
	}
	assert_refused(repeated, ARRAY_SIZE(repeated));
}

static void codings_that_are_not_chunked_alone(void **state)
{
	static const struct refused cases[] = {
		{-501, BYTES(POST "Transfer-Encoding: gzip, chunked\r\n\r\n")},
		{-501, BYTES(POST "Transfer-Encoding: Deflate,x-gzip , CHUNKED\r\n\r\n")},
		{-400, BYTES(POST "Transfer-Encoding: gzip\r\n\r\n")},
		{-400, BYTES(POST "Transfer-Encoding: chunked, gzip\r\n\r\n")},
		{-400, BYTES(POST "Transfer-Encoding: chunked, chunked\r\n\r\n")},
		{-400, BYTES(POST "Transfer-Encoding: gzip, chunked, chunked\r\n\r\n")},
		{-501, BYTES(POST "Transfer-Encoding: gzip, chunked,\r\n\r\n")},
		{-400, BYTES(POST "Transfer-Encoding: foo, chunked\r\n\r\n")},
		{-400, BYTES(POST "Transfer-Encoding: identity, chunked\r\n\r\n")},
		{-400, BYTES(POST "Transfer-Encoding: , chunked\r\n\r\n")},
		{-400, BYTES(POST "Transfer-Encoding: chunked,\r\n\r\n")},
		{-400, BYTES(POST "Transfer-Encoding: chunked;a=b\r\n\r\n")},
		{-400, BYTES(POST "Transfer-Encoding: \"chunked\"\r\n\r\n")},
		{-400, BYTES(POST "Transfer-Encoding: xchunked\r\n\r\n")},
		{-400, BYTES(POST "Transfer-Encoding: chunkedx\r\n\r\n")},
		{-400, BYTES(POST "Transfer-Encoding: identity\r\n\r\n")},
		{-400, BYTES(POST "Transfer-Encoding:\r\n\r\n")},
		{-400, BYTES(POST "Transfer-Encoding: \x0b"
				  "chunked\r\n\r\n")},
		{-400, BYTES(POST "Transfer-Encoding: \x0c"
				  "chunked\r\n\r\n")},
		{-400, BYTES(POST "Transfer-Encoding: chunked\0\r\n\r\n")},
		{-400, BYTES(POST "Transfer-Encoding : chunked\r\n\r\n")},
		{-400, BYTES(POST "Transfer-Encoding:\r\n chunked\r\n\r\n")},
		{-400, BYTES(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"
				  "\r\n")},
		{-400, BYTES(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"
				  "\r\n")},
		{-400, BYTES(POST CL5 "Transfer-Encoding: chunked\r\n\r\n")},
		{-400, BYTES(POST CL5 "Transfer-Encoding: gzip, chunked\r\n\r\n")},
		{-400, BYTES(POST "Transfer-Encoding: chunked\r\n" CL5 END)},
		{-400, BYTES(POST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n")},
		{-400, BYTES("POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n")},
		{-400, BYTES("POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n"
			     "\r\n")},
	};

	(void)state;
	assert_refused(cases, ARRAY_SIZE(cases));
}

static void expectations_but_100_continue(void **state)
{
	static const struct refused cases[] = {
		{-417, BYTES(GET "Expect: 200-ok\r\n\r\n")},
		{-417, BYTES(GET "Expect:\r\n\r\n")},
		{-417, BYTES(GET "Expect: 100-continue, 100-continue\r\n\r\n")},
		{-417, BYTES(GET "Expect: 100-continue\r\nExpect: x\r\n\r\n")},
		{-400, BYTES(GET "Expect: 100-continu\x01\r\n\r\n")},
	};

	(void)state;
	assert_refused(cases, ARRAY_SIZE(cases));
}

static void a_connection_field_with_too_many_elements(void **state)
{
	char head[512] = GET "Connection: close, keep-alive, upgrade";
	struct refused one = {-400, head, 0};
	size_t length = strlen(head);

	(void)state;
	for (int i = 3; i < 32; i++)
		length += (size_t)snprintf(head + length, sizeof(head) - length, ",a%d", i);
	snprintf(head + length, sizeof(head) - length, "\r\n\r\n");
	assert_int_equal(thr_http_parse_request(head, length + 4, &limits, &request), length + 4);
	snprintf(head + length, sizeof(head) - length, "\r\nConnection: b\r\n\r\n");
	one.length = strlen(head);
	assert_refused(&one, 1);
}

static void a_connection_field_that_repeats_itself(void **state)
{
	static const char *const words[] = {"close", "keep-alive", "upgrade", "x"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		char head[512] = GET "Connection: ";
		struct refused one = {-400, head, 0};

		for (int count = 1; count <= 33; count++) {
			strcat(head, words[i]);
			strcat(head, count < 33 ? "," : "\r\n\r\n");
		}
		one.length = strlen(head);
		assert_refused(&one, 1);
	}
}

/* A run of `byte` between two texts. */
static void assert_long_is_refused(const char *before, const char *after, int status)
{
	static char head[EDGE_ARENA];
	size_t length = strlen(before);
	int r;

	memset(head, 'A', sizeof(head));
	memcpy(head, before, length);
	length += 100000;
	memcpy(head + length, after, strlen(after));
	length += strlen(after);
	r = thr_http_parse_request(before_the_edge(head, length), length, &limits, &request);
	assert_int_equal(r, status);
	r = thr_http_parse_request(before_the_edge(head, 50000), 50000, &limits, &request);
	assert_int_equal(r, status);
}

static void what_is_too_long(void **state)
{
	static char many[10000 * 6 + 64];
	size_t length = strlen(GET);

	(void)state;
	assert_long_is_refused("GET /", " HTTP/1.1\r\n" HOST END, -414);
	assert_long_is_refused("GET / HTTP/1.1", "\r\n" HOST END, -414);
	assert_long_is_refused("", " / HTTP/1.1\r\n" HOST END, -400);
	assert_long_is_refused(GET "X: ", "\r\n\r\n", -431);
	assert_long_is_refused(GET, ": v\r\n\r\n", -431);
	memcpy(many, GET, length);
	for (int i = 0; i < 10000; i++, length += 6)
		memcpy(many + length, "a: b\r\n", 6);
	assert_int_equal(thr_http_parse_request(many, length, &limits, &request), -431);
}

static void what_stood_before_the_input_does_not_end_a_line(void **state)
{
	static const char bytes[] = "\r\n" GET END;

	(void)state;
	assert_int_equal(thr_http_parse_request(bytes + 1, sizeof(bytes) - 2, &limits, &request),
			 -400);
}

static void a_part_as_long_as_the_limit_is_too_long(void **state)
{
	struct thr_http_limits tight = {18, 30, 4};

	(void)state;
	assert_int_equal(thr_http_parse_request(BYTES("GET /12 HTTP/1.1\r"), &tight, &request), 0);
	assert_int_equal(thr_http_parse_request(BYTES("GET /123 HTTP/1.1\r"), &tight, &request),
			 -414);
	assert_int_equal(
		thr_http_parse_request(BYTES("GET / HTTP/1.1\r\nHost: 1234567"), &tight, &request),
		0);
	assert_int_equal(
		thr_http_parse_request(BYTES("GET / HTTP/1.1\r\nHost: 12345678"), &tight, &request),
		-431);
}

static void the_log_gets_what_could_be_read(void **state)
{
	static const struct {
		const char *head, *method, *target;
	} cases[] = {
		{"GE", "", ""},
		{"G(T / HTTP/1.1\r\n", "", ""},
		{"GET /\x01 HTTP/1.1\r\n", "GET", ""},
		{"GET /a HTTP/3.0\r\n", "GET", "/a"},
		{"CONNECT a:1 HTTP/1.1\r\n", "CONNECT", "a:1"},
		{"GET /a HTTP/1.1\r\nHost:\r\n", "GET", "/a"},
		{"GET /a HTTP/1.1\r\n\r\n", "GET", "/a"},
		{"GET /a HTTP/1.1\r\nHo", "GET", "/a"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_true(thr_http_parse_request(cases[i].head, strlen(cases[i].head), &limits,
						   &request) <= 0);
		assert_slice(request.method, cases[i].method);
		assert_slice(request.target, cases[i].target);
	}
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_that_do_not_end_in_crlf),
		cmocka_unit_test(first_lines_that_are_not_of_three_parts),
		cmocka_unit_test(versions_but_1_0_and_1_1),
		cmocka_unit_test(targets_of_no_form_or_not_ours),
		cmocka_unit_test(field_lines_that_can_be_read_in_two_ways),
		cmocka_unit_test(hosts_that_are_missing_repeated_or_odd),
		cmocka_unit_test(lengths_that_are_not_one_plain_number),
		cmocka_unit_test(codings_that_are_not_chunked_alone),
		cmocka_unit_test(expectations_but_100_continue),
		cmocka_unit_test(a_connection_field_with_too_many_elements),
		cmocka_unit_test(a_connection_field_that_repeats_itself),
		cmocka_unit_test(what_is_too_long),
		cmocka_unit_test(what_stood_before_the_input_does_not_end_a_line),
		cmocka_unit_test(a_part_as_long_as_the_limit_is_too_long),
		cmocka_unit_test(the_log_gets_what_could_be_read),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
