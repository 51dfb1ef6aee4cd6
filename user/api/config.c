/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * GET, HEAD, PUT and DELETE of /config/{key}: what is set for a key.
 *
 * The entity tag is the version in quotes. Conditions of a change are the store's to judge, in
 * one step with the change; those of a GET are judged here.
 *
 * `default` is a key like others, but has a representation also while nothing is set for it:
 * what the configuration says, which has no version.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/internal.h"
#include "api/key.h"
#include "api/quota_json.h"

#define TAG_FIELD 48 /* ETag: "18446744073709551615" and CRLF */

struct edit {
	struct client *client;
	struct thr_change change;
	bool waits; /* for the store */
	char key[THR_KEY_MAX];
};

static void refuse(struct client *client, enum problem problem, const char *detail)
{
	answer_problem(client, problem, detail, NULL);
}

static struct thr_slice tag_field(const struct thr_quota *quota, char text[static TAG_FIELD])
{
	if (!quota->version)
		return THR_SLICE("");
	return (struct thr_slice){
		text,
		(size_t)snprintf(text, TAG_FIELD, "ETag: \"%" PRIu64 "\"\r\n", quota->version)};
}

/* --- answers ------------------------------------------------------------------------- */

static void answer_quota(struct client *client, const struct thr_quota *quota)
{
	const struct thr_condition *condition = &client->edit->change.condition;
	char text[THR_QUOTA_TEXT], tag[TAG_FIELD];
	struct answer answer = {
		.status = 200,
		.type = "application/json",
		.body = {text, thr_quota_format(quota, text)},
		.fields = tag_field(quota, tag),
	};

	if (thr_condition_holds(condition, quota->version)) {
		answer_send(client, &answer);
		return;
	}
	if (condition->kind == THR_IF_MATCH) {
		refuse(client, PROBLEM_PRECONDITION,
		       "The config has another version than If-Match names.");
		return;
	}
	answer.status = 304;
	answer.type = NULL;
	answer.body = THR_SLICE("");
	answer_send(client, &answer);
}

static void answer_absent(struct client *client)
{
	const struct thr_change *change = &client->edit->change;
	struct thr_quota quota;

	if (change->kind == THR_QUOTA_GET && thr_slice_is(change->key, THR_QUOTA_DEFAULT)) {
		thr_store_quota(client->api->parts.store, &change->hash, change->key, &quota);
		quota.version = 0;
		answer_quota(client, &quota);
		return;
	}
	refuse(client, PROBLEM_NO_CONFIG,
	       thr_slice_is(change->key, THR_QUOTA_DEFAULT)
		       ? "Nothing is set for this key: api.default of the configuration holds."
		       : "Nothing is set for this key: the config of the key 'default' holds for "
			 "it.");
}

static void answer_change(struct client *client)
{
	const struct thr_change *change = &client->edit->change;
	char tag[TAG_FIELD];
	struct answer answer = {.status = 204};

	switch (change->result) {
	case THR_CHANGE_DONE:
	case THR_CHANGE_CREATED:
		if (change->kind == THR_QUOTA_GET) {
			answer_quota(client, &change->quota);
			return;
		}
		if (change->kind == THR_QUOTA_PUT)
			answer.fields = tag_field(&change->quota, tag);
		if (change->result == THR_CHANGE_CREATED)
			answer.status = 201;
		event_change(client, change, answer.status);
		answer_send(client, &answer);
		return;
	case THR_CHANGE_ABSENT:
		answer_absent(client);
		return;
	case THR_CHANGE_CONFLICT:
		refuse(client, PROBLEM_PRECONDITION,
		       change->condition.kind == THR_IF_NONE_MATCH
			       ? "The key has a config already, of a version that If-None-Match "
				 "excludes."
			       : "The key has no config, or one of another version: read it, and "
				 "try again with its entity tag.");
		return;
	case THR_CHANGE_FULL:
		refuse(client, PROBLEM_FULL,
		       "As many keys have a config as may: delete one, or raise "
		       "api.max_configs.");
		return;
	case THR_CHANGE_FAILED:
		break;
	}
	if (change->kind != THR_QUOTA_GET)
		event_change(client, change, 503);
	refuse(client, PROBLEM_STORE, *change->why ? change->why : "The store failed.");
}

/* --- calls --------------------------------------------------------------------------- */

static void on_done(struct thr_change *change)
{
	struct edit *edit = THR_CONTAINER(change, struct edit, change);

	edit->waits = false;
	answer_change(edit->client);
}

static void ask(struct client *client)
{
	struct edit *edit = client->edit;

	edit->waits = true;
	if (!thr_store_change(client->api->parts.store, &edit->change)) {
		client->state = CLIENT_BUSY;
		return;
	}
	edit->waits = false;
	answer_change(client);
}

static enum thr_change_kind kind_of(enum thr_http_method method)
{
	if (method == THR_METHOD_PUT)
		return THR_QUOTA_PUT;
	return method == THR_METHOD_DELETE ? THR_QUOTA_DELETE : THR_QUOTA_GET;
}

void config_begin(struct client *client, const struct thr_http_request *request,
		  struct thr_slice segment, const struct thr_condition *condition)
{
	struct edit *edit = calloc(1, sizeof(*edit));
	struct thr_change *change = &edit->change;
	const char *why;

	if (!edit) {
		body_skip(client, request);
		refuse(client, PROBLEM_BUSY, "Out of memory.");
		return;
	}
	edit->client = client;
	client->edit = edit;
	if (thr_key_decode(segment, edit->key, &change->key, &why) < 0) {
		body_skip(client, request);
		answer_problem(client, PROBLEM_KEY, why, "key");
		return;
	}
	change->kind = kind_of(request->method_id);
	change->hash = thr_store_key_hash(client->api->parts.store, change->key);
	change->condition = *condition;
	change->done = on_done;
	if (change->kind == THR_QUOTA_PUT) {
		body_begin(client, request, SMALL_BODY);
		return;
	}
	body_skip(client, request);
	ask(client);
}

void config_body(struct client *client, const char *body, size_t length)
{
	struct thr_fault fault = {0};

	if (thr_quota_parse(body, length, client->api->settings.on_error,
			    &client->edit->change.quota, &fault) < 0)
		answer_problem(client, PROBLEM_BODY, fault.detail,
			       *fault.field ? fault.field : NULL);
	else
		ask(client);
}

void config_forget(struct client *client)
{
	struct edit *edit = client->edit;

	if (!edit)
		return;
	if (edit->waits && edit->change.kind != THR_QUOTA_GET)
		event_change(client, &edit->change, 0);
	if (edit->waits)
		thr_store_forget(client->api->parts.store, &edit->change);
	client->edit = NULL;
	free(edit);
}
