/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the API says in the log: who changed a config and how it is now, and who did not show the
 * token. Checks are counted, not logged.
 *
 * No key is said but `default`, since keys name people. The entity tag of a change is, and no two
 * have the same: whose config it was, who reads that config can tell.
 *
 * A stranger can be refused any number of times, and is to be seen without filling the log: one
 * line at once, then one a second with what came since (REFUSALS_MS).
 */
#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>

#include "api/internal.h"
#include "api/quota_json.h"
#include "core/log.h"

#define REFUSALS_MS 1000

static bool is_local(const struct client *client)
{
	static const uint8_t none[sizeof(client->peer.bytes)];

	return memcmp(client->peer.bytes, none, sizeof(none)) == 0;
}

/* The address, or the user at the other end of a Unix socket. */
static void name_peer(const struct client *client, char text[static EVENT_PEER_TEXT])
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	if (!is_local(client))
		thr_address_format(&client->peer, text);
	else if (getsockopt(client->stream.io.fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0)
		snprintf(text, EVENT_PEER_TEXT, "uid %u", peer.uid);
	else
		snprintf(text, EVENT_PEER_TEXT, "a Unix socket");
}

/* --- changes of configs --- */

static void describe(const struct thr_change *change, unsigned int status, char *text, size_t size)
{
	char quota[THR_QUOTA_TEXT];

	if (!status)
		snprintf(text, size, "nobody waited for the answer: it may be made or not");
	else if (status == 503)
		snprintf(text, size, "%u, %s", status, change->why);
	else if (change->kind == THR_QUOTA_DELETE)
		snprintf(text, size, "%u", status);
	else
		snprintf(text, size, "%u, ETag %" PRIu64 ", %s", status, change->quota.version,
			 thr_quota_words(&change->quota, quota));
}

void event_change(const struct client *client, const struct thr_change *change, unsigned int status)
{
	bool is_default = thr_slice_is(change->key, THR_QUOTA_DEFAULT);
	char peer[EVENT_PEER_TEXT], outcome[sizeof(change->why) + THR_QUOTA_TEXT];

	if (!thr_log_enabled(THR_LOG_INFO))
		return;
	name_peer(client, peer);
	describe(change, status, outcome, sizeof(outcome));
	thr_log(THR_LOG_INFO, "API: %s of %s by %s: %s",
		change->kind == THR_QUOTA_PUT ? "PUT" : "DELETE",
		is_default ? "the config of default" : "a key's config", peer, outcome);
}

/* --- refused callers --- */

static void tell_further(struct refusals *refusals)
{
	if (refusals->untold)
		thr_log(THR_LOG_WARNING,
			"API: %" PRIu64 " more calls without the token, the last by %s",
			refusals->untold, refusals->last);
	refusals->untold = 0;
}

static void on_second(struct thr_timer *timer)
{
	struct refusals *refusals = THR_CONTAINER(timer, struct refusals, timer);
	struct thr_api *api = THR_CONTAINER(refusals, struct thr_api, refusals);

	if (refusals->untold)
		thr_loop_arm(api->parts.loop, timer, REFUSALS_MS);
	tell_further(refusals);
}

void event_refused(struct client *client, bool has_token)
{
	struct thr_api *api = client->api;
	struct refusals *refusals = &api->refusals;

	name_peer(client, refusals->last);
	if (refusals->timer.due_ms) {
		refusals->untold++;
		return;
	}
	thr_log(THR_LOG_WARNING, "API: a call %s by %s",
		has_token ? "with a wrong token" : "without a token", refusals->last);
	thr_loop_arm(api->parts.loop, &refusals->timer, REFUSALS_MS);
}

void events_begin(struct thr_api *api)
{
	api->refusals.timer.fire = on_second;
}

void events_end(struct thr_api *api)
{
	thr_loop_disarm(api->parts.loop, &api->refusals.timer);
	tell_further(&api->refusals);
}
