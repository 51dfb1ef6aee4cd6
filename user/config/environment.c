/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Settings from the environment: XDP_THROTTLE_ and the path of a scalar in
 * capitals, joined by '_'. They are put into the tree before it is read, so that
 * what they say is checked with all the rest and by the same code.
 */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/schema.h"
#include "core/suggest.h"

#define PREFIX "XDP_THROTTLE_"
#define NAME_SIZE 96
#define DEPTH_MAX 4
#define SETTINGS_MAX 96

/* A field that a variable can name. */
struct setting {
	char name[NAME_SIZE];
	const struct thr_field *path[DEPTH_MAX]; /* from the root */
	size_t depth;
};

struct settings {
	struct setting at[SETTINGS_MAX];
	size_t count;
};

/* Append "KEY" in capitals, after a '_' where the name does not end in one. */
static void extend_name(char name[static NAME_SIZE], const char *key)
{
	size_t used = strlen(name);

	assert(used + strlen(key) + 1 < NAME_SIZE);
	if (name[used - 1] != '_')
		name[used++] = '_';
	for (; *key; key++)
		name[used++] = (char)toupper((unsigned char)*key);
	name[used] = '\0';
}

/* List what can be named in `section`, which is at the path of `around`. Lists
 * are in it too, to be refused in their own words. */
static void list_settings(struct settings *settings, const struct thr_section *section,
			  const struct setting *around)
{
	for (size_t i = 0; i < section->field_count; i++) {
		const struct thr_field *field = &section->fields[i];
		struct setting setting = *around;

		assert(setting.depth < DEPTH_MAX && settings->count < SETTINGS_MAX);
		extend_name(setting.name, field->key);
		setting.path[setting.depth++] = field;
		if (field->type == THR_TYPE_MAP)
			list_settings(settings, field->section, &setting);
		else
			settings->at[settings->count++] = setting;
	}
}

/* Whether `name` is `full` with some of its words left out. */
static bool leaves_words_out(const char *name, const char *full)
{
	while (*name && *full) {
		size_t length = strcspn(name, "_"), of_full = strcspn(full, "_");

		if (length == of_full && memcmp(name, full, length) == 0)
			name += length + (name[length] == '_');
		full += of_full + (full[of_full] == '_');
	}
	return !*name;
}

/* The shortest setting of which the words of `name` are a part: REDIS_URL is
 * STORE_REDIS_URL, API_TOKEN is API_TOKEN_FILE. NULL: none. */
static const char *complete_name(const struct settings *settings, const char *name)
{
	const char *shortest = NULL;

	for (size_t i = 0; i < settings->count && name[strlen(PREFIX)]; i++) {
		const char *full = settings->at[i].name;

		if (leaves_words_out(name, full) && (!shortest || strlen(full) < strlen(shortest)))
			shortest = full;
	}
	return shortest;
}

static int refuse_name(const struct thr_reader *reader, const char *name,
		       const struct settings *settings)
{
	struct thr_suggestion suggestion = {.wanted = name};
	char shown[NAME_SIZE];
	struct thr_node node = {.variable = shown};
	const char *nearest;
	size_t length = 0;

	for (; length < sizeof(shown) - 1 && name[length]; length++)
		shown[length] = name[length] > ' ' && name[length] <= '~' ? name[length] : '?';
	shown[length] = '\0';
	for (size_t i = 0; i < settings->count; i++)
		thr_suggestion_offer(&suggestion, settings->at[i].name);
	nearest = suggestion.nearest ? suggestion.nearest : complete_name(settings, name);
	if (nearest)
		return thr_refuse(reader, &node, "no such setting: did you mean %s?", nearest);
	return thr_refuse(reader, &node,
			  "no such setting: write " PREFIX
			  "SECTION_KEY for a key of the configuration file");
}

/* The map or scalar `key` of `map`, made by the variable where there is none. */
static struct thr_node *child_of(struct thr_tree *tree, struct thr_node *map, const char *key,
				 const char *variable)
{
	struct thr_node *node = thr_node_find(map, key);

	if (node)
		return node;
	node = thr_tree_node(tree);
	if (!node)
		return NULL;
	node->key = key;
	node->kind = THR_NODE_MAP;
	node->variable = variable;
	node->next = map->first;
	map->first = node;
	map->count++;
	return node;
}

/* A rate per second takes the place of the file's rate per minute. */
static void remove_rival(struct thr_node *map, const char *rival)
{
	struct thr_node **link = &map->first;

	while (*link) {
		if (!(*link)->variable && strcmp((*link)->key, rival) == 0) {
			*link = (*link)->next;
			map->count--;
		} else {
			link = &(*link)->next;
		}
	}
}

static int set(const struct thr_reader *reader, struct thr_tree *tree,
	       const struct setting *setting, const char *value)
{
	const struct thr_field *field = setting->path[setting->depth - 1];
	const char *variable = thr_tree_text(tree, setting->name, strlen(setting->name));
	const char *text = thr_tree_text(tree, value, strlen(value));
	struct thr_node *node = tree->root;

	for (size_t i = 0; i < setting->depth && variable && text && node; i++) {
		/* What the file has in the place of a map is refused when it is read. */
		if (node->kind != THR_NODE_MAP)
			return 0;
		if (setting->path[i] == field && field->rival)
			remove_rival(node, field->rival);
		node = child_of(tree, node, setting->path[i]->key, variable);
	}
	if (!variable || !text || !node)
		return thr_refuse_memory(reader);
	node->kind = THR_NODE_SCALAR;
	node->first = NULL;
	node->count = 0;
	node->text = text;
	node->plain = true;
	node->variable = variable;
	return 0;
}

/* `name` is not terminated: it is `length` bytes of NAME=VALUE. */
static int apply(const struct thr_reader *reader, struct thr_tree *tree,
		 const struct settings *settings, const char *name, size_t length)
{
	const char *value = name + length + 1;

	for (size_t i = 0; i < settings->count; i++) {
		const struct setting *setting = &settings->at[i];
		struct thr_node node = {.variable = setting->name};

		if (strlen(setting->name) != length || memcmp(setting->name, name, length) != 0)
			continue;
		if (setting->path[setting->depth - 1]->type == THR_TYPE_LIST)
			return thr_refuse(reader, &node, "a list: write it in the file");
		if (strlen(value) > THR_SCALAR_MAX)
			return thr_refuse(reader, &node,
					  "a value of %zu bytes: at most %d are read",
					  strlen(value), THR_SCALAR_MAX);
		return set(reader, tree, setting, value);
	}
	name = thr_tree_text(tree, name, length);
	return name ? refuse_name(reader, name, settings) : thr_refuse_memory(reader);
}

int thr_environment_apply(const struct thr_reader *reader, char *const *environment,
			  struct thr_tree *tree)
{
	const struct setting root = {.name = PREFIX};
	struct settings settings;
	int r = 0;

	settings.count = 0;
	for (; r == 0 && environment && *environment; environment++) {
		const char *equals = strchr(*environment, '=');

		if (!equals || strncmp(*environment, PREFIX, strlen(PREFIX)) != 0)
			continue;
		if (!settings.count)
			list_settings(&settings, &thr_schema, &root);
		r = apply(reader, tree, &settings, *environment, (size_t)(equals - *environment));
	}
	return r;
}
