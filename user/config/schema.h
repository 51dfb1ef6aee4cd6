/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which keys there are, as tables: what each may hold and which member it
 * fills. decode.c and environment.c read the tables; what no table can say is
 * checked by a section's `finish` (validate.h).
 */
#ifndef THR_SCHEMA_H
#define THR_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/node.h"

#define THR_FIELDS_MAX 16 /* of a section */

enum thr_type {
	THR_TYPE_INTEGER,  /* `min` to `max` into an unsigned integer of `size` bytes */
	THR_TYPE_COUNT,	   /* with k, M or G, into a uint64_t; from `min`, or 1, to `max`, or
			    * THR_COUNT_MAX */
	THR_TYPE_RATE,	   /* a count in `per_s` seconds, into a struct thr_rate */
	THR_TYPE_DECIMAL,  /* a number over 0, maybe with a fraction, into a double */
	THR_TYPE_DURATION, /* with ms, s, m or h, into a uint64_t of milliseconds; from `min` to
			    * `max`, where they are given */
	THR_TYPE_BOOL,	   /* true or false */
	THR_TYPE_WORD,	   /* one of `words` into an enum or a bool of `size` bytes */
	THR_TYPE_TEXT,	   /* what `fault` finds nothing wrong with, into a char * */
	THR_TYPE_PREFIX,   /* into a struct thr_prefix */
	THR_TYPE_TARGET,   /* an http:// URL into a struct thr_target */
	THR_TYPE_REDIS,	   /* the URL of a Redis into a struct thr_redis_config */
	THR_TYPE_MAP,	   /* `section` */
	THR_TYPE_LIST,	   /* `list` */
};

struct thr_word {
	const char *text; /* NULL ends the list */
	unsigned int value;
};

struct thr_field {
	const char *key; /* of a list's item: what messages call it */
	enum thr_type type;
	bool required;
	bool secret; /* messages do not show the value */
	size_t offset;
	size_t size;
	const char *rival; /* key that cannot stand beside this one */
	uint64_t min, max;
	uint32_t per_s;
	const struct thr_word *words;
	const char *(*fault)(const char *text); /* what would be right, or NULL */
	const struct thr_section *section;
	const struct thr_list *list;
};

/* Called after the fields were read, with the node and the struct they fill. */
typedef int thr_finish(const struct thr_reader *reader, const struct thr_node *node, void *into);

struct thr_section {
	const char *name; /* in messages; NULL: the file as a whole */
	const struct thr_field *fields;
	size_t field_count;
	thr_finish *finish;
	const char *(*hint)(const char *key); /* of a key that is none of them, or NULL */
};

/* An array of calloc() in a struct: its field has the offset of the pointer. */
struct thr_list {
	size_t count_offset; /* of a size_t */
	size_t item_size;
	uint32_t min_items;
	uint32_t max_items; /* 0: any number */
	bool single;	    /* written as one value that is not in a list */
	const struct thr_field *item;
	thr_finish *finish; /* gets the struct that the array hangs from */
};

/* Of the whole file, into a struct thr_config. */
extern const struct thr_section thr_schema;

/* The field of `key`, or NULL. */
const struct thr_field *thr_schema_find(const struct thr_section *section, const char *key);

/*
 * Read `map` into the struct `into` by `section`: every value is of its type and
 * in its range, no key is unknown or given twice, and `finish` agreed. Returns 0,
 * -EINVAL or -ENOMEM with the error filled; what was read by then hangs from
 * `into` and is the caller's to free.
 */
int thr_decode(const struct thr_reader *reader, const struct thr_section *section,
	       const struct thr_node *map, void *into);

/* Refuse the key of `node`, which `section` does not have: with the one that it is near to, or
 * with where else it is a key, and those that there are. */
int thr_refuse_unknown(const struct thr_reader *reader, const struct thr_section *section,
		       const struct thr_node *node);

/*
 * Apply the settings among `environment` (see config.h) to the tree, as if the
 * file said so. Returns 0, -EINVAL or -ENOMEM with the error filled.
 */
int thr_environment_apply(const struct thr_reader *reader, char *const *environment,
			  struct thr_tree *tree);

#endif
