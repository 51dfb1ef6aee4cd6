/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses: from and to sockets and text, and the prefixes that hold them. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "core/address.h"
#include "support/run.h"

static struct thr_slice slice(const char *text)
{
	return (struct thr_slice){text, strlen(text)};
}

static struct thr_address address(const char *text)
{
	struct thr_address address;

	assert_int_equal(thr_address_parse(slice(text), &address), 0);
	return address;
}

static void text_is_canonical_whatever_was_read(void **state)
{
	static const struct {
		const char *read, *written;
		bool is_v4;
	} cases[] = {
		{"192.0.2.1", "192.0.2.1", true},
		{"0.0.0.0", "0.0.0.0", true},
		{"1.10.100.9", "1.10.100.9", true},
		{"255.255.255.255", "255.255.255.255", true},
		{"::ffff:192.0.2.1", "192.0.2.1", true},
		{"::FFFF:c000:201", "192.0.2.1", true},
		{"::", "::", false},
		{"::1", "::1", false},
		{"2001:DB8::0001", "2001:db8::1", false},
		{"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1", false},
		{"1:0:0:2:0:0:0:3", "1:0:0:2::3", false},
		{"64:ff9b::192.0.2.1", "64:ff9b::c000:201", false},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false},
		{"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
		 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct thr_address parsed = address(cases[i].read);
		char text[THR_ADDRESS_TEXT];

		assert_int_equal(thr_address_format(&parsed, text), strlen(cases[i].written));
		assert_string_equal(text, cases[i].written);
		assert_int_equal(thr_address_is_v4(&parsed), cases[i].is_v4);
		assert_int_equal(parsed.port, 0);
	}
}

static void what_is_not_an_address_is_refused_and_changes_nothing(void **state)
{
	static const char *const texts[] = {
		"",
		" ",
		".",
		":",
		":::",
		"1.2.3",
		"1.2.3.4.5",
		"1.2.3.4 ",
		" 1.2.3.4",
		"1.2.3.256",
		"1.2.3.04",
		"0x1.2.3.4",
		"1.2.3.4:80",
		"1.2.3.4/32",
		"[::1]",
		"::1%lo",
		"::1/128",
		"12345::",
		"::g",
		"1:2:3:4:5:6:7",
		"1:2:3:4:5:6:7:8:9",
		"::1.2.3",
		"localhost",
		"unknown",
		"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.2555",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct thr_address parsed = {.bytes = {7}, .port = 7}, before = parsed;

		assert_int_equal(thr_address_parse(slice(texts[i]), &parsed), -EINVAL);
		assert_memory_equal(&parsed, &before, sizeof(before));
	}
}

static void a_nul_ends_no_address(void **state)
{
	struct thr_address parsed;

	(void)state;
	assert_int_equal(thr_address_parse(THR_SLICE("1.2.3.4\0junk"), &parsed), -EINVAL);
	assert_int_equal(thr_address_parse(THR_SLICE("::1\0"), &parsed), -EINVAL);
	assert_int_equal(thr_address_parse((struct thr_slice){"1.2.3.45", 7}, &parsed), 0);
	assert_int_equal(parsed.bytes[15], 4);
}

static void a_port_is_up_to_65535_in_its_shortest_digits(void **state)
{
	static const struct {
		const char *text;
		int port; /* or a negative errno */
	} cases[] = {
		{"0", 0},	    {"1", 1},		{"80", 80},	     {"65535", 65535},
		{"65536", -EINVAL}, {"99999", -EINVAL}, {"100000", -EINVAL}, {"", -EINVAL},
		{"080", -EINVAL},   {"00", -EINVAL},	{"+1", -EINVAL},     {"-1", -EINVAL},
		{" 1", -EINVAL},    {"1 ", -EINVAL},	{"1a", -EINVAL},     {"0x1", -EINVAL},
		{"_obf", -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint16_t port = 7;
		int r = thr_port_parse(slice(cases[i].text), &port);

		assert_int_equal(r, cases[i].port < 0 ? cases[i].port : 0);
		assert_int_equal(port, cases[i].port < 0 ? 7 : cases[i].port);
	}
}

static void a_socket_address_and_back_is_the_same(void **state)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(567)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(8080)};
	struct sockaddr_storage back;
	struct thr_address from, expected = address("192.0.2.7");

	(void)state;
	inet_pton(AF_INET, "192.0.2.7", &v4.sin_addr);
	thr_address_from_sockaddr((struct sockaddr *)&v4, &from);
	assert_memory_equal(from.bytes, expected.bytes, sizeof(from.bytes));
	assert_int_equal(from.port, 567);
	assert_int_equal(thr_address_to_sockaddr(&from, &back), sizeof(v4));
	assert_memory_equal(&back, &v4, sizeof(v4));

	inet_pton(AF_INET6, "2001:db8::7", &v6.sin6_addr);
	expected = address("2001:db8::7");
	thr_address_from_sockaddr((struct sockaddr *)&v6, &from);
	assert_memory_equal(from.bytes, expected.bytes, sizeof(from.bytes));
	assert_int_equal(from.port, 8080);
	assert_int_equal(thr_address_to_sockaddr(&from, &back), sizeof(v6));
	assert_memory_equal(&back, &v6, sizeof(v6));
}

static void a_mapped_socket_address_is_ipv4(void **state)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(1)};
	struct sockaddr_storage back;
	struct thr_address from;

	(void)state;
	inet_pton(AF_INET6, "::ffff:192.0.2.7", &v6.sin6_addr);
	thr_address_from_sockaddr((struct sockaddr *)&v6, &from);
	assert_true(thr_address_is_v4(&from));
	assert_int_equal(thr_address_to_sockaddr(&from, &back), sizeof(struct sockaddr_in));
	assert_int_equal(back.ss_family, AF_INET);
}

static void a_unix_socket_has_no_address(void **state)
{
	struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "/run/x"};
	struct thr_address from = {.bytes = {7}, .port = 7}, zero = {0};

	(void)state;
	thr_address_from_sockaddr((struct sockaddr *)&local, &from);
	assert_memory_equal(&from, &zero, sizeof(zero));
	assert_false(thr_address_is_v4(&from));
}

static void a_prefix_holds_addresses_of_its_family_only(void **state)
{
	static const struct {
		const char *prefix, *address;
		bool holds;
	} cases[] = {
		{"10.0.0.0/8", "10.255.255.255", true},
		{"10.0.0.0/8", "11.0.0.0", false},
		{"10.0.0.0/8", "9.255.255.255", false},
		{"10.128.0.0/9", "10.128.0.1", true},
		{"10.128.0.0/9", "10.127.255.255", false},
		{"192.0.2.4/30", "192.0.2.7", true},
		{"192.0.2.4/30", "192.0.2.8", false},
		{"192.0.2.7/32", "192.0.2.7", true},
		{"192.0.2.7/32", "192.0.2.6", false},
		{"0.0.0.0/0", "203.0.113.7", true},
		{"0.0.0.0/0", "::1", false},
		{"::/0", "203.0.113.7", false},
		{"::/0", "::1", true},
		{"2001:db8::/33", "2001:db8:7fff::1", true},
		{"2001:db8::/33", "2001:db8:8000::1", false},
		{"2001:db8::1/128", "2001:db8::1", true},
		{"2001:db8::1/128", "2001:db8::2", false},
		{"::/96", "::192.0.2.1", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct thr_address of = address(cases[i].address);
		struct thr_prefix prefix;
		const char *why;

		assert_int_equal(thr_prefix_parse(cases[i].prefix, &prefix, &why), 0);
		assert_int_equal(thr_address_in(&of, &prefix, 1), cases[i].holds);
		assert_false(thr_address_in(&of, &prefix, 0));
	}
}

static void one_of_several_prefixes_is_enough(void **state)
{
	static const char *const texts[] = {"2001:db8::/32", "192.0.2.0/24", "10.0.0.0/8"};
	struct thr_prefix prefixes[ARRAY_SIZE(texts)];
	struct thr_address in = address("10.1.2.3"), out = address("172.16.0.1");
	const char *why;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(thr_prefix_parse(texts[i], &prefixes[i], &why), 0);
	assert_true(thr_address_in(&in, prefixes, ARRAY_SIZE(prefixes)));
	assert_false(thr_address_in(&out, prefixes, ARRAY_SIZE(prefixes)));
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_canonical_whatever_was_read),
		cmocka_unit_test(what_is_not_an_address_is_refused_and_changes_nothing),
		cmocka_unit_test(a_nul_ends_no_address),
		cmocka_unit_test(a_port_is_up_to_65535_in_its_shortest_digits),
		cmocka_unit_test(a_socket_address_and_back_is_the_same),
		cmocka_unit_test(a_mapped_socket_address_is_ipv4),
		cmocka_unit_test(a_unix_socket_has_no_address),
		cmocka_unit_test(a_prefix_holds_addresses_of_its_family_only),
		cmocka_unit_test(one_of_several_prefixes_is_enough),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
