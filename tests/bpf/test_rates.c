/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What passes of a flood, over an hour of simulated time: the rate, within 1 %.
 *
 * Slow rates are flooded from end to end. Fast ones, of which an hour has
 * billions of packets, are sampled: the clock leaps to a moment, the bucket is
 * emptied, and then the flood is counted through a window of a millisecond.
 */
#include "support/run.h"
#include "support/xdp.h"

#define HOUR (3600 * NS_PER_S)

static void assert_within_1_percent(uint64_t is, uint64_t expected)
{
	uint64_t off = is > expected ? is - expected : expected - is;

	if (off * 100 > expected)
		print_error("# %lu, not about %lu\n", (unsigned long)is, (unsigned long)expected);
	assert_true(off * 100 <= expected);
}

/* Empty the bucket, then offer `packets` every `step` ns for `time`. */
static uint64_t flood(struct thr_xdp *xdp, uint64_t time, uint64_t step, uint32_t packets)
{
	struct thr_tally before;
	struct thr_frame frame;

	thr_frame_build(SYN_FROM("192.0.2.1"), &frame);
	while (thr_xdp_run(xdp, &frame, 1) == 2 /* XDP_PASS */)
		;
	thr_xdp_tally(xdp, &before);
	for (uint64_t at = 0; at < time; at += step) {
		thr_xdp_advance(xdp, step);
		assert_true(thr_xdp_run(xdp, &frame, packets) >= 0);
	}
	return thr_xdp_passed_since(xdp, &before);
}

static void one_a_minute_is_60_in_an_hour(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	GRANT(xdp, .kind = THR_CONNECTIONS, .rate = 1, .per_s = 60, .burst = 3);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_int_equal(flood(xdp, HOUR, NS_PER_S / 4, 2), 60);
}

static void twenty_a_second_are_72000_in_an_hour(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	GRANT(xdp, .kind = THR_CONNECTIONS, .rate = 20, .burst = 40);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_within_1_percent(flood(xdp, HOUR, NS_PER_S / 10, 4), 72000);
}

/* A step that no number of tokens divides leaves no remainder behind. */
static void uneven_steps_lose_nothing(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	GRANT(xdp, .kind = THR_CONNECTIONS, .rate = 7, .burst = 3);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	assert_within_1_percent(flood(xdp, HOUR, 99999989, 3), 7 * 3600);
}

static void a_million_packets_a_second_through_an_hour(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);

	GRANT(xdp, .kind = THR_PACKETS, .rate = 1000000, .burst = 50);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	for (int i = 0; i < 180; i++) {
		assert_within_1_percent(flood(xdp, NS_PER_MS, 10000, 15), 1000);
		thr_xdp_advance(xdp, HOUR / 180);
	}
}

/* Frames of four sizes by turns; the bytes of those that pass add up. */
static uint64_t flood_bytes(struct thr_xdp *xdp, const struct thr_frame frames[4], uint64_t time,
			    uint64_t step)
{
	uint64_t bytes = 0;
	int turn = 0;

	for (uint64_t at = 0; at < time; at += step) {
		uint64_t offered = 0;

		thr_xdp_advance(xdp, step);
		/* 10 Gbit/s are 1.25 bytes a ns: offer more than half as much again. */
		while (offered < step * 2) {
			const struct thr_frame *frame = &frames[turn++ % 4];

			offered += frame->size;
			if (thr_xdp_run(xdp, frame, 1) == 2 /* XDP_PASS */)
				bytes += frame->size;
		}
	}
	return bytes;
}

static void ten_gigabits_a_second_of_mixed_frames_through_an_hour(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);
	struct thr_frame frames[4];

	GRANT(xdp, .kind = THR_BYTES, .rate = 1250000000, .burst = 150000);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	thr_frame_build(LAYERS(ETH, IP4(), TCP(SYN), PADDING(6)), &frames[0]);
	thr_frame_build(LAYERS(ETH, IP4(), UDP(), DATA(300)), &frames[1]);
	thr_frame_build(LAYERS(ETH, IP4(), TCP(ACK), DATA(1460)), &frames[2]);
	thr_frame_build(LAYERS(ETH, TAG, IP4(), ICMP(8), DATA(700)), &frames[3]);
	for (int i = 0; i < 60; i++) {
		flood_bytes(xdp, frames, NS_PER_MS / 2, 50000); /* empties the bucket */
		assert_within_1_percent(flood_bytes(xdp, frames, NS_PER_MS, 50000), 1250000);
		thr_xdp_advance(xdp, HOUR / 60);
	}
}

/* The smallest frames err most: each taking is rounded to a tick. */
static void ten_gigabits_a_second_of_small_frames(void **state)
{
	struct thr_xdp *xdp = thr_xdp_given(state);
	struct thr_frame frames[4];

	GRANT(xdp, .kind = THR_BYTES, .rate = 1250000000, .burst = 150000);
	thr_xdp_publish(xdp, 0, THR_ACTION_ENFORCE);
	for (int i = 0; i < 4; i++)
		thr_frame_build(LAYERS(ETH, IP4(), TCP(ACK), PADDING(6)), &frames[i]);
	flood_bytes(xdp, frames, NS_PER_MS / 2, 50000);
	assert_within_1_percent(flood_bytes(xdp, frames, 10 * NS_PER_MS, 50000), 12500000);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		XDP_TEST(one_a_minute_is_60_in_an_hour),
		XDP_TEST(twenty_a_second_are_72000_in_an_hour),
		XDP_TEST(uneven_steps_lose_nothing),
		XDP_TEST(a_million_packets_a_second_through_an_hour),
		XDP_TEST(ten_gigabits_a_second_of_mixed_frames_through_an_hour),
		XDP_TEST(ten_gigabits_a_second_of_small_frames),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
