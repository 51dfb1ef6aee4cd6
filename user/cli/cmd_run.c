/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `run`: the proxy and the packet layer in the foreground. */
#include "cli/command.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "daemon/daemon.h"

int thr_cmd_run(const struct thr_arguments *arguments, struct thr_error *error)
{
	const char *file = arguments->value[THR_OPT_CONFIG];

	if (!file && access(THR_DAEMON_FILE, F_OK) && errno == ENOENT)
		return thr_fail(error, ENOENT, "%s: %s: write it, or name one with -c",
				THR_DAEMON_FILE, strerror(ENOENT));
	return thr_daemon_run(file ? file : THR_DAEMON_FILE, error);
}
