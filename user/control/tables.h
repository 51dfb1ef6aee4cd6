/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The live tables of an instance: written as a whole, read back as a whole.
 *
 * A table is written into the slot that is not in force and then put in force
 * by one store: packets see all of the old or all of the new, and a failure on
 * the way leaves the old one alone. Callers hold thr_lock().
 */
#ifndef THR_CONTROL_TABLES_H
#define THR_CONTROL_TABLES_H

#include "config/config.h"
#include "control/instance.h"
#include "control/notices.h"

/* Make `tables` live. Buckets and counters stay. Returns 0, or a negative errno
 * with `error` set and the old tables in force: -ENOSPC where they do not fit,
 * -EBUSY where they state other sizes than the instance has, -ENOMEM. Sysctls that tables which
 * challenge need are set before they are in force, and put back where they are not needed any more:
 * `notices`, which may be NULL, says so (challenge.h). */
int thr_tables_write(struct thr_instance *instance, const struct thr_tables *tables,
		     struct thr_notices *notices, struct thr_error *error);

/* The same for an instance that no interface has yet, but for the sysctls: they are for
 * thr_challenge_prepare(), once one has it, because until then nobody would put them back
 * if this process were killed. */
int thr_tables_write_first(struct thr_instance *instance, const struct thr_tables *tables,
			   struct thr_error *error);

/* The tables in force, for thr_tables_clear(). An instance that no table was
 * applied to has empty ones, with action THR_ACTION_OFF. */
int thr_tables_read(const struct thr_instance *instance, struct thr_tables *ret_tables,
		    struct thr_error *error);

#endif
