/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Durations to and from text; see duration.h. */
#include "core/duration.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The largest first, for the format; a number alone is of the last. */
static const struct {
	const char *name;
	uint64_t ms;
} units[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {"", 1000}};
#define UNITS (sizeof(units) / sizeof(units[0]))

int thr_duration_parse(const char *text, uint64_t *ret_ms)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t value;

	if (!digits || (text[0] == '0' && digits > 1))
		return -EINVAL;
	value = strtoull(text, NULL, 10); /* what does not fit is its maximum: out of range */
	for (size_t i = 0; i < UNITS; i++) {
		if (strcmp(units[i].name, text + digits) != 0)
			continue;
		if (!value || value > THR_DURATION_MAX_MS / units[i].ms)
			return -ERANGE;
		*ret_ms = value * units[i].ms;
		return 0;
	}
	return -EINVAL;
}

void thr_duration_format(uint64_t ms, char text[static THR_DURATION_TEXT])
{
	size_t i = 0;

	while (ms % units[i].ms)
		i++;
	snprintf(text, THR_DURATION_TEXT, "%" PRIu64 "%s", ms / units[i].ms, units[i].name);
}
