/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Values of fields; see fields.h. */
#include "api/fields.h"

#include <errno.h>

#include "http/http.h"

#define QUALITY_MOST 1000

static struct thr_slice trim(struct thr_slice text)
{
	while (text.length && (*text.at == ' ' || *text.at == '\t')) {
		text.at++;
		text.length--;
	}
	while (text.length && (text.at[text.length - 1] == ' ' || text.at[text.length - 1] == '\t'))
		text.length--;
	return text;
}

/* What is before the next ';', trimmed; `rest` becomes what is behind it. */
static struct thr_slice next_part(struct thr_slice *rest)
{
	const char *end = rest->length ? memchr(rest->at, ';', rest->length) : NULL;
	struct thr_slice part = *rest;

	if (end) {
		part.length = (size_t)(end - rest->at);
		rest->length -= part.length + 1;
		rest->at = end + 1;
	} else {
		rest->length = 0;
	}
	return trim(part);
}

bool thr_is_json(struct thr_slice content_type)
{
	return thr_slice_is_word(next_part(&content_type), "application/json");
}

/* --- Accept --- */

/* A weight in thousandths (RFC 9110, 12.4.2); QUALITY_MOST for what is not one. */
static unsigned int read_quality(struct thr_slice text)
{
	unsigned int quality = 0, unit = QUALITY_MOST;

	if (!text.length || text.length > 5 || (text.length > 1 && text.at[1] != '.'))
		return QUALITY_MOST;
	for (size_t i = 0; i < text.length; i++) {
		if (i == 1)
			continue;
		if (text.at[i] < '0' || text.at[i] > '9')
			return QUALITY_MOST;
		quality += (unsigned int)(text.at[i] - '0') * unit;
		unit /= 10;
	}
	return quality < QUALITY_MOST ? quality : QUALITY_MOST;
}

/* One media range with its parameters. */
static void add_range(struct thr_accept *accept, struct thr_slice element)
{
	struct thr_slice range = next_part(&element);
	unsigned int quality = QUALITY_MOST, specific = 0;
	bool other_version = false;

	while (element.length) {
		struct thr_slice part = next_part(&element);

		if (part.length > 2 && thr_slice_is_word((struct thr_slice){part.at, 2}, "q="))
			quality = read_quality((struct thr_slice){part.at + 2, part.length - 2});
		else if (part.length > 8 &&
			 thr_slice_is_word((struct thr_slice){part.at, 8}, "version="))
			other_version = !thr_slice_is_word(part, "version=1.0.0");
	}
	if (thr_slice_is_word(range, "application/openmetrics-text")) {
		if (!other_version && quality > accept->open_metrics)
			accept->open_metrics = quality;
		return;
	}
	if (thr_slice_is_word(range, "text/plain"))
		specific = 3;
	else if (thr_slice_is_word(range, "text/*"))
		specific = 2;
	else if (thr_slice_is(range, "*/*"))
		specific = 1;
	if (specific > accept->specific ||
	    (specific && specific == accept->specific && quality > accept->text)) {
		accept->specific = specific;
		accept->text = quality;
	}
}

void thr_accept_add(struct thr_accept *accept, struct thr_slice value)
{
	struct thr_slice element;

	while (thr_http_list_next(&value, &element))
		add_range(accept, element);
}

bool thr_accept_prefers_open_metrics(const struct thr_accept *accept)
{
	return accept->open_metrics && accept->open_metrics >= accept->text;
}

/* --- conditions --- */

uint64_t thr_version_read(struct thr_slice text)
{
	uint64_t version = 0;

	if (!text.length || text.at[0] == '0')
		return 0;
	for (size_t i = 0; i < text.length; i++) {
		uint64_t digit = (uint64_t)(text.at[i] - '0');

		if (text.at[i] < '0' || text.at[i] > '9' ||
		    __builtin_mul_overflow(version, 10, &version) ||
		    __builtin_add_overflow(version, digit, &version))
			return 0;
	}
	return version;
}

/* An entity tag at the front of `rest` (RFC 9110, 8.8.3), which may have commas in it. */
static int read_tag(struct thr_slice *rest, bool *ret_weak, struct thr_slice *ret_tag)
{
	const char *end = rest->at + rest->length, *at = rest->at, *quote;

	*ret_weak = rest->length > 2 && at[0] == 'W' && at[1] == '/';
	at += *ret_weak ? 2 : 0;
	if (at == end || *at++ != '"')
		return -EINVAL;
	quote = at < end ? memchr(at, '"', (size_t)(end - at)) : NULL;
	if (!quote)
		return -EINVAL;
	*ret_tag = (struct thr_slice){at, (size_t)(quote - at)};
	for (size_t i = 0; i < ret_tag->length; i++)
		if (at[i] == ' ' || at[i] == '\t')
			return -EINVAL;
	*rest = (struct thr_slice){quote + 1, (size_t)(end - quote - 1)};
	return 0;
}

static int add_tag(struct thr_condition *condition, struct thr_slice *rest, size_t *tags)
{
	struct thr_slice tag;
	uint64_t version;
	bool weak;

	if (read_tag(rest, &weak, &tag) < 0 || ++*tags > THR_VERSIONS_MAX)
		return -EINVAL;
	version = thr_version_read(tag);
	if (!version || (weak && condition->kind == THR_IF_MATCH))
		return 0;
	if (condition->count == THR_VERSIONS_MAX)
		return -EINVAL;
	condition->version[condition->count++] = version;
	return 0;
}

int thr_condition_add(struct thr_condition *condition, int kind, struct thr_slice value)
{
	struct thr_slice rest = trim(value);
	bool more = true;
	size_t tags = 0;

	if (condition->kind != THR_ALWAYS && (int)condition->kind != kind)
		return -EINVAL;
	/* "*" is not one of a list, so nothing may come before it or after. */
	if (condition->any || (thr_slice_is(rest, "*") && condition->kind != THR_ALWAYS))
		return -EINVAL;
	condition->kind = kind;
	if (thr_slice_is(rest, "*")) {
		condition->any = true;
		return 0;
	}
	while (rest.length) {
		if (*rest.at == ',') {
			rest.at++;
			rest.length--;
			more = true;
		} else if (!more || add_tag(condition, &rest, &tags) < 0) {
			return -EINVAL;
		} else {
			more = false;
		}
		rest = trim(rest);
	}
	return tags ? 0 : -EINVAL;
}

/* --- Authorization --- */

struct thr_slice thr_bearer_token(struct thr_slice value)
{
	static const char scheme[] = "Bearer";
	const size_t length = sizeof(scheme) - 1;
	struct thr_slice token;

	if (value.length <= length || value.at[length] != ' ' ||
	    !thr_slice_is_word((struct thr_slice){value.at, length}, scheme))
		return THR_SLICE("");
	token = trim((struct thr_slice){value.at + length, value.length - length});
	if (token.length &&
	    (memchr(token.at, ' ', token.length) || memchr(token.at, '\t', token.length)))
		return THR_SLICE("");
	return token;
}
