/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * GET and HEAD of /config: which keys have a config, in pages.
 *
 *   {"configs":[{"key":"user:42","capacity":100,...,"etag":"\"7\""},...],
 *    "next":"/config?from=8"}
 *
 * They come in the order of their versions, which is that of their last changes, and a page
 * begins at a version, not at a place of the table: the next page may be asked of another
 * worker or instance, where the same keys lie elsewhere. What is changed meanwhile moves to the
 * end; all else is found once.
 *
 * A page is bounded in entries and in bytes, and makes no call to Redis. It takes one pass over
 * the versions of the table, which are 16 to 32 bytes for each key that may be set.
 */
#include <errno.h>

#include "api/internal.h"
#include "api/key.h"
#include "api/quota_json.h"

#define PAGE_MAX 1000 /* entries */
#define END_MAX 64    /* bytes behind them */
#define FROM "from="

/* The version that the query asks to begin with. Returns false, with *ret_field NULL or "from",
 * when it asks for something else. */
static bool read_query(struct thr_slice target, uint64_t *ret_from, const char **ret_field)
{
	const char *query = memchr(target.at, '?', target.length);
	struct thr_slice rest;

	*ret_field = NULL;
	*ret_from = 0;
	if (!query++)
		return true;
	rest = (struct thr_slice){query, (size_t)(target.at + target.length - query)};
	if (rest.length < sizeof(FROM) - 1 || memcmp(rest.at, FROM, sizeof(FROM) - 1) != 0)
		return false;
	*ret_field = "from";
	rest.at += sizeof(FROM) - 1;
	rest.length -= sizeof(FROM) - 1;
	*ret_from = thr_version_read(rest);
	return *ret_from;
}

/* Write the entries that fit. Returns how many of `count`, or -ENOMEM. What is no key is left
 * out: Redis may have it from others. */
static ssize_t put_entries(struct thr_writer *writer, const struct thr_quotas *quotas,
			   const struct thr_quota_place *place, size_t count)
{
	bool first = true;

	for (size_t i = 0; i < count; i++) {
		char bytes[THR_KEY_MAX];
		struct thr_quota quota;
		struct thr_slice key = thr_quotas_read(quotas, &place[i], bytes, &quota);
		const char *why;

		if (!thr_key_is_valid(key, &why))
			continue;
		if (!thr_writer_has(writer, THR_QUOTA_ITEM + 1))
			return (ssize_t)i;
		if (!first)
			THR_PUT(writer, ",");
		if (!thr_quota_put(writer, key, &quota))
			return -ENOMEM;
		first = false;
	}
	return (ssize_t)count;
}

/* Write the page from `from` on to api->body. Returns its length, or -ENOMEM. */
static ssize_t put_page(struct thr_api *api, const struct thr_quotas *quotas, uint64_t from)
{
	struct thr_quota_place place[PAGE_MAX + 1]; /* the last one begins the next page */
	size_t count = thr_quotas_list(quotas, from, PAGE_MAX + 1, place);
	struct thr_writer writer = {.at = api->body, .end = api->body + ANSWER_MAX - END_MAX};
	ssize_t put;

	THR_PUT(&writer, "{\"configs\":[");
	put = put_entries(&writer, quotas, place, count < PAGE_MAX ? count : PAGE_MAX);
	if (put < 0)
		return put;
	THR_PUT(&writer, "],\"next\":");
	if ((size_t)put < count) {
		THR_PUT(&writer, "\"/config?" FROM);
		thr_put_decimal(&writer, place[put].version);
		THR_PUT(&writer, "\"}\n");
	} else {
		THR_PUT(&writer, "null}\n");
	}
	return writer.at - api->body;
}

void config_list(struct client *client, const struct thr_http_request *request)
{
	struct thr_api *api = client->api;
	const struct thr_quotas *quotas = thr_store_quotas(api->parts.store);
	struct answer answer = {.status = 200, .type = "application/json", .body = {api->body, 0}};
	const char *field;
	ssize_t length;
	uint64_t from;

	body_skip(client, request);
	if (!read_query(request->path, &from, &field)) {
		answer_problem(client, PROBLEM_QUERY,
			       "The one query is ?from= with the number that \"next\" of the page "
			       "before has: begin with /config.",
			       field);
		return;
	}
	if (!quotas) {
		answer_problem(client, PROBLEM_STORE,
			       "Redis was not read yet, so what is set in it is not known here.",
			       NULL);
		return;
	}
	length = put_page(api, quotas, from);
	answer.body.length = length > 0 ? (size_t)length : 0;
	if (length < 0)
		answer_problem(client, PROBLEM_BUSY, "Out of memory.", NULL);
	else if (answer.body.length > SMALL_BODY && !body_grow(client))
		body_refuse_large(client);
	else
		answer_send(client, &answer);
}
