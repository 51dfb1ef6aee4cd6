/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the API says in the log: who changed a config and how it is now, and who is refused for the
 * token or for api.rate_limit. Checks are counted, not logged.
 *
 * No key is said but `default`, since keys name people. The entity tag of a change is, and no two
 * have the same: whose config it was, who reads that config can tell.
 *
 * A peer can be refused any number of times, and is to be seen without filling the log: for each
 * reason there is one line at once, then one a second (REFUSED_MS) with the number of those since.
 */
#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>

#include "api/internal.h"
#include "api/quota_json.h"
#include "core/log.h"

#define REFUSED_MS 1000

static bool is_of_unix_socket(const struct thr_address *peer)
{
	static const uint8_t none[sizeof(peer->bytes)];

	return memcmp(peer->bytes, none, sizeof(none)) == 0;
}

static const char *name_address(const struct thr_address *peer, char text[static THR_ADDRESS_TEXT])
{
	if (is_of_unix_socket(peer))
		return "a client of the socket";
	thr_address_format(peer, text);
	return text;
}

/* The address, or the user at the other end of a Unix socket. */
static const char *name_peer(const struct client *client, char text[static THR_ADDRESS_TEXT])
{
	struct ucred user;
	socklen_t length = sizeof(user);

	if (!is_of_unix_socket(&client->peer) ||
	    getsockopt(client->stream.io.fd, SOL_SOCKET, SO_PEERCRED, &user, &length) < 0)
		return name_address(&client->peer, text);
	snprintf(text, THR_ADDRESS_TEXT, "uid %u", user.uid);
	return text;
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
	char peer[THR_ADDRESS_TEXT], outcome[sizeof(change->why) + THR_QUOTA_TEXT];

	if (!thr_log_enabled(THR_LOG_INFO))
		return;
	describe(change, status, outcome, sizeof(outcome));
	thr_log(THR_LOG_INFO, "API: %s of %s by %s: %s",
		change->kind == THR_QUOTA_PUT ? "PUT" : "DELETE",
		is_default ? "the config of default" : "a key's config", name_peer(client, peer),
		outcome);
}

/* --- refused calls --- */

static const char *const refused_words[] = {
	[REFUSED_NO_TOKEN] = "without a token",
	[REFUSED_WRONG_TOKEN] = "with a wrong token",
	[REFUSED_RATE] = "over api.rate_limit",
};

static void tell_further(struct thr_api *api, enum refusal refusal)
{
	struct refused *refused = &api->refused[refusal];
	char peer[THR_ADDRESS_TEXT];

	if (!refused->untold)
		return;
	thr_log(THR_LOG_WARNING, "API: %" PRIu64 " more calls %s, the last by %s", refused->untold,
		refused_words[refusal], name_address(&refused->last, peer));
	refused->untold = 0;
}

static void on_second(struct thr_timer *timer)
{
	struct refused *refused = THR_CONTAINER(timer, struct refused, timer);
	struct thr_api *api = refused->api;

	if (refused->untold)
		thr_loop_arm(api->parts.loop, timer, REFUSED_MS);
	tell_further(api, (enum refusal)(refused - api->refused));
}

void event_refused(struct client *client, enum refusal refusal)
{
	struct thr_api *api = client->api;
	struct refused *refused = &api->refused[refusal];
	char peer[THR_ADDRESS_TEXT];

	if (refused->timer.due_ms) {
		refused->untold++;
		refused->last = client->peer;
		return;
	}
	thr_log(THR_LOG_WARNING, "API: a call %s by %s", refused_words[refusal],
		name_peer(client, peer));
	thr_loop_arm(api->parts.loop, &refused->timer, REFUSED_MS);
}

void events_begin(struct thr_api *api)
{
	for (size_t i = 0; i < REFUSALS; i++)
		api->refused[i] = (struct refused){.timer.fire = on_second, .api = api};
}

void events_end(struct thr_api *api)
{
	for (size_t i = 0; i < REFUSALS; i++) {
		thr_loop_disarm(api->parts.loop, &api->refused[i].timer);
		tell_further(api, (enum refusal)i);
	}
}
