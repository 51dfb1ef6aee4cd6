/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See socket_file.h. */
#include "daemon/socket_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/cleanup.h"

/* Connections that wait to be accepted; net.core.somaxconn caps it. */
#define BACKLOG 4096

#define MODE 0660

static int new_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* One that does not accept has a full queue (EAGAIN), and is there. */
static bool is_answered(const struct sockaddr_un *address)
{
	AUTO_CLOSE int fd = new_socket();

	return fd < 0 || !connect(fd, (const struct sockaddr *)address, sizeof(*address)) ||
	       errno != ECONNREFUSED;
}

/* Returns 0 when there is no file, or none any more. */
static int clear_way(const struct sockaddr_un *address)
{
	struct stat status;

	if (lstat(address->sun_path, &status))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(status.st_mode))
		return -EEXIST;
	if (is_answered(address))
		return -EADDRINUSE;
	return unlink(address->sun_path) && errno != ENOENT ? -errno : 0;
}

static int admit(const char *path, gid_t group)
{
	if (group != (gid_t)-1 && lchown(path, (uid_t)-1, group))
		return -errno;
	return fchmodat(AT_FDCWD, path, MODE, AT_SYMLINK_NOFOLLOW) ? -errno : 0;
}

int thr_socket_file_open(const char *path, gid_t group, int *ret_fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	AUTO_CLOSE int fd = -1;
	int r;

	if ((size_t)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path) >=
	    sizeof(address.sun_path))
		return -ENAMETOOLONG;
	r = clear_way(&address);
	if (r)
		return r;
	fd = new_socket();
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)))
		return -errno;
	r = admit(path, group);
	if (!r && listen(fd, BACKLOG))
		r = -errno;
	if (r)
		unlink(path);
	else
		*ret_fd = TAKE_FD(fd);
	return r;
}

void thr_socket_file_note(const char *path, struct thr_socket_file *ret_file)
{
	struct stat status;

	ret_file->path[0] = '\0';
	if (lstat(path, &status))
		return;
	snprintf(ret_file->path, sizeof(ret_file->path), "%s", path);
	ret_file->device = status.st_dev;
	ret_file->inode = status.st_ino;
}

void thr_socket_file_remove(struct thr_socket_file *file)
{
	struct stat status;

	if (file->path[0] && !lstat(file->path, &status) && status.st_dev == file->device &&
	    status.st_ino == file->inode)
		unlink(file->path);
	file->path[0] = '\0';
}
