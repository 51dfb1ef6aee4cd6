/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Master and worker: messages and the descriptors that they carry. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/message.h"
#include "support/run.h"

static void open_pair(int ends[2])
{
	assert_int_equal(thr_message_pair(ends), 0);
}

static void close_pair(int ends[2])
{
	close(ends[0]);
	close(ends[1]);
}

static ino_t inode_of(int fd)
{
	struct stat status;

	assert_int_equal(fstat(fd, &status), 0);
	return status.st_ino;
}

static int count_descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void a_message_arrives_as_it_was_sent(void **state)
{
	const struct thr_message sent = {
		.kind = THR_MESSAGE_CONFIGURED, .generation = 7, .code = -ENOMEM, .text = "no"};
	struct thr_message got = {0};
	int ends[2], fds[THR_MESSAGE_FDS] = {9, 9, 9, 9, 9};

	(void)state;
	open_pair(ends);
	assert_int_equal(thr_message_send(ends[0], &sent, NULL), 0);
	assert_int_equal(thr_message_receive(ends[1], &got, fds), 1);
	assert_memory_equal(&got, &sent, sizeof(got));
	for (int i = 0; i < THR_MESSAGE_FDS; i++)
		assert_int_equal(fds[i], -1);
	assert_int_equal(thr_message_receive(ends[1], &got, fds), 0);
	close_pair(ends);
}

static void descriptors_arrive_in_their_places(void **state)
{
	const struct thr_message sent = {.kind = THR_MESSAGE_CONFIG};
	struct thr_message got;
	int ends[2], pipes[2], fds[THR_MESSAGE_FDS];

	(void)state;
	open_pair(ends);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(thr_message_send(ends[0], &sent,
					  (int[THR_MESSAGE_FDS]){-1, pipes[1], -1, -1, ends[0]}),
			 0);
	assert_int_equal(thr_message_receive(ends[1], &got, fds), 1);
	assert_int_equal(inode_of(fds[1]), inode_of(pipes[1]));
	assert_int_equal(inode_of(fds[4]), inode_of(ends[0]));
	assert_int_equal(fds[0], -1);
	assert_int_equal(fds[2], -1);
	assert_int_equal(fds[3], -1);
	assert_true(fcntl(fds[1], F_GETFD) & FD_CLOEXEC);
	close(fds[1]);
	close(fds[4]);
	close_pair(pipes);
	close_pair(ends);
}

static void descriptors_that_nobody_asked_for_are_dropped(void **state)
{
	const struct thr_message sent = {.kind = THR_MESSAGE_CONFIGURED};
	struct thr_message got;
	int ends[2], before;

	(void)state;
	open_pair(ends);
	before = count_descriptors();
	assert_int_equal(thr_message_send(ends[0], &sent, (int[THR_MESSAGE_FDS]){0, 1, 2, -1, -1}),
			 0);
	assert_int_equal(thr_message_receive(ends[1], &got, NULL), 1);
	assert_int_equal(count_descriptors(), before);
	close_pair(ends);
}

static void descriptors_for_which_there_is_no_room_are_said_to_be_missing(void **state)
{
	const struct thr_message sent = {.kind = THR_MESSAGE_CONFIG, .generation = 3};
	int ends[2], fds[THR_MESSAGE_FDS], before;
	struct rlimit full, limit;
	struct thr_message got;

	(void)state;
	open_pair(ends);
	before = count_descriptors();
	assert_int_equal(thr_message_send(ends[0], &sent, (int[THR_MESSAGE_FDS]){0, 1, 2, -1, -1}),
			 0);
	/* Room for two of three. */
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	full = limit;
	full.rlim_cur = (rlim_t)ends[1] + 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &full), 0);
	assert_int_equal(thr_message_receive(ends[1], &got, fds), 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(got.generation, 3);
	assert_int_equal(got.code, -EMFILE);
	for (int i = 0; i < THR_MESSAGE_FDS; i++)
		assert_int_equal(fds[i], -1);
	assert_int_equal(count_descriptors(), before);
	close_pair(ends);
}

static void what_is_not_a_message_is_refused(void **state)
{
	static const char long_text[sizeof(struct thr_message) + 1];
	struct thr_message got;
	int ends[2];

	(void)state;
	open_pair(ends);
	assert_int_equal(send(ends[0], "x", 1, 0), 1);
	assert_int_equal(thr_message_receive(ends[1], &got, NULL), -EPROTO);
	assert_int_equal(send(ends[0], long_text, sizeof(long_text), 0), sizeof(long_text));
	assert_int_equal(thr_message_receive(ends[1], &got, NULL), -EPROTO);
	close_pair(ends);
}

static void descriptors_that_are_not_those_it_says_are_refused(void **state)
{
	struct thr_message message = {.kind = THR_MESSAGE_CONFIG}, got;
	uint32_t bits[] = {1, 2, 0};
	int ends[2], fds[THR_MESSAGE_FDS], before;

	(void)state;
	open_pair(ends);
	before = count_descriptors();
	for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
		/* Two of them, and one, or none, is said to come. */
		union {
			struct cmsghdr align;
			char bytes[CMSG_SPACE(2 * sizeof(int))];
		} control = {.align = {.cmsg_len = CMSG_LEN(2 * sizeof(int)),
				       .cmsg_level = SOL_SOCKET,
				       .cmsg_type = SCM_RIGHTS}};
		struct iovec bytes = {&message, sizeof(message)};
		struct msghdr header = {.msg_iov = &bytes,
					.msg_iovlen = 1,
					.msg_control = &control,
					.msg_controllen = sizeof(control)};

		memcpy(CMSG_DATA(&control.align), ends, sizeof(ends));
		message.fds = bits[i];
		assert_int_equal(sendmsg(ends[0], &header, 0), sizeof(message));
		assert_int_equal(thr_message_receive(ends[1], &got, fds), -EPROTO);
	}
	assert_int_equal(count_descriptors(), before);
	close_pair(ends);
}

static void a_text_without_an_end_gets_one(void **state)
{
	struct thr_message sent = {.kind = THR_MESSAGE_CONFIGURED}, got;
	int ends[2];

	(void)state;
	open_pair(ends);
	memset(sent.text, 'x', sizeof(sent.text));
	assert_int_equal(thr_message_send(ends[0], &sent, NULL), 0);
	assert_int_equal(thr_message_receive(ends[1], &got, NULL), 1);
	assert_int_equal(strlen(got.text), sizeof(got.text) - 1);
	close_pair(ends);
}

static void the_end_of_the_channel_is_told(void **state)
{
	const struct thr_message sent = {.kind = THR_MESSAGE_DRAIN};
	struct thr_message got;
	int ends[2];

	(void)state;
	open_pair(ends);
	assert_int_equal(thr_message_send(ends[0], &sent, NULL), 0);
	close(ends[0]);
	assert_int_equal(thr_message_receive(ends[1], &got, NULL), 1);
	assert_int_equal(got.kind, THR_MESSAGE_DRAIN);
	assert_int_equal(thr_message_receive(ends[1], &got, NULL), -EPIPE);
	assert_int_equal(thr_message_send(ends[1], &sent, NULL), -EPIPE);
	close(ends[1]);
}

static void a_sender_never_waits_for_one_who_does_not_read(void **state)
{
	const struct thr_message sent = {.kind = THR_MESSAGE_DRAIN};
	int ends[2], r = 0, count = 0;

	(void)state;
	open_pair(ends);
	while (!r && count < 100000) {
		r = thr_message_send(ends[0], &sent, NULL);
		count++;
	}
	assert_int_equal(r, -EAGAIN);
	assert_true(count > 64);
	close_pair(ends);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_arrives_as_it_was_sent),
		cmocka_unit_test(descriptors_arrive_in_their_places),
		cmocka_unit_test(descriptors_that_nobody_asked_for_are_dropped),
		cmocka_unit_test(descriptors_for_which_there_is_no_room_are_said_to_be_missing),
		cmocka_unit_test(what_is_not_a_message_is_refused),
		cmocka_unit_test(descriptors_that_are_not_those_it_says_are_refused),
		cmocka_unit_test(a_text_without_an_end_gets_one),
		cmocka_unit_test(the_end_of_the_channel_is_told),
		cmocka_unit_test(a_sender_never_waits_for_one_who_does_not_read),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
