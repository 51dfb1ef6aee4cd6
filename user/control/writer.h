/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The idle slot while it is written: what tables.c, which puts it in force, shares with
 * services.c and sources.c, which fill it, and with readback.c.
 */
#ifndef THR_WRITER_H
#define THR_WRITER_H

#include "config/config.h"
#include "control/instance.h"
#include "control/policies.h"

struct thr_writer {
	struct thr_instance *instance;
	const struct thr_tables *tables;
	unsigned int slot; /* the idle one */
	struct thr_policy_set policies;
	uint32_t flags; /* enum thr_flag that follow from the tables' contents */
};

/* Write the default and the services, with their ports, policies and budgets. Returns 0
 * or a negative errno. */
int thr_services_write(struct thr_writer *writer, struct thr_error *error);

/* Write the source prefixes, with their policies and the summary, into a slot that has
 * none. Returns 0 or a negative errno; some may be there then. */
int thr_sources_write(struct thr_writer *writer, struct thr_error *error);

/* Remove what there is of source prefixes in `slot`. Returns 0, or a negative errno: the
 * rest is removed before the next change. */
int thr_sources_remove(struct thr_instance *instance, unsigned int slot);

/* What is done with each entry of thr_sources; a result other than 0 ends it. */
typedef int (*thr_source_visit)(void *context, const struct thr_source_key *key,
				const struct thr_source *source);

/* Visit every source prefix of `slot`. Returns 0, the visitor's result, or a negative
 * errno of the kernel's. */
int thr_sources_walk(int map_fd, unsigned int slot, thr_source_visit visit, void *context);

#endif
