/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The two text formats; see metrics.h. They differ in how a counter's family is called, in
 * what is escaped in HELP, and in the end mark.
 *
 * Thousands of routes are some ten thousand lines, written by a worker that serves clients
 * meanwhile. So the labels of a histogram are escaped once and then copied from line to
 * line, and numbers are written without printf().
 */
#include "core/metrics.h"

#include <stdio.h>
#include <string.h>

#define PREFIX "xdp_throttle_"
#define NUMBER_TEXT 20 /* of 2^64 - 1 */

static void put(struct thr_metrics *metrics, const char *bytes, size_t length)
{
	if (!metrics->failed && thr_buffer_append(metrics->out, bytes, length) < 0)
		metrics->failed = true;
}

static void put_text(struct thr_metrics *metrics, const char *text)
{
	put(metrics, text, strlen(text));
}

static void put_number(struct thr_metrics *metrics, uint64_t value)
{
	char text[NUMBER_TEXT], *at = text + sizeof(text);

	do {
		*--at = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	put(metrics, at, (size_t)(text + sizeof(text) - at));
}

static void put_float(struct thr_metrics *metrics, double value)
{
	char text[32];

	snprintf(text, sizeof(text), "%.15g", value);
	put_text(metrics, text);
}

/* What is written already, again: `length` bytes from `from` on. */
static void put_again(struct thr_metrics *metrics, size_t from, size_t length)
{
	if (!metrics->failed && thr_buffer_reserve(metrics->out, length) < 0)
		metrics->failed = true;
	if (!metrics->failed)
		put(metrics, thr_buffer_bytes(metrics->out) + from, length);
}

/* With '\', line ends and, where asked for, '"' escaped. */
static void put_escaped(struct thr_metrics *metrics, struct thr_slice value, bool quotes)
{
	size_t done = 0;

	for (size_t i = 0; i < value.length; i++) {
		char c = value.at[i];

		if (c != '\\' && c != '\n' && !(c == '"' && quotes))
			continue;
		put(metrics, value.at + done, i - done);
		put(metrics, "\\", 1);
		put(metrics, c == '\n' ? "n" : &c, 1);
		done = i + 1;
	}
	put(metrics, value.at + done, value.length - done);
}

/* 'a="b",c="d"' */
static void put_labels(struct thr_metrics *metrics, const struct thr_label *labels, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		put(metrics, ",", i > 0);
		put_text(metrics, labels[i].name);
		put(metrics, "=\"", 2);
		put_escaped(metrics, labels[i].value, true);
		put(metrics, "\"", 1);
	}
}

/* All of a line but its value and its end. */
static void put_sample(struct thr_metrics *metrics, const char *suffix,
		       const struct thr_label *labels, size_t count)
{
	put(metrics, PREFIX, strlen(PREFIX));
	put_text(metrics, metrics->name);
	put_text(metrics, suffix);
	put(metrics, "{", count > 0);
	put_labels(metrics, labels, count);
	put_text(metrics, count ? "} " : " ");
}

static void put_header(struct thr_metrics *metrics, const char *keyword)
{
	bool is_sample_name = metrics->type == THR_COUNTER && !metrics->open_metrics;

	put_text(metrics, keyword);
	put(metrics, PREFIX, strlen(PREFIX));
	put_text(metrics, metrics->name);
	/* OpenMetrics names the family; the older format names its samples. */
	put_text(metrics, is_sample_name ? "_total " : " ");
}

void thr_metrics_family(struct thr_metrics *metrics, enum thr_metric_type type, const char *name,
			const char *help)
{
	static const char *const types[] = {"counter", "gauge", "histogram"};

	metrics->type = type;
	metrics->name = name;
	put_header(metrics, "# HELP ");
	put_escaped(metrics, thr_text(help), metrics->open_metrics);
	put(metrics, "\n", 1);
	put_header(metrics, "# TYPE ");
	put_text(metrics, types[type]);
	put(metrics, "\n", 1);
}

void thr_metrics_count(struct thr_metrics *metrics, const struct thr_label *labels, size_t count,
		       uint64_t value)
{
	put_sample(metrics, "_total", labels, count);
	put_number(metrics, value);
	put(metrics, "\n", 1);
}

void thr_metrics_count_time(struct thr_metrics *metrics, const struct thr_label *labels,
			    size_t count, uint64_t ns)
{
	put_sample(metrics, "_total", labels, count);
	put_float(metrics, (double)ns / 1e9);
	put(metrics, "\n", 1);
}

void thr_metrics_gauge(struct thr_metrics *metrics, const struct thr_label *labels, size_t count,
		       double value)
{
	put_sample(metrics, "", labels, count);
	put_float(metrics, value);
	put(metrics, "\n", 1);
}

void thr_metrics_histogram(struct thr_metrics *metrics, const struct thr_label *labels,
			   size_t count, const struct thr_histogram *histogram)
{
	size_t begin = thr_buffer_length(metrics->out), length;
	uint64_t sum = 0;

	put(metrics, PREFIX, strlen(PREFIX));
	put_text(metrics, metrics->name);
	put_text(metrics, "_bucket{");
	put_labels(metrics, labels, count);
	put_text(metrics, count ? ",le=\"" : "le=\"");
	length = thr_buffer_length(metrics->out) - begin;
	for (size_t i = 0; i <= THR_HISTOGRAM_BOUNDS; i++) {
		if (i)
			put_again(metrics, begin, length);
		sum += histogram->bucket[i];
		put_text(metrics, thr_histogram_bound_text[i]);
		put(metrics, "\"} ", 3);
		put_number(metrics, sum);
		put(metrics, "\n", 1);
	}
	put_sample(metrics, "_sum", labels, count);
	put_float(metrics, (double)histogram->sum_ns / 1e9);
	put(metrics, "\n", 1);
	put_sample(metrics, "_count", labels, count);
	put_number(metrics, sum);
	put(metrics, "\n", 1);
}

void thr_metrics_end(struct thr_metrics *metrics)
{
	if (metrics->open_metrics)
		put_text(metrics, "# EOF\n");
}
