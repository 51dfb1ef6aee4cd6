/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `detach`: take the throttle, and nothing else, off an interface. */
#include "cli/command.h"

#include <stdio.h>

#include "control/attach.h"
#include "control/lock.h"
#include "core/cleanup.h"

int thr_cmd_detach(const struct thr_arguments *arguments, struct thr_error *error)
{
	struct thr_notices notices = {};
	AUTO_CLOSE int lock = thr_lock(error);
	int result = lock < 0 ? lock : thr_detach(arguments->value[THR_OPT_DEV], &notices, error);

	if (result)
		return result;
	printf("%s: detached\n", arguments->value[THR_OPT_DEV]);
	thr_cli_say_notices(&notices);
	return 0;
}
