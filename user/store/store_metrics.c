/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The families of the store. A worker's counts are read while it writes them: each is right,
 * two of them may be of different moments. */
#include "core/clock.h"
#include "store/store.h"

struct reading {
	const struct thr_store_counts *counts;
	unsigned int workers;
	struct thr_metrics *metrics;
};

static uint64_t at(const struct thr_store_counts *counts, size_t offset)
{
	return __atomic_load_n((const uint64_t *)((const char *)counts + offset), __ATOMIC_RELAXED);
}

static uint64_t sum_of(const struct reading *reading, size_t offset)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < reading->workers; i++)
		sum += at(&reading->counts[i], offset);
	return sum;
}

static uint64_t most_of(const struct reading *reading, size_t offset)
{
	uint64_t most = 0;

	for (unsigned int i = 0; i < reading->workers; i++)
		if (at(&reading->counts[i], offset) > most)
			most = at(&reading->counts[i], offset);
	return most;
}

#define SUM(reading, member) sum_of(reading, offsetof(struct thr_store_counts, member))
#define MOST(reading, member) most_of(reading, offsetof(struct thr_store_counts, member))

static void put_taking(const struct reading *reading, const char *verdict, const char *degraded,
		       uint64_t count)
{
	const struct thr_label labels[] = {{"verdict", thr_text(verdict)},
					   {"degraded", thr_text(degraded)}};

	thr_metrics_count(reading->metrics, labels, 2, count);
}

/* The parts were added after the whole: none is counted that the whole does not have. */
static uint64_t without(uint64_t whole, uint64_t part)
{
	return whole > part ? whole - part : 0;
}

static void put_takings(const struct reading *reading)
{
	uint64_t degraded_allowed = SUM(reading, degraded_allowed);
	uint64_t degraded_denied = SUM(reading, degraded_denied);

	thr_metrics_family(reading->metrics, THR_COUNTER, "store_takings",
			   "Takings from buckets by verdict; degraded: Redis could not be asked");
	put_taking(reading, "allowed", "false", without(SUM(reading, allowed), degraded_allowed));
	put_taking(reading, "denied", "false", without(SUM(reading, denied), degraded_denied));
	put_taking(reading, "allowed", "true", degraded_allowed);
	put_taking(reading, "denied", "true", degraded_denied);
}

static void put_place(struct thr_metrics *metrics, const char *place, uint64_t count)
{
	const struct thr_label label = {"place", thr_text(place)};

	thr_metrics_count(metrics, &label, 1, count);
}

static void put_memory(struct thr_metrics *metrics, const struct thr_memory *buckets)
{
	struct thr_memory_counts counts;

	thr_memory_count(buckets, &counts);
	thr_metrics_family(metrics, THR_GAUGE, "memory_cells",
			   "Buckets that the table of this machine has room for");
	thr_metrics_gauge(metrics, NULL, 0, (double)thr_memory_cells(buckets));
	thr_metrics_family(metrics, THR_GAUGE, "memory_cells_used",
			   "About how many of them are in use: not full again");
	thr_metrics_gauge(metrics, NULL, 0,
			  (double)thr_memory_used(buckets, thr_clock_monotonic_ns()));
	thr_metrics_family(metrics, THR_COUNTER, "memory_takings",
			   "Takings from the table of this machine: from a key's own bucket, from "
			   "one shared by a group because the table is full, refused for lack of "
			   "one");
	put_place(metrics, "own", counts.own);
	put_place(metrics, "group", counts.group);
	put_place(metrics, "group2", counts.group2);
	put_place(metrics, "none", counts.none);
}

static void put_count(const struct reading *reading, const char *name, const char *help,
		      uint64_t count)
{
	thr_metrics_family(reading->metrics, THR_COUNTER, name, help);
	thr_metrics_count(reading->metrics, NULL, 0, count);
}

static void put_gauge(const struct reading *reading, const char *name, const char *help,
		      uint64_t value)
{
	thr_metrics_family(reading->metrics, THR_GAUGE, name, help);
	thr_metrics_gauge(reading->metrics, NULL, 0, (double)value);
}

static void put_calls(const struct reading *reading)
{
	const struct thr_label error = {"kind", thr_text("error")};
	const struct thr_label timeout = {"kind", thr_text("timeout")};
	struct thr_histogram call = {0};

	put_count(reading, "store_known_takings",
		  "Takings denied or allowed without a call: known to be over, or leased",
		  SUM(reading, known));
	put_count(reading, "store_calls", "Calls of the bucket script, each for one taking or more",
		  SUM(reading, calls));
	put_count(reading, "store_commands", "Commands sent to Redis, of every kind",
		  SUM(reading, commands));
	thr_metrics_family(reading->metrics, THR_COUNTER, "store_call_errors",
			   "Commands to Redis that failed: error replies and lost connections, or "
			   "no answer within the deadline");
	thr_metrics_count(reading->metrics, &error, 1, SUM(reading, call_errors));
	thr_metrics_count(reading->metrics, &timeout, 1, SUM(reading, call_timeouts));
	for (unsigned int i = 0; i < reading->workers; i++)
		thr_histogram_sum(&call, &reading->counts[i].call);
	thr_metrics_family(reading->metrics, THR_HISTOGRAM, "store_call_duration_seconds",
			   "From sending a call of the bucket script to its reply");
	thr_metrics_histogram(reading->metrics, NULL, 0, &call);
}

static void put_redis(const struct reading *reading)
{
	put_calls(reading);
	put_gauge(reading, "store_breaker_state",
		  "Circuit breaker of the worst worker and node: 0 closed, 1 half-open, 2 open",
		  MOST(reading, breaker));
	put_count(reading, "store_breaker_opened", "How often a circuit breaker opened",
		  SUM(reading, opened));
	put_gauge(reading, "store_instances",
		  "Instances alive that share the limits, this one included",
		  MOST(reading, instances));
	put_gauge(reading, "store_quotas", "Keys in Redis that have a quota of their own",
		  MOST(reading, quotas));
}

void thr_store_write_metrics(const struct thr_store_counts *counts, unsigned int workers,
			     const struct thr_memory *buckets, bool shared,
			     struct thr_metrics *metrics)
{
	const struct reading reading = {counts, workers, metrics};

	put_takings(&reading);
	put_memory(metrics, buckets);
	if (shared)
		put_redis(&reading);
}
