/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `run`: the packet layer and the proxy in the foreground; see daemon.c. */
#ifndef THR_DAEMON_H
#define THR_DAEMON_H

#include "core/error.h"

#define THR_DAEMON_FILE "/etc/xdp-throttle.yaml"
#define THR_DAEMON_NO_FILE "/dev/null" /* the environment says all */

/* Run by the configuration at `path` until SIGTERM or SIGINT. Returns 0 after an
 * end that was asked for; or a negative errno when it could not start, with
 * `error` set and what it attached taken off again. */
int thr_daemon_run(const char *path, struct thr_error *error);

#endif
