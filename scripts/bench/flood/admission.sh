# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash disable=SC2154 # sweep_s, replays, source_bits, hosts: of flood.sh
#
# Part 2: who gets in. Sourced by flood.sh.
#
# A flood at the pace of the replayed one from 1, 2^4, ... 2^24 sources, and clients
# that open a connection each, every one from an address that the host has never seen,
# within the same time. Then a flood in which no source repeats, with the figures of one
# that was captured: 37,841 SYNs from 37,623 sources in 24 s, none with more than 2, no
# /16 with more than 7; replayed in a hundredth of the time.
#
# What reached the stack is counted by a rule of nft's at the input hook, behind every
# filter that is measured here: SYNs to the server from outside of 10.0.0.0/8. With SYN
# cookies that is all of them, and each is answered; they take no place in a queue. A
# client counts that had its answer from the server within a second.

readonly REPLAY_SYNS=37841 REPLAY_SOURCES=37623 REPLAY_RATE=157671 # 24 s / 100
readonly SWEEP_CLIENTS_RATE=500 REPLAY_CLIENTS=250

# Places in the generator's list from which so many sources are at most 7 to a /16.
readonly REPLAY_PLACES=(0 75246 150492 188115)

next_client=0

is_admitting() { # host
	case $1 in
	empty | source | none | ideal) false ;;
	esac
}

watch_host() { # host
	in_ns "$1" nft -f - <<-EOF
		table inet watch {
			counter attack { }
			chain c {
				type filter hook input priority 10;
				ip saddr != 10.0.0.0/8 tcp dport $PORT tcp flags & (syn | ack) == syn counter name attack
			}
		}
	EOF
}

attack_syns() { # host
	local text
	text=$(in_ns "$1" nft list counter inet watch attack)
	[[ $text =~ packets\ ([0-9]+) ]] || die "nft: $text"
	echo "${BASH_REMATCH[1]}"
}

# encounter HOST CLIENTS SECONDS [FLOOD-OPTION ...]: both at once for so long, beginning at one
# moment. Prints, by tabs: SYNs sent, SYNs admitted, seconds, clients answered, clients, p99 ms.
encounter() {
	local name=$1 clients=$2 seconds=$3 link=${link_of[$1]} at before flooder sent met
	shift 3
	at=$(uptime_in 0.2)
	before=$(attack_syns "$name")
	flood "$name" --at "$at" --rate "$REPLAY_RATE" --seconds "$seconds" "$@" >"$work/flood" &
	flooder=$!
	met=$(client --mode open --address "10.88.$link.2" --at "$at" --seconds "$seconds" \
		--count "$clients" --first "10.99.$((next_client / 256)).$((next_client % 256))")
	wait "$flooder" || die "the flood of $name failed"
	next_client=$(((next_client + clients) % 60000))
	sent=$(<"$work/flood")
	printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$(number "$sent" offered)" \
		"$(($(attack_syns "$name") - before))" "$(number "$sent" seconds)" \
		"$(number "$met" answered)" "$clients" "$(number "$met" p99_ms)"
}

setup_admission() {
	local name
	for name in "${hosts[@]}"; do
		is_admitting "$name" || continue
		watch_host "$name"
		case $name in
		drop | challenge) configure "$name" apply 2 ;;
		meter | hashlimit) "rule_$name" 2 ;;
		esac
	done
}

# Lines of: sweep, row, bits, and what encounter says; by tabs.
measure_sweep() {
	local bits name place=0
	for bits in $source_bits; do
		progress "  2^$bits sources"
		place=$((place + 1)) # what filters remember of the others is of no use
		for name in "${hosts[@]}"; do
			is_admitting "$name" || continue
			printf 'sweep\t%s\t%s\t%s\n' "$name" "$bits" \
				"$(encounter "$name" "$(awk "BEGIN { print int($sweep_s * $SWEEP_CLIENTS_RATE) }")" \
					"$sweep_s" --base "$((16 + place)).0.0.0" --sources $((1 << bits)) --random)"
		done
	done
}

# Lines of: replay, row, round, what encounter says; by tabs.
measure_replay() {
	local round name seconds
	seconds=$(awk "BEGIN { print $REPLAY_SYNS / $REPLAY_RATE }")
	for ((round = 0; round < replays; round++)); do
		progress "  a flood in which no source repeats, round $((round + 1)) of $replays"
		for name in "${hosts[@]}"; do
			is_admitting "$name" || continue
			printf 'replay\t%s\t%s\t%s\n' "$name" "$round" "$(encounter "$name" "$REPLAY_CLIENTS" "$seconds" \
				--scatter "${REPLAY_PLACES[round]}" --sources "$REPLAY_SOURCES" --count "$REPLAY_SYNS")"
		done
	done
}

measure_admission() {
	progress "measuring who gets in"
	setup_admission
	measure_sweep
	measure_replay
}
