/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `check`: validate a configuration, touching nothing. */
#include "cli/command.h"

#include <stdio.h>

/* Of limits that are shared, or could be meant to be. */
static bool is_store_of_interest(const struct thr_config *config)
{
	return config->api.present || config->store.backend == THR_BACKEND_REDIS ||
	       config->store.redis.present;
}

int thr_cmd_check(const struct thr_arguments *arguments, struct thr_error *error)
{
	char store[THR_STORE_NAME];
	struct thr_config *config;
	int result = thr_cli_load(arguments, false, &config, error);

	if (result)
		return result;
	thr_config_name_store(config, store);
	printf("%s: valid (routes: %zu, services: %zu, source prefixes: %zu%s%s)\n",
	       arguments->value[THR_OPT_CONFIG], config->route_count,
	       config->xdp.tables.service_count, config->xdp.tables.source_count,
	       is_store_of_interest(config) ? ", store: " : "",
	       is_store_of_interest(config) ? store : "");
	thr_config_free(config);
	return 0;
}
