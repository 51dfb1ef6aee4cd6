/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The line of a request; see access.h.
 *
 * It is written once for every request, so nothing in it is checked as it goes:
 * the longest line there can be fits by the sum below. The date and time are
 * formatted once a second.
 *
 * A value in text has no space, no '"' and no control byte left after escaping:
 * a line splits at its spaces into eleven parts, whatever clients send.
 */
#include "proxy/access.h"

#include <time.h>

#include "core/clock.h"
#include "core/writer.h"

/* Bytes kept of values that others choose, and "..." after a cut. */
#define METHOD_MAX 32
#define UPSTREAM_MAX 262 /* a name of 253 bytes, brackets, a port */
#define REQUEST_ID_MAX 128
#define ESCAPED_MAX 6 /* \u00HH */
#define FRAME_MAX 512 /* names of members, times, numbers, the client, cuts */
_Static_assert(ESCAPED_MAX *(METHOD_MAX + THR_ACCESS_TARGET_MAX + UPSTREAM_MAX + REQUEST_ID_MAX) +
			       FRAME_MAX <=
		       THR_ACCESS_LINE_MAX,
	       "the longest line fits");

static const char *const verdicts[] = {
	[THR_VERDICT_NONE] = "",
	[THR_VERDICT_ALLOWED] = "allowed",
	[THR_VERDICT_LIMITED] = "limited",
};

static struct thr_slice slice_of(const char *text)
{
	return (struct thr_slice){text, text ? strlen(text) : 0};
}

#define SECOND_TEXT sizeof("2026-11-21T20:17:46")

static void put_three_digits(struct thr_writer *writer, unsigned int value)
{
	char digits[3] = {(char)('0' + value / 100), (char)('0' + value / 10 % 10),
			  (char)('0' + value % 10)};

	thr_put(writer, digits, sizeof(digits));
}

static void put_time(struct thr_writer *writer, uint64_t wall_ns)
{
	static _Thread_local time_t formatted = -1;
	static _Thread_local char text[SECOND_TEXT];
	time_t second = (time_t)(wall_ns / THR_NS_PER_S);

	if (second != formatted) {
		struct tm utc;

		gmtime_r(&second, &utc);
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
		formatted = second;
	}
	thr_put(writer, text, SECOND_TEXT - 1);
	THR_PUT(writer, ".");
	put_three_digits(writer, (unsigned int)(wall_ns % THR_NS_PER_S / THR_NS_PER_MS));
	THR_PUT(writer, "Z");
}

/* "2.104": down to the microsecond, cut there. */
static void put_ms(struct thr_writer *writer, uint64_t ns)
{
	thr_put_decimal(writer, ns / THR_NS_PER_MS);
	THR_PUT(writer, ".");
	put_three_digits(writer, (unsigned int)(ns % THR_NS_PER_MS / 1000));
}

static void put_escape(struct thr_writer *writer, unsigned char byte, enum thr_log_format format)
{
	static const char hex[] = "0123456789abcdef";
	char digits[2] = {hex[byte >> 4], hex[byte & 15]};

	if (format == THR_LOG_TEXT) {
		THR_PUT(writer, "\\x");
	} else if (byte == '"' || byte == '\\') {
		*writer->at++ = '\\';
		*writer->at++ = (char)byte;
		return;
	} else {
		THR_PUT(writer, "\\u00");
	}
	thr_put(writer, digits, sizeof(digits));
}

static void put_escaped(struct thr_writer *writer, struct thr_slice value, size_t keep,
			enum thr_log_format format)
{
	size_t length = value.length < keep ? value.length : keep;
	unsigned char least = format == THR_LOG_TEXT ? '!' : ' ';

	for (size_t i = 0; i < length; i++) {
		unsigned char byte = (unsigned char)value.at[i];

		if (byte >= least && byte <= '~' && byte != '"' && byte != '\\')
			*writer->at++ = (char)byte;
		else
			put_escape(writer, byte, format);
	}
	if (length < value.length)
		THR_PUT(writer, "...");
}

static void put_word(struct thr_writer *writer, struct thr_slice value, size_t keep)
{
	if (value.length)
		put_escaped(writer, value, keep, THR_LOG_TEXT);
	else
		THR_PUT(writer, "-");
}

static void put_string(struct thr_writer *writer, struct thr_slice value, size_t keep)
{
	if (!value.length) {
		THR_PUT(writer, "null");
		return;
	}
	THR_PUT(writer, "\"");
	put_escaped(writer, value, keep, THR_LOG_JSON);
	THR_PUT(writer, "\"");
}

static void put_text_line(struct thr_writer *writer, const struct thr_access *access,
			  struct thr_slice client)
{
	put_time(writer, access->wall_ns);
	THR_PUT(writer, " ");
	put_word(writer, client, THR_ADDRESS_TEXT);
	THR_PUT(writer, " \"");
	put_word(writer, access->method, METHOD_MAX);
	THR_PUT(writer, " ");
	put_word(writer, access->target, THR_ACCESS_TARGET_MAX);
	THR_PUT(writer, "\" ");
	if (access->status)
		thr_put_decimal(writer, access->status);
	else
		THR_PUT(writer, "-");
	THR_PUT(writer, " ");
	thr_put_decimal(writer, access->bytes);
	THR_PUT(writer, " ");
	put_ms(writer, access->duration_ns);
	THR_PUT(writer, "ms ");
	put_word(writer, slice_of(access->upstream), UPSTREAM_MAX);
	THR_PUT(writer, " ");
	if (access->upstream) {
		put_ms(writer, access->upstream_ns);
		THR_PUT(writer, "ms ");
	} else {
		THR_PUT(writer, "- ");
	}
	put_word(writer, slice_of(verdicts[access->verdict]), sizeof("allowed"));
	THR_PUT(writer, " ");
	put_word(writer, access->request_id, REQUEST_ID_MAX);
	THR_PUT(writer, "\n");
}

static void put_json_line(struct thr_writer *writer, const struct thr_access *access,
			  struct thr_slice client)
{
	THR_PUT(writer, "{\"time\":\"");
	put_time(writer, access->wall_ns);
	THR_PUT(writer, "\",\"client\":");
	put_string(writer, client, THR_ADDRESS_TEXT);
	THR_PUT(writer, ",\"method\":");
	put_string(writer, access->method, METHOD_MAX);
	THR_PUT(writer, ",\"target\":");
	put_string(writer, access->target, THR_ACCESS_TARGET_MAX);
	THR_PUT(writer, ",\"status\":");
	if (access->status)
		thr_put_decimal(writer, access->status);
	else
		THR_PUT(writer, "null");
	THR_PUT(writer, ",\"bytes\":");
	thr_put_decimal(writer, access->bytes);
	THR_PUT(writer, ",\"duration_ms\":");
	put_ms(writer, access->duration_ns);
	THR_PUT(writer, ",\"upstream\":");
	put_string(writer, slice_of(access->upstream), UPSTREAM_MAX);
	THR_PUT(writer, ",\"upstream_ms\":");
	if (access->upstream)
		put_ms(writer, access->upstream_ns);
	else
		THR_PUT(writer, "null");
	THR_PUT(writer, ",\"verdict\":");
	put_string(writer, slice_of(verdicts[access->verdict]), sizeof("allowed"));
	THR_PUT(writer, ",\"request_id\":");
	put_string(writer, access->request_id, REQUEST_ID_MAX);
	THR_PUT(writer, "}\n");
}

size_t thr_access_format(char line[static THR_ACCESS_LINE_MAX], enum thr_log_format format,
			 const struct thr_access *access)
{
	struct thr_writer writer = {.at = line, .end = line + THR_ACCESS_LINE_MAX};
	char text[THR_ADDRESS_TEXT];
	struct thr_slice client = {text, 0};

	if (access->client)
		client.length = thr_address_format(access->client, text);
	if (format == THR_LOG_JSON)
		put_json_line(&writer, access, client);
	else
		put_text_line(&writer, access, client);
	return (size_t)(writer.at - line);
}
