/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `deny`: the prefixes whose sources are refused. */
#include "cli/sources.h"

int thr_cmd_deny_list(const struct thr_arguments *arguments, struct thr_error *error)
{
	return thr_cli_list_action(arguments, THR_SOURCE_DENY, error);
}

int thr_cmd_deny_add(const struct thr_arguments *arguments, struct thr_error *error)
{
	return thr_cli_add_action(arguments, THR_SOURCE_DENY, error);
}

int thr_cmd_deny_del(const struct thr_arguments *arguments, struct thr_error *error)
{
	return thr_cli_remove_source(arguments, THR_SOURCE_DENY, "deny prefix", error);
}
