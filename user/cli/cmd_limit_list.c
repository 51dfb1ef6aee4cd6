/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `limit list`: every limit in force, of the default, of services and of source
 * prefixes. */
#include <stdio.h>
#include <string.h>

#include "cli/sources.h"

/* --- for people --- */

#define WHAT_TEXT 96

static const char *overload_name(enum thr_overload overload)
{
	static const char *const names[] = {"drop", "pass", "challenge"};

	return names[overload];
}

static void print_row(int width, const char *what, const struct thr_limits *limits,
		      const char *note)
{
	printf("%-*s", width, what);
	for (int kind = 0; kind < THR_KINDS; kind++) {
		char rate[THR_RATE_TEXT] = "-", burst[THR_RATE_TEXT] = "-";

		if (limits->kind[kind].count) {
			thr_rate_format(&limits->kind[kind], rate);
			thr_count_format(limits->kind[kind].burst, burst);
		}
		printf(" %12s %10s", rate, burst);
	}
	printf("%s%s\n", note[0] ? "  " : "", note);
}

/* Print the rows of a service, or with `width` 0 only measure them. Returns the
 * width of the widest. */
static int print_service(int width, const struct thr_service_config *service)
{
	char what[WHAT_TEXT];
	int widest = snprintf(what, sizeof(what), "service %s", service->name);

	if (width)
		print_row(width, what, &service->per_source, "");
	if (service->new_sources.count) {
		const struct thr_limits budget = {.kind[THR_CONNECTIONS] = service->new_sources};
		int length = snprintf(what, sizeof(what), "service %s, new sources", service->name);

		widest = length > widest ? length : widest;
		if (width)
			print_row(width, what, &budget, overload_name(service->on_overload));
	}
	for (int is_v6 = 0; is_v6 < 2; is_v6++) {
		int bits = is_v6 ? service->prefix_v6 : service->prefix_v4;
		int length;

		if (!bits)
			continue;
		length = snprintf(what, sizeof(what), "service %s, each %s /%d", service->name,
				  is_v6 ? "IPv6" : "IPv4", bits);
		if (length > widest)
			widest = length;
		if (width)
			print_row(width, what, &service->per_prefix, "shared");
	}
	return widest;
}

static int print_prefix(int width, const struct thr_source_config *source)
{
	char prefix[THR_PREFIX_TEXT];

	if (source->action != THR_SOURCE_LIMIT)
		return 0;
	thr_prefix_format(&source->prefix, prefix);
	if (width)
		print_row(width, prefix, &source->limits, source->shared ? "shared" : "");
	return (int)strlen(prefix);
}

static int print_rows(int width, const struct thr_tables *tables)
{
	static const char first[] = "default, each source";
	int widest = sizeof(first) - 1;

	if (width)
		print_row(width, first, &tables->per_source, "");
	for (size_t i = 0; i < tables->service_count; i++) {
		int length = print_service(width, &tables->services[i]);

		widest = length > widest ? length : widest;
	}
	for (size_t i = 0; i < tables->source_count; i++) {
		int length = print_prefix(width, &tables->sources[i]);

		widest = length > widest ? length : widest;
	}
	return widest;
}

static void print_tables(const struct thr_tables *tables)
{
	int width = print_rows(0, tables);

	printf("%-*s %12s %10s %12s %10s %12s %10s\n", width, "SOURCES", "CONNECTIONS", "BURST",
	       "PACKETS", "BURST", "BYTES", "BURST");
	print_rows(width, tables);
	printf("\n-  no limit of its own: that of the prefix around it, of the service or of the "
	       "default applies\n");
}

/* --- for programs --- */

static json_t *rate_json(const struct thr_rate *rate)
{
	return json_pack("{s:I,s:I,s:I}", "rate", (json_int_t)rate->count, "per_seconds",
			 (json_int_t)rate->per_s, "burst", (json_int_t)rate->burst);
}

/* {"connections":{"rate":20,"per_seconds":1,"burst":40}}: kinds without a limit
 * are left out. */
static json_t *limits_json(const struct thr_limits *limits)
{
	json_t *object = json_object();

	for (int kind = 0; kind < THR_KINDS; kind++) {
		const struct thr_rate *rate = &limits->kind[kind];

		if (rate->count)
			json_object_set_new(object, thr_kind_name(kind), rate_json(rate));
	}
	return object;
}

static json_t *service_json(const struct thr_service_config *service)
{
	json_t *ports = json_array();
	json_t *object;

	for (size_t i = 0; i < service->port_count; i++)
		json_array_append_new(ports, json_integer(service->ports[i]));
	object = json_pack("{s:s,s:o,s:o}", "name", service->name, "ports", ports, "per_source",
			   limits_json(&service->per_source));
	if (service->prefix_v4 || service->prefix_v6)
		json_object_set_new(object, "per_prefix",
				    json_pack("{s:i,s:i,s:o}", "ipv4", (int)service->prefix_v4,
					      "ipv6", (int)service->prefix_v6, "limits",
					      limits_json(&service->per_prefix)));
	if (service->new_sources.count) {
		json_t *budget = rate_json(&service->new_sources);

		json_object_set_new(budget, "on_overload",
				    json_string(overload_name(service->on_overload)));
		json_object_set_new(object, "new_sources", budget);
	}
	return object;
}

static json_t *tables_json(const struct thr_tables *tables)
{
	json_t *services = json_array(), *prefixes = json_array();

	for (size_t i = 0; i < tables->service_count; i++)
		json_array_append_new(services, service_json(&tables->services[i]));
	for (size_t i = 0; i < tables->source_count; i++) {
		const struct thr_source_config *source = &tables->sources[i];
		char prefix[THR_PREFIX_TEXT];

		if (source->action != THR_SOURCE_LIMIT)
			continue;
		thr_prefix_format(&source->prefix, prefix);
		json_array_append_new(prefixes, json_pack("{s:s,s:b,s:o}", "prefix", prefix,
							  "shared", source->shared, "limits",
							  limits_json(&source->limits)));
	}
	return json_pack("{s:o,s:o,s:o}", "default", limits_json(&tables->per_source), "services",
			 services, "prefixes", prefixes);
}

int thr_cmd_limit_list(const struct thr_arguments *arguments, struct thr_error *error)
{
	struct thr_tables tables;
	int result = thr_cli_read(arguments, &tables, error);

	if (result)
		return result;
	if (arguments->value[THR_OPT_JSON])
		result = thr_cli_print_json(tables_json(&tables), error);
	else
		print_tables(&tables);
	thr_tables_clear(&tables);
	return result;
}
