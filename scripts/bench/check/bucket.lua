-- SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
-- A token bucket in Redis, run there by EVALSHA: what the check API is compared with.
-- GCRA, as little work for Redis as a limiter that is right can have: its own clock,
-- one value, which lives until the bucket is full again.
--
-- KEYS[1]: the bucket. ARGV: microseconds for a token, for a whole burst; the cost.
-- Returns whether it is allowed, the tokens left, milliseconds to wait.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local full_at = tonumber(redis.call('GET', KEYS[1]) or now)
if full_at < now then
	full_at = now
end
local after = full_at + interval * ARGV[3]
local wait = after - now - window
if wait > 0 then
	return {0, math.floor((window - (full_at - now)) / interval), math.ceil(wait / 1000)}
end
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000))
return {1, math.floor(-wait / interval), 0}
