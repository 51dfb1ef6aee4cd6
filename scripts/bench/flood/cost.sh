# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash disable=SC2154 # rounds, slice_ms, flood_s, source_bits, hosts: of flood.sh
#
# Part 1: what a SYN costs when its source is drawn from 1, 2^4, ... 2^24. Sourced by
# flood.sh.
#
# The programs alone: beside one that draws the source and drops. The row of challenges
# writes the packet anew each time, for the answer was written over it; what it is
# compared with does so too. Over veth: sender and host in lockstep, on one core.
#
# Every budget is exhausted, so nearly nothing reaches the stack of those that have one.

# case_line ROW FAMILY BITS HOST PROGRAM SOURCE VERDICT
case_line() {
	local instance='- -'
	[[ $4 = - ]] || instance="xdpt-$$-$4 v0"
	echo "$1/$2/$3 $instance $5 syn $6 $PORT $3 $7"
}

cost_cases() { # family, source
	local bits
	case_line empty_drop "$1" 0 - empty_drop "$2" drop
	for bits in $source_bits; do
		case_line vary_drop "$1" "$bits" - vary_drop "$2" drop
		case_line drop "$1" "$bits" drop vary_throttle "$2" drop
		case_line source "$1" "$bits" source vary_throttle "$2" any
		[[ $1 = 4 ]] || continue # where the server listens
		has_host challenge || continue
		case_line restored_drop "$1" "$bits" - restored_drop "$2" drop
		case_line challenge "$1" "$bits" challenge restored_throttle "$2" tx
	done
}

# Lines of: testrun, row, family, bits, best, median; by tabs.
measure_programs() {
	local family source
	for family in 4 6; do
		progress "measuring the programs alone, IPv$family"
		[[ $family = 4 ]] && source=16.0.0.0 || source=2a00::
		cost_cases "$family" "$source" |
			"$B/tools/testrun" --rounds "$rounds" --slice "$slice_ms" |
			sed 's/^/testrun\//; s/\//\t/g'
	done
}

# Lines of: veth, row, bits, ns; by tabs, one a round.
measure_frames() {
	local round name bits result
	progress "measuring over veth"
	for ((round = 1; round <= rounds; round++)); do
		progress "  round $round of $rounds"
		for name in "${hosts[@]}"; do
			[[ $name != source && $name != none && $name != ideal ]] || continue
			for bits in $source_bits; do
				result=$(flood "$name" --sources $((1 << bits)) --random --seconds "$flood_s")
				printf 'veth\t%s\t%s\t%s\n' "$name" "$bits" "$(number "$result" ns_per_packet)"
			done
		done
	done
}

measure_cost() {
	measure_programs
	measure_frames
}
