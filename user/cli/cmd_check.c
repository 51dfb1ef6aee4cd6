/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `check`: validate a configuration, touching nothing. */
#include "cli/command.h"

#include <stdio.h>

int thr_cmd_check(const struct thr_arguments *arguments, struct thr_error *error)
{
	struct thr_config *config;
	int result = thr_cli_load(arguments, false, &config, error);

	if (result)
		return result;
	printf("%s: valid (routes: %zu, services: %zu, source prefixes: %zu)\n",
	       arguments->value[THR_OPT_CONFIG], config->route_count,
	       config->xdp.tables.service_count, config->xdp.tables.source_count);
	thr_config_free(config);
	return 0;
}
