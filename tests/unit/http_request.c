/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Requests that are accepted, and what they say. Every one is also cut at every
 * length before a page that must not be touched: a part of a good head is never
 * refused and never complete.
 */
#include <stdio.h>

#include "unit/http_edge.h"

#define HOST "Host: example.com\r\n"
#define GET "GET / HTTP/1.1\r\n" HOST

static struct thr_http_request request;

static int parse(const char *bytes, size_t length)
{
	/* Nothing of an earlier request, or of zeroed memory, may be relied on. */
	memset(&request, 0xa5, sizeof(request));
	return thr_http_parse_request(before_the_edge(bytes, length), length, &limits, &request);
}

static void assert_parses(const char *head)
{
	size_t length = strlen(head);

	for (size_t cut = 0; cut < length; cut++)
		assert_int_equal(parse(head, cut), 0);
	assert_int_equal(parse(head, length), length);
}

static void the_first_line_is_split(void **state)
{
	(void)state;
	assert_parses("PATCH /a//b/../%2e?d=%2F HTTP/1.1\r\n" HOST "\r\n");
	assert_slice(request.method, "PATCH");
	assert_int_equal(request.method_id, THR_METHOD_PATCH);
	assert_slice(request.target, "/a//b/../%2e?d=%2F");
	assert_slice(request.path, "/a//b/../%2e?d=%2F");
	assert_slice(request.authority, "example.com");
	assert_int_equal(request.minor, 1);
	assert_false(request.absolute);
	assert_int_equal(request.field_count, 1);
	assert_int_equal(request.body, THR_BODY_NONE);
	assert_int_equal(request.content_length, 0);
	assert_true(request.keep_alive);
	assert_false(request.expect_continue);
	assert_false(request.upgrade);
}

static void what_follows_the_head_is_left(void **state)
{
	static const char two[] = GET "\r\nGET /second HTTP/1.1\r\n";

	(void)state;
	assert_int_equal(parse(two, sizeof(two) - 1), strlen(GET "\r\n"));
	assert_slice(request.path, "/");
}

static void one_empty_line_may_come_first(void **state)
{
	(void)state;
	assert_parses("\r\n" GET "\r\n");
	assert_slice(request.method, "GET");
}

static void methods_are_known_by_case(void **state)
{
	static const struct {
		const char *name;
		enum thr_http_method id;
		bool is_idempotent;
	} cases[] = {
		{"GET", THR_METHOD_GET, true},	      {"HEAD", THR_METHOD_HEAD, true},
		{"POST", THR_METHOD_POST, false},     {"PUT", THR_METHOD_PUT, true},
		{"DELETE", THR_METHOD_DELETE, true},  {"OPTIONS", THR_METHOD_OPTIONS, true},
		{"TRACE", THR_METHOD_TRACE, true},    {"PATCH", THR_METHOD_PATCH, false},
		{"get", THR_METHOD_OTHER, false},     {"GETS", THR_METHOD_OTHER, false},
		{"!#$%&'*", THR_METHOD_OTHER, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char head[128];

		snprintf(head, sizeof(head), "%s / HTTP/1.1\r\n" HOST "\r\n", cases[i].name);
		assert_parses(head);
		assert_slice(request.method, cases[i].name);
		assert_int_equal(request.method_id, cases[i].id);
		assert_int_equal(thr_http_is_idempotent(request.method_id), cases[i].is_idempotent);
	}
	assert_false(thr_http_is_idempotent(THR_METHOD_CONNECT));
}

static void an_absolute_target_names_the_authority(void **state)
{
	static const struct {
		const char *target, *authority, *path;
	} cases[] = {
		{"http://a.example/x?y", "a.example", "/x?y"},
		{"HTTP://a.example:8080/", "a.example:8080", "/"},
		{"https://[2001:db8::1]:443/x", "[2001:db8::1]:443", "/x"},
		{"http://192.0.2.1", "192.0.2.1", ""},
		{"http://a.example?q=http://b/", "a.example", "?q=http://b/"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char head[128];

		snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\n" HOST "\r\n", cases[i].target);
		assert_parses(head);
		assert_true(request.absolute);
		assert_slice(request.target, cases[i].target);
		assert_slice(request.authority, cases[i].authority);
		assert_slice(request.path, cases[i].path);
	}
}

static void hosts_are_names_and_addresses(void **state)
{
	static const char *const hosts[] = {
		"a",	     "a.b-c.example.", "service_1:1",	   "EXAMPLE.COM:65535",
		"192.0.2.1", "192.0.2.1:0",    "[::ffff:1.2.3.4]", "[::]:80",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		char head[128];

		snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nhOST:\t %s \r\n\r\n", hosts[i]);
		assert_parses(head);
		assert_slice(request.authority, hosts[i]);
	}
	assert_parses("GET / HTTP/1.0\r\n\r\n");
	assert_slice(request.authority, "");
}

static void fields_keep_their_order_and_lose_white_space_around(void **state)
{
	(void)state;
	assert_parses(GET "X:\r\nY-~!: \t a \t b \x80\xff \t\r\nz:c\r\n\r\n");
	assert_int_equal(request.field_count, 4);
	assert_slice(request.field[0].name, "Host");
	assert_int_equal(request.field[0].id, THR_FIELD_HOST);
	assert_slice(request.field[1].name, "X");
	assert_slice(request.field[1].value, "");
	assert_int_equal(request.field[1].id, THR_FIELD_OTHER);
	assert_false(request.field[1].hop_by_hop);
	assert_slice(request.field[2].name, "Y-~!");
	assert_slice(request.field[2].value, "a \t b \x80\xff");
	assert_slice(request.field[3].value, "c");
}

static void the_body_is_framed_by_one_field(void **state)
{
	static const struct {
		const char *fields;
		enum thr_http_body body;
		uint64_t length;
	} cases[] = {
		{"", THR_BODY_NONE, 0},
		{"Content-Length: 0\r\n", THR_BODY_NONE, 0},
		{"content-length:5\r\n", THR_BODY_LENGTH, 5},
		{"Content-Length: \t10 \r\n", THR_BODY_LENGTH, 10},
		{"Content-Length: 9223372036854775807\r\n", THR_BODY_LENGTH, INT64_MAX},
		{"Transfer-Encoding: chunked\r\n", THR_BODY_CHUNKED, 0},
		{"TRANSFER-ENCODING:\tChunked \r\n", THR_BODY_CHUNKED, 0},
		{"Transfer_Encoding: chunked\r\nContent-Length: 5\r\n", THR_BODY_LENGTH, 5},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char head[160];

		snprintf(head, sizeof(head), "GET / HTTP/1.1\r\n" HOST "%s\r\n", cases[i].fields);
		assert_parses(head);
		assert_int_equal(request.body, cases[i].body);
		assert_int_equal(request.content_length, cases[i].length);
	}
}

static void the_connection_stays_by_version_and_option(void **state)
{
	static const struct {
		const char *version, *connection;
		bool keep_alive;
	} cases[] = {
		{"1.1", "", true},
		{"1.1", "Connection: close\r\n", false},
		{"1.1", "Connection: foo,, \tCLOSE\t, bar\r\n", false},
		{"1.1", "Connection: keep-alive\r\nConnection: close\r\n", false},
		{"1.1", "Connection: closed\r\n", true},
		{"1.1", "Proxy-Connection: close\r\n", true},
		{"1.0", "", false},
		{"1.0", "Connection: Keep-Alive\r\n", true},
		{"1.0", "Connection: keep-alive, close\r\n", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char head[160];

		snprintf(head, sizeof(head), "GET / HTTP/%s\r\n" HOST "%s\r\n", cases[i].version,
			 cases[i].connection);
		assert_parses(head);
		assert_int_equal(request.keep_alive, cases[i].keep_alive);
		assert_int_equal(request.minor, cases[i].version[2] - '0');
	}
}

static void an_upgrade_needs_both_fields_and_no_body(void **state)
{
	static const struct {
		const char *version, *fields;
		bool upgrade;
	} cases[] = {
		{"1.1", "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n", true},
		{"1.1", "Upgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 0\r\n", true},
		{"1.1", "Upgrade: websocket\r\n", false},
		{"1.1", "Connection: upgrade\r\n", false},
		{"1.1", "Connection: upgrade\r\nUpgrade:\r\n", false},
		{"1.1", "Connection: upgrade\r\nUpgrade: H2C\r\n", false},
		{"1.1", "Connection: upgrade\r\nUpgrade: websocket, h2c\r\n", false},
		{"1.1", "Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 1\r\n", false},
		{"1.1", "Connection: upgrade\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n",
		 false},
		{"1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char head[192];

		snprintf(head, sizeof(head), "GET / HTTP/%s\r\n" HOST "%s\r\n", cases[i].version,
			 cases[i].fields);
		assert_parses(head);
		assert_int_equal(request.upgrade, cases[i].upgrade);
	}
}

static void an_expectation_counts_with_a_body_in_http_1_1(void **state)
{
	(void)state;
	assert_parses("POST / HTTP/1.1\r\n" HOST
		      "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n");
	assert_true(request.expect_continue);
	assert_parses("POST / HTTP/1.0\r\n" HOST
		      "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n");
	assert_false(request.expect_continue);
	assert_parses(GET "Expect: 100-continue\r\n\r\n");
	assert_false(request.expect_continue);
}

static void what_connection_names_is_hop_by_hop(void **state)
{
	static const struct {
		const char *name;
		bool hop_by_hop;
	} fields[] = {
		{"Host", false},      {"X-Private", true},
		{"X-Public", false},  {"Content-Length", false},
		{"Connection", true}, {"Keep-Alive", true},
		{"TE", true},	      {"x-private", true},
	};

	(void)state;
	assert_parses(GET "X-Private: 1\r\nX-Public: 1\r\nContent-Length: 1\r\n"
			  "Connection: x-PRIVATE, close, Host, content-length\r\n"
			  "Keep-Alive: x\r\nTE: trailers\r\nx-private: 2\r\n\r\n");
	assert_int_equal(request.field_count, ARRAY_SIZE(fields));
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		assert_slice(request.field[i].name, fields[i].name);
		assert_int_equal(request.field[i].hop_by_hop, fields[i].hop_by_hop);
	}
	assert_int_equal(request.body, THR_BODY_LENGTH);
}

static void limits_hold_to_the_byte(void **state)
{
	static const char head[] = "GET /1234567 HTTP/1.1\r\n" HOST "A: b\r\n\r\n";
	const size_t line = strlen("GET /1234567 HTTP/1.1\r\n"), whole = sizeof(head) - 1;
	static const struct {
		int line, head, count; /* beside what is needed */
		int result;
	} cases[] = {
		{0, 0, 0, 1},	  {-1, 0, 0, -414},  {0, -1, 0, -431},
		{0, 0, -1, -431}, {-1, -1, 0, -414}, {-20, 0, 0, -400},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct thr_http_limits tight = {line + cases[i].line, whole + cases[i].head,
						2 + cases[i].count};
		int expected = cases[i].result == 1 ? (int)whole : cases[i].result, last = 0;

		for (size_t length = 0; length <= whole; length++) {
			int r = thr_http_parse_request(before_the_edge(head, length), length,
						       &tight, &request);

			assert_true(r == 0 ? last == 0 : r == expected);
			last = r;
		}
		assert_int_equal(last, expected);
	}
}

static void a_head_of_the_most_fields_is_read(void **state)
{
	struct thr_http_limits most = {8192, 65536, THR_HTTP_FIELDS_MAX};
	char head[4096];
	size_t length = (size_t)snprintf(head, sizeof(head), "%s", GET);

	(void)state;
	for (int i = 1; i < THR_HTTP_FIELDS_MAX; i++)
		length += (size_t)snprintf(head + length, sizeof(head) - length, "a: b\r\n");
	snprintf(head + length, sizeof(head) - length, "\r\n");
	assert_int_equal(thr_http_parse_request(head, length + 2, &most, &request), length + 2);
	assert_int_equal(request.field_count, THR_HTTP_FIELDS_MAX);
	snprintf(head + length, sizeof(head) - length, "a: b\r\n\r\n");
	assert_int_equal(thr_http_parse_request(head, length + 8, &most, &request), -431);
}

static void more_of_a_head_says_more_by_a_line_or_a_limit(void **state)
{
	static const struct thr_http_limits small = {.line_bytes = 8, .head_bytes = 20};
	static const char head[] = "GET / HTTP/1.1\r\nHost: a";
	static const struct {
		size_t known, length;
		bool says_more;
	} cases[] = {
		{0, 5, false},	{5, 8, false},	{5, 9, true},	 {9, 10, false}, {9, 15, false},
		{15, 16, true}, {14, 16, true}, {16, 20, false}, {16, 21, true}, {21, 22, true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(thr_http_says_more(&small, head, cases[i].length, cases[i].known),
				 cases[i].says_more);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_line_is_split),
		cmocka_unit_test(what_follows_the_head_is_left),
		cmocka_unit_test(one_empty_line_may_come_first),
		cmocka_unit_test(methods_are_known_by_case),
		cmocka_unit_test(an_absolute_target_names_the_authority),
		cmocka_unit_test(hosts_are_names_and_addresses),
		cmocka_unit_test(fields_keep_their_order_and_lose_white_space_around),
		cmocka_unit_test(the_body_is_framed_by_one_field),
		cmocka_unit_test(the_connection_stays_by_version_and_option),
		cmocka_unit_test(an_upgrade_needs_both_fields_and_no_body),
		cmocka_unit_test(an_expectation_counts_with_a_body_in_http_1_1),
		cmocka_unit_test(what_connection_names_is_hop_by_hop),
		cmocka_unit_test(limits_hold_to_the_byte),
		cmocka_unit_test(a_head_of_the_most_fields_is_read),
		cmocka_unit_test(more_of_a_head_says_more_by_a_line_or_a_limit),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
