/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `detach`: take the throttle, and nothing else, off an interface. */
#include "cli/command.h"

#include <stdio.h>

#include "control/attach.h"
#include "control/lock.h"
#include "core/cleanup.h"

int thr_cmd_detach(const struct thr_arguments *arguments, struct thr_error *error)
{
	AUTO_CLOSE int lock = thr_lock(error);
	int result = lock < 0 ? lock : thr_detach(arguments->value[THR_OPT_DEV], error);

	if (!result)
		printf("%s: detached\n", arguments->value[THR_OPT_DEV]);
	return result;
}
