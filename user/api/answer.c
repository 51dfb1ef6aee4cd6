/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Answers as bytes. A small one is written as a whole into the worker's memory and goes out
 * in one send().
 *
 * What went wrong is a problem (RFC 9457) whose type never changes its meaning, so that
 * programs can go by it; the detail is for people.
 */
#include "api/internal.h"
#include "http/write.h"

#define URN "urn:xdp-throttle:problem:"

static const struct {
	uint16_t status;
	const char *type;
	const char *title;
} problems[] = {
	[PROBLEM_MALFORMED] = {400, URN "malformed-request", "Not HTTP as it should be"},
	[PROBLEM_QUERY] = {400, URN "unexpected-query", "Not a query of this call"},
	[PROBLEM_KEY] = {400, URN "invalid-key", "Not a key"},
	[PROBLEM_BODY] = {400, URN "invalid-body", "Not the body of this call"},
	[PROBLEM_CONDITION] = {400, URN "invalid-condition", "Not a condition"},
	[PROBLEM_UNAUTHORIZED] = {401, URN "unauthorized", "The token is missing or wrong"},
	[PROBLEM_NO_PATH] = {404, URN "no-such-path", "No such path"},
	[PROBLEM_NO_CONFIG] = {404, URN "no-such-config", "Nothing is set for this key"},
	[PROBLEM_METHOD] = {405, URN "method-not-allowed", "Not a method of this path"},
	[PROBLEM_TIMEOUT] = {408, URN "request-timeout", "The request took too long"},
	[PROBLEM_PRECONDITION] = {412, URN "precondition-failed", "The condition does not hold"},
	[PROBLEM_TOO_LARGE] = {413, URN "body-too-large", "The body is too large"},
	[PROBLEM_TARGET] = {414, URN "target-too-long", "The request line is too long"},
	[PROBLEM_MEDIA] = {415, URN "unsupported-media-type",
			   "The content type is not that of JSON"},
	[PROBLEM_EXPECTATION] = {417, URN "expectation-failed", "Unknown expectation"},
	[PROBLEM_COST] = {422, URN "cost-exceeds-capacity", "The cost is over the capacity"},
	[PROBLEM_RATE] = {429, URN "api-rate-limit", "Too many requests to this API"},
	[PROBLEM_FIELDS] = {431, URN "fields-too-large", "The header fields are too large"},
	[PROBLEM_NOT_KNOWN] = {501, URN "not-implemented", "Not implemented"},
	[PROBLEM_STORE] = {503, URN "store-unavailable", "The store cannot do this now"},
	[PROBLEM_BUSY] = {503, URN "busy", "Too much at once"},
	[PROBLEM_VERSION] = {505, URN "version-not-supported", "Unknown version of HTTP"},
	[PROBLEM_FULL] = {507, URN "too-many-configs", "No room for a further key"},
};

void answer_send(struct client *client, const struct answer *answer)
{
	struct thr_api *api = client->api;
	const struct call *call = &client->call;
	struct thr_writer writer = {.at = api->head, .end = api->head + sizeof(api->head)};
	struct thr_slice reason = thr_text(thr_http_reason(answer->status)), body = answer->body;
	bool keep_alive = call->keep_alive && !api->draining;
	size_t length;

	thr_put_status_line(&writer, answer->status, reason);
	thr_put_date_field(&writer, api_date(api));
	if (answer->type)
		thr_put_field(&writer, THR_SLICE("Content-Type"), thr_text(answer->type));
	if (answer->type || answer->status == 201)
		thr_put_length_field(&writer, body.length);
	if (!answer->may_be_stored)
		thr_put_block(&writer, THR_SLICE("Cache-Control: no-store\r\n"));
	thr_put_block(&writer, answer->fields);
	thr_put_persistence(&writer, keep_alive, call->minor);
	thr_put_head_end(&writer);
	if (call->method == THR_METHOD_HEAD)
		body.length = 0;
	if (body.length <= (size_t)(writer.end - writer.at)) {
		thr_put_slice(&writer, body);
		body.length = 0;
	}
	length = (size_t)(writer.at - api->head);
	api->parts.counts->responses[answer->status / 100]++;
	client->linger = client->linger || call->keep_alive != keep_alive;
	client_send(client, (struct thr_slice){api->head, length}, body);
	client_next(client, keep_alive);
}

static void send_problem(struct client *client, const struct thr_problem *what,
			 struct thr_slice fields)
{
	char text[THR_PROBLEM_MAX];
	struct answer answer = {
		.status = what->status,
		.type = "application/problem+json",
		.body = {text, thr_http_problem(what, text)},
		.fields = fields,
	};

	answer_send(client, &answer);
}

static struct thr_problem describe(enum problem problem, const char *detail)
{
	return (struct thr_problem){
		.status = problems[problem].status,
		.type = problems[problem].type,
		.title = problems[problem].title,
		.detail = detail,
	};
}

void answer_problem(struct client *client, enum problem problem, const char *detail,
		    const char *field)
{
	struct thr_problem what = describe(problem, detail);

	what.field = field;
	send_problem(client, &what, THR_SLICE(""));
}

void answer_problem_with(struct client *client, enum problem problem, const char *detail,
			 struct thr_slice fields)
{
	struct thr_problem what = describe(problem, detail);

	send_problem(client, &what, fields);
}

static const char *malformed_text(enum problem problem)
{
	switch (problem) {
	case PROBLEM_TIMEOUT:
		return "The request did not come in time.";
	case PROBLEM_TARGET:
		return "The request line is longer than this server takes.";
	case PROBLEM_EXPECTATION:
		return "Only Expect: 100-continue is supported.";
	case PROBLEM_FIELDS:
		return "The header fields are larger or more than this server takes.";
	case PROBLEM_NOT_KNOWN:
		return "This server knows neither this method nor this coding.";
	case PROBLEM_VERSION:
		return "Only HTTP/1.0 and HTTP/1.1 are supported.";
	default:
		return "The request is not well-formed HTTP/1.1.";
	}
}

void answer_malformed(struct client *client, unsigned int status)
{
	enum problem problem = PROBLEM_MALFORMED;

	for (size_t i = 0; i < sizeof(problems) / sizeof(problems[0]); i++)
		if (problems[i].status == status && status != 400)
			problem = (enum problem)i;
	client->api->parts.counts->malformed++;
	client->linger = true;
	client->call.method = THR_METHOD_OTHER;
	client->call.minor = 1;
	client->call.keep_alive = false;
	answer_problem(client, problem, malformed_text(problem), NULL);
}
