/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which limit a source meets: allow and deny prefixes, the order of policies,
 * and whose bucket each charges.
 */
#include "support/run.h"
#include "support/xdp.h"

#define ICMP_FROM(address) LAYERS(ETH, IP4(.source = (address)), ICMP(8))
#define FRAGMENT_FROM(address)                                                                     \
	LAYERS(ETH, IP4(.source = (address), .fragment = OFFSET4(1480)), DATA(8))

/* A service of its own for port 443. */
#define WEB 7

/* The policies that prefixes have in these tests. */
enum { PREFIX_POLICY = THR_POLICY_FIRST_FREE, NARROW_POLICY };

/* A default of 3 connections at once, a new one each second. */
static struct thr_xdp *given_default_of_3(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	GRANT(xdp, .kind = THR_CONNECTIONS, .rate = 1, .burst = 3);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	return xdp;
}

/* --- allow and deny --- */

static void allowed_source_is_never_limited(void **state)
{
	struct thr_xdp *xdp = given_default_of_3(state);

	LIST(xdp, .prefix = "192.0.2.0/24", .action = THR_SOURCE_ALLOW);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), ALLOWED);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 100), 100);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.3.1"), 100), 3);
}

static void allowed_source_is_not_charged(void **state)
{
	struct thr_xdp *xdp = given_default_of_3(state);

	LIST(xdp, .prefix = "192.0.2.0/24", .action = THR_SOURCE_ALLOW);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 100), 100);
	LIST(xdp, .prefix = "192.0.2.0/24", .action = THR_SOURCE_LIMIT);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 100), 3);
}

static void denied_source_opens_nothing_and_sends_nothing(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	LIST(xdp, .prefix = "198.51.100.0/24", .action = THR_SOURCE_DENY);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("198.51.100.9")), DENIED);
	assert_reason(thr_xdp_send(xdp, UDP_FROM("198.51.100.9")), DENIED);
	assert_reason(thr_xdp_send(xdp, ICMP_FROM("198.51.100.9")), DENIED);
	assert_reason(thr_xdp_send(xdp, FRAGMENT_FROM("198.51.100.9")), DENIED);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("198.51.101.9")), NEW_CONNECTION);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("198.51.100.9"), 10), 0);
}

static void established_meets_deny_where_packets_are_limited(void **state)
{
	struct thr_xdp *xdp = given_default_of_3(state);

	LIST(xdp, .prefix = "198.51.100.0/24", .action = THR_SOURCE_DENY);
	assert_reason(thr_xdp_send(xdp, ACK_FROM("198.51.100.9")), ESTABLISHED);
	GRANT(xdp, .kind = THR_PACKETS, .rate = 1000, .burst = 1000);
	assert_reason(thr_xdp_send(xdp, ACK_FROM("198.51.100.9")), DENIED);
	assert_reason(thr_xdp_send(xdp, ACK_FROM("198.51.101.9")), ESTABLISHED);
}

static void longest_prefix_wins(void **state)
{
	struct thr_xdp *xdp = given_default_of_3(state);

	LIST(xdp, .prefix = "198.51.0.0/16", .action = THR_SOURCE_DENY);
	LIST(xdp, .prefix = "198.51.100.0/24", .action = THR_SOURCE_ALLOW);
	LIST(xdp, .prefix = "198.51.100.128/25", .action = THR_SOURCE_LIMIT);
	LIST(xdp, .prefix = "198.51.100.200/32", .action = THR_SOURCE_DENY);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("198.51.99.1")), DENIED);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("198.51.100.127")), ALLOWED);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("198.51.100.128")), NEW_CONNECTION);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("198.51.100.200")), DENIED);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("198.51.100.201")), NEW_CONNECTION);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("198.52.0.0")), NEW_CONNECTION);
}

/* Lengths on both sides of 22 bits, where the summary has its groups. */
static void ipv4_prefix_of_any_length_ends_where_it_says(void **state)
{
	static const struct {
		const char *prefix, *first, *last, *before, *after;
	} cases[] = {
		{"128.0.0.0/1", "128.0.0.0", "255.255.255.255", "127.255.255.255", "0.0.0.1"},
		{"11.0.0.0/8", "11.0.0.0", "11.255.255.255", "10.255.255.255", "12.0.0.0"},
		{"20.8.0.0/21", "20.8.0.0", "20.8.7.255", "20.7.255.255", "20.8.8.0"},
		{"30.8.4.0/22", "30.8.4.0", "30.8.7.255", "30.8.3.255", "30.8.8.0"},
		{"40.8.2.0/23", "40.8.2.0", "40.8.3.255", "40.8.1.255", "40.8.4.0"},
		{"50.1.1.4/30", "50.1.1.4", "50.1.1.7", "50.1.1.3", "50.1.1.8"},
		{"60.1.1.1/32", "60.1.1.1", "60.1.1.1", "60.1.1.0", "60.1.1.2"},
	};
	struct thr_xdp *xdp = thr_xdp_given(state);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		LIST(xdp, .prefix = cases[i].prefix, .action = THR_SOURCE_DENY);
		thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
		assert_reason(thr_xdp_send(xdp, SYN_FROM(cases[i].first)), DENIED);
		assert_reason(thr_xdp_send(xdp, SYN_FROM(cases[i].last)), DENIED);
		assert_reason(thr_xdp_send(xdp, SYN_FROM(cases[i].before)), NEW_CONNECTION);
		assert_reason(thr_xdp_send(xdp, SYN_FROM(cases[i].after)), NEW_CONNECTION);
	}
}

/* Lengths on both sides of 16, 32 and 48 bits, the levels of the summary. */
static void ipv6_prefix_of_any_length_ends_where_it_says(void **state)
{
	static const struct {
		const char *prefix, *first, *last, *after;
	} cases[] = {
		{"8000::/1", "8000::", "ffff:ffff::1", "7fff:ffff::1"},
		{"2400::/12", "2400::1", "240f:ffff::1", "2410::1"},
		{"2600::/16", "2600::1", "2600:ffff::1", "2601::1"},
		{"2a00:4500::/31", "2a00:4500::1", "2a00:4501:ffff::1", "2a00:4502::1"},
		{"2001:db8::/32", "2001:db8::1", "2001:db8:ffff:ffff::1", "2001:db9::1"},
		{"2002:1:8000::/33", "2002:1:8000::1", "2002:1:ffff::1", "2002:1:7fff::1"},
		{"2003:1:2::/47", "2003:1:2::1", "2003:1:3:ffff::1", "2003:1:4::1"},
		{"2004:1:2::/48", "2004:1:2::1", "2004:1:2:ffff::1", "2004:1:3::1"},
		{"2005:1:2:3::/64", "2005:1:2:3::1", "2005:1:2:3:ffff::1", "2005:1:2:4::1"},
		{"2006::7/128", "2006::7", "2006::7", "2006::8"},
	};
	struct thr_xdp *xdp = thr_xdp_given(state);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		LIST(xdp, .prefix = cases[i].prefix, .action = THR_SOURCE_DENY);
		thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
		assert_reason(thr_xdp_send(xdp, SYN6_FROM(cases[i].first)), DENIED);
		assert_reason(thr_xdp_send(xdp, SYN6_FROM(cases[i].last)), DENIED);
		assert_reason(thr_xdp_send(xdp, SYN6_FROM(cases[i].after)), NEW_CONNECTION);
	}
}

static void everything_of_one_family_is_nothing_of_the_other(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	LIST(xdp, .prefix = "0.0.0.0/0", .action = THR_SOURCE_DENY);
	LIST(xdp, .prefix = "::/0", .action = THR_SOURCE_ALLOW);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), DENIED);
	assert_reason(thr_xdp_send(xdp, SYN6_FROM("2001:db8::1")), ALLOWED);
}

/* An IPv6 packet may claim the mapped form of an IPv4 address as its source. */
static void mapped_ipv6_source_is_not_its_ipv4_namesake(void **state)
{
	struct thr_xdp *xdp = given_default_of_3(state);

	LIST(xdp, .prefix = "0.0.0.0/0", .action = THR_SOURCE_LIMIT);
	LIST(xdp, .prefix = "::/0", .action = THR_SOURCE_DENY);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	thr_xdp_send(xdp, SYN6_FROM("::ffff:192.0.2.1"));
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), NEW_CONNECTION);
}

static void refused_ipv6_source_does_not_refuse_its_ipv4_namesake(void **state)
{
	struct thr_xdp *xdp = given_default_of_3(state);

	thr_xdp_offer(xdp, SYN6_FROM("::ffff:192.0.2.1"), 10);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 10), 3);
}

static void source_outside_the_summary_does_not_enter_the_trie(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	LIST(xdp, .prefix = "198.51.100.0/24", .action = THR_SOURCE_DENY);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("198.51.100.1")), DENIED);
	xdp->summary[(198u << 24 | 51 << 16 | 100 << 8) >> 10 >> 6] = 0;
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("198.51.100.1")), NEW_CONNECTION);
}

/* --- policies --- */

static void limit_of_a_prefix_comes_before_the_services(void **state)
{
	struct thr_xdp *xdp = given_default_of_3(state);

	GRANT(xdp, .policy = WEB, .kind = THR_CONNECTIONS, .rate = 1, .burst = 5, .scope = WEB);
	GRANT(xdp, .policy = PREFIX_POLICY, .kind = THR_CONNECTIONS, .rate = 1, .burst = 9,
	      .scope = THR_SCOPE_PREFIX);
	LIST(xdp, .prefix = "192.0.2.0/24", .policy = PREFIX_POLICY);
	thr_xdp_serve(xdp, 0, 443, WEB);
	assert_int_equal(thr_xdp_offer(xdp, SYN_TO("203.0.113.1", 80), 50), 3);
	assert_int_equal(thr_xdp_offer(xdp, SYN_TO("203.0.113.1", 443), 50), 5);
	assert_int_equal(thr_xdp_offer(xdp, SYN_TO("192.0.2.1", 443), 50), 9);
	assert_int_equal(thr_xdp_offer(xdp, SYN_TO("192.0.2.2", 80), 50), 9);
}

static void prefix_without_a_limit_of_a_kind_leaves_it_to_the_service(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	GRANT(xdp, .policy = WEB, .kind = THR_CONNECTIONS, .rate = 1, .burst = 2, .scope = WEB);
	GRANT(xdp, .policy = WEB, .kind = THR_PACKETS, .rate = 1, .burst = 6, .scope = WEB);
	GRANT(xdp, .policy = PREFIX_POLICY, .kind = THR_CONNECTIONS, .rate = 1, .burst = 4,
	      .scope = THR_SCOPE_PREFIX);
	LIST(xdp, .prefix = "192.0.2.0/24", .policy = PREFIX_POLICY);
	thr_xdp_serve(xdp, 0, 443, WEB);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_int_equal(thr_xdp_offer(xdp, SYN_TO("192.0.2.1", 443), 50), 4);
	assert_reason(thr_xdp_send(xdp, SYN_TO("192.0.2.1", 443)), OVER_CONNECTIONS);
	assert_int_equal(thr_xdp_offer(xdp, ACK_FROM("192.0.2.1"), 50), 50);
	assert_int_equal(thr_xdp_offer(xdp, LAYERS(ETH, IP4(), TCP(ACK, .port = 443)), 50), 2);
}

static void most_specific_limit_holds(void **state)
{
	struct thr_xdp *xdp = given_default_of_3(state);

	GRANT(xdp, .policy = PREFIX_POLICY, .kind = THR_CONNECTIONS, .rate = 1, .burst = 9,
	      .scope = THR_SCOPE_PREFIX);
	GRANT(xdp, .policy = NARROW_POLICY, .kind = THR_CONNECTIONS, .rate = 1, .burst = 1,
	      .scope = THR_SCOPE_PREFIX);
	LIST(xdp, .prefix = "192.0.2.0/24", .policy = PREFIX_POLICY);
	LIST(xdp, .prefix = "192.0.2.64/26", .policy = NARROW_POLICY);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.63"), 50), 9);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.64"), 50), 1);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.128"), 50), 9);
}

static void service_is_found_by_port_of_tcp_and_udp(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	GRANT(xdp, .policy = WEB, .kind = THR_PACKETS, .rate = 1, .burst = 2, .scope = WEB);
	for (uint32_t port = 65528; port < 65536; port += 7)
		thr_xdp_serve(xdp, 0, port, WEB);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_int_equal(thr_xdp_offer(xdp, SYN_TO("192.0.2.1", 65535), 10), 2);
	assert_reason(thr_xdp_send(xdp, LAYERS(ETH, IP4(), UDP(.port = 65528))), OVER_PACKETS);
	assert_int_equal(thr_xdp_offer(xdp, SYN_TO("192.0.2.1", 65534), 10), 10);
	assert_int_equal(thr_xdp_offer(xdp, SYN_TO("192.0.2.1", 65527), 10), 10);
	assert_int_equal(thr_xdp_offer(xdp, FRAGMENT_FROM("192.0.2.1"), 10), 10);
}

/* --- whose bucket --- */

static void default_and_each_service_have_buckets_of_their_own(void **state)
{
	struct thr_xdp *xdp = given_default_of_3(state);

	GRANT(xdp, .policy = WEB, .kind = THR_CONNECTIONS, .rate = 1, .burst = 3, .scope = WEB);
	GRANT(xdp, .policy = WEB + 1, .kind = THR_CONNECTIONS, .rate = 1, .burst = 3,
	      .scope = WEB + 1);
	thr_xdp_serve(xdp, 0, 443, WEB);
	thr_xdp_serve(xdp, 0, 8443, WEB + 1);
	assert_int_equal(thr_xdp_offer(xdp, SYN_TO("192.0.2.1", 443), 50), 3);
	assert_int_equal(thr_xdp_offer(xdp, SYN_TO("192.0.2.1", 8443), 50), 3);
	assert_int_equal(thr_xdp_offer(xdp, SYN_TO("192.0.2.1", 22), 50), 3);
	assert_int_equal(thr_xdp_offer(xdp, SYN_TO("192.0.2.1", 23), 50), 0);
}

static void service_without_a_limit_of_its_own_shares_the_defaults_bucket(void **state)
{
	struct thr_xdp *xdp = given_default_of_3(state);

	GRANT(xdp, .policy = WEB, .kind = THR_CONNECTIONS, .rate = 1, .burst = 3, .scope = 0);
	thr_xdp_serve(xdp, 0, 443, WEB);
	assert_int_equal(thr_xdp_offer(xdp, SYN_TO("192.0.2.1", 443), 2), 2);
	assert_int_equal(thr_xdp_offer(xdp, SYN_TO("192.0.2.1", 22), 50), 1);
}

static void bucket_of_a_prefix_spans_services(void **state)
{
	struct thr_xdp *xdp = given_default_of_3(state);

	GRANT(xdp, .policy = PREFIX_POLICY, .kind = THR_CONNECTIONS, .rate = 1, .burst = 5,
	      .scope = THR_SCOPE_PREFIX);
	LIST(xdp, .prefix = "192.0.2.0/24", .policy = PREFIX_POLICY);
	thr_xdp_serve(xdp, 0, 443, WEB);
	assert_int_equal(thr_xdp_offer(xdp, SYN_TO("192.0.2.1", 443), 2), 2);
	assert_int_equal(thr_xdp_offer(xdp, SYN_TO("192.0.2.1", 22), 50), 3);
	assert_int_equal(thr_xdp_offer(xdp, SYN_TO("192.0.2.1", 443), 50), 0);
}

static void shared_prefix_has_one_bucket(void **state)
{
	struct thr_xdp *xdp = given_default_of_3(state);

	GRANT(xdp, .policy = PREFIX_POLICY, .kind = THR_CONNECTIONS, .rate = 1, .burst = 6,
	      .scope = THR_SCOPE_SHARED | 120 << 8);
	LIST(xdp, .prefix = "192.0.2.0/24", .policy = PREFIX_POLICY);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 4), 4);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.254"), 50), 2);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.77")), PREFIX_OVER_CONNECTIONS);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.3.1"), 50), 3);
}

static void shared_ipv6_prefix_has_one_bucket(void **state)
{
	struct thr_xdp *xdp = given_default_of_3(state);

	GRANT(xdp, .policy = PREFIX_POLICY, .kind = THR_CONNECTIONS, .rate = 1, .burst = 6,
	      .scope = THR_SCOPE_SHARED | 33 << 8);
	LIST(xdp, .prefix = "2001:db8:8000::/33", .policy = PREFIX_POLICY);
	assert_int_equal(thr_xdp_offer(xdp, SYN6_FROM("2001:db8:8000::1"), 4), 4);
	assert_int_equal(thr_xdp_offer(xdp, SYN6_FROM("2001:db8:ffff:1::1"), 50), 2);
	assert_reason(thr_xdp_send(xdp, SYN6_FROM("2001:db8:9000::")), PREFIX_OVER_CONNECTIONS);
	assert_int_equal(thr_xdp_offer(xdp, SYN6_FROM("2001:db8:7fff::1"), 50), 3);
}

/* Where a /64 is one source, a prefix within it that has a limit is another. */
static void prefix_within_a_source_has_a_bucket_of_its_own(void **state)
{
	struct thr_xdp *xdp = given_default_of_3(state);

	GRANT(xdp, .policy = PREFIX_POLICY, .kind = THR_CONNECTIONS, .rate = 1, .burst = 5,
	      .scope = THR_SCOPE_NARROW | 128 << 8);
	LIST(xdp, .prefix = "2001:db8::5/128", .policy = PREFIX_POLICY);
	LIST(xdp, .prefix = "2001:db8::6/128", .policy = PREFIX_POLICY);
	assert_int_equal(thr_xdp_offer(xdp, SYN6_FROM("2001:db8::5"), 50), 5);
	assert_reason(thr_xdp_send(xdp, SYN6_FROM("2001:db8::5")), OVER_CONNECTIONS);
	assert_int_equal(thr_xdp_offer(xdp, SYN6_FROM("2001:db8::6"), 50), 5);
	assert_int_equal(thr_xdp_offer(xdp, SYN6_FROM("2001:db8::7"), 2), 2);
	assert_int_equal(thr_xdp_offer(xdp, SYN6_FROM("2001:db8::8"), 50), 1);
}

static void unshared_prefix_gives_each_source_its_own(void **state)
{
	struct thr_xdp *xdp = given_default_of_3(state);

	GRANT(xdp, .policy = PREFIX_POLICY, .kind = THR_CONNECTIONS, .rate = 1, .burst = 6,
	      .scope = THR_SCOPE_PREFIX);
	LIST(xdp, .prefix = "192.0.2.0/24", .policy = PREFIX_POLICY);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.1"), 50), 6);
	assert_int_equal(thr_xdp_offer(xdp, SYN_FROM("192.0.2.254"), 50), 6);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		XDP_TEST(allowed_source_is_never_limited),
		XDP_TEST(allowed_source_is_not_charged),
		XDP_TEST(denied_source_opens_nothing_and_sends_nothing),
		XDP_TEST(established_meets_deny_where_packets_are_limited),
		XDP_TEST(longest_prefix_wins),
		XDP_TEST(ipv4_prefix_of_any_length_ends_where_it_says),
		XDP_TEST(ipv6_prefix_of_any_length_ends_where_it_says),
		XDP_TEST(everything_of_one_family_is_nothing_of_the_other),
		XDP_TEST(mapped_ipv6_source_is_not_its_ipv4_namesake),
		XDP_TEST(refused_ipv6_source_does_not_refuse_its_ipv4_namesake),
		XDP_TEST(source_outside_the_summary_does_not_enter_the_trie),
		XDP_TEST(limit_of_a_prefix_comes_before_the_services),
		XDP_TEST(prefix_without_a_limit_of_a_kind_leaves_it_to_the_service),
		XDP_TEST(most_specific_limit_holds),
		XDP_TEST(service_is_found_by_port_of_tcp_and_udp),
		XDP_TEST(default_and_each_service_have_buckets_of_their_own),
		XDP_TEST(service_without_a_limit_of_its_own_shares_the_defaults_bucket),
		XDP_TEST(bucket_of_a_prefix_spans_services),
		XDP_TEST(shared_prefix_has_one_bucket),
		XDP_TEST(shared_ipv6_prefix_has_one_bucket),
		XDP_TEST(unshared_prefix_gives_each_source_its_own),
		XDP_TEST(prefix_within_a_source_has_a_bucket_of_its_own),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
