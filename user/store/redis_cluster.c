/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The nodes of a client and the table of slots; see redis_cluster.h. */
#include "store/redis_cluster.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOBODY UINT16_MAX /* has the slot */
#define REFRESH_MS 1000
#define PROBE_TRIES 4096 /* numbers until one falls into a slot of the node */

struct thr_redis_node *thr_redis_cluster_node(const struct thr_redis_cluster *cluster,
					      struct thr_slice key)
{
	uint16_t owner;

	if (!cluster->owner)
		return cluster->nodes[0];
	owner = cluster->owner[thr_redis_slot(key)];
	return cluster->nodes[owner == NOBODY ? 0 : owner];
}

static size_t index_of(const struct thr_redis_cluster *cluster, const struct thr_redis_node *node)
{
	size_t i = 0;

	while (i < cluster->node_count && cluster->nodes[i] != node)
		i++;
	return i;
}

static bool is_at(const struct thr_redis_node *node, struct thr_slice host, uint16_t port)
{
	return node->host && node->port == port && thr_slice_is_word(host, node->host);
}

int thr_redis_cluster_find(struct thr_redis_cluster *cluster, const struct thr_redis_node *asked,
			   const struct thr_redis_place *place)
{
	struct thr_slice host = place->host;
	char *copy;
	int r;

	if (!host.length && !asked->host)
		return (int)index_of(cluster, asked);
	if (!host.length)
		host = (struct thr_slice){asked->host, strlen(asked->host)};
	for (size_t i = 0; i < cluster->node_count; i++)
		if (is_at(cluster->nodes[i], host, place->port))
			return (int)i;
	if (cluster->node_count == THR_REDIS_NODES_MAX)
		return -ENOBUFS;
	copy = strndup(host.at, host.length);
	if (!copy)
		return -ENOMEM;
	r = thr_redis_node_new(cluster->shared, copy, place->port,
			       &cluster->nodes[cluster->node_count]);
	free(copy);
	return r < 0 ? r : (int)cluster->node_count++;
}

/* --- who has which slot --- */

void thr_redis_cluster_set(struct thr_redis_cluster *cluster, const struct thr_redis_place *place,
			   int node)
{
	if (!cluster->owner) {
		cluster->owner = malloc(THR_REDIS_SLOTS * sizeof(*cluster->owner));
		if (!cluster->owner)
			return;
		for (size_t slot = 0; slot < THR_REDIS_SLOTS; slot++)
			cluster->owner[slot] = NOBODY;
	}
	for (size_t slot = place->first_slot; slot <= place->last_slot; slot++)
		cluster->owner[slot] = (uint16_t)node;
}

static bool has_slot(const struct thr_redis_cluster *cluster, size_t node)
{
	for (size_t slot = 0; cluster->owner && slot < THR_REDIS_SLOTS; slot++)
		if (cluster->owner[slot] == node)
			return true;
	return false;
}

/* Give up nodes, from the last to the second, that no slot and no call needs. */
static void drop_nodes(struct thr_redis_cluster *cluster)
{
	for (size_t i = cluster->node_count; i-- > 1;) {
		struct thr_redis_node *node = cluster->nodes[i];
		size_t last = cluster->node_count - 1;

		if (has_slot(cluster, i) || !thr_link_is_empty(&node->calls) ||
		    !thr_link_is_empty(&node->failing))
			continue;
		thr_redis_node_free(node);
		cluster->nodes[i] = cluster->nodes[last];
		cluster->node_count--;
		for (size_t slot = 0; i != last && slot < THR_REDIS_SLOTS; slot++)
			if (cluster->owner[slot] == last)
				cluster->owner[slot] = (uint16_t)i;
	}
}

void thr_redis_cluster_ask(struct thr_redis_cluster *cluster, struct thr_redis_node *node,
			   bool is_old)
{
	uint64_t now_ms = thr_loop_now_ms(cluster->shared->loop);

	cluster->wants_slots |= is_old;
	if (!cluster->owner || !cluster->wants_slots ||
	    (cluster->asked_ms && now_ms - cluster->asked_ms < REFRESH_MS))
		return;
	for (size_t i = 0; i < cluster->node_count && node->stage != NODE_READY; i++)
		node = cluster->nodes[i];
	if (thr_redis_node_ask_slots(node) == 0) {
		cluster->wants_slots = false;
		cluster->asked_ms = now_ms;
		return;
	}
	/* None is ready: those that had nothing to do will be. */
	for (size_t i = 0; i < cluster->node_count; i++)
		thr_redis_node_wake(cluster->nodes[i]);
}

void thr_redis_cluster_learn(struct thr_redis_cluster *cluster, struct thr_redis_node *node,
			     const redisReply *reply)
{
	struct thr_redis_place place;
	bool understood = false;
	size_t slots = 0;

	for (size_t i = 0; reply && reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
		int found;

		if (!thr_redis_range_parse(reply->element[i], &place))
			continue;
		/* Ranges do not overlap: more slots than there are is a server that is mad. */
		slots += (size_t)(place.last_slot - place.first_slot) + 1;
		if (slots > THR_REDIS_SLOTS)
			break;
		found = thr_redis_cluster_find(cluster, node, &place);
		if (found < 0)
			continue;
		thr_redis_cluster_set(cluster, &place, found);
		understood = true;
	}
	if (understood)
		drop_nodes(cluster);
	else
		cluster->wants_slots = true;
}

char *thr_redis_cluster_key(const struct thr_redis_cluster *cluster,
			    const struct thr_redis_node *node)
{
	const char *prefix =
		cluster->shared->settings->key_prefix ? cluster->shared->settings->key_prefix : "";
	size_t index = index_of(cluster, node);
	char *key;

	for (unsigned int number = 0; cluster->owner && number < PROBE_TRIES; number++) {
		int length = asprintf(&key, "%sprobe:{%u}", prefix, number);

		if (length < 0)
			return NULL;
		if (cluster->owner[thr_redis_slot((struct thr_slice){key, (size_t)length})] ==
		    index)
			return key;
		free(key);
	}
	return NULL;
}

bool thr_redis_cluster_needs(const struct thr_redis_cluster *cluster, size_t node)
{
	return cluster->owner ? has_slot(cluster, node) : node == 0;
}

int thr_redis_cluster_begin(struct thr_redis_cluster *cluster,
			    const struct thr_redis_shared *shared)
{
	int r = thr_redis_node_new(shared, NULL, shared->settings->port, &cluster->nodes[0]);

	cluster->shared = shared;
	cluster->node_count = r < 0 ? 0 : 1;
	return r;
}

void thr_redis_cluster_end(struct thr_redis_cluster *cluster)
{
	for (size_t i = 0; i < cluster->node_count; i++)
		thr_redis_node_free(cluster->nodes[i]);
	cluster->node_count = 0;
}
