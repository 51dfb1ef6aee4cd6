/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The chunked transfer coding; see chunks.h. Lines are read a byte at a time,
 * data as a whole.
 *
 *   SIZE_FIRST -> SIZE -> [EXT_* ...] -> LINE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE_FIRST
 *                                           \-> LAST (size 0)
 *
 *   ';'  EXT_NAME_FIRST -> EXT_NAME -> EXT_NAME_END (white space before '=')
 *   '='  EXT_VALUE_FIRST -> EXT_TOKEN
 *                       '"' EXT_QUOTED <-> EXT_ESCAPE, '"' EXT_VALUE_END
 */
#include "http/chunks.h"

#include "http/parse.h"

#define LINE_BYTES_MAX 256 /* CRLF included */
#define SIZE_DIGITS_MAX 16

enum state {
	SIZE_FIRST,
	SIZE,
	EXT_NAME_FIRST,
	EXT_NAME,
	EXT_NAME_END,
	EXT_VALUE_FIRST,
	EXT_TOKEN,
	EXT_QUOTED,
	EXT_ESCAPE,
	EXT_VALUE_END,
	LINE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	LAST,
	REFUSED,
};

static bool is_white(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_of(char c, uint8_t byte_class)
{
	return thr_http_bytes[(unsigned char)c] & byte_class;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What may follow a size, a name or a value: the next extension, or the line's end. */
static enum state after_part(char c)
{
	if (c == ';')
		return EXT_NAME_FIRST;
	return c == '\r' ? LINE_LF : REFUSED;
}

static enum state after_size_digit(struct thr_http_chunks *chunks, char c)
{
	int digit = hex_value(c);

	if (digit < 0)
		return chunks->state == SIZE ? after_part(c) : REFUSED;
	if (chunks->line_bytes > SIZE_DIGITS_MAX || chunks->remaining > INT64_MAX >> 4)
		return REFUSED;
	chunks->remaining = chunks->remaining << 4 | (uint64_t)digit;
	return SIZE;
}

/* RFC 9112, 7.1.1. */
static enum state after_extension_byte(enum state state, char c)
{
	switch (state) {
	case EXT_NAME_FIRST:
		if (is_white(c))
			return EXT_NAME_FIRST;
		return is_of(c, THR_BYTE_TOKEN) ? EXT_NAME : REFUSED;
	case EXT_NAME:
		if (is_of(c, THR_BYTE_TOKEN))
			return EXT_NAME;
		if (is_white(c))
			return EXT_NAME_END;
		return c == '=' ? EXT_VALUE_FIRST : after_part(c);
	case EXT_NAME_END:
		if (is_white(c))
			return EXT_NAME_END;
		return c == '=' ? EXT_VALUE_FIRST : REFUSED;
	case EXT_VALUE_FIRST:
		if (is_white(c))
			return EXT_VALUE_FIRST;
		if (c == '"')
			return EXT_QUOTED;
		return is_of(c, THR_BYTE_TOKEN) ? EXT_TOKEN : REFUSED;
	case EXT_TOKEN:
		return is_of(c, THR_BYTE_TOKEN) ? EXT_TOKEN : after_part(c);
	case EXT_QUOTED:
		if (c == '"')
			return EXT_VALUE_END;
		if (c == '\\')
			return EXT_ESCAPE;
		return is_of(c, THR_BYTE_VALUE) ? EXT_QUOTED : REFUSED;
	case EXT_ESCAPE:
		return is_of(c, THR_BYTE_VALUE) ? EXT_QUOTED : REFUSED;
	default:
		return after_part(c);
	}
}

/* The state after a byte that is not data. */
static enum state after_byte(struct thr_http_chunks *chunks, char c)
{
	switch (chunks->state) {
	case SIZE_FIRST:
	case SIZE:
		return after_size_digit(chunks, c);
	case LINE_LF:
		if (c != '\n')
			return REFUSED;
		return chunks->remaining ? DATA : LAST;
	case DATA_CR:
		return c == '\r' ? DATA_LF : REFUSED;
	case DATA_LF:
		chunks->line_bytes = 0;
		return c == '\n' ? SIZE_FIRST : REFUSED;
	default:
		return after_extension_byte(chunks->state, c);
	}
}

static void read_byte(struct thr_http_chunks *chunks, char c)
{
	if (++chunks->line_bytes > LINE_BYTES_MAX)
		chunks->state = REFUSED;
	else
		chunks->state = (uint8_t)after_byte(chunks, c);
}

/* Move data to behind what was produced. Returns how much. */
static size_t read_data(struct thr_http_chunks *chunks, char *to, const char *from, size_t length)
{
	size_t data = length < chunks->remaining ? length : (size_t)chunks->remaining;

	memmove(to, from, data);
	chunks->remaining -= data;
	if (!chunks->remaining) {
		chunks->state = DATA_CR;
		chunks->line_bytes = 0;
	}
	return data;
}

int thr_http_chunks_decode(struct thr_http_chunks *chunks, char *at, size_t length,
			   struct thr_http_decoded *ret)
{
	size_t consumed = 0, produced = 0;

	while (consumed < length && chunks->state != LAST && chunks->state != REFUSED) {
		if (chunks->state == DATA) {
			size_t data =
				read_data(chunks, at + produced, at + consumed, length - consumed);

			produced += data;
			consumed += data;
		} else {
			read_byte(chunks, at[consumed++]);
		}
	}
	ret->consumed = consumed;
	ret->produced = produced;
	if (chunks->state == REFUSED)
		return -400;
	return chunks->state == LAST;
}

size_t thr_http_chunk_line(uint64_t size, char line[static THR_CHUNK_LINE_MAX])
{
	size_t digits = 1;

	for (uint64_t rest = size >> 4; rest; rest >>= 4)
		digits++;
	for (size_t i = digits; i-- > 0; size >>= 4)
		line[i] = "0123456789abcdef"[size & 15];
	line[digits] = '\r';
	line[digits + 1] = '\n';
	return digits + 2;
}
