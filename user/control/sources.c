/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The source prefixes of a slot; see writer.h. Both slots' are in one trie, told apart by
 * a tag in front of the address. Each entry has what is in force in its prefix, with what
 * the prefixes around it say, so that a packet looks up one.
 *
 * Many entries a system call: lookup_batch on a trie came with Linux 5.18.
 */
#include "control/writer.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/summary.h"
#include "core/cleanup.h"

/* --- walking --- */

#define BATCH 4096

static bool is_of_slot(const struct thr_source_key *key, unsigned int slot)
{
	return key->tag >> 1 == slot;
}

int thr_sources_walk(int map_fd, unsigned int slot, thr_source_visit visit, void *context)
{
	AUTO_FREE struct thr_source_key *keys = calloc(BATCH, sizeof(*keys));
	AUTO_FREE struct thr_source *sources = calloc(BATCH, sizeof(*sources));
	struct thr_source_key place, *from = NULL;
	bool more = true;

	if (!keys || !sources)
		return -ENOMEM;
	while (more) {
		LIBBPF_OPTS(bpf_map_batch_opts, options);
		struct thr_source_key next;
		__u32 count = BATCH;

		if (bpf_map_lookup_batch(map_fd, from, &next, keys, sources, &count, &options)) {
			if (errno != ENOENT)
				return -errno;
			more = false;
		}
		for (__u32 i = 0; i < count; i++) {
			int result = is_of_slot(&keys[i], slot)
					     ? visit(context, &keys[i], &sources[i])
					     : 0;

			if (result)
				return result;
		}
		place = next;
		from = &place;
	}
	return 0;
}

/* --- removing --- */

struct key_list {
	struct thr_source_key *keys;
	size_t count, room;
};

static int collect_key(void *context, const struct thr_source_key *key,
		       const struct thr_source *source)
{
	struct key_list *list = context;

	(void)source;
	if (list->count == list->room) {
		size_t room = list->room ? list->room * 2 : 1024;
		struct thr_source_key *grown = reallocarray(list->keys, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		list->keys = grown;
		list->room = room;
	}
	list->keys[list->count++] = *key;
	return 0;
}

static int delete_keys(int map_fd, const struct key_list *list)
{
	LIBBPF_OPTS(bpf_map_batch_opts, options);
	__u32 count = (__u32)list->count;

	if (count && bpf_map_delete_batch(map_fd, list->keys, &count, &options))
		return -errno;
	return 0;
}

int thr_sources_remove(struct thr_instance *instance, unsigned int slot)
{
	int map_fd = instance->map_fd[THR_MAP_SOURCES];
	struct key_list list = {};
	int result;

	if (!instance->live->stale[slot])
		return 0;
	result = thr_sources_walk(map_fd, slot, collect_key, &list);
	if (!result)
		result = delete_keys(map_fd, &list);
	free(list.keys);
	if (!result)
		instance->live->stale[slot] = 0;
	return result;
}

/* --- writing --- */

/* Keys and values of the trie, in the order of the tables. */
struct entries {
	struct thr_source_key *keys;
	struct thr_source *sources;
};

static void cleanup_entries(struct entries *entries)
{
	free(entries->keys);
	free(entries->sources);
}

/* A prefix that holds the one at hand, and what is in force in it. */
struct enclosing {
	const struct thr_prefix *prefix;
	struct thr_policy policy;
	enum thr_source_action action;
};

static uint32_t bits_of(const struct thr_prefix *prefix)
{
	return prefix->bits + (prefix->is_v6 ? 0u : 96u);
}

static uint64_t *summary_of(const struct thr_writer *writer)
{
	return &writer->instance->summary[(size_t)writer->slot * THR_SUMMARY_WORDS];
}

/* Whose buckets the limits of a prefix charge. */
static uint32_t scope_of(const struct thr_tables *tables, const struct thr_source_config *config)
{
	uint32_t bits = bits_of(&config->prefix);

	if (config->shared)
		return THR_SCOPE_SHARED | bits << 8;
	if (config->prefix.is_v6 && bits > tables->v6_source_bits)
		return THR_SCOPE_NARROW | bits << 8;
	return THR_SCOPE_PREFIX;
}

/* What a source states, over what the prefix around it has, if there is one. */
static struct enclosing inherit(const struct thr_tables *tables,
				const struct thr_source_config *config,
				const struct enclosing *around)
{
	struct enclosing own = {.prefix = &config->prefix, .action = config->action};

	if (around)
		own.policy = around->policy;
	if (around && config->action == THR_SOURCE_LIMIT)
		own.action = around->action;
	thr_policy_state(&own.policy, &config->limits, scope_of(tables, config));
	return own;
}

static struct thr_source_key key_of(unsigned int slot, const struct thr_prefix *prefix)
{
	struct thr_source_key key = {
		.prefixlen = THR_SOURCE_TAG_BITS + bits_of(prefix),
		.tag = THR_SOURCE_TAG(slot, prefix->is_v6),
	};

	memcpy(key.address, prefix->address, sizeof(key.address));
	return key;
}

static int make_source(struct thr_writer *writer, const struct thr_source_config *config,
		       const struct enclosing *own, struct thr_source *ret_source,
		       struct thr_error *error)
{
	struct thr_policy stated = {};
	int own_index, index;

	thr_policy_state(&stated, &config->limits, scope_of(writer->tables, config));
	own_index = thr_policy_set_add(&writer->policies, &stated, error);
	index = thr_policy_set_add(&writer->policies, &own->policy, error);
	if (own_index < 0 || index < 0)
		return -ENOSPC;
	*ret_source = (struct thr_source){
		.policy = (uint32_t)index,
		.own_policy = (uint32_t)own_index,
		.action = (uint8_t)own->action,
		.own_action = (uint8_t)config->action,
	};
	return 0;
}

/* Sources come with every prefix right after those that hold it, so the ones
 * around the one at hand form a stack, as deep as an address has bits. */
static int make_entries(struct thr_writer *writer, const struct entries *entries,
			struct thr_error *error)
{
	AUTO_FREE struct enclosing *stack = calloc(130, sizeof(*stack));
	const struct thr_tables *tables = writer->tables;
	size_t depth = 0;

	if (!stack)
		return thr_fail(error, ENOMEM, "out of memory");
	for (size_t i = 0; i < tables->source_count; i++) {
		const struct thr_source_config *config = &tables->sources[i];
		int result;

		while (depth && !thr_prefix_holds(stack[depth - 1].prefix, &config->prefix))
			depth--;
		stack[depth] = inherit(tables, config, depth ? &stack[depth - 1] : NULL);
		result = make_source(writer, config, &stack[depth], &entries->sources[i], error);
		if (result)
			return result;
		entries->keys[i] = key_of(writer->slot, &config->prefix);
		writer->flags |= thr_summary_mark(summary_of(writer), &config->prefix);
		depth++;
	}
	return 0;
}

static int insert_entries(const struct thr_writer *writer, const struct entries *entries)
{
	int map_fd = writer->instance->map_fd[THR_MAP_SOURCES];
	LIBBPF_OPTS(bpf_map_batch_opts, options);
	__u32 done = (__u32)writer->tables->source_count;

	if (!done)
		return 0;
	writer->instance->live->stale[writer->slot] = 1;
	if (bpf_map_update_batch(map_fd, entries->keys, entries->sources, &done, &options))
		return -errno;
	return 0;
}

int thr_sources_write(struct thr_writer *writer, struct thr_error *error)
{
	size_t count = writer->tables->source_count;
	CLEANUP(cleanup_entries) struct entries entries = {};
	int result;

	entries.keys = calloc(count + 1, sizeof(*entries.keys));
	entries.sources = calloc(count + 1, sizeof(*entries.sources));
	if (!entries.keys || !entries.sources)
		return thr_fail(error, ENOMEM, "out of memory for %zu sources", count);
	memset(summary_of(writer), 0, THR_SUMMARY_WORDS * sizeof(uint64_t));
	result = make_entries(writer, &entries, error);
	if (result)
		return result;
	result = insert_entries(writer, &entries);
	if (result)
		thr_fail(error, -result, "the kernel did not take %zu source prefixes: %s", count,
			 strerror(-result));
	return result;
}
