/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `apply`: replace the live tables by a file's. */
#include "cli/command.h"

#include "control/instance.h"
#include "control/lock.h"
#include "control/tables.h"
#include "core/cleanup.h"

static int apply(const char *device, const struct thr_tables *tables, struct thr_error *error)
{
	struct thr_instances instances = {};
	struct thr_instance *instance;
	AUTO_CLOSE int lock = thr_lock(error);
	int result = lock < 0 ? lock : thr_instances_find(&instances, error);

	if (!result)
		result = thr_instance_choose(&instances, device, &instance, error);
	if (!result)
		result = thr_tables_write(instance, tables, error);
	thr_instances_clear(&instances);
	return result;
}

int thr_cmd_apply(const struct thr_arguments *arguments, struct thr_error *error)
{
	struct thr_config *config;
	int result = thr_cli_load(arguments, true, &config, error);

	if (result)
		return result;
	result = apply(arguments->value[THR_OPT_DEV], &config->xdp.tables, error);
	if (!result)
		thr_cli_say_live(arguments, &config->xdp.tables);
	thr_config_free(config);
	return result;
}
