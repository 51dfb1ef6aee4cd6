# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What the reports have in common: samples, bars, bounds, JSON. Variables: json (path to
# write), kernel, cpu, date, quick, rounds.

BEGIN { BAR = 30 } # characters of the longest in a table

function min(a, b) { return a < b ? a : b }

function larger(a, b) { return a > b ? a : b }

# Keep the samples of a key in ascending order, in sample[key, 1 .. samples[key]].
function add_sample(key, value,    i) {
	for (i = ++samples[key]; i > 1 && sample[key, i - 1] > value; i--)
		sample[key, i] = sample[key, i - 1]
	sample[key, i] = value
}

function bar(value, max,    n, out) {
	for (n = int(value / max * BAR + 0.5); n > 0; n--)
		out = out "#"
	return out
}

# Print how `figure` stands to `most`, and add it to `bounds`, for JSON. What falls short
# or was not measured sets `failed`.
function bound(name, text, is_measured, figure, most) {
	if (!is_measured) {
		printf "  %-58s %s\n", text, "not measured"
		failed = 1
		return
	}
	if (figure > most)
		failed = 1
	printf "  %-58s %8.2f of %7.2f  %s\n", text, figure, most, figure <= most ? "holds" : "falls short"
	bounds = bounds (bounds ? "," : "") sprintf("\n    {\"name\": \"%s\", \"figure\": %.3f, \"bound\": %.2f, \"holds\": %s}",
		name, figure, most, figure <= most ? "true" : "false")
}

function text_json(text) {
	gsub(/[\\"]/, "\\\\&", text)
	return "\"" text "\""
}

# What all begin with; `bounds` or its like ends them.
function begin_json() {
	printf "{\n  \"date\": %s,\n  \"kernel\": %s,\n  \"cpu\": %s,\n  \"quick\": %s,\n  \"rounds\": %d,\n",
		text_json(date), text_json(kernel), text_json(cpu), quick, rounds > json
}

function item(list, text) { return list (list ? "," : "") "\n    {" text "}" }
