# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash disable=SC2154 # rounds, slice_s, work: of http.sh; port_of: of proxies.sh
#
# What a request costs under load, and what an idle connection does. Sourced by
# http.sh. Lines of results, by tabs:
#
#   http    SCENARIO INSTANCE CPU-US REQUESTS/S P50-MS P99-MS    one a round
#   memory  INSTANCE BYTES                                       an idle connection
#
# The CPU time is that of the proxy alone, by the kernel's count of it (ticks of
# 10 ms, a slice has about 100 of them), over the requests that wrk got answered.

readonly CONNECTIONS=64
readonly IDLE_CONNECTIONS=10000
readonly WARM_CONNECTIONS=64
TICKS_PER_S=$(getconf CLK_TCK)
readonly TICKS_PER_S

# SCENARIO INSTANCE BODY-BYTES
rows() {
	local size name
	for size in 52 1024 102400; do
		for name in relay nginx haproxy ours; do
			echo "body_$size $name $size"
		done
	done
	for name in nginx haproxy ours; do
		echo "idle ${name}_idle 52"
	done
	echo "routes nginx_routes 52"
	echo "routes ours_routes 52"
	echo "log ours_log 52"
}

# measure_row SCENARIO INSTANCE BODY-BYTES
measure_row() {
	local before after output figures
	before=$(cpu_ticks "$2")
	output=$(on_client_cpu timeout $((slice_s + 10)) wrk -t1 -c "$CONNECTIONS" -d "${slice_s}s" \
		-s "$here/http/summary.lua" "http://127.0.0.1:${port_of[$2]}$ROUTE/$3")
	after=$(cpu_ticks "$2")
	[[ $output =~ summary\ ([0-9]+)\ ([0-9]+)\ ([0-9.]+)\ ([0-9.]+)\ ([0-9]+) ]] ||
		die "wrk: $output"
	figures=("${BASH_REMATCH[@]:1}")
	((figures[4] == 0 && figures[0] > 0)) ||
		die "$1, $2: ${figures[4]} errors in ${figures[0]} requests"
	awk -v OFS='\t' -v ticks=$((after - before)) -v per_s="$TICKS_PER_S" -v n="${figures[0]}" \
		-v row="http	$1	$2" -v rest="${figures[1]}	${figures[2]}	${figures[3]}" \
		'BEGIN { print row, sprintf("%.3f", ticks * 1000000 / per_s / n), rest }'
}

measure_load() {
	local round scenario name size
	for ((round = 1; round <= rounds; round++)); do
		progress "load: round $round of $rounds"
		while read -r scenario name size; do
			! is_running "$name" || measure_row "$scenario" "$name" "$size"
		done < <(rows)
	done
}

# open_idle NAME INSTANCE COUNT: connections that have made their request.
open_idle() {
	local _
	nsenter --net="$NAMESPACE" taskset -c "$CLIENT_CPU" "$B/tools/idle" --port "${port_of[$2]}" \
		--path "$ROUTE/52" --connections "$3" --seconds "$LIFE_S" \
		>"$work/$1.stdout" 2>"$work/$1.stderr" &
	pid_of[$1]=$!
	for _ in {1..600}; do
		[[ ! -s $work/$1.stdout ]] || return 0
		[[ -e /proc/${pid_of[$1]} ]] || break
		sleep 0.05
	done
	die "$2: $(head -n 1 "$work/$1.stderr")"
}

# The idle connections stay, for the load beside them. Before they are counted the
# proxy has served as many connections as the load has, so that what they left
# behind is not taken for what idle ones need.
measure_memory() {
	local name before after
	for name in nginx_idle haproxy_idle ours_idle; do
		is_running "$name" || continue
		progress "memory: $IDLE_CONNECTIONS idle connections to ${name%_idle}"
		open_idle "warm_$name" "$name" "$WARM_CONNECTIONS"
		end_process "warm_$name"
		sleep 0.2
		before=$(memory_bytes "$name")
		open_idle "clients_$name" "$name" "$IDLE_CONNECTIONS"
		sleep 0.5
		after=$(memory_bytes "$name")
		printf 'memory\t%s\t%d\n' "${name%_idle}" $(((after - before) / IDLE_CONNECTIONS))
	done
}

# A proxy that closed its idle connections was not measured beside them.
check_idle() {
	local name
	for name in nginx_idle haproxy_idle ours_idle; do
		is_running "clients_$name" || continue
		end_process "clients_$name"
		grep -q "\"open\":$IDLE_CONNECTIONS}" "$work/clients_$name.stdout" ||
			die "$name did not keep its idle connections: $(tail -n 1 "$work/clients_$name.stdout")"
	done
}
