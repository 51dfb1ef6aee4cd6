/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A keyed hash for what strangers choose, such as clients' addresses: SipHash-1-3
 * with 128 bits of output (Aumasson and Bernstein, 2012; the variant with fewer
 * rounds that hash tables use). Without the key, nobody can find two inputs that
 * meet.
 */
#ifndef THR_HASH_H
#define THR_HASH_H

#include <stddef.h>
#include <stdint.h>

struct thr_hash_key {
	uint64_t word[2]; /* secret; from getrandom() */
};

struct thr_hash {
	uint64_t word[2];
};

struct thr_hash thr_hash(const struct thr_hash_key *key, const void *bytes, size_t size);

/* A secret made of another one, for what `name` says alone. */
struct thr_hash_key thr_hash_scope(const struct thr_hash_key *secret, const char *name);

/* The hash of a thing as it is in a scope: it differs from the thing's own, and from that in
 * other scopes, as their secrets do, and is spread no better than `what` was. */
static inline struct thr_hash thr_hash_in(const struct thr_hash_key *scope, struct thr_hash what)
{
	return (struct thr_hash){{what.word[0] ^ scope->word[0], what.word[1] ^ scope->word[1]}};
}

#endif
