/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `allow`: the prefixes whose sources pass uncharged. */
#include "cli/sources.h"

int thr_cmd_allow_list(const struct thr_arguments *arguments, struct thr_error *error)
{
	return thr_cli_list_action(arguments, THR_SOURCE_ALLOW, error);
}

int thr_cmd_allow_add(const struct thr_arguments *arguments, struct thr_error *error)
{
	return thr_cli_add_action(arguments, THR_SOURCE_ALLOW, error);
}

int thr_cmd_allow_del(const struct thr_arguments *arguments, struct thr_error *error)
{
	return thr_cli_remove_source(arguments, THR_SOURCE_ALLOW, "allow prefix", error);
}
