/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The two sets of sources of an instance: who is verified, and who is blocked, each until
 * a time. The XDP program reads both and adds to the first; `run` adds to both, and the
 * command line to the second.
 *
 * A source is what the tables in force count as one: an IPv4 address, or the first
 * `ipv6_source_prefix` bits of an IPv6 one. Entries that are over stay until the kernel
 * needs their room, or until they are removed.
 *
 * Callers hold thr_lock(), for the length of an IPv6 source is read from the tables.
 */
#ifndef THR_PEERS_H
#define THR_PEERS_H

#include "control/instance.h"
#include "core/address.h"

enum thr_peer_set { THR_PEERS_VERIFIED, THR_PEERS_BLOCKED };

struct thr_peer {
	struct thr_prefix source;
	uint64_t until_ns; /* monotonic */
};

/* How many bits of an IPv6 address are one source; 0: no table was applied yet. */
unsigned int thr_peer_v6_bits(const struct thr_instance *instance);

/* The source that the address belongs to. */
struct thr_prefix thr_peer_source(const struct thr_instance *instance,
				  const struct thr_address *address);

/* Have these sources, each by thr_peer_source(), in the set, in the place of what it said of
 * them. Returns 0 or a negative errno with `error` set: some may be in it then; -ENODATA where
 * no table was applied, so that it is not known what a source is. */
int thr_peers_add(struct thr_instance *instance, enum thr_peer_set set,
		  const struct thr_peer *peers, size_t count, struct thr_error *error);

/* Until when the source is in the set; 0: it is not, at `now_ns`. */
uint64_t thr_peers_find(const struct thr_instance *instance, enum thr_peer_set set,
			const struct thr_prefix *source, uint64_t now_ns);

/* Take the source out. Returns 0, or a negative errno: -ENOENT when it is not in there. */
int thr_peers_remove(struct thr_instance *instance, enum thr_peer_set set,
		     const struct thr_prefix *source);

/* All that are in the set at `now_ns`, by thr_prefix_compare(), for the caller to free.
 * Returns 0 or a negative errno with `error` set. */
int thr_peers_list(const struct thr_instance *instance, enum thr_peer_set set, uint64_t now_ns,
		   struct thr_peer **ret_peers, size_t *ret_count, struct thr_error *error);

#endif
