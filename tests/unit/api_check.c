/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* POST /check as a client sees it: verdicts, numbers, fields, batches, what is refused. */
#include "http/date.h"
#include "unit/api_server.h"

static void a_check_takes_a_token_and_says_what_is_left(void **state)
{
	struct server *server = *state;
	struct reply *reply = ask_json(server, "POST /check", "{\"key\":\"user:42\",\"cost\":1}");

	assert_reply(reply, 200,
		     "{\"allowed\":true,\"limit\":3,\"remaining\":2,\"reset_after_ms\":");
	assert_non_null(strstr(reply->body, ",\"retry_after_ms\":0,\"degraded\":false}\n"));
	assert_field(reply, "Content-Type", "application/json");
	assert_field(reply, "Cache-Control", "no-store");
	assert_field(reply, "RateLimit-Policy", "\"default\";q=3;w=10800");
	assert_field(reply, "Retry-After", "");
	assert_int_equal(reply_field(reply, "Date").length, THR_HTTP_DATE_TEXT - 1);
	assert_true(reply->keep_alive);
	free(reply);
	assert_int_equal(server->counts.checks[THR_API_ALLOWED], 1);
	assert_int_equal(server->counts.requests[THR_API_CHECK], 1);
	assert_int_equal(server->counts.responses[2], 1);
}

static void a_check_over_the_limit_is_429_and_says_when_to_come_back(void **state)
{
	struct server *server = *state;
	struct reply *reply;

	assert_ask_json(server, "POST /check", "{\"key\":\"a\",\"cost\":3}", 200,
			"\"remaining\":0");
	reply = ask_json(server, "POST /check", "{\"key\":\"a\"}");
	assert_reply(reply, 429, "{\"allowed\":false,\"limit\":3,\"remaining\":0,");
	assert_field(reply, "Content-Type", "application/json");
	assert_field(reply, "Retry-After", "3600");
	assert_null(strstr(reply->body, "\"retry_after_ms\":0"));
	free(reply);
	/* Another key has a bucket of its own. */
	assert_ask_json(server, "POST /check", "{\"key\":\"b\"}", 200, "\"remaining\":2");
	assert_int_equal(server->counts.checks[THR_API_DENIED], 1);
}

static void a_cost_of_0_peeks(void **state)
{
	struct server *server = *state;

	assert_ask_json(server, "POST /check", "{\"key\":\"a\",\"cost\":0}", 200,
			"\"remaining\":3");
	assert_ask_json(server, "POST /check", "{\"cost\":0,\"key\":\"a\"}", 200,
			"\"remaining\":3");
	assert_int_equal(server->counts.checks[THR_API_PEEKED], 2);
	assert_int_equal(server->counts.checks[THR_API_ALLOWED], 0);
}

static void a_cost_over_the_capacity_is_never_satisfiable(void **state)
{
	struct server *server = *state;

	assert_ask_json(server, "POST /check", "{\"key\":\"a\",\"cost\":4}", 422,
			"urn:xdp-throttle:problem:cost-exceeds-capacity");
	assert_ask_json(server, "POST /check", "{\"key\":\"a\",\"cost\":4}", 422,
			"\"field\":\"cost\"");
	assert_ask_json(server, "POST /check", "{\"key\":\"a\",\"cost\":1}", 200,
			"\"remaining\":2");
}

static void a_batch_is_answered_in_its_order(void **state)
{
	struct server *server = *state;
	struct reply *reply = ask_json(server, "POST /check",
				       "{\"checks\":[{\"key\":\"a\",\"cost\":2},{\"key\":\"b\"},"
				       "{\"key\":\"a\",\"cost\":2}]}");
	const char *a, *b, *again;

	assert_reply(reply, 200, "{\"results\":[{\"allowed\":true,\"limit\":3,\"remaining\":1,");
	a = strstr(reply->body, "\"remaining\":1");
	b = strstr(a, "\"remaining\":2");
	assert_non_null(b);
	again = strstr(b, "{\"allowed\":false,\"limit\":3,\"remaining\":1");
	assert_non_null(again);
	assert_field(reply, "RateLimit", "");
	free(reply);
	assert_int_equal(server->counts.checks[THR_API_ALLOWED], 2);
	assert_int_equal(server->counts.checks[THR_API_DENIED], 1);
}

static void a_batch_with_an_impossible_check_takes_nothing(void **state)
{
	struct server *server = *state;

	assert_ask_json(server, "POST /check",
			"{\"checks\":[{\"key\":\"a\"},{\"key\":\"b\",\"cost\":4}]}", 422,
			"\"field\":\"checks[1].cost\"");
	assert_ask_json(server, "POST /check", "{\"key\":\"a\",\"cost\":0}", 200,
			"\"remaining\":3");
}

/* `count` checks of `key_bytes` bytes of key each. */
static char *make_batch(size_t count, size_t key_bytes)
{
	char *text = malloc(count * (key_bytes + 16) + 32), *at = text;

	assert_non_null(text);
	at += sprintf(at, "{\"checks\":[");
	for (size_t i = 0; i < count; i++) {
		at += sprintf(at, "%s{\"key\":\"", i ? "," : "");
		memset(at, 'k', key_bytes);
		sprintf(at + key_bytes - 8, "%08zu", i);
		at += key_bytes;
		at += sprintf(at, "\"}");
	}
	sprintf(at, "]}");
	return text;
}

static void the_largest_batch_is_answered(void **state)
{
	struct server *server = *state;
	char *body = make_batch(1000, 256);
	struct reply *reply = ask_json(server, "POST /check", body);
	size_t results = 0;

	assert_int_equal(reply->status, 200);
	for (const char *at = reply->body; (at = strstr(at, "\"allowed\":true")); at++)
		results++;
	assert_int_equal(results, 1000);
	free(reply);
	free(body);
	body = make_batch(1001, 8);
	assert_ask_json(server, "POST /check", body, 400, "more than 1000");
	free(body);
}

static void a_body_that_is_not_a_check_is_400_with_its_field(void **state)
{
	static const struct {
		const char *body, *part;
	} cases[] = {
		{"", "not a JSON object"},
		{"[]", "not a JSON object"},
		{"{\"key\":1}", "\"field\":\"key\""},
		{"{\"cost\":1}", "\"field\":\"key\""},
		{"{\"key\":\"a\",\"cost\":1.0}", "\"field\":\"cost\""},
		{"{\"key\":\"a\",\"cost\":-1}", "\"field\":\"cost\""},
		{"{\"key\":\"a\",\"kost\":1}", "did you mean 'cost'?"},
		{"{\"key\":\"a\",\"key\":\"a\"}", "twice"},
		{"{\"checks\":[{\"key\":\"a\"},{\"key\":\"\"}]}", "\"field\":\"checks[1].key\""},
		{"{\"checks\":[]}", "\"field\":\"checks\""},
		{"{\"checks\":[{\"key\":\"a\"}],\"cost\":1}", "\"field\":\"checks\""},
	};
	struct server *server = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_ask_json(server, "POST /check", cases[i].body, 400, cases[i].part);
		assert_ask_json(server, "POST /check", cases[i].body, 400,
				"\"type\":\"urn:xdp-throttle:problem:invalid-body\"");
	}
}

static void only_json_that_is_not_encoded_is_taken(void **state)
{
	static const struct {
		const char *field;
		unsigned int status;
	} cases[] = {
		{"X: y", 200},
		{"Content-Type: application/json", 200},
		{"content-type: Application/JSON ; charset=utf-8", 200},
		{"Content-Encoding: identity", 200},
		{"Content-Type: text/plain", 415},
		{"Content-Type: application/json-patch+json", 415},
		{"Content-Type:", 415},
		{"Content-Encoding: gzip", 415},
	};
	struct server *server = *state;
	char request[256];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(request, sizeof(request),
			 "POST /check HTTP/1.1\r\nHost: a\r\n%s\r\nContent-Length: 20\r\n\r\n"
			 "{\"key\":\"a\",\"cost\":0}",
			 cases[i].field);
		assert_ask(server, request, cases[i].status, "");
	}
}

static void a_key_s_own_config_is_used_and_named(void **state)
{
	struct server *server = *state;
	struct reply *reply;

	assert_ask_json(server, "PUT /config/vip", "{\"capacity\":10,\"refill_per_second\":0.5}",
			201, "ETag: \"1\"");
	reply = ask_json(server, "POST /check", "{\"key\":\"vip\",\"cost\":4}");
	assert_reply(reply, 200, "\"limit\":10,\"remaining\":6");
	assert_field(reply, "RateLimit-Policy", "\"key\";q=10;w=20");
	free(reply);
	assert_ask_json(server, "PUT /config/default", "{\"capacity\":7,\"refill_per_second\":1}",
			201, "ETag: \"2\"");
	assert_ask_json(server, "POST /check", "{\"key\":\"other\"}", 200,
			"\"limit\":7,\"remaining\":6");
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		SERVER_TEST(a_check_takes_a_token_and_says_what_is_left),
		SERVER_TEST(a_check_over_the_limit_is_429_and_says_when_to_come_back),
		SERVER_TEST(a_cost_of_0_peeks),
		SERVER_TEST(a_cost_over_the_capacity_is_never_satisfiable),
		SERVER_TEST(a_batch_is_answered_in_its_order),
		SERVER_TEST(a_batch_with_an_impossible_check_takes_nothing),
		SERVER_TEST(the_largest_batch_is_answered),
		SERVER_TEST(a_body_that_is_not_a_check_is_400_with_its_field),
		SERVER_TEST(only_json_that_is_not_encoded_is_taken),
		SERVER_TEST(a_key_s_own_config_is_used_and_named),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
