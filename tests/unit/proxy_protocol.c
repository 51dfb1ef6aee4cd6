/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* PROXY headers of both versions: what is known, what is not, what is refused,
 * and that nothing depends on how the bytes are split. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/proxy_protocol.h"
#include "support/run.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define INET_BODY "\xc0\x00\x02\x01\xc6\x33\x64\x01\xdc\x04\x01\xbb" /* of tcp4 below */
#define ZEROS_16 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"

/* Parse the bytes from memory that ends with them. */
static int parse(struct thr_slice bytes, struct thr_address *ret_source, bool *ret_known)
{
	char *copy = malloc(bytes.length + !bytes.length);
	int r;

	assert_non_null(copy);
	memcpy(copy, bytes.at, bytes.length);
	r = thr_proxy_header_parse(copy, bytes.length, ret_source, ret_known);
	free(copy);
	return r;
}

/* The header that the bytes begin with has `header` bytes; every cut asks for more. */
static void assert_header(struct thr_slice bytes, size_t header, const char *source, uint16_t port)
{
	struct thr_address parsed = {.bytes = {7}, .port = 7}, before = parsed;
	char text[THR_ADDRESS_TEXT];
	bool known;

	for (size_t cut = 0; cut < header; cut++) {
		known = true;
		assert_int_equal(parse((struct thr_slice){bytes.at, cut}, &parsed, &known), 0);
		assert_memory_equal(&parsed, &before, sizeof(before));
		assert_true(known);
	}
	assert_int_equal(parse((struct thr_slice){bytes.at, header}, &parsed, &known), header);
	assert_int_equal(parse(bytes, &parsed, &known), header);
	assert_int_equal(known, source != NULL);
	if (!source) {
		assert_memory_equal(&parsed, &before, sizeof(before));
		return;
	}
	thr_address_format(&parsed, text);
	assert_string_equal(text, source);
	assert_int_equal(parsed.port, port);
}

/* Refused, however much comes after it, and never taken for a header on the way. */
static void assert_refused(struct thr_slice bytes)
{
	struct thr_address parsed = {.bytes = {7}, .port = 7}, before = parsed;
	bool known = true, refused = false;

	for (size_t cut = 0; cut <= bytes.length; cut++) {
		int r = parse((struct thr_slice){bytes.at, cut}, &parsed, &known);

		assert_true(r == -EPROTO || (r == 0 && !refused));
		refused = r == -EPROTO;
	}
	if (!refused)
		print_error("%.*s\n", (int)bytes.length, bytes.at);
	assert_true(refused);
	assert_memory_equal(&parsed, &before, sizeof(before));
}

static void version_1_names_the_source(void **state)
{
	static const struct {
		const char *line, *source;
		uint16_t port;
	} cases[] = {
		{"TCP4 192.0.2.1 198.51.100.1 56324 443", "192.0.2.1", 56324},
		{"TCP4 255.255.255.255 255.255.255.255 65535 65535", "255.255.255.255", 65535},
		{"TCP4 0.0.0.0 0.0.0.0 0 0", "0.0.0.0", 0},
		{"TCP6 2001:db8::1 2001:db8::2 1 2", "2001:db8::1", 1},
		{"TCP6 2001:DB8:0:0::1 ::1 1 2", "2001:db8::1", 1},
		{"TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.1 1 2", "192.0.2.1", 1},
		{"TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535",
		 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535},
		{"UNKNOWN", NULL, 0},
		{"UNKNOWN ", NULL, 0},
		{"UNKNOWN 192.0.2.1 198.51.100.1 56324 443", NULL, 0},
		{"UNKNOWN  what \r ever", NULL, 0},
		{"UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535",
		 NULL, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char bytes[256];
		int header = snprintf(bytes, sizeof(bytes), "PROXY %s\r\n", cases[i].line);
		int all = header + snprintf(bytes + header, sizeof(bytes) - (size_t)header,
					    "GET / HTTP/1.1\r\n");

		assert_header((struct thr_slice){bytes, (size_t)all}, (size_t)header,
			      cases[i].source, cases[i].port);
	}
}

static void version_1_is_refused_unless_it_is_exact(void **state)
{
	static const char *const headers[] = {
		"GET / HTTP/1.1\r\n",
		"\r\nGET / HTTP/1.1\r\n",
		"proxy TCP4 192.0.2.1 198.51.100.1 56324 443\r\n",
		"PROXY\r\n",
		"PROXY \r\n",
		"PROXY\tTCP4 192.0.2.1 198.51.100.1 56324 443\r\n",
		" PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n",
		"PROXY  TCP4 192.0.2.1 198.51.100.1 56324 443\r\n",
		"PROXY TCP4  192.0.2.1 198.51.100.1 56324 443\r\n",
		"PROXY TCP4 192.0.2.1  198.51.100.1 56324 443\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.1  56324 443\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.1 56324  443\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 \r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 x\r\n",
		"PROXY TCP4 192.0.2.1\t198.51.100.1 56324 443\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.1\r\n",
		"PROXY TCP4\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n",
		"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\rx\n",
		"PROXY TCP4 192.0.2.1 198.51.100.1 056324 443\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.1 56324 0443\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.1 56324 65536\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.1 +1 443\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.1 -1 443\r\n",
		"PROXY TCP4 192.0.2.01 198.51.100.1 56324 443\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.256 56324 443\r\n",
		"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
		"PROXY TCP4 192.0.2.1 2001:db8::2 1 2\r\n",
		"PROXY TCP4 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n",
		"PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n",
		"PROXY TCP6 2001:db8::1 198.51.100.1 1 2\r\n",
		"PROXY TCP6 [2001:db8::1] [2001:db8::2] 1 2\r\n",
		"PROXY TCP6 fe80::1%1 fe80::2 1 2\r\n",
		"PROXY TCP5 192.0.2.1 198.51.100.1 1 2\r\n",
		"PROXY tcp4 192.0.2.1 198.51.100.1 1 2\r\n",
		"PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n",
		"PROXY UNKNOWN\n",
		"PROXY UNKNOWNS\r\n",
		"PROXY UNKNOWN x\ny\r\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(headers); i++)
		assert_refused((struct thr_slice){headers[i], strlen(headers[i])});
}

static void version_1_ends_within_107_bytes(void **state)
{
	char line[109];

	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line, "PROXY UNKNOWN ", 14);
	memcpy(line + 105, "\r\n", 2);
	assert_header((struct thr_slice){line, sizeof(line)}, 107, NULL, 0);
	memcpy(line + 105, "x\r\n", 3);
	assert_refused((struct thr_slice){line, 108});
}

static void a_nul_in_version_1_ends_nothing(void **state)
{
	(void)state;
	assert_refused(THR_SLICE("PROXY TCP4 192.0.2.1\0 198.51.100.1 56324 443\r\n"));
	assert_refused(THR_SLICE("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\0\r\n"));
	assert_refused(THR_SLICE("PROXY TCP4\0 192.0.2.1 198.51.100.1 56324 443\r\n"));
}

static void version_2_names_the_source(void **state)
{
	(void)state;
	assert_header(THR_SLICE(SIGNATURE "\x21\x11\x00\x0c" INET_BODY "GET /"), 28, "192.0.2.1",
		      56324);
	assert_header(THR_SLICE(SIGNATURE "\x21\x11\x00\x10" INET_BODY "\x04\x00\x01z"
					  "GET /"),
		      32, "192.0.2.1", 56324);
	assert_header(
		THR_SLICE(SIGNATURE
			  "\x21\x21\x00\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01" ZEROS_16
			  "\x00\x50\x01\xbb"
			  "GET /"),
		52, "2001:db8::1", 80);
	assert_header(
		THR_SLICE(SIGNATURE
			  "\x21\x21\x00\x24\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x01" ZEROS_16
			  "\x00\x50\x01\xbb"),
		52, "192.0.2.1", 80);
}

static void version_2_without_a_source_means_the_peer(void **state)
{
	char local[16 + 216] = SIGNATURE "\x21\x31\x00\xd8";

	(void)state;
	assert_header(THR_SLICE(SIGNATURE "\x20\x00\x00\x00"
					  "GET /"),
		      16, NULL, 0);
	assert_header(THR_SLICE(SIGNATURE "\x20\x11\x00\x0c" INET_BODY), 28, NULL, 0);
	assert_header(THR_SLICE(SIGNATURE "\x20\xff\x00\x02zz"), 18, NULL, 0);
	assert_header(THR_SLICE(SIGNATURE "\x21\x00\x00\x00"), 16, NULL, 0);
	assert_header(THR_SLICE(SIGNATURE "\x21\x00\x00\x04\x04\x00\x01z"), 20, NULL, 0);
	assert_header(THR_SLICE(SIGNATURE "\x21\x12\x00\x0c" INET_BODY), 28, NULL, 0);
	assert_header(THR_SLICE(SIGNATURE "\x21\x10\x00\x0c" INET_BODY), 28, NULL, 0);
	assert_header((struct thr_slice){local, sizeof(local)}, sizeof(local), NULL, 0);
}

static void version_2_is_refused_unless_it_is_exact(void **state)
{
	(void)state;
	assert_refused(THR_SLICE("\r\n\r\n\0\r\nQUIT\r\x21\x11\x00\x0c" INET_BODY));
	assert_refused(THR_SLICE("\r\n\r\n\r\n\0QUIT\n\x21\x11\x00\x0c" INET_BODY));
	assert_refused(THR_SLICE(SIGNATURE "\x11\x11\x00\x0c" INET_BODY));
	assert_refused(THR_SLICE(SIGNATURE "\x31\x11\x00\x0c" INET_BODY));
	assert_refused(THR_SLICE(SIGNATURE "\x22\x11\x00\x0c" INET_BODY));
	assert_refused(THR_SLICE(SIGNATURE "\x2f\x11\x00\x0c" INET_BODY));
	assert_refused(THR_SLICE(SIGNATURE "\x21\x41\x00\x0c" INET_BODY));
	assert_refused(THR_SLICE(SIGNATURE "\x21\x13\x00\x0c" INET_BODY));
	assert_refused(THR_SLICE(SIGNATURE "\x21\x11\x00\x0b" INET_BODY));
	assert_refused(THR_SLICE(SIGNATURE "\x21\x11\x00\x00" INET_BODY));
	assert_refused(THR_SLICE(SIGNATURE "\x21\x21\x00\x0c" INET_BODY));
	assert_refused(THR_SLICE(SIGNATURE "\x21\x31\x00\x0c" INET_BODY));
}

static void version_2_is_at_most_536_bytes_long(void **state)
{
	char header[537] = SIGNATURE "\x21\x11\x02\x08" INET_BODY;

	(void)state;
	assert_header((struct thr_slice){header, sizeof(header)}, 536, "192.0.2.1", 56324);
	header[15] = 0x09;
	assert_refused((struct thr_slice){header, sizeof(header)});
	header[12] = 0x20; /* LOCAL too */
	assert_refused((struct thr_slice){header, sizeof(header)});
	assert_refused(THR_SLICE(SIGNATURE "\x21\x11\xff\xff"));
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_1_names_the_source),
		cmocka_unit_test(version_1_is_refused_unless_it_is_exact),
		cmocka_unit_test(version_1_ends_within_107_bytes),
		cmocka_unit_test(a_nul_in_version_1_ends_nothing),
		cmocka_unit_test(version_2_names_the_source),
		cmocka_unit_test(version_2_without_a_source_means_the_peer),
		cmocka_unit_test(version_2_is_refused_unless_it_is_exact),
		cmocka_unit_test(version_2_is_at_most_536_bytes_long),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
