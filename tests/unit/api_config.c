/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* /config/{key} as a client sees it: create, read, replace, delete, under conditions. */
#include "unit/api_server.h"

#define QUOTA "{\"capacity\":5,\"refill_per_second\":0.5}"

/* A request without a body, with a line of fields. */
static void assert_method(struct server *server, const char *line, const char *field,
			  unsigned int status, const char *part)
{
	char request[512];

	snprintf(request, sizeof(request), "%s HTTP/1.1\r\nHost: a\r\n%s%s\r\n", line, field,
		 *field ? "\r\n" : "");
	assert_ask(server, request, status, part);
}

static void assert_put(struct server *server, const char *field, unsigned int status,
		       const char *part)
{
	char request[512];

	snprintf(request, sizeof(request),
		 "PUT /config/a HTTP/1.1\r\nHost: a\r\n%s%sContent-Length: %zu\r\n\r\n" QUOTA,
		 field, *field ? "\r\n" : "", sizeof(QUOTA) - 1);
	assert_ask(server, request, status, part);
}

static void a_config_is_created_read_replaced_and_deleted(void **state)
{
	struct server *server = *state;
	struct reply *reply;

	assert_method(server, "GET /config/a", "", 404, "no-such-config");
	reply = ask_json(server, "PUT /config/a", QUOTA);
	assert_reply(reply, 201, "Content-Length: 0\r\n");
	assert_field(reply, "ETag", "\"1\"");
	free(reply);

	reply = ask(server, GET("/config/a"));
	assert_reply(reply, 200,
		     "{\"capacity\":5,\"refill_per_second\":0.5,\"on_error\":\"local\"}\n");
	assert_field(reply, "ETag", "\"1\"");
	assert_field(reply, "Content-Type", "application/json");
	free(reply);

	reply = ask_json(server, "PUT /config/a",
			 "{\"capacity\":6,\"refill_per_second\":1,\"on_error\":\"deny\"}");
	assert_reply(reply, 204, "");
	assert_field(reply, "ETag", "\"2\"");
	assert_field(reply, "Content-Length", "");
	free(reply);
	assert_ask(server, GET("/config/a"), 200,
		   "{\"capacity\":6,\"refill_per_second\":1,\"on_error\":\"deny\"}\n");

	assert_method(server, "DELETE /config/a", "", 204, "");
	assert_method(server, "DELETE /config/a", "", 404, "no-such-config");
	assert_method(server, "GET /config/a", "", 404, "no-such-config");
}

static void what_is_not_said_of_errors_is_the_configuration_s(void **state)
{
	struct server *server = *state;

	server->config.store.on_error = THR_ON_ERROR_DENY;
	server_configure(server, NULL);
	assert_put(server, "", 201, "");
	assert_ask(server, GET("/config/a"), 200, "\"on_error\":\"deny\"");
}

static void default_is_what_the_file_says_until_it_is_set(void **state)
{
	struct server *server = *state;
	struct reply *reply = ask(server, GET("/config/default"));

	assert_reply(reply, 200, "{\"capacity\":3,\"refill_per_second\":0.00027");
	assert_field(reply, "ETag", "");
	free(reply);
	assert_ask_json(server, "PUT /config/default", QUOTA, 201, "ETag: \"1\"");
	assert_ask(server, GET("/config/default"), 200, "{\"capacity\":5,");
	assert_method(server, "DELETE /config/default", "", 204, "");
	assert_ask(server, GET("/config/default"), 200, "{\"capacity\":3,");
	assert_method(server, "DELETE /config/default", "", 404, "no-such-config");
}

static void a_key_is_the_same_however_it_is_written(void **state)
{
	struct server *server = *state;

	assert_ask_json(server, "PUT /config/a%2Fb%20%C3%A9", QUOTA, 201, "");
	assert_ask(server, GET("/config/%61%2fb%20%c3%a9"), 200, "\"capacity\":5");
	assert_ask_json(server, "POST /check", "{\"key\":\"a/b \\u00e9\"}", 200, "\"limit\":5");
}

static void a_path_that_is_no_key_is_refused(void **state)
{
	struct server *server = *state;

	assert_ask(server, GET("/config/"), 400, "invalid-key");
	assert_ask(server, GET("/config/%ff"), 400, "\"field\":\"key\"");
	assert_ask(server, GET("/config/%00"), 400, "invalid-key");
	assert_ask(server, GET("/config/%4"), 400, "invalid-key");
	assert_ask(server, GET("/configs"), 404, "no-such-path");
	assert_ask(server, GET("/config/a/b"), 404, "%2F");
	assert_ask(server, GET("/config/a?b"), 400, "unexpected-query");
}

static void a_body_that_is_no_quota_is_400_with_its_field(void **state)
{
	struct server *server = *state;

	assert_ask_json(server, "PUT /config/a", "{\"capacity\":0,\"refill_per_second\":1}", 400,
			"\"field\":\"capacity\"");
	assert_ask_json(server, "PUT /config/a", "{\"capacity\":1,\"refil_per_second\":1}", 400,
			"did you mean 'refill_per_second'");
	assert_ask_json(server, "PUT /config/a", "", 400, "invalid-body");
	assert_ask(server, GET("/config/a"), 404, "");
}

static void a_change_is_made_under_its_condition_only(void **state)
{
	struct server *server = *state;

	assert_put(server, "If-Match: *", 412, "precondition-failed");
	assert_put(server, "If-None-Match: *", 201, "ETag: \"1\"");
	assert_put(server, "If-None-Match: *", 412, "precondition-failed");
	assert_put(server, "If-Match: \"7\"", 412, "");
	assert_put(server, "If-Match: W/\"1\"", 412, "");
	assert_put(server, "If-Match: \"7\", \"1\"", 204, "ETag: \"2\"");
	assert_put(server, "If-None-Match: \"2\"", 412, "");
	assert_put(server, "If-None-Match: \"1\"", 204, "ETag: \"3\"");
	assert_method(server, "DELETE /config/a", "If-Match: \"2\"", 412, "");
	assert_method(server, "DELETE /config/a", "If-Match: \"3\"", 204, "");
}

static void a_get_is_answered_under_its_condition_only(void **state)
{
	struct server *server = *state;

	assert_put(server, "", 201, "");
	assert_method(server, "GET /config/a", "If-None-Match: \"1\"", 304, "ETag: \"1\"");
	assert_method(server, "GET /config/a", "If-None-Match: W/\"1\"", 304, "");
	assert_method(server, "GET /config/a", "If-None-Match: *", 304, "");
	assert_method(server, "GET /config/a", "If-None-Match: \"2\"", 200, "\"capacity\":5");
	assert_method(server, "GET /config/a", "If-Match: \"1\"", 200, "\"capacity\":5");
	assert_method(server, "GET /config/a", "If-Match: \"2\"", 412, "");
	assert_method(server, "GET /config/b", "If-None-Match: *", 404, "");
}

static void a_condition_that_is_none_is_400(void **state)
{
	struct server *server = *state;

	assert_put(server, "If-Match: 1", 400, "invalid-condition");
	assert_put(server, "If-Match:", 400, "invalid-condition");
	assert_put(server, "If-Match: \"1\"\r\nIf-None-Match: *", 400, "invalid-condition");
	assert_ask(server, GET("/config/a"), 404, "");
}

static void a_full_table_is_507(void **state)
{
	struct server *server = *state;

	assert_ask_json(server, "PUT /config/1", QUOTA, 201, "");
	assert_ask_json(server, "PUT /config/2", QUOTA, 201, "");
	assert_ask_json(server, "PUT /config/3", QUOTA, 201, "");
	assert_ask_json(server, "PUT /config/4", QUOTA, 201, "");
	assert_ask_json(server, "PUT /config/5", QUOTA, 507, "too-many-configs");
	assert_ask_json(server, "PUT /config/4", QUOTA, 204, "");
}

/* --- changes that take their time --- */

static const char put[] = "PUT /config/a HTTP/1.1\r\nHost: a\r\nContent-Length: 38\r\n\r\n" QUOTA;

static void turn_until_handed_over(struct server *server)
{
	for (int turns = 0; !server->change_count; turns++) {
		assert_true(turns < TURNS_MAX);
		server_turn(server);
	}
}

static void a_change_is_acknowledged_when_it_is_kept(void **state)
{
	struct server *server = *state;
	struct reply *reply = calloc(1, sizeof(*reply));
	int fd = client_connect(server);
	char byte;

	assert_int_equal(sizeof(QUOTA) - 1, 38);
	server->hold = true;
	client_put(server, fd, put, sizeof(put) - 1);
	turn_until_handed_over(server);
	for (int i = 0; i < 10; i++)
		server_turn(server);
	assert_int_equal(recv(fd, &byte, 1, MSG_PEEK), -1);
	assert_int_equal(errno, EAGAIN);
	/* Others are served meanwhile. */
	assert_ask_json(server, "POST /check", "{\"key\":\"a\"}", 200, "\"limit\":3");
	server_keep(server);
	client_get(server, fd, reply, false);
	assert_reply(reply, 201, "ETag: \"1\"");
	/* The connection goes on. */
	client_put(server, fd, GET("/health"), strlen(GET("/health")));
	client_get(server, fd, reply, false);
	assert_reply(reply, 200, "ok");
	close(fd);
	free(reply);
}

static void a_client_that_goes_does_not_wait_any_more(void **state)
{
	struct server *server = *state;
	struct linger reset = {.l_onoff = 1};
	int fd = client_connect(server);

	server->hold = true;
	client_put(server, fd, put, sizeof(put) - 1);
	turn_until_handed_over(server);
	assert_int_equal(thr_api_busy(server->api), 1);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	close(fd);
	for (int turns = 0; thr_api_busy(server->api); turns++) {
		assert_true(turns < TURNS_MAX);
		server_turn(server);
	}
	/* It was forgotten: its keeper is told so by the number alone. */
	thr_store_changed(server->store, server->number[0], THR_CHANGE_CREATED, 1, "");
}

static void a_failure_is_503_with_its_reason(void **state)
{
	struct server *server = *state;
	struct reply *reply = calloc(1, sizeof(*reply));
	int fd = client_connect(server);

	server->hold = true;
	client_put(server, fd, put, sizeof(put) - 1);
	turn_until_handed_over(server);
	thr_store_changed(server->store, server->number[0], THR_CHANGE_FAILED, 0,
			  "the disk is full");
	client_get(server, fd, reply, false);
	assert_reply(reply, 503, "the disk is full");
	assert_reply(reply, 503, "store-unavailable");
	close(fd);
	free(reply);
}

static void what_is_pipelined_waits_for_the_change(void **state)
{
	static const char both[] =
		"PUT /config/a HTTP/1.1\r\nHost: a\r\nContent-Length: "
		"38\r\n\r\n" QUOTA "GET /config/a HTTP/1.1\r\nHost: a\r\n\r\n" GET("/health");
	struct server *server = *state;
	struct reply *reply = calloc(1, sizeof(*reply));
	int fd = client_connect(server);

	server->hold = true;
	client_put(server, fd, both, sizeof(both) - 1);
	turn_until_handed_over(server);
	server_turn(server);
	server_keep(server);
	client_get(server, fd, reply, false);
	assert_reply(reply, 201, "");
	client_get(server, fd, reply, false);
	assert_reply(reply, 200, "\"capacity\":5");
	client_get(server, fd, reply, false);
	assert_reply(reply, 200, "ok");
	close(fd);
	free(reply);
}

static void the_api_goes_while_changes_wait(void **state)
{
	struct server *server = *state;
	int fd = client_connect(server);

	server->hold = true;
	client_put(server, fd, put, sizeof(put) - 1);
	turn_until_handed_over(server);
	thr_api_drain(server->api);
	server_turn(server);
	assert_int_equal(thr_api_busy(server->api), 1);
	close(fd);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		SERVER_TEST(a_config_is_created_read_replaced_and_deleted),
		SERVER_TEST(what_is_not_said_of_errors_is_the_configuration_s),
		SERVER_TEST(default_is_what_the_file_says_until_it_is_set),
		SERVER_TEST(a_key_is_the_same_however_it_is_written),
		SERVER_TEST(a_path_that_is_no_key_is_refused),
		SERVER_TEST(a_body_that_is_no_quota_is_400_with_its_field),
		SERVER_TEST(a_change_is_made_under_its_condition_only),
		SERVER_TEST(a_get_is_answered_under_its_condition_only),
		SERVER_TEST(a_condition_that_is_none_is_400),
		SERVER_TEST(a_full_table_is_507),
		SERVER_TEST(a_change_is_acknowledged_when_it_is_kept),
		SERVER_TEST(a_client_that_goes_does_not_wait_any_more),
		SERVER_TEST(a_failure_is_503_with_its_reason),
		SERVER_TEST(what_is_pipelined_waits_for_the_change),
		SERVER_TEST(the_api_goes_while_changes_wait),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
