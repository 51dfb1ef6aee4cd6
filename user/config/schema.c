/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The schema, innermost sections first: what configs/xdp-throttle.yaml explains,
 * in the same words. Defaults are in config.c and, where they follow from other
 * values, in the finish functions of validate.h.
 */
#include "config/schema.h"

#include "config/validate.h"

/* The member of a struct that a field fills; SIZED() where its type has a choice. */
#define INTO(owner, member) .offset = offsetof(struct owner, member)
#define SIZED(owner, member) INTO(owner, member), .size = sizeof(((struct owner *)NULL)->member)
#define FIELDS(table) .fields = (table), .field_count = sizeof(table) / sizeof((table)[0])
#define ITEMS(owner, count, type)                                                                  \
	.count_offset = offsetof(struct owner, count), .item_size = sizeof(type)

/* A rate, which is written per second or per minute. */
#define PER_S(noun) noun "_per_second", THR_TYPE_RATE, .per_s = 1, .rival = noun "_per_minute"
#define PER_MIN(noun) noun "_per_minute", THR_TYPE_RATE, .per_s = 60, .rival = noun "_per_second"

/* The limits of the packet layer, in the array of rates `kind` of `owner`. `burst`
 * goes to the connections; thr_finish_limits() moves it where it belongs to
 * another kind. */
/* NOLINTBEGIN(bugprone-macro-parentheses): a member cannot have them */
#define LIMITS(owner, kind)                                                                        \
	{PER_S("connections"), INTO(owner, kind[THR_CONNECTIONS])},                                \
		{PER_MIN("connections"), INTO(owner, kind[THR_CONNECTIONS])},                      \
		{"burst", THR_TYPE_COUNT, INTO(owner, kind[THR_CONNECTIONS].burst)},               \
		{PER_S("packets"), INTO(owner, kind[THR_PACKETS])},                                \
		{PER_MIN("packets"), INTO(owner, kind[THR_PACKETS])},                              \
		{"packet_burst", THR_TYPE_COUNT, INTO(owner, kind[THR_PACKETS].burst)},            \
		{PER_S("bytes"), INTO(owner, kind[THR_BYTES])},                                    \
		{PER_MIN("bytes"), INTO(owner, kind[THR_BYTES])},                                  \
	{                                                                                          \
		"byte_burst", THR_TYPE_COUNT, INTO(owner, kind[THR_BYTES].burst)                   \
	}
/* NOLINTEND(bugprone-macro-parentheses) */

/* --- HTTP side --- */

static const struct thr_word on_errors[] = {
	{"local", THR_ON_ERROR_LOCAL},
	{"allow", THR_ON_ERROR_ALLOW},
	{"deny", THR_ON_ERROR_DENY},
	{NULL, 0},
};
static const struct thr_field route_limit_fields[] = {
	{PER_S("requests"), INTO(thr_client_limit, rate)},
	{PER_MIN("requests"), INTO(thr_client_limit, rate)},
	{"burst", THR_TYPE_COUNT, INTO(thr_client_limit, rate.burst)},
	{"on_error", THR_TYPE_WORD, .words = on_errors, SIZED(thr_client_limit, on_error)},
};
static const struct thr_section route_limit_section = {"rate_limit", FIELDS(route_limit_fields),
						       .finish = thr_finish_client_limit};

/* The file's own fills two members of struct thr_config. */
static const struct thr_field block_fields[] = {
	{"refusals_per_minute", THR_TYPE_RATE, .per_s = 60, .required = true, .max = 1000000000,
	 INTO(thr_config, block.refusals)},
	{"for", THR_TYPE_DURATION, .min = THR_BLOCK_LEAST_MS, .max = THR_BLOCK_MOST_MS,
	 INTO(thr_config, block.for_ms)},
};
static const struct thr_section block_section = {"block", FIELDS(block_fields),
						 .finish = thr_finish_block};
static const struct thr_field limit_fields[] = {
	{PER_S("requests"), INTO(thr_config, rate_limit.rate)},
	{PER_MIN("requests"), INTO(thr_config, rate_limit.rate)},
	{"burst", THR_TYPE_COUNT, INTO(thr_config, rate_limit.rate.burst)},
	{"on_error", THR_TYPE_WORD, .words = on_errors, SIZED(thr_config, rate_limit.on_error)},
	{"block", THR_TYPE_MAP, .section = &block_section},
};
static const struct thr_section limit_section = {"rate_limit", FIELDS(limit_fields),
						 .finish = thr_finish_limit};

static const struct thr_word balances[] = {
	{"round_robin", THR_ROUND_ROBIN},
	{"least_conn", THR_LEAST_CONN},
	{"consistent_hash", THR_CONSISTENT_HASH},
	{"random", THR_RANDOM},
	{NULL, 0},
};

/* `target` and `targets` fill the same list. */
static const struct thr_field target_item = {.key = "target", .type = THR_TYPE_TARGET};
static const struct thr_list target_single = {
	ITEMS(thr_route_config, target_count, struct thr_target),
	.item = &target_item,
	.single = true,
};
static const struct thr_list target_list = {
	ITEMS(thr_route_config, target_count, struct thr_target),
	.item = &target_item,
	.min_items = 1,
};

static const struct thr_field health_fields[] = {
	{"path", THR_TYPE_TEXT, .fault = thr_health_path_fault, INTO(thr_health_config, path)},
	{"interval", THR_TYPE_DURATION, INTO(thr_health_config, interval_ms)},
	{"timeout", THR_TYPE_DURATION, INTO(thr_health_config, timeout_ms)},
	{"healthy", THR_TYPE_INTEGER, .min = 1, .max = 1000, SIZED(thr_health_config, healthy)},
	{"unhealthy", THR_TYPE_INTEGER, .min = 1, .max = 1000, SIZED(thr_health_config, unhealthy)},
};
static const struct thr_section health_section = {"health", FIELDS(health_fields),
						  .finish = thr_finish_health};

static const struct thr_field route_fields[] = {
	{"path", THR_TYPE_TEXT, .required = true, .fault = thr_path_fault,
	 INTO(thr_route_config, path)},
	{"target", THR_TYPE_LIST, .list = &target_single, .rival = "targets",
	 INTO(thr_route_config, targets)},
	{"targets", THR_TYPE_LIST, .list = &target_list, .rival = "target",
	 INTO(thr_route_config, targets)},
	{"balance", THR_TYPE_WORD, .words = balances, SIZED(thr_route_config, balance)},
	{"rate_limit", THR_TYPE_MAP, .section = &route_limit_section,
	 INTO(thr_route_config, rate_limit)},
	{"health", THR_TYPE_MAP, .section = &health_section, INTO(thr_route_config, health)},
};
static const struct thr_section route_section = {"route", FIELDS(route_fields),
						 .finish = thr_finish_route};
static const struct thr_field route_item = {"route", THR_TYPE_MAP, .section = &route_section};
static const struct thr_list route_list = {
	ITEMS(thr_config, route_count, struct thr_route_config),
	.item = &route_item,
	.min_items = 1,
	.finish = thr_finish_routes,
};

static const struct thr_field server_fields[] = {
	{"address", THR_TYPE_TEXT, .fault = thr_address_fault, INTO(thr_server_config, address)},
	{"port", THR_TYPE_INTEGER, .min = 1, .max = 65535, SIZED(thr_server_config, port)},
	{"workers", THR_TYPE_INTEGER, .min = 1, .max = 256, SIZED(thr_server_config, workers)},
	{"user", THR_TYPE_TEXT, .fault = thr_user_fault, INTO(thr_server_config, user)},
	{"proxy_protocol", THR_TYPE_BOOL, INTO(thr_server_config, proxy_protocol)},
	{"max_connections", THR_TYPE_COUNT, .max = 10000000,
	 INTO(thr_server_config, max_connections)},
	{"header_timeout", THR_TYPE_DURATION, INTO(thr_server_config, header_timeout_ms)},
	{"idle_timeout", THR_TYPE_DURATION, INTO(thr_server_config, idle_timeout_ms)},
	{"body_timeout", THR_TYPE_DURATION, INTO(thr_server_config, body_timeout_ms)},
	{"drain_timeout", THR_TYPE_DURATION, INTO(thr_server_config, drain_timeout_ms)},
	{"max_request_line", THR_TYPE_COUNT, .min = 64, .max = THR_HEADER_BYTES_MAX,
	 INTO(thr_server_config, max_request_line)},
	{"max_header_bytes", THR_TYPE_COUNT, .min = 1024, .max = THR_HEADER_BYTES_MAX,
	 INTO(thr_server_config, max_header_bytes)},
	{"max_headers", THR_TYPE_INTEGER, .min = 1, .max = THR_HEADERS_MAX,
	 SIZED(thr_server_config, max_headers)},
	{"max_body_bytes", THR_TYPE_COUNT, INTO(thr_server_config, max_body_bytes)},
};
static const struct thr_section server_section = {"server", FIELDS(server_fields),
						  .finish = thr_finish_server};

static const struct thr_field upstream_fields[] = {
	{"connect_timeout", THR_TYPE_DURATION, INTO(thr_upstream_config, connect_timeout_ms)},
	{"response_timeout", THR_TYPE_DURATION, INTO(thr_upstream_config, response_timeout_ms)},
	{"idle_timeout", THR_TYPE_DURATION, INTO(thr_upstream_config, idle_timeout_ms)},
	{"keepalive", THR_TYPE_INTEGER, .max = 65535, SIZED(thr_upstream_config, keepalive)},
	{"retries", THR_TYPE_INTEGER, .max = 7, SIZED(thr_upstream_config, retries)},
	{"max_failures", THR_TYPE_INTEGER, .max = 1000, SIZED(thr_upstream_config, max_failures)},
	{"fail_timeout", THR_TYPE_DURATION, INTO(thr_upstream_config, fail_timeout_ms)},
};
static const struct thr_section upstream_section = {"upstream", FIELDS(upstream_fields)};

static const struct thr_field proxy_item = {.key = "prefix", .type = THR_TYPE_PREFIX};
static const struct thr_list proxy_list = {
	ITEMS(thr_config, trusted_proxy_count, struct thr_prefix),
	.item = &proxy_item,
};

/* --- packet side --- */

static const struct thr_field per_source_fields[] = {LIMITS(thr_limits, kind)};
static const struct thr_section per_source_section = {"per_source", FIELDS(per_source_fields),
						      .finish = thr_finish_limits};

static const struct thr_field per_prefix_fields[] = {
	{"ipv4", THR_TYPE_INTEGER, .min = 1, .max = 32, SIZED(thr_service_config, prefix_v4)},
	{"ipv6", THR_TYPE_INTEGER, .min = 1, .max = 128, SIZED(thr_service_config, prefix_v6)},
	LIMITS(thr_service_config, per_prefix.kind),
};
static const struct thr_section per_prefix_section = {"per_prefix", FIELDS(per_prefix_fields),
						      .finish = thr_finish_per_prefix};

static const struct thr_word overload_policies[] = {
	{"drop", THR_OVERLOAD_DROP},
	{"pass", THR_OVERLOAD_PASS},
	{"challenge", THR_OVERLOAD_CHALLENGE},
	{NULL, 0},
};
static const struct thr_field new_sources_fields[] = {
	{"per_second", THR_TYPE_RATE, .per_s = 1, .required = true,
	 INTO(thr_service_config, new_sources)},
	{"burst", THR_TYPE_COUNT, INTO(thr_service_config, new_sources.burst)},
	{"on_overload", THR_TYPE_WORD, .words = overload_policies,
	 SIZED(thr_service_config, on_overload)},
};
static const struct thr_section new_sources_section = {"new_sources", FIELDS(new_sources_fields),
						       .finish = thr_finish_new_sources};

static const struct thr_field port_item = {"port", THR_TYPE_INTEGER, .min = 1, .max = 65535,
					   .size = sizeof(uint16_t)};
static const struct thr_list port_list = {
	ITEMS(thr_service_config, port_count, uint16_t),
	.item = &port_item,
	.min_items = 1,
};

static const struct thr_field service_fields[] = {
	{"name", THR_TYPE_TEXT, .required = true, .fault = thr_service_name_fault,
	 INTO(thr_service_config, name)},
	{"ports", THR_TYPE_LIST, .required = true, .list = &port_list,
	 INTO(thr_service_config, ports)},
	{"per_source", THR_TYPE_MAP, .section = &per_source_section,
	 INTO(thr_service_config, per_source)},
	{"per_prefix", THR_TYPE_MAP, .section = &per_prefix_section},
	{"new_sources", THR_TYPE_MAP, .section = &new_sources_section},
};
static const struct thr_section service_section = {"service", FIELDS(service_fields)};
static const struct thr_field service_item = {"service", THR_TYPE_MAP, .section = &service_section};
static const struct thr_list service_list = {
	ITEMS(thr_xdp_config, tables.service_count, struct thr_service_config),
	.item = &service_item,
	.max_items = THR_SERVICES_MAX,
	.finish = thr_finish_services,
};

static const struct thr_word source_actions[] = {
	{"allow", THR_SOURCE_ALLOW},
	{"deny", THR_SOURCE_DENY},
	{"limit", THR_SOURCE_LIMIT},
	{NULL, 0},
};
static const struct thr_field source_fields[] = {
	{"prefix", THR_TYPE_PREFIX, .required = true, INTO(thr_source_config, prefix)},
	{"action", THR_TYPE_WORD, .words = source_actions, SIZED(thr_source_config, action)},
	LIMITS(thr_source_config, limits.kind),
	{"shared", THR_TYPE_BOOL, INTO(thr_source_config, shared)},
};
static const struct thr_section source_section = {"source", FIELDS(source_fields),
						  .finish = thr_finish_source};
static const struct thr_field source_item = {"source", THR_TYPE_MAP, .section = &source_section};
static const struct thr_list source_list = {
	ITEMS(thr_xdp_config, tables.source_count, struct thr_source_config),
	.item = &source_item,
	.max_items = THR_SOURCES_MAX,
	.finish = thr_finish_sources,
};

static const struct thr_field interface_item = {"interface", THR_TYPE_TEXT,
						.fault = thr_interface_fault};
static const struct thr_list interface_list = {
	ITEMS(thr_xdp_config, interface_count, char *),
	.item = &interface_item,
	.min_items = 1,
	.finish = thr_finish_interfaces,
};

static const struct thr_word modes[] = {
	{"auto", THR_MODE_AUTO},
	{"native", THR_MODE_NATIVE},
	{"generic", THR_MODE_GENERIC},
	{"offload", THR_MODE_OFFLOAD},
	{NULL, 0},
};
static const struct thr_word actions[] = {
	{"enforce", THR_ACTION_ENFORCE},
	{"monitor", THR_ACTION_MONITOR},
	{NULL, 0},
};
static const struct thr_word pass_or_drop[] = {{"pass", false}, {"drop", true}, {NULL, 0}};

static const struct thr_field size_fields[] = {
	{"gate", THR_TYPE_COUNT, .min = 1000, .max = 256000000, INTO(thr_sizes, gate.entries)},
	{"exact", THR_TYPE_COUNT, .min = 1000, .max = 64000000, INTO(thr_sizes, exact.entries)},
	{"verified", THR_TYPE_COUNT, .min = 1000, .max = 16000000,
	 INTO(thr_sizes, verified.entries)},
	{"blocked", THR_TYPE_COUNT, .min = 1000, .max = 16000000, INTO(thr_sizes, blocked.entries)},
};
static const struct thr_section size_section = {"tables", FIELDS(size_fields),
						.finish = thr_finish_sizes};

static const struct thr_field xdp_fields[] = {
	{"interfaces", THR_TYPE_LIST, .list = &interface_list, INTO(thr_xdp_config, interfaces)},
	{"mode", THR_TYPE_WORD, .words = modes, SIZED(thr_xdp_config, mode)},
	{"action", THR_TYPE_WORD, .words = actions, SIZED(thr_xdp_config, tables.action)},
	{"malformed", THR_TYPE_WORD, .words = pass_or_drop,
	 SIZED(thr_xdp_config, tables.drop_malformed)},
	{"fragments", THR_TYPE_WORD, .words = pass_or_drop,
	 SIZED(thr_xdp_config, tables.drop_fragments)},
	{"ipv6_source_prefix", THR_TYPE_INTEGER, .min = 1, .max = 128,
	 SIZED(thr_xdp_config, tables.v6_source_bits)},
	{"tables", THR_TYPE_MAP, .section = &size_section, INTO(thr_xdp_config, tables.sizes)},
	{"per_source", THR_TYPE_MAP, .section = &per_source_section,
	 INTO(thr_xdp_config, tables.per_source)},
	{"services", THR_TYPE_LIST, .list = &service_list, INTO(thr_xdp_config, tables.services)},
	{"sources", THR_TYPE_LIST, .list = &source_list, INTO(thr_xdp_config, tables.sources)},
};
static const struct thr_section xdp_section = {"xdp", FIELDS(xdp_fields), .finish = thr_finish_xdp};

/* --- the API and the store --- */

static const struct thr_field rate_limit_fields[] = {
	{PER_S("requests")},
	{PER_MIN("requests")},
	{"burst", THR_TYPE_COUNT, INTO(thr_rate, burst)},
};
static const struct thr_section rate_limit_section = {"rate_limit", FIELDS(rate_limit_fields),
						      .finish = thr_finish_rate_limit};
static const struct thr_field default_fields[] = {
	{"capacity", THR_TYPE_COUNT, INTO(thr_api_config, default_capacity)},
	{"refill_per_second", THR_TYPE_DECIMAL, INTO(thr_api_config, default_refill_per_s)},
};
static const struct thr_section default_section = {"default", FIELDS(default_fields),
						   .finish = thr_finish_api_default,
						   .hint = thr_refill_hint};
static const struct thr_field api_fields[] = {
	{"listen", THR_TYPE_TEXT, .fault = thr_listen_fault, INTO(thr_api_config, listen)},
	{"token_file", THR_TYPE_TEXT, .fault = thr_file_fault, INTO(thr_api_config, token_file)},
	{"rate_limit", THR_TYPE_MAP, .section = &rate_limit_section,
	 INTO(thr_api_config, rate_limit)},
	{"default", THR_TYPE_MAP, .section = &default_section},
	{"max_configs", THR_TYPE_COUNT, .max = 1000000, INTO(thr_api_config, max_configs)},
};
static const struct thr_section api_section = {"api", FIELDS(api_fields), .finish = thr_finish_api};

static const struct thr_word backends[] = {
	{"memory", THR_BACKEND_MEMORY}, {"redis", THR_BACKEND_REDIS}, {NULL, 0}};
static const struct thr_field memory_fields[] = {
	{"max_keys", THR_TYPE_COUNT, .max = 1ULL << 32, INTO(thr_store_config, max_keys)},
	{"state_file", THR_TYPE_TEXT, .fault = thr_file_fault, INTO(thr_store_config, state_file)},
};
static const struct thr_section memory_section = {"memory", FIELDS(memory_fields)};
static const struct thr_field redis_fields[] = {
	{"url", THR_TYPE_REDIS, .secret = true},
	{"password_file", THR_TYPE_TEXT, .fault = thr_file_fault,
	 INTO(thr_redis_config, password_file)},
	{"ca_file", THR_TYPE_TEXT, .fault = thr_file_fault, INTO(thr_redis_config, ca_file)},
	{"cert_file", THR_TYPE_TEXT, .fault = thr_file_fault, INTO(thr_redis_config, cert_file)},
	{"key_file", THR_TYPE_TEXT, .fault = thr_file_fault, INTO(thr_redis_config, key_file)},
	{"key_prefix", THR_TYPE_TEXT, .fault = thr_key_prefix_fault,
	 INTO(thr_redis_config, key_prefix)},
	{"deadline", THR_TYPE_DURATION, .min = 20, .max = 10000,
	 INTO(thr_redis_config, deadline_ms)},
	{"lease", THR_TYPE_INTEGER, .max = 1000000, SIZED(thr_redis_config, lease)},
	{"failures", THR_TYPE_INTEGER, .min = 1, .max = 1000, SIZED(thr_redis_config, failures)},
};
static const struct thr_section redis_section = {"redis", FIELDS(redis_fields),
						 .finish = thr_finish_redis};
static const struct thr_field store_fields[] = {
	{"backend", THR_TYPE_WORD, .words = backends, SIZED(thr_store_config, backend)},
	{"on_error", THR_TYPE_WORD, .words = on_errors, SIZED(thr_store_config, on_error)},
	{"memory", THR_TYPE_MAP, .section = &memory_section},
	{"redis", THR_TYPE_MAP, .section = &redis_section, INTO(thr_store_config, redis)},
};
static const struct thr_section store_section = {"store", FIELDS(store_fields)};

/* --- the rest, and the file --- */

static const struct thr_word log_levels[] = {
	{"debug", THR_LOG_DEBUG},
	{"info", THR_LOG_INFO},
	{"warning", THR_LOG_WARNING},
	{"error", THR_LOG_ERROR},
	{NULL, 0},
};
static const struct thr_word log_formats[] = {
	{"text", THR_LOG_TEXT}, {"json", THR_LOG_JSON}, {NULL, 0}};
static const struct thr_field log_fields[] = {
	{"level", THR_TYPE_WORD, .words = log_levels, SIZED(thr_config, log_level)},
	{"format", THR_TYPE_WORD, .words = log_formats, SIZED(thr_config, log_format)},
};
static const struct thr_section log_section = {"log", FIELDS(log_fields)};

static const struct thr_field file_fields[] = {
	{"server", THR_TYPE_MAP, .section = &server_section, INTO(thr_config, server)},
	{"upstream", THR_TYPE_MAP, .section = &upstream_section, INTO(thr_config, upstream)},
	{"rate_limit", THR_TYPE_MAP, .section = &limit_section},
	{"routes", THR_TYPE_LIST, .list = &route_list, INTO(thr_config, routes)},
	{"trusted_proxies", THR_TYPE_LIST, .list = &proxy_list, INTO(thr_config, trusted_proxies)},
	{"xdp", THR_TYPE_MAP, .section = &xdp_section, INTO(thr_config, xdp)},
	{"api", THR_TYPE_MAP, .section = &api_section, INTO(thr_config, api)},
	{"store", THR_TYPE_MAP, .section = &store_section, INTO(thr_config, store)},
	{"log", THR_TYPE_MAP, .section = &log_section},
};
const struct thr_section thr_schema = {NULL, FIELDS(file_fields), .finish = thr_finish_file};
