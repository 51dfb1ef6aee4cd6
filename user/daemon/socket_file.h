/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A Unix socket that listens, and its file. The file stays when its process does not end
 * as it should, and then keeps the next one from binding: so a file that is a socket which
 * nobody answers is removed. Anything else at the path is left alone.
 *
 * Who may connect is said before anybody can: the file has its mode (0660) and its group
 * between bind() and listen().
 */
#ifndef THR_SOCKET_FILE_H
#define THR_SOCKET_FILE_H

#include <limits.h>
#include <sys/types.h>
#include <sys/un.h>

/* Which file it is: another one may come to be at the path. */
struct thr_socket_file {
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* "": none */
	dev_t device;
	ino_t inode;
};

/*
 * Bind and listen. `group` -1: that of this process. Returns 0 or a negative errno:
 * -EADDRINUSE when a process answers there, -EEXIST when something other than a socket
 * is there.
 */
int thr_socket_file_open(const char *path, gid_t group, int *ret_fd);

/* Note the file at `path`, which is a socket of ours. */
void thr_socket_file_note(const char *path, struct thr_socket_file *ret_file);

/* Remove it, if it is still there, and forget it. */
void thr_socket_file_remove(struct thr_socket_file *file);

#endif
