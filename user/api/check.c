/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * POST /check: is there a token for this key?
 *
 * A batch is judged as a whole before anything of it is taken: a body with one check that can
 * never be satisfied costs nobody a token. Its checks are asked in their order, each taken or
 * refused by itself, and answered together when the store has answered the last.
 *
 * The memory store answers at once; then nothing here is allocated for a single check.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/internal.h"

#define NAME_PREFIX "check:"
#define RESULT_MAX 192 /* bytes of one result, its comma included */
#define BATCH_SMALL 32 /* checks of a batch that may wait without being counted as large */

_Static_assert(THR_CHECKS_MAX *RESULT_MAX + 64 <= ANSWER_MAX, "the largest answer fits");

struct item {
	struct thr_ask ask;
	struct batch *batch;
};

struct batch {
	struct client *client;
	size_t count;
	size_t waiting; /* for the store */
	struct item item[];
};

/* --- answers ------------------------------------------------------------------------- */

static uint64_t ms_up(uint64_t ns)
{
	return ns / THR_NS_PER_MS + (ns % THR_NS_PER_MS != 0);
}

static void put_result(struct thr_writer *writer, const struct thr_ask *ask)
{
	const struct thr_standing *standing = &ask->standing;

	if (!thr_writer_has(writer, RESULT_MAX))
		return;
	if (standing->allowed)
		THR_PUT(writer, "{\"allowed\":true,\"limit\":");
	else
		THR_PUT(writer, "{\"allowed\":false,\"limit\":");
	thr_put_decimal(writer, standing->limit);
	THR_PUT(writer, ",\"remaining\":");
	thr_put_decimal(writer, standing->remaining);
	THR_PUT(writer, ",\"reset_after_ms\":");
	thr_put_decimal(writer, ms_up(standing->reset_ns));
	THR_PUT(writer, ",\"retry_after_ms\":");
	thr_put_decimal(writer, ms_up(standing->retry_ns));
	if (ask->degraded)
		THR_PUT(writer, ",\"degraded\":true}");
	else
		THR_PUT(writer, ",\"degraded\":false}");
}

static void count(struct thr_api *api, const struct thr_ask *ask)
{
	enum thr_api_verdict verdict = ask->standing.allowed ? THR_API_ALLOWED : THR_API_DENIED;

	api->parts.counts->checks[ask->cost ? verdict : THR_API_PEEKED]++;
}

static void answer_json(struct client *client, unsigned int status, struct thr_writer *writer,
			struct thr_slice fields)
{
	struct thr_api *api = client->api;
	struct answer answer = {
		.status = status,
		.type = "application/json",
		.body = {api->body, (size_t)(writer->at - api->body)},
		.fields = fields,
	};

	thr_histogram_add(&api->parts.counts->check,
			  thr_clock_monotonic_ns() - client->call.begin_ns);
	answer_send(client, &answer);
}

static void answer_single(struct client *client)
{
	struct thr_api *api = client->api;
	const struct thr_ask *ask = &client->ask;
	struct thr_writer writer = {.at = api->body, .end = api->body + sizeof(api->body)};
	char fields[THR_LIMIT_FIELDS_MAX];
	size_t length = thr_http_limit_fields(client->ask_is_own ? "key" : "default",
					      &ask->standing, fields);

	count(api, ask);
	put_result(&writer, ask);
	THR_PUT(&writer, "\n");
	answer_json(client, ask->standing.allowed ? 200 : 429, &writer,
		    (struct thr_slice){fields, length});
}

static void answer_batch(struct client *client)
{
	struct thr_api *api = client->api;
	const struct batch *batch = client->batch;
	struct thr_writer writer = {.at = api->body, .end = api->body + sizeof(api->body)};

	THR_PUT(&writer, "{\"results\":[");
	for (size_t i = 0; i < batch->count; i++) {
		count(api, &batch->item[i].ask);
		if (i)
			THR_PUT(&writer, ",");
		put_result(&writer, &batch->item[i].ask);
	}
	THR_PUT(&writer, "]}\n");
	answer_json(client, 200, &writer, THR_SLICE(""));
}

/* --- asking -------------------------------------------------------------------------- */

static void on_single(struct thr_ask *ask)
{
	struct client *client = THR_CONTAINER(ask, struct client, ask);

	client->ask_waits = false;
	answer_single(client);
}

static void on_item(struct thr_ask *ask)
{
	struct batch *batch = THR_CONTAINER(ask, struct item, ask)->batch;

	if (--batch->waiting == 0)
		answer_batch(batch->client);
}

/* Make `ask` of a check. Returns false when it can never be satisfied. */
static bool prepare(const struct thr_api *api, const struct thr_check *check, struct thr_ask *ask,
		    bool *ret_own)
{
	const struct thr_store *store = api->parts.store;
	struct thr_hash hash = thr_store_key_hash(store, check->key);
	struct thr_quota quota;

	*ret_own = thr_store_quota(store, &hash, check->key, &quota);
	*ask = (struct thr_ask){
		.limit = quota.limit,
		.on_error = quota.on_error,
		.cost = check->cost,
	};
	thr_store_check_key(store, &hash, &quota, &ask->key);
	return check->cost <= quota.limit.burst;
}

/* Ask for what was prepared. Returns whether it is answered. */
static bool ask_for(struct thr_api *api, const struct thr_check *check, struct thr_ask *ask)
{
	char name[sizeof(NAME_PREFIX) + THR_KEY_MAX];
	struct thr_writer writer = {.at = name, .end = name + sizeof(name)};

	if (thr_store_is_shared(api->parts.store)) {
		THR_PUT(&writer, NAME_PREFIX);
		thr_put_slice(&writer, check->key);
		ask->name = (struct thr_slice){name, (size_t)(writer.at - name)};
	}
	return thr_store_ask(api->parts.store, ask);
}

static void refuse_cost(struct client *client, const struct thr_ask *ask, const char *field)
{
	char detail[160];

	snprintf(detail, sizeof(detail),
		 "The cost is %" PRIu64 ", the capacity %" PRIu64
		 ": no wait is long enough. Ask for less at once, or raise the capacity.",
		 ask->cost, ask->limit.burst);
	answer_problem(client, PROBLEM_COST, detail, field);
}

static void begin_single(struct client *client, const struct thr_check *check)
{
	struct thr_ask *ask = &client->ask;

	if (!prepare(client->api, check, ask, &client->ask_is_own)) {
		refuse_cost(client, ask, "cost");
		return;
	}
	ask->done = on_single;
	if (ask_for(client->api, check, ask)) {
		answer_single(client);
		return;
	}
	client->ask_waits = true;
	client->state = CLIENT_BUSY;
}

/* Prepare each check. Returns whether all of them can be satisfied; else it is answered. */
static bool prepare_batch(struct client *client, struct batch *batch,
			  const struct thr_check_list *list)
{
	char field[THR_FAULT_FIELD];
	bool own;

	for (size_t i = 0; i < list->count; i++) {
		struct item *item = &batch->item[i];

		if (!prepare(client->api, &list->check[i], &item->ask, &own)) {
			snprintf(field, sizeof(field), "checks[%zu].cost", i);
			refuse_cost(client, &item->ask, field);
			return false;
		}
		item->ask.done = on_item;
		item->batch = batch;
	}
	return true;
}

/* Whether what the batch holds is bounded: while it waits for the store, and its answer. */
static bool is_bounded(struct client *client, size_t count)
{
	bool waits = thr_store_is_shared(client->api->parts.store) && count > BATCH_SMALL;

	return (!waits && count * RESULT_MAX <= SMALL_BODY) || body_grow(client);
}

static void begin_batch(struct client *client, const struct thr_check_list *list)
{
	struct thr_api *api = client->api;
	struct batch *batch = NULL;

	if (is_bounded(client, list->count))
		batch = malloc(sizeof(*batch) + list->count * sizeof(batch->item[0]));
	if (!batch) {
		body_refuse_large(client);
		return;
	}
	*batch = (struct batch){.client = client, .count = list->count};
	client->batch = batch;
	if (!prepare_batch(client, batch, list))
		return;
	for (size_t i = 0; i < list->count; i++)
		batch->waiting += !ask_for(api, &list->check[i], &batch->item[i].ask);
	if (batch->waiting)
		client->state = CLIENT_BUSY;
	else
		answer_batch(client);
}

void check_begin(struct client *client, char *body, size_t length)
{
	struct thr_check_list *list = &client->api->checks;
	struct thr_fault fault;

	if (thr_check_parse(body, length, list, &fault) < 0)
		answer_problem(client, PROBLEM_BODY, fault.detail,
			       *fault.field ? fault.field : NULL);
	else if (list->is_batch)
		begin_batch(client, list);
	else
		begin_single(client, &list->check[0]);
}

void check_forget(struct client *client)
{
	struct thr_store *store = client->api->parts.store;
	struct batch *batch = client->batch;

	if (client->ask_waits)
		thr_store_cancel(store, &client->ask);
	client->ask_waits = false;
	if (!batch)
		return;
	for (size_t i = 0; batch->waiting && i < batch->count; i++)
		thr_store_cancel(store, &batch->item[i].ask);
	client->batch = NULL;
	free(batch);
}
