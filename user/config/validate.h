/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the schema's tables cannot say: values that need each other, defaults
 * that follow from other values, and the syntax of text.
 *
 * A thr_finish function fills defaults in and refuses what does not fit
 * together, by the place of the value that is to change. A fault function
 * returns NULL, or a static phrase that says what would be right.
 */
#ifndef THR_VALIDATE_H
#define THR_VALIDATE_H

#include "config/config.h"
#include "config/schema.h"

/* The file as a whole, into a struct thr_config. */
thr_finish thr_finish_file;

/* HTTP side. */
thr_finish thr_finish_server;	    /* struct thr_server_config */
thr_finish thr_finish_rate_limit;   /* struct thr_rate */
thr_finish thr_finish_client_limit; /* struct thr_client_limit */
thr_finish thr_finish_limit;	    /* struct thr_config */
thr_finish thr_finish_block;	    /* struct thr_config */
thr_finish thr_finish_health;	    /* struct thr_health_config */
thr_finish thr_finish_route;	    /* struct thr_route_config */
thr_finish thr_finish_routes;	    /* struct thr_config */
const char *thr_user_fault(const char *text);
const char *thr_path_fault(const char *text);
const char *thr_health_path_fault(const char *text);

/* The API and the store. */
thr_finish thr_finish_api;	   /* struct thr_api_config */
thr_finish thr_finish_api_default; /* struct thr_api_config */
thr_finish thr_finish_redis;	   /* struct thr_redis_config */
const char *thr_file_fault(const char *text);
const char *thr_key_prefix_fault(const char *text);

/* What the sections of the API and the store have where they, or the whole section, are
 * left out. Returns 0 or -ENOMEM with the error filled. */
int thr_default_api(const struct thr_reader *reader, struct thr_api_config *api);
int thr_default_store(const struct thr_reader *reader, struct thr_store_config *store);

/* Packet side. */
thr_finish thr_finish_limits;	   /* struct thr_limits */
thr_finish thr_finish_per_prefix;  /* struct thr_service_config */
thr_finish thr_finish_new_sources; /* struct thr_service_config */
thr_finish thr_finish_services;	   /* struct thr_xdp_config */
thr_finish thr_finish_source;	   /* struct thr_source_config */
thr_finish thr_finish_sources;	   /* struct thr_xdp_config */
thr_finish thr_finish_interfaces;  /* struct thr_xdp_config */
thr_finish thr_finish_sizes;	   /* struct thr_sizes */
thr_finish thr_finish_xdp;	   /* struct thr_xdp_config */
const char *thr_service_name_fault(const char *text);
const char *thr_interface_fault(const char *text);

/* URLs and addresses. */
const char *thr_address_fault(const char *text);
const char *thr_listen_fault(const char *text);

/* What thr_listen_fault() accepts, apart: *ret_address is the caller's to free, NULL for
 * a path. Returns 0 or -ENOMEM. */
int thr_listen_parse(const char *text, char **ret_address, uint16_t *ret_port);

/* Whether a socket on `listen`, which thr_listen_fault() accepts, and one on `port`
 * of `address`, which thr_address_fault() accepts (NULL: on every one), would be in
 * each other's way. */
bool thr_listen_overlaps(const char *listen, const char *address, uint16_t port);

/* Whether only this machine reaches an address that thr_address_fault() accepts. */
bool thr_address_is_loopback(const char *text);

/* Read the URL of a Redis into the members of `into` that it says; those must hold
 * nothing yet. Returns 0, -ENOMEM, or -EINVAL with *ret_why set to what would be right,
 * in words that show nothing of the URL; on failure nothing is filled. */
int thr_redis_url_parse(const char *text, struct thr_redis_config *into, const char **ret_why);

/* Read "http://HOST[:PORT]". Returns 0 with ret_target->host for the caller to
 * free, -ENOMEM, or -EINVAL with *ret_why set to what would be right. */
int thr_target_parse(const char *text, struct thr_target *ret_target, const char **ret_why);

/*
 * Give `rate` its default burst if it has none, one second's worth but at least
 * `least`, and check that a bucket can keep it. `burst_key` is the key that may
 * have given the burst.
 */
int thr_finish_rate(const struct thr_reader *reader, const struct thr_node *map,
		    const char *burst_key, uint64_t least, struct thr_rate *rate);

/* A name and the node that gave it. */
struct thr_named {
	const char *text;
	const struct thr_node *node;
};

/* Refuse the second of two names that are alike; sorts the array. `noun` is what
 * the message calls them. */
int thr_refuse_twice(const struct thr_reader *reader, struct thr_named *names, size_t count,
		     const char *noun);

#endif
