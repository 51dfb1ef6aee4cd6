/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From YAML to the tree of node.h, by libyaml's events.
 *
 * Accepts one document of mappings with text keys, sequences and scalars.
 * Rejects what a configuration needs no more than a surprise: aliases, anchors,
 * tags, several documents, text that is not UTF-8, NUL characters, and anything
 * past the limits of node.h.
 */
#include <assert.h>
#include <string.h>
#include <yaml.h>

#include "config/node.h"

#define BYTE_ORDER_MARK "\xef\xbb\xbf"

struct level {
	struct thr_node *node;
	struct thr_node **tail; /* where its next child goes */
};

struct builder {
	const struct thr_reader *reader;
	struct thr_tree *tree;
	struct level open[THR_DEPTH_MAX]; /* the maps and lists around the next value */
	size_t depth;
	const char *key; /* that waits for its value */
	struct thr_place key_place;
	bool ended; /* a document did */
};

static struct thr_place place_of(yaml_mark_t mark)
{
	return (struct thr_place){(uint32_t)mark.line + 1, (uint32_t)mark.column + 1};
}

/* The place of a byte, for what libyaml's decoder refuses before it counts lines. */
static struct thr_place place_of_byte(const char *text, size_t size, size_t offset)
{
	struct thr_place place = {1, 1};

	for (size_t i = 0; i < offset && i < size; i++) {
		bool crlf = text[i] == '\r' && i + 1 < size && text[i + 1] == '\n';

		if (text[i] == '\n' || (text[i] == '\r' && !crlf))
			place = (struct thr_place){place.line + 1, 1};
		else if (((unsigned char)text[i] & 0xc0) != 0x80)
			place.column++;
	}
	return place;
}

/* Whether the character that a mark stands before is a tab: the commonest
 * mistake, of which libyaml does not speak. */
static bool is_tab(const char *text, size_t size, yaml_mark_t mark)
{
	size_t i = 0, characters = 0;

	for (; i < size; i++)
		if (((unsigned char)text[i] & 0xc0) != 0x80 && characters++ == mark.index)
			break;
	return i < size && text[i] == '\t';
}

static int refuse_yaml(const struct thr_reader *reader, const yaml_parser_t *parser,
		       const char *text, size_t size)
{
	const char *problem = parser->problem ? parser->problem : "cannot be read";

	switch (parser->error) {
	case YAML_MEMORY_ERROR:
		return thr_refuse_memory(reader);
	case YAML_READER_ERROR:
		return thr_refuse_at(reader, place_of_byte(text, size, parser->problem_offset),
				     "not printable UTF-8 text: %s", problem);
	default:
		if (is_tab(text, size, parser->problem_mark))
			return thr_refuse_at(reader, place_of(parser->problem_mark),
					     "a tab: indent with spaces");
		return thr_refuse_at(reader, place_of(parser->problem_mark), "not YAML: %s%s%s",
				     problem, parser->context ? " " : "",
				     parser->context ? parser->context : "");
	}
}

static bool expects_key(const struct builder *builder)
{
	return builder->depth && !builder->key &&
	       builder->open[builder->depth - 1].node->kind == THR_NODE_MAP;
}

/* The event's text in the tree, or NULL with *ret_r set. */
static const char *take_text(struct builder *builder, const yaml_event_t *event, int *ret_r)
{
	const char *text = (const char *)event->data.scalar.value;
	size_t length = event->data.scalar.length;
	char *copy;

	if (length > THR_SCALAR_MAX) {
		*ret_r = thr_refuse_at(builder->reader, place_of(event->start_mark),
				       "a value of %zu bytes: at most %d are read", length,
				       THR_SCALAR_MAX);
		return NULL;
	}
	if (memchr(text, '\0', length)) {
		*ret_r = thr_refuse_at(builder->reader, place_of(event->start_mark),
				       "a value with a NUL character in it: write printable text");
		return NULL;
	}
	copy = thr_tree_text(builder->tree, text, length);
	if (!copy)
		*ret_r = thr_refuse_memory(builder->reader);
	return copy;
}

/* Append a value to the innermost open map or list; the first one is the root.
 * Returns its node, or NULL with *ret_r set. */
static struct thr_node *add(struct builder *builder, enum thr_node_kind kind,
			    const yaml_event_t *event, int *ret_r)
{
	struct thr_node *node = thr_tree_node(builder->tree);

	if (!node && builder->tree->node_count >= THR_NODES_MAX)
		*ret_r = thr_refuse_at(builder->reader, place_of(event->start_mark),
				       "more than %u values: write a smaller file", THR_NODES_MAX);
	else if (!node)
		*ret_r = thr_refuse_memory(builder->reader);
	if (!node)
		return NULL;
	node->kind = (uint8_t)kind;
	node->place = place_of(event->start_mark);
	node->key = builder->key;
	node->key_place = builder->key_place;
	builder->key = NULL;

	if (builder->depth) {
		struct level *around = &builder->open[builder->depth - 1];

		*around->tail = node;
		around->tail = &node->next;
		around->node->count++;
	} else {
		builder->tree->root = node;
	}
	return node;
}

static int on_scalar(struct builder *builder, const yaml_event_t *event)
{
	struct thr_node *node;
	const char *text;
	int r = 0;

	text = take_text(builder, event, &r);
	if (!text)
		return r;
	if (expects_key(builder)) {
		builder->key = text;
		builder->key_place = place_of(event->start_mark);
		return 0;
	}
	node = add(builder, THR_NODE_SCALAR, event, &r);
	if (!node)
		return r;
	node->text = text;
	node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	return 0;
}

static int on_open(struct builder *builder, enum thr_node_kind kind, const yaml_event_t *event)
{
	struct thr_node *node;
	int r = 0;

	if (expects_key(builder))
		return thr_refuse_at(builder->reader, place_of(event->start_mark),
				     "a key that is a mapping or a list: write plain text");
	if (builder->depth == THR_DEPTH_MAX)
		return thr_refuse_at(builder->reader, place_of(event->start_mark),
				     "nested deeper than %d levels", THR_DEPTH_MAX);
	node = add(builder, kind, event, &r);
	if (!node)
		return r;
	builder->open[builder->depth++] = (struct level){node, &node->first};
	return 0;
}

/* Anchors and tags can stand before any kind of value. */
static int refuse_ornaments(const struct thr_reader *reader, const yaml_event_t *event)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;

	switch (event->type) {
	case YAML_SCALAR_EVENT:
		anchor = event->data.scalar.anchor;
		tag = event->data.scalar.tag;
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = event->data.sequence_start.anchor;
		tag = event->data.sequence_start.tag;
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = event->data.mapping_start.anchor;
		tag = event->data.mapping_start.tag;
		break;
	default:
		break;
	}
	if (anchor)
		return thr_refuse_at(reader, place_of(event->start_mark),
				     "anchor %s: write the value out wherever it is needed",
				     QUOTE((const char *)anchor));
	if (tag)
		return thr_refuse_at(reader, place_of(event->start_mark),
				     "tag %s: write the value without it",
				     QUOTE((const char *)tag));
	return 0;
}

static int on_event(struct builder *builder, const yaml_event_t *event)
{
	int r = refuse_ornaments(builder->reader, event);

	if (r < 0)
		return r;
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (builder->ended)
			return thr_refuse_at(builder->reader, place_of(event->start_mark),
					     "a second document: write one only");
		return 0;
	case YAML_DOCUMENT_END_EVENT:
		builder->ended = true;
		return 0;
	case YAML_ALIAS_EVENT:
		return thr_refuse_at(builder->reader, place_of(event->start_mark),
				     "alias %s: write the value out",
				     QUOTE((const char *)event->data.alias.anchor));
	case YAML_SCALAR_EVENT:
		return on_scalar(builder, event);
	case YAML_SEQUENCE_START_EVENT:
		return on_open(builder, THR_NODE_LIST, event);
	case YAML_MAPPING_START_EVENT:
		return on_open(builder, THR_NODE_MAP, event);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		assert(builder->depth); /* libyaml pairs its events */
		builder->depth--;
		return 0;
	default:
		return 0;
	}
}

int thr_tree_load(const struct thr_reader *reader, const char *text, size_t size,
		  struct thr_tree *tree)
{
	struct builder builder = {.reader = reader, .tree = tree};
	yaml_parser_t parser;
	bool ended = false;
	int r = 0;

	/* libyaml takes a byte order mark for a column, so that a directive after it
	 * is not at the start of its line. */
	if (size >= strlen(BYTE_ORDER_MARK) &&
	    memcmp(text, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) == 0) {
		text += strlen(BYTE_ORDER_MARK);
		size -= strlen(BYTE_ORDER_MARK);
	}
	if (!yaml_parser_initialize(&parser))
		return thr_refuse_memory(reader);
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
	while (r == 0 && !ended) {
		yaml_event_t event;

		if (!yaml_parser_parse(&parser, &event)) {
			r = refuse_yaml(reader, &parser, text, size);
			break;
		}
		ended = event.type == YAML_STREAM_END_EVENT;
		r = on_event(&builder, &event);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return r;
}
