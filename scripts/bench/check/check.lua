-- SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
-- What wrk sends and says for check.sh: wrk ... -- FORM KEYS
--
--   FORM   plain  GET /200
--          ask    POST /check {"key":K,"cost":1}
--          waste  the same to /200
--          lua    GET /check?key=K, for limiter.lua
--   KEYS   the one key that there is, or how many to draw from at random
--
-- With one key wrk sends the same bytes again and again. Prints one line: requests, of
-- them not 2xx, errors, requests a second, p50, p99 and the longest in milliseconds.
local function body(key)
	return '{"key":"' .. key .. '","cost":1}'
end

local forms = {
	plain = function()
		return "GET", "/200"
	end,
	ask = function(key)
		return "POST", "/check", body(key)
	end,
	waste = function(key)
		return "POST", "/200", body(key)
	end,
	lua = function(key)
		return "GET", "/check?key=" .. key
	end,
}

local function draw(form, keys)
	local method, path, text = form("user:" .. math.random(keys))
	local head = method .. " " .. path .. " HTTP/1.1\r\nHost: bench\r\n"

	if not text then
		return head .. "\r\n"
	end
	return head .. "Content-Type: application/json\r\nContent-Length: " .. #text .. "\r\n\r\n" .. text
end

function init(args)
	local form, keys = forms[args[1]], tonumber(args[2])

	if keys then
		math.randomseed(os.time())
		function request()
			return draw(form, keys)
		end
		return
	end
	wrk.method, wrk.path, wrk.body = form(args[2])
	wrk.headers = {Host = "bench", ["Content-Type"] = wrk.body and "application/json"}
end

function done(summary, latency)
	local errors = summary.errors
	io.write(string.format("summary %d %d %d %.0f %.3f %.3f %.3f\n",
		summary.requests, errors.status,
		errors.connect + errors.read + errors.write + errors.timeout,
		summary.requests * 1e6 / summary.duration,
		latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency.max / 1000))
end
