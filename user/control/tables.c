/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Writing the tables; see tables.h. The order of the steps is what makes a
 * crash at any point harmless:
 *
 *   wait until no packet sees the idle slot: who put the other one in force may
 *   have been killed before it did
 *   clear what an interrupted write left in the idle slot
 *   write ports, services, policies, summary, settings, sources there
 *   set the sysctls that they need
 *   store `active`                                  <- the swap
 *   wait until no packet sees the old slot any more
 *   remove the old slot's sources
 *   put the sysctls back that they do not need
 */
#include "control/tables.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "control/challenge.h"
#include "control/writer.h"

static void write_settings(const struct thr_writer *writer)
{
	const struct thr_tables *tables = writer->tables;
	struct thr_live *live = writer->instance->live;
	struct thr_settings *settings = &live->slot[writer->slot];
	unsigned int bits = tables->v6_source_bits;
	uint32_t generation = live->slot[live->active].generation + 1;

	*settings = (struct thr_settings){
		.action = tables->action,
		.kinds = writer->policies.kinds,
		.flags = writer->flags | (tables->drop_malformed ? THR_DROP_MALFORMED : 0) |
			 (tables->drop_fragments ? THR_DROP_FRAGMENTS : 0),
		.generation = generation ? generation : 1,
	};
	for (unsigned int bit = 0; bit < bits; bit++)
		((uint8_t *)settings->v6_source_mask)[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
}

/* Packets are processed with RCU read-held: one grace period after the swap
 * none of them sees the old slot. A kernel booted with nohz_full= has no such
 * call; there, wait for a time that no packet's processing comes near. */
static void wait_for_packets(void)
{
	const struct timespec long_enough = {.tv_nsec = 100 * 1000 * 1000};

	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
		nanosleep(&long_enough, NULL);
}

/* How soon a flood may fill the table of own buckets once over; see bpf/limit.h. */
#define PROMOTION_TURNOVER_S 60

/* Where buckets lie follows from the seed and from how many there are: both are
 * settled before the first table is in force, and never change. */
static int settle_gate(struct thr_instance *instance, struct thr_error *error)
{
	uint32_t buckets = instance->map_entries[THR_MAP_BUCKETS];
	const struct thr_rate promotion = {
		.count = buckets, .burst = buckets / 64 + 1, .per_s = PROMOTION_TURNOVER_S};
	struct thr_live *live = instance->live;

	if (live->gate_shift)
		return 0;
	if (getrandom(live->seed, sizeof(live->seed), 0) != (ssize_t)sizeof(live->seed))
		return thr_fail(error, errno, "no random numbers to be had: %s", strerror(errno));
	live->promotion = thr_limit_of(&promotion, 0);
	live->gate_shift = 64 - (uint32_t)__builtin_ctz(instance->map_entries[THR_MAP_GATE]);
	return 0;
}

static int write_slot(struct thr_writer *writer, struct thr_error *error)
{
	struct thr_instance *instance = writer->instance;
	struct thr_policy *policies = &instance->policies[writer->slot * THR_POLICIES_MAX];
	int result;

	wait_for_packets();
	result = settle_gate(instance, error);
	if (result)
		return result;
	result = thr_sources_remove(instance, writer->slot);
	if (result)
		return thr_fail(error, -result, "remains of an interrupted change stay: %s",
				strerror(-result));
	memset(policies, 0, THR_POLICIES_MAX * sizeof(*policies));
	if (thr_policy_set_init(&writer->policies, policies))
		return thr_fail(error, ENOMEM, "out of memory");
	result = thr_services_write(writer, error);
	if (!result)
		result = thr_sources_write(writer, error);
	if (result)
		return result;
	write_settings(writer);
	return 0;
}

/* Write the slot that is not in use; on failure it is as empty as before. */
static int write_idle(struct thr_writer *writer, struct thr_error *error)
{
	int result = thr_instance_check_sizes(writer->instance, &writer->tables->sizes, error);

	if (result)
		return result;
	result = write_slot(writer, error);
	thr_policy_set_clear(&writer->policies);
	if (result)
		thr_sources_remove(writer->instance, writer->slot);
	return result;
}

static void swap(const struct thr_writer *writer)
{
	struct thr_live *live = writer->instance->live;
	struct timespec tick = {};

	/* The coarse clock's resolution is the length of a timer tick. */
	if (!clock_getres(CLOCK_MONOTONIC_COARSE, &tick))
		live->jiffy_ns = (uint64_t)tick.tv_nsec;
	live->version = THR_ABI_VERSION;
	__atomic_store_n(&live->active, writer->slot, __ATOMIC_SEQ_CST);
	wait_for_packets();
	/* What stays here is removed before the next change. */
	thr_sources_remove(writer->instance, !writer->slot);
}

int thr_tables_write(struct thr_instance *instance, const struct thr_tables *tables,
		     struct thr_notices *notices, struct thr_error *error)
{
	struct thr_writer writer = {
		.instance = instance, .tables = tables, .slot = !instance->live->active};
	int result = write_idle(&writer, error);

	if (result)
		return result;
	thr_challenge_prepare(instance, tables, notices);
	swap(&writer);
	if (!thr_challenge_is_wanted(tables))
		thr_challenge_restore(instance, notices);
	return 0;
}

int thr_tables_write_first(struct thr_instance *instance, const struct thr_tables *tables,
			   struct thr_error *error)
{
	struct thr_writer writer = {
		.instance = instance, .tables = tables, .slot = !instance->live->active};
	int result = write_idle(&writer, error);

	if (!result)
		swap(&writer);
	return result;
}
