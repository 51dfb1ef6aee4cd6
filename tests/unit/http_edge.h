/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * For the tests of user/http: bytes whose end is the end of what may be read, and
 * the limits that the configuration has by default.
 */
#ifndef THR_TEST_HTTP_EDGE_H
#define THR_TEST_HTTP_EDGE_H

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "http/http.h"
#include "support/run.h"

#define EDGE_ARENA (256 * 1024)
#define BYTES(literal) literal, sizeof(literal) - 1

static const struct thr_http_limits limits = {8192, 16384, 100};

/* A copy of `length` bytes right before a page that must not be touched. The next
 * call overwrites it. */
static inline char *before_the_edge(const char *bytes, size_t length)
{
	static char *edge;

	if (!edge) {
		size_t page = (size_t)sysconf(_SC_PAGESIZE);
		char *arena = mmap(NULL, EDGE_ARENA + page, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		assert_true(arena != MAP_FAILED);
		assert_int_equal(mprotect(arena + EDGE_ARENA, page, PROT_NONE), 0);
		edge = arena + EDGE_ARENA;
	}
	assert_true(length <= EDGE_ARENA);
	memmove(edge - length, bytes, length);
	return edge - length;
}

static inline void assert_slice(struct thr_slice slice, const char *text)
{
	assert_int_equal(slice.length, strlen(text));
	assert_memory_equal(slice.at, text, slice.length);
}

#endif
