/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The nodes of a client, and which of them has a key.
 *
 * There is one node, the one of the settings, until a MOVED shows that it is of a cluster.
 * From then on `owner` says for each slot which node has it, by what MOVED says at once
 * and by CLUSTER SLOTS a little later. The list is asked for again, at most once a second,
 * when a MOVED shows that it is old and while a node does not answer: its slots may have
 * gone to a replica. Nodes that no slot needs are given up; the first one stays, for it is
 * what the user named and the way back when all others are gone.
 */
#ifndef THR_REDIS_CLUSTER_H
#define THR_REDIS_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/slice.h"
#include "store/redis_node.h"
#include "store/redis_slots.h"

#define THR_REDIS_NODES_MAX 256

struct thr_redis_cluster {
	const struct thr_redis_shared *shared;
	struct thr_redis_node *nodes[THR_REDIS_NODES_MAX]; /* [0]: that of the settings */
	size_t node_count;
	uint16_t *owner; /* of each slot, an index of nodes or none; NULL: no cluster */
	bool wants_slots;
	uint64_t asked_ms; /* when CLUSTER SLOTS was asked for; 0: never */
};

/* Make the first node. Returns 0 or -ENOMEM. */
int thr_redis_cluster_begin(struct thr_redis_cluster *cluster,
			    const struct thr_redis_shared *shared);

/* Free the nodes. The table, `owner`, is the caller's to free. */
void thr_redis_cluster_end(struct thr_redis_cluster *cluster);

/* The node that a call for the key goes to. */
struct thr_redis_node *thr_redis_cluster_node(const struct thr_redis_cluster *cluster,
					      struct thr_slice key);

/* The node at an address, made when there is none. An empty host is that of `asked`.
 * Returns its index, -ENOBUFS when there are too many, or -ENOMEM. */
int thr_redis_cluster_find(struct thr_redis_cluster *cluster, const struct thr_redis_node *asked,
			   const struct thr_redis_place *place);

/* The node, by its index, has these slots. */
void thr_redis_cluster_set(struct thr_redis_cluster *cluster, const struct thr_redis_place *place,
			   int node);

/* Ask `node`, or any that is ready, for CLUSTER SLOTS, when the table is old, now or since
 * before, and it is time to. */
void thr_redis_cluster_ask(struct thr_redis_cluster *cluster, struct thr_redis_node *node,
			   bool is_old);

/* What `node` answered; NULL: nothing. */
void thr_redis_cluster_learn(struct thr_redis_cluster *cluster, struct thr_redis_node *node,
			     const struct redisReply *reply);

/* A key in a slot of the node, so that the write of its greeting is one that it serves; NULL
 * where any will do. To be freed by free(). */
char *thr_redis_cluster_key(const struct thr_redis_cluster *cluster,
			    const struct thr_redis_node *node);

/* Whether calls go to the node: of a cluster, not to the first one when it has no slot. */
bool thr_redis_cluster_needs(const struct thr_redis_cluster *cluster, size_t node);

#endif
