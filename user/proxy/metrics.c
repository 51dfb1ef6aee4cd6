/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the proxy shows in metrics: totals of all workers, and by route those of the
 * configuration in force. Routes without a request have no series yet, so thousands of
 * them that nobody asks for cost a scrape nothing.
 */
#include "proxy/counts.h"
#include "proxy/internal.h"

/* One of the counters, over all workers. */
static uint64_t sum(const struct thr_proxy *proxy, const struct thr_proxy_counts *counts,
		    size_t offset)
{
	uint64_t total = 0;

	for (unsigned int i = 0; i < proxy->parts.workers; i++) {
		const char *at = (const char *)&counts[i] + offset;

		total += __atomic_load_n((const uint64_t *)at, __ATOMIC_RELAXED);
	}
	return total;
}

static void write_totals(const struct thr_proxy *proxy, const struct thr_proxy_counts *counts,
			 struct thr_metrics *metrics)
{
	static const struct {
		const char *name, *help;
		size_t offset;
	} families[] = {
		{"http_connections_accepted", "Connections of clients that were accepted",
		 offsetof(struct thr_proxy_counts, connections)},
		{"http_malformed", "Requests that were not well-formed, too large or too late",
		 offsetof(struct thr_proxy_counts, malformed)},
		{"http_upstream_errors", "Requests answered 502, 503 or 504 in a target's place",
		 offsetof(struct thr_proxy_counts, upstream_errors)},
		{"http_retries", "Tries of requests after their first",
		 offsetof(struct thr_proxy_counts, retries)},
	};

	thr_metrics_family(metrics, THR_GAUGE, "http_connections",
			   "Connections of clients that are open");
	thr_metrics_gauge(
		metrics, NULL, 0,
		(double)sum(proxy, counts, offsetof(struct thr_proxy_counts, open_connections)));
	thr_metrics_family(metrics, THR_GAUGE, "http_connections_max",
			   "Connections of clients that may be open: beyond it new ones wait, "
			   "or an idle one is closed for them");
	thr_metrics_gauge(metrics, NULL, 0, (double)(proxy->acceptor.max * proxy->parts.workers));
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		thr_metrics_family(metrics, THR_COUNTER, families[i].name, families[i].help);
		thr_metrics_count(metrics, NULL, 0, sum(proxy, counts, families[i].offset));
	}
}

static void write_requests(const struct thr_route_counts *counts, struct thr_slice path,
			   struct thr_metrics *metrics)
{
	static const char *const statuses[] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
	static const char *const verdicts[] = {"none", "allowed", "limited"};

	for (size_t i = 0; i < THR_STATUS_CLASSES; i++) {
		for (size_t j = 0; j < THR_VERDICTS; j++) {
			const struct thr_label labels[] = {{"route", path},
							   {"status", thr_text(statuses[i])},
							   {"verdict", thr_text(verdicts[j])}};

			if (counts->requests[i][j])
				thr_metrics_count(metrics, labels, 3, counts->requests[i][j]);
		}
	}
}

static void write_durations(const struct thr_route_counts *counts, struct thr_slice path,
			    struct thr_metrics *metrics)
{
	const struct thr_label label = {"route", path};
	uint64_t requests = 0;

	for (size_t i = 0; i <= THR_HISTOGRAM_BOUNDS; i++)
		requests += counts->duration.bucket[i];
	if (requests)
		thr_metrics_histogram(metrics, &label, 1, &counts->duration);
}

/* Of each route that has a slot of its own, and of slot 0. */
static void write_each(const struct thr_proxy *proxy, struct thr_metrics *metrics,
		       void (*write_one)(const struct thr_route_counts *counts,
					 struct thr_slice path, struct thr_metrics *metrics))
{
	const struct generation *generation = proxy->generation;
	const struct thr_proxy_parts *parts = &proxy->parts;
	struct thr_route_counts counts;

	thr_route_counts_sum(parts->route_counts, parts->workers, 0, &counts);
	write_one(&counts, THR_SLICE(""), metrics);
	for (size_t i = 0; generation && i < generation->config->route_count; i++) {
		const struct route *route = &generation->routes[i];

		if (!route->slot)
			continue;
		thr_route_counts_sum(parts->route_counts, parts->workers, route->slot, &counts);
		write_one(&counts, thr_text(route->config->path), metrics);
	}
}

/* Whether a target before this one in the route's list has the same host and port, and
 * so the same labels. */
static bool is_repeated(const struct target *first, const struct target *target)
{
	for (; first < target; first++)
		if (first->endpoint == target->endpoint)
			return true;
	return false;
}

static void write_targets(const struct thr_proxy *proxy, struct thr_metrics *metrics)
{
	const struct generation *generation = proxy->generation;
	uint64_t now_ms = thr_loop_now_ms(proxy->parts.loop);

	thr_metrics_family(metrics, THR_GAUGE, "http_target_up",
			   "Whether a target is given requests: 0 while it is set aside");
	for (size_t i = 0; generation && i < generation->config->route_count; i++) {
		const struct thr_picker *picker = &generation->routes[i].picker;
		const struct target *first = &generation->target[picker->first];

		for (size_t j = 0; j < picker->count; j++) {
			const struct thr_label labels[] = {
				{"route", thr_text(generation->routes[i].config->path)},
				{"target", thr_text(first[j].endpoint->name)}};
			bool is_up = thr_target_is_available(generation->targets, picker->first + j,
							     now_ms);

			if (!is_repeated(first, first + j))
				thr_metrics_gauge(metrics, labels, 2, is_up);
		}
	}
}

size_t thr_proxy_route_counts_size(unsigned int workers)
{
	return thr_route_counts_size(workers);
}

void thr_proxy_write_metrics(struct thr_proxy *proxy, const struct thr_proxy_counts *counts,
			     struct thr_metrics *metrics)
{
	write_totals(proxy, counts, metrics);
	thr_metrics_family(metrics, THR_COUNTER, "http_requests",
			   "Requests by route, status of the answer and verdict of the limit");
	write_each(proxy, metrics, write_requests);
	thr_metrics_family(metrics, THR_HISTOGRAM, "http_request_duration_seconds",
			   "From a request's head to the end of its answer");
	write_each(proxy, metrics, write_durations);
	write_targets(proxy, metrics);
}
