/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `limit`: the limits of source prefixes, and a look at all the others. */
#include "cli/sources.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* --- set --- */

static const struct {
	enum thr_option rate, burst;
} kind_options[THR_KINDS] = {
	[THR_CONNECTIONS] = {THR_OPT_CONNECTIONS, THR_OPT_BURST},
	[THR_PACKETS] = {THR_OPT_PACKETS, THR_OPT_PACKET_BURST},
	[THR_BYTES] = {THR_OPT_BYTES, THR_OPT_BYTE_BURST},
};

static int parse_burst(enum thr_kind kind, const char *text, struct thr_rate *rate,
		       struct thr_error *error)
{
	if (text && (thr_count_parse(text, &rate->burst) || !rate->burst))
		return thr_fail(error, EINVAL,
				"burst %s of %s: write a count of at least 1, as 40 or 10k", text,
				thr_kind_name(kind));
	thr_rate_default_burst(rate, kind == THR_BYTES ? THR_BYTE_BURST_LEAST : 1);
	if (kind == THR_BYTES && rate->burst < THR_FRAME_BYTES)
		return thr_fail(
			error, EINVAL,
			"burst %s of bytes: no full frame would ever pass: write at least %d", text,
			THR_FRAME_BYTES);
	if (thr_rate_check(rate) == -EDOM)
		return thr_fail(error, EINVAL,
				"burst %" PRIu64
				" of %s is less than a bucket can measure at that rate: "
				"write one second's worth or more",
				rate->burst, thr_kind_name(kind));
	if (thr_rate_check(rate))
		return thr_fail(
			error, ERANGE,
			"burst %lu of %s would take over 416 days to come back at that rate: "
			"write a smaller one",
			rate->burst, thr_kind_name(kind));
	return 0;
}

/* The burst of a kind. Without a limit on connections, --burst belongs to the
 * only other kind that is limited, as in the configuration. */
static const char *burst_text(const struct thr_arguments *arguments, enum thr_kind kind)
{
	const char *const *value = arguments->value;
	const char *text = value[kind_options[kind].burst];
	bool only = !value[THR_OPT_CONNECTIONS] && !value[THR_OPT_PACKETS] != !value[THR_OPT_BYTES];

	if (!text && only && value[kind_options[kind].rate])
		return value[THR_OPT_BURST];
	return text;
}

static int parse_kind(const struct thr_arguments *arguments, enum thr_kind kind,
		      struct thr_rate *rate, struct thr_error *error)
{
	const char *text = arguments->value[kind_options[kind].rate];

	if (thr_rate_parse(text, rate))
		return thr_fail(error, EINVAL,
				"--%s %s: write a rate of at least 1, as 20/s, 300/m or 10k/s",
				thr_kind_name(kind), text);
	return parse_burst(kind, burst_text(arguments, kind), rate, error);
}

static int parse_limits(const struct thr_arguments *arguments, struct thr_limits *limits,
			struct thr_error *error)
{
	bool any = false, burst_used = false;

	for (int kind = 0; kind < THR_KINDS; kind++) {
		int result;

		if (!arguments->value[kind_options[kind].rate]) {
			if (kind != THR_CONNECTIONS && arguments->value[kind_options[kind].burst])
				return thr_fail(error, EINVAL,
						"a burst of %s needs their rate: --%s RATE",
						thr_kind_name(kind), thr_kind_name(kind));
			continue;
		}
		result = parse_kind(arguments, kind, &limits->kind[kind], error);
		if (result)
			return result;
		any = true;
		burst_used |= burst_text(arguments, kind) == arguments->value[THR_OPT_BURST];
	}
	if (!any && arguments->value[THR_OPT_BURST])
		return thr_fail(error, EINVAL,
				"a burst of connections needs their rate: --connections RATE");
	if (!any)
		return thr_fail(error, EINVAL,
				"limit set needs a rate: --connections, --packets or --bytes");
	if (arguments->value[THR_OPT_BURST] && !burst_used)
		return thr_fail(error, EINVAL,
				"--burst could be of packets or of bytes: write --packet-burst or "
				"--byte-burst");
	return 0;
}

int thr_cmd_limit_set(const struct thr_arguments *arguments, struct thr_error *error)
{
	struct thr_source_config source = {.action = THR_SOURCE_LIMIT};
	int result = thr_cli_prefix(arguments->operand, &source.prefix, error);

	if (!result)
		result = parse_limits(arguments, &source.limits, error);
	source.shared = arguments->value[THR_OPT_SHARED] != NULL;
	return result ? result : thr_cli_put_source(arguments, &source, error);
}

int thr_cmd_limit_del(const struct thr_arguments *arguments, struct thr_error *error)
{
	return thr_cli_remove_source(arguments, THR_SOURCE_LIMIT, "limit", error);
}

/* --- list --- */

static void print_row(const char *what, const struct thr_limits *limits, const char *note)
{
	printf("%-32s", what);
	for (int kind = 0; kind < THR_KINDS; kind++) {
		char rate[THR_RATE_TEXT] = "-", burst[THR_RATE_TEXT] = "-";

		if (limits->kind[kind].count) {
			thr_rate_format(&limits->kind[kind], rate);
			thr_count_format(limits->kind[kind].burst, burst);
		}
		printf(" %11s %7s", rate, burst);
	}
	printf("%s%s\n", note[0] ? "  " : "", note);
}

static void print_service(const struct thr_service_config *service)
{
	char what[64];

	snprintf(what, sizeof(what), "service %s", service->name);
	print_row(what, &service->per_source, "");
	if (service->prefix_v4) {
		snprintf(what, sizeof(what), "service %s, each IPv4 /%u", service->name,
			 service->prefix_v4);
		print_row(what, &service->per_prefix, "shared");
	}
	if (service->prefix_v6) {
		snprintf(what, sizeof(what), "service %s, each IPv6 /%u", service->name,
			 service->prefix_v6);
		print_row(what, &service->per_prefix, "shared");
	}
}

static void print_tables(const struct thr_tables *tables)
{
	printf("%-32s %11s %7s %11s %7s %11s %7s\n", "SOURCES", "CONNECTIONS", "BURST", "PACKETS",
	       "BURST", "BYTES", "BURST");
	print_row("default, each source", &tables->per_source, "");
	for (size_t i = 0; i < tables->service_count; i++)
		print_service(&tables->services[i]);
	for (size_t i = 0; i < tables->source_count; i++) {
		const struct thr_source_config *source = &tables->sources[i];
		char prefix[THR_PREFIX_TEXT];

		if (source->action != THR_SOURCE_LIMIT)
			continue;
		thr_prefix_format(&source->prefix, prefix);
		print_row(prefix, &source->limits, source->shared ? "shared" : "");
	}
}

/* {"connections":{"rate":20,"per_seconds":1,"burst":40}}: kinds without a limit
 * are left out. */
static json_t *limits_json(const struct thr_limits *limits)
{
	json_t *object = json_object();

	for (int kind = 0; kind < THR_KINDS; kind++) {
		const struct thr_rate *rate = &limits->kind[kind];

		if (rate->count)
			json_object_set_new(object, thr_kind_name(kind),
					    json_pack("{s:I,s:I,s:I}", "rate",
						      (json_int_t)rate->count, "per_seconds",
						      (json_int_t)rate->per_s, "burst",
						      (json_int_t)rate->burst));
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
