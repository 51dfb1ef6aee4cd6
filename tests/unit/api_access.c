/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who may ask the API and how often; and what it reports of itself. */
#include "unit/api_server.h"

/* SHA-256 of "letmein". */
static const uint8_t digest[THR_TOKEN_DIGEST] = {
	0x1c, 0x8b, 0xfe, 0x8f, 0x80, 0x1d, 0x79, 0x74, 0x5c, 0x46, 0x31,
	0xd0, 0x9f, 0xff, 0x36, 0xc8, 0x2a, 0xa3, 0x7f, 0xc4, 0xcc, 0xe4,
	0xfc, 0x94, 0x66, 0x83, 0xd7, 0xb3, 0x36, 0xb6, 0x30, 0x32,
};

static void assert_get(struct server *server, const char *path, const char *fields,
		       unsigned int status, const char *part)
{
	char request[8192];

	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n", path, fields);
	assert_ask(server, request, status, part);
}

static void the_token_is_asked_for(void **state)
{
	struct server *server = *state;
	struct reply *reply;

	server_configure(server, digest);
	reply = ask(server, GET("/metrics"));
	assert_reply(reply, 401, "urn:xdp-throttle:problem:unauthorized");
	assert_field(reply, "WWW-Authenticate", "Bearer realm=\"xdp-throttle\"");
	free(reply);
	assert_get(server, "/ready", "Authorization: Bearer letmein\r\n", 200, "ready");
	assert_get(server, "/ready", "authorization: BEARER  letmein\r\n", 200, "ready");
	assert_get(server, "/ready", "Authorization: Bearer letmeiN\r\n", 401, "");
	assert_get(server, "/ready", "Authorization: Bearer letmein2\r\n", 401, "");
	assert_get(server, "/ready", "Authorization: Bearer\r\n", 401, "");
	assert_get(server, "/ready", "Authorization: Basic letmein\r\n", 401, "");
	assert_get(server, "/nothing", "", 401, "");
	assert_get(server, "/config/a", "", 401, "");
	assert_ask(server, "OPTIONS /check HTTP/1.1\r\nHost: a\r\n\r\n", 401, "");
	assert_ask_json(server, "POST /check", "{\"key\":\"a\"}", 401, "");
	assert_int_equal(server->counts.unauthorized, 9);
	assert_int_equal(server->store_counts.allowed, 0);
}

/* RFC 6750, 3. */
static void who_shows_a_wrong_token_is_told_so(void **state)
{
	static const char wrong[] = "Bearer realm=\"xdp-throttle\", error=\"invalid_token\"";
	struct server *server = *state;
	struct reply *reply;

	server_configure(server, digest);
	reply = ask(server, "GET /ready HTTP/1.1\r\nHost: a\r\n"
			    "Authorization: Bearer letmeout\r\n\r\n");
	assert_reply(reply, 401, "is not that of api.token_file");
	assert_field(reply, "WWW-Authenticate", wrong);
	free(reply);
	reply = ask(server, "GET /ready HTTP/1.1\r\nHost: a\r\n"
			    "Authorization: Basic bGV0bWVpbg==\r\n\r\n");
	assert_reply(reply, 401, "Write Authorization: Bearer");
	assert_field(reply, "WWW-Authenticate", "Bearer realm=\"xdp-throttle\"");
	free(reply);
}

static void health_is_open_to_everybody(void **state)
{
	struct server *server = *state;

	server_configure(server, digest);
	assert_get(server, "/health", "", 200, "{\"status\":\"ok\",\"version\":\"");
	assert_get(server, "/health", "Authorization: Bearer wrong\r\n", 200, "ok");
}

static void two_tokens_are_refused(void **state)
{
	struct server *server = *state;

	server_configure(server, digest);
	assert_get(server, "/ready",
		   "Authorization: Bearer letmein\r\nAuthorization: Bearer letmein\r\n", 400,
		   "malformed-request");
}

static void a_new_configuration_has_its_own_token(void **state)
{
	struct server *server = *state;
	uint8_t other[THR_TOKEN_DIGEST] = {1};

	server_configure(server, other);
	assert_get(server, "/ready", "Authorization: Bearer letmein\r\n", 401, "");
	server_configure(server, digest);
	assert_get(server, "/ready", "Authorization: Bearer letmein\r\n", 200, "");
	server_configure(server, NULL);
	assert_get(server, "/ready", "", 200, "");
}

static void a_peer_is_limited_before_its_token_is_looked_at(void **state)
{
	struct server *server = *state;
	struct reply *reply;

	server->config.api.rate_limit = (struct thr_rate){.count = 1, .per_s = 3600, .burst = 2};
	server_configure(server, digest);
	assert_get(server, "/ready", "", 401, "");
	assert_get(server, "/ready", "Authorization: Bearer letmein\r\n", 200, "");
	reply = ask(server,
		    "GET /ready HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer letmein\r\n\r\n");
	assert_reply(reply, 429, "urn:xdp-throttle:problem:api-rate-limit");
	assert_field(reply, "Retry-After", "3600");
	assert_field(reply, "RateLimit-Policy", "\"api\";q=2;w=7200");
	assert_field(reply, "Content-Type", "application/problem+json");
	free(reply);
	assert_get(server, "/ready", "", 429, "");
	assert_get(server, "/health", "", 200, "");
	assert_int_equal(server->counts.limited, 2);
	assert_int_equal(server->counts.unauthorized, 1);
}

static void a_unix_socket_is_served_too(void **state)
{
	struct server *server = *state;

	server_listen(server, AF_UNIX);
	server->config.api.rate_limit = (struct thr_rate){.count = 1, .per_s = 3600, .burst = 2};
	server_configure(server, NULL);
	assert_get(server, "/ready", "", 200, "ready");
	assert_ask_json(server, "POST /check", "{\"key\":\"a\"}", 200, "\"remaining\":2");
	assert_get(server, "/ready", "", 429, "");
}

static void a_client_of_a_unix_socket_may_go_with_its_answer(void **state)
{
	struct server *server = *state;
	int fd;

	server_listen(server, AF_UNIX);
	fd = client_connect(server);
	client_put(server, fd, GET("/health"), strlen(GET("/health")));
	close(fd);
	for (int turns = 0; !server->counts.responses[2] || thr_api_busy(server->api); turns++) {
		assert_true(turns < TURNS_MAX);
		server_turn(server);
	}
}

/* --- reports --- */

static void metrics_are_text_or_open_metrics(void **state)
{
	struct server *server = *state;
	struct reply *reply = ask(server, GET("/metrics"));

	assert_reply(reply, 200, "# TYPE xdp_throttle_checks_total counter\n");
	assert_field(reply, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
	assert_field(reply, "Cache-Control", "");
	assert_field(reply, "Vary", "Accept");
	assert_null(strstr(reply->body, "# EOF"));
	free(reply);
	reply = ask(server, "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: "
			    "application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n\r\n");
	assert_reply(reply, 200, "# TYPE xdp_throttle_checks counter\n");
	assert_field(reply, "Content-Type",
		     "application/openmetrics-text; version=1.0.0; charset=utf-8");
	assert_string_equal(reply->body + reply->body_length - 6, "# EOF\n");
	free(reply);
}

static void metrics_count_what_happened(void **state)
{
	static const char *const lines[] = {
		"xdp_throttle_api_requests_total{call=\"check\"} 4\n",
		"xdp_throttle_api_requests_total{call=\"health\"} 1\n",
		"xdp_throttle_api_requests_total{call=\"metrics\"} 1\n",
		"xdp_throttle_api_requests_total{call=\"other\"} 1\n",
		"xdp_throttle_api_responses_total{status=\"2xx\"} 3\n",
		"xdp_throttle_api_responses_total{status=\"4xx\"} 3\n",
		"xdp_throttle_api_responses_total{status=\"5xx\"} 0\n",
		"xdp_throttle_api_connections_accepted_total 7\n",
		"xdp_throttle_api_connections 1\n",
		"xdp_throttle_api_unauthorized_total 0\n",
		"xdp_throttle_api_rate_limited_total 0\n",
		"xdp_throttle_checks_total{verdict=\"allowed\"} 1\n",
		"xdp_throttle_checks_total{verdict=\"denied\"} 1\n",
		"xdp_throttle_checks_total{verdict=\"peeked\"} 1\n",
		"xdp_throttle_check_duration_seconds_count 3\n",
	};
	struct server *server = *state;
	struct reply *reply;

	assert_ask_json(server, "POST /check", "{\"key\":\"a\",\"cost\":3}", 200, "");
	assert_ask_json(server, "POST /check", "{\"key\":\"a\",\"cost\":1}", 429, "");
	assert_ask_json(server, "POST /check", "{\"key\":\"b\",\"cost\":0}", 200, "");
	assert_ask_json(server, "POST /check", "{", 400, "");
	assert_get(server, "/health", "", 200, "");
	assert_get(server, "/", "", 404, "");
	for (int turns = 0; thr_api_busy(server->api); turns++) {
		assert_true(turns < TURNS_MAX);
		server_turn(server);
	}
	reply = ask(server, GET("/metrics"));
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		assert_reply(reply, 200, lines[i]);
	free(reply);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		SERVER_TEST(the_token_is_asked_for),
		SERVER_TEST(who_shows_a_wrong_token_is_told_so),
		SERVER_TEST(health_is_open_to_everybody),
		SERVER_TEST(two_tokens_are_refused),
		SERVER_TEST(a_new_configuration_has_its_own_token),
		SERVER_TEST(a_peer_is_limited_before_its_token_is_looked_at),
		SERVER_TEST(a_unix_socket_is_served_too),
		SERVER_TEST(a_client_of_a_unix_socket_may_go_with_its_answer),
		SERVER_TEST(metrics_are_text_or_open_metrics),
		SERVER_TEST(metrics_count_what_happened),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
