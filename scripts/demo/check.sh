# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash disable=SC2034,SC2154 # work, pids, ...: of demo.sh; run_throttle ...: of http.sh
#
# The phases of the check API. Sourced by demo.sh. First in memory, by the daemon that
# served HTTP; then on Redis, which two daemons share:
#
#   +-- server --------------------------------------------------+
#   |  curl --- :8081 one ---.                                   |
#   |                         +--- redis-server :6379            |
#   |  curl --- :8083 two ---'                                   |
#   +------------------------------------------------------------+
#         proxies :8080, :8082, for a greedy client

readonly API_ONE=127.0.0.1:8081
readonly API_TWO=127.0.0.1:8083
readonly PROXY_PORT_TWO=8082
readonly DEFAULT_CAPACITY=100     # of demo.yaml
readonly CAPACITY=5               # set for user:42
readonly SHARED_CAPACITY=60       # set for team:7, and shared by both daemons
readonly SLOWEST_MS=250           # for an answer without Redis: its deadline is 50
readonly SYNC_MS=1000 BACK_MS=2000 # for a limit to be everywhere, for Redis to be used again

# --- asking ------------------------------------------------------------------

# api ADDRESS PATH OPTION...: what curl gets there.
api() {
	local url=http://$1$2
	shift 2
	in_ns "$SERVER" curl --silent --max-time 2 "$@" "$url"
}

# show_api ADDRESS PATH OPTION...: the same as a user would do it, shown, in $work/answer.
show_api() {
	local url=$1$2 shown=() word
	for word in "${@:3}"; do
		[[ $word != '{'* ]] || word="'$word'"
		shown+=("$word")
	done
	echo "  # curl -i ${shown[*]}${shown[*]:+ }$url"
	api "$@" --include >"$work/raw" || die "no answer from $url"
	tr -d '\r' <"$work/raw" >"$work/answer"
	# shellcheck disable=SC2001 # the here-string ends it in one newline
	sed 's/^/    | /' <<<"$(<"$work/answer")"
}

# answered STATUS PATTERN...: with that, and a line that matches each.
answered() {
	local pattern
	grep -q "^HTTP/1.1 $1" "$work/answer" || return 1
	for pattern in "${@:2}"; do
		grep -Eqi "$pattern" "$work/answer" || return 1
	done
}

check_of() { printf '{"key":"%s","cost":%d}' "$1" "${2:-1}"; }

# peek ADDRESS KEY: how its bucket is, nothing taken.
peek() { api "$1" /check --json "$(check_of "$2" 0)"; }

# ask_many ADDRESS KEY COUNT: checks on one connection, one after the other. The
# fragment is what curl counts by, and stays here.
ask_many() {
	in_ns "$SERVER" curl --silent --max-time 20 --json "$(check_of "$2")" \
		--write-out '\nanswer %{time_total}\n' "http://$1/check#[1-$3]"
}

# count_many: of what ask_many printed: how many were answered, allowed, degraded, and
# the longest wait in ms.
count_many() {
	awk '/"allowed":(true|false)/ { answered++ }
		/"allowed":true/ { allowed++ }
		/"degraded":true/ { degraded++ }
		$1 == "answer" && $2 > longest { longest = $2 }
		END { printf "%d %d %d %d\n", answered, allowed, degraded, longest * 1000 + 0.999 }'
}

# Milliseconds until COMMAND holds, at most five seconds.
time_until() {
	local start=${EPOCHREALTIME/[.,]/}
	wait_until "this took too long: $*" "$@"
	echo $(((${EPOCHREALTIME/[.,]/} - start + 999) / 1000))
}

# end_killed PID: of what was started, as nothing else ends it.
end_killed() {
	local index
	kill -KILL "$1"
	wait "$1" 2>/dev/null || true # its status is that of the signal
	for index in "${!pids[@]}"; do
		[[ ${pids[index]} != "$1" ]] || unset "pids[index]"
	done
}

# --- in memory ---------------------------------------------------------------

is_full() { [[ $(peek "$API_ONE" user:42) == *"\"remaining\":$DEFAULT_CAPACITY,"* ]]; }

a_check() {
	show_api "$API_ONE" /check --json "$(check_of user:42)"
	claim "check: user:42 is allowed, with $((DEFAULT_CAPACITY - 1)) of $DEFAULT_CAPACITY left" \
		answered 200 '"allowed":true' "\"remaining\":$((DEFAULT_CAPACITY - 1)),"
	wait_until "the bucket of user:42 does not fill" is_full
}

a_limit_set_live() {
	local answered allowed
	show_api "$API_ONE" /config/user:42 -X PUT \
		--json "{\"capacity\":$CAPACITY,\"refill_per_second\":0.1}"
	claim "PUT: a limit for user:42 is made, and has an ETag" answered 201 '^etag: *"'
	read -r answered allowed _ < <(ask_many "$API_ONE" user:42 10 | count_many)
	echo "  of 10 checks $allowed are allowed; one more:"
	show_api "$API_ONE" /check --json "$(check_of user:42)"
	claim "PUT: of the next 10 checks $allowed are allowed, and $CAPACITY may be" \
		test "$answered $allowed" = "10 $CAPACITY"
	claim "check: what is over gets a 429 that says when to come again" \
		answered 429 '"allowed":false' '^retry-after: *[1-9]' '"retry_after_ms":[1-9]'
}

# metric NAME: the value of what has exactly this name and these labels.
metric() { awk -v name="$1" '$1 == name { print $2 }' "$work/metrics"; }

the_metrics() {
	local allowed denied
	echo "  # curl $API_ONE/metrics"
	api "$API_ONE" /metrics >"$work/metrics"
	grep -E '^xdp_throttle_(build_info|packets_total|http_requests_total|checks_total|store_quotas)[ {]' \
		"$work/metrics" | sed 's/^/    | /'
	allowed=$(metric 'xdp_throttle_checks_total{verdict="allowed"}')
	denied=$(metric 'xdp_throttle_checks_total{verdict="denied"}')
	claim "metrics: $allowed checks allowed, $denied denied, as they were answered" \
		test "$allowed $denied" = "$((1 + CAPACITY)) $((10 - CAPACITY + 1))"
}

a_crash() {
	local before after
	before=$(api "$API_ONE" /config/user:42)
	echo "  # kill -KILL xdp-throttle"
	end_killed "${run_pid[one]}"
	run_throttle one "http://$API_ONE/health"
	after=$(api "$API_ONE" /config/user:42)
	echo "  limit of user:42 now: $after"
	claim "killed and started again: the limit that was set is there" test "$after" = "${before:-none}"
}

checks_in_memory() {
	a_check
	a_limit_set_live
	the_metrics
	a_crash
	stop_throttle one
}

# --- on Redis ----------------------------------------------------------------

# On its default port, so that nothing but the backend has to be said.
start_redis() {
	nsenter --net="/run/netns/$SERVER" redis-server --bind 127.0.0.1 --dir "$work" \
		--save '' --appendonly no --daemonize no >"$work/redis" &
	redis_pid=$!
	pids+=("$redis_pid")
	wait_until "redis-server does not start" redis_answers
}

redis_answers() { in_ns "$SERVER" redis-cli ping >/dev/null 2>&1; }

start_on_redis() {
	start_redis
	run_throttle one "http://$API_ONE/health" XDP_THROTTLE_STORE_BACKEND=redis
	run_throttle two "http://$API_TWO/health" XDP_THROTTLE_STORE_BACKEND=redis \
		XDP_THROTTLE_SERVER_PORT=$PROXY_PORT_TWO XDP_THROTTLE_API_LISTEN=$API_TWO
	wait_until "two does not use Redis" is_fresh "$API_TWO"
	show_api "$API_TWO" /ready
	claim "Redis: one variable of the environment moves the same file to it" \
		answered 200 '"store": *"redis"' '"degraded": *false'
}

# Whether a check there is not degraded.
is_fresh() { [[ $(peek "$1" fresh) == *'"degraded":false'* ]]; }

# Whether every worker of both has it: each look is a connection, which the kernel gives to
# one of them, so that one worker is missed by all eight once in 256 times.
has_shared_limit() {
	local url look
	for url in "$API_TWO" "$API_ONE"; do
		for look in {1..8}; do
			[[ $(peek "$url" team:7) == *"\"limit\":$SHARED_CAPACITY,"* ]] || return 1
		done
	done
}

a_limit_reaches_the_other() {
	local ms
	show_api "$API_ONE" /config/team:7 -X PUT \
		--json "{\"capacity\":$SHARED_CAPACITY,\"refill_per_second\":0.01}"
	ms=$(time_until has_shared_limit)
	claim "Redis: a limit set at one is in force at all workers of both after $ms ms, at most $SYNC_MS" \
		test "$ms" -le "$SYNC_MS"
}

# ask_both COUNT: checks of team:7 at both at the same time, COUNT each; sets its
# caller's figures.
ask_both() {
	local asker
	ask_many "$API_ONE" team:7 "$1" >"$work/asked_one" &
	asker=$!
	pids+=("$asker")
	ask_many "$API_TWO" team:7 "$1" >"$work/asked_two"
	join "curl" "$asker"
	read -r answered allowed degraded longest < <(cat "$work/asked_one" "$work/asked_two" | count_many)
	echo "  team:7: $allowed of $answered checks over both are allowed, $degraded answers are degraded;" \
		"the longest took $longest ms"
}

both_share_a_limit() {
	local answered allowed degraded longest
	ask_both 100
	claim "Redis: both together allow $allowed of 200 checks, one would allow $SHARED_CAPACITY" \
		test "$answered $allowed $degraded" = "200 $SHARED_CAPACITY 0"
}

# The greedy client at both proxies.
both_share_http_limits() {
	local result served=0 port wanted=$((REQUESTS_BURST + 2 * REQUESTS_AFTER))
	for port in "$PROXY_PORT" "$PROXY_PORT_TWO"; do
		nsenter --net="/run/netns/$ATTACKER" "$B/tools/probe" --address "$GREEDY_ADDRESS" \
			--port "$port" --rate "$GREEDY_RATE" --seconds 2 --json >"$work/greedy_$port" &
		pids+=($!)
	done
	join "the greedy client at $PROXY_PORT_TWO"
	join "the greedy client at $PROXY_PORT"
	for port in "$PROXY_PORT" "$PROXY_PORT_TWO"; do
		result=$(<"$work/greedy_$port")
		served=$((served + $(number "$result" requests) - $(number "$result" failures)))
	done
	echo "  a greedy client at both proxies, limit $REQUESTS_AFTER/s: served $served in 2 s"
	claim "Redis: both proxies together served $served of $wanted that one would, to 10 %" \
		within_10_percent "$served" "$wanted"
}

redis_is_killed() {
	local answered allowed degraded longest
	echo "  # kill -KILL redis-server"
	end_killed "$redis_pid"
	ask_both 100
	claim "Redis killed: each of 200 checks was answered, the slowest after $longest ms" \
		test "$answered" -eq 200 -a "$longest" -le "$SLOWEST_MS"
	claim "Redis killed: each answer says that it is degraded" test "$degraded" -eq 200
	claim "Redis killed: each with half of the limit, both allow $allowed of $SHARED_CAPACITY" \
		test "$allowed" -eq "$SHARED_CAPACITY"
}

# By what is in Redis, not by what a daemon remembers.
limit_is_back() {
	[[ -n $(in_ns "$SERVER" redis-cli --scan --pattern 'xdp-throttle:{sync}:*') ]] &&
		[[ $(api "$API_TWO" /config/team:7) == *"\"capacity\":$SHARED_CAPACITY,"* ]]
}

both_are_back() { is_fresh "$API_ONE" && is_fresh "$API_TWO"; }

redis_is_back() {
	local ms
	echo "  # redis-server, empty"
	start_redis
	ms=$(time_until both_are_back)
	claim "Redis restarted: used again after $ms ms, at most $BACK_MS" test "$ms" -le "$BACK_MS"
	wait_until "the limit of team:7 did not come back" limit_is_back
	claim "Redis restarted, empty: the limit that was set is in it again" limit_is_back
}


checks_on_redis() {
	start_on_redis
	a_limit_reaches_the_other
	both_share_a_limit
	both_share_http_limits
	redis_is_killed
	redis_is_back
	stop_throttle two
	stop_throttle one
}
