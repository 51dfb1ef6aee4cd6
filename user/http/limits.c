/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A limit in the words of HTTP; see limits.h. Written byte by byte: every response
 * carries it, and printf() would cost as much as parsing the request did.
 */
#include "http/limits.h"

#include <string.h>

#include "core/clock.h"
#include "http/http.h"

#define NUMBER_MAX 20
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

static char *put_text(char *at, const char *text)
{
	return mempcpy(at, text, strlen(text));
}

static char *put_number(char *at, uint64_t number)
{
	char digits[NUMBER_MAX];
	size_t first = NUMBER_MAX;

	do {
		digits[--first] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	memcpy(at, digits + first, NUMBER_MAX - first);
	return at + NUMBER_MAX - first;
}

/* An sf-string (RFC 8941, 3.3.3). */
static char *put_string(char *at, const char *text)
{
	*at++ = '"';
	for (size_t i = 0; i < THR_POLICY_MAX && text[i]; i++) {
		if (text[i] == '"' || text[i] == '\\')
			*at++ = '\\';
		*at++ = text[i];
	}
	*at++ = '"';
	return at;
}

size_t thr_http_limit_fields(const char *policy, const struct thr_standing *standing,
			     char fields[static THR_LIMIT_FIELDS_MAX])
{
	uint64_t retry_s = thr_seconds_up(standing->retry_ns, 1);
	char *at = fields;

	at = put_text(at, "RateLimit-Policy: ");
	at = put_string(at, policy);
	at = put_text(at, ";q=");
	at = put_number(at, standing->limit);
	at = put_text(at, ";w=");
	at = put_number(at, thr_seconds_up(standing->window_ns, 1));
	at = put_text(at, "\r\nRateLimit: ");
	at = put_string(at, policy);
	at = put_text(at, ";r=");
	at = put_number(at, standing->remaining);
	at = put_text(at, ";t=");
	at = put_number(at, standing->allowed ? thr_seconds_up(standing->reset_ns, 0) : retry_s);
	if (!standing->allowed) {
		at = put_text(at, "\r\nRetry-After: ");
		at = put_number(at, retry_s);
	}
	at = put_text(at, "\r\n");
	return (size_t)(at - fields);
}

/* A byte of a JSON string; beyond ASCII, as the Latin-1 code point. */
static char *put_json_byte(char *at, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";

	if (c >= ' ' && c < 0x7f) {
		if (c == '"' || c == '\\')
			*at++ = '\\';
		*at++ = (char)c;
		return at;
	}
	at = put_text(at, "\\u00");
	*at++ = hex[c >> 4];
	*at++ = hex[c & 15];
	return at;
}

static char *put_words(char *at, const char *words, size_t most)
{
	return mempcpy(at, words, strnlen(words, most));
}

size_t thr_http_problem(const struct thr_problem *problem, char text[static THR_PROBLEM_MAX])
{
	const size_t room = THR_PROBLEM_MAX - (sizeof(PROBLEM_END) - 1) - ESCAPE_MAX;
	const char *title = problem->title ? problem->title : thr_http_reason(problem->status);
	const char *field = problem->field, *detail = problem->detail;
	char *at = text;

	at = put_text(at, "{\"type\":\"");
	at = put_words(at, problem->type ? problem->type : "about:blank", TYPE_MAX);
	at = put_text(at, "\",\"title\":\"");
	at = put_words(at, title, TITLE_MAX);
	at = put_text(at, "\",\"status\":");
	at = put_number(at, problem->status);
	if (field) {
		at = put_text(at, ",\"field\":\"");
		for (size_t i = 0; i < FIELD_MAX && field[i]; i++)
			at = put_json_byte(at, (unsigned char)field[i]);
		at = put_text(at, "\"");
	}
	at = put_text(at, ",\"detail\":\"");
	while (*detail && (size_t)(at - text) <= room)
		at = put_json_byte(at, (unsigned char)*detail++);
	at = put_text(at, PROBLEM_END);
	return (size_t)(at - text);
}
