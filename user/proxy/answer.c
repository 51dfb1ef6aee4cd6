/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the proxy answers by itself: a problem (RFC 9457) that says what was wrong
 * and, to a client over its limit, when to come back. No cache keeps one: it is
 * about this client at this moment.
 */
#include "http/http.h"
#include "http/write.h"
#include "proxy/heads.h"

size_t thr_head_answer(char *out, size_t size, const struct thr_answer *answer)
{
	struct thr_writer writer = {.at = out, .end = out + size};
	const char *reason = thr_http_reason(answer->status);
	char problem[THR_PROBLEM_MAX];
	struct thr_problem what = {.status = answer->status, .detail = answer->detail};
	struct thr_slice body = {problem, thr_http_problem(&what, problem)};

	thr_put_status_line(&writer, answer->status, (struct thr_slice){reason, strlen(reason)});
	thr_put_date_field(&writer, answer->date);
	thr_put_field(&writer, THR_SLICE("Content-Type"), THR_SLICE("application/problem+json"));
	thr_put_length_field(&writer, body.length);
	thr_put_field(&writer, THR_SLICE("Cache-Control"), THR_SLICE("no-store"));
	if (answer->request_id.length)
		thr_put_field(&writer, THR_SLICE("X-Request-Id"), answer->request_id);
	thr_put_block(&writer, answer->limits);
	thr_put_persistence(&writer, answer->keep_alive, answer->client_minor);
	thr_put_head_end(&writer);
	if (!answer->head_only)
		thr_put_block(&writer, body);
	return thr_written(&writer, out);
}
