/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The chunked coding. Every body is decoded in one piece, in every two pieces and
 * a byte at a time, each piece before a page that must not be touched: the data,
 * the end and the refusal must be the same each time.
 */
#include "http/chunks.h"

#include <stdio.h>

#include "unit/http_edge.h"

struct decoder {
	struct thr_http_chunks chunks;
	char data[1024];
	size_t produced, consumed;
	int result;
};

static void feed(struct decoder *decoder, const char *bytes, size_t length)
{
	char *piece = before_the_edge(bytes, length);
	struct thr_http_decoded decoded;

	if (decoder->result)
		return;
	decoder->result = thr_http_chunks_decode(&decoder->chunks, piece, length, &decoded);
	assert_true(decoded.consumed <= length && decoded.produced <= decoded.consumed);
	if (!decoder->result)
		assert_int_equal(decoded.consumed, length);
	assert_true(decoder->produced + decoded.produced <= sizeof(decoder->data));
	memcpy(decoder->data + decoder->produced, piece, decoded.produced);
	decoder->produced += decoded.produced;
	decoder->consumed += decoded.consumed;
}

static void assert_same(const struct decoder *one, const struct decoder *other)
{
	assert_int_equal(one->result, other->result);
	assert_int_equal(one->produced, other->produced);
	assert_int_equal(one->consumed, other->consumed);
	assert_memory_equal(one->data, other->data, one->produced);
}

static struct decoder decode(const char *bytes, size_t length)
{
	struct decoder whole = {0}, single = {0};

	feed(&whole, bytes, length);
	for (size_t i = 0; i < length; i++)
		feed(&single, bytes + i, 1);
	assert_same(&single, &whole);
	for (size_t cut = 0; cut <= length; cut++) {
		struct decoder cut_once = {0};

		feed(&cut_once, bytes, cut);
		feed(&cut_once, bytes + cut, length - cut);
		assert_same(&cut_once, &whole);
	}
	return whole;
}

static void bodies_are_decoded(void **state)
{
	static const struct {
		const char *body, *data;
	} cases[] = {
		{"0\r\n", ""},
		{"5\r\nhello\r\n0\r\n", "hello"},
		{"5\r\nhello\r\n6\r\n world\r\n000\r\n", "hello world"},
		{"A\r\nhelloworld\r\n0\r\n", "helloworld"},
		{"a\r\nhelloworld\r\n0\r\n", "helloworld"},
		{"0000000000000005\r\nhello\r\n0000000000000000\r\n", "hello"},
		{"2\r\n\r\n\r\n0\r\n", "\r\n"},
		{"5;ext=value\r\nhello\r\n0;last\r\n", "hello"},
		{"5;a;b=c;d=\"x \t;\\\"\\\\\xc3\xa9\";e\r\nhello\r\n0\r\n", "hello"},
		{"5; \ta\t= b; c = \"\"\r\nhello\r\n0\r\n", "hello"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct decoder decoder = decode(cases[i].body, strlen(cases[i].body));

		assert_int_equal(decoder.result, 1);
		assert_int_equal(decoder.consumed, strlen(cases[i].body));
		assert_int_equal(decoder.produced, strlen(cases[i].data));
		assert_memory_equal(decoder.data, cases[i].data, decoder.produced);
	}
}

static void the_trailer_section_is_left(void **state)
{
	struct decoder decoder = decode(BYTES("1\r\nx\r\n0\r\n\r\nGET"));

	(void)state;
	assert_int_equal(decoder.result, 1);
	assert_int_equal(decoder.consumed, strlen("1\r\nx\r\n0\r\n"));
}

static void what_is_not_chunked_is_refused(void **state)
{
	static const struct {
		const char *body;
		size_t length;
	} cases[] = {
		{BYTES("\r\n")},
		{BYTES("\n")},
		{BYTES("g")},
		{BYTES(" 5\r\n")},
		{BYTES("\t5\r\n")},
		{BYTES("+5\r\n")},
		{BYTES("-1\r\n")},
		{BYTES("+0\r\n")},
		{BYTES("0x5\r\n")},
		{BYTES("1_0\r\n")},
		{BYTES("5 \r\n")},
		{BYTES("5\t\r\n")},
		{BYTES("5 ;a\r\n")},
		{BYTES("5\n")},
		{BYTES("5\rh")},
		{BYTES("5\r\r\n")},
		{BYTES("5\0\r\n")},
		{BYTES("5.\r\n")},
		{BYTES("5,5\r\n")},
		{BYTES("8000000000000000\r\n")},
		{BYTES("ffffffffffffffff\r\n")},
		{BYTES("00000000000000005\r\n")},
		{BYTES("10000000000000000\r\n")},
		{BYTES("5;\r\n")},
		{BYTES("5;\n")},
		{BYTES("5;;a\r\n")},
		{BYTES("5;a;\r\n")},
		{BYTES("5;=a\r\n")},
		{BYTES("5;a=\r\n")},
		{BYTES("5;a=;b\r\n")},
		{BYTES("5;a =\r\n")},
		{BYTES("5;a \r\n")},
		{BYTES("5;a ;b\r\n")},
		{BYTES("5;a=b \r\n")},
		{BYTES("5;a=\"b\" \r\n")},
		{BYTES("5;a=\"b\"c\r\n")},
		{BYTES("5;a=\"b\r\n")},
		{BYTES("5;a=\"b\\\r\n")},
		{BYTES("5;a=\"\n\"\r\n")},
		{BYTES("5;a=\"\0\"\r\n")},
		{BYTES("5;a=b\"c\"\r\n")},
		{BYTES("5;bad[=x\r\n")},
		{BYTES("5;a\rX\r\n")},
		{BYTES("5;a\n")},
		{BYTES("5;\0ext\r\n")},
		{BYTES("5;caf\xc3\xa9\r\n")},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct decoder decoder = decode(cases[i].body, cases[i].length);

		if (decoder.result != -400 || decoder.produced)
			fail_msg("case %zu: %d", i, decoder.result);
	}
}

static void data_before_the_fault_stays_valid(void **state)
{
	static const struct {
		const char *body;
		size_t consumed;
	} cases[] = {
		{"5\r\nhello0\r\n\r\n", 9},    {"5\r\nhello!!\r\n0\r\n", 9},
		{"5\r\nhello\n0\r\n", 9},      {"5\r\nhello\rX", 10},
		{"5\r\nhello\r\n\r\n", 11},    {"5\r\nhello\r\nx\r\n", 11},
		{"5\r\nhello\r\n0\r\r\n", 13},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct decoder decoder = decode(cases[i].body, strlen(cases[i].body));

		assert_int_equal(decoder.result, -400);
		assert_int_equal(decoder.consumed, cases[i].consumed);
		assert_int_equal(decoder.produced, 5);
		assert_memory_equal(decoder.data, "hello", 5);
	}
}

static void the_largest_chunk_is_counted_down(void **state)
{
	struct thr_http_chunks chunks = {0};
	struct thr_http_decoded decoded;
	char body[] = "7fffffffffffffff\r\nabc";

	(void)state;
	assert_int_equal(thr_http_chunks_decode(&chunks, body, sizeof(body) - 1, &decoded), 0);
	assert_int_equal(decoded.produced, 3);
	assert_memory_equal(body, "abc", 3);
	assert_int_equal(chunks.remaining, INT64_MAX - 3);
}

static void a_line_has_at_most_256_bytes(void **state)
{
	char body[300] = "1;";
	struct decoder decoder;

	(void)state;
	memset(body + 2, 'a', 252);
	memcpy(body + 254, "\r\nx\r\n0\r\n", 8);
	decoder = decode(body, 262);
	assert_int_equal(decoder.result, 1);
	memcpy(body + 254, "a\r\nx\r\n0\r\n", 9);
	decoder = decode(body, 263);
	assert_int_equal(decoder.result, -400);
	assert_int_equal(decoder.consumed, 257);
}

static void the_end_is_final(void **state)
{
	struct thr_http_chunks chunks = {0};
	struct thr_http_decoded decoded;
	char body[] = "0\r\n0\r\n";

	(void)state;
	assert_int_equal(thr_http_chunks_decode(&chunks, body, 3, &decoded), 1);
	assert_int_equal(thr_http_chunks_decode(&chunks, body + 3, 3, &decoded), 1);
	assert_int_equal(decoded.consumed, 0);
	memset(&chunks, 0, sizeof(chunks));
	assert_int_equal(thr_http_chunks_decode(&chunks, body + 1, 3, &decoded), -400);
	assert_int_equal(thr_http_chunks_decode(&chunks, body, 3, &decoded), -400);
	assert_int_equal(decoded.consumed, 0);
}

static void chunk_lines_are_written(void **state)
{
	static const struct {
		uint64_t size;
		const char *line;
	} cases[] = {
		{1, "1\r\n"},	  {15, "f\r\n"},	  {16, "10\r\n"},
		{500, "1f4\r\n"}, {0x10000, "10000\r\n"}, {UINT64_MAX, "ffffffffffffffff\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char line[THR_CHUNK_LINE_MAX];
		size_t length = thr_http_chunk_line(cases[i].size, line);

		assert_int_equal(length, strlen(cases[i].line));
		assert_memory_equal(line, cases[i].line, length);
	}
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_are_decoded),
		cmocka_unit_test(the_trailer_section_is_left),
		cmocka_unit_test(what_is_not_chunked_is_refused),
		cmocka_unit_test(data_before_the_fault_stays_valid),
		cmocka_unit_test(the_largest_chunk_is_counted_down),
		cmocka_unit_test(a_line_has_at_most_256_bytes),
		cmocka_unit_test(the_end_is_final),
		cmocka_unit_test(chunk_lines_are_written),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
