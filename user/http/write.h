/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The lines of a head, for the files that write them; each is left out as a whole
 * where it does not fit. */
#ifndef THR_HTTP_WRITE_H
#define THR_HTTP_WRITE_H

#include "core/writer.h"
#include "http/date.h"
#include "http/http.h"

/* `status` has three digits; a reason may be empty, the space before it stays
 * (RFC 9112, 4). */
static inline void thr_put_status_line(struct thr_writer *writer, unsigned int status,
				       struct thr_slice reason)
{
	if (!thr_writer_has(writer, reason.length + sizeof("HTTP/1.1 200 \r\n") - 1))
		return;
	THR_PUT(writer, "HTTP/1.1 ");
	thr_put_decimal(writer, status);
	THR_PUT(writer, " ");
	thr_put_slice(writer, reason);
	THR_PUT(writer, "\r\n");
}

static inline void thr_put_field(struct thr_writer *writer, struct thr_slice name,
				 struct thr_slice value)
{
	if (!thr_writer_has(writer, name.length + value.length + 4))
		return;
	thr_put_slice(writer, name);
	THR_PUT(writer, ": ");
	thr_put_slice(writer, value);
	THR_PUT(writer, "\r\n");
}

static inline void thr_put_length_field(struct thr_writer *writer, uint64_t length)
{
	char text[THR_DECIMAL_MAX];

	thr_put_field(writer, THR_SLICE("Content-Length"), thr_decimal(length, text));
}

/* The client's side of Connection: said only where it differs from what the
 * client's version of HTTP takes for granted (RFC 9112, 9.3). */
static inline void thr_put_persistence(struct thr_writer *writer, bool keep_alive,
				       unsigned int client_minor)
{
	if (!keep_alive)
		thr_put_field(writer, THR_SLICE("Connection"), THR_SLICE("close"));
	else if (client_minor == 0)
		thr_put_field(writer, THR_SLICE("Connection"), THR_SLICE("keep-alive"));
}

/* `date` is an IMF-fixdate. */
static inline void thr_put_date_field(struct thr_writer *writer, const char *date)
{
	thr_put_field(writer, THR_SLICE("Date"), (struct thr_slice){date, THR_HTTP_DATE_TEXT - 1});
}

/* Bytes that are complete as they are: lines of fields, a body. */
static inline void thr_put_block(struct thr_writer *writer, struct thr_slice block)
{
	if (thr_writer_has(writer, block.length))
		thr_put_slice(writer, block);
}

/* The empty line. */
static inline void thr_put_head_end(struct thr_writer *writer)
{
	thr_put_block(writer, THR_SLICE("\r\n"));
}

/* What was written since `out`, or 0 when something did not fit. */
static inline size_t thr_written(const struct thr_writer *writer, const char *out)
{
	return writer->full ? 0 : (size_t)(writer->at - out);
}

#endif
