/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who a client is: the walk through X-Forwarded-For, and the keys of buckets. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/identity.h"
#include "support/run.h"

#define LINES_MAX 4
#define THOUSANDS 5000

static const char *const trusted_texts[] = {"10.0.0.0/8", "192.0.2.1/32", "2001:db8:ffff::/48"};
static struct thr_prefix trusted[ARRAY_SIZE(trusted_texts)];

static int setup(void **state)
{
	const char *why;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(trusted_texts); i++)
		if (thr_prefix_parse(trusted_texts[i], &trusted[i], &why) < 0)
			return -1;
	return 0;
}

static struct thr_address address(const char *text)
{
	struct thr_address address;

	assert_int_equal(thr_address_parse((struct thr_slice){text, strlen(text)}, &address), 0);
	return address;
}

static struct thr_http_field forwarded_for(const char *value)
{
	return (struct thr_http_field){
		.name = THR_SLICE("x-forwarded-for"),
		.value = {value, strlen(value)},
		.id = THR_FIELD_X_FORWARDED_FOR,
	};
}

static struct thr_address find(const struct thr_http_field *fields, size_t count)
{
	struct thr_address peer = address("10.0.0.9"), client;

	peer.port = 4321;
	thr_identity_find(fields, count, &peer, trusted, ARRAY_SIZE(trusted), &client);
	return client;
}

static void assert_client(const struct thr_address *client, const char *text, uint16_t port)
{
	char written[THR_ADDRESS_TEXT];

	thr_address_format(client, written);
	assert_string_equal(written, text);
	assert_int_equal(client->port, port);
}

static void the_client_is_the_nearest_that_is_not_trusted(void **state)
{
	static const struct {
		const char *value, *client;
		uint16_t port;
	} cases[] = {
		{"203.0.113.7", "203.0.113.7", 0},
		{"198.51.100.1, 203.0.113.7", "203.0.113.7", 0},
		{"198.51.100.1, 203.0.113.7, 10.1.1.1", "203.0.113.7", 0},
		{"203.0.113.7,10.1.1.1,192.0.2.1", "203.0.113.7", 0},
		{"203.0.113.7 \t,\t 10.1.1.1", "203.0.113.7", 0},
		{"junk, 203.0.113.7", "203.0.113.7", 0},
		{"203.0.113.7:567", "203.0.113.7", 567},
		{"203.0.113.7, 10.1.1.1:80", "203.0.113.7", 0},
		{"2001:db8::1", "2001:db8::1", 0},
		{"[2001:db8::1]", "2001:db8::1", 0},
		{"[2001:db8::1]:443", "2001:db8::1", 443},
		{"2001:db8::1, [2001:db8:ffff::2]:80", "2001:db8::1", 0},
		{"::ffff:203.0.113.7", "203.0.113.7", 0},
		{"[::ffff:203.0.113.7]:80", "203.0.113.7", 80},
		{"203.0.113.7, ::ffff:10.1.1.1", "203.0.113.7", 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct thr_http_field field = forwarded_for(cases[i].value);
		struct thr_address client = find(&field, 1);

		assert_client(&client, cases[i].client, cases[i].port);
	}
}

static void what_is_not_an_address_ends_the_walk_at_the_last_good_one(void **state)
{
	static const char *const junk[] = {
		"",
		" ",
		"unknown",
		"_hidden",
		"localhost",
		"203.0.113.7 203.0.113.8",
		"203.0.113",
		"203.0.113.256",
		"203.0.113.07",
		"203.0.113.7:",
		"203.0.113.7:0x50",
		"203.0.113.7:65536",
		"203.0.113.7:80:80",
		":80",
		"\"203.0.113.7\"",
		"for=203.0.113.7",
		"2001:db8::1%eth0",
		"[2001:db8::1",
		"2001:db8::1]",
		"[2001:db8::1]80",
		"[2001:db8::1]:",
		"[2001:db8::1] :80",
		"[]",
		"[",
		"[]:80",
		"[[2001:db8::1]]",
		"203.0.113.7/32",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(junk); i++) {
		struct thr_http_field field = forwarded_for(junk[i]);
		struct thr_address client = find(&field, 1);
		char value[128];

		assert_client(&client, "10.0.0.9", 4321);

		snprintf(value, sizeof(value), "203.0.113.7, %s, 10.1.1.1", junk[i]);
		field = forwarded_for(value);
		client = find(&field, 1);
		assert_client(&client, "10.1.1.1", 0);
	}
}

static void field_lines_count_as_if_they_were_joined(void **state)
{
	static const struct {
		const char *lines[LINES_MAX];
		const char *client;
		uint16_t port;
	} cases[] = {
		{{"203.0.113.7", "10.1.1.1"}, "203.0.113.7", 0},
		{{"198.51.100.1", "203.0.113.7", "10.1.1.1, 10.1.1.2"}, "203.0.113.7", 0},
		{{"198.51.100.1, 203.0.113.7", "10.1.1.1"}, "203.0.113.7", 0},
		{{"203.0.113.7", ""}, "10.0.0.9", 4321},
		{{"203.0.113.7", "", "10.1.1.1"}, "10.1.1.1", 0},
		{{"10.1.1.1", "10.1.1.2"}, "10.1.1.1", 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct thr_http_field fields[2 * LINES_MAX] = {0};
		struct thr_address client;
		size_t count = 0;

		for (size_t l = 0; l < LINES_MAX && cases[i].lines[l]; l++) {
			fields[count++] = forwarded_for(cases[i].lines[l]);
			fields[count++] = (struct thr_http_field){.name = THR_SLICE("x-real-ip"),
								  .value = THR_SLICE("192.0.2.99")};
		}
		client = find(fields, count);
		assert_client(&client, cases[i].client, cases[i].port);
	}
}

static void without_the_field_the_peer_is_the_client(void **state)
{
	struct thr_http_field other = {.name = THR_SLICE("forwarded"),
				       .value = THR_SLICE("for=203.0.113.7"),
				       .id = THR_FIELD_FORWARDED};
	struct thr_address client = find(&other, 1);

	(void)state;
	assert_client(&client, "10.0.0.9", 4321);
	client = find(NULL, 0);
	assert_client(&client, "10.0.0.9", 4321);
}

static void when_all_are_trusted_the_leftmost_is_the_client(void **state)
{
	struct thr_http_field field = forwarded_for("10.3.3.3, 10.2.2.2, 10.1.1.1");
	struct thr_address client = find(&field, 1);

	(void)state;
	assert_client(&client, "10.3.3.3", 0);
}

/* "10.0.0.1,10.0.0.2,...", whose last is 10.x.y.z of `count`. */
static char *make_chain(size_t count)
{
	char *chain = malloc(count * sizeof("10.255.255.255,")), *at = chain;

	assert_non_null(chain);
	for (size_t i = 1; i <= count; i++)
		at += sprintf(at, "%s10.0.%zu.%zu", i > 1 ? "," : "", i >> 8, i & 0xff);
	return chain;
}

static void no_more_than_64_entries_are_looked_at(void **state)
{
	char *chain = make_chain(THOUSANDS);
	struct thr_http_field field = forwarded_for(chain), lines[128];
	struct thr_address client = find(&field, 1);
	char expected[THR_ADDRESS_TEXT];

	(void)state;
	snprintf(expected, sizeof(expected), "10.0.%d.%d", (THOUSANDS - 63) >> 8,
		 (THOUSANDS - 63) & 0xff);
	assert_client(&client, expected, 0);
	free(chain);

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		lines[i] = forwarded_for(i < 64 ? "203.0.113.7" : "10.1.1.1");
	client = find(lines, ARRAY_SIZE(lines));
	assert_client(&client, "10.1.1.1", 0);
	client = find(lines + 1, ARRAY_SIZE(lines) - 2);
	assert_client(&client, "203.0.113.7", 0);
}

static void an_entry_of_megabytes_is_not_an_address(void **state)
{
	enum { SIZE = 1 << 20 };
	char *value = malloc(SIZE + 1);
	struct thr_http_field field;
	struct thr_address client;

	(void)state;
	assert_non_null(value);
	memset(value, '1', SIZE);
	value[SIZE] = '\0';
	field = forwarded_for(value);
	client = find(&field, 1);
	assert_client(&client, "10.0.0.9", 4321);
	free(value);
}

/* --- keys --- */

static struct thr_memory_key key_of(const char *client, const char *scope)
{
	static const struct thr_hash_key secret = {{1, 2}};
	const struct thr_hash_key scoped = thr_hash_scope(&secret, scope);
	struct thr_address parsed = address(client);
	struct thr_memory_key key;

	parsed.port = (uint16_t)(client[0] * 77); /* must not matter */
	thr_client_key(&scoped, &parsed, &key);
	return key;
}

static bool same(struct thr_hash a, struct thr_hash b)
{
	return a.word[0] == b.word[0] && a.word[1] == b.word[1];
}

static void keys_and_groups_are_of_prefixes(void **state)
{
	static const struct {
		const char *a, *b;
		bool key, group, group2; /* are the same */
	} cases[] = {
		{"192.0.2.1", "192.0.2.1", true, true, true},
		{"192.0.2.1", "::ffff:192.0.2.1", true, true, true},
		{"192.0.2.1", "192.0.2.2", false, true, true},
		{"192.0.2.1", "192.0.3.1", false, false, true},
		{"192.0.2.1", "192.1.2.1", false, false, false},
		{"2001:db8:1:1::1", "2001:db8:1:1:ffff::2", true, true, true},
		{"2001:db8:1:1::1", "2001:db8:1:2::1", false, true, true},
		{"2001:db8:1:1::1", "2001:db8:2:1::1", false, false, true},
		{"2001:db8:1:1::1", "2001:db9:1:1::1", false, false, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct thr_memory_key a = key_of(cases[i].a, ""), b = key_of(cases[i].b, "");

		assert_int_equal(same(a.key, b.key), cases[i].key);
		assert_int_equal(same(a.group[0], b.group[0]), cases[i].group);
		assert_int_equal(same(a.group[1], b.group[1]), cases[i].group2);
	}
}

static void prefixes_of_different_lengths_and_families_never_meet(void **state)
{
	static const char *const clients[] = {"0.0.0.0", "::", "::ffff:0:0:0", "10.0.0.0"};
	struct thr_hash all[3 * ARRAY_SIZE(clients)];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
		struct thr_memory_key key = key_of(clients[i], "");

		memcpy(&all[3 * i], &key, sizeof(key));
	}
	/* The third client is in the second one's /64. */
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		for (size_t j = 0; j < i; j++)
			assert_int_equal(same(all[i], all[j]),
					 i / 3 == 2 && j / 3 == 1 && i % 3 == j % 3);
}

static void a_client_has_other_keys_in_another_scope_and_by_another_secret(void **state)
{
	static const struct thr_hash_key secret = {{1, 3}};
	struct thr_memory_key a = key_of("192.0.2.1", ""), b = key_of("192.0.2.1", "/api"), c;
	struct thr_memory_key d = key_of("192.0.2.1", "/api");
	const struct thr_hash_key scoped = thr_hash_scope(&secret, "/api");
	struct thr_address client = address("192.0.2.1");

	(void)state;
	thr_client_key(&scoped, &client, &c);
	assert_memory_equal(&b, &d, sizeof(b));
	assert_false(same(a.key, b.key) || same(b.key, c.key));
	assert_false(same(a.group[0], b.group[0]) || same(b.group[0], c.group[0]));
	assert_false(same(a.group[1], b.group[1]) || same(b.group[1], c.group[1]));
}

/* Where one source is less than a client, it has a bucket of its own, in the same groups. */
static void keys_of_sources_have_as_many_bits_where_a_client_has_fewer(void **state)
{
	static const struct {
		const char *a, *b;
		unsigned int bits;
		bool same;
	} cases[] = {
		{"2001:db8:1:1::1", "2001:db8:1:1::2", 128, false},
		{"2001:db8:1:1::1", "2001:db8:1:1::1", 128, true},
		{"2001:db8:1:1::1", "2001:db8:1:1::2", 126, true},
		{"2001:db8:1:1::", "2001:db8:1:1:8000::", 65, false},
		{"2001:db8:1:1::", "2001:db8:1:1:4000::", 65, true},
		{"2001:db8:1:1::1", "2001:db8:1:1:ffff::2", 64, true},
		{"2001:db8:1:1::1", "2001:db8:1:2::1", 48, false},
		{"192.0.2.1", "192.0.2.1", 128, true},
		{"192.0.2.1", "192.0.2.2", 1, false},
	};
	const struct thr_hash_key scoped = thr_hash_scope(&(struct thr_hash_key){{1, 2}}, "");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct thr_address left = address(cases[i].a), right = address(cases[i].b);
		struct thr_memory_key a, b;

		thr_identity_source_key(&scoped, &left, cases[i].bits, &a);
		thr_identity_source_key(&scoped, &right, cases[i].bits, &b);
		if (same(a.key, b.key) != cases[i].same)
			fail_msg("%s and %s, %u bits", cases[i].a, cases[i].b, cases[i].bits);
		assert_true(same(a.group[1], b.group[1]));
	}
}

static void names_are_of_the_scope_and_the_address_or_its_prefix(void **state)
{
	static const struct {
		const char *scope, *client, *name;
	} cases[] = {
		{"", "192.0.2.1", "http:|192.0.2.1"},
		{"/api", "192.0.2.1", "http:/api|192.0.2.1"},
		{"/api", "::ffff:192.0.2.1", "http:/api|192.0.2.1"},
		{"/a|b{c}", "192.0.2.1", "http:/a|b{c}|192.0.2.1"},
		{"/", "2001:db8:1:2:3:4:5:6", "http:/|2001:db8:1:2::/64"},
		{"/", "2001:db8::1", "http:/|2001:db8::/64"},
		{"", "::1", "http:|::/64"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct thr_address client = address(cases[i].client);
		char name[THR_IDENTITY_NAME_MAX];
		size_t length;

		client.port = 4321; /* must not matter */
		length = thr_identity_name(cases[i].scope, &client, name);
		assert_int_equal(length, strlen(cases[i].name));
		assert_memory_equal(name, cases[i].name, length);
	}
}

static void the_longest_name_has_room(void **state)
{
	struct thr_address client = address("2001:db8:1111:2222:3333:4444:5555:6666");
	char scope[1025], name[THR_IDENTITY_NAME_MAX];
	size_t length;

	(void)state;
	memset(scope, 'a', sizeof(scope) - 1);
	scope[sizeof(scope) - 1] = '\0';
	length = thr_identity_name(scope, &client, name);
	assert_int_equal(length, 5 + 1024 + 1 + strlen("2001:db8:1111:2222::/64"));
	assert_memory_equal(name + length - 3, "/64", 3);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_client_is_the_nearest_that_is_not_trusted, setup),
		cmocka_unit_test_setup(what_is_not_an_address_ends_the_walk_at_the_last_good_one,
				       setup),
		cmocka_unit_test_setup(field_lines_count_as_if_they_were_joined, setup),
		cmocka_unit_test_setup(without_the_field_the_peer_is_the_client, setup),
		cmocka_unit_test_setup(when_all_are_trusted_the_leftmost_is_the_client, setup),
		cmocka_unit_test_setup(no_more_than_64_entries_are_looked_at, setup),
		cmocka_unit_test_setup(an_entry_of_megabytes_is_not_an_address, setup),
		cmocka_unit_test(keys_and_groups_are_of_prefixes),
		cmocka_unit_test(prefixes_of_different_lengths_and_families_never_meet),
		cmocka_unit_test(a_client_has_other_keys_in_another_scope_and_by_another_secret),
		cmocka_unit_test(keys_of_sources_have_as_many_bits_where_a_client_has_fewer),
		cmocka_unit_test(names_are_of_the_scope_and_the_address_or_its_prefix),
		cmocka_unit_test(the_longest_name_has_room),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
