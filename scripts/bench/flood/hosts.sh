# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash disable=SC2154,SC2034 # work, pid_of: of flood.sh
#
# The hosts that are flooded: one namespace each, all with a server on port 80, joined
# to the world by a link of their own. Sourced by flood.sh.
#
#   empty      XDP, an empty program that drops
#   drop       xdp-throttle: a limit for each source and, beyond the budget for new ones, drop
#   challenge  the same, beyond the budget challenge
#   source     xdp-throttle: a limit for each source, no budget
#   meter      nft at netdev ingress: a meter for each source, and a budget for all
#   hashlimit  iptables' raw table: a hashlimit for each source, and one for all
#   synproxy   nft's SYNPROXY before the server
#   cookies    no filter, the kernel's SYN cookies for each SYN
#   none       no filter, no SYN cookies
#   ideal      XDP, a program that is told who the clients are
#
# Limits are the same wherever there are any: 10 connections a second and source with a
# burst of 5, and the budget for all sources together that configure says. A host that
# cannot be set up is left out, and why is said.

readonly PORT=80
readonly BUDGET_RATE=1000 BUDGET_BURST=500
readonly CLIENTS=10.99.0.0/16 # addresses of the clients that are one source each

hosts=()          # that could be set up
declare -A link_of=() # their numbers

has_host() { [[ -n ${link_of[$1]-} ]]; }

link_up() { # host
	local name=$1 link=${#link_of[@]}
	link_of[$name]=$link
	add_namespace "$name"
	in_ns gen ip link add "g$link" type veth peer name v0 netns "xdpt-$$-$name"
	in_ns gen ip addr add "10.88.$link.1/24" dev "g$link"
	in_ns "$name" ip addr add "10.88.$link.2/24" dev v0
	in_ns "$name" sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.v0.rp_filter=0
	in_ns gen ip link set dev "g$link" xdp obj "$B/tools/backscatter.bpf.o" sec xdp
	# The clients' packets go the way of the flood's on every host: not past veth's ring,
	# as large ones would where there is no XDP program.
	in_ns gen ethtool -K "g$link" tso off
	in_ns gen ip link set "g$link" up
	in_ns "$name" ip link set v0 up
	in_ns "$name" ethtool -K v0 gro on # or an XDP program: veth's condition for frames
	in_ns "$name" ip neigh add "10.88.$link.1" lladdr "$(mac_of gen "g$link")" dev v0 nud permanent
	in_ns "$name" ip route add default via "10.88.$link.1"
	in_ns gen ip neigh add "10.88.$link.2" lladdr "$(mac_of "$name" v0)" dev "g$link" nud permanent
}

is_listening() { [[ -n $(in_ns "$1" ss -Hltn "sport = :$PORT") ]]; } # host

start_server() { # host
	in_ns "$1" chrt -f 2 taskset -c "$HOST_CPU" "$B/tools/backend" --address 0.0.0.0 --port "$PORT" \
		--seconds "$LIFE_S" >/dev/null &
	pid_of[$1]=$!
	wait_until_listening "$1" "$1" || die "the server of $1 does not listen"
}

# --- ours ---------------------------------------------------------------------

# write_config PER-SOURCE NEW-SOURCES: each a map in YAML, or nothing
write_config() {
	cat <<-EOF
		xdp:
		  interfaces: [v0]
		  services:
		    - name: flooded
		      ports: [$PORT]
	EOF
	[[ -z $1 ]] || echo "      per_source: $1"
	[[ -z $2 ]] || echo "      new_sources: $2"
}

readonly PER_SOURCE='{connections_per_second: 10, burst: 5}'

# configure HOST attach|apply PART: by what the part of the bench needs.
#   1  the budget is as good as nothing: what is measured is what comes beyond it.
#      Without a limit for each source, so that it is always a challenge that is made
#   2  both
#   3  the budget only: the client opens as many connections as it can
configure() {
	local per_source='' new_sources rate=$BUDGET_RATE burst=$BUDGET_BURST
	(($3 != 1)) || rate=1 burst=1
	new_sources="{per_second: $rate, burst: $burst, on_overload: $1}"
	case $1/$3 in
	drop/[12] | challenge/2) per_source=$PER_SOURCE ;;
	source/*) per_source=$PER_SOURCE new_sources='' ;;
	esac
	write_config "$per_source" "$new_sources" >"$work/$1.yaml"
	if [[ $2 = attach ]]; then
		in_ns "$1" "$THROTTLE" attach --dev v0 -c "$work/$1.yaml" >/dev/null
	else
		in_ns "$1" "$THROTTLE" apply -c "$work/$1.yaml" >/dev/null
	fi
}

setup_empty() { in_ns empty ip link set dev v0 xdp obj "$B/tools/empty.bpf.o" sec xdp; }
setup_ideal() { in_ns ideal ip link set dev v0 xdp obj "$B/tools/clients_only.bpf.o" sec xdp; }
setup_drop() { configure drop attach 1; }
setup_source() { configure source attach 1; }

# counted HOST REASON: how many packets xdp-throttle counted for it
counted() {
	in_ns "$1" "$THROTTLE" status --dev v0 --json |
		awk -v reason="\"$2\"" 'BEGIN { RS = "[{},]" } index($0, reason) { sub(/.*: */, ""); print $0 + 0; exit }'
}

# Challenges are made where the kernel makes cookies; see whether it does.
setup_challenge() {
	configure challenge attach 1
	flood challenge --sources 4096 --count 4096 --seconds 1 >/dev/null
	(($(counted challenge challenged) > 0)) || {
		echo "no challenge was made here" >&2
		return 1
	}
}

# --- others -------------------------------------------------------------------

# The budget of a part, for rules.
budget_rate() { (($1 == 1)) && echo 1 || echo "$BUDGET_RATE"; }
budget_burst() { (($1 == 1)) && echo 1 || echo "$BUDGET_BURST"; }

# Rules that are made anew for each part.
rule_meter() { # part
	in_ns meter nft -f - <<-EOF
		table netdev f
		delete table netdev f
		table netdev f {
			set m {
				type ipv4_addr; size 1048576
				flags dynamic; timeout 10s
			}
			chain i {
				type filter hook ingress device "v0" priority -500;
				tcp flags & (syn | ack) == syn add @m { ip saddr limit rate over 10/second burst 5 packets } drop
				tcp flags & (syn | ack) == syn limit rate over $(budget_rate "$1")/second burst $(budget_burst "$1") packets drop
			}
		}
	EOF
}

rule_hashlimit() { # part
	in_ns hashlimit iptables -t raw -F PREROUTING
	in_ns hashlimit iptables -t raw -A PREROUTING -p tcp --syn -m hashlimit \
		--hashlimit-name f --hashlimit-above 10/sec --hashlimit-burst 5 \
		--hashlimit-mode srcip --hashlimit-htable-size 1048576 -j DROP
	in_ns hashlimit iptables -t raw -A PREROUTING -p tcp --syn -m limit \
		--limit "$(budget_rate "$1")/sec" --limit-burst "$(budget_burst "$1")" -j RETURN
	in_ns hashlimit iptables -t raw -A PREROUTING -p tcp --syn -j DROP
}

setup_meter() { rule_meter 1; }
setup_hashlimit() { rule_hashlimit 1; }

setup_synproxy() {
	in_ns synproxy sysctl -qw net.ipv4.tcp_syncookies=1 net.ipv4.tcp_timestamps=1
	in_ns synproxy nft -f - <<-EOF
		table inet f {
			chain early {
				type filter hook prerouting priority raw;
				iifname "v0" tcp dport $PORT tcp flags & (fin | syn | rst | ack) == syn notrack
			}
			chain i {
				type filter hook input priority filter;
				iifname "v0" tcp dport $PORT ct state invalid,untracked synproxy mss 1460 wscale 7 timestamp sack-perm
				ct state invalid drop
			}
		}
	EOF
	in_ns synproxy sysctl -qw net.netfilter.nf_conntrack_tcp_loose=0
}

setup_cookies() { in_ns cookies sysctl -qw net.ipv4.tcp_syncookies=2; }
setup_none() { in_ns none sysctl -qw net.ipv4.tcp_syncookies=0; }

# --- all ----------------------------------------------------------------------

# try_host NAME [TOOL]
try_host() {
	local name=$1 tool=${2:-ip}
	if ! command -v "$tool" >/dev/null; then
		progress "left out: $name, for $tool is not installed"
		return
	fi
	link_up "$name"
	start_server "$name"
	if "setup_$name" 2>"$work/stderr"; then
		hosts+=("$name")
	else
		progress "left out: $name: $(head -n 1 "$work/stderr")"
		link_of[$name]=
	fi
}

setup_hosts() {
	progress "setting up the hosts"
	add_namespace gen
	in_ns gen ip route add local "$CLIENTS" dev lo
	in_ns gen sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
	try_host empty
	try_host drop
	try_host challenge
	try_host source
	try_host meter nft
	try_host hashlimit iptables
	try_host synproxy nft
	try_host cookies
	try_host none
	try_host ideal
}

flood_as=(taskset -c "$WORLD_CPU") # how the flood is run

# flood HOST [OPTION ...]: the result in JSON.
flood() {
	local name=$1 link=${link_of[$1]}
	shift
	in_ns gen "${flood_as[@]}" "$B/tools/flood" --dev "g$link" --dst "10.88.$link.2" --dst-mac "$(mac_of "$name" v0)" \
		--base 16.0.0.0 --dport "$PORT" --json "$@"
}

# --- a core for the hosts, and one for the world --------------------------------

# poll_on NAMESPACE INTERFACE CPU: let a thread of its own poll the interface, there. Its
# priority is over the flood's and everything else's but the server's: a pause of 2 ms
# would overflow a ring.
poll_on() {
	local before pid
	before=$(pgrep "^napi/$2-" | sort || true)
	in_ns "$1" unshare -m sh -c "mount -t sysfs sysfs /sys && echo 1 >/sys/class/net/$2/threaded" ||
		die "$2 of $1 cannot be polled by a thread"
	pid=$(comm -13 <(echo "$before") <(pgrep "^napi/$2-" | sort))
	[[ $pid =~ ^[0-9]+$ ]] || die "$2 of $1: not one thread that polls it: $pid"
	taskset -p -c "$3" "$pid" >/dev/null
	chrt -f -p 1 "$pid"
}

client() { # option ...
	in_ns gen chrt -f 1 taskset -c "$WORLD_CPU" "$B/tools/client" --port "$PORT" "$@"
}

# From part 1 to parts 2 and 3.
setup_crowd() {
	local name
	for name in "${hosts[@]}"; do
		[[ $name != empty && $name != source ]] || continue
		poll_on "$name" v0 "$HOST_CPU"
		poll_on gen "g${link_of[$name]}" "$WORLD_CPU"
	done
}

# uptime_in SECONDS: what /proc/uptime will read then
uptime_in() { awk -v wait="$1" '{ printf "%.3f", $1 + wait }' /proc/uptime; }
