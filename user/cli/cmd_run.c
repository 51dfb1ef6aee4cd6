/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `run`: the proxy and the packet layer in the foreground. */
#include "cli/command.h"

#include "daemon/daemon.h"

int thr_cmd_run(const struct thr_arguments *arguments, struct thr_error *error)
{
	const char *file = arguments->value[THR_OPT_CONFIG];

	return thr_daemon_run(file ? file : THR_DAEMON_FILE, error);
}
