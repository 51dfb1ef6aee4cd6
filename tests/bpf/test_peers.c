/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The sets of verified and of blocked sources, as user space writes them: what the program
 * makes of an entry, and what is read back.
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/peers.h"
#include "support/run.h"
#include "support/xdp.h"

#define SECOND 1000000000ULL

/* An instance as control/ opens one, on the maps of the test's program. */
static struct thr_instance instance_of(struct thr_xdp *xdp)
{
	struct thr_instance instance;

	thr_instance_init(&instance);
	instance.live = xdp->live;
	instance.map_fd[THR_MAP_VERIFIED] =
		bpf_object__find_map_fd_by_name(xdp->object, "thr_verified");
	instance.map_fd[THR_MAP_BLOCKED] =
		bpf_object__find_map_fd_by_name(xdp->object, "thr_blocked");
	return instance;
}

static struct thr_prefix source_of(const struct thr_instance *instance, const char *text)
{
	struct thr_address address;

	assert_int_equal(thr_address_parse((struct thr_slice){text, strlen(text)}, &address), 0);
	return thr_peer_source(instance, &address);
}

static void block(struct thr_instance *instance, const char *text, uint64_t until_ns)
{
	const struct thr_peer peer = {source_of(instance, text), until_ns};

	assert_int_equal(thr_peers_add(instance, THR_PEERS_BLOCKED, &peer, 1, NULL), 0);
}

/* A table without limits, in which an IPv6 source is a /64. */
static struct thr_xdp *given_table(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	GRANT(xdp, .kind = THR_CONNECTIONS, .rate = 1000000, .burst = 1000000);
	memset(xdp->live->slot[0].v6_source_mask, 0, 16);
	memset(xdp->live->slot[0].v6_source_mask, 0xff, 8);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	return xdp;
}

static void a_blocked_source_is_refused_until_its_time_is_over(void **state)
{
	struct thr_xdp *xdp = given_table(state);
	struct thr_instance instance = instance_of(xdp);

	block(&instance, "192.0.2.1", 11 * SECOND); /* the clock is at 1 s */
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), BLOCKED);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.2")), NEW_CONNECTION);
	thr_xdp_advance(xdp, 9 * SECOND);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), BLOCKED);
	thr_xdp_advance(xdp, 2 * SECOND);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), NEW_CONNECTION);
}

static void a_shorter_block_does_not_end_one_of_another_source(void **state)
{
	struct thr_xdp *xdp = given_table(state);
	struct thr_instance instance = instance_of(xdp);

	block(&instance, "192.0.2.1", 100 * SECOND);
	block(&instance, "192.0.2.2", 2 * SECOND);
	assert_int_equal(xdp->live->blocked_until_ns, 100 * SECOND);
	thr_xdp_advance(xdp, 50 * SECOND);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), BLOCKED);
}

static void an_ipv6_source_is_blocked_as_its_prefix(void **state)
{
	struct thr_xdp *xdp = given_table(state);
	struct thr_instance instance = instance_of(xdp);
	char text[THR_PREFIX_TEXT];
	struct thr_prefix source = source_of(&instance, "2001:db8:1:2::3");

	thr_prefix_format(&source, text);
	assert_string_equal(text, "2001:db8:1:2::/64");
	block(&instance, "2001:db8:1:2::3", 10 * SECOND);
	assert_reason(thr_xdp_send(xdp, SYN6_FROM("2001:db8:1:2::99")), BLOCKED);
	assert_reason(thr_xdp_send(xdp, SYN6_FROM("2001:db8:1:3::3")), NEW_CONNECTION);
}

static void a_source_that_is_removed_is_let_in(void **state)
{
	struct thr_xdp *xdp = given_table(state);
	struct thr_instance instance = instance_of(xdp);
	struct thr_prefix source = source_of(&instance, "192.0.2.1");

	block(&instance, "192.0.2.1", 10 * SECOND);
	assert_int_equal(thr_peers_find(&instance, THR_PEERS_BLOCKED, &source, SECOND),
			 10 * SECOND);
	assert_int_equal(thr_peers_remove(&instance, THR_PEERS_BLOCKED, &source), 0);
	assert_reason(thr_xdp_send(xdp, SYN_FROM("192.0.2.1")), NEW_CONNECTION);
	assert_int_equal(thr_peers_find(&instance, THR_PEERS_BLOCKED, &source, SECOND), 0);
	assert_int_equal(thr_peers_remove(&instance, THR_PEERS_BLOCKED, &source), -ENOENT);
}

static void a_verified_source_needs_no_budget(void **state)
{
	struct thr_xdp *xdp = given_table(state);
	struct thr_instance instance = instance_of(xdp);
	struct thr_service *service = &xdp->services[1];
	struct thr_peer peer = {source_of(&instance, "192.0.2.1"), 10 * SECOND};

	GRANT(xdp, .policy = 1, .kind = THR_CONNECTIONS, .rate = 1000000, .burst = 1000000);
	thr_xdp_serve(xdp, 0, 80, 1);
	service->on_overload = THR_OVERLOAD_DROP;
	service->new_sources = (struct thr_limit){
		.interval = thr_bucket_interval(1, 3600), .rate = 1, .burst = 1, .per_s = 3600};
	service->new_sources.window = thr_bucket_ticks(service->new_sources.interval, 1);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_reason(thr_xdp_send(xdp, SYN_TO("192.0.2.9", 80)), NEW_CONNECTION);
	assert_reason(thr_xdp_send(xdp, SYN_TO("192.0.2.1", 80)), NEW_SOURCES_OVER);

	assert_int_equal(thr_peers_add(&instance, THR_PEERS_VERIFIED, &peer, 1, NULL), 0);
	assert_int_equal(thr_xdp_offer(xdp, SYN_TO("192.0.2.1", 80), 50), 50);
	assert_reason(thr_xdp_send(xdp, SYN_TO("192.0.2.2", 80)), NEW_SOURCES_OVER);
}

static void the_list_has_who_is_blocked_now_in_order(void **state)
{
	static const char *const texts[] = {"2001:db8::1", "198.51.100.1", "192.0.2.1"};
	struct thr_instance instance = instance_of(given_table(state));
	struct thr_peer *peers;
	size_t count;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		block(&instance, texts[i], (10 + i) * SECOND);
	block(&instance, "203.0.113.1", 2 * SECOND);

	assert_int_equal(
		thr_peers_list(&instance, THR_PEERS_BLOCKED, 3 * SECOND, &peers, &count, NULL), 0);
	assert_int_equal(count, 3);
	for (size_t i = 0; i < count; i++) {
		struct thr_prefix source = source_of(&instance, texts[2 - i]);

		assert_int_equal(thr_prefix_compare(&peers[i].source, &source), 0);
		assert_int_equal(peers[i].until_ns, (12 - i) * SECOND);
	}
	free(peers);
}

static void the_list_has_all_of_many(void **state)
{
	struct thr_instance instance = instance_of(given_table(state));
	struct thr_peer *peers = calloc(20000, sizeof(*peers));
	size_t count;

	for (uint32_t i = 0; i < 20000; i++) {
		const uint8_t bytes[] = {10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
		struct thr_address address = {};

		thr_address_set_v4(&address, bytes);
		peers[i] = (struct thr_peer){thr_peer_source(&instance, &address), 10 * SECOND};
	}
	assert_int_equal(thr_peers_add(&instance, THR_PEERS_BLOCKED, peers, 20000, NULL), 0);
	free(peers);

	assert_int_equal(thr_peers_list(&instance, THR_PEERS_BLOCKED, SECOND, &peers, &count, NULL),
			 0);
	assert_int_equal(count, 20000);
	for (size_t i = 1; i < count; i++)
		assert_true(thr_prefix_compare(&peers[i - 1].source, &peers[i].source) < 0);
	free(peers);
}

static void nothing_is_entered_before_a_table_says_what_a_source_is(void **state)
{
	struct thr_instance instance = instance_of(thr_xdp_given(state));
	const struct thr_peer peer = {.until_ns = 10 * SECOND};
	struct thr_error error;

	memset(instance.live->slot[0].v6_source_mask, 0, 16);
	assert_int_equal(thr_peers_add(&instance, THR_PEERS_BLOCKED, &peer, 1, &error), -ENODATA);
	assert_int_equal(instance.live->blocked_until_ns, 0);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		XDP_TEST(a_blocked_source_is_refused_until_its_time_is_over),
		XDP_TEST(a_shorter_block_does_not_end_one_of_another_source),
		XDP_TEST(an_ipv6_source_is_blocked_as_its_prefix),
		XDP_TEST(a_source_that_is_removed_is_let_in),
		XDP_TEST(a_verified_source_needs_no_budget),
		XDP_TEST(the_list_has_who_is_blocked_now_in_order),
		XDP_TEST(the_list_has_all_of_many),
		XDP_TEST(nothing_is_entered_before_a_table_says_what_a_source_is),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
