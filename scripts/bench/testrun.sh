# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash disable=SC2154 # rounds, slice_ms, flood_s, work: of packet.sh
#
# The programs alone, in BPF_PROG_TEST_RUN. Sourced by packet.sh.
#
# One throttle for each configuration, each in a namespace of its own so that
# each has its own tables, configured as users do it:
#
#   bare                nothing applied
#   conn0 1000 100000   limits on connections only, and so many source prefixes
#   pack0 1000 100000   the same with limits on packets
#
# Port 80 is a service with a limit that its source is over at once, port 81
# one with a limit that no source reaches. The prefixes, of each family as many,
# are /24 and /48 spread evenly over 16.0.0.0/4 and 2a00::/28, every other one
# with the first limit and the rest with the second. What tests run is what
# users run; what differs from one row to the next is the packet.

readonly PREFIX_COUNTS="0 1000 100000"
readonly FOREIGN_4=198.18.0.1 FOREIGN_6=2001:db8:ffff::1 # in no prefix
readonly LISTED_OVER_4=16.0.0.1 LISTED_OVER_6=2a00::1    # in prefix 0
readonly LISTED_WITHIN_4=16.158.55.1 LISTED_WITHIN_6=2a00:0:9e37::1 # in prefix 1
readonly RANDOM_4=16.0.0.0 RANDOM_6=2a00:: # with 24 bits drawn: listed and not

# write_config KIND COUNT: YAML on stdout.
write_config() {
	local packets=''
	[[ $1 != pack ]] || packets=', packets_per_second: 1G, packet_burst: 1G'
	cat <<-EOF
		xdp:
		  interfaces: [in0]
		  services:
		    - name: over
		      ports: [80]
		      per_source: {connections_per_second: 1, burst: 1$packets}
		    - name: within
		      ports: [81]
		      per_source: {connections_per_second: 1G, burst: 1G$packets}
	EOF
	(($2 == 0)) || awk -v count="$2" 'BEGIN {
		print "  sources:"
		limit[0] = "connections_per_second: 1, burst: 1"
		limit[1] = "connections_per_second: 1G, burst: 1G"
		for (i = 0; i < count; i++) {
			# An odd factor visits each of the 2^20 places once.
			place = i * 40503 % 1048576
			printf "    - {prefix: %d.%d.%d.0/24, %s}\n", 16 + int(place / 65536),
				int(place / 256) % 256, place % 256, limit[i % 2]
			printf "    - {prefix: \"2a00:%x:%x::/48\", %s}\n", int(place / 65536),
				place % 65536, limit[i % 2]
		}
	}'
}

# add_throttle NAME [-c CONFIG]: a namespace with a throttle on in0.
add_throttle() {
	local name=$1
	shift
	add_namespace "$name"
	in_ns "$name" ip link add in0 type veth peer name out0
	in_ns "$name" "$THROTTLE" attach --dev in0 "$@" >/dev/null
}

setup_testrun() {
	local kind count
	add_throttle bare
	for kind in conn pack; do
		for count in $PREFIX_COUNTS; do
			progress "configuring: limits on $kind..., $count prefixes of each family"
			write_config "$kind" "$count" >"$work/$kind$count.yaml"
			add_throttle "$kind$count" -c "$work/$kind$count.yaml"
			rm "$work/$kind$count.yaml"
		done
	done
}

# case_line ROW FAMILY COUNT INSTANCE PROGRAM KIND SOURCE PORT BITS VERDICT
case_line() {
	local instance='- -'
	[[ $4 = - ]] || instance="xdpt-$$-$4 in0"
	echo "$1/$2/$3 $instance ${*:5}"
}

# The cases for one family: its foreign, listed and random sources.
family_cases() {
	local family=$1 foreign=$2 over=$3 within=$4 random=$5 count
	case_line empty_drop "$family" 0 - empty_drop syn "$foreign" 80 0 drop
	case_line empty_pass "$family" 0 - empty_pass ack "$foreign" 80 0 pass
	case_line vary_pass "$family" 0 - vary_pass syn "$random" 80 24 pass
	case_line bare "$family" 0 bare xdp_throttle syn "$foreign" 80 0 pass
	for count in $PREFIX_COUNTS; do
		case_line established "$family" "$count" "conn$count" xdp_throttle ack "$foreign" 81 0 pass
		case_line established_packets "$family" "$count" "pack$count" xdp_throttle ack "$foreign" 81 0 pass
		case_line over "$family" "$count" "conn$count" xdp_throttle syn "$foreign" 80 0 drop
		case_line within "$family" "$count" "conn$count" xdp_throttle syn "$foreign" 81 0 pass
		case_line random "$family" "$count" "conn$count" vary_throttle syn "$random" 80 24 any
		((count)) || continue
		case_line established_packets_listed "$family" "$count" "pack$count" xdp_throttle ack "$within" 81 0 pass
		case_line over_listed "$family" "$count" "conn$count" xdp_throttle syn "$over" 80 0 drop
		case_line within_listed "$family" "$count" "conn$count" xdp_throttle syn "$within" 80 0 pass
	done
}

measure_testrun() {
	progress "measuring the programs alone"
	{
		family_cases 4 "$FOREIGN_4" "$LISTED_OVER_4" "$LISTED_WITHIN_4" "$RANDOM_4"
		family_cases 6 "$FOREIGN_6" "$LISTED_OVER_6" "$LISTED_WITHIN_6" "$RANDOM_6"
	} | "$B/tools/testrun" --rounds "$rounds" --slice "$slice_ms" | sed 's/^/testrun\//; s/\//\t/g'
}
