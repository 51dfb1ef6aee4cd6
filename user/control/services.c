/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The services of a slot; see writer.h. A packet finds its service by its destination
 * port, and there all that it needs: the service's policy has the default's limits where
 * it states none of its own, and a policy for each tier.
 */
#include "control/writer.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

static int write_tier(struct thr_writer *writer, const struct thr_service_config *service,
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

static int write_service(struct thr_writer *writer, const struct thr_service_config *config,
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
static void number_services(const struct thr_writer *writer, uint8_t numbers[THR_SERVICES_MAX])
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
static int renew_budget(const struct thr_writer *writer, uint32_t number, const char *name,
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

int thr_services_write(struct thr_writer *writer, struct thr_error *error)
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
