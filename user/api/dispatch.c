/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a head to the call that it asks for, or to what is wrong with it:
 *
 *   limit of the peer -> token -> path -> query -> method -> condition, content -> call
 *
 * The query of /config is looked at by the call, which alone has one.
 *
 * /health alone is open to everybody and never limited: who watches a process must not be
 * told that it is dead because somebody else asks too much.
 */
#include <stdio.h>

#include "api/internal.h"

#define CHALLENGE "WWW-Authenticate: Bearer realm=\"xdp-throttle\""

enum path {
	PATH_CHECK,
	PATH_CONFIG,
	PATH_CONFIGS,
	PATH_HEALTH,
	PATH_READY,
	PATH_METRICS,
	PATH_NONE
};

#define METHOD(name) (1U << THR_METHOD_##name)
#define READ_ONLY (METHOD(GET) | METHOD(HEAD) | METHOD(OPTIONS))

static const struct {
	enum thr_api_call call;
	unsigned int methods;
	const char *allow;
} paths[] = {
	[PATH_CHECK] = {THR_API_CHECK, METHOD(POST) | METHOD(OPTIONS), "Allow: POST, OPTIONS\r\n"},
	[PATH_CONFIG] = {THR_API_CONFIG, READ_ONLY | METHOD(PUT) | METHOD(DELETE),
			 "Allow: GET, HEAD, PUT, DELETE, OPTIONS\r\n"},
	[PATH_CONFIGS] = {THR_API_CONFIG, READ_ONLY, "Allow: GET, HEAD, OPTIONS\r\n"},
	[PATH_HEALTH] = {THR_API_HEALTH, READ_ONLY, "Allow: GET, HEAD, OPTIONS\r\n"},
	[PATH_READY] = {THR_API_HEALTH, READ_ONLY, "Allow: GET, HEAD, OPTIONS\r\n"},
	[PATH_METRICS] = {THR_API_METRICS, READ_ONLY, "Allow: GET, HEAD, OPTIONS\r\n"},
	[PATH_NONE] = {THR_API_OTHER, 0, ""},
};

static const struct thr_slice config_prefix = {"/config/", sizeof("/config/") - 1};

/* What the fields of a request say to the API. */
struct facts {
	size_t authorizations;
	struct thr_slice authorization;
	bool is_other_type; /* the content is said to be something else than JSON */
	bool is_coded;
	bool is_bad_condition;
	struct thr_condition condition;
	struct thr_accept accept;
};

/* A path without its query; everything but a key is compared as it was sent. */
static enum path find_path(struct thr_slice path)
{
	if (thr_slice_is(path, "/check"))
		return PATH_CHECK;
	if (path.length >= config_prefix.length &&
	    memcmp(path.at, config_prefix.at, config_prefix.length) == 0)
		return memchr(path.at + config_prefix.length, '/',
			      path.length - config_prefix.length)
			       ? PATH_NONE
			       : PATH_CONFIG;
	if (thr_slice_is(path, "/config"))
		return PATH_CONFIGS;
	if (thr_slice_is(path, "/health"))
		return PATH_HEALTH;
	if (thr_slice_is(path, "/ready"))
		return PATH_READY;
	if (thr_slice_is(path, "/metrics"))
		return PATH_METRICS;
	return PATH_NONE;
}

/* The names are told apart by their length first: most fields are none of these. */
static void read_field(const struct thr_http_field *field, struct facts *facts)
{
	struct thr_slice name = field->name, value = field->value;

	switch (name.length) {
	case sizeof("Accept") - 1:
		if (thr_slice_is_word(name, "Accept"))
			thr_accept_add(&facts->accept, value);
		break;
	case sizeof("If-Match") - 1:
		if (thr_slice_is_word(name, "If-Match") &&
		    thr_condition_add(&facts->condition, THR_IF_MATCH, value) < 0)
			facts->is_bad_condition = true;
		break;
	case sizeof("Content-Type") - 1:
		if (thr_slice_is_word(name, "Content-Type") && !thr_is_json(value))
			facts->is_other_type = true;
		break;
	case sizeof("Authorization") - 1: /* and If-None-Match */
		if (thr_slice_is_word(name, "Authorization")) {
			facts->authorizations++;
			facts->authorization = value;
		} else if (thr_slice_is_word(name, "If-None-Match") &&
			   thr_condition_add(&facts->condition, THR_IF_NONE_MATCH, value) < 0) {
			facts->is_bad_condition = true;
		}
		break;
	case sizeof("Content-Encoding") - 1:
		if (thr_slice_is_word(name, "Content-Encoding") &&
		    !thr_slice_is_word(value, "identity"))
			facts->is_coded = true;
		break;
	default:
		break;
	}
}

/* Answer a request whose body was not looked at. */
static void refuse(struct client *client, const struct thr_http_request *request,
		   enum problem problem, const char *detail)
{
	body_skip(client, request);
	answer_problem(client, problem, detail, NULL);
}

/* RFC 6750, 3: an error is named only to who has shown a token. */
static void refuse_stranger(struct client *client, const struct thr_http_request *request,
			    bool has_token)
{
	client->api->parts.counts->unauthorized++;
	event_refused(client, has_token ? REFUSED_WRONG_TOKEN : REFUSED_NO_TOKEN);
	body_skip(client, request);
	if (has_token)
		answer_problem_with(client, PROBLEM_UNAUTHORIZED,
				    "The token is not that of api.token_file.",
				    THR_SLICE(CHALLENGE ", error=\"invalid_token\"\r\n"));
	else
		answer_problem_with(client, PROBLEM_UNAUTHORIZED,
				    "Write Authorization: Bearer and the token of api.token_file.",
				    THR_SLICE(CHALLENGE "\r\n"));
}

/* Whether the peer may ask at all; else it is answered. */
static bool admit(struct client *client, const struct thr_http_request *request,
		  const struct facts *facts)
{
	struct thr_api *api = client->api;
	struct thr_slice token = thr_bearer_token(facts->authorization);
	struct thr_standing standing;

	if (!access_charge(client, &standing)) {
		char fields[THR_LIMIT_FIELDS_MAX];
		size_t length = thr_http_limit_fields("api", &standing, fields);

		api->parts.counts->limited++;
		event_refused(client, REFUSED_RATE);
		body_skip(client, request);
		answer_problem_with(
			client, PROBLEM_RATE,
			"More requests than api.rate_limit allows this peer: wait as long "
			"as Retry-After says.",
			(struct thr_slice){fields, length});
		return false;
	}
	if (facts->authorizations > 1) {
		refuse(client, request, PROBLEM_MALFORMED,
		       "There is more than one Authorization field.");
		return false;
	}
	if (!access_has_token(api, token)) {
		refuse_stranger(client, request, token.length > 0);
		return false;
	}
	return true;
}

/* A method that the path does not have, or OPTIONS. */
static void answer_allowed(struct client *client, const struct thr_http_request *request,
			   enum path path)
{
	static const size_t name = sizeof("Allow: ") - 1, end = sizeof("\r\n") - 1;
	struct thr_slice allow = thr_text(paths[path].allow);
	char detail[96];
	struct answer answer = {.status = 204, .fields = allow};

	body_skip(client, request);
	if (request->method_id == THR_METHOD_OPTIONS) {
		answer_send(client, &answer);
		return;
	}
	snprintf(detail, sizeof(detail), "This path takes %.*s.", (int)(allow.length - name - end),
		 allow.at + name);
	answer_problem_with(client, PROBLEM_METHOD, detail, allow);
}

/* Whether a body can be what the call takes; else it is answered. */
static bool takes_content(struct client *client, const struct thr_http_request *request,
			  const struct facts *facts)
{
	if (!facts->is_other_type && !facts->is_coded)
		return true;
	refuse(client, request, PROBLEM_MEDIA,
	       facts->is_coded ? "The content is encoded: send it as it is."
			       : "Write Content-Type: application/json.");
	return false;
}

static void begin_config(struct client *client, const struct thr_http_request *request,
			 const struct facts *facts, struct thr_slice path)
{
	struct thr_slice segment = {path.at + config_prefix.length,
				    path.length - config_prefix.length};

	if (facts->is_bad_condition)
		refuse(client, request, PROBLEM_CONDITION,
		       "Write either If-Match or If-None-Match, with \"*\" or up to 8 entity tags "
		       "such as \"42\".");
	else if (request->method_id != THR_METHOD_PUT || takes_content(client, request, facts))
		config_begin(client, request, segment, &facts->condition);
}

static void begin(struct client *client, const struct thr_http_request *request,
		  const struct facts *facts, struct thr_slice path)
{
	enum path which = find_path(path);

	if (request->method_id == THR_METHOD_OPTIONS ||
	    !(paths[which].methods & 1U << request->method_id)) {
		answer_allowed(client, request, which);
		return;
	}
	switch (which) {
	case PATH_CHECK:
		if (takes_content(client, request, facts))
			body_begin(client, request, LARGE_BODY);
		return;
	case PATH_CONFIG:
		begin_config(client, request, facts, path);
		return;
	case PATH_CONFIGS:
		config_list(client, request);
		return;
	case PATH_HEALTH:
		body_skip(client, request);
		report_health(client);
		return;
	case PATH_READY:
		body_skip(client, request);
		report_ready(client);
		return;
	case PATH_METRICS:
		body_skip(client, request);
		report_metrics(client);
		return;
	case PATH_NONE:
		break;
	}
}

void call_begin(struct client *client, const struct thr_http_request *request)
{
	struct thr_api *api = client->api;
	struct thr_slice path = request->path;
	const char *query = path.length ? memchr(path.at, '?', path.length) : NULL;
	struct facts facts = {0};
	enum path which;

	path.length = query ? (size_t)(query - path.at) : path.length;
	which = find_path(path);
	for (size_t i = 0; i < request->field_count; i++)
		if (request->field[i].id == THR_FIELD_OTHER)
			read_field(&request->field[i], &facts);
	client->call = (struct call){
		.kind = paths[which].call,
		.method = request->method_id,
		.minor = request->minor,
		.keep_alive = request->keep_alive,
		.open_metrics = thr_accept_prefers_open_metrics(&facts.accept),
		.begin_ns = thr_loop_now_ns(api->parts.loop),
	};
	api->parts.counts->requests[paths[which].call]++;
	if (which != PATH_HEALTH && !admit(client, request, &facts))
		return;
	if (which == PATH_NONE)
		refuse(client, request, PROBLEM_NO_PATH,
		       "There are /check, /config, /config/KEY, /health, /ready and /metrics; a "
		       "'/' in a key is written %2F.");
	else if (query && which != PATH_CONFIGS)
		refuse(client, request, PROBLEM_QUERY,
		       "This call takes no query: write the path without '?' and what follows; a "
		       "'?' in a key is written %3F.");
	else
		begin(client, request, &facts, path);
}

void call_body(struct client *client, char *at, size_t length)
{
	if (client->call.kind == THR_API_CHECK)
		check_begin(client, at, length);
	else
		config_body(client, at, length);
}

void call_forget(struct client *client)
{
	check_forget(client);
	config_forget(client);
	body_clear(client);
}
