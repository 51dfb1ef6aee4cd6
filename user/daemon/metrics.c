/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See metrics.h. */
#include "daemon/metrics.h"

#include "core/clock.h"

static double seconds(uint64_t ns)
{
	uint64_t ms = ns / THR_NS_PER_MS;

	return (double)ms / 1e3;
}

static void write_gauge(struct thr_metrics *metrics, const char *name, const char *help,
			double value)
{
	thr_metrics_family(metrics, THR_GAUGE, name, help);
	thr_metrics_gauge(metrics, NULL, 0, value);
}

static void write_process(const struct thr_facts *facts, unsigned int workers,
			  struct thr_metrics *metrics)
{
	const struct thr_label version = {"version", thr_text(THR_VERSION)};
	struct thr_label result = {"result", thr_text("ok")};

	thr_metrics_family(metrics, THR_GAUGE, "build_info", "The version that runs");
	thr_metrics_gauge(metrics, &version, 1, 1);
	write_gauge(metrics, "start_time_seconds", "When it started, in seconds since 1970",
		    seconds(facts->start_ns));
	thr_metrics_family(metrics, THR_COUNTER, "cpu_seconds",
			   "CPU time of the master and its workers");
	thr_metrics_count_time(metrics, NULL, 0, facts->cpu_ns);
	write_gauge(metrics, "workers", "Worker processes that there are to be", workers);
	write_gauge(metrics, "workers_serving",
		    "Worker processes that serve by the configuration in force",
		    (double)facts->serving);
	thr_metrics_family(metrics, THR_COUNTER, "worker_restarts",
			   "Worker processes that ended and were started anew");
	thr_metrics_count(metrics, NULL, 0, facts->restarts);
	thr_metrics_family(metrics, THR_COUNTER, "reloads",
			   "Reloads of the configuration, by what became of them");
	thr_metrics_count(metrics, &result, 1, facts->reloaded);
	result.value = thr_text("refused");
	thr_metrics_count(metrics, &result, 1, facts->refused);
	write_gauge(metrics, "config_last_reload_successful",
		    "Whether the last reload, or the start, was in order", facts->last_good);
	write_gauge(metrics, "config_last_reload_timestamp_seconds",
		    "When a configuration was put in force last, in seconds since 1970",
		    seconds(facts->last_good_ns));
}

static void write_interfaces(const struct thr_facts *facts, struct thr_metrics *metrics)
{
	write_gauge(metrics, "packet_interfaces_configured",
		    "Interfaces that are to have the throttle",
		    (double)facts->interfaces_configured);
	write_gauge(metrics, "packet_interfaces", "Interfaces of these that have it",
		    (double)facts->interfaces);
}

static void write_packets(const struct thr_facts *facts, struct thr_metrics *metrics)
{
	struct thr_label label = {"verdict", thr_text("passed")};

	thr_metrics_family(metrics, THR_COUNTER, "packets",
			   "Packets that came to the packet layer, by verdict");
	thr_metrics_count(metrics, &label, 1, facts->packets.passed);
	label.value = thr_text("challenged");
	thr_metrics_count(metrics, &label, 1, facts->packets.challenged);
	label.value = thr_text("dropped");
	thr_metrics_count(metrics, &label, 1, facts->packets.dropped);
	thr_metrics_family(metrics, THR_COUNTER, "packet_reasons",
			   "Packets that came to the packet layer, by the reason of their verdict");
	label.name = "reason";
	for (unsigned int i = THR_REASON_NONE + 1; i < THR_REASON_COUNT; i++) {
		label.value = thr_text(thr_reason_name(i));
		thr_metrics_count(metrics, &label, 1, facts->packets.reason[i].packets);
	}
	if (facts->challenge != THR_CHALLENGE_NONE)
		write_gauge(metrics, "challenge_ready",
			    "Whether the kernel is set to what challenges need",
			    facts->challenge == THR_CHALLENGE_READY);
}

static void write_notes(const struct thr_facts *facts, struct thr_metrics *metrics)
{
	thr_metrics_family(metrics, THR_COUNTER, "verified",
			   "Clients of the proxy that were made verified sources, once a minute");
	thr_metrics_count(metrics, NULL, 0, facts->verified);
	thr_metrics_family(metrics, THR_COUNTER, "blocked",
			   "Clients of the proxy that were blocked, by rate_limit.block");
	thr_metrics_count(metrics, NULL, 0, facts->blocked);
	thr_metrics_family(metrics, THR_COUNTER, "notes_dropped",
			   "Clients to be verified or blocked that did not reach the packet layer");
	thr_metrics_count(metrics, NULL, 0, facts->notes_dropped + facts->notes_lost);
}

void thr_metrics_write_facts(const struct thr_board *board, unsigned int workers,
			     struct thr_metrics *metrics)
{
	struct thr_facts facts;

	if (!thr_board_read(board, &facts))
		return;
	write_process(&facts, workers, metrics);
	if (facts.interfaces_configured) {
		write_interfaces(&facts, metrics);
		write_notes(&facts, metrics);
	}
	/* A throttle that is gone took its counts along. */
	if (facts.interfaces)
		write_packets(&facts, metrics);
}

void thr_metrics_write_quotas(const struct thr_quotas *quotas, struct thr_metrics *metrics)
{
	write_gauge(metrics, "store_quotas", "Keys that have a quota of their own",
		    (double)thr_quotas_count(quotas));
}
