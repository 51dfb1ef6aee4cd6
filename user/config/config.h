/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The configuration, parsed, defaulted and validated: plain data. Who reads it
 * never sees YAML; who reads YAML (load.c, schema.c) never acts on it.
 *
 *   file -> load.c -> tree -> environment.c -> tree -> decode.c -> struct thr_config
 *           libyaml   node.h   overrides               by schema.c, validate_*.c
 *
 * Durations are milliseconds, sizes bytes, prefixes as in prefix.h. Strings and
 * arrays belong to the struct thr_config they hang from.
 */
#ifndef THR_CONFIG_H
#define THR_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/duration.h"
#include "core/error.h"
#include "core/log.h"
#include "core/prefix.h"
#include "core/rate.h"
#include "core/standing.h"
#include "thr_abi.h"

enum thr_xdp_mode { THR_MODE_AUTO, THR_MODE_NATIVE, THR_MODE_GENERIC, THR_MODE_OFFLOAD };
enum thr_balance { THR_ROUND_ROBIN, THR_LEAST_CONN, THR_CONSISTENT_HASH, THR_RANDOM };
enum thr_backend { THR_BACKEND_MEMORY, THR_BACKEND_REDIS };

/* Limits of the packet layer by enum thr_kind; a count of 0 is no limit. Each
 * other one has a burst and passes thr_rate_check(). */
struct thr_limits {
	struct thr_rate kind[THR_KINDS];
};

struct thr_service_config {
	char *name;
	uint16_t *ports; /* ascending */
	size_t port_count;
	struct thr_limits per_source; /* none: the default's */
	struct thr_limits per_prefix; /* each IPv4 / IPv6 prefix of these lengths: */
	uint8_t prefix_v4;	      /* 0 when per_prefix leaves the family out */
	uint8_t prefix_v6;
	struct thr_rate new_sources; /* count 0: no budget */
	enum thr_overload on_overload;
};

struct thr_source_config {
	struct thr_prefix prefix;
	enum thr_source_action action; /* THR_SOURCE_LIMIT when it states none */
	bool shared;
	struct thr_limits limits;
};

/* Entries of a map, a power of two; 0: nothing is stated. Whether they suit the throttle
 * that runs is seen when they are applied: `name` is how a message about them begins,
 * "FILE:LINE:COLUMN: tables: gate", and NULL where nothing is stated. */
struct thr_size {
	uint64_t entries;
	char *name;
};

struct thr_sizes {
	struct thr_size gate;  /* buckets that sources share */
	struct thr_size exact; /* buckets that they have of their own */
	struct thr_size verified, blocked;
};

/* The packet layer's tables: what `apply` makes live, and what is read back. */
struct thr_tables {
	struct thr_sizes sizes; /* settled when the program is loaded; not read back */
	enum thr_action action;
	bool drop_malformed;
	bool drop_fragments;
	uint8_t v6_source_bits; /* the part of an IPv6 address that is one source */
	struct thr_limits per_source;
	struct thr_service_config *services;
	size_t service_count;
	struct thr_source_config *sources; /* ascending by thr_prefix_compare(), no two alike */
	size_t source_count;
};

struct thr_xdp_config {
	bool present; /* the file has an xdp section */
	char **interfaces;
	size_t interface_count;
	enum thr_xdp_mode mode;
	struct thr_tables tables;
};

struct thr_target {
	char *host; /* without brackets */
	uint16_t port;
};

/* What the proxy's buffers and parser hold: the largest limits that a file may
 * set on a head and on the number of its fields. */
#define THR_HEADER_BYTES_MAX (65536 - 2048)
#define THR_HEADERS_MAX 128

/* Active checks of a route's targets. */
struct thr_health_config {
	char *path; /* with its query; NULL: none */
	uint64_t interval_ms;
	uint64_t timeout_ms; /* at most the interval */
	uint32_t healthy;    /* successes in a row that take a target back */
	uint32_t unhealthy;  /* failures in a row that set it aside */
};

/* What a client may ask for. */
struct thr_client_limit {
	struct thr_rate rate; /* count 0: none */
	enum thr_on_error on_error;
};

/* When the packet layer is to refuse a client that goes on over its limits. */
struct thr_block_config {
	struct thr_rate refusals; /* count 0: never */
	uint64_t for_ms;
};

#define THR_BLOCK_MS 600000 /* where nothing is said of it */
#define THR_BLOCK_LEAST_MS 1000
#define THR_BLOCK_MOST_MS THR_DURATION_MAX_MS

struct thr_route_config {
	char *path;		    /* without a trailing slash, but for "/" itself */
	struct thr_target *targets; /* at least one */
	size_t target_count;
	enum thr_balance balance;
	struct thr_client_limit rate_limit; /* count 0: the file's */
	struct thr_health_config health;
};

/* Clients' side of the proxy. */
struct thr_server_config {
	char *address; /* without brackets; NULL: every one, IPv4 and IPv6 */
	uint16_t port;
	uint32_t workers; /* 0: one for each CPU that the process may use */
	char *user;	  /* whom workers run as when the master is root */
	bool proxy_protocol;
	uint64_t max_connections;   /* of all workers together */
	uint64_t header_timeout_ms; /* for a whole request head */
	uint64_t idle_timeout_ms;   /* between two requests */
	uint64_t body_timeout_ms;   /* between two reads of a body, two writes to a client */
	uint64_t drain_timeout_ms;  /* from SIGTERM to the end */
	uint64_t max_request_line;  /* bytes; at most max_header_bytes */
	uint64_t max_header_bytes;  /* of the whole head; at most THR_HEADER_BYTES_MAX */
	uint32_t max_headers;	    /* at most THR_HEADERS_MAX */
	uint64_t max_body_bytes;    /* 0: no limit */
};

/* Targets' side of the proxy. */
struct thr_upstream_config {
	uint64_t connect_timeout_ms;
	uint64_t response_timeout_ms; /* from the request to the response's head, and between
				       * two reads of its body */
	uint64_t idle_timeout_ms;     /* of a kept-alive connection */
	uint32_t keepalive;	      /* idle connections kept for a target by each worker */
	uint32_t retries;	      /* on further targets, of one request */
	uint32_t max_failures;	      /* in a row that set a target aside; 0: never */
	uint64_t fail_timeout_ms;     /* for how long */
};

/* The check API. */
struct thr_api_config {
	bool present;  /* the file has an api section */
	char *listen;  /* as it was written: ADDRESS:PORT, or the path of a Unix socket */
	char *address; /* of `listen`, without brackets; NULL: it is a path */
	uint16_t port;
	char *token_file;	    /* NULL: none */
	struct thr_rate rate_limit; /* of each peer's requests; count 0: none */
	uint64_t max_configs;	    /* keys that may have one set */
	/* For keys while nothing is set for `default`. */
	uint64_t default_capacity;
	double default_refill_per_s;
};

/* Where buckets are, and what is set for keys. */
struct thr_redis_config {
	bool present; /* the file says something of it */
	char *url;    /* as it was written: may hold a password */
	/* what it says: */
	char *host;   /* without brackets; NULL: */
	char *socket; /* the path of a Unix socket */
	uint16_t port;
	bool tls;
	char *user, *password; /* NULL: none */
	uint32_t database;
	/* beside it: */
	char *password_file; /* in the place of the URL's; NULL: none */
	char *ca_file, *cert_file, *key_file;
	char *key_prefix;
	uint64_t deadline_ms;
	uint64_t lease;	   /* tokens */
	uint32_t failures; /* in a row that open the breaker */
};

struct thr_store_config {
	enum thr_backend backend;
	uint64_t max_keys;	    /* of the memory store */
	char *state_file;	    /* of the memory store: what is set for keys */
	enum thr_on_error on_error; /* of limits that say nothing else */
	struct thr_redis_config redis;
};

struct thr_config {
	struct thr_server_config server;
	struct thr_upstream_config upstream;
	struct thr_client_limit rate_limit; /* count 0: none */
	struct thr_block_config block;	    /* by all limits; only with xdp.interfaces */
	struct thr_route_config *routes;
	size_t route_count;
	struct thr_prefix *trusted_proxies;
	size_t trusted_proxy_count;
	struct thr_xdp_config xdp;
	struct thr_api_config api;
	struct thr_store_config store;
	enum thr_log_level log_level;
	enum thr_log_format log_format;
};

/*
 * Read, default and validate the file at `path`, with overrides from the
 * environment (`environment` is NULL-terminated NAME=VALUE strings, or NULL;
 * those that do not start with XDP_THROTTLE_ are passed over).
 *
 * Returns 0 and a configuration that the caller frees with thr_config_free(), or
 * a negative errno with *ret_config unchanged and `error` (which may be NULL) set:
 *   -EINVAL  "FILE:LINE:COLUMN: message", or for an override
 *            "XDP_THROTTLE_NAME: message"
 *   other    "FILE: message": the file cannot be read, is over 64 MiB (-EFBIG),
 *            or memory is out (-ENOMEM)
 */
int thr_config_load(const char *path, char *const *environment, struct thr_config **ret_config,
		    struct thr_error *error);

/* The same for `size` bytes at `text`; `name` stands for the file in messages. */
int thr_config_parse(const char *name, const char *text, size_t size, char *const *environment,
		     struct thr_config **ret_config, struct thr_error *error);

void thr_config_free(struct thr_config *config);

/* Call `warn` with `file` and a line for each thing that is allowed and hardly meant, where
 * `run` is what the file is for. */
typedef void thr_config_warning(const char *file, const char *text);
void thr_config_warn(const struct thr_config *config, const char *file, thr_config_warning *warn);

/* Whether `run` attaches the packet layer, and some service there has a budget for new
 * sources, which those that are verified do not need. */
bool thr_config_has_budgets(const struct thr_config *config);

/* "memory", "redis 192.0.2.1:6379 (tls)", "redis /run/redis.sock": without anything secret. */
#define THR_STORE_NAME 288
void thr_config_name_store(const struct thr_config *config, char name[static THR_STORE_NAME]);

/* Release what `tables` owns and zero it. */
void thr_tables_clear(struct thr_tables *tables);

/* Put `source` into the ordered list, or in the place of one with the same
 * prefix: a new one moves those behind it. Returns 0 or -ENOMEM with nothing
 * changed. */
int thr_tables_set_source(struct thr_tables *tables, const struct thr_source_config *source);

/* The entry with exactly this prefix, or NULL. Valid until the list changes. */
struct thr_source_config *thr_tables_find_source(const struct thr_tables *tables,
						 const struct thr_prefix *prefix);

void thr_tables_remove_source(struct thr_tables *tables, struct thr_source_config *source);

#endif
