/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What may be a key, and how one is written in a path. */
#include "api/key.h"

#include <stdlib.h>

#include "unit/http_edge.h"

static void assert_decodes(const char *segment, const char *key)
{
	char bytes[THR_KEY_MAX];
	struct thr_slice decoded;
	const char *why;
	size_t length = strlen(segment);
	struct thr_slice text = {before_the_edge(segment, length), length};

	assert_int_equal(thr_key_decode(text, bytes, &decoded, &why), 0);
	assert_slice(decoded, key);
}

static void assert_refused(const char *segment, const char *part)
{
	char bytes[THR_KEY_MAX];
	struct thr_slice decoded = THR_SLICE("kept");
	const char *why = "";
	size_t length = strlen(segment);
	struct thr_slice text = {before_the_edge(segment, length), length};

	assert_true(thr_key_decode(text, bytes, &decoded, &why) < 0);
	assert_non_null(strstr(why, part));
	assert_slice(decoded, "kept");
}

static void a_segment_is_decoded_once(void **state)
{
	(void)state;
	assert_decodes("user:42", "user:42");
	assert_decodes("a%2Fb%2fc", "a/b/c");
	assert_decodes("%2541", "%41");
	assert_decodes("a+b", "a+b");
	assert_decodes("%c3%A9", "\xc3\xa9");
	assert_decodes("%3F%23%20", "?# ");
}

static void a_segment_that_is_no_key_is_refused(void **state)
{
	(void)state;
	assert_refused("", "empty");
	assert_refused("a%", "two hexadecimal digits");
	assert_refused("a%4", "two hexadecimal digits");
	assert_refused("%4g", "two hexadecimal digits");
	assert_refused("%g4", "two hexadecimal digits");
	assert_refused("%%41", "two hexadecimal digits");
	assert_refused("a%00b", "U+0000");
	assert_refused("%ff", "UTF-8");
	assert_refused("%c3", "UTF-8");
}

static void a_key_has_at_most_256_bytes(void **state)
{
	char segment[3 * (THR_KEY_MAX + 1) + 1], key[THR_KEY_MAX + 2];

	(void)state;
	memset(key, 'a', sizeof(key));
	key[THR_KEY_MAX] = '\0';
	assert_decodes(key, key);
	for (size_t i = 0; i < THR_KEY_MAX; i++)
		memcpy(segment + 3 * i, "%61", 4);
	assert_decodes(segment, key);
	memcpy(segment + sizeof(segment) - 4, "%61", 4);
	assert_refused(segment, "longer than 256");
	key[THR_KEY_MAX] = 'a';
	key[THR_KEY_MAX + 1] = '\0';
	assert_refused(key, "longer than 256");
}

static void utf_8_is_what_rfc_3629_says(void **state)
{
	static const struct {
		const char *bytes;
		size_t length; /* of its first character */
	} cases[] = {
		{"a", 1},
		{"\x7f", 1},
		{"\xc2\x80", 2},
		{"\xdf\xbf", 2},
		{"\xe0\xa0\x80", 3},
		{"\xed\x9f\xbf", 3},
		{"\xee\x80\x80", 3},
		{"\xef\xbf\xbf", 3},
		{"\xf0\x90\x80\x80", 4},
		{"\xf4\x8f\xbf\xbf", 4},
		{"\x80", 0},		 /* a continuation alone */
		{"\xc0\x80", 0},	 /* overlong */
		{"\xc1\xbf", 0},	 /* overlong */
		{"\xe0\x9f\xbf", 0},	 /* overlong */
		{"\xed\xa0\x80", 0},	 /* a surrogate */
		{"\xf0\x8f\xbf\xbf", 0}, /* overlong */
		{"\xf4\x90\x80\x80", 0}, /* over U+10FFFF */
		{"\xf5\x80\x80\x80", 0},
		{"\xff", 0},
		{"\xc3", 0}, /* cut short */
		{"\xe2\x82", 0},
		{"\xf0\x9f\x98", 0},
		{"\xe2\x28\xa1", 0},
		{"\xf0\x9f\x98\x28", 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t length = strlen(cases[i].bytes);
		const char *at = before_the_edge(cases[i].bytes, length);

		assert_int_equal(thr_utf8_length(at, length), cases[i].length);
	}
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_segment_is_decoded_once),
		cmocka_unit_test(a_segment_that_is_no_key_is_refused),
		cmocka_unit_test(a_key_has_at_most_256_bytes),
		cmocka_unit_test(utf_8_is_what_rfc_3629_says),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
