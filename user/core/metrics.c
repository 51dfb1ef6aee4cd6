/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The two text formats; see metrics.h. */
#include "core/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PREFIX "xdp_throttle_"

static void put(struct thr_metrics *metrics, const char *bytes, size_t length)
{
	if (!metrics->failed && thr_buffer_append(metrics->out, bytes, length) < 0)
		metrics->failed = true;
}

static void put_text(struct thr_metrics *metrics, const char *text)
{
	put(metrics, text, strlen(text));
}

static void put_escaped(struct thr_metrics *metrics, struct thr_slice value)
{
	for (size_t i = 0; i < value.length; i++) {
		char c = value.at[i];

		if (c == '\\' || c == '"')
			put(metrics, "\\", 1);
		if (c == '\n')
			put_text(metrics, "\\n");
		else
			put(metrics, &c, 1);
	}
}

/* "{a="b",c="d"}", with `le` as the last where it is not NULL. */
static void put_labels(struct thr_metrics *metrics, const struct thr_label *labels, size_t count,
		       const char *le)
{
	const char *before = "{";

	for (size_t i = 0; i < count; i++, before = ",") {
		put_text(metrics, before);
		put_text(metrics, labels[i].name);
		put_text(metrics, "=\"");
		put_escaped(metrics, labels[i].value);
		put_text(metrics, "\"");
	}
	if (le) {
		put_text(metrics, before);
		put_text(metrics, "le=\"");
		put_text(metrics, le);
		put_text(metrics, "\"");
	}
	if (count || le)
		put_text(metrics, "}");
}

static void put_sample(struct thr_metrics *metrics, const char *suffix,
		       const struct thr_label *labels, size_t count, const char *le,
		       const char *value)
{
	put_text(metrics, PREFIX);
	put_text(metrics, metrics->name);
	put_text(metrics, suffix);
	put_labels(metrics, labels, count, le);
	put_text(metrics, " ");
	put_text(metrics, value);
	put_text(metrics, "\n");
}

void thr_metrics_family(struct thr_metrics *metrics, enum thr_metric_type type, const char *name,
			const char *help)
{
	static const char *const types[] = {"counter", "gauge", "histogram"};
	/* OpenMetrics names the family; the older format names its samples. */
	const char *suffix = type == THR_COUNTER && !metrics->open_metrics ? "_total" : "";

	metrics->type = type;
	metrics->name = name;
	put_text(metrics, "# HELP " PREFIX);
	put_text(metrics, name);
	put_text(metrics, suffix);
	put_text(metrics, " ");
	put_text(metrics, help);
	put_text(metrics, "\n# TYPE " PREFIX);
	put_text(metrics, name);
	put_text(metrics, suffix);
	put_text(metrics, " ");
	put_text(metrics, types[type]);
	put_text(metrics, "\n");
}

void thr_metrics_count(struct thr_metrics *metrics, const struct thr_label *labels, size_t count,
		       uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	put_sample(metrics, "_total", labels, count, NULL, text);
}

void thr_metrics_gauge(struct thr_metrics *metrics, const struct thr_label *labels, size_t count,
		       double value)
{
	char text[32];

	snprintf(text, sizeof(text), "%.15g", value);
	put_sample(metrics, "", labels, count, NULL, text);
}

void thr_metrics_histogram(struct thr_metrics *metrics, const struct thr_label *labels,
			   size_t count, const struct thr_histogram *histogram)
{
	uint64_t sum = 0;
	char text[32], le[32] = "+Inf";

	for (size_t i = 0; i <= THR_HISTOGRAM_BOUNDS; i++) {
		if (i < THR_HISTOGRAM_BOUNDS)
			snprintf(le, sizeof(le), "%.15g", (double)thr_histogram_bound_ns[i] / 1e9);
		else
			snprintf(le, sizeof(le), "+Inf");
		sum += histogram->bucket[i];
		snprintf(text, sizeof(text), "%" PRIu64, sum);
		put_sample(metrics, "_bucket", labels, count, le, text);
	}
	snprintf(text, sizeof(text), "%.15g", (double)histogram->sum_ns / 1e9);
	put_sample(metrics, "_sum", labels, count, NULL, text);
	snprintf(text, sizeof(text), "%" PRIu64, sum);
	put_sample(metrics, "_count", labels, count, NULL, text);
}

void thr_metrics_end(struct thr_metrics *metrics)
{
	if (metrics->open_metrics)
		put_text(metrics, "# EOF\n");
}
