/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The tree's arena, and refusals with their place; see node.h. */
#include "config/node.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES ((size_t)64 * 1024)

/* Memory of a tree is taken from the newest chunk and never given back alone. */
struct thr_chunk {
	struct thr_chunk *next;
	size_t used;
	_Alignas(max_align_t) char bytes[CHUNK_BYTES];
};
_Static_assert(THR_SCALAR_MAX < CHUNK_BYTES, "every text fits into a chunk");

static void *allocate(struct thr_tree *tree, size_t size, size_t alignment)
{
	struct thr_chunk *chunk = tree->chunks;
	size_t start = chunk ? (chunk->used + alignment - 1) & ~(alignment - 1) : 0;

	if (size > CHUNK_BYTES)
		return NULL;
	if (!chunk || size > CHUNK_BYTES - start) {
		chunk = malloc(sizeof(*chunk));
		if (!chunk)
			return NULL;
		chunk->next = tree->chunks;
		tree->chunks = chunk;
		start = 0;
	}
	chunk->used = start + size;
	return chunk->bytes + start;
}

void thr_tree_free(struct thr_tree *tree)
{
	while (tree->chunks) {
		struct thr_chunk *chunk = tree->chunks;

		tree->chunks = chunk->next;
		free(chunk);
	}
	*tree = (struct thr_tree){0};
}

struct thr_node *thr_tree_node(struct thr_tree *tree)
{
	struct thr_node *node;

	if (tree->node_count >= THR_NODES_MAX)
		return NULL;
	node = allocate(tree, sizeof(*node), _Alignof(struct thr_node));
	if (node) {
		*node = (struct thr_node){0};
		tree->node_count++;
	}
	return node;
}

char *thr_tree_text(struct thr_tree *tree, const char *text, size_t length)
{
	char *copy = length < CHUNK_BYTES ? allocate(tree, length + 1, 1) : NULL;

	if (copy) {
		memcpy(copy, text, length);
		copy[length] = '\0';
	}
	return copy;
}

struct thr_node *thr_node_find(const struct thr_node *map, const char *key)
{
	struct thr_node *node;

	if (map->kind != THR_NODE_MAP)
		return NULL;
	for (node = map->first; node; node = node->next)
		if (strcmp(node->key, key) == 0)
			return node;
	return NULL;
}

/* `variable` may be NULL: then the place counts. */
static int refuse(const struct thr_reader *reader, const char *variable, struct thr_place place,
		  const char *message)
{
	const char *section = reader->section ? reader->section : "";
	const char *colon = reader->section ? ": " : "";

	if (variable)
		return thr_fail(reader->error, EINVAL, "%s: %s%s%s", variable, section, colon,
				message);
	return thr_fail(reader->error, EINVAL, "%s:%u:%u: %s%s%s", reader->name, place.line,
			place.column, section, colon, message);
}

#define FORMAT_MESSAGE(message, format)                                                            \
	do {                                                                                       \
		va_list arguments;                                                                 \
		va_start(arguments, format);                                                       \
		vsnprintf(message, sizeof(message), format, arguments);                            \
		va_end(arguments);                                                                 \
	} while (0)

int thr_refuse(const struct thr_reader *reader, const struct thr_node *node, const char *format,
	       ...)
{
	char message[sizeof(reader->error->text)];

	FORMAT_MESSAGE(message, format);
	return refuse(reader, node->variable, node->place, message);
}

int thr_refuse_key(const struct thr_reader *reader, const struct thr_node *node, const char *format,
		   ...)
{
	char message[sizeof(reader->error->text)];

	FORMAT_MESSAGE(message, format);
	return refuse(reader, node->variable, node->key ? node->key_place : node->place, message);
}

int thr_refuse_at(const struct thr_reader *reader, struct thr_place place, const char *format, ...)
{
	char message[sizeof(reader->error->text)];

	FORMAT_MESSAGE(message, format);
	return refuse(reader, NULL, place, message);
}

int thr_refuse_memory(const struct thr_reader *reader)
{
	return thr_fail(reader->error, ENOMEM, "%s: out of memory", reader->name);
}

const char *thr_quote(const char *text, char quoted[static THR_QUOTED])
{
	size_t shown = THR_QUOTED - sizeof("'...'");
	size_t length = strlen(text);
	char *end = quoted;

	*end++ = '\'';
	for (size_t i = 0; i < length && i < shown; i++)
		*end++ = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	memcpy(end, length > shown ? "...'" : "'", length > shown ? sizeof("...'") : sizeof("'"));
	return quoted;
}

const char *thr_origin(const struct thr_node *node, char origin[static THR_ORIGIN])
{
	if (node->variable)
		snprintf(origin, THR_ORIGIN, "by %s", node->variable);
	else
		snprintf(origin, THR_ORIGIN, "on line %u",
			 node->key ? node->key_place.line : node->place.line);
	return origin;
}
