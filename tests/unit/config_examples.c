/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The files that are shipped, and the least that runs: they load, mean what they
 * say, and the commented one is the manual, with every key there is.
 */
#include <string.h>

#include "config/schema.h"
#include "support/config.h"

#define EXAMPLE "configs/xdp-throttle.yaml"

static struct thr_config *load(const char *path)
{
	struct thr_config *config = NULL;
	struct thr_error error = {""};

	if (thr_config_load(path, NULL, &config, &error) < 0)
		fail_msg("%s", error.text);
	return config;
}

static void assert_prefix(const struct thr_prefix *prefix, const char *expected)
{
	char text[THR_PREFIX_TEXT];

	thr_prefix_format(prefix, text);
	assert_string_equal(text, expected);
}

static void a_file_of_server_rate_limit_and_routes_runs_unchanged(void **state)
{
	AUTO_CONFIG struct thr_config *second = parse("server:\n"
						      "  port: 9090\n"
						      "rate_limit:\n"
						      "  requests_per_second: 5\n"
						      "  burst: 7\n"
						      "routes:\n"
						      "  - path: /api\n"
						      "    target: http://localhost:9001\n"
						      "  - path: /users\n"
						      "    target: http://localhost:9002\n");
	AUTO_CONFIG struct thr_config *minute =
		parse("rate_limit: {requests_per_minute: 300}\n" ROUTE);

	(void)state;
	assert_int_equal(second->server.port, 9090);
	assert_rate(&second->rate_limit.rate, 5, 1, 7);
	assert_int_equal(second->route_count, 2);
	assert_string_equal(second->routes[1].targets[0].host, "localhost");
	assert_int_equal(second->routes[1].targets[0].port, 9002);
	assert_rate(&minute->rate_limit.rate, 300, 60, 5);
}

static void the_minimal_example_loads(void **state)
{
	AUTO_CONFIG struct thr_config *config = load("configs/minimal.yaml");

	(void)state;
	assert_int_equal(config->route_count, 1);
	assert_rate(&config->rate_limit.rate, 50, 1, 100);
	assert_false(config->xdp.present);
}

static void the_example_of_http_is_read_as_written(void **state)
{
	AUTO_CONFIG struct thr_config *config = load(EXAMPLE);
	const struct thr_route_config *v2 = &config->routes[1];

	(void)state;
	assert_int_equal(config->route_count, 2);
	assert_string_equal(config->routes[0].path, "/api");
	assert_string_equal(v2->path, "/api/v2");
	assert_int_equal(v2->target_count, 2);
	assert_string_equal(v2->targets[0].host, "127.0.0.1");
	assert_int_equal(v2->targets[0].port, 9000);
	assert_string_equal(v2->targets[1].host, "::1");
	assert_int_equal(v2->targets[1].port, 9001);
	assert_int_equal(v2->balance, THR_LEAST_CONN);
	assert_rate(&v2->rate_limit.rate, 300, 60, 10);
	assert_string_equal(v2->health.path, "/health");
	assert_null(config->routes[0].health.path);
	assert_int_equal(config->server.workers, 4);
	assert_int_equal(config->server.max_body_bytes, 100000000);
	assert_int_equal(config->trusted_proxy_count, 2);
	assert_prefix(&config->trusted_proxies[0], "10.0.0.0/8");
	assert_rate(&config->block.refusals, 600, 60, 600);
	assert_int_equal(config->block.for_ms, THR_BLOCK_MS);
}

static void the_example_of_services_is_read_as_written(void **state)
{
	AUTO_CONFIG struct thr_config *config = load(EXAMPLE);
	const struct thr_service_config *web = &config->xdp.tables.services[0];

	(void)state;
	assert_int_equal(config->xdp.interface_count, 1);
	assert_string_equal(config->xdp.interfaces[0], "eth0");
	assert_int_equal(config->xdp.tables.service_count, 2);
	assert_string_equal(web->name, "web");
	assert_int_equal(web->port_count, 3);
	assert_int_equal(web->ports[2], 8080);
	assert_rate(&web->per_source.kind[THR_CONNECTIONS], 50, 1, 100);
	assert_rate(&web->per_prefix.kind[THR_CONNECTIONS], 500, 1, 1000);
	assert_int_equal(web->prefix_v4, 24);
	assert_int_equal(web->prefix_v6, 48);
	assert_rate(&web->new_sources, 5000, 1, 10000);
	assert_int_equal(web->on_overload, THR_OVERLOAD_CHALLENGE);
	assert_int_equal(web[1].on_overload, THR_OVERLOAD_DROP);
	assert_int_equal(web[1].new_sources.count, 0);
}

static void the_example_of_sources_is_read_as_written(void **state)
{
	AUTO_CONFIG struct thr_config *config = load(EXAMPLE);
	const struct thr_source_config *source = config->xdp.tables.sources;

	(void)state;
	assert_int_equal(config->xdp.tables.source_count, 6);
	assert_prefix(&source[0].prefix, "127.0.0.0/8");
	assert_int_equal(source[0].action, THR_SOURCE_ALLOW);
	assert_prefix(&source[1].prefix, "192.0.2.0/24");
	assert_int_equal(source[1].action, THR_SOURCE_LIMIT);
	assert_true(source[1].shared);
	assert_rate(&source[1].limits.kind[THR_CONNECTIONS], 300, 1, 600);
	assert_prefix(&source[2].prefix, "192.0.2.7/32");
	assert_prefix(&source[3].prefix, "198.51.100.0/24");
	assert_int_equal(source[3].action, THR_SOURCE_DENY);
	assert_false(source[4].shared);
	assert_prefix(&source[5].prefix, "2001:db8::/32");
	assert_rate(&source[5].limits.kind[THR_PACKETS], 600000, 60, 20000);
}

/* Of a file that states none, the sizes are those of the program. */
static void sizes_of_tables_are_rounded_up_to_powers_of_two(void **state)
{
	AUTO_CONFIG struct thr_config *example = load(EXAMPLE);
	AUTO_CONFIG struct thr_config *other =
		parse("xdp: {tables: {gate: 256M, exact: 1000, verified: 65537}}\n");
	const struct thr_sizes *sizes = &example->xdp.tables.sizes;

	(void)state;
	assert_int_equal(sizes->gate.entries, THR_GATE_CELLS);
	assert_int_equal(sizes->exact.entries, THR_BUCKETS_MAX);
	assert_int_equal(sizes->verified.entries, THR_VERIFIED_MAX);
	assert_int_equal(sizes->blocked.entries, THR_BLOCKED_MAX);
	sizes = &other->xdp.tables.sizes;
	assert_int_equal(sizes->gate.entries, 1U << 28);
	assert_int_equal(sizes->exact.entries, 1024);
	assert_int_equal(sizes->verified.entries, 1U << 17);
	assert_int_equal(sizes->blocked.entries, 0);
}

/* What is a default is written as one. */
static void the_example_of_the_api_is_read_as_written(void **state)
{
	AUTO_CONFIG struct thr_config *config = load(EXAMPLE);
	AUTO_CONFIG struct thr_config *plain = parse("api: {}\n");
	const struct thr_api_config *api = &config->api;

	(void)state;
	assert_true(api->present);
	assert_string_equal(api->listen, plain->api.listen);
	assert_string_equal(api->token_file, "/etc/xdp-throttle/token");
	assert_rate(&api->rate_limit, 10000, 1, 20000);
	assert_int_equal(api->default_capacity, plain->api.default_capacity);
	assert_true(api->default_refill_per_s == plain->api.default_refill_per_s);
	assert_int_equal(api->max_configs, plain->api.max_configs);
	assert_int_equal(config->rate_limit.on_error, THR_ON_ERROR_LOCAL);
	assert_int_equal(config->routes[1].rate_limit.on_error, THR_ON_ERROR_ALLOW);
}

static void the_example_of_the_store_is_read_as_written(void **state)
{
	AUTO_CONFIG struct thr_config *config = load(EXAMPLE);
	AUTO_CONFIG struct thr_config *plain = parse(ROUTE);
	const struct thr_store_config *store = &config->store;
	const struct thr_redis_config *redis = &store->redis;

	(void)state;
	assert_int_equal(store->backend, plain->store.backend);
	assert_int_equal(store->on_error, plain->store.on_error);
	assert_int_equal(store->max_keys, plain->store.max_keys);
	assert_string_equal(store->state_file, plain->store.state_file);
	assert_string_equal(redis->host, plain->store.redis.host);
	assert_int_equal(redis->port, plain->store.redis.port);
	assert_true(redis->tls);
	assert_string_equal(redis->user, "app");
	assert_string_equal(redis->password_file, "/etc/xdp-throttle/redis.password");
	assert_string_equal(redis->ca_file, "/etc/xdp-throttle/ca.pem");
	assert_string_equal(redis->cert_file, "/etc/xdp-throttle/client.pem");
	assert_string_equal(redis->key_file, "/etc/xdp-throttle/client.key");
	assert_string_equal(redis->key_prefix, plain->store.redis.key_prefix);
	assert_int_equal(redis->deadline_ms, plain->store.redis.deadline_ms);
	assert_int_equal(redis->lease, plain->store.redis.lease);
	assert_int_equal(redis->failures, plain->store.redis.failures);
}

static bool has_key(const struct thr_node *node, const char *key)
{
	for (const struct thr_node *child = node->first; child; child = child->next)
		if ((child->key && strcmp(child->key, key) == 0) || has_key(child, key))
			return true;
	return false;
}

/* Of a field that is a map or a list of maps; else NULL. */
static const struct thr_section *section_of(const struct thr_field *field)
{
	return field->type == THR_TYPE_LIST ? field->list->item->section : field->section;
}

/* `top` is the section of the file that all this is in. */
static void assert_keys_are_in(const struct thr_node *top, const struct thr_section *section)
{
	for (size_t i = 0; section && i < section->field_count; i++) {
		const struct thr_field *field = &section->fields[i];

		if (!has_key(top, field->key) && (!field->rival || !has_key(top, field->rival)))
			fail_msg(EXAMPLE " does not explain %s of %s", field->key, section->name);
		assert_keys_are_in(top, section_of(field));
	}
}

static void the_example_has_every_key_of_the_schema(void **state)
{
	AUTO_FCLOSE FILE *file = fopen(EXAMPLE, "re");
	const struct thr_reader reader = {.name = "example"};
	static char manual[1 << 16];
	struct thr_tree tree = {0};
	size_t size;

	(void)state;
	assert_non_null(file);
	size = fread(manual, 1, sizeof(manual), file);
	assert_int_equal(thr_tree_load(&reader, manual, size, &tree), 0);
	for (size_t i = 0; i < thr_schema.field_count; i++) {
		const struct thr_field *field = &thr_schema.fields[i];
		const struct thr_node *top = thr_node_find(tree.root, field->key);

		if (!top)
			fail_msg(EXAMPLE " does not explain %s", field->key);
		assert_keys_are_in(top, section_of(field));
	}
	thr_tree_free(&tree);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_of_server_rate_limit_and_routes_runs_unchanged),
		cmocka_unit_test(the_minimal_example_loads),
		cmocka_unit_test(the_example_of_http_is_read_as_written),
		cmocka_unit_test(the_example_of_services_is_read_as_written),
		cmocka_unit_test(the_example_of_sources_is_read_as_written),
		cmocka_unit_test(sizes_of_tables_are_rounded_up_to_powers_of_two),
		cmocka_unit_test(the_example_of_the_api_is_read_as_written),
		cmocka_unit_test(the_example_of_the_store_is_read_as_written),
		cmocka_unit_test(the_example_has_every_key_of_the_schema),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
