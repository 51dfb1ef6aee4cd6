/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Walking the trie of source prefixes from user space; see tables.h.
 * Many entries a system call: lookup_batch on a trie came with Linux 5.18.
 */
#include "control/tables.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>

#include "core/cleanup.h"

#define BATCH 4096

static bool is_of_slot(const struct thr_source_key *key, unsigned int slot)
{
	return key->tag >> 1 == slot;
}

int thr_sources_walk(int map_fd, unsigned int slot, thr_source_visit visit, void *context)
{
	AUTO_FREE struct thr_source_key *keys = calloc(BATCH, sizeof(*keys));
	AUTO_FREE struct thr_source *sources = calloc(BATCH, sizeof(*sources));
	struct thr_source_key place, *from = NULL;
	bool more = true;

	if (!keys || !sources)
		return -ENOMEM;
	while (more) {
		LIBBPF_OPTS(bpf_map_batch_opts, options);
		struct thr_source_key next;
		__u32 count = BATCH;

		if (bpf_map_lookup_batch(map_fd, from, &next, keys, sources, &count, &options)) {
			if (errno != ENOENT)
				return -errno;
			more = false;
		}
		for (__u32 i = 0; i < count; i++) {
			int result = is_of_slot(&keys[i], slot)
					     ? visit(context, &keys[i], &sources[i])
					     : 0;

			if (result)
				return result;
		}
		place = next;
		from = &place;
	}
	return 0;
}
