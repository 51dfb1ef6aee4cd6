/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Bodies of requests. One of a known length stays where it is read until it is complete;
 * chunks are decoded into a buffer of the connection.
 *
 * Few bodies are large, and those that are come in one read after the other: what they take
 * up is bounded by their number (LARGE_MAX), not by the number of connections. So it is with
 * large answers, which clients may be slow to take.
 */
#include "api/internal.h"

/* A refused request's body up to this is read and dropped, so that the connection can stay; one
 * that is larger, or of unknown length, costs the connection. */
#define DISCARD_MAX 65536

/* Where the next request begins is not known any more. */
static void refuse(struct client *client, enum problem problem, const char *detail)
{
	client->linger = true;
	client->call.keep_alive = false;
	answer_problem(client, problem, detail, NULL);
}

static void refuse_size(struct client *client)
{
	refuse(client, PROBLEM_TOO_LARGE,
	       client->call.most > SMALL_BODY ? "The body is larger than 1 MiB."
					      : "The body is larger than 64 KiB.");
}

static void refuse_framing(struct client *client)
{
	refuse(client, PROBLEM_MALFORMED, "The body is not well-formed chunks.");
}

static void refuse_large(struct client *client)
{
	client->linger = true;
	client->call.keep_alive = false;
	body_refuse_large(client);
}

void body_refuse_large(struct client *client)
{
	answer_problem_with(client, PROBLEM_BUSY,
			    "Too many large requests are in work: try again, or with less at once.",
			    THR_SLICE("Retry-After: 1\r\n"));
}

bool body_grow(struct client *client)
{
	if (client->call.is_large)
		return true;
	if (client->api->large >= LARGE_MAX)
		return false;
	client->api->large++;
	client->call.is_large = true;
	return true;
}

void body_clear(struct client *client)
{
	if (client->call.is_large)
		client->api->large--;
	client->call.is_large = false;
	thr_buffer_clear(&client->body);
}

void body_skip(struct client *client, const struct thr_http_request *request)
{
	if (request->body == THR_BODY_NONE)
		return;
	if (request->body == THR_BODY_LENGTH && !request->expect_continue &&
	    request->content_length <= DISCARD_MAX) {
		client->discard = request->content_length;
		return;
	}
	client->call.keep_alive = false;
	client->linger = true;
}

void body_begin(struct client *client, const struct thr_http_request *request, size_t most)
{
	struct call *call = &client->call;

	call->body = request->body;
	call->length = request->content_length;
	call->most = most;
	client->state = CLIENT_BODY;
	if (call->length > most)
		refuse_size(client);
	else if (request->body == THR_BODY_NONE)
		call_body(client, NULL, 0);
	else if (request->expect_continue)
		client_send(client, THR_SLICE("HTTP/1.1 100 Continue\r\n\r\n"), THR_SLICE(""));
}

static size_t take_length(struct client *client, char *at, size_t length)
{
	size_t used = (size_t)client->call.length;

	if (length < used) {
		if (used > SMALL_BODY && !body_grow(client))
			refuse_large(client);
		return client->state == CLIENT_BODY ? 0 : length;
	}
	call_body(client, at, used);
	return used;
}

/* The trailer section says nothing to us, but has to be one. */
static size_t take_trailers(struct client *client, const char *at, size_t length)
{
	struct thr_http_field fields[THR_HTTP_FIELDS_MAX];
	struct thr_buffer body;
	size_t count;
	int used =
		thr_http_parse_trailers(at, length, &client->api->settings.limits, fields, &count);

	if (used < 0)
		refuse_framing(client);
	if (used <= 0)
		return used < 0 ? length : 0;
	/* Taken over: an answer clears the connection's. */
	body = client->body;
	client->body = (struct thr_buffer){0};
	call_body(client, body.at ? thr_buffer_bytes(&body) : NULL, thr_buffer_length(&body));
	thr_buffer_clear(&body);
	return (size_t)used;
}

static size_t take_chunks(struct client *client, char *at, size_t length)
{
	struct call *call = &client->call;
	struct thr_http_decoded decoded = {0};
	size_t held = thr_buffer_length(&client->body);
	int r;

	if (call->in_trailers)
		return take_trailers(client, at, length);
	r = thr_http_chunks_decode(&call->chunks, at, length, &decoded);
	if (r < 0)
		refuse_framing(client);
	else if (decoded.produced > call->most - held)
		refuse_size(client);
	else if (held + decoded.produced > SMALL_BODY && !body_grow(client))
		refuse_large(client);
	else if (thr_buffer_append(&client->body, at, decoded.produced) < 0)
		client_close(client);
	if (client->state != CLIENT_BODY)
		return length;
	if (r == 0)
		return decoded.consumed;
	call->in_trailers = true;
	return decoded.consumed +
	       take_trailers(client, at + decoded.consumed, length - decoded.consumed);
}

size_t body_take(struct client *client, char *at, size_t length)
{
	if (client->call.body == THR_BODY_LENGTH)
		return take_length(client, at, length);
	return take_chunks(client, at, length);
}
