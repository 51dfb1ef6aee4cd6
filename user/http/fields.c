/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One field line (RFC 9112, 5), the names that the proxy knows, and lists
 * (RFC 9110, 5.6.1).
 *
 * A name is looked up by its length, then its first letter: most names of a
 * request are not in the table, and most of those are told by that.
 */
#include "http/parse.h"

#define NAME_MAX_BYTES 19
#define SAME_LENGTH_MAX 3

/* A row for each length. Hop-by-hop by themselves are those of RFC 9110, 7.6.1,
 * those of RFC 2616, 13.5.1 that it left to other sections, and HTTP2-Settings
 * (RFC 7540, 3.2.1). */
static const struct known {
	const char *name;
	enum thr_http_field_id id;
	bool hop_by_hop;
} names[NAME_MAX_BYTES + 1][SAME_LENGTH_MAX + 1] = {
	[2] = {{"te", THR_FIELD_TE, true}},
	[3] = {{"via", THR_FIELD_VIA, false}},
	[4] = {{"host", THR_FIELD_HOST, false}, {"date", THR_FIELD_DATE, false}},
	[6] = {{"expect", THR_FIELD_EXPECT, false}},
	[7] = {{"trailer", THR_FIELD_TRAILER, true}, {"upgrade", THR_FIELD_UPGRADE, true}},
	[9] = {{"forwarded", THR_FIELD_FORWARDED, false},
	       {"ratelimit", THR_FIELD_RATELIMIT, false}},
	[10] = {{"connection", THR_FIELD_CONNECTION, true},
		{"keep-alive", THR_FIELD_KEEP_ALIVE, true}},
	[11] = {{"retry-after", THR_FIELD_RETRY_AFTER, false}},
	[12] = {{"x-request-id", THR_FIELD_X_REQUEST_ID, false}},
	[14] = {{"content-length", THR_FIELD_CONTENT_LENGTH, false},
		{"http2-settings", THR_FIELD_HTTP2_SETTINGS, true}},
	[15] = {{"x-forwarded-for", THR_FIELD_X_FORWARDED_FOR, false}},
	[16] = {{"proxy-connection", THR_FIELD_PROXY_CONNECTION, true},
		{"ratelimit-policy", THR_FIELD_RATELIMIT_POLICY, false},
		{"x-forwarded-host", THR_FIELD_X_FORWARDED_HOST, false}},
	[17] = {{"transfer-encoding", THR_FIELD_TRANSFER_ENCODING, true},
		{"x-forwarded-proto", THR_FIELD_X_FORWARDED_PROTO, false}},
	[18] = {{"proxy-authenticate", THR_FIELD_PROXY_AUTHENTICATE, true}},
	[19] = {{"proxy-authorization", THR_FIELD_PROXY_AUTHORIZATION, true}},
};

/* The same name but for '_' in the place of '-': CGI (RFC 3875, 4.1.18) and what came
 * after it make one variable of both. */
static bool is_twin(struct thr_slice name, const char *known)
{
	for (size_t i = 0; i < name.length; i++)
		if ((name.at[i] == '_' ? '-' : name.at[i] | 0x20) != (known[i] | 0x20))
			return false;
	return true;
}

static const struct known *look_up(struct thr_slice name)
{
	static const struct known other = {"", THR_FIELD_OTHER, false};
	static const struct known twin = {"", THR_FIELD_TWIN, false};

	if (!name.length || name.length > NAME_MAX_BYTES)
		return &other;
	for (const struct known *known = names[name.length]; known->name; known++) {
		if ((name.at[0] | 0x20) != known->name[0])
			continue;
		if (strncasecmp(name.at, known->name, name.length) == 0)
			return known;
		if (is_twin(name, known->name))
			return &twin;
	}
	return &other;
}

enum thr_http_field_id thr_http_field_id(struct thr_slice name)
{
	return look_up(name)->id;
}

static bool is_white(char c)
{
	return c == ' ' || c == '\t';
}

static struct thr_slice trim(const char *at, const char *end)
{
	while (at < end && is_white(*at))
		at++;
	while (at < end && is_white(end[-1]))
		end--;
	return (struct thr_slice){at, (size_t)(end - at)};
}

/* obs-fold needs no case of its own: a name cannot begin with white space. */
int thr_http_parse_field(struct thr_slice line, struct thr_http_field *ret_field)
{
	const char *end = line.at + line.length;
	const char *colon = thr_http_skip(line.at, end, THR_BYTE_TOKEN);
	const struct known *known;

	if (colon == line.at || colon == end || *colon != ':')
		return -400;
	if (thr_http_skip_value(colon + 1, end) != end)
		return -400;
	ret_field->name = (struct thr_slice){line.at, (size_t)(colon - line.at)};
	ret_field->value = trim(colon + 1, end);
	known = look_up(ret_field->name);
	ret_field->id = known->id;
	ret_field->hop_by_hop = known->hop_by_hop;
	return 0;
}

bool thr_http_list_next(struct thr_slice *rest, struct thr_slice *ret_element)
{
	while (rest->length) {
		const char *at = rest->at, *end = at + rest->length;
		const char *comma = memchr(at, ',', rest->length);
		struct thr_slice element = trim(at, comma ? comma : end);

		rest->at = comma ? comma + 1 : end;
		rest->length = (size_t)(end - rest->at);
		if (element.length) {
			*ret_element = element;
			return true;
		}
	}
	return false;
}

bool thr_http_list_has(struct thr_slice list, const char *word)
{
	struct thr_slice element;

	while (thr_http_list_next(&list, &element))
		if (thr_slice_is_word(element, word))
			return true;
	return false;
}
