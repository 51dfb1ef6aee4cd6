/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* GET /health, /ready and /metrics: whether the process lives, whether it can serve, and what
 * it counts. */
#include <stdio.h>

#include "api/internal.h"

void report_health(struct client *client)
{
	static const char text[] = "{\"status\":\"ok\",\"version\":\"" THR_VERSION "\"}\n";
	struct answer answer = {
		.status = 200,
		.type = "application/json",
		.body = {text, sizeof(text) - 1},
	};

	answer_send(client, &answer);
}

static const char *word(bool value)
{
	return value ? "true" : "false";
}

void report_ready(struct client *client)
{
	const struct thr_api *api = client->api;
	const struct thr_store *store = api->parts.store;
	bool ready = api->configured && !api->draining && thr_store_is_ready(store);
	char text[128];
	int length = snprintf(text, sizeof(text),
			      "{\"ready\":%s,\"draining\":%s,\"store\":\"%s\",\"degraded\":%s}\n",
			      word(ready), word(api->draining),
			      thr_store_is_shared(store) ? "redis" : "memory",
			      word(thr_store_is_degraded(store)));
	struct answer answer = {
		.status = ready ? 200 : 503,
		.type = "application/json",
		.body = {text, (size_t)length},
	};

	answer_send(client, &answer);
}

void report_metrics(struct client *client)
{
	const struct thr_api *api = client->api;
	struct thr_buffer text = {0};
	struct thr_metrics metrics = {.out = &text, .open_metrics = client->call.open_metrics};
	struct answer answer = {
		.status = 200,
		.fields = THR_SLICE("Vary: Accept\r\n"),
		.may_be_stored = true,
	};

	api->parts.write_metrics(api->parts.context, &metrics);
	thr_metrics_end(&metrics);
	answer.type = metrics.open_metrics
			      ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
			      : "text/plain; version=0.0.4; charset=utf-8";
	if (thr_buffer_length(&text))
		answer.body = (struct thr_slice){thr_buffer_bytes(&text), thr_buffer_length(&text)};
	if (metrics.failed)
		answer_problem(client, PROBLEM_BUSY, "Out of memory.", NULL);
	else if (answer.body.length > SMALL_BODY && !body_grow(client))
		body_refuse_large(client);
	else
		answer_send(client, &answer);
	thr_buffer_clear(&text);
}
