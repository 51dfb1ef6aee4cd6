/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The list of sources as a sorted array: found by bisection, changed in place;
 * see config.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

/* Index of the first source that does not come before `prefix`. */
static size_t lower_bound(const struct thr_tables *tables, const struct thr_prefix *prefix)
{
	size_t low = 0, high = tables->source_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (thr_prefix_compare(&tables->sources[middle].prefix, prefix) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_at(const struct thr_tables *tables, size_t index, const struct thr_prefix *prefix)
{
	return index < tables->source_count &&
	       thr_prefix_compare(&tables->sources[index].prefix, prefix) == 0;
}

struct thr_source_config *thr_tables_find_source(const struct thr_tables *tables,
						 const struct thr_prefix *prefix)
{
	size_t index = lower_bound(tables, prefix);

	return is_at(tables, index, prefix) ? &tables->sources[index] : NULL;
}

int thr_tables_set_source(struct thr_tables *tables, const struct thr_source_config *source)
{
	size_t index = lower_bound(tables, &source->prefix);
	struct thr_source_config copy = *source; /* which may lie in the array that moves */
	struct thr_source_config *sources;

	if (!is_at(tables, index, &source->prefix)) {
		sources = reallocarray(tables->sources, tables->source_count + 1, sizeof(*sources));
		if (!sources)
			return -ENOMEM;
		memmove(sources + index + 1, sources + index,
			(tables->source_count - index) * sizeof(*sources));
		tables->sources = sources;
		tables->source_count++;
	}
	tables->sources[index] = copy;
	return 0;
}

void thr_tables_remove_source(struct thr_tables *tables, struct thr_source_config *source)
{
	size_t index = (size_t)(source - tables->sources);

	tables->source_count--;
	memmove(source, source + 1, (tables->source_count - index) * sizeof(*source));
}

void thr_tables_clear(struct thr_tables *tables)
{
	for (size_t i = 0; i < tables->service_count; i++) {
		free(tables->services[i].name);
		free(tables->services[i].ports);
	}
	free(tables->services);
	free(tables->sources);
	free(tables->sizes.gate.name);
	free(tables->sizes.exact.name);
	free(tables->sizes.verified.name);
	free(tables->sizes.blocked.name);
	*tables = (struct thr_tables){0};
}
