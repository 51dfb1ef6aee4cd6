/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How many files the processes may open: both sides of each connection of the proxy, for
 * one worker may come to have all of them, the API's share, and what is not a connection. A
 * worker begins with the master's limit; one that runs is given a higher one with prlimit().
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "core/log.h"
#include "daemon/master.h"

#define BESIDE 1024 /* what is not a connection */

/* But for the API; `connections` of the proxy have another side. */
static rlim_t files_for(const struct thr_config *config, uint64_t connections)
{
	return config->route_count ? BESIDE + (rlim_t)connections * 2 : BESIDE;
}

static rlim_t api_share(const struct thr_master *master, const struct thr_config *config,
			rlim_t files)
{
	return config->api.present ? thr_api_share(master->worker_count, files) : 0;
}

/* The least limit by which no connection of the proxy waits. */
static rlim_t files_needed(const struct thr_master *master, const struct thr_config *config)
{
	rlim_t files = files_for(config, config->server.max_connections);

	return files + api_share(master, config, files + files / 7);
}

static void warn_of_limit(const struct thr_master *master, const struct thr_config *config,
			  rlim_t files)
{
	rlim_t beside = files_for(config, 0) + api_share(master, config, files);
	char what[64] = "the API's connections", instead[64] = "";

	if (config->route_count)
		snprintf(what, sizeof(what), "server.max_connections of %llu%s",
			 (unsigned long long)config->server.max_connections,
			 config->api.present ? " with the API's" : "");
	if (config->route_count && files >= beside + 2)
		snprintf(instead, sizeof(instead), " or set server.max_connections to %llu or less",
			 (unsigned long long)(files - beside) / 2);
	thr_log(THR_LOG_WARNING,
		"a process may open %llu files, and %s can take %llu: beyond that connections "
		"wait; raise the limit (LimitNOFILE=, fs.nr_open)%s",
		(unsigned long long)files, what, (unsigned long long)files_needed(master, config),
		instead);
}

/* Raise this process's limit, as far as that goes: so far that an eighth of it is many for the
 * API too. Returns whether it changed. */
static bool raise_own(const struct thr_master *master, const struct thr_config *config,
		      struct rlimit *limit)
{
	rlim_t wanted = files_for(config, config->server.max_connections) +
			(config->api.present ? thr_api_share(1, RLIM_INFINITY) : 0);
	const struct rlimit more = {.rlim_cur = wanted, .rlim_max = wanted};
	rlim_t before;

	if (getrlimit(RLIMIT_NOFILE, limit))
		return false;
	before = limit->rlim_cur;
	if (limit->rlim_max < wanted && !setrlimit(RLIMIT_NOFILE, &more)) {
		*limit = more;
		return true;
	}
	if (limit->rlim_max < files_needed(master, config))
		warn_of_limit(master, config, limit->rlim_max);
	limit->rlim_cur = limit->rlim_max;
	return limit->rlim_cur != before && !setrlimit(RLIMIT_NOFILE, limit);
}

void thr_descriptors_raise(const struct thr_master *master, const struct thr_config *config)
{
	struct rlimit limit;

	if (!config->route_count && !config->api.present)
		return;
	if (!raise_own(master, config, &limit))
		return;
	for (unsigned int i = 0; i < master->worker_count; i++) {
		const struct thr_slot *slot = &master->slots[i];

		if (slot->pid && prlimit(slot->pid, RLIMIT_NOFILE, &limit, NULL))
			thr_log(THR_LOG_WARNING,
				"worker %u may open no more files than before, until it is "
				"restarted: %s",
				slot->number + 1, strerror(errno));
	}
}
