/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The field section of a message: each line, and what lines say together about
 * the body's length (RFC 9112, 6) and the connection (RFC 9110, 7.6.1).
 *
 * Lines are judged in their order, as each is complete: what refuses a head
 * refuses every longer input that begins with it, with the same status.
 */
#include "http/parse.h"

#define LENGTH_DIGITS_MAX 19 /* of 2^63 - 1; what has no more fits 64 bits */

/* Elements of Connection. Each is compared with every field of the head: the bound
 * keeps that near the cost of having read it. Honest clients write one to three. */
#define OPTIONS_MAX 32

static int note_length(struct thr_http_head *head, struct thr_slice value)
{
	uint64_t length = 0;

	if (head->has_length || head->is_chunked)
		return -400;
	if (!value.length || value.length > LENGTH_DIGITS_MAX)
		return -400;
	if (value.at[0] == '0' && value.length > 1) /* octal to some */
		return -400;
	for (size_t i = 0; i < value.length; i++) {
		if (value.at[i] < '0' || value.at[i] > '9')
			return -400;
		length = length * 10 + (uint64_t)(value.at[i] - '0');
	}
	if (length > INT64_MAX)
		return -400;
	head->has_length = true;
	head->content_length = length;
	return 0;
}

static bool is_coding(struct thr_slice name)
{
	static const char *const codings[] = {"gzip", "x-gzip", "deflate", "compress",
					      "x-compress"};

	for (size_t i = 0; i < sizeof(codings) / sizeof(codings[0]); i++)
		if (thr_slice_is_word(name, codings[i]))
			return true;
	return false;
}

/* Whether the list is of codings that exist, with "chunked" at the end: right, but
 * beyond us. */
static bool is_coded_and_chunked(struct thr_slice list)
{
	struct thr_slice coding;
	bool any = false;

	while (thr_http_list_next(&list, &coding)) {
		if (thr_slice_is_word(coding, "chunked"))
			return any && !list.length;
		if (!is_coding(coding))
			return false;
		any = true;
	}
	return false;
}

static int note_coding(struct thr_http_head *head, struct thr_slice value)
{
	if (head->has_length || head->is_chunked || head->minor == 0)
		return -400;
	if (!thr_slice_is_word(value, "chunked"))
		return is_coded_and_chunked(value) ? -501 : -400;
	head->is_chunked = true;
	return 0;
}

static int note_options(struct thr_http_head *head, struct thr_slice list)
{
	struct thr_slice option;

	while (thr_http_list_next(&list, &option)) {
		if (++head->options > OPTIONS_MAX)
			return -400;
		if (thr_slice_is_word(option, "close"))
			head->option_close = true;
		else if (thr_slice_is_word(option, "keep-alive"))
			head->option_keep_alive = true;
		else if (thr_slice_is_word(option, "upgrade"))
			head->option_upgrade = true;
		else
			head->names_fields = true;
	}
	return 0;
}

static int note_host(struct thr_http_head *head, struct thr_slice value)
{
	if (head->has_host || !thr_http_is_authority(value))
		return -400;
	head->has_host = true;
	head->host = value;
	return 0;
}

static int note_expect(struct thr_http_head *head, struct thr_slice value)
{
	if (!thr_slice_is_word(value, "100-continue"))
		return -417;
	head->expects_continue = true;
	return 0;
}

static int note_field(struct thr_http_head *head, const struct thr_http_field *field)
{
	bool is_request = head->section == THR_SECTION_REQUEST;

	switch (field->id) {
	case THR_FIELD_HOST:
		return is_request ? note_host(head, field->value) : 0;
	case THR_FIELD_EXPECT:
		return is_request ? note_expect(head, field->value) : 0;
	case THR_FIELD_CONTENT_LENGTH:
		return note_length(head, field->value);
	case THR_FIELD_TRANSFER_ENCODING:
		return note_coding(head, field->value);
	case THR_FIELD_CONNECTION:
		return note_options(head, field->value);
	case THR_FIELD_UPGRADE:
		head->has_upgrade |= field->value.length > 0;
		head->is_upgrade_to_h2c |= thr_http_list_has(field->value, "h2c");
		return 0;
	default:
		return 0;
	}
}

static void mark_named(struct thr_http_head *head, struct thr_slice name)
{
	for (size_t i = 0; i < head->field_count; i++) {
		struct thr_http_field *field = &head->field[i];

		if (field->name.length != name.length ||
		    strncasecmp(field->name.at, name.at, name.length) != 0)
			continue;
		/* No client can take these two from a message. */
		if (field->id != THR_FIELD_HOST && field->id != THR_FIELD_CONTENT_LENGTH)
			field->hop_by_hop = true;
	}
}

static void mark_options(struct thr_http_head *head)
{
	for (size_t i = 0; i < head->field_count; i++) {
		struct thr_slice list = head->field[i].value, option;

		if (head->field[i].id != THR_FIELD_CONNECTION)
			continue;
		while (thr_http_list_next(&list, &option))
			mark_named(head, option);
	}
}

int thr_http_read_fields(struct thr_http_cursor *cursor, struct thr_http_head *head)
{
	struct thr_http_field field;
	struct thr_slice line;
	int r;

	while ((r = thr_http_next_line(cursor, &line)) > 0) {
		if (!line.length) {
			if (head->names_fields)
				mark_options(head);
			return 1;
		}
		r = thr_http_parse_field(line, &field);
		if (r == 0 && head->section != THR_SECTION_TRAILERS)
			r = note_field(head, &field);
		if (r < 0)
			return r;
		if (head->field_count == head->field_max)
			return -431;
		head->field[head->field_count++] = field;
	}
	return r;
}

bool thr_http_keeps_alive(const struct thr_http_head *head)
{
	if (head->option_close)
		return false;
	return head->minor >= 1 || head->option_keep_alive;
}

bool thr_http_upgrades(const struct thr_http_head *head)
{
	return head->minor >= 1 && head->option_upgrade && head->has_upgrade;
}
