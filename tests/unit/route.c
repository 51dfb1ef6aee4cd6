/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Routes: the longest one on a segment boundary, by the bytes as they were sent. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/route.h"
#include "support/random.h"
#include "support/run.h"

#define MANY 10000
#define PATH_SIZE 64

static struct thr_slice slice(const char *text)
{
	return (struct thr_slice){text, strlen(text)};
}

static struct thr_routes *table(const struct thr_route_config *configs, size_t count)
{
	struct thr_routes *routes;

	assert_int_equal(thr_routes_new(configs, count, &routes), 0);
	return routes;
}

/* What must come out, in the plainest way. */
static int find_plainly(const struct thr_route_config *configs, size_t count, const char *path)
{
	size_t longest = 0;
	int found = -1;

	for (size_t i = 0; i < count; i++) {
		size_t length = strlen(configs[i].path);
		bool is_root = strcmp(configs[i].path, "/") == 0;

		if (strncmp(path, configs[i].path, length) != 0 || length <= longest)
			continue;
		if (is_root || path[length] == '\0' || path[length] == '/') {
			longest = length;
			found = (int)i;
		}
	}
	return found;
}

static void the_longest_route_on_a_segment_boundary_wins(void **state)
{
	static const struct thr_route_config configs[] = {
		{.path = "/api"},     {.path = "/api/v2"}, {.path = "/api/v2/users/new"},
		{.path = "/a%2Fb"},   {.path = "/static"}, {.path = "/Static"},
		{.path = "/a/b/c/d"},
	};
	static const struct {
		const char *path;
		int index;
	} cases[] = {
		{"/api", 0},
		{"/api/", 0},
		{"/api/v1", 0},
		{"/api/v2", 1},
		{"/api/v2/", 1},
		{"/api/v2/users", 1},
		{"/api/v2/users/new", 2},
		{"/api/v2/users/new/", 2},
		{"/api/v2/users/new/and/much/deeper", 2},
		{"/api/v2/users/newer", 1},
		{"/api/v22", 0},
		{"/apifoo", -1},
		{"/ap", -1},
		{"/api%2Fv2", -1},
		{"/api;v2", -1},
		{"/API", -1},
		{"/static/x", 4},
		{"/Static/x", 5},
		{"/sTatic/x", -1},
		{"/a%2Fb/c", 3},
		{"/a%2fb/c", -1},
		{"/a/b/c", -1},
		{"/a/b/c/d", 6},
		{"/a/b/c/dd", -1},
		{"/", -1},
		{"", -1},
		{"?x", -1},
		{"*", -1},
		{"api", -1},
		{"//api", -1},
		{"/../api", -1},
		{"/./api", -1},
		{"/%2e%2e/api", -1},
		{"/x/../api", -1},
		{"/api//v2", 0},
		{"/api/../v2", 0},
		{"/api/%2e%2e/secret", 0},
		{"////", -1},
		{"/api////////////////////////////////////////////////////////v2", 0},
	};
	struct thr_routes *routes = table(configs, ARRAY_SIZE(configs));

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int index = thr_routes_find(routes, slice(cases[i].path));

		if (index != cases[i].index)
			print_error("%s\n", cases[i].path);
		assert_int_equal(index, cases[i].index);
	}
	thr_routes_free(routes);
}

static void the_root_matches_every_path_that_no_other_does(void **state)
{
	static const struct thr_route_config configs[] = {{.path = "/api"}, {.path = "/"}};
	struct thr_routes *routes = table(configs, ARRAY_SIZE(configs));

	(void)state;
	assert_int_equal(thr_routes_find(routes, slice("/")), 1);
	assert_int_equal(thr_routes_find(routes, slice("//")), 1);
	assert_int_equal(thr_routes_find(routes, slice("//api")), 1);
	assert_int_equal(thr_routes_find(routes, slice("/apifoo")), 1);
	assert_int_equal(thr_routes_find(routes, slice("/x/y/z")), 1);
	assert_int_equal(thr_routes_find(routes, slice("/api/x")), 0);
	assert_int_equal(thr_routes_find(routes, slice("")), -1);
	assert_int_equal(thr_routes_find(routes, slice("*")), -1);
	thr_routes_free(routes);
}

static void the_root_alone_and_no_route_at_all_work(void **state)
{
	static const struct thr_route_config root[] = {{.path = "/"}};
	struct thr_routes *routes = table(root, 1);

	(void)state;
	assert_int_equal(thr_routes_find(routes, slice("/")), 0);
	assert_int_equal(thr_routes_find(routes, slice("/x/y")), 0);
	thr_routes_free(routes);
	routes = table(NULL, 0);
	assert_int_equal(thr_routes_find(routes, slice("/")), -1);
	assert_int_equal(thr_routes_find(routes, slice("/x/y")), -1);
	thr_routes_free(routes);
	thr_routes_free(NULL);
}

/* Paths of few letters and segments, so that many are prefixes of others. */
static void make_path(__u64 *seed, char path[PATH_SIZE])
{
	static const char letters[] = "ab%2.";
	size_t segments = 1 + next_random(seed) % 5, at = 0;

	for (size_t i = 0; i < segments; i++) {
		size_t length = 1 + next_random(seed) % 3;

		path[at++] = '/';
		while (length--)
			path[at++] = letters[next_random(seed) % (sizeof(letters) - 1)];
	}
	path[at] = '\0';
}

/* Change a byte, or cut the end off, or add to it; the path has room for that. */
static void damage(__u64 *seed, char *path)
{
	size_t length = strlen(path), at = next_random(seed) % length;

	switch (next_random(seed) % 5) {
	case 0:
		path[at] = "/ab%."[next_random(seed) % 5];
		break;
	case 1:
		path[at] = '\0';
		break;
	case 2:
		strcpy(path + length, "/a/b");
		break;
	case 3:
		strcpy(path + length, "b");
		break;
	}
}

static bool has_path(const struct thr_route_config *configs, size_t count, const char *path)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(configs[i].path, path) == 0)
			return true;
	return false;
}

static void ten_thousand_routes_are_found_as_if_each_was_looked_at(void **state)
{
	static char paths[MANY][PATH_SIZE];
	static struct thr_route_config configs[MANY];
	struct thr_routes *routes;
	__u64 seed = 20;
	size_t count = 0;

	(void)state;
	while (count < MANY / 10) {
		make_path(&seed, paths[count]);
		configs[count].path = paths[count];
		count += !has_path(configs, count, paths[count]);
	}
	for (; count < MANY; count++) {
		snprintf(paths[count], PATH_SIZE, "/tenant%zu/service/%zu", count % 100, count);
		configs[count].path = paths[count];
	}
	routes = table(configs, MANY);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(thr_routes_find(routes, slice(paths[i])), (int)i);
	for (size_t i = 0; i < 4000; i++) {
		char path[2 * PATH_SIZE];
		size_t pick = next_random(&seed) % (i % 2 ? MANY / 10 : MANY);

		memcpy(path, paths[pick], PATH_SIZE);
		damage(&seed, path);
		assert_int_equal(thr_routes_find(routes, slice(path)),
				 find_plainly(configs, MANY, path));
	}
	thr_routes_free(routes);
}

/* The path ends where its memory does: the sanitizer sees a read beyond. */
static void nothing_is_read_past_the_path(void **state)
{
	static const struct thr_route_config configs[] = {{.path = "/api/v2"}, {.path = "/a"}};
	static const char whole[] = "/api/v2/users";
	struct thr_routes *routes = table(configs, ARRAY_SIZE(configs));

	(void)state;
	for (size_t length = 1; length < sizeof(whole); length++) {
		char *path = malloc(length);

		assert_non_null(path);
		memcpy(path, whole, length);
		assert_int_equal(thr_routes_find(routes, (struct thr_slice){path, length}),
				 length == 2   ? 1
				 : length >= 7 ? 0
					       : -1);
		free(path);
	}
	thr_routes_free(routes);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_longest_route_on_a_segment_boundary_wins),
		cmocka_unit_test(the_root_matches_every_path_that_no_other_does),
		cmocka_unit_test(the_root_alone_and_no_route_at_all_work),
		cmocka_unit_test(ten_thousand_routes_are_found_as_if_each_was_looked_at),
		cmocka_unit_test(nothing_is_read_past_the_path),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
