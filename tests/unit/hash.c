/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The keyed hash against another implementation: the expected values are what
 *   openssl mac -macopt hexkey:000102030405060708090a0b0c0d0e0f -macopt c-rounds:1
 *       -macopt d-rounds:3 -macopt size:16 -in FILE SIPHASH
 * prints for a file with the bytes 0, 1, 2 ... (OpenSSL 3.0; the same command with
 * rounds 2 and 4 gives the vectors published with the algorithm).
 */
#include <endian.h>
#include <string.h>

#include "core/hash.h"
#include "support/run.h"

static const struct thr_hash_key key = {{0x0706050403020100, 0x0f0e0d0c0b0a0908}};

static const struct {
	size_t size;
	uint64_t word[2]; /* in the order of the output's bytes */
} vectors[] = {
	{0, {0xe77ebcb22788a5be, 0xfd62db6add303001}},
	{1, {0xfc6f370460d3eda8, 0x5e0573cc2b2ff063}},
	{7, {0x1084b923f2aae0c3, 0xa62f2ec80848ab77}},
	{8, {0xaa12fee1d5e3dab4, 0x724f16ab35f9c799}},
	{9, {0x81ddb8042cf33994, 0xf4720e0094137c42}},
	{15, {0xc17e5505b2bd526c, 0x2921cdec1e7e0109}},
	{16, {0xd0a8d95715518eeb, 0xb513b0f83d9e1793}},
	{17, {0x234126f93fbb668d, 0x975112e8febdf7ec}},
	{63, {0x4c5800e34efe426f, 0x079f6b0aa75260ad}},
};

static void agrees_with_another_implementation(void **state)
{
	uint8_t bytes[64];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		struct thr_hash hash = thr_hash(&key, bytes, vectors[i].size);

		assert_int_equal(htole64(hash.word[0]), htobe64(vectors[i].word[0]));
		assert_int_equal(htole64(hash.word[1]), htobe64(vectors[i].word[1]));
	}
}

static void does_not_depend_on_where_the_bytes_are(void **state)
{
	char bytes[64 + 8];

	(void)state;
	for (size_t offset = 0; offset < 8; offset++) {
		struct thr_hash hash;

		for (size_t i = 0; i < 63; i++)
			bytes[offset + i] = (char)i;
		hash = thr_hash(&key, bytes + offset, 63);
		assert_int_equal(htole64(hash.word[0]), htobe64(0x4c5800e34efe426f));
	}
}

static void another_key_gives_another_hash(void **state)
{
	struct thr_hash one, other;

	(void)state;
	for (int word = 0; word < 2; word++) {
		for (int bit = 0; bit < 64; bit++) {
			struct thr_hash_key changed = key;

			changed.word[word] ^= 1ULL << bit;
			one = thr_hash(&key, "192.0.2.1", 9);
			other = thr_hash(&changed, "192.0.2.1", 9);
			assert_int_not_equal(one.word[0], other.word[0]);
			assert_int_not_equal(one.word[1], other.word[1]);
		}
	}
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_another_implementation),
		cmocka_unit_test(does_not_depend_on_where_the_bytes_are),
		cmocka_unit_test(another_key_gives_another_hash),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
