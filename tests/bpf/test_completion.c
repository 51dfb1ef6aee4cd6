/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Segments of connections while challenges are answered: which of them return a cookie and
 * make their source a verified one, and which are looked at.
 */
#include <endian.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "support/challenge.h"

#define MINUTE (60 * NS_PER_S)

static enum thr_reason complete(struct thr_xdp *xdp, const char *address)
{
	struct answer answer;

	challenged(xdp, LAYERS(ETH, IP4(.source = address), LINUX_SYN), &answer);
	return thr_xdp_send(xdp, LAYERS(ETH, IP4(.source = address), RETURNS(answer, ACK)));
}

/* --- who completes it --- */

static void cookie_returned_verifies_the_source(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer;

	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), RETURNS(answer, ACK))),
		      CHALLENGE_COMPLETED);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN)), NEW_CONNECTION);
	challenged(given.xdp, LAYERS(ETH, IP4(.source = "192.0.2.2"), LINUX_SYN), &answer);
	end_challenge(&given);
}

static void ipv6_cookie_returned_verifies_the_source_and_its_prefix(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer;

	challenged(given.xdp, LAYERS(ETH, IP6(), LINUX_SYN), &answer);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP6(), RETURNS(answer, ACK))),
		      CHALLENGE_COMPLETED);
	assert_reason(thr_xdp_send(given.xdp, SYN6_FROM("2001:db8::2")), NEW_CONNECTION);
	challenged(given.xdp, SYN6_FROM("2001:db8:0:1::1"), &answer);
	end_challenge(&given);
}

static void cookie_returned_with_data_through_a_tag_verifies_the_source(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer;

	challenged(given.xdp, LAYERS(ETH, TAG, IP4(), LINUX_SYN), &answer);
	assert_reason(thr_xdp_send(given.xdp,
				   LAYERS(ETH, TAG, IP4(), RETURNS(answer, ACK | PSH), DATA(9000))),
		      CHALLENGE_COMPLETED);
	end_challenge(&given);
}

static void wrong_cookie_verifies_nobody(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer, other;

	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	challenged(given.xdp, LAYERS(ETH, IP4(.source = "192.0.2.2"), LINUX_SYN), &other);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), RETURNS(other, ACK))),
		      ESTABLISHED);
	answer.cookie++;
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), RETURNS(answer, ACK))),
		      ESTABLISHED);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), TCP(ACK))), ESTABLISHED);
	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	end_challenge(&given);
}

static void resets_and_syns_verify_nobody(void **state)
{
	struct given given = given_challenge(state);
	int connection = given_connection(CLIENT, SERVER, 80);
	struct answer answer;

	challenged(given.xdp, LAYERS(ETH, IP4(), TCP(SYN, .sequence = SEQUENCE, .from = 4)),
		   &answer);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), TCP(RST | ACK))), ESTABLISHED);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), TCP(SYN | ACK))), ESTABLISHED);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), TCP(FIN))), ESTABLISHED);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), RETURNS(answer, RST | ACK))),
		      ESTABLISHED);
	challenged(given.xdp, LAYERS(ETH, IP4(), TCP(SYN, .from = 4)), &answer);
	close(connection);
	end_challenge(&given);
}

static void connection_that_the_kernel_has_verifies_the_source(void **state)
{
	struct given given = given_challenge(state);
	int v4 = given_connection(CLIENT, SERVER, 80), v6 = given_connection(CLIENT6, SERVER6, 80);
	struct answer answer;

	challenged(given.xdp, SYN_FROM("203.0.113.1"), &answer);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), TCP(ACK))), ESTABLISHED);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP6(), TCP(ACK | FIN))), ESTABLISHED);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), TCP(SYN, .from = 9))),
		      NEW_CONNECTION);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP6(), TCP(SYN, .from = 9))),
		      NEW_CONNECTION);
	close(v4);
	close(v6);
	end_challenge(&given);
}

static void source_stays_verified_for_ten_minutes(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer;

	assert_reason(complete(given.xdp, CLIENT), CHALLENGE_COMPLETED);
	thr_xdp_advance(given.xdp, 10 * MINUTE - NS_PER_S);
	assert_reason(thr_xdp_send(given.xdp, SYN_FROM(CLIENT)), NEW_CONNECTION);
	thr_xdp_advance(given.xdp, 2 * NS_PER_S);
	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	end_challenge(&given);
}

static void source_whose_time_ran_out_is_verified_by_its_next_cookie(void **state)
{
	struct given given = given_challenge(state);

	assert_reason(complete(given.xdp, CLIENT), CHALLENGE_COMPLETED);
	thr_xdp_advance(given.xdp, 10 * MINUTE + NS_PER_S);
	assert_reason(complete(given.xdp, CLIENT), CHALLENGE_COMPLETED);
	assert_reason(thr_xdp_send(given.xdp, SYN_FROM(CLIENT)), NEW_CONNECTION);
	end_challenge(&given);
}

static uint64_t verified_until(const struct thr_xdp *xdp)
{
	struct thr_source_id id = {.source[1] = htobe64(0xffffc0000201)};
	struct thr_expiry entry;
	int map = bpf_object__find_map_fd_by_name(xdp->object, "thr_verified");

	assert_int_equal(bpf_map_lookup_elem(map, &id, &entry), 0);
	return entry.until_ns;
}

static void entry_is_renewed_when_half_of_its_time_is_over(void **state)
{
	struct given given = given_challenge(state);
	int connection = given_connection(CLIENT, SERVER, 80);
	uint64_t first;

	assert_reason(complete(given.xdp, "203.0.113.1"), CHALLENGE_COMPLETED);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), TCP(ACK))), ESTABLISHED);
	first = verified_until(given.xdp);
	thr_xdp_advance(given.xdp, 4 * MINUTE);
	complete(given.xdp, "203.0.113.2");
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), TCP(ACK))), ESTABLISHED);
	assert_int_equal(verified_until(given.xdp), first);
	thr_xdp_advance(given.xdp, MINUTE + NS_PER_S);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), TCP(ACK))), ESTABLISHED);
	assert_int_equal(verified_until(given.xdp), first + 5 * MINUTE + NS_PER_S);
	close(connection);
	end_challenge(&given);
}

/* --- cookies that are returned again --- */

static void given_limit(struct thr_xdp *xdp, uint64_t burst)
{
	GRANT(xdp, .policy = WEB, .kind = THR_CONNECTIONS, .rate = 1, .burst = burst,
	      .scope = THR_SCOPE_SERVICE | WEB);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
}

/* That the source is verified, which has its segments looked at in one tick of eight
 * only, ends as soon as it is caught. */
static void cookie_returned_again_and_again_is_charged_and_verifies_no_more(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer;
	uint64_t passed = 0;

	given_limit(given.xdp, 5);
	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	for (int tick = 0; tick < 125; tick++) {
		passed += thr_xdp_offer(given.xdp, LAYERS(ETH, IP4(), RETURNS(answer, ACK)), 20);
		thr_xdp_advance(given.xdp, THR_TEST_JIFFY_NS);
	}
	/* Twice the burst, and the ticks until the first that is looked at. */
	assert_in_range(passed, 2 * 5, 2 * 5 + 24 * 20);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), RETURNS(answer, ACK))),
		      OVER_CONNECTIONS);
	thr_xdp_advance(given.xdp, 5 * NS_PER_S);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), RETURNS(answer, ACK))),
		      CHALLENGE_COMPLETED);
	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	end_challenge(&given);
}

static void cookies_of_sources_that_are_over_with_syns_still_complete(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer;

	given_limit(given.xdp, 1);
	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN)), OVER_CONNECTIONS);

	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), RETURNS(answer, ACK))),
		      CHALLENGE_COMPLETED);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN)), OVER_CONNECTIONS);
	end_challenge(&given);
}

/* Who returned one is real, and needs no budget for a bucket of its own. */
static void cookie_completes_though_its_cell_is_over_and_nothing_is_promoted(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer;
	int gate = bpf_object__find_map_fd_by_name(given.xdp->object, "thr_gate");
	const struct thr_cell over = {.tat = ~0ULL >> 2};

	given_limit(given.xdp, 5);
	given.xdp->live->promotion = (struct thr_limit){.interval = 1ULL << 50, .window = 1};
	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	for (__u32 cell = 0; cell < THR_GATE_CELLS; cell++)
		assert_int_equal(bpf_map_update_elem(gate, &cell, &over, BPF_ANY), 0);

	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), RETURNS(answer, ACK))),
		      CHALLENGE_COMPLETED);
	end_challenge(&given);
}

/* --- when segments are looked at --- */

static void segments_are_looked_at_for_two_minutes_after_an_answer(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer;

	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	thr_xdp_advance(given.xdp, 2 * MINUTE + 2 * NS_PER_S);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), RETURNS(answer, ACK))),
		      ESTABLISHED);
	challenged(given.xdp, SYN_FROM("203.0.113.1"), &answer);
	thr_xdp_advance(given.xdp, MINUTE);
	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	thr_xdp_advance(given.xdp, 2 * MINUTE - NS_PER_MS);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), RETURNS(answer, ACK))),
		      CHALLENGE_COMPLETED);
	end_challenge(&given);
}

static void tick_of_unknown_length_has_segments_looked_at_no_shorter(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer;

	given.xdp->live->jiffy_ns = 0;
	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	given.xdp->clock->jiffies += 2 * 60 * 1000; /* at 1000 a second */
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), RETURNS(answer, ACK))),
		      CHALLENGE_COMPLETED);
	end_challenge(&given);
}

static void time_is_written_once_a_second(void **state)
{
	struct given given = given_challenge(state);
	struct answer answer;
	uint64_t until;

	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	until = given.xdp->live->challenged_until;
	thr_xdp_advance(given.xdp, NS_PER_S - 8 * NS_PER_MS);
	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	assert_int_equal(given.xdp->live->challenged_until, until);
	thr_xdp_advance(given.xdp, 16 * NS_PER_MS);
	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	assert_true(given.xdp->live->challenged_until > until);
	end_challenge(&given);
}

static void segments_of_other_services_are_not_looked_at(void **state)
{
	struct given given = given_challenge(state);
	int listener = given_listener(SERVER, 81, 64), connection;
	struct answer answer;

	challenged(given.xdp, SYN_FROM("203.0.113.1"), &answer);
	connection = given_connection(CLIENT, SERVER, 81);
	assert_reason(thr_xdp_send(given.xdp, LAYERS(ETH, IP4(), TCP(ACK, .port = 81))),
		      ESTABLISHED);
	challenged(given.xdp, LAYERS(ETH, IP4(), LINUX_SYN), &answer);
	close(connection);
	close(listener);
	end_challenge(&given);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CHALLENGE_TEST(cookie_returned_verifies_the_source),
		CHALLENGE_TEST(ipv6_cookie_returned_verifies_the_source_and_its_prefix),
		CHALLENGE_TEST(cookie_returned_with_data_through_a_tag_verifies_the_source),
		CHALLENGE_TEST(wrong_cookie_verifies_nobody),
		CHALLENGE_TEST(resets_and_syns_verify_nobody),
		CHALLENGE_TEST(connection_that_the_kernel_has_verifies_the_source),
		CHALLENGE_TEST(source_stays_verified_for_ten_minutes),
		CHALLENGE_TEST(source_whose_time_ran_out_is_verified_by_its_next_cookie),
		CHALLENGE_TEST(entry_is_renewed_when_half_of_its_time_is_over),
		CHALLENGE_TEST(cookie_returned_again_and_again_is_charged_and_verifies_no_more),
		CHALLENGE_TEST(cookies_of_sources_that_are_over_with_syns_still_complete),
		CHALLENGE_TEST(cookie_completes_though_its_cell_is_over_and_nothing_is_promoted),
		CHALLENGE_TEST(segments_are_looked_at_for_two_minutes_after_an_answer),
		CHALLENGE_TEST(tick_of_unknown_length_has_segments_looked_at_no_shorter),
		CHALLENGE_TEST(time_is_written_once_a_second),
		CHALLENGE_TEST(segments_of_other_services_are_not_looked_at),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
