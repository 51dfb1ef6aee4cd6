# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The tables and the JSON of packet.sh, from lines of
#
#   testrun ROW FAMILY PREFIXES BEST MEDIAN
#   veth    ROW FAMILY SOURCES  BEST MEDIAN
#
# separated by tabs. Variables: json (path to write), kernel, cpu, date, quick,
# rounds. All arithmetic on figures is here and in figure(): a figure that was
# not measured is left out of tables, and of targets.

BEGIN {
	FS = "\t"
	PREFIXES = "0 1000 100000"
	SOURCES = "1 16777216"

	add_row("testrun", "empty_drop", "empty program that drops", "empty_drop")
	add_row("testrun", "empty_pass", "empty program that passes", "empty_pass")
	add_row("testrun", "bare", "no limits applied, SYN", "empty_pass")
	add_row("testrun", "established", "established, limits on connections", "empty_pass")
	add_row("testrun", "established_packets", "established, limits on packets", "empty_pass")
	add_row("testrun", "established_packets_listed", "  the same, in a prefix", "empty_pass")
	add_row("testrun", "over", "SYN of one source over its limit", "empty_drop")
	add_row("testrun", "over_listed", "  the same, in a prefix", "empty_drop")
	add_row("testrun", "within", "SYN of one source within its limit", "empty_pass")
	add_row("testrun", "within_listed", "  the same, in a prefix", "empty_pass")
	add_row("testrun", "vary_pass", "random source drawn, then passed", "vary_pass")
	add_row("testrun", "random", "SYN of 2^24 random sources", "vary_pass")

	add_row("veth", "empty", "XDP, empty program that drops", "empty")
	add_row("veth", "ours", "xdp-throttle, 10/s a source", "empty")
	add_row("veth", "ours_tier", "  and 10/s a /16 (IPv6: a /48)", "empty")
	add_row("veth", "nft_drop", "nft netdev ingress, plain drop", "empty")
	add_row("veth", "nft_meter", "nft dynamic set with a meter", "empty")
	add_row("veth", "hashlimit", "iptables raw hashlimit", "empty")
	add_row("veth", "none", "no filter, closed port", "empty")
}

# Figures of a row stand beside those of row `against`.
function add_row(table, row, text, against) {
	row_of[table, ++row_count[table]] = row
	text_of[table, row] = text
	against_of[table, row] = against
}

{
	best[$1, $2, $3, $4] = $5
	median[$1, $2, $3, $4] = $6
}

function has(table, row, family, column) { return (table, row, family, column) in best }

function figure(table, row, family, column) { return best[table, row, family, column] + 0 }

# --- tables -------------------------------------------------------------------

# The first column has what a row is compared with, where there is no other.
function base_of(table, row, family, column,    against) {
	against = against_of[table, row]
	if (!has(table, against, family, column))
		column = table == "veth" ? 1 : 0
	return has(table, against, family, column) ? figure(table, against, family, column) : 0
}

function cell(table, row, family, column,    base) {
	if (!has(table, row, family, column))
		return sprintf("%9s %7s", "", "")
	base = base_of(table, row, family, column)
	return sprintf("%9.1f %7s", figure(table, row, family, column),
		base ? sprintf("x%.2f", figure(table, row, family, column) / base) : "")
}

function print_table(table, family, columns,    i, j, n, row, column, line, seen) {
	n = split(columns, column, " ")
	for (i = 1; i <= row_count[table]; i++) {
		row = row_of[table, i]
		line = sprintf("  %-36s", text_of[table, row])
		seen = 0
		for (j = 1; j <= n; j++) {
			line = line cell(table, row, family, column[j])
			seen += has(table, row, family, column[j])
		}
		if (seen)
			print line
	}
}

function print_testrun(family) {
	printf "\nIPv%s, ns a packet in BPF_PROG_TEST_RUN; x: times the empty program (for random\n" \
		"  sources: the one that draws them)\n", family
	printf "  %-36s%9s %7s%9s %7s%9s %7s\n", "source prefixes configured", "none", "", "1,000", "", "100,000", ""
	print_table("testrun", family, PREFIXES)
}

function print_veth(family) {
	printf "\nIPv%s, ns a frame over veth, generator included; x: times the empty XDP drop\n", family
	printf "  %-36s%9s %7s%9s %7s\n", "sources", "one", "", "2^24", ""
	print_table("veth", family, SOURCES)
	print "  Of the 2^24 sources hardly any is over 10/s: where sources alone are limited, the kernel"
	print "  gets the packets and answers with a reset, as without a filter."
}

# --- targets ------------------------------------------------------------------

# What `row` takes over, or as a multiple of, `base`: the worse family. Sets
# `measured` when both families have it.
function worst(is_ratio, table, row, column, base, base_column,    family, value, max) {
	max = -1
	measured = 1
	for (family = 4; family <= 6; family += 2) {
		if (!has(table, row, family, column) || !has(table, base, family, base_column)) {
			measured = 0
			continue
		}
		value = figure(table, row, family, column)
		value = is_ratio ? value / figure(table, base, family, base_column) : value - figure(table, base, family, base_column)
		if (max < value)
			max = value
	}
	return max
}

function target(name, text, unit, value, most) {
	if (!measured) {
		printf "  %-62s %s\n", text, "not measured"
		return
	}
	printf "  %-62s %7.2f %s %5.2f %-3s %s\n", text, value, "of", most, unit,
		value <= most ? "holds" : "falls short"
	targets = targets (targets ? "," : "") sprintf("\n    {\"name\": \"%s\", \"figure\": %.2f, \"bound\": %.2f, \"holds\": %s}",
		name, value, most, value <= most ? "true" : "false")
}

function print_targets() {
	print "\nTargets, by the worse of IPv4 and IPv6: figure and bound"
	target("established_over_empty_pass_ns", "established packet, over the empty program", "ns",
		worst(0, "testrun", "established", 0, "empty_pass", 0), 8)
	target("over_limit_over_empty_drop_ns", "SYN of a source over its limit, over the empty program", "ns",
		worst(0, "testrun", "over", 0, "empty_drop", 0), 40)
	target("veth_over_limit_to_nft_drop", "the same over veth, to nft's plain drop", "",
		worst(1, "veth", "ours", 1, "nft_drop", 1), 0.6)
	target("prefixes_nonmatching", "100,000 prefixes, source in none, to no prefixes", "",
		worst(1, "testrun", "over", 100000, "over", 0), 1.3)
	target("prefixes_matching", "100,000 prefixes, source in one, to no prefixes", "",
		worst(1, "testrun", "over_listed", 100000, "over", 0), 2)
}

# --- JSON ---------------------------------------------------------------------

function table_json(table, key, columns,    i, j, n, row, family, column, out) {
	n = split(columns, column, " ")
	for (i = 1; i <= row_count[table]; i++) {
		row = row_of[table, i]
		for (family = 4; family <= 6; family += 2)
			for (j = 1; j <= n; j++)
				if (has(table, row, family, column[j]))
					out = out (out ? "," : "") sprintf("\n    {\"name\": \"%s\", \"family\": %d, \"%s\": %d, \"best_ns\": %.2f, \"median_ns\": %.2f, \"ratio\": %.3f}",
						row, family, key, column[j], figure(table, row, family, column[j]),
						median[table, row, family, column[j]],
						figure(table, row, family, column[j]) / base_of(table, row, family, column[j]))
	}
	return out
}

function write_json() {
	begin_json()
	printf "  \"test_run\": [%s\n  ],\n", table_json("testrun", "prefixes", PREFIXES) > json
	printf "  \"veth\": [%s\n  ],\n", table_json("veth", "sources", SOURCES) > json
	printf "  \"targets\": [%s\n  ]\n}\n", targets > json
	close(json)
}

END {
	if (!NR)
		exit 1
	print_testrun(4)
	print_testrun(6)
	print_veth(4)
	print_veth(6)
	print_targets()
	write_json()
}
