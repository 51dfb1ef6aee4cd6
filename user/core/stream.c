/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reads and writes, one system call each; see stream.h. */
#include "core/stream.h"

#include <errno.h>
#include <string.h>

#include "core/socket.h"

#define SMALL_BYTES 2048 /* in all, of pieces that are sent as one */

void thr_stream_heed(struct thr_stream *stream, uint32_t events)
{
	if (events & (EPOLLRDHUP | EPOLLHUP))
		stream->peer_closed = true;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))
		stream->readable = true;
	if (events & EPOLLOUT)
		stream->writable = true;
}

/* A few small pieces cost less to copy together than to pass on one by one. */
static ssize_t send_pieces(int fd, const struct iovec *piece, size_t count)
{
	struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)piece, .msg_iovlen = count};
	char whole[SMALL_BYTES];
	size_t length = 0;

	if (count == 1)
		return thr_send(fd, piece->iov_base, piece->iov_len);
	for (size_t i = 0; i < count; i++) {
		if (piece[i].iov_len > sizeof(whole) - length)
			return sendmsg(fd, &message, MSG_NOSIGNAL);
		memcpy(whole + length, piece[i].iov_base, piece[i].iov_len);
		length += piece[i].iov_len;
	}
	return thr_send(fd, whole, length);
}

int thr_stream_send(struct thr_stream *stream, const struct iovec *piece, size_t count)
{
	ssize_t sent = 0;

	if (!count)
		return 0;
	if (stream->writable && !thr_buffer_length(&stream->out)) {
		sent = send_pieces(stream->io.fd, piece, count);
		if (sent < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		stream->writable = sent >= 0 || errno == EINTR;
		sent = sent < 0 ? 0 : sent;
		stream->sent += (uint64_t)sent;
		stream->moved = true;
	}
	return thr_buffer_append_rest(&stream->out, piece, count, (size_t)sent);
}

int thr_stream_flush(struct thr_stream *stream)
{
	size_t length = thr_buffer_length(&stream->out);
	ssize_t sent;

	if (!length || !stream->writable)
		return 0;
	sent = thr_send(stream->io.fd, thr_buffer_bytes(&stream->out), length);
	if (sent < 0 && errno == EINTR)
		return 1;
	if (sent < 0 && errno == EAGAIN) {
		stream->writable = false;
		return 0;
	}
	if (sent < 0)
		return -errno;
	stream->sent += (uint64_t)sent;
	stream->moved = true;
	thr_buffer_consume(&stream->out, (size_t)sent);
	return 1;
}

size_t thr_stream_read(struct thr_stream *stream, char *at, size_t most)
{
	ssize_t got = thr_recv(stream->io.fd, at, most);

	if (got < 0 && errno == EINTR)
		return 0;
	if (got < 0 && errno == EAGAIN) {
		stream->readable = false;
		return 0;
	}
	if (got <= 0) {
		stream->readable = false;
		stream->eof = true;
		return 0;
	}
	/* A short read has emptied the socket, but for an end that follows it. */
	if ((size_t)got < most && !stream->peer_closed)
		stream->readable = false;
	stream->moved = true;
	return (size_t)got;
}

ssize_t thr_stream_gather(struct thr_stream *stream, char *scratch, size_t most, char **ret_at)
{
	size_t got;

	if (!stream->in_is_new) {
		got = stream->readable ? thr_stream_read(stream, scratch, most) : 0;
		*ret_at = scratch;
		if (!got || !thr_buffer_length(&stream->in))
			return (ssize_t)got;
		if (thr_buffer_append(&stream->in, scratch, got) < 0)
			return -ENOMEM;
	}
	stream->in_is_new = false;
	*ret_at = thr_buffer_bytes(&stream->in);
	return (ssize_t)thr_buffer_length(&stream->in);
}

int thr_stream_keep(struct thr_stream *stream, const char *at, size_t length, size_t used)
{
	int r = 0;

	if (thr_buffer_length(&stream->in))
		thr_buffer_consume(&stream->in, used);
	else
		r = thr_buffer_append(&stream->in, at + used, length - used);
	stream->in_is_new = used && thr_buffer_length(&stream->in);
	return r;
}
