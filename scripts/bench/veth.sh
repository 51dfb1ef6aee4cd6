# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash disable=SC2154 # rounds, slice_ms, flood_s, work: of packet.sh
#
# A frame from one namespace to another over veth: the generator's time is in
# the figure, the same for all. Sourced by packet.sh.
#
#   +-- gen ------+            +-- empty ----------------+
#   | flood  g0 --|------------|-- v0   XDP, drops all   |
#   |        g1 --|------.     +-------------------------+
#   |        ...  |      |     +-- ours -----------------+
#   +-------------+      `-----|-- v0   xdp-throttle     |    and so on: one
#                              +-------------------------+    for each receiver
#
# The receivers without an XDP program have GRO on: veth needs one or the other
# to take frames from the generator, and GRO is on at every real interface.
# Sources over 10 SYNs a second, with a burst of 5, are refused by each of them;
# of the 2^24 random ones hardly any comes twice, so hardly any is over: what
# passes goes on to the kernel, which answers a closed port with a reset.

readonly FLOOD_PORT=80

receivers=() # that could be set up, in the order of their indexes

# add_receiver NAME: namespace NAME with v0, joined to g<index> of the generator.
add_receiver() {
	local name=$1 index=${#receivers[@]} mac
	add_namespace "$name"
	in_ns gen ip link add "g$index" type veth peer name v0 netns "xdpt-$$-$name"
	in_ns gen ip addr add "10.88.$index.1/24" dev "g$index"
	in_ns gen ip addr add "fd88:$index::1/64" dev "g$index" nodad
	in_ns "$name" ip addr add "10.88.$index.2/24" dev v0
	in_ns "$name" ip addr add "fd88:$index::2/64" dev v0 nodad
	in_ns gen ip link set "g$index" up
	in_ns "$name" ip link set v0 up
	mac=$(in_ns gen ip -br link show "g$index" | awk '{ print $3 }')
	in_ns "$name" ip neigh add "10.88.$index.1" lladdr "$mac" dev v0 nud permanent
	in_ns "$name" ip neigh add "fd88:$index::1" lladdr "$mac" dev v0 nud permanent
	in_ns "$name" ip route add default via "10.88.$index.1"
	in_ns "$name" ip route add default via "fd88:$index::1"
	receivers+=("$name")
}

gro_on() { in_ns "$1" ethtool -K v0 gro on; }

setup_empty() { in_ns "empty" ip link set dev v0 xdp obj "$B/tools/empty.bpf.o" sec xdp; }

setup_ours() {
	cat >"$work/ours.yaml" <<-EOF
		xdp:
		  interfaces: [v0]
		  per_source: {connections_per_second: 10, burst: 5}
	EOF
	in_ns ours "$THROTTLE" attach --dev v0 -c "$work/ours.yaml" >/dev/null
}

setup_ours_tier() {
	cat >"$work/ours.yaml" <<-EOF
		xdp:
		  interfaces: [v0]
		  services:
		    - name: flooded
		      ports: [$FLOOD_PORT]
		      per_source: {connections_per_second: 10, burst: 5}
		      per_prefix: {ipv4: 16, ipv6: 48, connections_per_second: 10, burst: 5}
	EOF
	in_ns ours_tier "$THROTTLE" attach --dev v0 -c "$work/ours.yaml" >/dev/null
}

setup_nft_drop() {
	gro_on nft_drop
	in_ns nft_drop nft -f - <<-EOF
		table netdev f {
			chain i {
				type filter hook ingress device "v0" priority -500;
				drop
			}
		}
	EOF
}

# nft_meter NAME TYPE SELECTOR
nft_meter() {
	gro_on "$1"
	in_ns "$1" nft -f - <<-EOF
		table netdev f {
			set m {
				type $2; size 1048576
				flags dynamic; timeout 10s
			}
			chain i {
				type filter hook ingress device "v0" priority -500;
				tcp flags & (syn | ack) == syn add @m { $3 limit rate over 10/second burst 5 packets } drop
			}
		}
	EOF
}

setup_nft_meter4() { nft_meter nft_meter4 ipv4_addr "ip saddr"; }
setup_nft_meter6() { nft_meter nft_meter6 ipv6_addr "ip6 saddr"; }

setup_hashlimit() {
	gro_on hashlimit
	in_ns hashlimit iptables -t raw -A PREROUTING -p tcp --syn -m hashlimit \
		--hashlimit-name f --hashlimit-above 10/sec --hashlimit-burst 5 \
		--hashlimit-mode srcip --hashlimit-htable-size 1048576 -j DROP
}

setup_none() { gro_on none; }

# try_receiver NAME [TOOL]: set it up, or say why its rows are left out.
try_receiver() {
	local name=$1 tool=${2:-ip}
	if ! command -v "$tool" >/dev/null; then
		progress "left out: $name, for $tool is not installed"
		return
	fi
	add_receiver "$name"
	if ! "setup_$name" 2>"$work/stderr"; then
		progress "left out: $name: $(head -n 1 "$work/stderr")"
		unset 'receivers[-1]'
	fi
}

setup_veth() {
	progress "setting up the receivers over veth"
	add_namespace gen
	add_receiver empty
	setup_empty
	add_receiver ours
	setup_ours
	add_receiver ours_tier
	setup_ours_tier
	if ! command -v ethtool >/dev/null; then
		progress "left out: every receiver but XDP, for ethtool is not installed"
		return
	fi
	try_receiver nft_drop nft
	try_receiver nft_meter4 nft
	try_receiver nft_meter6 nft
	try_receiver hashlimit iptables
	try_receiver none
}

# has_family RECEIVER FAMILY
has_family() {
	case $1 in
	nft_meter4 | hashlimit) (($2 == 4)) ;;
	nft_meter6) (($2 == 6)) ;;
	esac
}

# flood_once INDEX FAMILY SOURCES: nanoseconds a frame.
flood_once() {
	local index=$1 destination=10.88.$1.2 base=16.0.0.0 random=() mac result
	[[ $2 = 4 ]] || destination=fd88:$1::2 base=2a00::
	[[ $3 = 1 ]] || random=(--random)
	mac=$(in_ns "${receivers[index]}" ip -br link show v0 | awk '{ print $3 }')
	result=$(in_ns gen "$B/tools/flood" --dev "g$index" --dst "$destination" --dst-mac "$mac" \
		--base "$base" --sources "$3" "${random[@]}" --dport "$FLOOD_PORT" \
		--seconds "$flood_s" --json)
	[[ $result =~ \"ns_per_packet\":([0-9.]+) ]] || die "flood: $result"
	echo "${BASH_REMATCH[1]}"
}

measure_veth() {
	local round index name family sources
	progress "measuring over veth"
	for ((round = 1; round <= rounds; round++)); do
		progress "  round $round of $rounds"
		for index in "${!receivers[@]}"; do
			name=${receivers[index]}
			for family in 4 6; do
				has_family "$name" "$family" || continue
				for sources in 1 16777216; do
					printf '%s\t%s\t%s\t%s\n' "${name%[46]}" "$family" "$sources" \
						"$(flood_once "$index" "$family" "$sources")"
				done
			done
		done
	done | best_and_median
}

# Lines of row, family, sources and a figure, to one line for each of them.
best_and_median() {
	sort -t "$(printf '\t')" -k 1,3 -k 4,4n | awk -F '\t' '
		function finish() { if (n) print "veth", key, v[1], v[int((n + 1) / 2)] }
		BEGIN { OFS = "\t" }
		{ now = $1 OFS $2 OFS $3 }
		now != key { finish(); key = now; n = 0 }
		{ v[++n] = $4 }
		END { finish() }'
}
