/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What goes through a socket, and what is kept, over socket pairs. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/stream.h"
#include "support/run.h"

#define SCRATCH 64

static char scratch[SCRATCH];

struct pair {
	struct thr_stream stream;
	int peer;
};

static struct pair pair_of(int type)
{
	struct pair pair = {.stream.readable = true, .stream.writable = true};
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	pair.stream.io.fd = fd[0];
	pair.peer = fd[1];
	return pair;
}

static void pair_end(struct pair *pair)
{
	thr_buffer_clear(&pair->stream.in);
	thr_buffer_clear(&pair->stream.out);
	close(pair->stream.io.fd);
	if (pair->peer >= 0)
		close(pair->peer);
}

static void say(struct pair *pair, const char *text)
{
	assert_int_equal(send(pair->peer, text, strlen(text), 0), strlen(text));
	thr_stream_heed(&pair->stream, EPOLLIN);
}

static void hear(struct pair *pair, const char *text)
{
	char got[SCRATCH] = {0};

	assert_int_equal(recv(pair->peer, got, sizeof(got) - 1, 0), strlen(text));
	assert_string_equal(got, text);
}

/* What is shown is the text; all but its first `used` bytes are kept. */
static void see(struct pair *pair, const char *text, size_t used)
{
	char *at;
	ssize_t length = thr_stream_gather(&pair->stream, scratch, SCRATCH, &at);

	assert_int_equal(length, strlen(text));
	assert_memory_equal(at, text, strlen(text));
	assert_int_equal(thr_stream_keep(&pair->stream, at, (size_t)length, used), 0);
}

static void see_nothing(struct pair *pair)
{
	char *at;

	assert_int_equal(thr_stream_gather(&pair->stream, scratch, SCRATCH, &at), 0);
}

/* --- input --- */

static void what_is_used_at_once_is_kept_nowhere(void **state)
{
	struct pair pair = pair_of(SOCK_STREAM);

	(void)state;
	say(&pair, "whole");
	see(&pair, "whole", 5);
	assert_null(pair.stream.in.at);
	assert_true(pair.stream.moved);
	see_nothing(&pair);
	pair_end(&pair);
}

static void what_is_not_used_is_shown_again_with_what_follows(void **state)
{
	struct pair pair = pair_of(SOCK_STREAM);

	(void)state;
	say(&pair, "a pa");
	see(&pair, "a pa", 0);
	see_nothing(&pair);
	say(&pair, "rt");
	see(&pair, "a part", 6);
	assert_null(pair.stream.in.at);
	pair_end(&pair);
}

static void the_rest_of_what_was_used_is_new(void **state)
{
	struct pair pair = pair_of(SOCK_STREAM);

	(void)state;
	say(&pair, "one two th");
	see(&pair, "one two th", 4);
	see(&pair, "two th", 4);
	see(&pair, "th", 0);
	see_nothing(&pair);
	say(&pair, "ree");
	see(&pair, "three", 5);
	pair_end(&pair);
}

static void a_short_read_says_that_there_is_no_more(void **state)
{
	struct pair pair = pair_of(SOCK_STREAM);
	char all[SCRATCH + 1] = {0};

	(void)state;
	memset(all, 'a', SCRATCH);
	say(&pair, all);
	say(&pair, "b");
	see(&pair, all, SCRATCH);
	assert_true(pair.stream.readable);
	see(&pair, "b", 1);
	assert_false(pair.stream.readable);
	pair_end(&pair);
}

static void the_end_comes_after_what_was_said_before(void **state)
{
	struct pair pair = pair_of(SOCK_STREAM);

	(void)state;
	say(&pair, "bye");
	assert_int_equal(shutdown(pair.peer, SHUT_WR), 0);
	thr_stream_heed(&pair.stream, EPOLLIN | EPOLLRDHUP);
	see(&pair, "bye", 3);
	assert_true(pair.stream.readable);
	assert_false(pair.stream.eof);
	see_nothing(&pair);
	assert_true(pair.stream.eof);
	assert_false(pair.stream.readable);
	pair_end(&pair);
}

static void a_reset_is_an_end(void **state)
{
	struct pair pair = pair_of(SOCK_STREAM);

	(void)state;
	/* What a Unix socket's peer leaves unread resets it. */
	assert_int_equal(send(pair.stream.io.fd, "x", 1, 0), 1);
	close(pair.peer);
	pair.peer = -1;
	thr_stream_heed(&pair.stream, EPOLLIN | EPOLLHUP);
	see_nothing(&pair);
	assert_true(pair.stream.eof);
	pair_end(&pair);
}

/* --- output --- */

static struct iovec piece_of(const char *text)
{
	return (struct iovec){(void *)(uintptr_t)text, strlen(text)};
}

static void small_pieces_are_one_write(void **state)
{
	struct pair pair = pair_of(SOCK_SEQPACKET);
	struct iovec pieces[] = {piece_of("head, "), piece_of(""), piece_of("body")};

	(void)state;
	assert_int_equal(thr_stream_send(&pair.stream, pieces, 0), 0);
	assert_int_equal(thr_stream_send(&pair.stream, pieces, 3), 0);
	hear(&pair, "head, body");
	assert_int_equal(thr_stream_send(&pair.stream, pieces, 1), 0);
	hear(&pair, "head, ");
	assert_int_equal(pair.stream.sent, 16);
	pair_end(&pair);
}

static void large_pieces_arrive_in_their_order(void **state)
{
	static char sent[3][5000], got[sizeof(sent)];
	struct pair pair = pair_of(SOCK_SEQPACKET);
	struct iovec pieces[3];

	(void)state;
	for (int i = 0; i < 3; i++) {
		memset(sent[i], 'a' + i, sizeof(sent[i]));
		pieces[i] = (struct iovec){sent[i], sizeof(sent[i])};
	}
	assert_int_equal(thr_stream_send(&pair.stream, pieces, 3), 0);
	assert_int_equal(recv(pair.peer, got, sizeof(got), 0), sizeof(sent));
	assert_memory_equal(got, sent, sizeof(sent));
	pair_end(&pair);
}

/* Until the kernel takes no more; returns how much it took. */
static size_t fill(struct pair *pair)
{
	static const char block[4096];
	size_t total = 0;
	ssize_t sent;

	while ((sent = send(pair->stream.io.fd, block, sizeof(block), 0)) > 0)
		total += (size_t)sent;
	assert_int_equal(errno, EAGAIN);
	return total;
}

static void drain(struct pair *pair, size_t bytes)
{
	char block[4096];

	while (bytes) {
		ssize_t got =
			recv(pair->peer, block, bytes < sizeof(block) ? bytes : sizeof(block), 0);

		assert_true(got > 0);
		bytes -= (size_t)got;
	}
}

static void what_is_not_taken_waits_and_stays_in_order(void **state)
{
	struct pair pair = pair_of(SOCK_STREAM);
	struct iovec first = piece_of("first, "), second = piece_of("second");
	size_t filled = fill(&pair);

	(void)state;
	assert_int_equal(thr_stream_send(&pair.stream, &first, 1), 0);
	assert_false(pair.stream.writable);
	assert_int_equal(thr_stream_flush(&pair.stream), 0);
	drain(&pair, filled);
	thr_stream_heed(&pair.stream, EPOLLOUT);
	assert_int_equal(thr_stream_send(&pair.stream, &second, 1), 0);
	assert_int_equal(thr_buffer_length(&pair.stream.out), 13);
	assert_int_equal(pair.stream.sent, 0);
	assert_int_equal(thr_stream_flush(&pair.stream), 1);
	hear(&pair, "first, second");
	assert_int_equal(pair.stream.sent, 13);
	assert_int_equal(thr_stream_flush(&pair.stream), 0);
	pair_end(&pair);
}

static void a_write_that_cannot_go_on_is_tried_when_it_can(void **state)
{
	struct pair pair = pair_of(SOCK_STREAM);
	struct iovec piece = piece_of("late");
	size_t filled = fill(&pair);

	(void)state;
	assert_int_equal(thr_stream_send(&pair.stream, &piece, 1), 0);
	thr_stream_heed(&pair.stream, EPOLLOUT);
	assert_int_equal(thr_stream_flush(&pair.stream), 0);
	assert_false(pair.stream.writable);
	drain(&pair, filled);
	thr_stream_heed(&pair.stream, EPOLLOUT);
	assert_int_equal(thr_stream_flush(&pair.stream), 1);
	hear(&pair, "late");
	pair_end(&pair);
}

static void a_peer_that_is_gone_is_an_error(void **state)
{
	struct pair pair = pair_of(SOCK_STREAM);
	struct iovec piece = piece_of("hello?");

	(void)state;
	fill(&pair);
	assert_int_equal(thr_stream_send(&pair.stream, &piece, 1), 0);
	close(pair.peer);
	pair.peer = -1;
	thr_stream_heed(&pair.stream, EPOLLOUT | EPOLLHUP);
	assert_int_equal(thr_stream_flush(&pair.stream), -EPIPE);
	thr_buffer_clear(&pair.stream.out);
	assert_int_equal(thr_stream_send(&pair.stream, &piece, 1), -EPIPE);
	pair_end(&pair);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_used_at_once_is_kept_nowhere),
		cmocka_unit_test(what_is_not_used_is_shown_again_with_what_follows),
		cmocka_unit_test(the_rest_of_what_was_used_is_new),
		cmocka_unit_test(a_short_read_says_that_there_is_no_more),
		cmocka_unit_test(the_end_comes_after_what_was_said_before),
		cmocka_unit_test(a_reset_is_an_end),
		cmocka_unit_test(small_pieces_are_one_write),
		cmocka_unit_test(large_pieces_arrive_in_their_order),
		cmocka_unit_test(what_is_not_taken_waits_and_stays_in_order),
		cmocka_unit_test(a_write_that_cannot_go_on_is_tried_when_it_can),
		cmocka_unit_test(a_peer_that_is_gone_is_an_error),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
