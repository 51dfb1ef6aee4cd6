# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash disable=SC2154 # client_rounds, client_s, client_rates, hosts: of flood.sh
# shellcheck disable=SC2034 # flood_as: for flood()
#
# Part 3: how many requests a second a client gets answered while the server's core is
# flooded by 2^24 sources; the plot of Hoiland-Jorgensen et al., "The eXpress Data
# Path", CoNEXT 2018, figure 5. Sourced by flood.sh.
#
#   ask        one request after the other on a connection that was there before the flood
#   reconnect  with a connection for each; not under `on_overload: drop`, where a new
#              client has no more claim to the budget than any of the flood's sources
#
# Two arrangements. In both the host's polling and its server are on core 0:
#
#   other core  the flood is made on core 1 whatever becomes of it. What core 0 cannot take
#               in time overflows its ring, the client's packets among it; a request that
#               is lost costs its client 200 ms, TCP's shortest retransmission timeout.
#               Making a packet costs hardly more than dropping one, so at full speed this
#               comes to pass with any filter: the row of the ideal one shows where
#   same core   the flood is made on core 0 too, by what host and server leave of it:
#               64 packets, then the host, in lockstep. Nothing is lost between them, and
#               the flood is the highest that such a core can have
#
# The flood begins a little earlier and ends a little later than the client.

readonly CLIENT_MODES="ask reconnect"
readonly LEAD_S=0.1

is_serving() { # host, mode
	case $1 in
	drop) [[ $2 = ask ]] ;;
	ideal | challenge | cookies | none) ;;
	*) false ;;
	esac
}

# Without SYN cookies the last flood's half-open connections keep new ones out for a
# minute; they end with the server that they are for.
forget_half_open() { # host
	[[ $1 = none ]] || return 0
	end_process "$1"
	start_server "$1"
}

# Prints, by tabs: SYNs offered, SYNs that the host's ring took, seconds, requests a second.
serve_once() { # host, mode, rate
	local name=$1 mode=$2 rate=$3 at seconds flooder='' pace=() got sent
	at=$(uptime_in 0.2)
	seconds=$(awk "BEGIN { print $client_s + 2 * $LEAD_S }")
	[[ $rate = max ]] || pace=(--rate "$rate")
	if [[ $rate != 0 ]]; then
		flood "$name" --at "$at" --seconds "$seconds" "${pace[@]}" --sources $((1 << 24)) --random \
			>"$work/flood" &
		flooder=$!
	fi
	got=$(client --mode "$mode" --address "10.88.${link_of[$name]}.2" --seconds "$client_s" \
		--at "$(awk "BEGIN { printf \"%.3f\", $at + $LEAD_S }")")
	sent='{"packets":0,"offered":0,"seconds":1}'
	if [[ -n $flooder ]]; then
		wait "$flooder" || die "the flood of $name failed"
		sent=$(<"$work/flood")
	fi
	printf '%s\t%s\t%s\t%s\n' "$(number "$sent" offered)" "$(number "$sent" packets)" \
		"$(number "$sent" seconds)" "$(number "$got" per_second)"
}

# Lines of: client, row, mode, core, rate asked for, and what serve_once says; by tabs.
serve_all() { # core, rate
	local mode name
	for mode in $CLIENT_MODES; do
		for name in "${hosts[@]}"; do
			is_serving "$name" "$mode" || continue
			forget_half_open "$name"
			printf 'client\t%s\t%s\t%s\t%s\t%s\n' "$name" "$mode" "$1" "$2" \
				"$(serve_once "$name" "$mode" "$2")"
		done
	done
}

measure_client() {
	local round rate name
	progress "measuring a client beside the flood"
	for name in "${hosts[@]}"; do
		[[ $name != drop && $name != challenge ]] || configure "$name" apply 3
	done
	for ((round = 1; round <= client_rounds; round++)); do
		flood_as=(taskset -c "$WORLD_CPU")
		for rate in $client_rates; do
			progress "  round $round of $client_rounds, flood of $rate packets a second"
			serve_all other "$rate"
		done
		progress "  round $round of $client_rounds, flood made on the server's core"
		flood_as=(chrt -i 0 taskset -c "$HOST_CPU")
		serve_all same max
	done
}
