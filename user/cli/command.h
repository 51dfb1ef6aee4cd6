/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The commands as a table: what each takes, what `--help` says of it, and what
 * it does. The parser in table.c knows no command by name.
 */
#ifndef THR_COMMAND_H
#define THR_COMMAND_H

#include <stdbool.h>

#include "config/config.h"
#include "core/error.h"

enum thr_exit { THR_EXIT_DONE = 0, THR_EXIT_FAILED = 1, THR_EXIT_USAGE = 2 };

enum thr_option {
	THR_OPT_CONFIG,
	THR_OPT_DEV,
	THR_OPT_MODE,
	THR_OPT_JSON,
	THR_OPT_CONNECTIONS,
	THR_OPT_BURST,
	THR_OPT_PACKETS,
	THR_OPT_PACKET_BURST,
	THR_OPT_BYTES,
	THR_OPT_BYTE_BURST,
	THR_OPT_SHARED,
	THR_OPT_FOR,
	THR_OPTIONS
};
#define THR_OPT(name) (1u << THR_OPT_##name)

struct thr_arguments {
	const char *value[THR_OPTIONS]; /* NULL where not given; "" for a flag */
	const char *operand;		/* PREFIX, ADDRESS, or NULL */
};

struct thr_command {
	const char *name;    /* one or two words: "apply", "limit set" */
	const char *operand; /* "PREFIX" or "ADDRESS", or NULL where the command takes none */
	const char *summary;
	unsigned int options;  /* THR_OPT() that it takes */
	unsigned int required; /* of those, what it does not do without */
	/* Returns 0 or a negative errno with `error` set. */
	int (*run)(const struct thr_arguments *arguments, struct thr_error *error);
};

/* Find the command in argv, parse its arguments and run it. Prints errors to
 * standard error. Returns the exit status. */
int thr_cli_main(int argc, char **argv);

/* --- the commands, one cmd_<name>.c each --- */

int thr_cmd_run(const struct thr_arguments *arguments, struct thr_error *error);
int thr_cmd_check(const struct thr_arguments *arguments, struct thr_error *error);
int thr_cmd_attach(const struct thr_arguments *arguments, struct thr_error *error);
int thr_cmd_detach(const struct thr_arguments *arguments, struct thr_error *error);
int thr_cmd_apply(const struct thr_arguments *arguments, struct thr_error *error);
int thr_cmd_limit_list(const struct thr_arguments *arguments, struct thr_error *error);
int thr_cmd_limit_set(const struct thr_arguments *arguments, struct thr_error *error);
int thr_cmd_limit_del(const struct thr_arguments *arguments, struct thr_error *error);
int thr_cmd_allow_list(const struct thr_arguments *arguments, struct thr_error *error);
int thr_cmd_allow_add(const struct thr_arguments *arguments, struct thr_error *error);
int thr_cmd_allow_del(const struct thr_arguments *arguments, struct thr_error *error);
int thr_cmd_deny_list(const struct thr_arguments *arguments, struct thr_error *error);
int thr_cmd_deny_add(const struct thr_arguments *arguments, struct thr_error *error);
int thr_cmd_deny_del(const struct thr_arguments *arguments, struct thr_error *error);
int thr_cmd_block_list(const struct thr_arguments *arguments, struct thr_error *error);
int thr_cmd_block_add(const struct thr_arguments *arguments, struct thr_error *error);
int thr_cmd_block_del(const struct thr_arguments *arguments, struct thr_error *error);
int thr_cmd_status(const struct thr_arguments *arguments, struct thr_error *error);

/* --- what commands share --- */

/* Load the configuration of --config with the process's environment, and say on
 * standard error what of it this version does not enforce. With `needs_xdp`, one
 * without an xdp section is an error. */
int thr_cli_load(const struct thr_arguments *arguments, bool needs_xdp,
		 struct thr_config **ret_config, struct thr_error *error);

/* Say on standard output that the tables of the file at --config are live, and
 * what that means. */
void thr_cli_say_live(const struct thr_arguments *arguments, const struct thr_tables *tables);

/* Print what was done beside what was asked for, on standard error. */
struct thr_notices;
void thr_cli_say_notices(const struct thr_notices *notices);

/* Parse `text` as a prefix; errors name it. */
int thr_cli_prefix(const char *text, struct thr_prefix *ret_prefix, struct thr_error *error);

/*
 * Find the throttle that --dev names, under the lock, and do `work` with it. What
 * work reads stays true until it returns; the instance is closed after it.
 */
struct thr_instance;
typedef int (*thr_cli_work)(struct thr_instance *instance, void *context, struct thr_error *error);
int thr_cli_with_instance(const struct thr_arguments *arguments, thr_cli_work work, void *context,
			  struct thr_error *error);

/* Change the live tables: read them, let `change` edit them, and write them as a
 * whole. Where `change` fails nothing is written. */
typedef int (*thr_cli_change)(struct thr_tables *tables, void *context, struct thr_error *error);
int thr_cli_edit(const struct thr_arguments *arguments, thr_cli_change change, void *context,
		 struct thr_error *error);

/* Read the live tables, for thr_tables_clear(). */
int thr_cli_read(const struct thr_arguments *arguments, struct thr_tables *ret_tables,
		 struct thr_error *error);

#endif
