/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See lock.h. */
#include "control/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#include "core/cleanup.h"

#define LOCK_FILE "/run/xdp-throttle.lock"

int thr_lock(struct thr_error *error)
{
	AUTO_CLOSE int fd = open(LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return thr_fail(error, errno, "%s cannot be opened: %s", LOCK_FILE,
				errno == EACCES ? "xdp-throttle needs root" : strerror(errno));
	while (flock(fd, LOCK_EX))
		if (errno != EINTR)
			return thr_fail(error, errno, "%s cannot be locked: %s", LOCK_FILE,
					strerror(errno));
	return TAKE_FD(fd);
}
