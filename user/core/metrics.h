/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Metrics as text: the Prometheus exposition format 0.0.4, or OpenMetrics 1.0. Each
 * module writes its own families; who answers a scrape has all of them called.
 *
 * A family is begun once, and its samples follow it. Names are given without the prefix
 * "xdp_throttle_" and a counter's without "_total": both are added here. Label values are
 * any UTF-8 and are escaped here; no label may hold a key or an address of a client.
 *
 * Out of memory is found out once, at the end: after it nothing more is written, and
 * `failed` says so.
 */
#ifndef THR_METRICS_H
#define THR_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buffer.h"
#include "core/histogram.h"
#include "core/slice.h"

enum thr_metric_type { THR_COUNTER, THR_GAUGE, THR_HISTOGRAM };

struct thr_metrics {
	struct thr_buffer *out;
	bool open_metrics;
	bool failed;		   /* memory ran out: what is in `out` is not whole */
	enum thr_metric_type type; /* of the family */
	const char *name;
};

struct thr_label {
	const char *name;
	struct thr_slice value;
};

/* Text for a label from a C string. */
static inline struct thr_slice thr_text(const char *text)
{
	return (struct thr_slice){text, strlen(text)};
}

/* `name` must last until the next family. `help` is a sentence without its full stop. */
void thr_metrics_family(struct thr_metrics *metrics, enum thr_metric_type type, const char *name,
			const char *help);

void thr_metrics_count(struct thr_metrics *metrics, const struct thr_label *labels, size_t count,
		       uint64_t value);
/* A counter of time, in seconds. */
void thr_metrics_count_time(struct thr_metrics *metrics, const struct thr_label *labels,
			    size_t count, uint64_t ns);
/* `value` is finite. */
void thr_metrics_gauge(struct thr_metrics *metrics, const struct thr_label *labels, size_t count,
		       double value);
/* _bucket, _sum and _count, in seconds. */
void thr_metrics_histogram(struct thr_metrics *metrics, const struct thr_label *labels,
			   size_t count, const struct thr_histogram *histogram);

/* After the last family. */
void thr_metrics_end(struct thr_metrics *metrics);

#endif
