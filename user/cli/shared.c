/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What several commands do the same way; see command.h. */
#include "cli/command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/instance.h"
#include "control/lock.h"
#include "control/tables.h"
#include "core/cleanup.h"

extern char **environ;

static void say_warning(const char *file, const char *text)
{
	fprintf(stderr, "%s: warning: %s\n", file, text);
}

int thr_cli_load(const struct thr_arguments *arguments, bool needs_xdp,
		 struct thr_config **ret_config, struct thr_error *error)
{
	const char *file = arguments->value[THR_OPT_CONFIG];
	struct thr_config *config;
	int result = thr_config_load(file, environ, &config, error);

	if (result)
		return result;
	if (needs_xdp && !config->xdp.present) {
		thr_config_free(config);
		return thr_fail(error, EINVAL,
				"%s: there is no xdp section, so there is nothing for the packet "
				"layer",
				file);
	}
	if (!needs_xdp)
		thr_config_warn(config, file, say_warning);
	*ret_config = config;
	return 0;
}

void thr_cli_say_live(const struct thr_arguments *arguments, const struct thr_tables *tables)
{
	printf("%s: live, action %s (services: %zu, source prefixes: %zu)\n",
	       arguments->value[THR_OPT_CONFIG],
	       tables->action == THR_ACTION_MONITOR ? "monitor: drops nothing" : "enforce",
	       tables->service_count, tables->source_count);
}

void thr_cli_say_notices(const struct thr_notices *notices)
{
	for (size_t i = 0; i < notices->count; i++)
		fprintf(stderr, "xdp-throttle: %s: %s\n",
			notices->items[i].is_warning ? "warning" : "note", notices->items[i].text);
}

int thr_cli_prefix(const char *text, struct thr_prefix *ret_prefix, struct thr_error *error)
{
	char right[THR_PREFIX_TEXT];
	const char *why = "";
	int result = thr_prefix_parse(text, ret_prefix, &why);

	if (!result)
		return 0;
	if (result == -EADDRNOTAVAIL) {
		thr_prefix_format(ret_prefix, right);
		return thr_fail(error, EINVAL, "%s: host bits are set: write %s", text, right);
	}
	return thr_fail(error, EINVAL, "%s: %s", text, why);
}

int thr_cli_with_instance(const struct thr_arguments *arguments, thr_cli_work work, void *context,
			  struct thr_error *error)
{
	struct thr_instances instances = {};
	struct thr_instance *instance;
	AUTO_CLOSE int lock = thr_lock(error);
	int result = lock < 0 ? lock : thr_instances_find(&instances, error);

	if (!result)
		result = thr_instance_choose(&instances, arguments->value[THR_OPT_DEV], &instance,
					     error);
	if (!result)
		result = work(instance, context, error);
	thr_instances_clear(&instances);
	return result;
}

struct edit {
	thr_cli_change change;
	void *context;
};

static int edit_tables(struct thr_instance *instance, void *context, struct thr_error *error)
{
	const struct edit *edit = context;
	struct thr_tables tables = {};
	struct thr_notices notices = {};
	int result = thr_tables_read(instance, &tables, error);

	if (!result)
		result = edit->change(&tables, edit->context, error);
	if (!result) {
		if (tables.action == THR_ACTION_OFF)
			tables.action = THR_ACTION_ENFORCE;
		result = thr_tables_write(instance, &tables, &notices, error);
	}
	if (!result)
		thr_cli_say_notices(&notices);
	thr_tables_clear(&tables);
	return result;
}

int thr_cli_edit(const struct thr_arguments *arguments, thr_cli_change change, void *context,
		 struct thr_error *error)
{
	struct edit edit = {.change = change, .context = context};

	return thr_cli_with_instance(arguments, edit_tables, &edit, error);
}

static int read_tables(struct thr_instance *instance, void *context, struct thr_error *error)
{
	return thr_tables_read(instance, context, error);
}

int thr_cli_read(const struct thr_arguments *arguments, struct thr_tables *ret_tables,
		 struct thr_error *error)
{
	return thr_cli_with_instance(arguments, read_tables, ret_tables, error);
}
