/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The file as a tree of values that know their place, and the one way to refuse
 * a value: with that place. load.c makes the tree, environment.c changes it,
 * decode.c reads it by the schema.
 *
 * Nodes and their text live in the tree's arena and are freed with it: a list
 * of a hundred thousand sources costs no allocation for each value.
 */
#ifndef THR_NODE_H
#define THR_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"

/* What a hostile or broken file can make us keep. The schema itself nests five
 * deep, and a full list of sources has under five million values. */
#define THR_DEPTH_MAX 16
#define THR_NODES_MAX (1U << 23)
#define THR_SCALAR_MAX 4096

enum thr_node_kind { THR_NODE_SCALAR, THR_NODE_LIST, THR_NODE_MAP };

struct thr_place {
	uint32_t line; /* from 1 */
	uint32_t column;
};

struct thr_node {
	struct thr_node *next;	/* sibling */
	struct thr_node *first; /* child of a map or a list */
	const char *key;	/* of a map's child; NULL in a list */
	const char *text;	/* of a scalar */
	const char *variable;	/* of the environment that set this; NULL: the file */
	struct thr_place place; /* of the value */
	struct thr_place key_place;
	uint32_t count; /* of children */
	uint8_t kind;	/* enum thr_node_kind */
	bool plain;	/* a scalar without quotes */
};

struct thr_chunk;

struct thr_tree {
	struct thr_node *root; /* NULL: the file has no document */
	struct thr_chunk *chunks;
	uint32_t node_count;
};

/* Who reads: what messages start with, and where they go. */
struct thr_reader {
	const char *name;    /* of the file */
	const char *section; /* around what is read; NULL at the root */
	struct thr_error *error;
};

/* Read `size` bytes of YAML. Returns 0, -EINVAL for what is not YAML or is more
 * than plain maps, lists and scalars (aliases, anchors, tags, a second
 * document), -ENOMEM; the caller frees the tree in any case. */
int thr_tree_load(const struct thr_reader *reader, const char *text, size_t size,
		  struct thr_tree *tree);

void thr_tree_free(struct thr_tree *tree);

/* A zeroed node of the tree, or NULL when memory or THR_NODES_MAX is used up. */
struct thr_node *thr_tree_node(struct thr_tree *tree);

/* A copy of `length` bytes with a NUL after them, or NULL. */
char *thr_tree_text(struct thr_tree *tree, const char *text, size_t length);

/* The value of `key` in a map, or NULL; of several, the first. */
struct thr_node *thr_node_find(const struct thr_node *map, const char *key);

/*
 * Fill the error with "FILE:LINE:COLUMN: SECTION: message", or with
 * "VARIABLE: SECTION: message" for what the environment set. thr_refuse() points
 * at the value, thr_refuse_key() at the key that it has, thr_refuse_at() at a
 * place of the file. Each returns -EINVAL.
 */
int thr_refuse(const struct thr_reader *reader, const struct thr_node *node, const char *format,
	       ...) __attribute__((format(printf, 3, 4)));
int thr_refuse_key(const struct thr_reader *reader, const struct thr_node *node, const char *format,
		   ...) __attribute__((format(printf, 3, 4)));
int thr_refuse_at(const struct thr_reader *reader, struct thr_place place, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* "FILE: out of memory"; returns -ENOMEM. */
int thr_refuse_memory(const struct thr_reader *reader);

/* `text` in quotes as a message may show it: cut after 60 bytes, and '?' for
 * what is not printable ASCII. Returns `quoted`. */
#define THR_QUOTED 68
const char *thr_quote(const char *text, char quoted[static THR_QUOTED]);
#define QUOTE(text) thr_quote(text, (char[THR_QUOTED]){0})

/* Where an earlier value came from: "on line 12" or "by XDP_THROTTLE_NAME". */
#define THR_ORIGIN 100
const char *thr_origin(const struct thr_node *node, char origin[static THR_ORIGIN]);
#define ORIGIN(node) thr_origin(node, (char[THR_ORIGIN]){0})

#endif
