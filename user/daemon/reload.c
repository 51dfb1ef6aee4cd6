/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From one configuration to the next while clients are served.
 *
 * Workers take the new configuration themselves instead of being replaced by new
 * ones: no connection changes hands or is closed, WebSockets of hours included, and
 * nothing runs twice. Requests in flight end by what they began with; the next one
 * goes by the new. What can be refused is done first, and a refusal changes
 * nothing:
 *
 *   read and validate -> open listeners, where an address changed -> state file -> packet layer
 *       | refused: one line, all is as before                                      |
 *       +<-------------------------------------------------------------------------+
 *   then: tell the workers -> all have answered -> close the old listeners
 *
 * A worker that cannot take it, for lack of descriptors or memory, does not hold up the
 * others: slot.c asks it again.
 *
 * A connection that waits in the queue of an old listener when that closes is
 * reset; it was for an address that is not served any more.
 */
#include "daemon/master.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/clock.h"
#include "core/log.h"
#include "daemon/listener.h"
#include "daemon/notify.h"
#include "daemon/packet.h"
#include "core/slice.h"

/* While another command changes the packet layer, a reload begins again, and is refused
 * after a second: the master has others to serve than that command. */
#define LOCK_PAUSE_MS 100
#define LOCK_TRIES 10

static void log_warning(const char *source, const char *text)
{
	thr_log(THR_LOG_WARNING, "%s: %s", source, text);
}

void thr_reload_warn(const struct thr_master *master, const struct thr_config *config)
{
	thr_config_warn(config, thr_master_has_file(master) ? master->path : "environment",
			log_warning);
	thr_changes_warn(master, config);
}

/* --- what stays until a restart --- */

static void warn_kept(const char *key)
{
	thr_log(THR_LOG_WARNING, "%s changed: the old value stays until a restart", key);
}

/* What was fixed when the workers started. */
static void keep_fixed(const struct thr_master *master, struct thr_config *config)
{
	struct thr_config *old = master->generation->config;
	char *user = config->server.user;

	if (config->server.workers != old->server.workers)
		warn_kept("server.workers");
	if (!thr_same_text(user, old->server.user))
		warn_kept("server.user");
	if (config->store.max_keys != old->store.max_keys)
		warn_kept("store.memory.max_keys");
	if (config->api.max_configs != old->api.max_configs)
		warn_kept("api.max_configs");
	config->server.workers = old->server.workers;
	config->store.max_keys = old->store.max_keys;
	config->api.max_configs = old->api.max_configs;
	config->server.user = old->server.user;
	old->server.user = user; /* to be freed with it */
}

/* A file by which the next start would fail is refused, though the user stays. The
 * lookup may be slow, so it is made only where the name changed. */
static int check_user(const struct thr_config *old, const struct thr_config *config,
		      struct thr_error *error)
{
	struct thr_run_as unused;

	if (thr_same_text(config->server.user, old->server.user))
		return 0;
	return thr_run_as_find(config->server.user, &unused, error);
}

static bool has_interface(const struct thr_xdp_config *xdp, const char *name)
{
	for (size_t i = 0; i < xdp->interface_count; i++)
		if (strcmp(xdp->interfaces[i], name) == 0)
			return true;
	return false;
}

static void warn_left(const struct thr_xdp_config *old, const struct thr_xdp_config *xdp)
{
	for (size_t i = 0; i < old->interface_count; i++)
		if (!has_interface(xdp, old->interfaces[i]))
			thr_log(THR_LOG_WARNING,
				"%s left xdp.interfaces and keeps the throttle: 'xdp-throttle "
				"detach --dev %s' takes it off",
				old->interfaces[i], old->interfaces[i]);
}

/* --- the steps --- */

static int load(const struct thr_master *master, struct thr_generation **ret_generation,
		struct thr_error *error)
{
	struct thr_generation *generation = NULL;
	int r = thr_generation_load(master->path, &generation, error);

	if (!r)
		r = thr_generation_share(generation, master->worker_count, master->generation,
					 error);
	if (r)
		thr_generation_free(generation);
	else
		*ret_generation = generation;
	return r;
}

static int apply_packet(const struct thr_config *config, struct thr_error *error)
{
	AUTO_FREE bool *attached = calloc(config->xdp.interface_count + 1, sizeof(*attached));

	if (!attached)
		return thr_fail(error, ENOMEM, "%s", strerror(ENOMEM));
	return thr_packet_apply(&config->xdp, false, attached, error);
}

/* Listeners where they move, the state file where it is new, then the packet layer. */
static int prepare(struct thr_master *master, const struct thr_config *config,
		   struct thr_new_fronts *ret_fronts, struct thr_error *error)
{
	const struct thr_config *old = master->generation->config;
	bool had_state = master->state;
	int r = check_user(old, config, error);

	if (!r)
		r = thr_fronts_open(master, old, config, ret_fronts, error);
	if (r)
		return r;
	r = thr_changes_open(master, config, error);
	if (!r)
		r = apply_packet(config, error);
	if (r && master->state && !had_state)
		thr_changes_close(master);
	if (r)
		thr_fronts_drop(master, ret_fronts);
	return r;
}

static bool needs_more_files(const struct thr_config *old, const struct thr_config *config)
{
	return (config->route_count && !old->route_count) ||
	       (config->api.present && !old->api.present) ||
	       config->server.max_connections > old->server.max_connections;
}

/* Nothing fails from here on. */
static void commit(struct thr_master *master, struct thr_generation *generation)
{
	struct thr_config *old = master->generation->config, *config = generation->config;

	thr_log_setup(config->log_level, config->log_format);
	thr_reload_warn(master, config);
	keep_fixed(master, config);
	if (needs_more_files(old, config))
		thr_descriptors_raise(master, config);
	warn_left(&old->xdp, &config->xdp);
	thr_generation_free(master->generation);
	master->generation = generation;
}

static int reload(struct thr_master *master, struct thr_error *error)
{
	struct thr_generation *generation;
	struct thr_new_fronts fronts;
	int r = load(master, &generation, error);

	if (r)
		return r;
	r = prepare(master, generation->config, &fronts, error);
	if (r) {
		thr_generation_free(generation);
		return r;
	}
	thr_fronts_put(master, &fronts);
	commit(master, generation);
	return 0;
}

static void tell_workers(struct thr_master *master)
{
	master->phase = THR_RELOADING;
	for (unsigned int i = 0; i < master->worker_count; i++)
		if (master->slots[i].pid)
			thr_slot_configure(&master->slots[i]);
	thr_slots_lend(master);
	thr_master_settle(master);
}

static void note_reload(struct thr_master *master, bool good)
{
	master->facts.last_good = good;
	if (good)
		master->facts.last_good_ns = thr_clock_wall_ns();
	thr_master_publish(master);
}

void thr_reload_begin(struct thr_master *master)
{
	struct thr_error error = {};
	int r;

	thr_loop_disarm(master->loop, &master->again);
	thr_notify("RELOADING=1\nMONOTONIC_USEC=%llu",
		   (unsigned long long)(thr_clock_monotonic_ns() / 1000));
	r = reload(master, &error);
	if (r == -EWOULDBLOCK && ++master->tries < LOCK_TRIES) {
		thr_loop_arm(master->loop, &master->again, LOCK_PAUSE_MS);
		return;
	}
	master->tries = 0;
	if (r) {
		thr_log(THR_LOG_ERROR, "%s; the reload was refused: nothing changed", error.text);
		thr_notify("READY=1\nSTATUS=the last reload was refused: %s", error.text);
		master->facts.refused++;
		note_reload(master, false);
		return;
	}
	master->facts.reloaded++;
	note_reload(master, true);
	tell_workers(master);
}

void thr_reload_again(struct thr_timer *timer)
{
	struct thr_master *master =
		(struct thr_master *)((char *)timer - offsetof(struct thr_master, again));

	if (master->phase == THR_SERVING)
		thr_reload_begin(master);
}

static unsigned int count_behind(const struct thr_master *master)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < master->worker_count; i++)
		count += master->slots[i].behind;
	return count;
}

/* "*:8080, API 127.0.0.1:8081, workers: 2, routes: 1, interfaces: 0, store: memory" */
static void describe(const struct thr_master *master, char *text, size_t size)
{
	char proxy[THR_LISTEN_TEXT] = "no proxy", api[THR_LISTEN_TEXT] = "";
	const struct thr_config *config = master->generation->config;
	unsigned int behind = count_behind(master);
	char store[THR_STORE_NAME], but[64] = "";
	struct thr_endpoint endpoint;
	bool has_api;

	if (thr_front_find(master, config, THR_FRONT_PROXY, &endpoint))
		thr_listen_format(&endpoint, proxy);
	has_api = thr_front_find(master, config, THR_FRONT_API, &endpoint);
	if (has_api)
		thr_listen_format(&endpoint, api);
	thr_config_name_store(config, store);
	if (behind)
		snprintf(but, sizeof(but), ", workers with the old configuration: %u", behind);
	snprintf(text, size, "%s%s%s, workers: %u, routes: %zu, interfaces: %zu, store: %s%s",
		 proxy, has_api ? ", API " : "", api, master->worker_count, config->route_count,
		 config->xdp.interface_count, store, but);
}

void thr_reload_end(struct thr_master *master)
{
	const char *what = master->phase == THR_STARTING ? "ready" : "reloaded";
	char text[2 * THR_LISTEN_TEXT + THR_STORE_NAME + 192];

	thr_fronts_retire(master);
	thr_heed_watch(master);
	describe(master, text, sizeof(text));
	thr_log(THR_LOG_INFO, "%s: %s", what, text);
	thr_notify("READY=1\nSTATUS=%s", text);
	thr_master_publish(master);
}
