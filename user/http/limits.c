/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A limit in the words of HTTP; see limits.h. Written byte by byte: every response
 * carries it, and printf() would cost as much as parsing the request did.
 */
#include "http/limits.h"

#include <string.h>

#include "core/clock.h"
#include "core/writer.h"
#include "http/http.h"

#define PROBLEM_END "\"}\n"
#define ESCAPE_MAX 6 /* \u001f */
/* Bytes of a problem's texts. */
#define TYPE_MAX 96
#define TITLE_MAX 64
#define FIELD_MAX 64
#define DETAIL_LEAST 384

_Static_assert(TYPE_MAX + TITLE_MAX + FIELD_MAX * ESCAPE_MAX + DETAIL_LEAST + 96 <= THR_PROBLEM_MAX,
	       "the parts of a problem fit");

uint64_t thr_seconds_up(uint64_t ns, uint64_t least)
{
	uint64_t seconds = ns / THR_NS_PER_S + (ns % THR_NS_PER_S != 0);

	return seconds > least ? seconds : least;
}

/* An sf-string (RFC 8941, 3.3.3). Returns what was written. */
static struct thr_slice put_string(struct thr_writer *writer, const char *text)
{
	const char *start = writer->at;
	char *at = writer->at;

	*at++ = '"';
	for (size_t i = 0; i < THR_POLICY_MAX && text[i]; i++) {
		if (text[i] == '"' || text[i] == '\\')
			*at++ = '\\';
		*at++ = text[i];
	}
	*at++ = '"';
	writer->at = at;
	return (struct thr_slice){start, (size_t)(at - start)};
}

size_t thr_http_limit_fields(const char *policy, const struct thr_standing *standing,
			     char fields[static THR_LIMIT_FIELDS_MAX])
{
	struct thr_writer writer = {.at = fields, .end = fields + THR_LIMIT_FIELDS_MAX};
	uint64_t retry_s = thr_seconds_up(standing->retry_ns, 1);
	struct thr_slice name;

	THR_PUT(&writer, "RateLimit-Policy: ");
	name = put_string(&writer, policy);
	THR_PUT(&writer, ";q=");
	thr_put_decimal(&writer, standing->limit);
	THR_PUT(&writer, ";w=");
	thr_put_decimal(&writer, thr_seconds_up(standing->window_ns, 1));
	THR_PUT(&writer, "\r\nRateLimit: ");
	thr_put_slice(&writer, name);
	THR_PUT(&writer, ";r=");
	thr_put_decimal(&writer, standing->remaining);
	THR_PUT(&writer, ";t=");
	thr_put_decimal(&writer,
			standing->allowed ? thr_seconds_up(standing->reset_ns, 0) : retry_s);
	if (!standing->allowed) {
		THR_PUT(&writer, "\r\nRetry-After: ");
		thr_put_decimal(&writer, retry_s);
	}
	THR_PUT(&writer, "\r\n");
	return (size_t)(writer.at - fields);
}

/* A byte of a JSON string; beyond ASCII, as the Latin-1 code point. */
static void put_json_byte(struct thr_writer *writer, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";

	if (c >= ' ' && c < 0x7f) {
		if (c == '"' || c == '\\')
			*writer->at++ = '\\';
		*writer->at++ = (char)c;
		return;
	}
	THR_PUT(writer, "\\u00");
	*writer->at++ = hex[c >> 4];
	*writer->at++ = hex[c & 15];
}

static void put_words(struct thr_writer *writer, const char *words, size_t most)
{
	thr_put(writer, words, strnlen(words, most));
}

size_t thr_http_problem(const struct thr_problem *problem, char text[static THR_PROBLEM_MAX])
{
	const size_t room = THR_PROBLEM_MAX - (sizeof(PROBLEM_END) - 1) - ESCAPE_MAX;
	const char *title = problem->title ? problem->title : thr_http_reason(problem->status);
	const char *field = problem->field, *detail = problem->detail;
	struct thr_writer writer = {.at = text, .end = text + THR_PROBLEM_MAX};

	THR_PUT(&writer, "{\"type\":\"");
	put_words(&writer, problem->type ? problem->type : "about:blank", TYPE_MAX);
	THR_PUT(&writer, "\",\"title\":\"");
	put_words(&writer, title, TITLE_MAX);
	THR_PUT(&writer, "\",\"status\":");
	thr_put_decimal(&writer, problem->status);
	if (field) {
		THR_PUT(&writer, ",\"field\":\"");
		for (size_t i = 0; i < FIELD_MAX && field[i]; i++)
			put_json_byte(&writer, (unsigned char)field[i]);
		THR_PUT(&writer, "\"");
	}
	THR_PUT(&writer, ",\"detail\":\"");
	while (*detail && (size_t)(writer.at - text) <= room)
		put_json_byte(&writer, (unsigned char)*detail++);
	THR_PUT(&writer, PROBLEM_END);
	return (size_t)(writer.at - text);
}
