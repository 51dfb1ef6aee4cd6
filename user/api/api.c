/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The API as its daemon sees it; see api.h. */
#include "api/api.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct thr_api {
	struct thr_api_parts parts;
};

int thr_api_new(const struct thr_api_parts *parts, struct thr_api **ret_api,
		struct thr_error *error)
{
	struct thr_api *api = calloc(1, sizeof(*api));

	if (!api)
		return thr_fail(error, ENOMEM, "the API cannot start");
	api->parts = *parts;
	*ret_api = api;
	return 0;
}

int thr_api_configure(struct thr_api *api, const struct thr_config *config, const uint8_t *token,
		      struct thr_error *error)
{
	(void)api;
	(void)config;
	(void)token;
	(void)error;
	return 0;
}

int thr_api_listen(struct thr_api *api, unsigned int slot, int fd)
{
	(void)api;
	(void)slot;
	close(fd);
	return 0;
}

void thr_api_unlisten(struct thr_api *api, unsigned int slot)
{
	(void)api;
	(void)slot;
}

void thr_api_drain(struct thr_api *api)
{
	(void)api;
}

size_t thr_api_busy(const struct thr_api *api)
{
	(void)api;
	return 0;
}

void thr_api_free(struct thr_api *api)
{
	free(api);
}

void thr_api_write_metrics(const struct thr_api_counts *counts, unsigned int workers,
			   struct thr_metrics *metrics)
{
	(void)counts;
	(void)workers;
	(void)metrics;
}
