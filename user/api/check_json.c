/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One pass over the text; see check_json.h. An object of checks lies in an array that lies
 * in an object, and nothing may lie deeper, so there is no depth to limit.
 *
 * Characters are looked at one by one only in strings beyond ASCII and with escapes; those are
 * moved to where they decode to, which is never behind where they were read.
 */
#include "api/check_json.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "api/key.h"
#include "core/suggest.h"

enum member { MEMBER_KEY, MEMBER_COST, MEMBER_CHECKS, MEMBERS };

static const char *const member_names[] = {"key", "cost", "checks", NULL};

/* Of an object inside of `checks`. */
static const char *const check_names[] = {"key", "cost", NULL};

struct reader {
	char *start;
	char *at, *end;
	struct thr_check_list *list;
	struct thr_fault *fault;
	int index; /* of the object in `checks`; -1: the body's own */
};

/* --- faults --- */

int thr_fault_set(struct thr_fault *fault, const char *field, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	snprintf(fault->field, sizeof(fault->field), "%s", field);
	vsnprintf(fault->detail, sizeof(fault->detail), format, arguments);
	va_end(arguments);
	return -EINVAL;
}

int thr_fault_member(struct thr_fault *fault, struct thr_slice member, const char *const *names)
{
	char name[40], known[80] = "";
	size_t used = 0;
	size_t length = member.length < sizeof(name) - 1 ? member.length : sizeof(name) - 1;
	struct thr_suggestion suggestion = {.wanted = name};

	for (size_t i = 0; i < length; i++)
		name[i] = member.at[i] > ' ' && member.at[i] < 0x7f ? member.at[i] : '?';
	name[length] = '\0';
	for (size_t i = 0; names[i]; i++) {
		thr_suggestion_offer(&suggestion, names[i]);
		used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", i ? ", " : "",
					 names[i]);
	}
	if (suggestion.nearest)
		return thr_fault_set(fault, name, "There is no member '%s': did you mean '%s'?",
				     name, suggestion.nearest);
	return thr_fault_set(fault, name, "There is no member '%s': write one of: %s.", name,
			     known);
}

/* The name of a member as a fault has it: "cost", "checks[3].cost". */
static void name_field(const struct reader *reader, const char *name,
		       char field[static THR_FAULT_FIELD])
{
	if (reader->index < 0)
		snprintf(field, THR_FAULT_FIELD, "%s", name);
	else
		snprintf(field, THR_FAULT_FIELD, "checks[%d]%s%.40s", reader->index,
			 *name ? "." : "", name);
}

/* What is no JSON at all. */
static int fail_here(struct reader *reader, const char *what)
{
	return thr_fault_set(reader->fault, "", "The body is not JSON: %s at byte %zu.", what,
			     (size_t)(reader->at - reader->start));
}

static int fail_member(struct reader *reader, const char *name, const char *detail)
{
	char field[THR_FAULT_FIELD];

	name_field(reader, name, field);
	return thr_fault_set(reader->fault, field, "%s", detail);
}

/* --- the pieces --- */

static void skip_space(struct reader *reader)
{
	char *at = reader->at;

	while (at < reader->end && (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n'))
		at++;
	reader->at = at;
}

/* The next character that is not white space; 0 at the end, and for a NUL, which stands
 * nowhere. */
static char look(struct reader *reader)
{
	skip_space(reader);
	return reader->at < reader->end ? *reader->at : '\0';
}

static int expect(struct reader *reader, char c, const char *what)
{
	if (look(reader) != c)
		return fail_here(reader, what);
	reader->at++;
	return 0;
}

/* Four hexadecimal digits at `at`; -1 when they are not. */
static int32_t read_hex4(const char *at, const char *end)
{
	int32_t value = 0;

	if (end - at < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = at[i], letter = (char)(c | 0x20);

		if (c >= '0' && c <= '9')
			value = value << 4 | (c - '0');
		else if (letter >= 'a' && letter <= 'f')
			value = value << 4 | (letter - 'a' + 10);
		else
			return -1;
	}
	return value;
}

static char *put_utf8(char *to, int32_t point)
{
	if (point < 0x80) {
		*to++ = (char)point;
		return to;
	}
	if (point < 0x800) {
		*to++ = (char)(0xc0 | point >> 6);
	} else {
		if (point < 0x10000) {
			*to++ = (char)(0xe0 | point >> 12);
		} else {
			*to++ = (char)(0xf0 | point >> 18);
			*to++ = (char)(0x80 | (point >> 12 & 0x3f));
		}
		*to++ = (char)(0x80 | (point >> 6 & 0x3f));
	}
	*to++ = (char)(0x80 | (point & 0x3f));
	return to;
}

/* The digits of \uXXXX, and of a second one where the first is half of a pair. */
static int read_unicode(struct reader *reader, char **to)
{
	int32_t point = read_hex4(reader->at, reader->end), low;

	if (point < 0)
		return fail_here(reader, "\\u without four hexadecimal digits");
	reader->at += 4;
	if (point >= 0xd800 && point <= 0xdbff) {
		low = reader->end - reader->at >= 6 && reader->at[0] == '\\' && reader->at[1] == 'u'
			      ? read_hex4(reader->at + 2, reader->end)
			      : -1;
		if (low < 0xdc00 || low > 0xdfff)
			return fail_here(reader, "half of a surrogate pair");
		reader->at += 6;
		point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
	} else if (point >= 0xdc00 && point <= 0xdfff) {
		return fail_here(reader, "half of a surrogate pair");
	}
	if (!point)
		return fail_here(reader, "the character U+0000, which no key may have,");
	*to = put_utf8(*to, point);
	return 0;
}

/* What follows a backslash. */
static int read_escape(struct reader *reader, char **to)
{
	static const char from[] = "\"\\/bfnrt", becomes[] = "\"\\/\b\f\n\r\t";
	const char *found;
	char c;

	if (reader->at == reader->end)
		return fail_here(reader, "a string without an end");
	c = *reader->at;
	found = c ? strchr(from, c) : NULL;
	if (!found && c != 'u')
		return fail_here(reader, "an unknown escape");
	reader->at++;
	if (c == 'u')
		return read_unicode(reader, to);
	*(*to)++ = becomes[found - from];
	return 0;
}

/* Bytes that mean themselves in a string. */
static const bool is_plain[256] = {
	[' ' ... '!'] = true,
	['#' ... '['] = true,
	[']' ... 0x7f] = true,
};

/* The rest of a string from its first byte that is not plain on. Seldom called: kept out of
 * who does, which it would make slower. */
__attribute__((noinline)) static int read_string_slowly(struct reader *reader, char *start,
							struct thr_slice *ret)
{
	char *to = reader->at;

	while (reader->at < reader->end && *reader->at != '"') {
		size_t length = thr_utf8_length(reader->at, (size_t)(reader->end - reader->at));

		if (!length)
			return fail_here(reader, "a string that is not UTF-8");
		if ((unsigned char)*reader->at < ' ')
			return fail_here(reader, "a control character in a string");
		if (*reader->at == '\\') {
			reader->at++;
			if (read_escape(reader, &to) < 0)
				return -EINVAL;
			continue;
		}
		memmove(to, reader->at, length);
		to += length;
		reader->at += length;
	}
	if (reader->at == reader->end)
		return fail_here(reader, "a string without an end");
	reader->at++;
	*ret = (struct thr_slice){start, (size_t)(to - start)};
	return 0;
}

static int read_string(struct reader *reader, struct thr_slice *ret)
{
	char *start = reader->at + 1, *at = start;

	while (at < reader->end && is_plain[(unsigned char)*at])
		at++;
	reader->at = at;
	if (at == reader->end || *at != '"')
		return read_string_slowly(reader, start, ret);
	*ret = (struct thr_slice){start, (size_t)(at - start)};
	reader->at++;
	return 0;
}

/* --- members --- */

static int read_key(struct reader *reader, struct thr_check *check)
{
	const char *why;

	if (look(reader) != '"')
		return fail_member(reader, "key", "The key is not a string.");
	if (read_string(reader, &check->key) < 0)
		return -EINVAL;
	if (!check->key.length || check->key.length > THR_KEY_MAX) {
		thr_key_is_valid(check->key, &why);
		return fail_member(reader, "key", why);
	}
	return 0;
}

static bool is_digit(const struct reader *reader)
{
	return reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9';
}

static int fail_cost(struct reader *reader)
{
	return fail_member(reader, "cost",
			   "The cost is not a whole number of 0 to 2^40, written in digits.");
}

/* -0 is a whole number too, and it is 0. */
static int read_cost(struct reader *reader, struct thr_check *check)
{
	bool negative = look(reader) == '-';
	const char *first;

	reader->at += negative;
	first = reader->at;
	check->cost = 0;
	for (; is_digit(reader); reader->at++) {
		check->cost = check->cost * 10 + (uint64_t)(*reader->at - '0');
		if (check->cost > THR_COST_MAX)
			return fail_cost(reader);
	}
	if (reader->at == first || (*first == '0' && reader->at - first > 1) ||
	    (negative && check->cost))
		return fail_cost(reader);
	if (reader->at < reader->end &&
	    (*reader->at == '.' || *reader->at == 'e' || *reader->at == 'E'))
		return fail_cost(reader);
	return 0;
}

static int find_member(struct reader *reader, struct thr_slice name)
{
	const char *const *names = reader->index < 0 ? member_names : check_names;

	for (int i = 0; names[i]; i++)
		if (thr_slice_is(name, names[i]))
			return i;
	thr_fault_member(reader->fault, name, names);
	if (reader->index >= 0) {
		char field[THR_FAULT_FIELD];

		name_field(reader, reader->fault->field, field);
		memcpy(reader->fault->field, field, sizeof(field));
	}
	return -EINVAL;
}

/* The name of a member and its colon. Returns which, or -EINVAL. */
static int read_name(struct reader *reader, unsigned int *seen)
{
	struct thr_slice name = THR_SLICE("");
	int member;

	if (look(reader) != '"')
		return fail_here(reader, "no member's name in double quotes");
	if (read_string(reader, &name) < 0)
		return -EINVAL;
	member = find_member(reader, name);
	if (member < 0)
		return -EINVAL;
	if (*seen & 1U << member)
		return fail_member(reader, member_names[member], "The member is there twice.");
	*seen |= 1U << member;
	if (expect(reader, ':', "no colon") < 0)
		return -EINVAL;
	return member;
}

/* After a member or an element: 1 when another one follows, 0 after the last. */
static int read_comma(struct reader *reader, char end)
{
	char c = look(reader);

	if (c != ',' && c != end)
		return fail_here(reader, end == '}' ? "neither a comma nor a brace"
						    : "neither a comma nor a bracket");
	reader->at++;
	return c == ',';
}

static int read_checks(struct reader *reader);

/* The members of an object whose brace was read; *ret_seen says which there were. */
static int read_members(struct reader *reader, struct thr_check *check, unsigned int *ret_seen)
{
	unsigned int seen = 0;
	int more = look(reader) != '}', r;

	check->cost = 1;
	reader->at += !more;
	while (more) {
		int member = read_name(reader, &seen);

		if (member < 0)
			return member;
		if (member == MEMBER_KEY)
			r = read_key(reader, check);
		else if (member == MEMBER_COST)
			r = read_cost(reader, check);
		else
			r = read_checks(reader);
		more = r < 0 ? r : read_comma(reader, '}');
		if (more < 0)
			return more;
	}
	*ret_seen = seen;
	return 0;
}

static int read_element(struct reader *reader)
{
	struct thr_check *check = &reader->list->check[reader->index];
	unsigned int seen;

	if (look(reader) != '{')
		return fail_member(reader, "", "This is not an object.");
	reader->at++;
	if (read_members(reader, check, &seen) < 0)
		return -EINVAL;
	if (!(seen & 1U << MEMBER_KEY))
		return fail_member(reader, "key", "The key is missing.");
	return 0;
}

static int read_checks(struct reader *reader)
{
	int more = 1;

	if (look(reader) != '[')
		return fail_member(reader, "checks", "This is not an array.");
	reader->at++;
	if (look(reader) == ']')
		return fail_member(reader, "checks", "The array is empty: write 1 to 1000 checks.");
	for (int i = 0; more; i++) {
		if (i == THR_CHECKS_MAX)
			return thr_fault_set(reader->fault, "checks",
					     "There are more than 1000 checks: ask in parts.");
		reader->index = i;
		if (read_element(reader) < 0)
			return -EINVAL;
		reader->list->count = (size_t)i + 1;
		reader->index = -1;
		more = read_comma(reader, ']');
		if (more < 0)
			return more;
	}
	reader->list->is_batch = true;
	return 0;
}

int thr_check_parse(char *text, size_t length, struct thr_check_list *ret_list,
		    struct thr_fault *ret_fault)
{
	struct reader reader = {
		.start = text,
		.at = text,
		.end = text + length,
		.list = ret_list,
		.fault = ret_fault,
		.index = -1,
	};
	struct thr_check single;
	unsigned int seen;

	ret_list->is_batch = false;
	if (look(&reader) != '{')
		return thr_fault_set(ret_fault, "",
				     "The body is not a JSON object: write {\"key\":\"user:42\","
				     "\"cost\":1}.");
	reader.at++;
	if (read_members(&reader, &single, &seen) < 0)
		return -EINVAL;
	if (look(&reader) || reader.at != reader.end)
		return fail_here(&reader, "more than one value");
	if (ret_list->is_batch && seen != 1U << MEMBER_CHECKS)
		return thr_fault_set(ret_fault, "checks",
				     "A body has either a key or checks: write one of them.");
	if (ret_list->is_batch)
		return 0;
	if (!(seen & 1U << MEMBER_KEY))
		return thr_fault_set(ret_fault, "key", "The key is missing.");
	ret_list->check[0] = single;
	ret_list->count = 1;
	return 0;
}
