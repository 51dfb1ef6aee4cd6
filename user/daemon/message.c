/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See message.h. */
#include "daemon/message.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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

static void put_descriptors(struct msghdr *header, union control *control, const int *fds)
{
	struct cmsghdr *item = &control->align;
	size_t count = 0;

	while (count < THR_MESSAGE_FDS && fds[count] >= 0)
		count++;
	if (!count)
		return;
	item->cmsg_level = SOL_SOCKET;
	item->cmsg_type = SCM_RIGHTS;
	item->cmsg_len = CMSG_LEN(sizeof(int) * count);
	memcpy(CMSG_DATA(item), fds, sizeof(int) * count);
	header->msg_control = control;
	header->msg_controllen = CMSG_SPACE(sizeof(int) * count);
}

int thr_message_send(int channel, const struct thr_message *message, const int *fds)
{
	struct iovec bytes = {.iov_base = (void *)message, .iov_len = sizeof(*message)};
	struct msghdr header = {.msg_iov = &bytes, .msg_iovlen = 1};
	union control control = {0};

	if (fds)
		put_descriptors(&header, &control, fds);
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

static void take_descriptors(struct msghdr *header, int *ret_fds)
{
	for (struct cmsghdr *item = CMSG_FIRSTHDR(header); item; item = CMSG_NXTHDR(header, item))
		if (item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_RIGHTS)
			memcpy(ret_fds, CMSG_DATA(item), item->cmsg_len - CMSG_LEN(0));
}

int thr_message_receive(int channel, struct thr_message *ret_message, int *ret_fds)
{
	struct thr_message message;
	struct iovec bytes = {.iov_base = &message, .iov_len = sizeof(message)};
	struct msghdr header = {.msg_iov = &bytes, .msg_iovlen = 1};
	int fds[THR_MESSAGE_FDS] = {-1, -1, -1};
	union control control;
	ssize_t got;

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
	take_descriptors(&header, fds);
	if (got != sizeof(message) || header.msg_flags & MSG_TRUNC) {
		drop_descriptors(fds);
		return -EPROTO;
	}
	if (ret_fds && header.msg_flags & MSG_CTRUNC) {
		drop_descriptors(fds);
		message.code = -EMFILE;
	}
	message.text[sizeof(message.text) - 1] = '\0';
	*ret_message = message;
	if (ret_fds)
		memcpy(ret_fds, fds, sizeof(fds));
	return 1;
}
