# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The plots of flood.sh, from the same lines as its report (report-flood.awk), the same
# rounds of them. Variables: prefix (of the files' names), budget_rate, budget_burst. Runs
# with plot.awk.

BEGIN {
	FS = "\t"
	WIDTH = 860
	ROWS = split("empty ideal drop challenge source meter hashlimit synproxy cookies none", row_of, " ")
	name_of["empty"] = "empty program"
	name_of["ideal"] = "XDP that knows the client"
	name_of["drop"] = "xdp-throttle: drop"
	name_of["challenge"] = "xdp-throttle: challenge"
	name_of["source"] = "xdp-throttle, no budget"
	name_of["meter"] = "nft meter"
	name_of["hashlimit"] = "iptables hashlimit"
	name_of["synproxy"] = "nft SYNPROXY"
	name_of["cookies"] = "kernel SYN cookies"
	name_of["none"] = "nothing"
	split("#999999 #999999 #0057b7 #009e73 #56b4e9 #e69f00 #d55e00 #cc79a7 #7a4b00 #222222", colours, " ")
	for (i = 1; i <= ROWS; i++)
		colour_of[row_of[i]] = colours[i]
}

# Of each table: points[table, row] in their order, x and y of each.
function place(table, row, x, at,    n) {
	if ((table, row, at) in number)
		return number[table, row, at]
	n = number[table, row, at] = ++points[table, row]
	x_of[table, row, n] = x
	return n
}

function keep_low(table, row, x, y,    n) {
	n = place(table, row, x, x)
	if (!((table, row, n) in y_of) || y < y_of[table, row, n])
		y_of[table, row, n] = y
}

$1 == "testrun" && $3 == 4 && $2 != "empty_drop" { keep_low("testrun", $2 == "vary_drop" ? "empty" : $2, 2 ^ $4, $5 + 0) }
$1 == "veth" { keep_low("veth", $2, 2 ^ $3, $4 + 0) }
$1 == "sweep" {
	n = place("admitted", $2, 2 ^ $3, $3)
	y_of["admitted", $2, n] = 100 * $5 / $4
	n = place("answered", $2, 2 ^ $3, $3)
	y_of["answered", $2, n] = 100 * $7 / $8
}
$1 == "client" && $4 == "other" {
	n = place($3, $2, 0, $5)
	if (!(($3, $2, n) in y_of) || ($5 == "max" ? $6 / $8 > x_of[$3, $2, n] : $9 > y_of[$3, $2, n])) {
		y_of[$3, $2, n] = $9 + 0
		x_of[$3, $2, n] = $6 / $8
	}
}
$1 == "client" && $4 == "same" {
	if (!(($3, $2) in same_y) || $6 / $8 > same_x[$3, $2]) {
		same_y[$3, $2] = $9 + 0
		same_x[$3, $2] = $6 / $8
	}
}

function draw(table,    i, j, row) {
	for (i = 1; i <= ROWS; i++) {
		row = row_of[i]
		if (!((table, row) in points))
			continue
		plot_line(name_of[row], colour_of[row], row == "empty" || row == "ideal" ? "5 4" : "")
		for (j = 1; j <= points[table, row]; j++)
			plot_point(x_of[table, row, j], y_of[table, row, j])
		if ((table, row) in same_y)
			plot_ring(same_x[table, row], same_y[table, row])
		plot_end_line()
	}
}

function highest(table,    key, part, max) {
	for (key in y_of) {
		split(key, part, SUBSEP)
		if (part[1] == table && y_of[key] > max)
			max = y_of[key]
	}
	for (key in same_y) {
		split(key, part, SUBSEP)
		if (part[1] == table && same_y[key] > max)
			max = same_y[key]
	}
	return max
}

function ticks_of_sources(    i) {
	plot_x_log(1, 2 ^ 24)
	for (i = 0; i <= 24; i += 4)
		plot_tick_x(2 ^ i, i ? "2^" i : "1")
}

# Linear, in about five steps of 1, 2 or 5 times a power of ten.
function ticks_of(table, unit,    max, step, y) {
	max = highest(table) * 1.05
	step = 10 ^ int(log(max / 2) / log(10) + 1e-9)
	step = max / step > 5 ? step * 2 : max / step > 2.5 ? step : step / 2
	plot_y_linear(max)
	for (y = 0; y <= max; y += step)
		plot_tick_y(y, y unit)
}

function ticks_of_ns(low, high,    y) {
	plot_y_log(low, high)
	for (y = low; y <= high; y *= 10) {
		plot_tick_y(y, y)
		if (2 * y < high)
			plot_tick_y(2 * y, 2 * y)
		if (5 * y < high)
			plot_tick_y(5 * y, 5 * y)
	}
}

function ticks_of_rates(    x) {
	plot_x_log(5e4, 1e7)
	plot_tick_x(5e4, "0")
	for (x = 1e5; x <= 1e7; x *= 10) {
		plot_tick_x(x, x >= 1e6 ? x / 1e6 "M" : x / 1e3 "k")
		if (x < 1e7)
			plot_tick_x(3 * x, x >= 1e6 ? 3 * x / 1e6 "M" : 3 * x / 1e3 "k")
	}
}

function draw_cost() {
	plot_begin(prefix "cost.svg", WIDTH, 640)
	plot_panel(70, 40, 580, 220, "A SYN in BPF_PROG_TEST_RUN", "sources that the flood is drawn from", "ns, source drawn")
	ticks_of_sources()
	ticks_of("testrun", "")
	draw("testrun")
	plot_panel(70, 350, 580, 230, "A SYN over veth, sender and host on one core, budget exhausted", "sources that the flood is drawn from", "ns")
	ticks_of_sources()
	ticks_of_ns(100, 10000)
	draw("veth")
	plot_end()
}

function draw_admission(    y) {
	plot_begin(prefix "admission.svg", WIDTH, 600)
	plot_panel(70, 40, 580, 200, "SYNs of the flood that reach the stack", "sources that the flood is drawn from", "% of 158,000/s")
	ticks_of_sources()
	plot_y_log(0.001, 100)
	for (y = 0.001; y <= 100; y *= 10)
		plot_tick_y(y, y)
	draw("admitted")
	plot_panel(70, 330, 580, 200, "New clients that get their answer within a second", "sources that the flood is drawn from", "%")
	ticks_of_sources()
	plot_y_linear(102)
	for (y = 0; y <= 100; y += 20)
		plot_tick_y(y, y)
	draw("answered")
	plot_end()
}

function draw_client() {
	plot_begin(prefix "client.svg", WIDTH, 610)
	plot_panel(70, 40, 580, 200, "A client's requests beside the flood, on one connection", "SYNs offered a second, to the server's core", "a second")
	ticks_of_rates()
	ticks_of("ask", "")
	draw("ask")
	plot_panel(70, 330, 580, 200, "With a connection for each request", "SYNs offered a second, to the server's core", "a second")
	ticks_of_rates()
	ticks_of("reconnect", "")
	draw("reconnect")
	plot_text(70, 590, "start", "Rings: the flood is made on the server's core, too, as fast as that goes.", "")
	plot_end()
}

END {
	draw_cost()
	draw_admission()
	draw_client()
}
