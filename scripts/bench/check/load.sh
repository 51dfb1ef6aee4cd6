# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash disable=SC2154 # rounds, slice_s, work: of check.sh; port_of: of servers.sh
#
# What a check costs under load. Sourced by check.sh. Lines of results, by tabs, one
# a round:
#
#   check  SCENARIO ROW CPU-US REDIS-CPU-US COMMANDS CALLS REFUSED DEGRADED
#          CHECKS/S P50-MS P99-MS                              (one line)
#
# All but the last three are for a check. The CPU time is that of the server's processes,
# the master's too, by the scheduler's count of it; what Redis did is left out (-) where
# it has no part. REFUSED is the share of answers that were 429s, DEGRADED of those that
# were late for Redis: with more than a few, the row says nothing of it.

readonly CONNECTIONS=64

# SCENARIO ROW SERVER FORM KEYS; FORM and KEYS as in check.lua. nginx draws no keys, but
# wrk does, and what wrk is busy with is no request: it has them in the same way.
rows() {
	local keys name
	for keys in user:42 1000 1000000 denied; do
		name=${keys/user:42/one}
		echo "memory_$name get nginx plain $keys"
		echo "memory_$name post nginx waste $keys"
		echo "memory_$name memory memory ask $keys"
		echo "redis_$name lua nginx lua $keys"
		echo "redis_$name shared shared ask $keys"
		echo "redis_$name leased leased ask $keys"
	done
}

# load SERVER FORM KEYS SECONDS: what check.lua says of it.
load() {
	local output
	output=$(taskset -c "$CLIENT_CPU" timeout $(($4 + 10)) wrk -t1 -c "$CONNECTIONS" -d "$4s" \
		-s "$here/check/check.lua" "http://127.0.0.1:${port_of[$1]}" -- "$2" "$3") || true
	[[ $output =~ summary\ ([0-9. ]+) ]] || die "wrk: $output"
	echo "${BASH_REMATCH[1]}"
}

# measure_row SCENARIO ROW SERVER FORM KEYS
measure_row() {
	local before after redis_before redis_after counts_before counts_after figures
	local degraded refused=0
	[[ $4 != ask && $4 != lua ]] || [[ $5 != denied ]] || refused=1
	degraded=$(degraded_of "$3")
	counts_before=$(redis_counts)
	redis_before=$(cpu_ns redis)
	before=$(cpu_ns "$3")
	figures=$(load "$3" "$4" "$5" "$slice_s")
	after=$(cpu_ns "$3")
	redis_after=$(cpu_ns redis)
	counts_after=$(redis_counts)
	degraded=$(($(degraded_of "$3") - degraded))
	awk -v OFS='\t' -v row="check	$1	$2" -v has_redis="$([[ $1 = memory_* ]] || echo 1)" \
		-v ns=$((after - before)) -v redis_ns=$((redis_after - redis_before)) \
		-v refused="$refused" -v degraded="$degraded" '
		NR == 1 { commands = -$1 - 1; calls = -$2 } # one asked for the counts
		NR == 2 { commands += $1; calls += $2 }
		NR == 3 {
			if (!$1 || $3 || int($2 / $1 + 0.5) != refused)
				exit 1
			print row, sprintf("%.3f", ns / 1000 / $1),
				has_redis ? sprintf("%.3f", redis_ns / 1000 / $1) : "-",
				has_redis ? sprintf("%.4f", commands / $1) : "-",
				has_redis ? sprintf("%.4f", calls / $1) : "-",
				sprintf("%.4f", $2 / $1), sprintf("%.4f", degraded / $1), $4, $5, $6
		}' <<<"$counts_before"$'\n'"$counts_after"$'\n'"$figures" ||
		die "$1, $2: not the answers that there should be: $figures; $(tail -n 1 "$work/$3/stderr")"
}

measure_load() {
	local round scenario row server form keys
	for ((round = 1; round <= rounds; round++)); do
		progress "load: round $round of $rounds"
		while read -r scenario row server form keys; do
			measure_row "$scenario" "$row" "$server" "$form" "$keys"
		done < <(rows)
	done
}
