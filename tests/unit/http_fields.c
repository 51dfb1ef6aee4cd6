/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Names of fields, lists, trailer sections and reasons. */
#include <ctype.h>
#include <stdio.h>

#include "unit/http_edge.h"

static struct thr_slice slice(const char *text)
{
	return (struct thr_slice){text, strlen(text)};
}

static const struct {
	const char *name;
	enum thr_http_field_id id;
} known[] = {
	{"Host", THR_FIELD_HOST},
	{"Content-Length", THR_FIELD_CONTENT_LENGTH},
	{"Transfer-Encoding", THR_FIELD_TRANSFER_ENCODING},
	{"Connection", THR_FIELD_CONNECTION},
	{"Keep-Alive", THR_FIELD_KEEP_ALIVE},
	{"Proxy-Connection", THR_FIELD_PROXY_CONNECTION},
	{"Proxy-Authenticate", THR_FIELD_PROXY_AUTHENTICATE},
	{"Proxy-Authorization", THR_FIELD_PROXY_AUTHORIZATION},
	{"TE", THR_FIELD_TE},
	{"Trailer", THR_FIELD_TRAILER},
	{"Upgrade", THR_FIELD_UPGRADE},
	{"HTTP2-Settings", THR_FIELD_HTTP2_SETTINGS},
	{"Expect", THR_FIELD_EXPECT},
	{"Via", THR_FIELD_VIA},
	{"Forwarded", THR_FIELD_FORWARDED},
	{"X-Forwarded-For", THR_FIELD_X_FORWARDED_FOR},
	{"X-Forwarded-Proto", THR_FIELD_X_FORWARDED_PROTO},
	{"X-Forwarded-Host", THR_FIELD_X_FORWARDED_HOST},
	{"X-Request-Id", THR_FIELD_X_REQUEST_ID},
	{"RateLimit", THR_FIELD_RATELIMIT},
	{"RateLimit-Policy", THR_FIELD_RATELIMIT_POLICY},
	{"Retry-After", THR_FIELD_RETRY_AFTER},
	{"Date", THR_FIELD_DATE},
};

static void names_are_known_in_any_case(void **state)
{
	(void)state;
	assert_int_equal(ARRAY_SIZE(known), THR_FIELD_IDS - 2); /* but for OTHER and TWIN */
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		char name[32];
		size_t length = strlen(known[i].name);

		assert_int_equal(thr_http_field_id(slice(known[i].name)), known[i].id);
		for (size_t j = 0; j <= length; j++)
			name[j] = (char)toupper(known[i].name[j]);
		assert_int_equal(thr_http_field_id(slice(name)), known[i].id);
		for (size_t j = 0; j <= length; j++)
			name[j] = (char)tolower(known[i].name[j]);
		assert_int_equal(thr_http_field_id(slice(name)), known[i].id);
		name[length - 1] ^= 1;
		assert_int_equal(thr_http_field_id(slice(name)), THR_FIELD_OTHER);
		assert_int_equal(thr_http_field_id((struct thr_slice){known[i].name, length - 1}),
				 THR_FIELD_OTHER);
	}
}

/* Each '-' alone becomes '_', then all; in both cases of the letters. */
static void names_with_underscores_are_twins(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		char all[32], one[32];
		size_t length = strlen(known[i].name);
		bool has_twin = strchr(known[i].name, '-');

		for (size_t j = 0; j <= length; j++)
			all[j] = known[i].name[j] == '-' ? '_' : (char)toupper(known[i].name[j]);
		assert_int_equal(thr_http_field_id(slice(all)),
				 has_twin ? THR_FIELD_TWIN : known[i].id);
		for (size_t j = 0; j < length; j++) {
			if (known[i].name[j] != '-')
				continue;
			memcpy(one, known[i].name, length + 1);
			one[j] = '_';
			assert_int_equal(thr_http_field_id(slice(one)), THR_FIELD_TWIN);
		}
		all[length - 1] ^= 1;
		assert_int_equal(thr_http_field_id(slice(all)), THR_FIELD_OTHER);
	}
}

static void other_names_are_other(void **state)
{
	static const char *const names[] = {
		"",
		"X",
		"Cookie",
		"User-Agent",
		"X_Custom",
		"_Host",
		"X_Forwarded_For_",
		"Transfer-Encoding-X",
		"A-Name-Longer-Than-All-Of-Them",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(thr_http_field_id(slice(names[i])), THR_FIELD_OTHER);
}

static void lists_are_searched_by_element(void **state)
{
	static const struct {
		const char *list;
		bool has;
	} cases[] = {
		{"", false},	      {"close", true},	       {"CLOSE", true},
		{"a,close", true},    {"a ,\tclose ,b", true}, {",,close,", true},
		{"closed", false},    {"a close", false},      {"clos", false},
		{"\"close\"", false}, {"close;q=1", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t length = strlen(cases[i].list);
		struct thr_slice list = {before_the_edge(cases[i].list, length), length};

		assert_int_equal(thr_http_list_has(list, "close"), cases[i].has);
	}
}

static struct thr_http_field fields[THR_HTTP_FIELDS_MAX];

static int parse_trailers(const char *bytes, size_t length, size_t *ret_count)
{
	return thr_http_parse_trailers(before_the_edge(bytes, length), length, &limits, fields,
				       ret_count);
}

static void trailers_end_at_an_empty_line(void **state)
{
	static const char section[] = "A: b\r\nChecksum:c\r\n\r\n";
	size_t count = 7;

	(void)state;
	for (size_t cut = 0; cut < sizeof(section) - 1; cut++)
		assert_int_equal(parse_trailers(section, cut, &count), 0);
	assert_int_equal(count, 7);
	assert_int_equal(parse_trailers(section, sizeof(section) - 1, &count), sizeof(section) - 1);
	assert_int_equal(count, 2);
	assert_slice(fields[1].name, "Checksum");
	assert_slice(fields[1].value, "c");
	assert_false(fields[1].hop_by_hop);
	assert_int_equal(parse_trailers(BYTES("\r\nGET"), &count), 2);
	assert_int_equal(count, 0);
}

static void what_belongs_in_the_head_is_no_trailer(void **state)
{
	static const char *const names[] = {
		"Content-Length",
		"Transfer-Encoding",
		"Host",
		"Connection",
		"TE",
		"Trailer",
		"Upgrade",
		"Authorization",
		"Set-Cookie",
		"cookie",
		"Content-Type",
		"Content-Encoding",
		"X-Forwarded-For",
		"X_Forwarded_For",
		"Forwarded",
		"Expect",
		"Proxy-Authenticate",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char section[64];
		size_t count;
		int length = snprintf(section, sizeof(section), "%s: 50\r\n\r\n", names[i]);

		assert_int_equal(parse_trailers(section, (size_t)length, &count), length);
		assert_int_equal(count, 1);
		assert_true(fields[0].hop_by_hop);
	}
}

static void trailers_are_as_strict_as_heads(void **state)
{
	static const char *const sections[] = {
		"\n",	      "A: b\n\r\n",	 "A : b\r\n\r\n", "A: b\r\n c\r\n\r\n", "A\r\n\r\n",
		"A: b\r\n\n", "A: b\rc\r\n\r\n", ": b\r\n\r\n",	  " A: b\r\n\r\n",
	};
	struct thr_http_limits tight = {1, 10, 1};
	size_t count;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++)
		assert_int_equal(parse_trailers(sections[i], strlen(sections[i]), &count), -400);
	assert_int_equal(thr_http_parse_trailers(BYTES("A: b\r\nC: d\r\n"), &tight, fields, &count),
			 -431);
	assert_int_equal(thr_http_parse_trailers(BYTES("A: bcdefg\r"), &tight, fields, &count),
			 -431);
	assert_int_equal(thr_http_parse_trailers(BYTES("A: bcdefg"), &tight, fields, &count), 0);
}

static void reasons_are_the_registry_s(void **state)
{
	(void)state;
	assert_string_equal(thr_http_reason(100), "Continue");
	assert_string_equal(thr_http_reason(404), "Not Found");
	assert_string_equal(thr_http_reason(429), "Too Many Requests");
	assert_string_equal(thr_http_reason(511), "Network Authentication Required");
	assert_string_equal(thr_http_reason(0), "");
	assert_string_equal(thr_http_reason(418), "");
	assert_string_equal(thr_http_reason(65536 + 404), "");
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_known_in_any_case),
		cmocka_unit_test(names_with_underscores_are_twins),
		cmocka_unit_test(other_names_are_other),
		cmocka_unit_test(lists_are_searched_by_element),
		cmocka_unit_test(trailers_end_at_an_empty_line),
		cmocka_unit_test(what_belongs_in_the_head_is_no_trailer),
		cmocka_unit_test(trailers_are_as_strict_as_heads),
		cmocka_unit_test(reasons_are_the_registry_s),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
