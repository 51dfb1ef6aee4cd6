/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See sources.h. */
#include "cli/sources.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *action_name(enum thr_source_action action)
{
	static const char *const names[] = {"limit", "allow", "deny"};

	return names[action];
}

const char *thr_kind_name(enum thr_kind kind)
{
	static const char *const names[] = {"connections", "packets", "bytes"};

	return names[kind];
}

void thr_source_describe(const struct thr_source_config *source, char text[static THR_SOURCE_TEXT])
{
	size_t used = 0;

	if (source->action != THR_SOURCE_LIMIT) {
		snprintf(text, THR_SOURCE_TEXT, "%s", action_name(source->action));
		return;
	}
	for (int kind = 0; kind < THR_KINDS; kind++) {
		const struct thr_rate *limit = &source->limits.kind[kind];
		char rate[THR_RATE_TEXT], burst[THR_RATE_TEXT];

		if (!limit->count)
			continue;
		thr_rate_format(limit, rate);
		thr_count_format(limit->burst, burst);
		used += (size_t)snprintf(text + used, THR_SOURCE_TEXT - used, "%s%s %s burst %s",
					 used ? ", " : "", thr_kind_name(kind), rate, burst);
	}
	if (source->shared)
		snprintf(text + used, THR_SOURCE_TEXT - used, ", shared");
}

/* --- put --- */

struct put {
	const struct thr_source_config *source;
	char before[THR_SOURCE_TEXT];	 /* empty: there was no entry */
	struct thr_source_config around; /* allow or deny prefix that decides first */
	enum thr_action action;		 /* of the tables */
};

/* The most specific allow or deny prefix around the entry, which decides before
 * any limit does. */
static void find_decision(const struct thr_tables *tables, struct put *put)
{
	for (size_t i = 0; i < tables->source_count; i++) {
		const struct thr_source_config *other = &tables->sources[i];

		if (other->action != THR_SOURCE_LIMIT &&
		    thr_prefix_compare(&other->prefix, &put->source->prefix) != 0 &&
		    thr_prefix_holds(&other->prefix, &put->source->prefix))
			put->around = *other;
	}
}

static int put_source(struct thr_tables *tables, void *context, struct thr_error *error)
{
	struct put *put = context;
	const struct thr_source_config *before =
		thr_tables_find_source(tables, &put->source->prefix);

	put->action = tables->action;
	if (before)
		thr_source_describe(before, put->before);
	if (put->source->action == THR_SOURCE_LIMIT)
		find_decision(tables, put);
	if (!before && tables->source_count == THR_SOURCES_MAX)
		return thr_fail(error, ENOSPC, "there are %u source prefixes already, the most",
				THR_SOURCES_MAX);
	if (thr_tables_set_source(tables, put->source))
		return thr_fail(error, ENOMEM, "out of memory");
	return 0;
}

int thr_cli_put_source(const struct thr_arguments *arguments,
		       const struct thr_source_config *source, struct thr_error *error)
{
	struct put put = {.source = source};
	char prefix[THR_PREFIX_TEXT], around[THR_PREFIX_TEXT], text[THR_SOURCE_TEXT];
	int result = thr_cli_edit(arguments, put_source, &put, error);

	if (result)
		return result;
	thr_prefix_format(&source->prefix, prefix);
	thr_source_describe(source, text);
	printf("%s: %s%s%s%s\n", prefix, text, put.before[0] ? " (was: " : "", put.before,
	       put.before[0] ? ")" : "");
	if (put.action == THR_ACTION_MONITOR)
		fprintf(stderr, "%s: note: the action is monitor, so nothing is dropped\n", prefix);
	if (put.around.action != THR_SOURCE_LIMIT) {
		thr_prefix_format(&put.around.prefix, around);
		fprintf(stderr,
			"%s: note: it lies in the %s prefix %s, which decides before any limit\n",
			prefix, action_name(put.around.action), around);
	}
	return 0;
}

/* --- remove --- */

struct removal {
	struct thr_prefix prefix;
	enum thr_source_action action;
	const char *noun;
};

static int remove_source(struct thr_tables *tables, void *context, struct thr_error *error)
{
	const struct removal *removal = context;
	struct thr_source_config *source = thr_tables_find_source(tables, &removal->prefix);
	char prefix[THR_PREFIX_TEXT], text[THR_SOURCE_TEXT];

	thr_prefix_format(&removal->prefix, prefix);
	if (!source)
		return thr_fail(error, ENOENT, "%s: there is no such entry", prefix);
	if (source->action != removal->action) {
		thr_source_describe(source, text);
		return thr_fail(error, ENOENT, "%s: there is no %s; the entry says: %s", prefix,
				removal->noun, text);
	}
	thr_tables_remove_source(tables, source);
	return 0;
}

int thr_cli_remove_source(const struct thr_arguments *arguments, enum thr_source_action action,
			  const char *noun, struct thr_error *error)
{
	struct removal removal = {.action = action, .noun = noun};
	char prefix[THR_PREFIX_TEXT];
	int result = thr_cli_prefix(arguments->operand, &removal.prefix, error);

	if (!result)
		result = thr_cli_edit(arguments, remove_source, &removal, error);
	if (result)
		return result;
	thr_prefix_format(&removal.prefix, prefix);
	printf("%s: %s removed\n", prefix, noun);
	return 0;
}

/* --- allow and deny --- */

int thr_cli_add_action(const struct thr_arguments *arguments, enum thr_source_action action,
		       struct thr_error *error)
{
	struct thr_source_config source = {.action = action};
	int result = thr_cli_prefix(arguments->operand, &source.prefix, error);

	return result ? result : thr_cli_put_source(arguments, &source, error);
}

int thr_cli_list_action(const struct thr_arguments *arguments, enum thr_source_action action,
			struct thr_error *error)
{
	struct thr_tables tables;
	json_t *list = NULL;
	int result = thr_cli_read(arguments, &tables, error);

	if (result)
		return result;
	if (arguments->value[THR_OPT_JSON])
		list = json_array();
	for (size_t i = 0; i < tables.source_count; i++) {
		char prefix[THR_PREFIX_TEXT];

		if (tables.sources[i].action != action)
			continue;
		thr_prefix_format(&tables.sources[i].prefix, prefix);
		if (list)
			json_array_append_new(list, json_string(prefix));
		else
			printf("%s\n", prefix);
	}
	thr_tables_clear(&tables);
	if (arguments->value[THR_OPT_JSON])
		result = thr_cli_print_json(json_pack("{s:o}", action_name(action), list), error);
	return result;
}

int thr_cli_print_json(json_t *json, struct thr_error *error)
{
	if (!json)
		return thr_fail(error, ENOMEM, "out of memory");
	if (json_dumpf(json, stdout, JSON_COMPACT) || putchar('\n') == EOF) {
		json_decref(json);
		return thr_fail(error, EIO, "standard output: %s", strerror(errno));
	}
	json_decref(json);
	return 0;
}
