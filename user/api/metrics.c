/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The families of the API, over all workers; see api.h. */
#include "api/api.h"

static uint64_t sum(const struct thr_api_counts *counts, unsigned int workers, size_t offset)
{
	uint64_t total = 0;

	for (unsigned int i = 0; i < workers; i++) {
		const char *worker = (const char *)&counts[i];

		total += __atomic_load_n((const uint64_t *)(const void *)(worker + offset),
					 __ATOMIC_RELAXED);
	}
	return total;
}

#define SUM(member) sum(counts, workers, offsetof(struct thr_api_counts, member))

/* One sample for each value of a label. */
static void put_array(struct thr_metrics *metrics, const uint64_t *total, const char *label,
		      const char *const *values)
{
	for (size_t i = 0; values[i]; i++) {
		struct thr_label labels = {label, thr_text(values[i])};

		thr_metrics_count(metrics, &labels, 1, total[i]);
	}
}

static void sum_array(const struct thr_api_counts *counts, unsigned int workers, size_t offset,
		      uint64_t *ret_total, size_t count)
{
	for (size_t i = 0; i < count; i++)
		ret_total[i] = sum(counts, workers, offset + i * sizeof(uint64_t));
}

void thr_api_write_metrics(const struct thr_api_counts *counts, unsigned int workers,
			   struct thr_metrics *metrics)
{
	static const char *const calls[] = {
		[THR_API_CHECK] = "check",   [THR_API_CONFIG] = "config",
		[THR_API_HEALTH] = "health", [THR_API_METRICS] = "metrics",
		[THR_API_OTHER] = "other",   NULL,
	};
	static const char *const statuses[] = {"2xx", "3xx", "4xx", "5xx", NULL};
	static const char *const verdicts[] = {
		[THR_API_ALLOWED] = "allowed",
		[THR_API_DENIED] = "denied",
		[THR_API_PEEKED] = "peeked",
		NULL,
	};
	uint64_t total[8];
	struct thr_histogram check = {0};

	thr_metrics_family(metrics, THR_COUNTER, "api_requests", "Requests to the API, by call");
	sum_array(counts, workers, offsetof(struct thr_api_counts, requests), total, 5);
	put_array(metrics, total, "call", calls);
	thr_metrics_family(metrics, THR_COUNTER, "api_responses",
			   "Answers of the API, by status; a denied check is 4xx");
	sum_array(counts, workers, offsetof(struct thr_api_counts, responses), total, 6);
	put_array(metrics, total + 2, "status", statuses);
	thr_metrics_family(metrics, THR_COUNTER, "api_connections_accepted",
			   "Connections to the API that were accepted");
	thr_metrics_count(metrics, NULL, 0, SUM(connections));
	thr_metrics_family(metrics, THR_GAUGE, "api_connections", "Connections to the API");
	thr_metrics_gauge(metrics, NULL, 0, (double)SUM(open_connections));
	thr_metrics_family(metrics, THR_COUNTER, "api_malformed",
			   "Requests to the API that were not well-formed HTTP, or late");
	thr_metrics_count(metrics, NULL, 0, SUM(malformed));
	thr_metrics_family(metrics, THR_COUNTER, "api_unauthorized",
			   "Requests to the API without the token");
	thr_metrics_count(metrics, NULL, 0, SUM(unauthorized));
	thr_metrics_family(metrics, THR_COUNTER, "api_rate_limited",
			   "Requests to the API over api.rate_limit");
	thr_metrics_count(metrics, NULL, 0, SUM(limited));
	thr_metrics_family(metrics, THR_COUNTER, "checks",
			   "Checks, by verdict; one of cost 0 only peeks");
	sum_array(counts, workers, offsetof(struct thr_api_counts, checks), total, 3);
	put_array(metrics, total, "verdict", verdicts);
	for (unsigned int i = 0; i < workers; i++)
		thr_histogram_sum(&check, &counts[i].check);
	thr_metrics_family(metrics, THR_HISTOGRAM, "check_duration_seconds",
			   "Time of POST /check, from its head to its answer");
	thr_metrics_histogram(metrics, NULL, 0, &check);
}
