/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Bodies reframed in pieces of any size, and the buffers that keep what is left. */
#include "proxy/body.h"
#include "core/buffer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/run.h"

static char room[8192];
static const struct thr_trailers trailers = {{4096, 4096, 16}, room};

/* Append pieces to a text. */
static void collect(char *text, const struct thr_framed *framed)
{
	for (size_t i = 0; i < framed->count; i++)
		strncat(text, framed->piece[i].iov_base, framed->piece[i].iov_len);
}

/* Frame `input`, given `step` bytes at a time, as the relay does: what is not
 * consumed is shown again. Returns the result, and the bytes behind the body. */
static int frame_all(struct thr_body *body, const char *input, size_t step, char *text,
		     size_t *ret_rest)
{
	struct thr_framed framed;
	char held[1024];
	size_t length = 0, at = 0, total = strlen(input);
	int r = 0;

	text[0] = '\0';
	while (r == 0 && !body->done && at < total) {
		size_t more = total - at < step ? total - at : step;

		memcpy(held + length, input + at, more);
		at += more;
		length += more;
		r = thr_body_frame(body, held, length, &trailers, &framed);
		if (r < 0)
			break;
		collect(text, &framed);
		length -= framed.consumed;
		memmove(held, held + framed.consumed, length);
	}
	*ret_rest = length + (total - at);
	return r;
}

/* The data of chunks as they are written, '|', and the rest. */
static void dechunk(const char *from, char *to)
{
	char *end;
	unsigned long size;

	*to = '\0';
	while ((size = strtoul(from, &end, 16)) > 0) {
		assert_memory_equal(end, "\r\n", 2);
		strncat(to, end + 2, size);
		from = end + 2 + size + 2;
	}
	strcat(to, "|");
	strcat(to, from);
}

static void length_ends_at_its_length(void **state)
{
	struct thr_body body;
	char text[256];
	size_t rest;

	(void)state;
	for (size_t step = 1; step <= 12; step++) {
		thr_body_begin(&body, THR_BODY_LENGTH, 5, false);
		assert_int_equal(frame_all(&body, "helloGET /", step, text, &rest), 0);
		assert_true(body.done);
		assert_string_equal(text, "hello");
		assert_int_equal(body.total, 5);
		assert_int_equal(rest, 5);
	}
}

static void no_body_takes_nothing(void **state)
{
	struct thr_framed framed;
	struct thr_body body;
	char input[] = "GET /";

	(void)state;
	thr_body_begin(&body, THR_BODY_NONE, 0, true);
	assert_true(body.done);
	assert_int_equal(thr_body_frame(&body, input, 5, &trailers, &framed), 0);
	assert_int_equal(framed.consumed, 0);
	assert_int_equal(framed.count, 0);
}

static void chunks_are_written_anew_in_every_split(void **state)
{
	static const char input[] = "5;a=b\r\nhello\r\n0001\r\n,\r\n6\r\n world\r\n0\r\nX-Sum: "
				    "7\r\nHost: x\r\n\r\nrest";
	struct thr_body body;
	char text[512], data[512];
	size_t rest;

	(void)state;
	for (size_t step = 1; step <= sizeof(input); step++) {
		thr_body_begin(&body, THR_BODY_CHUNKED, 0, true);
		assert_int_equal(frame_all(&body, input, step, text, &rest), 0);
		assert_true(body.done);
		dechunk(text, data);
		assert_string_equal(data, "hello, world|0\r\nX-Sum: 7\r\n\r\n");
		assert_int_equal(body.total, 12);
		assert_int_equal(rest, 4);
	}
}

static void chunks_lose_framing_and_trailers_where_none_is_wanted(void **state)
{
	static const char input[] = "3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 7\r\n\r\n";
	struct thr_body body;
	char text[256];
	size_t rest;

	(void)state;
	for (size_t step = 1; step <= sizeof(input); step++) {
		thr_body_begin(&body, THR_BODY_CHUNKED, 0, false);
		assert_int_equal(frame_all(&body, input, step, text, &rest), 0);
		assert_true(body.done);
		assert_string_equal(text, "abcde");
		assert_int_equal(rest, 0);
	}
}

static void malformed_chunks_and_trailers_are_refused(void **state)
{
	static const char *const inputs[] = {
		"5\r\nhelloX\r\n",
		"g\r\n",
		"-1\r\n",
		"0\r\nX : 1\r\n\r\n",
		"0\r\n a: b\r\n\r\n",
		"ffffffffffffffffff\r\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(inputs); i++) {
		for (size_t step = 1; step <= 8; step++) {
			struct thr_body body;
			char text[256];
			size_t rest;

			thr_body_begin(&body, THR_BODY_CHUNKED, 0, true);
			assert_int_equal(frame_all(&body, inputs[i], step, text, &rest), -EPROTO);
			assert_false(body.done);
		}
	}
}

static void the_end_of_the_connection_ends_only_what_it_may(void **state)
{
	struct thr_framed framed;
	struct thr_body body;
	char text[64] = "", input[] = "abc";

	(void)state;
	thr_body_begin(&body, THR_BODY_CLOSE, 0, true);
	assert_int_equal(thr_body_frame(&body, input, 3, &trailers, &framed), 0);
	collect(text, &framed);
	assert_false(body.done);
	assert_int_equal(thr_body_end(&body, &framed), 0);
	collect(text, &framed);
	assert_true(body.done);
	assert_string_equal(text, "3\r\nabc\r\n0\r\n\r\n");

	thr_body_begin(&body, THR_BODY_LENGTH, 5, false);
	assert_int_equal(thr_body_end(&body, &framed), -EPROTO);
	thr_body_begin(&body, THR_BODY_CHUNKED, 0, false);
	assert_int_equal(thr_body_end(&body, &framed), -EPROTO);
}

static void a_buffer_gives_back_what_was_put_in(void **state)
{
	struct thr_buffer buffer = {0};
	unsigned char next_in = 0, next_out = 0;

	(void)state;
	srand(1);
	for (int i = 0; i < 20000; i++) {
		unsigned char bytes[3000];
		size_t size = (size_t)rand() % sizeof(bytes);

		if (rand() % 2) {
			for (size_t j = 0; j < size; j++)
				bytes[j] = next_in++;
			assert_int_equal(thr_buffer_append(&buffer, bytes, size), 0);
		} else {
			if (size > thr_buffer_length(&buffer))
				size = thr_buffer_length(&buffer);
			for (size_t j = 0; j < size; j++)
				assert_int_equal((unsigned char)thr_buffer_bytes(&buffer)[j],
						 next_out++);
			if (size)
				thr_buffer_consume(&buffer, size);
		}
		assert_true(buffer.at || !thr_buffer_length(&buffer));
	}
	thr_buffer_clear(&buffer);
	assert_null(buffer.at);
}

static void a_buffer_that_is_emptied_holds_no_memory(void **state)
{
	struct thr_buffer buffer = {0};
	struct iovec piece[] = {{(char[]){'a', 'b'}, 2}, {(char[]){'c', 'd', 'e'}, 3}};

	(void)state;
	assert_int_equal(thr_buffer_append_rest(&buffer, piece, 2, 3), 0);
	assert_int_equal(thr_buffer_length(&buffer), 2);
	assert_memory_equal(thr_buffer_bytes(&buffer), "de", 2);
	thr_buffer_consume(&buffer, 2);
	assert_null(buffer.at);
	assert_int_equal(thr_buffer_append_rest(&buffer, piece, 2, 5), 0);
	assert_null(buffer.at);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(length_ends_at_its_length),
		cmocka_unit_test(no_body_takes_nothing),
		cmocka_unit_test(chunks_are_written_anew_in_every_split),
		cmocka_unit_test(chunks_lose_framing_and_trailers_where_none_is_wanted),
		cmocka_unit_test(malformed_chunks_and_trailers_are_refused),
		cmocka_unit_test(the_end_of_the_connection_ends_only_what_it_may),
		cmocka_unit_test(a_buffer_gives_back_what_was_put_in),
		cmocka_unit_test(a_buffer_that_is_emptied_holds_no_memory),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
