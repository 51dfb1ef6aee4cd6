/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* GET /config as a client sees it: which keys have a config, in pages. */
#define SERVER_QUOTAS 2500
#include "unit/api_server.h"

#include <jansson.h>

#define PAGE_MAX 1000
#define BODY_MAX (256 * 1024)

static struct thr_quota quota_of(uint64_t capacity, uint64_t version)
{
	struct thr_quota quota;
	const char *why;

	assert_int_equal(thr_quota_make(capacity, 0.5, THR_ON_ERROR_DENY, &quota, &why), 0);
	quota.version = version;
	return quota;
}

static void set(struct server *server, struct thr_slice key, uint64_t version)
{
	const struct thr_quota quota = quota_of(5, version);
	const struct thr_hash hash = thr_store_key_hash(server->store, key);

	assert_int_equal(thr_quotas_set(server->quotas, &hash, key, &quota), 0);
}

static void set_text(struct server *server, const char *key, uint64_t version)
{
	set(server, (struct thr_slice){key, strlen(key)}, version);
}

/* A page, parsed. The caller releases it. */
static json_t *page(struct server *server, const char *target)
{
	char request[256];
	struct reply *reply;
	json_error_t error;
	json_t *json;

	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target);
	reply = ask(server, request);
	assert_reply(reply, 200, "\r\nContent-Type: application/json\r\n");
	assert_in_range(reply->body_length, 0, BODY_MAX);
	json = json_loadb(reply->body, reply->body_length, JSON_REJECT_DUPLICATES, &error);
	if (!json)
		fail_msg("%s: line %d, column %d", error.text, error.line, error.column);
	free(reply);
	return json;
}

/* Go through all pages. Returns how many entries there are; of each whose key is a number below
 * `keys`, count how often it is there. */
static size_t page_through(struct server *server, unsigned int *times, size_t keys,
			   size_t *ret_pages)
{
	char target[128] = "/config";
	size_t entries = 0;

	*ret_pages = 0;
	while (*target) {
		json_t *json = page(server, target), *item;
		const char *next = json_string_value(json_object_get(json, "next"));
		json_t *configs = json_object_get(json, "configs");
		size_t i;

		assert_in_range(json_array_size(configs), 1, PAGE_MAX);
		json_array_foreach(configs, i, item)
		{
			const char *key = json_string_value(json_object_get(item, "key"));

			if (times && (size_t)atoi(key) < keys)
				times[atoi(key)]++;
		}
		entries += json_array_size(configs);
		++*ret_pages;
		snprintf(target, sizeof(target), "%s", next ? next : "");
		assert_true(next || json_is_null(json_object_get(json, "next")));
		json_decref(json);
	}
	return entries;
}

static void nothing_that_is_set_is_an_empty_list(void **state)
{
	struct server *server = *state;

	assert_ask(server, GET("/config"), 200, "\r\n\r\n{\"configs\":[],\"next\":null}\n");
	assert_ask(server, GET("/config?from=18446744073709551615"), 200, "{\"configs\":[],");
}

static void what_is_set_is_listed_with_its_key_and_tag(void **state)
{
	struct server *server = *state;

	assert_ask_json(server, "PUT /config/user%3A42",
			"{\"capacity\":100,\"refill_per_second\":10}", 201, "");
	assert_ask_json(server, "PUT /config/default",
			"{\"capacity\":7,\"refill_per_second\":0.1,\"on_error\":\"deny\"}", 201,
			"");
	assert_ask(server, GET("/config"), 200,
		   "\r\n\r\n{\"configs\":["
		   "{\"key\":\"user:42\",\"capacity\":100,\"refill_per_second\":10,"
		   "\"on_error\":\"local\",\"etag\":\"\\\"1\\\"\"},"
		   "{\"key\":\"default\",\"capacity\":7,\"refill_per_second\":0.1,"
		   "\"on_error\":\"deny\",\"etag\":\"\\\"2\\\"\"}],"
		   "\"next\":null}\n");
}

static void what_is_replaced_moves_to_the_end_and_what_is_deleted_goes(void **state)
{
	static const char quota[] = "{\"capacity\":5,\"refill_per_second\":1}";
	struct server *server = *state;

	assert_ask_json(server, "PUT /config/a", quota, 201, "");
	assert_ask_json(server, "PUT /config/b", quota, 201, "");
	assert_ask_json(server, "PUT /config/c", quota, 201, "");
	assert_ask_json(server, "PUT /config/a", quota, 204, "");
	assert_ask(server, "DELETE /config/b HTTP/1.1\r\nHost: a\r\n\r\n", 204, "");
	assert_ask(server, GET("/config"), 200, "{\"configs\":[{\"key\":\"c\",");
	assert_ask(server, GET("/config"), 200, "},{\"key\":\"a\",");
	assert_ask(server, GET("/config?from=4"), 200, "{\"configs\":[{\"key\":\"a\",");
}

static void pages_have_each_config_once(void **state)
{
	struct server *server = *state;
	unsigned int times[SERVER_QUOTAS] = {0};
	size_t pages;
	char key[16];

	for (uint64_t i = 0; i < SERVER_QUOTAS; i++) {
		snprintf(key, sizeof(key), "%d", (int)i);
		set_text(server, key, 1 + i * 7 % SERVER_QUOTAS);
	}
	assert_int_equal(page_through(server, times, SERVER_QUOTAS, &pages), SERVER_QUOTAS);
	assert_int_equal(pages, 3);
	for (size_t i = 0; i < SERVER_QUOTAS; i++)
		assert_int_equal(times[i], 1);
	assert_ask(server, GET("/config?from=1501"), 200, ",\"next\":null}\n");
}

/* A full page and nothing behind it is the last one. */
static void the_last_page_has_no_next(void **state)
{
	struct server *server = *state;
	size_t pages;
	char key[16];

	for (uint64_t i = 1; i <= 2 * PAGE_MAX; i++) {
		snprintf(key, sizeof(key), "%d", (int)i);
		set_text(server, key, i);
	}
	assert_int_equal(page_through(server, NULL, 0, &pages), 2 * PAGE_MAX);
	assert_int_equal(pages, 2);
}

/* Keys that are written in six bytes for each of theirs: far more than an answer holds. */
static void a_page_is_bounded_in_bytes(void **state)
{
	struct server *server = *state;
	char key[THR_KEY_MAX];
	size_t pages;

	memset(key, '\x1f', sizeof(key));
	for (uint64_t i = 1; i <= 600; i++) {
		key[0] = (char)('a' + i % 26);
		key[1] = (char)('a' + i / 26);
		set(server, (struct thr_slice){key, sizeof(key)}, i);
	}
	assert_int_equal(page_through(server, NULL, 0, &pages), 600);
	assert_in_range(pages, 4, 5);
}

static void a_key_is_quoted_as_json_has_it(void **state)
{
	static const char *const keys[] = {
		"a\"b\\c/d", "\x01\b\t\n\x1f\x7f", " ", "\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80",
		"</script>", "\xe2\x80\xa8",
	};
	struct server *server = *state;
	char four_bytes[THR_KEY_MAX + 1] = "";
	json_t *json, *configs;

	for (size_t i = 0; i < THR_KEY_MAX / 4; i++)
		memcpy(four_bytes + 4 * i, "\xf4\x8f\xbf\xbf", 5);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		set_text(server, keys[i], i + 1);
	set_text(server, four_bytes, ARRAY_SIZE(keys) + 1);
	json = page(server, "/config");
	configs = json_object_get(json, "configs");
	assert_int_equal(json_array_size(configs), ARRAY_SIZE(keys) + 1);
	for (size_t i = 0; i <= ARRAY_SIZE(keys); i++) {
		json_t *item = json_array_get(configs, i);

		assert_string_equal(json_string_value(json_object_get(item, "key")),
				    i < ARRAY_SIZE(keys) ? keys[i] : four_bytes);
		assert_int_equal(json_integer_value(json_object_get(item, "capacity")), 5);
	}
	json_decref(json);
}

/* Redis has what others wrote to it by hand; no path names it. */
static void what_is_no_key_is_left_out(void **state)
{
	struct server *server = *state;

	set_text(server, "\xff", 1);
	set_text(server, "a", 2);
	assert_ask(server, GET("/config"), 200, "{\"configs\":[{\"key\":\"a\",");
	set_text(server, "\xc3", 3);
	assert_ask(server, GET("/config"), 200, "\"}],\"next\":null}\n");
}

static void a_query_other_than_a_place_is_400(void **state)
{
	static const char *const queries[] = {
		"",	  "from",     "frm=1",		"from=1&from=2",
		"From=1", "limit=10", "from=1&limit=1", "?from=1",
	};
	static const char *const places[] = {
		"", "0", "-1", "+1", "01", "1x", "%31", "18446744073709551616", "\"1\"", "1?",
	};
	struct server *server = *state;
	char request[256];

	for (size_t i = 0; i < ARRAY_SIZE(queries); i++) {
		snprintf(request, sizeof(request), "GET /config?%s HTTP/1.1\r\nHost: a\r\n\r\n",
			 queries[i]);
		assert_ask(server, request, 400, "unexpected-query");
	}
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		snprintf(request, sizeof(request),
			 "GET /config?from=%s HTTP/1.1\r\nHost: a\r\n\r\n", places[i]);
		assert_ask(server, request, 400, "unexpected-query");
		assert_ask(server, request, 400, "from");
	}
}

static void head_and_options_are_as_elsewhere_and_others_405(void **state)
{
	struct server *server = *state;
	struct reply *reply;
	char length[64];

	set_text(server, "a", 1);
	reply = ask(server, GET("/config"));
	snprintf(length, sizeof(length), "Content-Length: %zu\r\n", reply->body_length);
	free(reply);
	reply = ask(server, "HEAD /config HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_reply(reply, 200, length);
	free(reply);
	assert_ask(server, "HEAD /config?x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "");
	assert_ask(server, "OPTIONS /config HTTP/1.1\r\nHost: a\r\n\r\n", 204,
		   "Allow: GET, HEAD, OPTIONS\r\n");
	assert_ask_json(server, "POST /config", "{}", 405, "Allow: GET, HEAD, OPTIONS\r\n");
	assert_ask_json(server, "PUT /config", "{}", 405, "method-not-allowed");
	assert_ask(server, "DELETE /config HTTP/1.1\r\nHost: a\r\n\r\n", 405, "");
}

static void a_list_counts_as_a_call_for_configs(void **state)
{
	struct server *server = *state;

	assert_ask(server, GET("/config"), 200, "");
	assert_int_equal(server->counts.requests[THR_API_CONFIG], 1);
}

/* What others do not take of large answers bounds it too: see api_client.c. */
static void a_large_page_is_refused_while_too_many_answers_are_held(void **state)
{
	struct server *server = *state;
	char key[16];
	int fd[LARGE_ANSWERS];

	for (uint64_t i = 1; i <= PAGE_MAX; i++) {
		snprintf(key, sizeof(key), "%d", (int)i);
		set_text(server, key, i);
	}
	leave_large_answers(server, fd);
	assert_ask(server, GET("/config"), 503, "Retry-After: 1");
	assert_ask(server, GET("/config?from=900"), 200, "\"key\":\"900\"");
	for (size_t i = 0; i < ARRAY_SIZE(fd); i++)
		close(fd[i]);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		SERVER_TEST(nothing_that_is_set_is_an_empty_list),
		SERVER_TEST(what_is_set_is_listed_with_its_key_and_tag),
		SERVER_TEST(what_is_replaced_moves_to_the_end_and_what_is_deleted_goes),
		SERVER_TEST(pages_have_each_config_once),
		SERVER_TEST(the_last_page_has_no_next),
		SERVER_TEST(a_page_is_bounded_in_bytes),
		SERVER_TEST(a_key_is_quoted_as_json_has_it),
		SERVER_TEST(what_is_no_key_is_left_out),
		SERVER_TEST(a_query_other_than_a_place_is_400),
		SERVER_TEST(head_and_options_are_as_elsewhere_and_others_405),
		SERVER_TEST(a_large_page_is_refused_while_too_many_answers_are_held),
		SERVER_TEST(a_list_counts_as_a_call_for_configs),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
