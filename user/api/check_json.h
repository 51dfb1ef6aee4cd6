/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The body of POST /check: {"key":"user:42","cost":1}, or {"checks":[...]} of such objects.
 *
 * A parser of its own, because a library builds a tree first, and that costs about as much as
 * all else that a check costs in user space. Strict: what it accepts is JSON (RFC 8259) and
 * has one meaning; whatever two readers could take differently, such as a member that is
 * there twice, is refused. tests/fuzz/fuzz_check_json.c holds it to what jansson accepts.
 */
#ifndef THR_CHECK_JSON_H
#define THR_CHECK_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "core/slice.h"

#define THR_CHECKS_MAX 1000	  /* in a body */
#define THR_COST_MAX (1ULL << 40) /* the largest capacity */

struct thr_check {
	struct thr_slice key; /* in the text */
	uint64_t cost;
};

struct thr_check_list {
	bool is_batch;
	size_t count; /* 1 without is_batch */
	struct thr_check check[THR_CHECKS_MAX];
};

/* What is wrong with a body: printable ASCII. */
#define THR_FAULT_FIELD 64
struct thr_fault {
	char field[THR_FAULT_FIELD]; /* "checks[3].key"; empty: the body as a whole */
	char detail[192];
};

/* Parse `length` bytes at `text`, in which strings are decoded in place. Returns 0; or
 * -EINVAL with *ret_fault filled, and `ret_list` without meaning. */
int thr_check_parse(char *text, size_t length, struct thr_check_list *ret_list,
		    struct thr_fault *ret_fault);

/* Fill a fault: `field` and a sentence. Returns -EINVAL, for `return thr_fault_set(...)`. */
int thr_fault_set(struct thr_fault *fault, const char *field, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The fault of a member that does not exist: suggests one of `names` (NULL ends them). */
int thr_fault_member(struct thr_fault *fault, struct thr_slice member, const char *const *names);

#endif
