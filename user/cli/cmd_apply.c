/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `apply`: replace the live tables by a file's. */
#include "cli/command.h"

#include "control/challenge.h"
#include "control/tables.h"

static int write_tables(struct thr_instance *instance, void *context, struct thr_error *error)
{
	struct thr_notices notices = {};
	int result = thr_tables_write(instance, context, &notices, error);

	if (!result) {
		thr_challenge_check_links(instance, &notices);
		thr_cli_say_notices(&notices);
	}
	return result;
}

int thr_cmd_apply(const struct thr_arguments *arguments, struct thr_error *error)
{
	struct thr_config *config;
	int result = thr_cli_load(arguments, true, &config, error);

	if (result)
		return result;
	result = thr_cli_with_instance(arguments, write_tables, &config->xdp.tables, error);
	if (!result)
		thr_cli_say_live(arguments, &config->xdp.tables);
	thr_config_free(config);
	return result;
}
