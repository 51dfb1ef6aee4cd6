# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash disable=SC2034,SC2154 # here, work, THROTTLE, ...: of http.sh
#
# The backend and the proxies in front of it, each instance with a configuration,
# a directory and a port of its own. Sourced by http.sh. An instance is a kind
# and a purpose:
#
#   relay                        the floor: no parsing, no limit
#   nginx haproxy ours           one route
#   nginx_idle haproxy_idle ours_idle
#                                the same, for those with idle connections besides:
#                                their memory starts from that of a fresh process
#   nginx_routes ours_routes     10,000 routes
#   ours_log                     one route and a line in a file for each request

readonly ROUTES=10000
readonly ROUTE=/r7777 # that is asked for: in every instance the same bytes

readonly BACKEND_PORT=8000
readonly INSTANCES="relay nginx haproxy ours nginx_idle haproxy_idle ours_idle
	nginx_routes ours_routes ours_log"
declare -A port_of # by instance

# route_paths INSTANCE
route_paths() {
	if [[ $1 == *_routes ]]; then
		awk -v n="$ROUTES" 'BEGIN { for (i = 0; i < n; i++) print "/r" i }'
	else
		echo /
	fi
}

# fill TEMPLATE INSTANCE: the configuration on stdout.
fill() {
	local level=warning
	[[ $2 != *_log ]] || level=info
	sed "s|@DIR@|$work/$2|; s|@PORT@|${port_of[$2]}|; s|@BACKEND@|$BACKEND_PORT|
		s|@LEVEL@|$level|" "$here/http/$1"
}

# start NAME COMMAND...: in the background, in the namespace, on the proxies' CPU.
# No function of ours in between: $! is to be the process itself.
start() {
	local name=$1
	shift
	nsenter --net="$NAMESPACE" taskset -c "$PROXY_CPU" "$@" \
		>"$work/$name/stdout" 2>"$work/$name/stderr" &
	pid_of["$name"]=$!
}

start_relay() {
	start "$1" "$B/tools/relay" --port "${port_of[$1]}" --upstream "$BACKEND_PORT" \
		--seconds "$LIFE_S"
}

start_nginx() {
	route_paths "$1" | awk '{ printf "location %s { proxy_pass http://backend; }\n", $1 }' \
		>"$work/$1/routes.conf"
	fill nginx.conf "$1" >"$work/$1/nginx.conf"
	start "$1" nginx -p "$work/$1" -c "$work/$1/nginx.conf" -e stderr
}

start_haproxy() {
	fill haproxy.cfg "$1" >"$work/$1/haproxy.cfg"
	start "$1" haproxy -db -f "$work/$1/haproxy.cfg"
}

start_ours() {
	{
		fill ours.yaml "$1"
		echo "routes:"
		route_paths "$1" | awk -v target="http://127.0.0.1:$BACKEND_PORT" \
			'{ printf "  - {path: %s, target: \"%s\"}\n", $1, target }'
	} >"$work/$1/ours.yaml"
	start "$1" "$THROTTLE" run -c "$work/$1/ours.yaml"
}

# is_listening PORT
is_listening() { [[ -n $(in_ns http ss -Hltn "sport = :$1") ]]; }

start_backend() {
	mkdir "$work/backend"
	nsenter --net="$NAMESPACE" taskset -c "$CLIENT_CPU" "$B/tools/backend" \
		--port "$BACKEND_PORT" --seconds "$LIFE_S" >"$work/backend/stdout" &
	pid_of[backend]=$!
	wait_until_listening backend "$BACKEND_PORT" || die "the backend did not start"
}

# try_instance NAME: start it, or say why its rows are left out.
try_instance() {
	local name=$1 reason
	mkdir "$work/$name"
	"start_${name%%_*}" "$name"
	wait_until_listening "$name" "${port_of[$name]}" && return
	reason=$(head -n 1 "$work/$name/stderr")
	progress "left out: $name: ${reason:-it does not listen}"
	end_process "$name"
}

start_all() {
	local name port=$BACKEND_PORT
	progress "starting the backend and the proxies"
	start_backend
	for name in $INSTANCES; do
		port=$((port + 1))
		port_of[$name]=$port
		try_instance "$name"
	done
}

# --- what they use ------------------------------------------------------------

# cpu_ticks INSTANCE: user and system time of its processes, all threads.
cpu_ticks() {
	local pid stat sum=0
	for pid in $(tree "${pid_of[$1]}"); do
		stat=$(<"/proc/$pid/stat") || continue
		# shellcheck disable=SC2086 # the fields after the name in parentheses
		set -- ${stat##*) }
		sum=$((sum + ${12} + ${13}))
	done
	echo "$sum"
}

# memory_bytes INSTANCE: what its processes have, what they share counted once.
memory_bytes() {
	local pid
	for pid in $(tree "${pid_of[$1]}"); do
		cat "/proc/$pid/smaps_rollup"
	done | awk '/^Pss:/ { kb += $2 } END { printf "%d\n", kb * 1024 }'
}
