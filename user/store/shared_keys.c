/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is known of keys, in a table of fixed size with the ones in use at its front. */
#include <stdlib.h>
#include <string.h>

#include "store/shared_internal.h"

/* How many of those used longest ago are looked at for one that may go. */
#define EVICT_TRIES 16

static struct thr_shared_key **chain_of(const struct thr_shared *shared,
					const struct thr_hash *hash)
{
	return &shared->table[hash->word[0] & (THR_SHARED_KEYS - 1)].first;
}

struct thr_shared_key *thr_shared_key_find(struct thr_shared *shared, const struct thr_hash *hash)
{
	struct thr_shared_key *key = *chain_of(shared, hash);

	while (key && (key->hash.word[0] != hash->word[0] || key->hash.word[1] != hash->word[1]))
		key = key->next;
	if (key) {
		thr_link_remove(&key->use);
		thr_link_add_first(&shared->use, &key->use);
	}
	return key;
}

static bool make_room(struct thr_shared *shared)
{
	struct thr_link *item = shared->use.prev;

	if (shared->keys < THR_SHARED_KEYS)
		return true;
	for (int try = 0; try < EVICT_TRIES && item != &shared->use; try++) {
		struct thr_shared_key *key = THR_CONTAINER(item, struct thr_shared_key, use);

		if (!key->flight && thr_link_is_empty(&key->asks)) {
			thr_lease_end(shared, key);
			thr_shared_key_remove(shared, key);
			return true;
		}
		item = item->prev;
	}
	return false;
}

struct thr_shared_key *thr_shared_key_add(struct thr_shared *shared, const struct thr_hash *hash,
					  struct thr_slice name)
{
	struct thr_shared_key **chain = chain_of(shared, hash);
	struct thr_shared_key *key;

	if (!make_room(shared))
		return NULL;
	key = calloc(1, sizeof(*key) + shared->prefix_length + name.length);
	if (!key)
		return NULL;
	key->hash = *hash;
	thr_link_init(&key->ready);
	thr_link_init(&key->asks);
	thr_link_init(&key->lease.item);
	memcpy(key->name, shared->prefix, shared->prefix_length);
	if (name.length)
		memcpy(key->name + shared->prefix_length, name.at, name.length);
	key->name_length = shared->prefix_length + name.length;
	thr_link_add_first(&shared->use, &key->use);
	key->next = *chain;
	*chain = key;
	shared->keys++;
	return key;
}

void thr_shared_key_remove(struct thr_shared *shared, struct thr_shared_key *key)
{
	struct thr_shared_key **at = chain_of(shared, &key->hash);

	while (*at != key)
		at = &(*at)->next;
	*at = key->next;
	thr_link_remove(&key->use);
	thr_link_remove(&key->ready);
	thr_link_remove(&key->lease.item);
	shared->keys--;
	free(key);
}

void thr_duration_write(uint64_t ticks, struct thr_duration_text *text,
			struct thr_slice ret_argument[static 2])
{
	ret_argument[0] = thr_decimal(ticks / THR_TICKS_PER_S, text->text[0]);
	ret_argument[1] = thr_decimal(ticks % THR_TICKS_PER_S, text->text[1]);
}
