/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The texts; see scripts.h. Redis 5 or later runs them. */
#include "store/scripts.h"

#include <string.h>

const char *const thr_sync_key_name[THR_SYNC_KEYS] = {
	[THR_SYNC_META] = "{sync}:meta",
	[THR_SYNC_QUOTAS] = "{sync}:quotas",
	[THR_SYNC_LOG] = "{sync}:log",
	[THR_SYNC_REMOVED] = "{sync}:removed",
	[THR_SYNC_INSTANCES] = "{sync}:instances",
};

/*
 * Time and debt of a bucket; no less than 0 is owed. What is no TAT, of whatever type, is a full
 * bucket, and is written over. A bucket in debt expires a millisecond after it is full: Redis
 * counts from a clock that it cut to milliseconds.
 */
#define BUCKET                                                                                     \
	"local S = 16000000000\n"                                                                  \
	"local now = redis.call('TIME')\n"                                                         \
	"local ns, nt = tonumber(now[1]), now[2] * 16000\n"                                        \
	"local function minus(s, t, us, ut)\n"                                                     \
	"  s, t = s - us, t - ut\n"                                                                \
	"  if t < 0 then s, t = s - 1, t + S end\n"                                                \
	"  if s < 0 then return 0, 0 end\n"                                                        \
	"  return s, t\n"                                                                          \
	"end\n"                                                                                    \
	"local kept = redis.pcall('GET', KEYS[1])\n"                                               \
	"if type(kept) == 'table' then\n"                                                          \
	"  if not string.find(kept.err, 'WRONGTYPE') then return kept end\n"                       \
	"  kept = false\n"                                                                         \
	"end\n"                                                                                    \
	"local s, t = string.match(kept or '', '^(%d+):(%d+)$')\n"                                 \
	"local ds, dt = minus(s or 0, t or 0, ns, nt)\n"                                           \
	"local function keep()\n"                                                                  \
	"  local s, t = ns + ds, nt + dt\n"                                                        \
	"  if t >= S then s, t = s + 1, t - S end\n"                                               \
	"  redis.call('SET', KEYS[1], string.format('%.0f:%.0f', s, t),\n"                         \
	"    'PX', string.format('%.0f', ds * 1000 + math.ceil(dt / 16000000) + 1))\n"             \
	"end\n"

/*
 * thr_bucket_judge() on pairs, for runs of equal takings. A debt beyond the window is from a
 * larger limit, and is cut to this one: for good only where a taking asks, and who asks knows
 * what is set for keys. Until then it may be the caller's limit that is the wrong one. What is
 * told of it is three years at most, longer than any window: ticks of more need not be in 64 bits.
 *
 * Of a run, as many conform as the largest multiple that stays in the window; found by halving,
 * for a quotient may be beyond the exact range. Whole tokens are leased ahead, from at most half
 * of what is left, and none where a taking was refused: it would wait for tokens that others hold.
 */
static const char take[] =
	BUCKET "local ws, wt = tonumber(ARGV[1]), tonumber(ARGV[2])\n"
	       "local bs, bt = math.min(ds, 100000000), dt\n"
	       "local changed, refused = false, false\n"
	       "local function within(s, t, es, et) return s < es or s == es and t <= et end\n"
	       "local es, et = ws, wt + 800000000\n"
	       "if et >= S then es, et = es + 1, et - S end\n"
	       "if not within(ds, dt, es, et) then\n"
	       "  ds, dt, changed = ws, wt, ARGV[6] == '1' and #ARGV > 6\n"
	       "end\n"
	       "local function after(count, ss, st)\n"
	       "  local t = dt + count * st\n"
	       "  local carry = math.floor(t / S)\n"
	       "  return ds + count * ss + carry, t - carry * S\n"
	       "end\n"
	       "local function take(count, ss, st, es, et)\n"
	       "  local low, middle, high = 0, count, count + 1\n"
	       "  while high - low > 1 do\n"
	       "    local s, t = after(middle, ss, st)\n"
	       "    if within(s, t, es, et) then low = middle else high = middle end\n"
	       "    middle = math.floor((low + high) / 2)\n"
	       "  end\n"
	       "  if low > 0 then\n"
	       "    ds, dt = after(low, ss, st)\n"
	       "    changed = true\n"
	       "  end\n"
	       "  return low == count\n"
	       "end\n"
	       "for i = 7, #ARGV, 3 do\n"
	       "  local count, ss, st = tonumber(ARGV[i + 2]), ARGV[i], ARGV[i + 1]\n"
	       "  if not take(count, ss, st, ws, wt) then refused = true end\n"
	       "end\n"
	       "local lease = tonumber(ARGV[5])\n"
	       "if lease > 0 and not refused and within(ds, dt, ws, wt) then\n"
	       "  local ls, lt = minus(ws, wt, ds, dt)\n"
	       "  ls, lt = math.floor(ls / 2), math.floor((ls % 2 * S + lt) / 2)\n"
	       "  take(lease, ARGV[3], ARGV[4], after(1, ls, lt))\n"
	       "end\n"
	       "if changed then keep() end\n"
	       "return {bs, bt, ns, nt}\n";

/* Time has paid for a part of what was leased, none where the clock went back; and more than
 * the debt cannot be owed. */
static const char give_back[] =
	BUCKET "local rs, rt = minus(ARGV[1], ARGV[2], minus(ns, nt, ARGV[3], ARGV[4]))\n"
	       "if rs == 0 and rt == 0 then return 0 end\n"
	       "ds, dt = minus(ds, dt, rs, rt)\n"
	       "if ds == 0 and dt == 0 then redis.call('DEL', KEYS[1]) else keep() end\n"
	       "return 1\n";

/*
 * What quotas are kept by. Every change has a number, the next version. An epoch is the
 * time between two losses of memory: it ends when there is nothing, or when the version is
 * lower than one that a caller saw in the same epoch (a failover to a replica that had not
 * got all, a restart from an old dump), when a change that a caller read is not in the log,
 * or when the log has other keys than are set or removed (somebody else deleted some). Callers
 * that see a new epoch put back what they know.
 *
 * Of keys that were removed the log keeps the last 1000: up to `dropped`, by the numbers that
 * removals keep, it has none. Who has not seen up to `floor`, by those of the log, may have missed
 * one, and reads all anew.
 *
 * The next version is the time in microseconds, if that is more than one over the last: what
 * Redis forgot is not given again, but in the same microsecond of a clock that went back.
 */
#define SYNC                                                                                       \
	"local meta, quotas, log, removed = KEYS[1], KEYS[2], KEYS[3], KEYS[4]\n"                  \
	"local seen = tonumber(ARGV[2])\n"                                                         \
	"local epoch = redis.call('HGET', meta, 'epoch')\n"                                        \
	"local version = tonumber(redis.call('HGET', meta, 'version') or 0)\n"                     \
	"local function begin()\n"                                                                 \
	"  epoch = ARGV[3]\n"                                                                      \
	"  redis.call('HSET', meta, 'epoch', epoch)\n"                                             \
	"end\n"                                                                                    \
	"if not epoch or epoch == ARGV[1] and version < seen then begin() end\n"                   \
	"local function reach(number)\n"                                                           \
	"  if version >= number then return end\n"                                                 \
	"  version = number\n"                                                                     \
	"  redis.call('HSET', meta, 'version', string.format('%.0f', version))\n"                  \
	"end\n"                                                                                    \
	"reach(seen)\n"                                                                            \
	"local function note(key)\n"                                                               \
	"  local now = redis.call('TIME')\n"                                                       \
	"  reach(math.max(version + 1, now[1] * 1000000 + now[2]))\n"                              \
	"  redis.call('ZADD', log, string.format('%.0f', version), key)\n"                         \
	"end\n"                                                                                    \
	"local function set(key, text)\n"                                                          \
	"  redis.call('HSET', quotas, key, text)\n"                                                \
	"  redis.call('ZREM', removed, key)\n"                                                     \
	"end\n"                                                                                    \
	"local function bury(key, number)\n"                                                       \
	"  redis.call('ZADD', removed, string.format('%.0f', number), key)\n"                      \
	"  if redis.call('ZCARD', removed) <= 1000 then return end\n"                              \
	"  local oldest = redis.call('ZPOPMIN', removed)\n"                                        \
	"  local last = tonumber(redis.call('ZSCORE', log, oldest[1]) or 0)\n"                     \
	"  redis.call('ZREM', log, oldest[1])\n"                                                   \
	"  redis.call('HSET', meta, 'dropped', oldest[2])\n"                                       \
	"  if last > tonumber(redis.call('HGET', meta, 'floor') or 0) then\n"                      \
	"    redis.call('HSET', meta, 'floor', string.format('%.0f', last))\n"                     \
	"  end\n"                                                                                  \
	"end\n"

/* An instance is alive for 3 s after its last sign of life. A change up to `floor` may have been
 * dropped from the log, any other was lost. How many keys the log has too many or too few is
 * remembered, so that one epoch is all that it takes to put back those that anybody knows. */
static const char sync[] =
	SYNC "local now = redis.call('TIME')\n"
	     "local ms = now[1] * 1000 + math.floor(now[2] / 1000)\n"
	     "local instances = KEYS[5]\n"
	     "redis.call('ZADD', instances, string.format('%.0f', ms), ARGV[4])\n"
	     "redis.call('ZREMRANGEBYSCORE', instances, '-inf',\n"
	     "  string.format('%.0f', ms - 3000))\n"
	     "redis.call('PEXPIRE', instances, 10000)\n"
	     "local floor = tonumber(redis.call('HGET', meta, 'floor') or 0)\n"
	     "local last = tonumber(ARGV[8])\n"
	     "local there = tonumber(redis.call('ZSCORE', log, ARGV[7]) or 0)\n"
	     "local missing = math.abs(redis.call('ZCARD', log) - redis.call('HLEN', quotas)\n"
	     "  - redis.call('ZCARD', removed))\n"
	     "local known = tonumber(redis.call('HGET', meta, 'missing') or 0)\n"
	     "if epoch == ARGV[1] then\n"
	     "  if missing ~= known then redis.call('HSET', meta, 'missing', missing) end\n"
	     "  if missing > known or there < last and floor < last then begin() end\n"
	     "end\n"
	     "local reply = {epoch, version, redis.call('ZCARD', instances), floor}\n"
	     "if epoch ~= ARGV[1] then return reply end\n"
	     "local changes = redis.call('ZRANGEBYSCORE', log, '(' .. ARGV[6], '+inf',\n"
	     "  'WITHSCORES', 'LIMIT', 0, ARGV[5])\n"
	     "for i = 1, #changes, 2 do\n"
	     "  reply[#reply + 1] = tonumber(changes[i + 1])\n"
	     "  reply[#reply + 1] = changes[i]\n"
	     "  reply[#reply + 1] = redis.call('HGET', quotas, changes[i])\n"
	     "    or redis.call('ZSCORE', removed, changes[i]) or ''\n"
	     "end\n"
	     "return reply\n";

/* Conditions as thr_condition_holds() has them. */
static const char change[] =
	SYNC "local kind, key = ARGV[4], ARGV[5]\n"
	     "local text = redis.call('HGET', quotas, key)\n"
	     "if kind == 'get' then return text and {'done', text} or {'absent', ''} end\n"
	     "local own, matches = text and string.match(text, '^%d+'), false\n"
	     "if own then\n"
	     "  matches = ARGV[9] == '1'\n"
	     "  for i = 10, #ARGV do matches = matches or ARGV[i] == own end\n"
	     "end\n"
	     "if ARGV[8] == '1' and not matches or ARGV[8] == '2' and matches then\n"
	     "  return {'conflict', 0}\n"
	     "end\n"
	     "if kind == 'delete' then\n"
	     "  if not text then return {'absent', 0} end\n"
	     "  redis.call('HDEL', quotas, key)\n"
	     "  note(key)\n"
	     "  bury(key, version)\n"
	     "  return {'done', version}\n"
	     "end\n"
	     "if not text and redis.call('HLEN', quotas) >= tonumber(ARGV[7]) then\n"
	     "  return {'full', 0}\n"
	     "end\n"
	     "note(key)\n"
	     "set(key, string.format('%.0f ', version) .. ARGV[6])\n"
	     "return {text and 'done' or 'created', version}\n";

/*
 * Put back what is not there, or there in an older version, or not in the log, by which others
 * read it; not what was removed since, as far as Redis or a caller still knows. A removal keeps its
 * number, in the log it has a new one: so it does not undo what was set after it and is put back by
 * another caller. One that the log has dropped is for what came back only. As many as callers have,
 * which is more than the most of one only where callers differ.
 */
static const char restore[] =
	SYNC "for i = 4, #ARGV, 3 do\n"
	     "  local key, own, is_removed = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2] == ''\n"
	     "  local text = redis.call('HGET', quotas, key)\n"
	     "  local there = text and string.match(text, '^%d+')\n"
	     "    or redis.call('ZSCORE', removed, key)\n"
	     "  if there and not redis.call('ZSCORE', log, key) then note(key) end\n"
	     "  if is_removed then there = there or redis.call('HGET', meta, 'dropped') end\n"
	     "  there = tonumber(there or 0)\n"
	     "  if there < own then\n"
	     "    if is_removed then redis.call('HDEL', quotas, key) end\n"
	     "    reach(own)\n"
	     "    note(key)\n"
	     "    if is_removed then bury(key, own) else set(key, ARGV[i + 2]) end\n"
	     "  end\n"
	     "end\n"
	     "return {epoch}\n";

void thr_scripts_fill(struct thr_redis_script scripts[static THR_SCRIPTS])
{
	static const char *const texts[THR_SCRIPTS] = {
		[THR_SCRIPT_TAKE] = take,	[THR_SCRIPT_GIVE_BACK] = give_back,
		[THR_SCRIPT_SYNC] = sync,	[THR_SCRIPT_CHANGE] = change,
		[THR_SCRIPT_RESTORE] = restore,
	};

	for (size_t i = 0; i < THR_SCRIPTS; i++)
		scripts[i] = (struct thr_redis_script){texts[i], strlen(texts[i]), ""};
}
