/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Prefixes: what is read, what is refused, how they are written and ordered. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/prefix.h"
#include "support/run.h"

static struct thr_prefix prefix(const char *text)
{
	struct thr_prefix prefix;
	const char *why;

	assert_int_equal(thr_prefix_parse(text, &prefix, &why), 0);
	return prefix;
}

static void text_and_prefix_are_each_others_inverse(void **state)
{
	static const char *const texts[] = {
		"0.0.0.0/0",
		"192.0.2.0/24",
		"192.0.2.1/32",
		"255.255.255.254/31",
		"128.0.0.0/1",
		"::/0",
		"::/128",
		"::1/128",
		"2001:db8::/32",
		"2001:db8:0:0:1::/80",
		"2001:db8:0:1:1:1:1:1/128",
		"1:0:0:2::/64",
		"::1:0/112",
		"fe80::/10",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
		"64:ff9b::/96",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct thr_prefix parsed = prefix(texts[i]);
		char text[THR_PREFIX_TEXT];

		thr_prefix_format(&parsed, text);
		assert_string_equal(text, texts[i]);
	}
}

static void text_is_canonical_whatever_was_read(void **state)
{
	static const struct {
		const char *read, *written;
	} cases[] = {
		{"192.0.2.7", "192.0.2.7/32"},
		{"2001:DB8::1", "2001:db8::1/128"},
		{"2001:0db8:0000:0000:0000:0000:0000:0000/32", "2001:db8::/32"},
		{"1:0:0:2:0:0:0:3", "1:0:0:2::3/128"},
		{"1:0:0:2:3:0:0:4", "1::2:3:0:0:4/128"},
		{"0:1::", "0:1::/128"},
		{"::192.0.2.0/120", "::c000:200/120"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct thr_prefix parsed = prefix(cases[i].read);
		char text[THR_PREFIX_TEXT];

		thr_prefix_format(&parsed, text);
		assert_string_equal(text, cases[i].written);
	}
}

static void ipv4_is_kept_v4_mapped(void **state)
{
	static const uint8_t mapped[16] = {[10] = 0xff, 0xff, 192, 0, 2, 0};
	struct thr_prefix parsed = prefix("192.0.2.0/24");

	(void)state;
	assert_memory_equal(parsed.address, mapped, sizeof(mapped));
	assert_int_equal(parsed.bits, 24);
	assert_false(parsed.is_v6);
}

static void what_is_not_a_prefix_is_refused_and_changes_nothing(void **state)
{
	static const char *const texts[] = {
		"",
		"/",
		"/8",
		"10",
		"10.0.0/8",
		"10.0.0.0/",
		"10.0.0.0/33",
		"10.0.0.0/-1",
		"10.0.0.0/+8",
		"10.0.0.0/08",
		"10.0.0.0/8 ",
		"10.0.0.0 /8",
		" 10.0.0.0/8",
		"10.0.0.0/8/8",
		"10.0.0.0/255.0.0.0",
		"10.0.0.0/256",
		"10.0.0.0/4294967304",
		"010.0.0.0/8",
		"256.0.0.0/8",
		"localhost",
		":",
		":::",
		"::/129",
		"::g",
		"fe80::1%eth0",
		"[::1]",
		"1:2:3:4:5:6:7:8:9",
		"1:2:3:4:5:6:7:8:1:2:3:4:5:6:7:8:1:2:3:4:5:6:7:8",
		"::ffff:192.0.2.0/120",
		"::ffff:0:0/96",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct thr_prefix parsed, before;
		const char *why = NULL;

		memset(&parsed, 0x5a, sizeof(parsed));
		before = parsed;
		assert_int_equal(thr_prefix_parse(texts[i], &parsed, &why), -EINVAL);
		assert_memory_equal(&parsed, &before, sizeof(before));
		assert_non_null(why);
	}
}

static void host_bits_are_refused_with_the_prefix_without_them(void **state)
{
	static const struct {
		const char *wrong, *right;
	} cases[] = {
		{"192.0.2.1/24", "192.0.2.0/24"},
		{"192.0.2.255/25", "192.0.2.128/25"},
		{"255.255.255.255/0", "0.0.0.0/0"},
		{"2001:db8::1/127", "2001:db8::/127"},
		{"2001:db8:ffff::/33", "2001:db8:8000::/33"},
		{"::1/0", "::/0"},
		{"::ffff:1.2.3.4/95", "::fffe:0:0/95"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[THR_PREFIX_TEXT];
		struct thr_prefix cut;
		const char *why;

		assert_int_equal(thr_prefix_parse(cases[i].wrong, &cut, &why), -EADDRNOTAVAIL);
		thr_prefix_format(&cut, text);
		assert_string_equal(text, cases[i].right);
	}
}

static void order_is_family_then_address_then_length(void **state)
{
	static const char *const ascending[] = {
		"0.0.0.0/0",
		"0.0.0.0/8",
		"10.0.0.0/8",
		"10.0.0.0/24",
		"10.0.0.0/32",
		"10.0.0.1/32",
		"192.0.2.0/24",
		"255.255.255.255/32",
		"::/0",
		"::/128",
		"2001:db8::/32",
		"2001:db8::/48",
		"2001:db8:0:1::/64",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ascending); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(ascending); j++) {
			struct thr_prefix a = prefix(ascending[i]), b = prefix(ascending[j]);
			int order = thr_prefix_compare(&a, &b);

			assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
		}
	}
}

static void a_prefix_holds_itself_and_what_is_longer_within_it(void **state)
{
	static const struct {
		const char *outer, *inner;
		bool holds;
	} cases[] = {
		{"10.0.0.0/8", "10.0.0.0/8", true},
		{"10.0.0.0/8", "10.255.0.0/16", true},
		{"10.0.0.0/8", "11.0.0.0/8", false},
		{"10.0.0.0/9", "10.128.0.0/16", false},
		{"10.0.0.0/16", "10.0.0.0/8", false},
		{"0.0.0.0/0", "203.0.113.7", true},
		{"0.0.0.0/0", "::1", false},
		{"::/0", "203.0.113.7", false},
		{"::/0", "2001:db8::/32", true},
		{"2001:db8::/33", "2001:db8:8000::/48", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct thr_prefix outer = prefix(cases[i].outer), inner = prefix(cases[i].inner);

		assert_int_equal(thr_prefix_holds(&outer, &inner), cases[i].holds);
	}
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_and_prefix_are_each_others_inverse),
		cmocka_unit_test(text_is_canonical_whatever_was_read),
		cmocka_unit_test(ipv4_is_kept_v4_mapped),
		cmocka_unit_test(what_is_not_a_prefix_is_refused_and_changes_nothing),
		cmocka_unit_test(host_bits_are_refused_with_the_prefix_without_them),
		cmocka_unit_test(order_is_family_then_address_then_length),
		cmocka_unit_test(a_prefix_holds_itself_and_what_is_longer_within_it),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
