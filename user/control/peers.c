/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See peers.h. */
#include "control/peers.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"

#define BATCH 4096 /* entries read in one call: far more than share a place in the hash */

static const struct thr_settings *settings_of(const struct thr_instance *instance)
{
	return &instance->live->slot[instance->live->active & (THR_SLOTS - 1)];
}

static int map_of(const struct thr_instance *instance, enum thr_peer_set set)
{
	return instance->map_fd[set == THR_PEERS_VERIFIED ? THR_MAP_VERIFIED : THR_MAP_BLOCKED];
}

/* --- what a source is --- */

unsigned int thr_peer_v6_bits(const struct thr_instance *instance)
{
	const struct thr_settings *settings = settings_of(instance);
	unsigned int bits = 0;

	for (size_t i = 0; i < 2; i++)
		bits += (unsigned int)__builtin_popcountll(settings->v6_source_mask[i]);
	return bits;
}

static struct thr_source_id id_of(const struct thr_prefix *source)
{
	struct thr_source_id id = {.is_v6 = source->is_v6};

	memcpy(id.source, source->address, sizeof(id.source));
	return id;
}

/* `v6_bits` is of the instance. */
static struct thr_prefix prefix_of(const struct thr_source_id *id, unsigned int v6_bits)
{
	struct thr_prefix prefix = {.is_v6 = id->is_v6, .bits = id->is_v6 ? (uint8_t)v6_bits : 32};

	memcpy(prefix.address, id->source, sizeof(prefix.address));
	return prefix;
}

struct thr_prefix thr_peer_source(const struct thr_instance *instance,
				  const struct thr_address *address)
{
	const struct thr_settings *settings = settings_of(instance);
	struct thr_source_id id = {.is_v6 = !thr_address_is_v4(address)};

	memcpy(id.source, address->bytes, sizeof(id.source));
	if (id.is_v6) {
		id.source[0] &= settings->v6_source_mask[0];
		id.source[1] &= settings->v6_source_mask[1];
	}
	return prefix_of(&id, thr_peer_v6_bits(instance));
}

/* --- adding and removing --- */

/* Raise the time from which on no entry is in force. Others raise it at the same moment,
 * the XDP program among them. */
static void raise_until(struct thr_instance *instance, enum thr_peer_set set, uint64_t until_ns)
{
	__u64 *at = set == THR_PEERS_VERIFIED ? &instance->live->verified_until_ns
					      : &instance->live->blocked_until_ns;
	__u64 seen = __atomic_load_n(at, __ATOMIC_RELAXED);

	while (seen < until_ns)
		if (__atomic_compare_exchange_n(at, &seen, until_ns, false, __ATOMIC_SEQ_CST,
						__ATOMIC_RELAXED))
			return;
}

static int update(int map_fd, const struct thr_peer *peers, size_t count)
{
	AUTO_FREE struct thr_source_id *ids = calloc(count, sizeof(*ids));
	AUTO_FREE struct thr_expiry *expiries = calloc(count, sizeof(*expiries));
	LIBBPF_OPTS(bpf_map_batch_opts, options);
	__u32 done = (__u32)count;

	if (!ids || !expiries)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		ids[i] = id_of(&peers[i].source);
		expiries[i].until_ns = peers[i].until_ns & ~THR_EXPIRY_ENDED;
	}
	return bpf_map_update_batch(map_fd, ids, expiries, &done, &options) ? -errno : 0;
}

int thr_peers_add(struct thr_instance *instance, enum thr_peer_set set,
		  const struct thr_peer *peers, size_t count, struct thr_error *error)
{
	int r;

	if (!thr_peer_v6_bits(instance))
		return thr_fail(error, ENODATA,
				"the throttle has no tables yet: 'xdp-throttle apply -c FILE' sets "
				"them");
	for (size_t i = 0; i < count; i++)
		raise_until(instance, set, peers[i].until_ns);
	r = count ? update(map_of(instance, set), peers, count) : 0;
	return r ? thr_fail(error, -r, "the kernel did not take %zu sources: %s", count,
			    strerror(-r))
		 : 0;
}

uint64_t thr_peers_find(const struct thr_instance *instance, enum thr_peer_set set,
			const struct thr_prefix *source, uint64_t now_ns)
{
	struct thr_source_id id = id_of(source);
	struct thr_expiry expiry;

	if (bpf_map_lookup_elem(map_of(instance, set), &id, &expiry))
		return 0;
	return expiry.until_ns > now_ns ? expiry.until_ns : 0;
}

int thr_peers_remove(struct thr_instance *instance, enum thr_peer_set set,
		     const struct thr_prefix *source)
{
	struct thr_source_id id = id_of(source);

	return bpf_map_delete_elem(map_of(instance, set), &id) ? -errno : 0;
}

/* --- reading --- */

struct list {
	struct thr_peer *peers;
	size_t count, room;
	unsigned int v6_bits;
	uint64_t now_ns;
};

/* Not so one that was entered while a source was a longer prefix: no packet is of it now. */
static bool is_source(const struct thr_prefix *source)
{
	struct thr_prefix whole = *source;

	whole.bits = 128;
	return !source->is_v6 || thr_prefix_holds(source, &whole);
}

static int take(struct list *list, const struct thr_source_id *ids,
		const struct thr_expiry *expiries, size_t count)
{
	if (list->room - list->count < count) {
		size_t room = 2 * list->room + count;
		struct thr_peer *grown = reallocarray(list->peers, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		list->peers = grown;
		list->room = room;
	}
	for (size_t i = 0; i < count; i++) {
		struct thr_prefix source = prefix_of(&ids[i], list->v6_bits);

		if (expiries[i].until_ns > list->now_ns && is_source(&source))
			list->peers[list->count++] =
				(struct thr_peer){source, expiries[i].until_ns};
	}
	return 0;
}

static int walk(int map_fd, struct list *list)
{
	AUTO_FREE struct thr_source_id *ids = calloc(BATCH, sizeof(*ids));
	AUTO_FREE struct thr_expiry *expiries = calloc(BATCH, sizeof(*expiries));
	__u32 place, *from = NULL; /* the kernel's, of a place in its hash */
	bool more = true;

	if (!ids || !expiries)
		return -ENOMEM;
	while (more) {
		LIBBPF_OPTS(bpf_map_batch_opts, options);
		__u32 count = BATCH;
		int r;

		if (bpf_map_lookup_batch(map_fd, from, &place, ids, expiries, &count, &options)) {
			if (errno != ENOENT)
				return -errno;
			more = false;
		}
		r = take(list, ids, expiries, count);
		if (r)
			return r;
		from = &place;
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	return thr_prefix_compare(&((const struct thr_peer *)a)->source,
				  &((const struct thr_peer *)b)->source);
}

int thr_peers_list(const struct thr_instance *instance, enum thr_peer_set set, uint64_t now_ns,
		   struct thr_peer **ret_peers, size_t *ret_count, struct thr_error *error)
{
	struct list list = {.v6_bits = thr_peer_v6_bits(instance), .now_ns = now_ns};
	int r = walk(map_of(instance, set), &list);

	if (r) {
		free(list.peers);
		return thr_fail(error, -r, "the sources cannot be read: %s", strerror(-r));
	}
	if (list.count)
		qsort(list.peers, list.count, sizeof(*list.peers), compare);
	*ret_peers = list.peers;
	*ret_count = list.count;
	return 0;
}
