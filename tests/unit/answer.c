/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The proxy's own answers. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/heads.h"
#include "support/run.h"

#define DATE "Sat, 21 Nov 2026 20:17:46 GMT"

static const struct thr_http_limits limits = {8192, 32768, THR_HTTP_FIELDS_MAX};

/* The text of an answer; where its body begins. */
static char *write_answer(const struct thr_answer *answer, char out[static THR_ANSWER_MAX + 1])
{
	size_t length = thr_head_answer(out, THR_ANSWER_MAX, answer);
	char *end;

	assert_true(length > 0);
	out[length] = '\0';
	end = strstr(out, "\r\n\r\n");
	assert_non_null(end);
	return end + 4;
}

static void assert_field(const char *head, const char *line, bool there)
{
	char whole[512];

	snprintf(whole, sizeof(whole), "\r\n%s\r\n", line);
	assert_int_equal(strstr(head, whole) != NULL, there);
}

static void a_refusal_says_why_and_when_to_come_back(void **state)
{
	static const struct thr_answer answer = {
		.status = 429,
		.detail = "The limit of this client is used up.",
		.limits = {"RateLimit: \"default\";r=0;t=2\r\nRetry-After: 2\r\n", 46},
		.request_id = {"id-1", 4},
		.date = DATE,
		.keep_alive = true,
		.client_minor = 1,
	};
	char out[THR_ANSWER_MAX + 1], *body = write_answer(&answer, out);
	json_t *problem = json_loads(body, JSON_REJECT_DUPLICATES, NULL);
	char length[64];

	(void)state;
	assert_memory_equal(out, "HTTP/1.1 429 Too Many Requests\r\n", 32);
	snprintf(length, sizeof(length), "Content-Length: %zu", strlen(body));
	assert_field(out, length, true);
	assert_field(out, "Date: " DATE, true);
	assert_field(out, "Content-Type: application/problem+json", true);
	assert_field(out, "Cache-Control: no-store", true);
	assert_field(out, "X-Request-Id: id-1", true);
	assert_field(out, "RateLimit: \"default\";r=0;t=2", true);
	assert_field(out, "Retry-After: 2", true);
	assert_null(strstr(out, "\r\nConnection:"));

	assert_non_null(problem);
	assert_int_equal(json_integer_value(json_object_get(problem, "status")), 429);
	assert_string_equal(json_string_value(json_object_get(problem, "title")),
			    "Too Many Requests");
	assert_string_equal(json_string_value(json_object_get(problem, "detail")), answer.detail);
	json_decref(problem);
}

static void connection_says_what_the_clients_version_does_not(void **state)
{
	struct thr_answer answer = {.status = 404, .detail = "No route.", .date = DATE};
	char out[THR_ANSWER_MAX + 1];

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		answer.keep_alive = i & 1;
		answer.client_minor = i >> 1;
		write_answer(&answer, out);
		assert_field(out, "Connection: close", !answer.keep_alive);
		assert_field(out, "Connection: keep-alive",
			     answer.keep_alive && answer.client_minor == 0);
		assert_null(strstr(out, "X-Request-Id"));
	}
}

static void an_answer_to_head_has_the_head_of_one_to_get(void **state)
{
	struct thr_answer answer = {.status = 502, .detail = "No answer.", .date = DATE};
	char get[THR_ANSWER_MAX + 1], head[THR_ANSWER_MAX + 1];
	char *body = write_answer(&answer, get);

	(void)state;
	answer.head_only = true;
	assert_string_equal(write_answer(&answer, head), "");
	assert_true(*body == '{');
	*body = '\0';
	assert_string_equal(head, get);
}

/* A strict client takes it; without a reason in the registry as well. */
static void an_answer_is_well_formed(void **state)
{
	static const unsigned int statuses[] = {400, 404, 405, 408, 413, 414, 417, 429,
						431, 500, 501, 502, 503, 504, 505, 599};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		struct thr_answer answer = {
			.status = statuses[i], .detail = "\"So\" it \\ is.", .date = DATE};
		struct thr_http_response response = {0};
		char out[THR_ANSWER_MAX + 1], *body = write_answer(&answer, out);

		assert_int_equal(thr_http_parse_response(out, strlen(out), THR_METHOD_GET, &limits,
							 &response),
				 body - out);
		assert_int_equal(response.status, statuses[i]);
		assert_int_equal(response.body, THR_BODY_LENGTH);
		assert_int_equal(response.content_length, strlen(body));
		assert_false(response.keep_alive);
	}
}

static void nothing_is_said_where_there_is_no_room(void **state)
{
	static const struct thr_answer answer = {.status = 503, .detail = "Busy.", .date = DATE};
	char out[THR_ANSWER_MAX];
	size_t length = thr_head_answer(out, sizeof(out), &answer);

	(void)state;
	for (size_t size = 0; size <= length; size++) {
		char *tight = malloc(size ? size : 1);

		assert_non_null(tight);
		assert_int_equal(thr_head_answer(tight, size, &answer), size < length ? 0 : length);
		free(tight);
	}
}

static void the_largest_answer_fits(void **state)
{
	static char detail[4096], id[THR_REQUEST_ID_MAX], fields[THR_LIMIT_FIELDS_MAX];
	struct thr_answer answer = {.status = 431,
				    .detail = detail,
				    .limits = {fields, sizeof(fields)},
				    .request_id = {id, sizeof(id)},
				    .date = DATE};
	char out[THR_ANSWER_MAX];

	(void)state;
	memset(detail, 'x', sizeof(detail) - 1);
	memset(id, 'x', sizeof(id));
	memset(fields, 'x', sizeof(fields));
	assert_true(thr_head_answer(out, sizeof(out), &answer) > 0);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_refusal_says_why_and_when_to_come_back),
		cmocka_unit_test(connection_says_what_the_clients_version_does_not),
		cmocka_unit_test(an_answer_to_head_has_the_head_of_one_to_get),
		cmocka_unit_test(an_answer_is_well_formed),
		cmocka_unit_test(nothing_is_said_where_there_is_no_room),
		cmocka_unit_test(the_largest_answer_fits),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
