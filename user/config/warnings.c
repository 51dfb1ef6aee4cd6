/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a file may say and hardly means; see thr_config_warn(). */
#include "config/config.h"

#include <stdio.h>

/* Without any, each spoofed SYN has the victim whose address it bears sent an answer. */
static bool limits_sources(const struct thr_limits *limits)
{
	for (int kind = 0; kind < THR_KINDS; kind++)
		if (limits->kind[kind].count)
			return true;
	return false;
}

static void warn_of_challenges(const struct thr_tables *tables, const char *file,
			       thr_config_warning *warn)
{
	char text[256];

	for (size_t i = 0; i < tables->service_count; i++) {
		const struct thr_service_config *service = &tables->services[i];

		if (!service->new_sources.count || service->on_overload != THR_OVERLOAD_CHALLENGE ||
		    limits_sources(&service->per_source) || limits_sources(&tables->per_source))
			continue;
		snprintf(text, sizeof(text),
			 "service '%s' challenges and has no limit for each source: who sends SYNs "
			 "under the address of another has it sent as many answers; write "
			 "per_source",
			 service->name);
		warn(file, text);
	}
}

static bool limits_clients(const struct thr_config *config)
{
	bool limits = config->rate_limit.rate.count;

	for (size_t i = 0; i < config->route_count; i++)
		limits |= config->routes[i].rate_limit.rate.count > 0;
	return limits;
}

void thr_config_warn(const struct thr_config *config, const char *file, thr_config_warning *warn)
{
	if (config->xdp.present && !config->xdp.interface_count)
		warn(file, "xdp.interfaces is not written: run attaches nothing; write interfaces: "
			   "[eth0], or use attach --dev");
	warn_of_challenges(&config->xdp.tables, file, warn);
	if (!config->route_count && (limits_clients(config) || config->block.refusals.count))
		warn(file, "rate_limit is for the clients of routes, and there are none: write "
			   "routes, or leave it out");
	else if (config->block.refusals.count && !limits_clients(config))
		warn(file, "rate_limit.block blocks who goes over a limit, and there is none: "
			   "write requests_per_second");
}
