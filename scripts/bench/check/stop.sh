# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash disable=SC2154 # rounds, stop_s, work: of check.sh; port_of: of servers.sh
#
# Checks while Redis stands still: SIGSTOP at a quarter of a run under load, SIGCONT
# at three quarters. Sourced by check.sh. Lines of results, by tabs, one a round:
#
#   stop  KEYS P99-BEFORE-MS P99-MS LONGEST-MS ERRORS FRESH BACK-MS RELAPSES
#
# P99-BEFORE-MS is of a run right before, of the same length. FRESH: of ASKS checks made
# half a second into the stop, how many were not degraded. BACK-MS: from SIGCONT to the
# first that is not. RELAPSES: of ASKS checks after that, how many were degraded again.

readonly ASKS=10

# Whether the answer to a check by the server on Redis is degraded. Without a process of
# its own: it is asked while the load is on, on the same CPU.
is_degraded() {
	local body='{"key":"user:42","cost":1}' answer=
	exec 3<>"/dev/tcp/127.0.0.1/${port_of[shared]}"
	printf 'POST /check HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s' \
		"${#body}" "$body" >&3
	IFS= read -r -d '' -t 1 answer <&3 || true # to the end, which is no NUL
	exec 3>&-
	[[ $answer =~ \"degraded\":(true|false) ]] || die "not an answer to a check: $answer"
	[[ ${BASH_REMATCH[1]} = true ]]
}

# Of ASKS checks, those that are degraded.
count_degraded() {
	local count=0 ask
	for ((ask = 0; ask < ASKS; ask++)); do
		! is_degraded || count=$((count + 1))
	done
	echo "$count"
}

# Milliseconds until a check is not degraded, at most ten seconds.
wait_until_back() {
	local start=${EPOCHREALTIME/[.,]/} now
	while is_degraded; do
		now=${EPOCHREALTIME/[.,]/}
		((now - start < 10000000)) || break
		sleep 0.02
	done
	now=${EPOCHREALTIME/[.,]/}
	echo $(((now - start + 999) / 1000))
}

# measure_stop KEYS
measure_stop() {
	local keys=$1 before during degraded back relapses load_pid
	before=$(load shared ask "$keys" "$stop_s")
	load shared ask "$keys" "$stop_s" >"$work/load" &
	load_pid=$!
	sleep $((stop_s / 4))
	kill -STOP "${pid_of[redis]}"
	sleep 0.5
	degraded=$(count_degraded)
	sleep $((stop_s / 2 - 1))
	kill -CONT "${pid_of[redis]}"
	back=$(wait_until_back)
	relapses=$(count_degraded)
	wait "$load_pid" || die "the load beside a stopped Redis failed"
	during=$(<"$work/load")
	awk -v OFS='\t' -v keys="$keys" -v rest="$((ASKS - degraded))	$back	$relapses" '
		NR == 1 { before = $6 }
		NR == 2 { print "stop", keys, before, $6, $7, $3, rest }' <<<"$before"$'\n'"$during"
}

measure_stops() {
	local round keys
	for ((round = 1; round <= stop_rounds; round++)); do
		progress "Redis stopped: round $round of $stop_rounds"
		for keys in user:42 1000; do
			measure_stop "$keys"
		done
	done
}
