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

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "control/challenge.h"
#include "control/policies.h"
#include "control/summary.h"
#include "core/cleanup.h"

struct writer {
	struct thr_instance *instance;
	const struct thr_tables *tables;
	unsigned int slot; /* the idle one */
	struct thr_policy_set policies;
	uint32_t flags; /* enum thr_flag that follow from the tables' contents */
	struct thr_source_key *keys;
	struct thr_source *sources;
};

/* --- removing the sources of a slot --- */

struct key_list {
	struct thr_source_key *keys;
	size_t count, room;
};

static int collect_key(void *context, const struct thr_source_key *key,
		       const struct thr_source *source)
{
	struct key_list *list = context;

	(void)source;
	if (list->count == list->room) {
		size_t room = list->room ? list->room * 2 : 1024;
		struct thr_source_key *grown = reallocarray(list->keys, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		list->keys = grown;
		list->room = room;
	}
	list->keys[list->count++] = *key;
	return 0;
}

static int delete_keys(int map_fd, const struct key_list *list)
{
	LIBBPF_OPTS(bpf_map_batch_opts, options);
	__u32 count = (__u32)list->count;

	if (count && bpf_map_delete_batch(map_fd, list->keys, &count, &options))
		return -errno;
	return 0;
}

static int remove_sources(struct thr_instance *instance, unsigned int slot)
{
	int map_fd = instance->map_fd[THR_MAP_SOURCES];
	struct key_list list = {};
	int result;

	if (!instance->live->stale[slot])
		return 0;
	result = thr_sources_walk(map_fd, slot, collect_key, &list);
	if (!result)
		result = delete_keys(map_fd, &list);
	free(list.keys);
	if (!result)
		instance->live->stale[slot] = 0;
	return result;
}

/* --- services --- */

static int write_tier(struct writer *writer, const struct thr_service_config *service,
		      uint32_t number, bool is_v6, uint32_t *ret_index, struct thr_error *error)
{
	uint32_t bits = is_v6 ? service->prefix_v6 : 96u + service->prefix_v4;
	struct thr_policy policy = {};
	int index;

	*ret_index = 0;
	if (!(is_v6 ? service->prefix_v6 : service->prefix_v4))
		return 0;
	thr_policy_state(&policy, &service->per_prefix, THR_SCOPE_TIER | bits << 8 | number);
	index = thr_policy_set_add(&writer->policies, &policy, error);
	if (index < 0)
		return index;
	*ret_index = (uint32_t)index;
	return 0;
}

static int write_service(struct writer *writer, const struct thr_service_config *config,
			 uint32_t number, struct thr_error *error)
{
	struct thr_service *service =
		&writer->instance->services[writer->slot * (THR_SERVICES_MAX + 1) + number];
	struct thr_ports *ports = &writer->instance->ports[writer->slot * THR_PORT_GROUPS];
	struct thr_policy own = {}, policy = writer->policies.policies[0];
	int index, result;

	thr_policy_state(&own, &config->per_source, THR_SCOPE_SERVICE | number);
	index = thr_policy_set_add(&writer->policies, &own, error);
	if (index < 0)
		return index;
	strncpy(service->name, config->name, sizeof(service->name) - 1);
	service->own_policy = (uint32_t)index;
	service->new_sources = thr_limit_of(&config->new_sources, 0);
	service->on_overload = config->on_overload;
	if (config->new_sources.count)
		writer->flags |= THR_HAS_BUDGETS;
	if (config->new_sources.count && config->on_overload == THR_OVERLOAD_CHALLENGE)
		writer->flags |= THR_HAS_CHALLENGES;

	thr_policy_state(&policy, &config->per_source, THR_SCOPE_SERVICE | number);
	result = write_tier(writer, config, number, false, &service->tier[0], error);
	if (!result)
		result = write_tier(writer, config, number, true, &service->tier[1], error);
	if (result)
		return result;
	thr_policy_set_place(&writer->policies, number, &policy);
	for (size_t i = 0; i < config->port_count; i++)
		ports[config->ports[i] / 8].service[config->ports[i] % 8] = (uint8_t)number;
	return 0;
}

/* A service's number is part of its buckets' keys: one that the table in force
 * has by the same name keeps its number, and the others get numbers that none
 * has there, as long as there are such. */
static void number_services(const struct writer *writer, uint8_t numbers[THR_SERVICES_MAX])
{
	const struct thr_service *live =
		&writer->instance->services[!writer->slot * (THR_SERVICES_MAX + 1)];
	bool taken[THR_SERVICES_MAX + 1] = {true};
	size_t count = writer->tables->service_count;

	memset(numbers, 0, THR_SERVICES_MAX);
	for (size_t i = 0; i < count; i++) {
		for (uint32_t number = 1; number <= THR_SERVICES_MAX; number++) {
			if (strncmp(live[number].name, writer->tables->services[i].name,
				    sizeof(live->name)) == 0) {
				numbers[i] = (uint8_t)number;
				taken[number] = true;
			}
		}
	}
	for (size_t i = 0; i < count; i++) {
		for (uint32_t number = 1; number <= THR_SERVICES_MAX && !numbers[i]; number++)
			if (!taken[number] && !live[number].name[0])
				numbers[i] = (uint8_t)number;
		for (uint32_t number = 1; number <= THR_SERVICES_MAX && !numbers[i]; number++)
			if (!taken[number])
				numbers[i] = (uint8_t)number;
		taken[numbers[i]] = true;
	}
}

/* A number may have a budget in debt, of the service that had it before: one of another
 * name begins with a whole one. Where all numbers are in use, it is still the other's until
 * the swap, which may have that much more. */
static int renew_budget(const struct writer *writer, uint32_t number, const char *name,
			struct thr_error *error)
{
	const struct thr_service *live =
		&writer->instance->services[!writer->slot * (THR_SERVICES_MAX + 1) + number];
	const struct thr_budget whole = {};

	if (strncmp(live->name, name, sizeof(live->name)) != 0 &&
	    bpf_map_update_elem(writer->instance->map_fd[THR_MAP_BUDGETS], &number, &whole,
				BPF_ANY))
		return thr_fail(error, errno, "a budget cannot be written: %s", strerror(errno));
	return 0;
}

static int write_services(struct writer *writer, struct thr_error *error)
{
	struct thr_instance *instance = writer->instance;
	struct thr_policy fallback = {};
	unsigned int slot = writer->slot;
	uint8_t numbers[THR_SERVICES_MAX];

	memset(&instance->services[slot * (THR_SERVICES_MAX + 1)], 0,
	       (THR_SERVICES_MAX + 1) * sizeof(struct thr_service));
	memset(&instance->ports[slot * THR_PORT_GROUPS], 0,
	       THR_PORT_GROUPS * sizeof(struct thr_ports));
	thr_policy_state(&fallback, &writer->tables->per_source, THR_SCOPE_SERVICE);
	thr_policy_set_place(&writer->policies, 0, &fallback);
	number_services(writer, numbers);
	for (size_t i = 0; i < writer->tables->service_count; i++) {
		const struct thr_service_config *service = &writer->tables->services[i];
		int result = renew_budget(writer, numbers[i], service->name, error);

		if (!result)
			result = write_service(writer, service, numbers[i], error);
		if (result)
			return result;
	}
	return 0;
}

/* --- sources --- */

/* A prefix that holds the one at hand, and what is in force in it. */
struct enclosing {
	const struct thr_prefix *prefix;
	struct thr_policy policy;
	enum thr_source_action action;
};

static int write_source(struct writer *writer, size_t at, const struct enclosing *around,
			struct enclosing *ret_own, struct thr_error *error)
{
	const struct thr_source_config *config = &writer->tables->sources[at];
	uint32_t bits = config->prefix.bits + (config->prefix.is_v6 ? 0u : 96u);
	uint32_t scope = THR_SCOPE_PREFIX;
	struct thr_policy own = {};
	int own_index, index;

	if (config->shared)
		scope = THR_SCOPE_SHARED | bits << 8;
	else if (config->prefix.is_v6 && bits > writer->tables->v6_source_bits)
		scope = THR_SCOPE_NARROW | bits << 8;
	ret_own->prefix = &config->prefix;
	ret_own->policy = around ? around->policy : (struct thr_policy){};
	ret_own->action = config->action;
	if (config->action == THR_SOURCE_LIMIT && around)
		ret_own->action = around->action;
	thr_policy_state(&own, &config->limits, scope);
	thr_policy_state(&ret_own->policy, &config->limits, scope);
	own_index = thr_policy_set_add(&writer->policies, &own, error);
	index = thr_policy_set_add(&writer->policies, &ret_own->policy, error);
	if (own_index < 0 || index < 0)
		return -ENOSPC;

	writer->keys[at] = (struct thr_source_key){
		.prefixlen = THR_SOURCE_TAG_BITS + bits,
		.tag = THR_SOURCE_TAG(writer->slot, config->prefix.is_v6),
	};
	memcpy(writer->keys[at].address, config->prefix.address, 16);
	writer->sources[at] = (struct thr_source){
		.policy = (uint32_t)index,
		.own_policy = (uint32_t)own_index,
		.action = (uint8_t)ret_own->action,
		.own_action = (uint8_t)config->action,
	};
	writer->flags |= thr_summary_mark(
		&writer->instance->summary[(size_t)writer->slot * THR_SUMMARY_WORDS],
		&config->prefix);
	return 0;
}

/* Sources come with every prefix right after those that hold it, so the ones
 * around the one at hand form a stack, as deep as an address has bits. */
static int write_all_sources(struct writer *writer, struct thr_error *error)
{
	AUTO_FREE struct enclosing *stack = calloc(130, sizeof(*stack));
	size_t depth = 0;

	if (!stack)
		return thr_fail(error, ENOMEM, "out of memory");
	for (size_t i = 0; i < writer->tables->source_count; i++) {
		const struct thr_prefix *prefix = &writer->tables->sources[i].prefix;
		int result;

		while (depth && !thr_prefix_holds(stack[depth - 1].prefix, prefix))
			depth--;
		result = write_source(writer, i, depth ? &stack[depth - 1] : NULL, &stack[depth],
				      error);
		if (result)
			return result;
		depth++;
	}
	return 0;
}

static int insert_sources(const struct writer *writer)
{
	int map_fd = writer->instance->map_fd[THR_MAP_SOURCES];
	LIBBPF_OPTS(bpf_map_batch_opts, options);
	__u32 done = (__u32)writer->tables->source_count;

	if (!done)
		return 0;
	writer->instance->live->stale[writer->slot] = 1;
	if (bpf_map_update_batch(map_fd, writer->keys, writer->sources, &done, &options))
		return -errno;
	return 0;
}

static int write_sources(struct writer *writer, struct thr_error *error)
{
	size_t count = writer->tables->source_count;
	int result;

	memset(&writer->instance->summary[(size_t)writer->slot * THR_SUMMARY_WORDS], 0,
	       THR_SUMMARY_WORDS * sizeof(uint64_t));
	writer->keys = calloc(count + 1, sizeof(*writer->keys));
	writer->sources = calloc(count + 1, sizeof(*writer->sources));
	if (!writer->keys || !writer->sources)
		return thr_fail(error, ENOMEM, "out of memory for %zu sources", count);
	result = write_all_sources(writer, error);
	if (result)
		return result;
	result = insert_sources(writer);
	if (result)
		thr_fail(error, -result, "the kernel did not take %zu source prefixes: %s", count,
			 strerror(-result));
	return result;
}

/* --- the swap --- */

static void write_settings(const struct writer *writer)
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

static int write_slot(struct writer *writer, struct thr_error *error)
{
	struct thr_instance *instance = writer->instance;
	struct thr_policy *policies = &instance->policies[writer->slot * THR_POLICIES_MAX];
	int result;

	result = thr_instance_check_sizes(instance, &writer->tables->sizes, error);
	if (result)
		return result;
	wait_for_packets();
	result = settle_gate(instance, error);
	if (result)
		return result;
	result = remove_sources(instance, writer->slot);
	if (result)
		return thr_fail(error, -result, "remains of an interrupted change stay: %s",
				strerror(-result));
	memset(policies, 0, THR_POLICIES_MAX * sizeof(*policies));
	if (thr_policy_set_init(&writer->policies, policies))
		return thr_fail(error, ENOMEM, "out of memory");
	result = write_services(writer, error);
	if (!result)
		result = write_sources(writer, error);
	if (result)
		return result;
	write_settings(writer);
	return 0;
}

/* Write the slot that is not in use; on failure it is as empty as before. */
static int write_idle(struct writer *writer, struct thr_error *error)
{
	int result = write_slot(writer, error);

	thr_policy_set_clear(&writer->policies);
	free(writer->keys);
	free(writer->sources);
	if (result)
		remove_sources(writer->instance, writer->slot);
	return result;
}

static void swap(const struct writer *writer)
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
	remove_sources(writer->instance, !writer->slot);
}

int thr_tables_write(struct thr_instance *instance, const struct thr_tables *tables,
		     struct thr_notices *notices, struct thr_error *error)
{
	struct writer writer = {
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
	struct writer writer = {
		.instance = instance, .tables = tables, .slot = !instance->live->active};
	int result = write_idle(&writer, error);

	if (!result)
		swap(&writer);
	return result;
}
