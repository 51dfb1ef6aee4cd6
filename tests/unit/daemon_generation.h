/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A configuration as workers are given it, with one route to nowhere. */
#ifndef THR_TEST_DAEMON_GENERATION_H
#define THR_TEST_DAEMON_GENERATION_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/generation.h"
#include "support/run.h"

static inline struct thr_generation *generation_for(unsigned int workers)
{
	static const char text[] = "routes: [{path: /, target: http://127.0.0.1:1}]\n";
	char path[] = "/tmp/thr-generation-XXXXXX";
	struct thr_generation *generation;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	assert_int_equal(thr_generation_load(path, &generation, NULL), 0);
	unlink(path);
	assert_int_equal(thr_generation_share(generation, workers, NULL, NULL), 0);
	return generation;
}

#endif
