/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Redis Cluster's slots and words, by the cluster specification's own examples. */
#include <string.h>

#include "store/redis.h"
#include "store/redis_slots.h"
#include "support/run.h"

static uint16_t slot_of(const char *key)
{
	return thr_redis_slot((struct thr_slice){key, strlen(key)});
}

static void slots_are_crc16_xmodem_modulo_16384(void **state)
{
	(void)state;
	/* The specification's check value: CRC16 of this is 0x31c3. */
	assert_int_equal(slot_of("123456789"), 0x31c3 % THR_REDIS_SLOTS);
	/* As redis-server's CLUSTER KEYSLOT says. */
	assert_int_equal(slot_of(""), 0);
	assert_int_equal(slot_of("foo"), 12182);
	assert_int_equal(slot_of("bar"), 5061);
	assert_int_equal(slot_of("somekey"), 11058);
	assert_int_equal(thr_redis_slot((struct thr_slice){"a\0b", 3}),
			 thr_redis_slot((struct thr_slice){"x{a\0b}", 6}));
}

static void only_the_hash_tag_counts_where_there_is_one(void **state)
{
	(void)state;
	assert_int_equal(slot_of("{user1000}.following"), slot_of("user1000"));
	assert_int_equal(slot_of("{user1000}.followers"), slot_of("user1000"));
	assert_int_equal(slot_of("foo{bar}{zap}"), slot_of("bar"));
	assert_int_equal(slot_of("foo{{bar}}zap"), slot_of("{bar"));
	/* None: nothing between, or nothing that closes. */
	assert_int_not_equal(slot_of("foo{}{bar}"), slot_of("bar"));
	assert_int_equal(slot_of("foo{}{bar}"), 8363);
	assert_int_not_equal(slot_of("foo{bar"), slot_of("bar"));
	assert_int_not_equal(slot_of("foo}bar{"), slot_of("bar"));
}

static void redirections_are_read(void **state)
{
	static const struct {
		const char *error, *host;
		uint16_t slot, port;
	} cases[] = {
		{"MOVED 3999 127.0.0.1:6381", "127.0.0.1", 3999, 6381},
		{"ASK 0 redis-1.example:1", "redis-1.example", 0, 1},
		{"MOVED 16383 2001:db8::1:65535", "2001:db8::1", 16383, 65535},
		{"MOVED 5 :6381", "", 5, 6381},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct thr_slice error = {cases[i].error, strlen(cases[i].error)};
		struct thr_redis_place place;

		assert_true(thr_redis_place_parse(error, &place));
		assert_int_equal(place.first_slot, cases[i].slot);
		assert_int_equal(place.last_slot, cases[i].slot);
		assert_int_equal(place.port, cases[i].port);
		assert_true(thr_slice_is(place.host, cases[i].host));
	}
}

static void what_cannot_be_followed_is_refused(void **state)
{
	static const char *const errors[] = {
		"MOVED",
		"MOVED ",
		"MOVED 3999",
		"MOVED 3999 127.0.0.1",
		"MOVED 16384 127.0.0.1:6381",
		"MOVED -1 127.0.0.1:6381",
		"MOVED 3999 127.0.0.1:0",
		"MOVED 3999 127.0.0.1:65536",
		"MOVED 3999 127.0.0.1:",
		"MOVED 3999 a\tb:6381",
		"MOVED  127.0.0.1:6381",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		struct thr_slice error = {errors[i], strlen(errors[i])};
		struct thr_redis_place place;

		assert_false(thr_redis_place_parse(error, &place));
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slots_are_crc16_xmodem_modulo_16384),
		cmocka_unit_test(only_the_hash_tag_counts_where_there_is_one),
		cmocka_unit_test(redirections_are_read),
		cmocka_unit_test(what_cannot_be_followed_is_refused),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
