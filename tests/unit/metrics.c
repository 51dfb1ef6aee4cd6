/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Metrics as text in both formats, and the histograms behind them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/metrics.h"
#include "support/run.h"

#define MANY 3000

struct fixture {
	struct thr_buffer out;
	struct thr_metrics metrics;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	if (!fixture)
		return -1;
	fixture->metrics.out = &fixture->out;
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	thr_buffer_clear(&fixture->out);
	free(fixture);
	return 0;
}

/* What was written since the last time. */
static void assert_written(struct fixture *fixture, const char *expected)
{
	assert_false(fixture->metrics.failed);
	assert_int_equal(thr_buffer_append(&fixture->out, "", 1), 0);
	assert_string_equal(thr_buffer_bytes(&fixture->out), expected);
	thr_buffer_clear(&fixture->out);
}

static void a_counter_is_named_by_its_samples_or_by_its_family(void **state)
{
	struct fixture *fixture = *state;
	struct thr_metrics *metrics = &fixture->metrics;

	thr_metrics_family(metrics, THR_COUNTER, "things", "Things");
	thr_metrics_count(metrics, NULL, 0, UINT64_MAX);
	thr_metrics_end(metrics);
	assert_written(fixture, "# HELP xdp_throttle_things_total Things\n"
				"# TYPE xdp_throttle_things_total counter\n"
				"xdp_throttle_things_total 18446744073709551615\n");

	metrics->open_metrics = true;
	thr_metrics_family(metrics, THR_COUNTER, "things", "Things");
	thr_metrics_count(metrics, NULL, 0, 0);
	thr_metrics_end(metrics);
	assert_written(fixture, "# HELP xdp_throttle_things Things\n"
				"# TYPE xdp_throttle_things counter\n"
				"xdp_throttle_things_total 0\n"
				"# EOF\n");
}

static void time_is_counted_in_seconds(void **state)
{
	struct fixture *fixture = *state;

	thr_metrics_family(&fixture->metrics, THR_COUNTER, "busy_seconds", "Busy");
	thr_metrics_count_time(&fixture->metrics, NULL, 0, 1500000001);
	assert_written(fixture, "# HELP xdp_throttle_busy_seconds_total Busy\n"
				"# TYPE xdp_throttle_busy_seconds_total counter\n"
				"xdp_throttle_busy_seconds_total 1.500000001\n");
}

static void labels_are_written_in_order_and_their_values_escaped(void **state)
{
	struct fixture *fixture = *state;
	const struct thr_label labels[] = {
		{"a", THR_SLICE("\\ \"\n")},
		{"b", THR_SLICE("")},
		{"c", THR_SLICE("/api{x}, y=1")},
		{"d", THR_SLICE("\"gr\xc3\xbc\xc3\x9f\"")},
	};

	thr_metrics_family(&fixture->metrics, THR_GAUGE, "state", "State");
	thr_metrics_gauge(&fixture->metrics, labels, ARRAY_SIZE(labels), 1);
	thr_metrics_gauge(&fixture->metrics, labels + 1, 1, 0.25);
	assert_written(fixture, "# HELP xdp_throttle_state State\n"
				"# TYPE xdp_throttle_state gauge\n"
				"xdp_throttle_state{a=\"\\\\ \\\"\\n\",b=\"\",c=\"/api{x}, y=1\","
				"d=\"\\\"gr\xc3\xbc\xc3\x9f\\\"\"} 1\n"
				"xdp_throttle_state{b=\"\"} 0.25\n");
}

static void quotes_in_help_are_escaped_in_open_metrics_alone(void **state)
{
	struct fixture *fixture = *state;

	thr_metrics_family(&fixture->metrics, THR_GAUGE, "state", "The \"state\",\na \\");
	assert_written(fixture, "# HELP xdp_throttle_state The \"state\",\\na \\\\\n"
				"# TYPE xdp_throttle_state gauge\n");
	fixture->metrics.open_metrics = true;
	thr_metrics_family(&fixture->metrics, THR_GAUGE, "state", "The \"state\",\na \\");
	assert_written(fixture, "# HELP xdp_throttle_state The \\\"state\\\",\\na \\\\\n"
				"# TYPE xdp_throttle_state gauge\n");
}

static void histogram_buckets_are_cumulative(void **state)
{
	struct fixture *fixture = *state;
	static const int counts[] = {2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5};
	const struct thr_label label = {"route", THR_SLICE("/\"")};
	struct thr_histogram histogram = {0};
	char expected[2048], *at = expected;

	thr_histogram_add(&histogram, 0);
	thr_histogram_add(&histogram, 50000);
	thr_histogram_add(&histogram, 50001);
	thr_histogram_add(&histogram, 2500000);
	thr_histogram_add(&histogram, 11000000000);
	fixture->metrics.name = "seconds";
	thr_metrics_histogram(&fixture->metrics, &label, 1, &histogram);
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		at += sprintf(at, "xdp_throttle_seconds_bucket{route=\"/\\\"\",le=\"%s\"} %d\n",
			      thr_histogram_bound_text[i], counts[i]);
	strcpy(at, "xdp_throttle_seconds_sum{route=\"/\\\"\"} 11.002600001\n"
		   "xdp_throttle_seconds_count{route=\"/\\\"\"} 5\n");
	assert_written(fixture, expected);
}

static void a_histogram_without_labels_has_le_alone(void **state)
{
	struct fixture *fixture = *state;
	const struct thr_histogram histogram = {.bucket = {1}};
	const char *text;

	fixture->metrics.name = "seconds";
	thr_metrics_histogram(&fixture->metrics, NULL, 0, &histogram);
	assert_int_equal(thr_buffer_append(&fixture->out, "", 1), 0);
	text = thr_buffer_bytes(&fixture->out);
	assert_non_null(strstr(text, "xdp_throttle_seconds_bucket{le=\"5e-05\"} 1\n"));
	assert_non_null(strstr(text, "xdp_throttle_seconds_bucket{le=\"+Inf\"} 1\n"));
	assert_non_null(strstr(text, "xdp_throttle_seconds_sum 0\n"));
	assert_non_null(strstr(text, "xdp_throttle_seconds_count 1\n"));
}

static void a_duration_is_in_the_first_bucket_whose_bound_it_is_not_over(void **state)
{
	(void)state;
	assert_int_equal(thr_histogram_find(0), 0);
	assert_int_equal(thr_histogram_find(UINT64_MAX), THR_HISTOGRAM_BOUNDS);
	for (size_t i = 0; i < THR_HISTOGRAM_BOUNDS; i++) {
		uint64_t bound_ns = thr_histogram_bound_ns[i];

		assert_int_equal(thr_histogram_find(bound_ns - 1), i);
		assert_int_equal(thr_histogram_find(bound_ns), i);
		assert_int_equal(thr_histogram_find(bound_ns + 1), i + 1);
	}
}

static void bounds_are_written_as_they_are(void **state)
{
	(void)state;
	for (size_t i = 0; i < THR_HISTOGRAM_BOUNDS; i++) {
		double written = strtod(thr_histogram_bound_text[i], NULL);

		assert_true(written == (double)thr_histogram_bound_ns[i] / 1e9);
	}
	assert_string_equal(thr_histogram_bound_text[THR_HISTOGRAM_BOUNDS], "+Inf");
}

static void histograms_of_processes_add_up(void **state)
{
	struct thr_histogram sum = {0}, one = {0};

	(void)state;
	thr_histogram_add(&one, 1);
	thr_histogram_add(&one, UINT32_MAX);
	thr_histogram_sum(&sum, &one);
	thr_histogram_sum(&sum, &one);
	assert_int_equal(sum.bucket[0], 2);
	assert_int_equal(sum.bucket[thr_histogram_find(UINT32_MAX)], 2);
	assert_int_equal(sum.sum_ns, 2 * (1 + (uint64_t)UINT32_MAX));
}

/* Thousands of labels, so that what is copied from the line before is moved by growing. */
static void write_many(struct thr_metrics *metrics)
{
	struct thr_histogram histogram = {.bucket = {1, 2, 3}, .sum_ns = 4};

	thr_metrics_family(metrics, THR_COUNTER, "requests", "Requests that were \"answered\"");
	for (int i = 0; i < MANY; i++) {
		char path[32];
		const struct thr_label label = {
			"route", {path, (size_t)snprintf(path, sizeof(path), "/\"\\%d", i)}};

		thr_metrics_count(metrics, &label, 1, (uint64_t)i);
	}
	thr_metrics_family(metrics, THR_HISTOGRAM, "duration_seconds", "How long they took");
	for (int i = 0; i < MANY; i++) {
		char path[32];
		const struct thr_label label = {
			"route", {path, (size_t)snprintf(path, sizeof(path), "/\"\\%d", i)}};

		thr_metrics_histogram(metrics, &label, 1, &histogram);
	}
	thr_metrics_family(metrics, THR_GAUGE, "open", "What is open");
	thr_metrics_gauge(metrics, NULL, 0, 1e15);
	thr_metrics_end(metrics);
}

static void thousands_of_histograms_are_whole(void **state)
{
	struct fixture *fixture = *state;
	const char *at, *end;
	size_t lines = 0;

	write_many(&fixture->metrics);
	assert_false(fixture->metrics.failed);
	at = thr_buffer_bytes(&fixture->out);
	end = at + thr_buffer_length(&fixture->out);
	for (; at < end; at = memchr(at, '\n', (size_t)(end - at)) + 1)
		lines += !strncmp(at, "xdp_throttle_duration_seconds_bucket{route=\"/\\\"\\\\",
				  strlen("xdp_throttle_duration_seconds_bucket{route=\"/\\\"\\\\"));
	assert_int_equal(lines, MANY * (THR_HISTOGRAM_BOUNDS + 1));
}

static void promtool_finds_nothing_wrong(void **state)
{
	struct fixture *fixture = *state;
	FILE *promtool;

	if (system("command -v promtool >/dev/null 2>&1"))
		THR_SKIP("promtool (Debian's prometheus) is not installed");
	write_many(&fixture->metrics);
	promtool = popen("promtool check metrics >&2", "w");
	assert_non_null(promtool);
	assert_int_equal(fwrite(thr_buffer_bytes(&fixture->out), 1,
				thr_buffer_length(&fixture->out), promtool),
			 thr_buffer_length(&fixture->out));
	assert_int_equal(pclose(promtool), 0);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(a_counter_is_named_by_its_samples_or_by_its_family),
		TEST(time_is_counted_in_seconds),
		TEST(labels_are_written_in_order_and_their_values_escaped),
		TEST(quotes_in_help_are_escaped_in_open_metrics_alone),
		TEST(histogram_buckets_are_cumulative),
		TEST(a_histogram_without_labels_has_le_alone),
		cmocka_unit_test(a_duration_is_in_the_first_bucket_whose_bound_it_is_not_over),
		cmocka_unit_test(bounds_are_written_as_they_are),
		cmocka_unit_test(histograms_of_processes_add_up),
		TEST(thousands_of_histograms_are_whole),
		TEST(promtool_finds_nothing_wrong),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
