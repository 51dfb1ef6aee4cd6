# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash disable=SC2034,SC2154 # here, work, THROTTLE, ...: of check.sh; pid_of: of process.sh
#
# The servers of the bench, each with a configuration, a directory and a port of its
# own. Sourced by check.sh.
#
#   redis    for all that need one; each has names of its own in it
#   nginx    `return 200`, and limiter.lua
#   memory   xdp-throttle on the memory store
#   shared   xdp-throttle on Redis, a call for what was asked since the last one
#   leased   the same with LEASE tokens taken ahead
#
# Three kinds of limits, the same for each: `user:42` is hot and allows all, `denied`
# nothing to speak of, all other keys 10,000 at once and one in 10 s, so that a key
# that was asked for stays in use.

readonly LEASE=50
readonly FIRST_PORT=20480
declare -A port_of # by name

# Listening or not, whoever it is.
is_listening() { [[ -n $(ss -Hltn "sport = :$1") ]]; }

# next_port PORT: the first from there that nobody listens on.
next_port() {
	local port=$1
	while is_listening "$port"; do
		port=$((port + 1))
	done
	echo "$port"
}

# fill TEMPLATE NAME: the configuration on stdout.
fill() {
	local backend=redis lease=0
	[[ $2 != memory ]] || backend=memory
	[[ $2 != leased ]] || lease=$LEASE
	sed "s|@DIR@|$work/$2|; s|@PORT@|${port_of[$2]}|; s|@REDIS@|${port_of[redis]}|
		s|@NAME@|$2|; s|@BACKEND@|$backend|; s|@LEASE@|$lease|
		s|@USER@|$(id -un)|; s|@SCRIPTS@|$(realpath "$here/check")|" "$here/check/$1"
}

# start NAME CPU COMMAND...: in the background. It ends with this script, however that
# ends. No function of ours in between: $! is to be the process itself.
start() {
	local name=$1 cpu=$2
	shift 2
	setpriv --pdeathsig TERM taskset -c "$cpu" "$@" \
		>"$work/$name/stdout" 2>"$work/$name/stderr" &
	pid_of["$name"]=$!
}

start_redis() {
	start redis "$CLIENT_CPU" redis-server --bind 127.0.0.1 --port "${port_of[redis]}" \
		--dir "$work/redis" --save '' --appendonly no --daemonize no
}

start_nginx() {
	fill nginx.conf nginx >"$work/nginx/nginx.conf"
	start nginx "$SERVER_CPU" nginx -p "$work/nginx" -c "$work/nginx/nginx.conf" -e stderr
}

# start_ours NAME
start_ours() {
	fill ours.yaml "$1" >"$work/$1/ours.yaml"
	start "$1" "$SERVER_CPU" "$THROTTLE" run -c "$work/$1/ours.yaml"
}

# begin NAME COMMAND...: run COMMAND, which starts it, and wait until it listens.
begin() {
	local name=$1 reason
	shift
	mkdir "$work/$name"
	port_of[$name]=$(next_port $((last_port + 1)))
	last_port=${port_of[$name]}
	"$@"
	wait_until_listening "$name" "$last_port" && return
	reason=$(cat "$work/$name/stderr" "$work/$name/stdout" | head -n 1)
	die "$name does not listen: ${reason:-it said nothing}"
}

# set_quota NAME KEY CAPACITY REFILL-PER-SECOND: again while the store cannot be reached,
# as may be right after the start.
set_quota() {
	curl -sS --fail --max-time 5 --retry 5 -X PUT -H 'Content-Type: application/json' \
		-d "{\"capacity\":$3,\"refill_per_second\":$4}" \
		"http://127.0.0.1:${port_of[$1]}/config/$2" || die "$1: the limit of $2 was not set"
}

start_all() {
	local name last_port=$FIRST_PORT
	progress "starting Redis, nginx and xdp-throttle"
	begin redis start_redis
	begin nginx start_nginx
	for name in memory shared leased; do
		begin "$name" start_ours "$name"
		set_quota "$name" user:42 1000000000 1000000
		set_quota "$name" denied 1 0.01
	done
}

# --- what they use ------------------------------------------------------------

# cpu_ns NAME: CPU time of its processes, all threads, by the scheduler's count.
cpu_ns() {
	local pid
	for pid in $(tree "${pid_of[$1]}"); do
		cat "/proc/$pid/task/"*/schedstat 2>/dev/null || true
	done | awk '{ ns += $1 } END { printf "%.0f\n", ns }'
}

# degraded_of NAME: answers that it gave without Redis although it should have asked.
degraded_of() {
	[[ $1 = shared || $1 = leased ]] || { echo 0 && return; }
	curl -sS --max-time 5 "http://127.0.0.1:${port_of[$1]}/metrics" |
		awk '/^xdp_throttle_store_takings_total.*degraded="true"/ { sum += $2 } END { printf "%.0f\n", sum }'
}

# Commands that Redis has executed, those of scripts included, and the scripts that it
# was asked to run. It counts the asking only afterwards.
redis_counts() {
	redis-cli -p "${port_of[redis]}" info all | tr -d '\r' | awk '
		/^total_commands_processed:/ { sub(/.*:/, ""); commands = $0 }
		/^cmdstat_(eval|evalsha):/ { sub(/^[^=]*=/, ""); calls += $0 + 0 }
		END { printf "%.0f %.0f\n", commands, calls }'
}
