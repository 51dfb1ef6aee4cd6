/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The list of sources while commands change it: in order, without a prefix twice. */
#include <string.h>

#include "config/config.h"
#include "core/cleanup.h"
#include "support/run.h"

#define AUTO_TABLES CLEANUP(thr_tables_clear)

static struct thr_prefix prefix(const char *text)
{
	struct thr_prefix prefix;
	const char *why;

	assert_int_equal(thr_prefix_parse(text, &prefix, &why), 0);
	return prefix;
}

static void set(struct thr_tables *tables, const char *text, enum thr_source_action action)
{
	struct thr_source_config source = {.prefix = prefix(text), .action = action};

	assert_int_equal(thr_tables_set_source(tables, &source), 0);
}

static struct thr_source_config *find(const struct thr_tables *tables, const char *text)
{
	struct thr_prefix wanted = prefix(text);

	return thr_tables_find_source(tables, &wanted);
}

static void assert_ascending(const struct thr_tables *tables)
{
	for (size_t i = 1; i < tables->source_count; i++)
		assert_true(thr_prefix_compare(&tables->sources[i - 1].prefix,
					       &tables->sources[i].prefix) < 0);
}

static void sources_stay_in_order_however_they_are_set(void **state)
{
	static const char *const texts[] = {"10.0.0.0/8", "::/0", "10.0.0.0/16",
					    "9.0.0.0/8",  "::1",  "2001:db8::/32",
					    "0.0.0.0/0"};
	AUTO_TABLES struct thr_tables tables = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		set(&tables, texts[i], THR_SOURCE_DENY);
		assert_int_equal(tables.source_count, i + 1);
		assert_ascending(&tables);
	}
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_non_null(find(&tables, texts[i]));
}

static void setting_a_prefix_again_replaces_it(void **state)
{
	AUTO_TABLES struct thr_tables tables = {0};

	(void)state;
	set(&tables, "10.0.0.0/8", THR_SOURCE_DENY);
	set(&tables, "10.0.0.0/8", THR_SOURCE_ALLOW);
	assert_int_equal(tables.source_count, 1);
	assert_int_equal(find(&tables, "10.0.0.0/8")->action, THR_SOURCE_ALLOW);
}

static void a_source_may_be_set_from_the_list_itself(void **state)
{
	AUTO_TABLES struct thr_tables tables = {0};

	(void)state;
	for (int i = 0; i < 100; i++) {
		char text[THR_PREFIX_TEXT];
		struct thr_source_config *last;

		snprintf(text, sizeof(text), "10.0.%d.0/24", 200 - i);
		set(&tables, text, THR_SOURCE_ALLOW);
		last = &tables.sources[tables.source_count - 1];
		assert_int_equal(thr_tables_set_source(&tables, last), 0);
	}
	assert_int_equal(tables.source_count, 100);
	assert_ascending(&tables);
}

static void only_the_exact_prefix_is_found(void **state)
{
	AUTO_TABLES struct thr_tables tables = {0};

	(void)state;
	assert_null(find(&tables, "10.0.0.0/8"));
	set(&tables, "10.0.0.0/8", THR_SOURCE_DENY);
	assert_null(find(&tables, "10.0.0.0/9"));
	assert_null(find(&tables, "10.0.0.0"));
	assert_null(find(&tables, "0.0.0.0/0"));
	assert_null(find(&tables, "255.0.0.0/8"));
}

static void removing_a_source_leaves_the_others(void **state)
{
	AUTO_TABLES struct thr_tables tables = {0};

	(void)state;
	set(&tables, "10.0.0.0/8", THR_SOURCE_DENY);
	set(&tables, "11.0.0.0/8", THR_SOURCE_DENY);
	set(&tables, "12.0.0.0/8", THR_SOURCE_DENY);
	thr_tables_remove_source(&tables, find(&tables, "11.0.0.0/8"));
	assert_int_equal(tables.source_count, 2);
	assert_null(find(&tables, "11.0.0.0/8"));
	thr_tables_remove_source(&tables, find(&tables, "12.0.0.0/8"));
	thr_tables_remove_source(&tables, find(&tables, "10.0.0.0/8"));
	assert_int_equal(tables.source_count, 0);
	set(&tables, "11.0.0.0/8", THR_SOURCE_ALLOW);
	assert_non_null(find(&tables, "11.0.0.0/8"));
}

static void cleared_tables_are_empty_and_may_be_cleared_again(void **state)
{
	struct thr_tables tables = {0};

	(void)state;
	set(&tables, "10.0.0.0/8", THR_SOURCE_DENY);
	thr_tables_clear(&tables);
	assert_null(tables.sources);
	assert_int_equal(tables.source_count, 0);
	thr_tables_clear(&tables);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(sources_stay_in_order_however_they_are_set),
		cmocka_unit_test(setting_a_prefix_again_replaces_it),
		cmocka_unit_test(a_source_may_be_set_from_the_list_itself),
		cmocka_unit_test(only_the_exact_prefix_is_found),
		cmocka_unit_test(removing_a_source_leaves_the_others),
		cmocka_unit_test(cleared_tables_are_empty_and_may_be_cleared_again),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
