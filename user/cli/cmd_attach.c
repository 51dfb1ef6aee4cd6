/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `attach`: put the throttle on an interface, with the tables of a file or none. */
#include "cli/command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/attach.h"
#include "control/fallback.h"
#include "control/lock.h"
#include "core/cleanup.h"

static int parse_mode(const char *text, enum thr_xdp_mode *ret_mode, struct thr_error *error)
{
	for (int mode = THR_MODE_AUTO; mode <= THR_MODE_OFFLOAD; mode++) {
		if (strcmp(text, thr_mode_name(mode)) == 0) {
			*ret_mode = mode;
			return 0;
		}
	}
	return thr_fail(error, EINVAL, "--mode %s: write auto, native, generic or offload", text);
}

static void print_result(const char *device, const struct thr_attach_result *result)
{
	printf("%s: %s in %s mode, program %u%s\n", device,
	       result->was_attached ? "already attached" : "attached", thr_mode_name(result->mode),
	       result->program_id, result->joined ? ", behind libxdp's dispatcher" : "");
	if (result->replaced)
		printf("%s: program %u took the place of the older build %u; buckets and counters "
		       "stay\n",
		       device, result->program_id, result->replaced);
	if (result->native_error)
		printf("%s: generic because native mode was refused: %s\n", device,
		       thr_native_error_text(result->native_error));
}

int thr_cmd_attach(const struct thr_arguments *arguments, struct thr_error *error)
{
	struct thr_attach_request request = {.device = arguments->value[THR_OPT_DEV]};
	struct thr_attach_result attached;
	struct thr_config *config = NULL;
	AUTO_CLOSE int lock = -1;
	int result = 0;

	if (arguments->value[THR_OPT_CONFIG])
		result = thr_cli_load(arguments, true, &config, error);
	if (!result && config) {
		request.mode = config->xdp.mode;
		request.tables = &config->xdp.tables;
		request.sizes = &config->xdp.tables.sizes;
	}
	if (!result && arguments->value[THR_OPT_MODE])
		result = parse_mode(arguments->value[THR_OPT_MODE], &request.mode, error);
	if (!result)
		lock = thr_lock(error);
	if (!result)
		result = lock < 0 ? lock : thr_attach(&request, &attached, error);
	if (!result) {
		print_result(request.device, &attached);
		thr_cli_say_notices(&attached.notices);
	}
	if (!result && config)
		thr_cli_say_live(arguments, &config->xdp.tables);
	thr_config_free(config);
	return result;
}
