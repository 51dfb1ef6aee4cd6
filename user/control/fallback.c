/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See fallback.h. */
#include "control/fallback.h"

#include <errno.h>
#include <string.h>

int thr_fallback_find(const struct thr_instance *instance, unsigned int index)
{
	for (int i = 0; i < THR_FALLBACKS_MAX; i++)
		if (instance->live->fallback[i].interface == index)
			return instance->live->fallback[i].error;
	return 0;
}

void thr_fallback_note(struct thr_instance *instance, unsigned int index, int code)
{
	struct thr_fallback *place = NULL;
	char name[IF_NAMESIZE];

	/* Interfaces that went leave their entries. */
	for (int i = 0; i < THR_FALLBACKS_MAX; i++)
		if (!if_indextoname(instance->live->fallback[i].interface, name))
			instance->live->fallback[i] = (struct thr_fallback){};
	for (int i = THR_FALLBACKS_MAX - 1; i >= 0; i--) {
		struct thr_fallback *entry = &instance->live->fallback[i];

		if (entry->interface == index || (!entry->interface && code))
			place = entry;
		if (entry->interface == index)
			break;
	}
	if (place)
		*place = (struct thr_fallback){.interface = code ? index : 0, .error = code};
}

const char *thr_native_error_text(int code)
{
	switch (code) {
	case EOPNOTSUPP:
		return "the driver has no XDP support";
	case EINVAL:
		return "the driver refused it (often: LRO is on, or the MTU is too large)";
	case ERANGE:
		return "the MTU is too large for the driver";
	default:
		return strerror(code);
	}
}
