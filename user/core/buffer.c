/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Growing by doubling, from what most heads need; see buffer.h. */
#include "core/buffer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_ROOM 1024

int thr_buffer_reserve(struct thr_buffer *buffer, size_t size)
{
	size_t length = thr_buffer_length(buffer), room = LEAST_ROOM;
	char *bytes;

	if (buffer->room - buffer->end >= size)
		return 0;
	if (buffer->room - length >= size) {
		memmove(buffer->at, thr_buffer_bytes(buffer), length);
	} else {
		while (room < length + size)
			room *= 2;
		bytes = malloc(room);
		if (!bytes)
			return -ENOMEM;
		if (length)
			memcpy(bytes, thr_buffer_bytes(buffer), length);
		free(buffer->at);
		buffer->at = bytes;
		buffer->room = room;
	}
	buffer->start = 0;
	buffer->end = length;
	return 0;
}

int thr_buffer_append(struct thr_buffer *buffer, const void *bytes, size_t size)
{
	if (!size)
		return 0;
	if (thr_buffer_reserve(buffer, size) < 0)
		return -ENOMEM;
	memcpy(buffer->at + buffer->end, bytes, size);
	buffer->end += size;
	return 0;
}

int thr_buffer_append_rest(struct thr_buffer *buffer, const struct iovec *piece, size_t count,
			   size_t skip)
{
	for (size_t i = 0; i < count; i++) {
		size_t passed = skip < piece[i].iov_len ? skip : piece[i].iov_len;

		skip -= passed;
		if (thr_buffer_append(buffer, (const char *)piece[i].iov_base + passed,
				      piece[i].iov_len - passed) < 0)
			return -ENOMEM;
	}
	return 0;
}

void thr_buffer_consume(struct thr_buffer *buffer, size_t size)
{
	buffer->start += size;
	if (buffer->start == buffer->end)
		thr_buffer_clear(buffer);
}

void thr_buffer_clear(struct thr_buffer *buffer)
{
	free(buffer->at);
	*buffer = (struct thr_buffer){0};
}
