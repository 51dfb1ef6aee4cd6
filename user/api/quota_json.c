/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* By jansson: quotas are set now and then. See quota_json.h. */
#include "api/quota_json.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/cleanup.h"
#include "core/rate.h"

static const char *const member_names[] = {"capacity", "refill_per_second", "on_error", NULL};

static const char *const on_error_names[] = {
	[THR_ON_ERROR_LOCAL] = "local",
	[THR_ON_ERROR_ALLOW] = "allow",
	[THR_ON_ERROR_DENY] = "deny",
};
#define REFILL_TEXT 32
#define MEMBERS_MAX (THR_QUOTA_TEXT - sizeof("{}\n"))
#define ON_ERRORS (sizeof(on_error_names) / sizeof(on_error_names[0]))

static void release(json_t **json)
{
	json_decref(*json);
}

static int refuse_name(const char *name, struct thr_fault *fault)
{
	const char *hint = thr_refill_hint(name);

	if (hint)
		return thr_fault_set(fault, name, "There is no member '%s': %s.", name, hint);
	return thr_fault_member(fault, (struct thr_slice){name, strlen(name)}, member_names);
}

static int check_names(json_t *object, struct thr_fault *fault)
{
	const char *name;
	json_t *value;

	json_object_foreach(object, name, value)
	{
		bool known = false;

		for (size_t i = 0; member_names[i]; i++)
			known |= strcmp(name, member_names[i]) == 0;
		if (!known)
			return refuse_name(name, fault);
	}
	return 0;
}

static int read_on_error(const json_t *value, enum thr_on_error *on_error, struct thr_fault *fault)
{
	if (!value)
		return 0;
	for (size_t i = 0; i < ON_ERRORS && json_is_string(value); i++) {
		if (strcmp(json_string_value(value), on_error_names[i]) == 0) {
			*on_error = (enum thr_on_error)i;
			return 0;
		}
	}
	return thr_fault_set(fault, "on_error", "Write \"local\", \"allow\" or \"deny\".");
}

static int read_quota(json_t *object, enum thr_on_error on_error, struct thr_quota *ret_quota,
		      struct thr_fault *fault)
{
	const json_t *capacity = json_object_get(object, "capacity");
	const json_t *refill = json_object_get(object, "refill_per_second");
	json_int_t whole = json_integer_value(capacity);
	const char *why, *field = "refill_per_second";

	if (!capacity)
		return thr_fault_set(fault, "capacity",
				     "The capacity is missing: write a whole number of 1 to 2^40.");
	if (!refill)
		return thr_fault_set(fault, field,
				     "The refill_per_second is missing: write a number such as 10 "
				     "or 0.5.");
	if (!json_is_integer(capacity) || whole < 1 || whole > (json_int_t)THR_COUNT_MAX)
		return thr_fault_set(fault, "capacity",
				     "Write a whole number of 1 to 2^40, in digits.");
	if (!json_is_number(refill))
		return thr_fault_set(fault, field,
				     "Write a number such as 10 or 0.5, of at least 0.0001.");
	if (read_on_error(json_object_get(object, "on_error"), &on_error, fault) < 0)
		return -EINVAL;
	if (thr_quota_make((uint64_t)whole, json_number_value(refill), on_error, ret_quota, &why) <
	    0)
		return thr_fault_set(fault, field, "This cannot be kept: %s.", why);
	return 0;
}

/* The member whose name is the last string in the text, if that is one of ours and written
 * without an escape; else "". */
static const char *last_name(const char *text, size_t length)
{
	const char *end = length ? memrchr(text, '"', length) : NULL;
	const char *start = end ? memrchr(text, '"', (size_t)(end - text)) : NULL;

	if (!start || (start > text && start[-1] == '\\'))
		return "";
	for (size_t i = 0; member_names[i]; i++)
		if (thr_slice_is((struct thr_slice){start + 1, (size_t)(end - start - 1)},
				 member_names[i]))
			return member_names[i];
	return "";
}

/* What was not decoded. jansson is at the end of what it refuses: a name, or a number. */
static int refuse_text(const char *text, const json_error_t *error, struct thr_fault *fault)
{
	const char *field = last_name(text, (size_t)error->position);

	switch (json_error_code(error)) {
	case json_error_duplicate_key:
		return thr_fault_set(fault, field, "The member is there twice.");
	case json_error_numeric_overflow:
		return thr_fault_set(fault, field,
				     "The number is too large: write a capacity of at most 2^40, "
				     "and a refill_per_second below 1e15.");
	default:
		return thr_fault_set(fault, "", "The body is not JSON: line %d, column %d.",
				     error->line, error->column);
	}
}

int thr_quota_parse(const char *text, size_t length, enum thr_on_error on_error,
		    struct thr_quota *ret_quota, struct thr_fault *ret_fault)
{
	json_error_t error = {.line = 1};
	CLEANUP(release)
	json_t *object = json_loadb(length ? text : "", length,
				    JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);

	if (!object)
		return refuse_text(text, &error, ret_fault);
	if (!json_is_object(object))
		return thr_fault_set(ret_fault, "",
				     "The body is not a JSON object: write {\"capacity\":100,"
				     "\"refill_per_second\":10}.");
	if (check_names(object, ret_fault) < 0)
		return -EINVAL;
	return read_quota(object, on_error, ret_quota, ret_fault);
}

/* 15 digits are the most that look as they were written; 17 are always exact. */
static const char *write_refill(double refill_per_s, char text[static REFILL_TEXT])
{
	snprintf(text, REFILL_TEXT, "%.15g", refill_per_s);
	if (strtod(text, NULL) != refill_per_s)
		snprintf(text, REFILL_TEXT, "%.17g", refill_per_s);
	return text;
}

const char *thr_quota_words(const struct thr_quota *quota, char text[static THR_QUOTA_TEXT])
{
	char refill[REFILL_TEXT];

	snprintf(text, THR_QUOTA_TEXT, "capacity %" PRIu64 ", refill_per_second %s, on_error %s",
		 quota->capacity, write_refill(quota->refill_per_s, refill),
		 on_error_names[quota->on_error]);
	return text;
}

/* Its members, with commas between them. */
static size_t format_members(const struct thr_quota *quota, char text[static MEMBERS_MAX])
{
	char refill[REFILL_TEXT];

	return (size_t)snprintf(text, MEMBERS_MAX,
				"\"capacity\":%" PRIu64
				",\"refill_per_second\":%s,\"on_error\":\"%s\"",
				quota->capacity, write_refill(quota->refill_per_s, refill),
				on_error_names[quota->on_error]);
}

size_t thr_quota_format(const struct thr_quota *quota, char text[static THR_QUOTA_TEXT])
{
	char members[MEMBERS_MAX];

	format_members(quota, members);
	return (size_t)snprintf(text, THR_QUOTA_TEXT, "{%s}\n", members);
}

bool thr_quota_put(struct thr_writer *writer, struct thr_slice key, const struct thr_quota *quota)
{
	CLEANUP(release) json_t *name = json_stringn(key.at, key.length);
	struct thr_writer text = *writer;
	char members[MEMBERS_MAX];
	size_t length;

	THR_PUT(&text, "{\"key\":");
	length =
		name ? json_dumpb(name, text.at, (size_t)(text.end - text.at), JSON_ENCODE_ANY) : 0;
	if (!length)
		return false;
	text.at += length;
	THR_PUT(&text, ",");
	thr_put(&text, members, format_members(quota, members));
	THR_PUT(&text, ",\"etag\":\"\\\"");
	thr_put_decimal(&text, quota->version);
	THR_PUT(&text, "\\\"\"}");
	*writer = text;
	return true;
}
