/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the schema's tables cannot say of the packet layer; see validate.h. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "config/validate.h"
#include "core/cleanup.h"

static const struct {
	const char *rate;
	const char *burst;
} kinds[THR_KINDS] = {
	[THR_CONNECTIONS] = {"connections_per_second", "burst"},
	[THR_PACKETS] = {"packets_per_second", "packet_burst"},
	[THR_BYTES] = {"bytes_per_second", "byte_burst"},
};

/* Where there is no limit on connections, `burst` belongs to the only other. */
static int place_burst(const struct thr_reader *reader, const struct thr_node *map,
		       struct thr_limits *limits)
{
	const struct thr_node *node = thr_node_find(map, "burst");
	struct thr_rate *packets = &limits->kind[THR_PACKETS], *bytes = &limits->kind[THR_BYTES];
	enum thr_kind kind = packets->count ? THR_PACKETS : THR_BYTES;

	if (!node || limits->kind[THR_CONNECTIONS].count)
		return 0;
	if (packets->count && bytes->count)
		return thr_refuse_key(reader, node,
				      "burst could be of packets or of bytes: write packet_burst "
				      "or byte_burst");
	if (limits->kind[kind].burst)
		return thr_refuse_key(reader, node, "burst beside %s: write %s only",
				      kinds[kind].burst, kinds[kind].burst);
	limits->kind[kind].burst = limits->kind[THR_CONNECTIONS].burst;
	limits->kind[THR_CONNECTIONS].burst = 0;
	return 0;
}

static int finish_kind(const struct thr_reader *reader, const struct thr_node *map,
		       enum thr_kind kind, struct thr_rate *rate)
{
	const struct thr_node *node = thr_node_find(map, kinds[kind].burst);

	if (!rate->count) {
		if (rate->burst)
			return thr_refuse_key(reader, node,
					      "%s without a rate: write %s, or leave it out",
					      kinds[kind].burst, kinds[kind].rate);
		return 0;
	}
	if (!node)
		node = thr_node_find(map, "burst");
	if (kind == THR_BYTES && rate->burst && rate->burst < THR_FRAME_BYTES)
		return thr_refuse(reader, node,
				  "%s of %" PRIu64 " bytes never lets a full frame pass: write at "
				  "least %d",
				  node->key, rate->burst, THR_FRAME_BYTES);
	return thr_finish_rate(reader, map, node ? node->key : kinds[kind].burst,
			       kind == THR_BYTES ? THR_BYTE_BURST_LEAST : 1, rate);
}

int thr_finish_limits(const struct thr_reader *reader, const struct thr_node *map, void *into)
{
	struct thr_limits *limits = into;
	bool any = false;
	int r;

	for (int kind = 0; kind < THR_KINDS; kind++)
		any |= limits->kind[kind].count != 0;
	if (!any)
		return thr_refuse_key(reader, map,
				      "no rate: write at least one, such as "
				      "connections_per_second: 20");
	r = place_burst(reader, map, limits);
	for (int kind = 0; r == 0 && kind < THR_KINDS; kind++)
		r = finish_kind(reader, map, (enum thr_kind)kind, &limits->kind[kind]);
	return r;
}

int thr_finish_per_prefix(const struct thr_reader *reader, const struct thr_node *map, void *into)
{
	struct thr_service_config *service = into;

	if (!service->prefix_v4 && !service->prefix_v6)
		return thr_refuse_key(reader, map,
				      "no prefix length: write ipv4: 24, ipv6: 48, or both");
	return thr_finish_limits(reader, map, &service->per_prefix);
}

int thr_finish_new_sources(const struct thr_reader *reader, const struct thr_node *map, void *into)
{
	struct thr_service_config *service = into;

	return thr_finish_rate(reader, map, "burst", 1, &service->new_sources);
}

const char *thr_service_name_fault(const char *text)
{
	size_t length = strlen(text);

	if (length >= sizeof(((struct thr_service *)NULL)->name))
		return "write at most 31 characters";
	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)text[i]) && text[i] != '_' && text[i] != '-')
			return "write letters, digits, '-' and '_' only";
	return NULL;
}

static int compare_ports(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

/* Enter the ports of one service into `owners`, by port: the service's name and
 * the value's node. */
static int claim_ports(const struct thr_reader *reader, const struct thr_service_config *service,
		       const struct thr_node *node, struct thr_named *owners)
{
	for (size_t i = 0; i < service->port_count; i++, node = node->next) {
		struct thr_named *owner = &owners[service->ports[i]];

		if (owner->text == service->name)
			return thr_refuse(reader, node,
					  "port %u of service '%s' is given %s already: write it "
					  "once",
					  service->ports[i], service->name, ORIGIN(owner->node));
		if (owner->text)
			return thr_refuse(reader, node,
					  "port %u of service '%s' is in service '%s', %s: write "
					  "it in one of them",
					  service->ports[i], service->name, owner->text,
					  ORIGIN(owner->node));
		*owner = (struct thr_named){service->name, node};
	}
	return 0;
}

int thr_finish_services(const struct thr_reader *reader, const struct thr_node *list, void *into)
{
	struct thr_tables *tables = &((struct thr_xdp_config *)into)->tables;
	AUTO_FREE struct thr_named *names = calloc(tables->service_count, sizeof(*names));
	AUTO_FREE struct thr_named *owners = calloc(UINT16_MAX + 1, sizeof(*owners));
	const struct thr_node *node = list->first;
	int r = 0;

	if (!names || !owners)
		return thr_refuse_memory(reader);
	for (size_t i = 0; r == 0 && i < tables->service_count; i++, node = node->next) {
		struct thr_service_config *service = &tables->services[i];

		names[i] = (struct thr_named){service->name, thr_node_find(node, "name")};
		r = claim_ports(reader, service, thr_node_find(node, "ports")->first, owners);
		qsort(service->ports, service->port_count, sizeof(*service->ports), compare_ports);
	}
	return r < 0 ? r : thr_refuse_twice(reader, names, tables->service_count, "service");
}

/* An entry that allows or denies says nothing about rates. */
static int check_no_limits(const struct thr_reader *reader, const struct thr_node *map,
			   enum thr_source_action action)
{
	const char *verb = action == THR_SOURCE_ALLOW ? "allow" : "deny";

	for (const struct thr_node *node = map->first; node; node = node->next)
		if (strcmp(node->key, "prefix") != 0 && strcmp(node->key, "action") != 0)
			return thr_refuse_key(reader, node,
					      "%s beside action: %s has no effect: write one of "
					      "them",
					      node->key, verb);
	return 0;
}

int thr_finish_source(const struct thr_reader *reader, const struct thr_node *map, void *into)
{
	struct thr_source_config *source = into;

	if (source->action != THR_SOURCE_LIMIT)
		return check_no_limits(reader, map, source->action);
	if (map->count == 1)
		return thr_refuse_key(reader, map,
				      "neither an action nor a rate: write action: allow, "
				      "action: deny, or a rate such as connections_per_second: 20");
	return thr_finish_limits(reader, map, &source->limits);
}

struct placed_source {
	const struct thr_source_config *source;
	const struct thr_node *node;
};

/* Ties in the order of the file, so that the second is the one refused. */
static int compare_sources(const void *a, const void *b)
{
	const struct placed_source *left = a, *right = b;
	int order = thr_prefix_compare(&left->source->prefix, &right->source->prefix);

	return order ? order : (left->source > right->source) - (left->source < right->source);
}

static int check_sources(const struct thr_reader *reader, const struct placed_source *order,
			 size_t count)
{
	for (size_t i = 1; i < count; i++) {
		const struct thr_node *node = thr_node_find(order[i].node, "prefix");
		const struct thr_node *before = thr_node_find(order[i - 1].node, "prefix");

		if (thr_prefix_compare(&order[i - 1].source->prefix, &order[i].source->prefix) == 0)
			return thr_refuse(reader, node,
					  "prefix %s is given %s already: write it once",
					  QUOTE(node->text), ORIGIN(before));
	}
	return 0;
}

int thr_finish_sources(const struct thr_reader *reader, const struct thr_node *list, void *into)
{
	struct thr_tables *tables = &((struct thr_xdp_config *)into)->tables;
	size_t count = tables->source_count;
	AUTO_FREE struct placed_source *order = calloc(count, sizeof(*order));
	AUTO_FREE struct thr_source_config *sorted = calloc(count, sizeof(*sorted));
	const struct thr_node *node = list->first;
	struct thr_source_config *unsorted = tables->sources;
	int r;

	if (!order || !sorted)
		return thr_refuse_memory(reader);
	for (size_t i = 0; i < count; i++, node = node->next)
		order[i] = (struct placed_source){&unsorted[i], node};
	qsort(order, count, sizeof(*order), compare_sources);
	r = check_sources(reader, order, count);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++)
		sorted[i] = *order[i].source;
	tables->sources = TAKE_PTR(sorted);
	free(unsorted);
	return 0;
}

/* As the kernel's dev_valid_name(). */
const char *thr_interface_fault(const char *text)
{
	if (strlen(text) >= IF_NAMESIZE)
		return "write the name of an interface, which has at most 15 bytes";
	if (strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
		return "write the name of an interface";
	for (; *text; text++)
		if (*text <= ' ' || *text > '~' || *text == '/' || *text == ':')
			return "write the name of an interface, without spaces, '/' and ':'";
	return NULL;
}

int thr_finish_interfaces(const struct thr_reader *reader, const struct thr_node *list, void *into)
{
	const struct thr_xdp_config *xdp = into;
	AUTO_FREE struct thr_named *names = calloc(xdp->interface_count, sizeof(*names));
	const struct thr_node *node = list->first;

	if (!names)
		return thr_refuse_memory(reader);
	for (size_t i = 0; i < xdp->interface_count; i++, node = node->next)
		names[i] = (struct thr_named){xdp->interfaces[i], node};
	return thr_refuse_twice(reader, names, xdp->interface_count, "interface");
}

/* The gate is indexed by bits of a hash; the kernel's hash tables grow by doubling too. */
static uint64_t round_up(uint64_t count)
{
	return count > 1 ? 1ULL << (64 - __builtin_clzll(count - 1)) : count;
}

/* The name is what a refusal would begin with. */
static int finish_size(const struct thr_reader *reader, const struct thr_node *node,
		       struct thr_size *size)
{
	struct thr_error name;
	const struct thr_reader namer = {reader->name, reader->section, &name};

	if (!node)
		return 0;
	thr_refuse(&namer, node, "%s", node->key);
	size->entries = round_up(size->entries);
	size->name = strdup(name.text);
	return size->name ? 0 : thr_refuse_memory(reader);
}

int thr_finish_sizes(const struct thr_reader *reader, const struct thr_node *map, void *into)
{
	struct thr_sizes *sizes = into;
	int r = finish_size(reader, thr_node_find(map, "gate"), &sizes->gate);

	if (r == 0)
		r = finish_size(reader, thr_node_find(map, "exact"), &sizes->exact);
	if (r == 0)
		r = finish_size(reader, thr_node_find(map, "verified"), &sizes->verified);
	if (r == 0)
		r = finish_size(reader, thr_node_find(map, "blocked"), &sizes->blocked);
	return r;
}

int thr_finish_xdp(const struct thr_reader *reader, const struct thr_node *map, void *into)
{
	struct thr_xdp_config *xdp = into;

	(void)reader;
	(void)map;
	xdp->present = true;
	return 0;
}
