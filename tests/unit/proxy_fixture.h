/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A proxy over the memory store with all that it is made of, in the thread of the test. */
#ifndef THR_TEST_PROXY_FIXTURE_H
#define THR_TEST_PROXY_FIXTURE_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "proxy/proxy.h"
#include "support/run.h"

#define WORKERS 2

struct proxy_fixture {
	struct thr_loop *loop;
	struct thr_resolver *resolver;
	struct thr_memory *buckets;
	struct thr_quotas *quotas;
	struct thr_store *store;
	struct thr_store_counts store_counts;
	struct thr_proxy *proxy; /* the first worker's */
	struct thr_proxy_counts counts[WORKERS];
	void *route_counts;
	struct thr_targets *targets; /* the proxy's; NULL before proxy_configure() */
};

/* Begin; its notes go to `note`, which may be NULL, with `context`. */
static inline void proxy_begin(struct proxy_fixture *fixture,
			       void (*note)(void *context, const struct thr_note *note),
			       void *context)
{
	struct thr_store_parts store;
	struct thr_proxy_parts parts;
	struct thr_error error;

	memset(fixture, 0, sizeof(*fixture));
	fixture->route_counts = calloc(1, thr_proxy_route_counts_size(WORKERS));
	assert_non_null(fixture->route_counts);
	assert_int_equal(thr_loop_new(&fixture->loop), 0);
	assert_int_equal(thr_resolver_new(fixture->loop, &fixture->resolver), 0);
	assert_int_equal(thr_memory_new(100, &fixture->buckets), 0);
	assert_int_equal(thr_quotas_new(10, false, &fixture->quotas), 0);
	store = (struct thr_store_parts){.loop = fixture->loop,
					 .buckets = fixture->buckets,
					 .quotas = fixture->quotas,
					 .resolver = fixture->resolver,
					 .counts = &fixture->store_counts};
	assert_int_equal(thr_store_new(&store, &fixture->store), 0);
	parts = (struct thr_proxy_parts){.loop = fixture->loop,
					 .store = fixture->store,
					 .buckets = fixture->buckets,
					 .resolver = fixture->resolver,
					 .counts = fixture->counts,
					 .route_counts = fixture->route_counts,
					 .workers = WORKERS,
					 .note = note,
					 .context = context};
	assert_int_equal(thr_proxy_new(&parts, &fixture->proxy, &error), 0);
}

static inline void proxy_configure(struct proxy_fixture *fixture, const char *text)
{
	struct thr_config *config;
	struct thr_error error;
	void *block;

	assert_int_equal(thr_config_parse("test.yaml", text, strlen(text), NULL, &config, &error),
			 0);
	block = mmap(NULL, thr_targets_size(config, WORKERS), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(block, MAP_FAILED);
	fixture->targets = thr_targets_new(block, config, WORKERS);
	assert_non_null(fixture->targets);
	assert_int_equal(thr_proxy_configure(fixture->proxy, config, fixture->targets, &error), 0);
}

static inline void proxy_end(struct proxy_fixture *fixture)
{
	thr_resolver_free(fixture->resolver);
	thr_proxy_free(fixture->proxy);
	thr_store_free(fixture->store);
	thr_quotas_free(fixture->quotas);
	thr_memory_free(fixture->buckets);
	thr_loop_free(fixture->loop);
	free(fixture->route_counts);
}

#endif
