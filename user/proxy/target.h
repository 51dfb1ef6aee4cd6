/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the workers know together of each target of each route: whether it is set
 * aside, what checks found, and how many requests each worker has with it. It
 * lies in memory that all workers map, one block for each configuration, and is
 * changed with atomics only; a worker that died is forgotten by zeroing its
 * column.
 *
 * A worker may be in a stranger's hands, and what it writes there is read by the
 * others and by the master. So the block has numbers only, any of which any
 * process may find changed to any other: requests go to the wrong target then, and
 * no process does worse. `struct thr_targets` is a process's own handle of it.
 *
 * Targets are numbered over all routes, in the order of the configuration.
 */
#ifndef THR_TARGET_H
#define THR_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

struct thr_targets;

/* Bytes of the block for a configuration. */
size_t thr_targets_size(const struct thr_config *config, unsigned int workers);

/* A handle of a block of that size, mapped shared and writable, and zeroed when it was
 * made. The handle owns the mapping. NULL: out of memory, and it does not. */
struct thr_targets *thr_targets_new(void *block, const struct thr_config *config,
				    unsigned int workers);

/* Unmaps the block in this process. NULL-safe. */
void thr_targets_free(struct thr_targets *targets);

/* Take over what `old` knows of targets with the same route path, host and port;
 * what an active check found only where both check. Without memory for it, nothing
 * is taken over. */
void thr_targets_inherit(struct thr_targets *targets, const struct thr_config *config,
			 const struct thr_targets *old, const struct thr_config *old_config);

/* A target may be given requests. One that is set aside after failures becomes so
 * again at the end of its time: the next request tries it. */
bool thr_target_is_available(const struct thr_targets *targets, size_t target, uint64_t now_ms);

/* Take such a trial: true for one caller, and the target stays set aside for as
 * long again unless that request succeeds, so that one which never answers does
 * not hold up all that came in the meantime. True for a target that is not set
 * aside. thr_pick() calls it. */
bool thr_target_try(struct thr_targets *targets, size_t target, uint64_t now_ms);

/* A request failed because of the target (connect, send, no answer, bad answer).
 * Returns true when this set it aside, for who logs. The only target of a route is
 * never set aside by this: there is nothing better to do with its requests. */
bool thr_target_failed(struct thr_targets *targets, size_t target,
		       const struct thr_upstream_config *rules, uint64_t now_ms);
/* One succeeded. Returns true when it had been set aside. */
bool thr_target_succeeded(struct thr_targets *targets, size_t target);

/* The result of an active check; returns true when it changed what the target is
 * taken for. What takes it back ends a setting aside by requests too. */
bool thr_target_checked(struct thr_targets *targets, size_t target,
			const struct thr_health_config *rules, bool passed);

/* Whether the caller is the worker that is to check the target now: one of them is
 * told so every interval. The first check is due at once. */
bool thr_target_check_is_due(struct thr_targets *targets, size_t target,
			     const struct thr_health_config *rules, uint64_t now_ms);

/* Requests in flight. */
void thr_target_begin(struct thr_targets *targets, size_t target, unsigned int worker);
void thr_target_end(struct thr_targets *targets, size_t target, unsigned int worker);
uint32_t thr_target_busy(const struct thr_targets *targets, size_t target);
void thr_targets_forget_worker(struct thr_targets *targets, unsigned int worker);

#endif
