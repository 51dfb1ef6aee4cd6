/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reading the tables in force; see tables.h. What was inherited or merged for
 * the packet layer is left out: each entry comes back as it was stated. */
#include "control/tables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/writer.h"
#include "core/cleanup.h"

static const struct thr_policy *policy_at(const struct thr_instance *instance, uint32_t index)
{
	return &instance->policies[instance->live->active * THR_POLICIES_MAX + index];
}

static int read_ports(const struct thr_instance *instance, uint32_t number,
		      struct thr_service_config *service)
{
	const struct thr_ports *ports = &instance->ports[instance->live->active * THR_PORT_GROUPS];
	size_t count = 0;

	for (uint32_t port = 0; port < 65536; port++)
		count += ports[port / 8].service[port % 8] == number;
	service->ports = calloc(count + 1, sizeof(*service->ports));
	if (!service->ports)
		return -ENOMEM;
	for (uint32_t port = 0; port < 65536; port++)
		if (ports[port / 8].service[port % 8] == number)
			service->ports[service->port_count++] = (uint16_t)port;
	return 0;
}

static int read_service(const struct thr_instance *instance, uint32_t number,
			const struct thr_service *live, struct thr_service_config *service)
{
	service->name = strndup(live->name, sizeof(live->name));
	if (!service->name)
		return -ENOMEM;
	service->new_sources = thr_limit_rate(&live->new_sources);
	/* Whoever may write to the maps can have written anything. */
	service->on_overload =
		live->on_overload <= THR_OVERLOAD_CHALLENGE ? live->on_overload : THR_OVERLOAD_DROP;
	if (live->own_policy)
		thr_policy_limits(policy_at(instance, live->own_policy), &service->per_source);
	for (int is_v6 = 0; is_v6 < 2; is_v6++) {
		const struct thr_policy *tier = policy_at(instance, live->tier[is_v6]);

		if (!live->tier[is_v6])
			continue;
		thr_policy_limits(tier, &service->per_prefix);
		for (int kind = 0; kind < THR_KINDS; kind++) {
			uint32_t bits = THR_SCOPE_BITS(tier->limit[kind].scope);

			if (!tier->limit[kind].interval)
				continue;
			if (is_v6)
				service->prefix_v6 = (uint8_t)bits;
			else
				service->prefix_v4 = (uint8_t)(bits - 96);
		}
	}
	return read_ports(instance, number, service);
}

static int read_services(const struct thr_instance *instance, struct thr_tables *tables)
{
	const struct thr_service *live =
		&instance->services[instance->live->active * (THR_SERVICES_MAX + 1)];

	tables->services = calloc(THR_SERVICES_MAX, sizeof(*tables->services));
	if (!tables->services)
		return -ENOMEM;
	for (uint32_t number = 1; number <= THR_SERVICES_MAX; number++) {
		int result;

		if (!live[number].name[0])
			continue;
		result = read_service(instance, number, &live[number],
				      &tables->services[tables->service_count++]);
		if (result)
			return result;
	}
	return 0;
}

struct source_reader {
	const struct thr_instance *instance;
	struct thr_tables *tables;
	size_t room;
};

static int read_source(void *context, const struct thr_source_key *key,
		       const struct thr_source *source)
{
	struct source_reader *reader = context;
	struct thr_tables *tables = reader->tables;
	const struct thr_policy *policy = policy_at(reader->instance, source->own_policy);
	struct thr_source_config *entry;

	if (tables->source_count == reader->room) {
		size_t room = reader->room ? reader->room * 2 : 256;
		void *grown = reallocarray(tables->sources, room, sizeof(*tables->sources));

		if (!grown)
			return -ENOMEM;
		tables->sources = grown;
		reader->room = room;
	}
	entry = &tables->sources[tables->source_count++];
	*entry = (struct thr_source_config){.action = source->own_action};
	entry->prefix.is_v6 = key->tag & 1;
	entry->prefix.bits =
		(uint8_t)(key->prefixlen - THR_SOURCE_TAG_BITS - (entry->prefix.is_v6 ? 0 : 96));
	memcpy(entry->prefix.address, key->address, sizeof(key->address));
	if (!source->own_policy)
		return 0;
	thr_policy_limits(policy, &entry->limits);
	for (int kind = 0; kind < THR_KINDS; kind++)
		entry->shared |= (policy->limit[kind].scope & THR_SCOPE_SHARED) != 0;
	return 0;
}

static int compare_sources(const void *a, const void *b)
{
	const struct thr_source_config *left = a, *right = b;

	return thr_prefix_compare(&left->prefix, &right->prefix);
}

static int read_sources(const struct thr_instance *instance, struct thr_tables *tables)
{
	struct source_reader reader = {.instance = instance, .tables = tables};
	int result = thr_sources_walk(instance->map_fd[THR_MAP_SOURCES], instance->live->active,
				      read_source, &reader);

	if (!result && tables->source_count)
		qsort(tables->sources, tables->source_count, sizeof(*tables->sources),
		      compare_sources);
	return result;
}

int thr_tables_read(const struct thr_instance *instance, struct thr_tables *ret_tables,
		    struct thr_error *error)
{
	const struct thr_settings *settings = &instance->live->slot[instance->live->active];
	struct thr_tables tables = {
		.action = settings->action,
		.drop_malformed = settings->flags & THR_DROP_MALFORMED,
		.drop_fragments = settings->flags & THR_DROP_FRAGMENTS,
		.v6_source_bits = 64,
	};
	int result;

	if (settings->generation)
		tables.v6_source_bits =
			(uint8_t)(__builtin_popcountll(settings->v6_source_mask[0]) +
				  __builtin_popcountll(settings->v6_source_mask[1]));
	thr_policy_limits(policy_at(instance, 0), &tables.per_source);
	result = read_services(instance, &tables);
	if (!result)
		result = read_sources(instance, &tables);
	if (result) {
		thr_tables_clear(&tables);
		return thr_fail(error, -result, "the live tables cannot be read: %s",
				strerror(-result));
	}
	*ret_tables = tables;
	return 0;
}
