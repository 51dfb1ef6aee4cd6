/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the schema's tables cannot say of the API and the store; see validate.h. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "config/validate.h"

#define API_LISTEN "127.0.0.1:8081"
#define STATE_FILE "/var/lib/xdp-throttle/limits.json"
#define REDIS_URL "redis://127.0.0.1:6379/0"
#define KEY_PREFIX "xdp-throttle:"
#define KEY_PREFIX_MAX 64

/* Of one peer, where peers are not of this machine. */
static const struct thr_rate rate_of_strangers = {.count = 10000, .burst = 20000, .per_s = 1};

/* Workers, and a service manager, run elsewhere than the file was written. */
const char *thr_file_fault(const char *text)
{
	size_t length = strlen(text);

	if (text[0] != '/' || text[length - 1] == '/')
		return "write the absolute path of a file";
	if (length >= PATH_MAX)
		return "write a path of at most 4095 bytes";
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return "write a path without control characters";
	return NULL;
}

/* Braces would put every key of a cluster into one slot. */
const char *thr_key_prefix_fault(const char *text)
{
	if (strlen(text) > KEY_PREFIX_MAX)
		return "write at most 64 bytes";
	for (; *text; text++)
		if (*text <= ' ' || *text > '~' || *text == '{' || *text == '}')
			return "write printable ASCII without spaces, '{' and '}'";
	return NULL;
}

/* --- the API --- */

int thr_finish_api_default(const struct thr_reader *reader, const struct thr_node *map, void *into)
{
	const struct thr_api_config *api = into;
	const struct thr_node *capacity = thr_node_find(map, "capacity");
	const struct thr_node *refill = thr_node_find(map, "refill_per_second");

	if (!capacity)
		capacity = refill;
	switch (thr_refill_check(api->default_refill_per_s, api->default_capacity)) {
	case 0:
		return 0;
	case -EINVAL:
		return thr_refuse(reader, refill, "refill_per_second is %s: write at least 0.0001",
				  QUOTE(refill->text));
	case -EDOM:
		return thr_refuse(reader, capacity,
				  "capacity of %" PRIu64 " is less than a bucket can measure at "
				  "this refill_per_second: write one second's worth or more",
				  api->default_capacity);
	default:
		return thr_refuse(reader, capacity,
				  "capacity of %" PRIu64 " would take over 416 days to come back: "
				  "write a smaller one",
				  api->default_capacity);
	}
}

static bool is_for_this_machine(const struct thr_api_config *api)
{
	return !api->address || thr_address_is_loopback(api->address);
}

int thr_default_api(const struct thr_reader *reader, struct thr_api_config *api)
{
	if (!api->listen)
		api->listen = strdup(API_LISTEN);
	if (!api->listen)
		return thr_refuse_memory(reader);
	if (!api->address && thr_listen_parse(api->listen, &api->address, &api->port) < 0)
		return thr_refuse_memory(reader);
	if (!api->rate_limit.count && !is_for_this_machine(api))
		api->rate_limit = rate_of_strangers;
	return 0;
}

int thr_finish_api(const struct thr_reader *reader, const struct thr_node *map, void *into)
{
	struct thr_api_config *api = into;
	int r = thr_default_api(reader, api);

	if (r < 0)
		return r;
	api->present = true;
	if (!api->token_file && !is_for_this_machine(api))
		return thr_refuse(reader, thr_node_find(map, "listen"),
				  "listen is '%s', which other machines reach: write token_file "
				  "too, or listen on 127.0.0.1:%u",
				  api->listen, api->port);
	return 0;
}

/* --- the store --- */

static int check_password(const struct thr_reader *reader, const struct thr_node *map,
			  const struct thr_redis_config *redis)
{
	const struct thr_node *file = thr_node_find(map, "password_file");

	if (redis->password && file)
		return thr_refuse_key(reader, file,
				      "password_file beside a password in url: write one of them");
	if (redis->user && !redis->password && !file)
		return thr_refuse(reader, thr_node_find(map, "url"),
				  "url has a user without a password: write USER:PASSWORD@, "
				  ":PASSWORD@ for the default user, or password_file");
	return 0;
}

static int check_tls(const struct thr_reader *reader, const struct thr_node *map,
		     const struct thr_redis_config *redis)
{
	static const char *const keys[] = {"ca_file", "cert_file", "key_file"};
	const struct thr_node *certificate = thr_node_find(map, "cert_file");
	const struct thr_node *key = thr_node_find(map, "key_file");

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const struct thr_node *node = thr_node_find(map, keys[i]);

		if (node && !redis->tls)
			return thr_refuse_key(
				reader, node,
				"%s without TLS: write url: rediss://..., or leave it "
				"out",
				keys[i]);
	}
	if (!certificate == !key)
		return 0;
	return thr_refuse_key(reader, key ? key : certificate, "%s without %s: write both, or none",
			      key ? keys[2] : keys[1], key ? keys[1] : keys[2]);
}

int thr_finish_redis(const struct thr_reader *reader, const struct thr_node *map, void *into)
{
	struct thr_redis_config *redis = into;
	int r = check_password(reader, map, redis);

	redis->present = true;
	return r < 0 ? r : check_tls(reader, map, redis);
}

int thr_default_store(const struct thr_reader *reader, struct thr_store_config *store)
{
	struct thr_redis_config *redis = &store->redis;
	const char *why;

	if (!store->state_file)
		store->state_file = strdup(STATE_FILE);
	if (!redis->key_prefix)
		redis->key_prefix = strdup(KEY_PREFIX);
	if (!redis->url)
		thr_redis_url_parse(REDIS_URL, redis, &why);
	return store->state_file && redis->key_prefix && redis->url ? 0 : thr_refuse_memory(reader);
}
