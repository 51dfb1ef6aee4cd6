# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Line charts as SVG, for the reports that draw some. A chart is a panel in a file:
#
#   plot_begin(file, width, height)
#   plot_panel(x, y, width, height, title, x label, y label)
#   plot_x_log(low, high), plot_y_log(low, high) or plot_y_linear(high)
#   plot_tick_x(value, text), plot_tick_y(value, text)
#   plot_line(name, colour, dash), plot_point(x, y) ..., plot_ring(x, y) ..., plot_end_line()
#   plot_end()
#
# The legend is at the right of the panel. A value below the low end of a logarithmic axis
# is drawn at it. The background is white, so that a dark page shows it as well.

function plot_begin(file, width, height) {
	plot_file = file
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"12\">\n",
		width, height, width, height > plot_file
	printf "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", width, height > plot_file
}

function plot_text(x, y, anchor, text, extra) {
	gsub(/&/, "\\&amp;", text)
	gsub(/</, "\\&lt;", text)
	printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" fill=\"#222\"%s>%s</text>\n", x, y, anchor, extra, text > plot_file
}

function plot_panel(x, y, width, height, title, x_label, y_label) {
	plot_left = x
	plot_top = y
	plot_width = width
	plot_height = height
	plot_lines = 0
	printf "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"none\" stroke=\"#888\"/>\n", x, y, width, height > plot_file
	plot_text(x, y - 12, "start", title, " font-weight=\"bold\" font-size=\"13\"")
	plot_text(x + width / 2, y + height + 36, "middle", x_label, "")
	plot_text(x - 48, y + height / 2, "middle", y_label, sprintf(" transform=\"rotate(-90 %d %d)\"", x - 48, y + height / 2))
}

function plot_x_log(low, high) {
	plot_x_low = log(low)
	plot_x_span = log(high) - plot_x_low
}

function plot_y_log(low, high) {
	plot_is_log = 1
	plot_y_low = log(low)
	plot_y_span = log(high) - plot_y_low
}

function plot_y_linear(high) {
	plot_is_log = 0
	plot_y_low = 0
	plot_y_span = high
}

function plot_fraction(value, low, span) {
	value = (value - low) / span
	return value < 0 ? 0 : value > 1 ? 1 : value
}

function plot_at_x(value) {
	value = value > 0 ? log(value) : plot_x_low
	return plot_left + plot_width * plot_fraction(value, plot_x_low, plot_x_span)
}

function plot_at_y(value) {
	if (plot_is_log)
		value = value > 0 ? log(value) : plot_y_low
	return plot_top + plot_height * (1 - plot_fraction(value, plot_y_low, plot_y_span))
}

function plot_tick_x(value, text) {
	printf "<path d=\"M%.1f %.1fv%.1f\" stroke=\"#ddd\"/>\n", plot_at_x(value), plot_top, plot_height > plot_file
	plot_text(plot_at_x(value), plot_top + plot_height + 16, "middle", text, "")
}

function plot_tick_y(value, text) {
	printf "<path d=\"M%.1f %.1fh%.1f\" stroke=\"#ddd\"/>\n", plot_left, plot_at_y(value), plot_width > plot_file
	plot_text(plot_left - 6, plot_at_y(value) + 4, "end", text, "")
}

function plot_line(name, colour, dash,    y) {
	plot_colour = colour
	plot_dash = dash ? " stroke-dasharray=\"" dash "\"" : ""
	plot_path = plot_marks = ""
	y = plot_top + 8 + 18 * plot_lines++
	printf "<path d=\"M%d %dh24\" stroke=\"%s\" stroke-width=\"2\"%s/>\n", plot_left + plot_width + 12, y, colour, plot_dash > plot_file
	plot_text(plot_left + plot_width + 42, y + 4, "start", name, "")
}

function plot_point(x, y) {
	plot_path = plot_path sprintf("%s%.1f %.1f", plot_path ? "L" : "M", plot_at_x(x), plot_at_y(y))
	plot_marks = plot_marks sprintf("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\" fill=\"%s\"/>\n", plot_at_x(x), plot_at_y(y), plot_colour)
}

# A value beside the line.
function plot_ring(x, y) {
	plot_marks = plot_marks sprintf("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"/>\n", plot_at_x(x), plot_at_y(y), plot_colour)
}

function plot_end_line() {
	printf "<path d=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"%s/>\n%s", plot_path, plot_colour, plot_dash, plot_marks > plot_file
}

function plot_end() {
	print "</svg>" > plot_file
	close(plot_file)
}
