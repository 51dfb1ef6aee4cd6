/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SipHash with 128 bits of output, one round a word and three at the end; see
 * hash.h. Words are read in little-endian order, as the paper has them, so that
 * a key means the same on every machine.
 */
#include "core/hash.h"

#include <endian.h>
#include <string.h>

#define WORD_ROUNDS 1
#define FINAL_ROUNDS 3

struct sip {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t word, unsigned int bits)
{
	return word << bits | word >> (64 - bits);
}

static inline void sip_rounds(struct sip *sip, int count)
{
	while (count--) {
		sip->v0 += sip->v1;
		sip->v2 += sip->v3;
		sip->v1 = rotate(sip->v1, 13) ^ sip->v0;
		sip->v3 = rotate(sip->v3, 16) ^ sip->v2;
		sip->v0 = rotate(sip->v0, 32);
		sip->v2 += sip->v1;
		sip->v0 += sip->v3;
		sip->v1 = rotate(sip->v1, 17) ^ sip->v2;
		sip->v3 = rotate(sip->v3, 21) ^ sip->v0;
		sip->v2 = rotate(sip->v2, 32);
	}
}

static inline void sip_word(struct sip *sip, uint64_t word)
{
	sip->v3 ^= word;
	sip_rounds(sip, WORD_ROUNDS);
	sip->v0 ^= word;
}

static inline uint64_t sip_output(struct sip *sip)
{
	sip_rounds(sip, FINAL_ROUNDS);
	return sip->v0 ^ sip->v1 ^ sip->v2 ^ sip->v3;
}

/* The `size` bytes at `from`, at most 8, the first one lowest. */
static inline uint64_t load_word(const unsigned char *from, size_t size)
{
	uint64_t word = 0;

	memcpy(&word, from, size);
	return le64toh(word);
}

struct thr_hash thr_hash(const struct thr_hash_key *key, const void *bytes, size_t size)
{
	const unsigned char *at = bytes, *end = at + size / 8 * 8;
	struct sip sip = {
		.v0 = key->word[0] ^ 0x736f6d6570736575, /* "somepseudorandomlygeneratedbytes" */
		.v1 = key->word[1] ^ 0x646f72616e646f6d ^ 0xee, /* 0xee: 128 bits of output */
		.v2 = key->word[0] ^ 0x6c7967656e657261,
		.v3 = key->word[1] ^ 0x7465646279746573,
	};
	struct thr_hash hash;

	for (; at < end; at += 8)
		sip_word(&sip, load_word(at, 8));
	sip_word(&sip, load_word(at, size % 8) | (uint64_t)size << 56);

	sip.v2 ^= 0xee;
	hash.word[0] = sip_output(&sip);
	sip.v1 ^= 0xdd;
	hash.word[1] = sip_output(&sip);
	return hash;
}

struct thr_hash_key thr_hash_scope(const struct thr_hash_key *secret, const char *name)
{
	struct thr_hash hash = thr_hash(secret, name, strlen(name));

	return (struct thr_hash_key){{hash.word[0], hash.word[1]}};
}
