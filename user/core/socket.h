/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * recv() and send() without a cancellation point. In a process with threads, as the
 * log makes one, libc's own mark the thread as cancelable and back around each call.
 * Returns and errno are those of the system calls.
 */
#ifndef THR_SOCKET_H
#define THR_SOCKET_H

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline ssize_t thr_recv(int fd, void *bytes, size_t size)
{
	return syscall(SYS_recvfrom, fd, bytes, size, 0, NULL, NULL);
}

static inline ssize_t thr_send(int fd, const void *bytes, size_t size)
{
	return syscall(SYS_sendto, fd, bytes, size, MSG_NOSIGNAL, NULL, 0);
}

#endif
