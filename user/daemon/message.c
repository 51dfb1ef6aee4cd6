/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See message.h. */
#include "daemon/message.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

_Static_assert(sizeof(struct thr_message_change) < sizeof(((struct thr_message *)0)->text),
	       "the end of a text is not part of a change");

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * THR_MESSAGE_FDS)];
};

int thr_message_pair(int ret_ends[static 2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_ends)
		       ? -errno
		       : 0;
}

/* Returns which they are. */
static uint32_t put_descriptors(struct msghdr *header, union control *control, const int *fds)
{
	struct cmsghdr *item = &control->align;
	int sent[THR_MESSAGE_FDS];
	size_t count = 0;
	uint32_t bits = 0;

	for (int i = 0; i < THR_MESSAGE_FDS; i++) {
		if (fds[i] < 0)
			continue;
		sent[count++] = fds[i];
		bits |= UINT32_C(1) << i;
	}
	if (!count)
		return 0;
	item->cmsg_level = SOL_SOCKET;
	item->cmsg_type = SCM_RIGHTS;
	item->cmsg_len = CMSG_LEN(sizeof(int) * count);
	memcpy(CMSG_DATA(item), sent, sizeof(int) * count);
	header->msg_control = control;
	header->msg_controllen = CMSG_SPACE(sizeof(int) * count);
	return bits;
}

int thr_message_send(int channel, const struct thr_message *message, const int *fds)
{
	struct thr_message copy = *message;
	struct iovec bytes = {.iov_base = &copy, .iov_len = sizeof(copy)};
	struct msghdr header = {.msg_iov = &bytes, .msg_iovlen = 1};
	union control control = {0};

	copy.fds = fds ? put_descriptors(&header, &control, fds) : 0;
	while (sendmsg(channel, &header, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static void drop_descriptors(int *fds)
{
	for (int i = 0; i < THR_MESSAGE_FDS; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

/* As they came, without gaps; returns how many. */
static size_t take_descriptors(struct msghdr *header, int *ret_fds)
{
	size_t count = 0;

	for (struct cmsghdr *item = CMSG_FIRSTHDR(header); item; item = CMSG_NXTHDR(header, item))
		if (item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_RIGHTS) {
			count = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			memcpy(ret_fds, CMSG_DATA(item), count * sizeof(int));
		}
	return count;
}

/* Each to its place. Returns whether they are those that `bits` says. */
static bool place_descriptors(uint32_t bits, size_t count, int *fds)
{
	if (bits >> THR_MESSAGE_FDS || (size_t)__builtin_popcount(bits) != count)
		return false;
	for (int i = THR_MESSAGE_FDS - 1; i >= 0; i--) {
		int fd = bits & UINT32_C(1) << i ? fds[--count] : -1;

		fds[i] = fd;
	}
	return true;
}

int thr_message_receive(int channel, struct thr_message *ret_message, int *ret_fds)
{
	struct thr_message message;
	struct iovec bytes = {.iov_base = &message, .iov_len = sizeof(message)};
	struct msghdr header = {.msg_iov = &bytes, .msg_iovlen = 1};
	int fds[THR_MESSAGE_FDS];
	union control control;
	size_t count;
	ssize_t got;

	memset(fds, -1, sizeof(fds));
	if (ret_fds) {
		header.msg_control = &control;
		header.msg_controllen = sizeof(control);
	}
	do {
		got = recvmsg(channel, &header, MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN ? 0 : (errno == ECONNRESET ? -EPIPE : -errno);
	if (got == 0)
		return -EPIPE;
	count = take_descriptors(&header, fds);
	if (got != sizeof(message) || header.msg_flags & MSG_TRUNC) {
		drop_descriptors(fds);
		return -EPROTO;
	}
	if (ret_fds && header.msg_flags & MSG_CTRUNC) {
		drop_descriptors(fds);
		message.code = -EMFILE;
	} else if (ret_fds && !place_descriptors(message.fds, count, fds)) {
		drop_descriptors(fds);
		return -EPROTO;
	}
	message.text[sizeof(message.text) - 1] = '\0';
	*ret_message = message;
	if (ret_fds)
		memcpy(ret_fds, fds, sizeof(fds));
	return 1;
}
