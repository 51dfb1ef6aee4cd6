/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The tree read by the schema. One function for each type of value; each says
 * what the value is and what would be right in its place.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/validate.h"
#include "core/duration.h"
#include "core/prefix.h"
#include "core/rate.h"

static int read_value(const struct thr_reader *reader, const struct thr_field *field,
		      const struct thr_node *node, void *into);

static void store(void *at, size_t size, uint64_t value)
{
	switch (size) {
	case 1:
		*(uint8_t *)at = (uint8_t)value;
		break;
	case 2:
		*(uint16_t *)at = (uint16_t)value;
		break;
	case 4:
		*(uint32_t *)at = (uint32_t)value;
		break;
	default:
		*(uint64_t *)at = value;
	}
}

static int refuse_quoted(const struct thr_reader *reader, const struct thr_field *field,
			 const struct thr_node *node)
{
	return thr_refuse(reader, node, "%s is the text %s: write it without quotes", field->key,
			  QUOTE(node->text));
}

static int read_integer(const struct thr_reader *reader, const struct thr_field *field,
			const struct thr_node *node, void *at)
{
	bool digits = !node->text[strspn(node->text, "0123456789")];
	uint64_t value;

	if (!node->plain)
		return refuse_quoted(reader, field, node);
	if (!digits || thr_count_parse(node->text, &value) < 0 || value < field->min ||
	    value > field->max)
		return thr_refuse(reader, node,
				  "%s is %s: write a whole number from %" PRIu64 " to %" PRIu64,
				  field->key, QUOTE(node->text), field->min, field->max);
	store(at, field->size, value);
	return 0;
}

static int read_count(const struct thr_reader *reader, const struct thr_field *field,
		      const struct thr_node *node, uint64_t *at)
{
	const uint64_t max = field->max ? field->max : THR_COUNT_MAX;
	uint64_t value;
	int r;

	if (!node->plain)
		return refuse_quoted(reader, field, node);
	r = thr_count_parse(node->text, &value);
	if (r == -EINVAL)
		return thr_refuse(reader, node, "%s is %s: write a whole number, such as 20 or 10k",
				  field->key, QUOTE(node->text));
	if (r == -ERANGE || value > max)
		return thr_refuse(reader, node, "%s is %s: write at most %" PRIu64, field->key,
				  QUOTE(node->text), max);
	if (value < field->min)
		return thr_refuse(reader, node, "%s is %s: write at least %" PRIu64, field->key,
				  QUOTE(node->text), field->min);
	if (!value && field->type == THR_TYPE_RATE)
		return thr_refuse(reader, node,
				  "%s is 0: write a rate of at least 1, or leave the limit out",
				  field->key);
	if (!value)
		return thr_refuse(reader, node, "%s is 0: write at least 1, or leave it out",
				  field->key);
	*at = value;
	return 0;
}

static int read_rate(const struct thr_reader *reader, const struct thr_field *field,
		     const struct thr_node *node, struct thr_rate *at)
{
	int r = read_count(reader, field, node, &at->count);

	if (r == 0)
		at->per_s = field->per_s;
	return r;
}

static int read_decimal(const struct thr_reader *reader, const struct thr_field *field,
			const struct thr_node *node, double *at)
{
	if (!node->plain)
		return refuse_quoted(reader, field, node);
	if (thr_decimal_parse(node->text, at) < 0)
		return thr_refuse(
			reader, node,
			"%s is %s: write a number over 0 of at most 15 digits, such as 10 "
			"or 0.5",
			field->key, QUOTE(node->text));
	return 0;
}

/* With quotes or without: to YAML it is text, unless it is a bare number. */
static int read_duration(const struct thr_reader *reader, const struct thr_field *field,
			 const struct thr_node *node, uint64_t *at)
{
	const uint64_t min = field->min ? field->min : 1;
	const uint64_t max = field->max ? field->max : THR_DURATION_MAX_MS;
	char least[THR_DURATION_TEXT], most[THR_DURATION_TEXT];
	uint64_t ms;

	if (thr_duration_parse(node->text, &ms) < 0 || ms < min || ms > max) {
		thr_duration_format(min, least);
		thr_duration_format(max, most);
		return thr_refuse(reader, node, "%s is %s: write a duration from %s to %s%s",
				  field->key, QUOTE(node->text), least, most,
				  field->max ? "" : ", such as 500ms, 10s or 5m");
	}
	*at = ms;
	return 0;
}

static int read_bool(const struct thr_reader *reader, const struct thr_field *field,
		     const struct thr_node *node, bool *at)
{
	bool yes = strcmp(node->text, "true") == 0;

	if (!node->plain)
		return refuse_quoted(reader, field, node);
	if (!yes && strcmp(node->text, "false") != 0)
		return thr_refuse(reader, node, "%s is %s: write true or false", field->key,
				  QUOTE(node->text));
	*at = yes;
	return 0;
}

static int read_word(const struct thr_reader *reader, const struct thr_field *field,
		     const struct thr_node *node, void *at)
{
	const struct thr_word *word;
	char words[128] = "";
	size_t used = 0;

	for (word = field->words; word->text; word++) {
		if (strcmp(word->text, node->text) == 0) {
			store(at, field->size, word->value);
			return 0;
		}
	}
	for (word = field->words; word->text && used < sizeof(words); word++) {
		const char *glue = word == field->words ? "" : word[1].text ? ", " : " or ";

		used += (size_t)snprintf(words + used, sizeof(words) - used, "%s%s", glue,
					 word->text);
	}
	return thr_refuse(reader, node, "%s is %s: write %s", field->key, QUOTE(node->text), words);
}

/* A URL may have a password in it, which no message shows. */
static int refuse_text(const struct thr_reader *reader, const struct thr_field *field,
		       const struct thr_node *node, const char *why)
{
	if (field->secret || strchr(node->text, '@'))
		return thr_refuse(reader, node, "%s: %s", field->key, why);
	return thr_refuse(reader, node, "%s is %s: %s", field->key, QUOTE(node->text), why);
}

static int read_text(const struct thr_reader *reader, const struct thr_field *field,
		     const struct thr_node *node, char **at)
{
	const char *why = field->fault(node->text);

	if (why)
		return refuse_text(reader, field, node, why);
	*at = strdup(node->text);
	return *at ? 0 : thr_refuse_memory(reader);
}

static int read_prefix(const struct thr_reader *reader, const struct thr_field *field,
		       const struct thr_node *node, struct thr_prefix *at)
{
	char right[THR_PREFIX_TEXT];
	struct thr_prefix prefix;
	const char *why;
	int r = thr_prefix_parse(node->text, &prefix, &why);

	if (r == -EADDRNOTAVAIL) {
		thr_prefix_format(&prefix, right);
		return thr_refuse(reader, node, "%s %s has host bits set: write %s", field->key,
				  QUOTE(node->text), right);
	}
	if (r < 0)
		return refuse_text(reader, field, node, why);
	*at = prefix;
	return 0;
}

static int read_target(const struct thr_reader *reader, const struct thr_field *field,
		       const struct thr_node *node, struct thr_target *at)
{
	const char *why;
	int r = thr_target_parse(node->text, at, &why);

	if (r == -ENOMEM)
		return thr_refuse_memory(reader);
	return r < 0 ? refuse_text(reader, field, node, why) : 0;
}

static int read_redis(const struct thr_reader *reader, const struct thr_field *field,
		      const struct thr_node *node, struct thr_redis_config *at)
{
	const char *why;
	int r = thr_redis_url_parse(node->text, at, &why);

	if (r == -ENOMEM)
		return thr_refuse_memory(reader);
	return r < 0 ? refuse_text(reader, field, node, why) : 0;
}

/* `pointer` is the member that the array hangs from, in the struct `into`. */
static int read_list(const struct thr_reader *reader, const struct thr_field *field,
		     const struct thr_node *node, void *into)
{
	const struct thr_list *list = field->list;
	const struct thr_node *child = list->single ? node : node->first;
	size_t count = list->single ? 1 : node->count;
	char *items;

	if (count < list->min_items)
		return thr_refuse(reader, node, "%s is an empty list: write at least one %s",
				  field->key, list->item->key);
	if (!count)
		return 0;
	items = calloc(count, list->item_size);
	if (!items)
		return thr_refuse_memory(reader);
	memcpy((char *)into + field->offset, &items, sizeof(items));
	*(size_t *)((char *)into + list->count_offset) = count;

	for (size_t i = 0; i < count; i++, child = child->next) {
		int r;

		if (list->max_items && i == list->max_items)
			return thr_refuse(reader, child, "more than %u %s: write fewer",
					  list->max_items, field->key);
		r = read_value(reader, list->item, child, items + i * list->item_size);
		if (r < 0)
			return r;
	}
	return list->finish ? list->finish(reader, node, into) : 0;
}

/* Refuse a value that is not of the kind that the field's type is written in. */
static int check_kind(const struct thr_reader *reader, const struct thr_field *field,
		      const struct thr_node *node)
{
	static const char *const found[] = {"a single value", "a list", "a mapping of keys"};
	static const char *const asked[] = {"a value", "a list", "keys below it"};
	enum thr_node_kind wanted = THR_NODE_SCALAR;

	if (field->type == THR_TYPE_MAP)
		wanted = THR_NODE_MAP;
	if (field->type == THR_TYPE_LIST && !field->list->single)
		wanted = THR_NODE_LIST;
	if (node->kind == THR_NODE_SCALAR && !node->text[0])
		return thr_refuse_key(reader, node, "%s is empty: write %s%s", field->key,
				      asked[wanted], field->required ? "" : ", or leave it out");
	if (node->kind != wanted)
		return thr_refuse(reader, node, "%s is %s: write %s", field->key, found[node->kind],
				  asked[wanted]);
	return 0;
}

static int read_value(const struct thr_reader *reader, const struct thr_field *field,
		      const struct thr_node *node, void *into)
{
	void *at = (char *)into + field->offset;
	int r = check_kind(reader, field, node);

	if (r < 0)
		return r;
	switch (field->type) {
	case THR_TYPE_INTEGER:
		return read_integer(reader, field, node, at);
	case THR_TYPE_COUNT:
		return read_count(reader, field, node, at);
	case THR_TYPE_RATE:
		return read_rate(reader, field, node, at);
	case THR_TYPE_DECIMAL:
		return read_decimal(reader, field, node, at);
	case THR_TYPE_DURATION:
		return read_duration(reader, field, node, at);
	case THR_TYPE_BOOL:
		return read_bool(reader, field, node, at);
	case THR_TYPE_WORD:
		return read_word(reader, field, node, at);
	case THR_TYPE_TEXT:
		return read_text(reader, field, node, at);
	case THR_TYPE_PREFIX:
		return read_prefix(reader, field, node, at);
	case THR_TYPE_TARGET:
		return read_target(reader, field, node, at);
	case THR_TYPE_REDIS:
		return read_redis(reader, field, node, at);
	case THR_TYPE_MAP:
		return thr_decode(reader, field->section, node, at);
	case THR_TYPE_LIST:
		return read_list(reader, field, node, into);
	}
	return 0;
}

const struct thr_field *thr_schema_find(const struct thr_section *section, const char *key)
{
	for (size_t i = 0; i < section->field_count; i++)
		if (strcmp(section->fields[i].key, key) == 0)
			return &section->fields[i];
	return NULL;
}

/* Refuse a key that was given before, or beside which another was. `seen` has
 * the node of each field of the section that came by. */
static int check_first(const struct thr_reader *reader, const struct thr_section *section,
		       const struct thr_field *field, const struct thr_node *node,
		       const struct thr_node *const *seen)
{
	const struct thr_node *before = seen[field - section->fields];
	const struct thr_field *rival;

	if (before)
		return thr_refuse_key(reader, node, "%s is given %s already: write it once",
				      field->key, ORIGIN(before));
	rival = field->rival ? thr_schema_find(section, field->rival) : NULL;
	before = rival ? seen[rival - section->fields] : NULL;
	if (before)
		return thr_refuse_key(reader, node, "%s beside %s, given %s: write one of them",
				      field->key, rival->key, ORIGIN(before));
	return 0;
}

int thr_decode(const struct thr_reader *reader, const struct thr_section *section,
	       const struct thr_node *map, void *into)
{
	struct thr_reader inner = {reader->name, section->name, reader->error};
	const struct thr_node *seen[THR_FIELDS_MAX] = {NULL};
	int r;

	assert(section->field_count <= THR_FIELDS_MAX);
	for (const struct thr_node *node = map->first; node; node = node->next) {
		const struct thr_field *field = thr_schema_find(section, node->key);

		if (!field)
			return thr_refuse_unknown(&inner, section, node);
		r = check_first(&inner, section, field, node, seen);
		if (r == 0)
			r = read_value(&inner, field, node, into);
		if (r < 0)
			return r;
		seen[field - section->fields] = node;
	}
	for (size_t i = 0; i < section->field_count; i++)
		if (section->fields[i].required && !seen[i])
			return thr_refuse_key(&inner, map, "no %s: write one",
					      section->fields[i].key);
	return section->finish ? section->finish(&inner, map, into) : 0;
}
