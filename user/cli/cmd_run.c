/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `run`: the proxy and the packet layer in the foreground. */
#include "cli/command.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "daemon/daemon.h"

#define API_VARIABLE "XDP_THROTTLE_API_"

extern char **environ;

/* Of all that is served, the API alone can be turned on without a file. */
static bool environment_has_api(void)
{
	for (char **variable = environ; *variable; variable++)
		if (strncmp(*variable, API_VARIABLE, strlen(API_VARIABLE)) == 0)
			return true;
	return false;
}

/* The file is not looked for again by a reload: one that is lost must not leave the
 * environment alone in force. */
int thr_cmd_run(const struct thr_arguments *arguments, struct thr_error *error)
{
	const char *file = arguments->value[THR_OPT_CONFIG];

	if (file)
		return thr_daemon_run(file, error);
	if (!access(THR_DAEMON_FILE, F_OK) || errno != ENOENT)
		return thr_daemon_run(THR_DAEMON_FILE, error);
	if (environment_has_api())
		return thr_daemon_run(THR_DAEMON_NO_FILE, error);
	return thr_fail(error, ENOENT,
			"%s: %s: write it, name one with -c, or set XDP_THROTTLE_API_LISTEN for "
			"the check API alone",
			THR_DAEMON_FILE, strerror(ENOENT));
}
