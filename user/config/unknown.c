/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What to say of a key that is not one: it is misspelt, or stands in the wrong section, as
 * after a wrong indentation. The schema knows every place where a key of that name belongs.
 */
#include <stdio.h>
#include <string.h>

#include "config/schema.h"
#include "core/suggest.h"

#define AT_TOP " at the top level"
#define PATH_SIZE 64 /* the longest: xdp.services[].per_source.connections_per_second */
#define PLACE_SIZE (PATH_SIZE + sizeof(AT_TOP))
#define PLACES_MAX 3  /* of more, none is likely to be the one that was meant */
#define KEYS_SIZE 256 /* all of a section's, with commas */

/* Where the schema has a key: paths from the root, as the manual writes them. */
struct places {
	const char *key;
	char path[PLACES_MAX][PLACE_SIZE];
	size_t count; /* may be over PLACES_MAX */
};

static void add_place(struct places *places, const char *around, const char *path)
{
	size_t at = places->count++;

	if (at < PLACES_MAX)
		snprintf(places->path[at], PLACE_SIZE, "%s%s", path, *around ? "" : AT_TOP);
}

/* What is below a map, or below the items of a list of them; NULL: nothing. */
static const struct thr_section *section_below(const struct thr_field *field)
{
	return field->type == THR_TYPE_LIST ? field->list->item->section : field->section;
}

static void find_places(const struct thr_section *section, const char *around,
			struct places *places)
{
	for (size_t i = 0; i < section->field_count; i++) {
		const struct thr_field *field = &section->fields[i];
		const char *items = field->type == THR_TYPE_LIST ? "[]" : "";
		char path[PATH_SIZE];

		snprintf(path, sizeof(path), "%s%s%s", around, *around ? "." : "", field->key);
		if (strcmp(field->key, places->key) == 0)
			add_place(places, around, path);
		snprintf(path, sizeof(path), "%s%s%s%s", around, *around ? "." : "", field->key,
			 items);
		if (section_below(field))
			find_places(section_below(field), path, places);
	}
}

/* "A, B or C". */
static void list_places(const struct places *places, char *text, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < places->count && used < size; i++) {
		const char *glue = !i ? "" : i + 1 < places->count ? ", " : " or ";

		used += (size_t)snprintf(text + used, size - used, "%s%s", glue, places->path[i]);
	}
}

static void list_keys(const struct thr_section *section, char *text, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < section->field_count && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "",
					 section->fields[i].key);
}

/* A slip of one letter says more than that the key is one elsewhere; that it is says more
 * than any other likeness. */
int thr_refuse_unknown(const struct thr_reader *reader, const struct thr_section *section,
		       const struct thr_node *node)
{
	struct thr_suggestion suggestion = {.wanted = node->key};
	struct places places = {.key = node->key};
	const char *hint = section->hint ? section->hint(node->key) : NULL;
	char keys[KEYS_SIZE] = "", elsewhere[PLACES_MAX * PLACE_SIZE] = "";
	bool has_place;

	if (hint)
		return thr_refuse_key(reader, node, "unknown key %s: %s", QUOTE(node->key), hint);
	for (size_t i = 0; i < section->field_count; i++)
		thr_suggestion_offer(&suggestion, section->fields[i].key);
	find_places(&thr_schema, "", &places);
	has_place = places.count && places.count <= PLACES_MAX;
	if (suggestion.nearest && (suggestion.distance == 1 || !has_place))
		return thr_refuse_key(reader, node, "unknown key %s: did you mean '%s'?",
				      QUOTE(node->key), suggestion.nearest);
	list_keys(section, keys, sizeof(keys));
	if (!has_place)
		return thr_refuse_key(reader, node, "unknown key %s: write one of: %s",
				      QUOTE(node->key), keys);
	list_places(&places, elsewhere, sizeof(elsewhere));
	return thr_refuse_key(reader, node, "unknown key %s: write it as %s, or here one of: %s",
			      QUOTE(node->key), elsewhere, keys);
}
