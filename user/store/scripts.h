/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What runs inside Redis. Each script is one step that nobody else's comes between, and
 * every time in it is Redis': no caller's clock decides anything.
 *
 * Numbers in Redis' Lua are doubles, exact for integers below 2^53; a window may have 2^59
 * ticks. Times are therefore pairs, whole seconds and ticks below a second, and no product
 * or sum in a script leaves the exact range: what a script judges is what thr_bucket.h
 * judges, to the tick.
 *
 *   TAKE       KEYS  a bucket
 *              ARGV  window, a token to be leased (two numbers each), how many; whether all
 *                    that is set for keys is known (1 or 0); then runs: spent (two), how often
 *              ->    the debt before, as two numbers; Redis' time, as two
 *   GIVE_BACK  KEYS  a bucket
 *              ARGV  what was leased and not used, and when by Redis' time (two numbers each)
 *   SYNC       KEYS  those of enum thr_sync_key
 *              ARGV  epoch, version, a new epoch; instance, how many changes at most,
 *                    the number up to which all are known; the key and the number of
 *                    the last one that was read (0: none)
 *              ->    epoch, version, instances, floor; then a change: number, key, and a quota,
 *                    the number of a removal, or '' (neither is there)
 *   CHANGE     KEYS  as SYNC
 *              ARGV  epoch, version, a new epoch; what, key, quota, most quotas, condition,
 *                    whether any version does, versions
 *              ->    word, version or quota
 *   RESTORE    KEYS  as SYNC
 *              ARGV  epoch, version, a new epoch; then key, version, quota or ''
 *              ->    epoch
 *
 * A bucket is its TAT, "seconds:ticks" of Redis' clock, and expires once it is full. A
 * quota is "version capacity refill on_error".
 */
#ifndef THR_SCRIPTS_H
#define THR_SCRIPTS_H

#include <stdint.h>

#include "store/redis.h"

enum thr_script {
	THR_SCRIPT_TAKE,
	THR_SCRIPT_GIVE_BACK,
	THR_SCRIPT_SYNC,
	THR_SCRIPT_CHANGE,
	THR_SCRIPT_RESTORE,
	THR_SCRIPTS,
};

/* The keys of what instances tell each other, all in one slot of a cluster. */
enum thr_sync_key {
	THR_SYNC_META,	    /* hash: epoch, version, floor, dropped, missing */
	THR_SYNC_QUOTAS,    /* hash: quotas by key */
	THR_SYNC_LOG,	    /* sorted set: keys by the number of their last change */
	THR_SYNC_REMOVED,   /* those of the log that have no quota any more */
	THR_SYNC_INSTANCES, /* sorted set: by the time of their last sign of life, ms */
	THR_SYNC_KEYS,
};

extern const char *const thr_sync_key_name[THR_SYNC_KEYS];

/* Ticks of a second, THR_TICK_SHIFT of them in a ns. */
#define THR_TICKS_PER_S (1000000000ULL << 4)

/* Set the texts. */
void thr_scripts_fill(struct thr_redis_script scripts[static THR_SCRIPTS]);

#endif
