/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Any bytes as the body of POST /check: accepted are exactly those that jansson takes for JSON
 * and that have the shape of a check, with the same keys and costs. Known to differ: jansson
 * passes over a NUL that follows a number.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/check_json.h"
#include "api/key.h"
#include "fuzz/holds.h"

/* The shape, by the reference: whether `object` is one check. */
static bool read_check(json_t *object, struct thr_check *ret_check)
{
	json_t *key = json_object_get(object, "key"), *cost = json_object_get(object, "cost");
	json_int_t whole = cost ? json_integer_value(cost) : 1;
	const char *why;

	if (!json_is_object(object) || !json_is_string(key) || (cost && !json_is_integer(cost)))
		return false;
	if (json_object_size(object) != (cost ? 2 : 1))
		return false;
	ret_check->key = (struct thr_slice){json_string_value(key), json_string_length(key)};
	ret_check->cost = (uint64_t)whole;
	return thr_key_is_valid(ret_check->key, &why) && whole >= 0 &&
	       whole <= (json_int_t)THR_COST_MAX;
}

static bool read_body(json_t *body, struct thr_check_list *ret_list)
{
	json_t *checks = json_object_get(body, "checks");

	ret_list->is_batch = checks != NULL;
	ret_list->count = 1;
	if (!checks)
		return read_check(body, &ret_list->check[0]);
	ret_list->count = json_array_size(checks);
	if (json_object_size(body) != 1 || !ret_list->count || ret_list->count > THR_CHECKS_MAX)
		return false;
	for (size_t i = 0; i < ret_list->count; i++)
		if (!read_check(json_array_get(checks, i), &ret_list->check[i]))
			return false;
	return true;
}

static void compare(const struct thr_check_list *ours, const struct thr_check_list *theirs)
{
	HOLDS(ours->is_batch == theirs->is_batch && ours->count == theirs->count);
	for (size_t i = 0; i < ours->count; i++) {
		struct thr_slice key = ours->check[i].key;

		HOLDS(ours->check[i].cost == theirs->check[i].cost);
		HOLDS(key.length == theirs->check[i].key.length);
		HOLDS(!memcmp(key.at, theirs->check[i].key.at, key.length));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct thr_check_list ours, theirs;
	char *text = malloc(size ? size : 1);
	struct thr_fault fault = {"", ""};
	json_t *body = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	bool good = body && !memchr(data, 0, size) && read_body(body, &theirs);

	if (!text)
		abort();
	memcpy(text, data, size);
	HOLDS(good == (thr_check_parse(text, size, &ours, &fault) == 0));
	if (good)
		compare(&ours, &theirs);
	else
		HOLDS(*fault.detail && strlen(fault.field) < sizeof(fault.field));
	for (const char *at = fault.detail; *at; at++)
		HOLDS(*at >= ' ' && *at < 0x7f);
	for (const char *at = fault.field; *at; at++)
		HOLDS(*at > ' ' && *at < 0x7f);
	json_decref(body);
	free(text);
	return 0;
}
