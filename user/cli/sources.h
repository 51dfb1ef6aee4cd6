/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Source prefixes on the command line: what limit, allow and deny share. */
#ifndef THR_CLI_SOURCES_H
#define THR_CLI_SOURCES_H

#include <jansson.h>

#include "cli/command.h"

/* What an entry says, as "connections 20/s burst 40, shared" or "allow". */
#define THR_SOURCE_TEXT 256
void thr_source_describe(const struct thr_source_config *source, char text[static THR_SOURCE_TEXT]);

/* Put `source` into the live tables and say on standard output what it now is
 * and what it was. */
int thr_cli_put_source(const struct thr_arguments *arguments,
		       const struct thr_source_config *source, struct thr_error *error);

/* Remove the entry of the operand, which must be of `action`; `noun` names that
 * in messages: "limit", "allow prefix". */
int thr_cli_remove_source(const struct thr_arguments *arguments, enum thr_source_action action,
			  const char *noun, struct thr_error *error);

/* `allow` and `deny`: list the prefixes of `action`, add the operand, remove it. */
int thr_cli_list_action(const struct thr_arguments *arguments, enum thr_source_action action,
			struct thr_error *error);
int thr_cli_add_action(const struct thr_arguments *arguments, enum thr_source_action action,
		       struct thr_error *error);

/* Print `json` and a newline, and release it. Returns 0 or a negative errno. */
int thr_cli_print_json(json_t *json, struct thr_error *error);

/* "connections", "packets", "bytes". */
const char *thr_kind_name(enum thr_kind kind);

#endif
