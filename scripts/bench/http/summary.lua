-- SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
-- What wrk measured, in one line for http.sh: requests, requests a second, p50 and
-- p99 in milliseconds, errors. Only done(): wrk sends the same bytes again and
-- again as long as a script leaves its requests alone.
function done(summary, latency)
	local errors = summary.errors
	io.write(string.format("summary %d %.0f %.3f %.3f %d\n",
		summary.requests, summary.requests * 1e6 / summary.duration,
		latency:percentile(50) / 1000, latency:percentile(99) / 1000,
		errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
