-- SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
-- A limiter as one writes it for nginx: GET /check?key=K asks bucket.lua in Redis, over
-- a kept connection, and answers 200 or 429. The limits are those that ours are given.
local redis = require "nginx.redis"

local POOL = 128 -- connections kept
local TIMEOUT_MS = 1000

-- Microseconds for a token, for a whole burst.
local limits = {
	["user:42"] = {1, 1e9},
	["denied"] = {1e8, 1e8},
}
local default = {1e7, 1e11}

local file = assert(io.open(debug.getinfo(1, "S").source:match("^@(.*/)") .. "bucket.lua"))
local script = file:read("*a")
file:close()
local sha = ngx.sha1_bin(script):gsub(".", function(c)
	return string.format("%02x", c:byte())
end)

local function take(client, key)
	local limit = limits[key] or default
	local answer, why = client:evalsha(sha, 1, "lua:" .. key, limit[1], limit[2], 1)

	if answer == false and why:find("^NOSCRIPT") then
		answer, why = client:eval(script, 1, "lua:" .. key, limit[1], limit[2], 1)
	end
	return assert(answer, why)
end

return {
	check = function()
		local client = redis:new()
		client:set_timeout(TIMEOUT_MS)
		assert(client:connect("127.0.0.1", tonumber(ngx.var.redis_port)))
		local answer = take(client, ngx.var.arg_key)
		client:set_keepalive(60000, POOL)

		local allowed = answer[1] == 1
		if not allowed then
			ngx.status = 429
			ngx.header["Retry-After"] = math.ceil(answer[3] / 1000)
		end
		ngx.print('{"allowed":', tostring(allowed), ',"remaining":', answer[2], "}\n")
	end
}
