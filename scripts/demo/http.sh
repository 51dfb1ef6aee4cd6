# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash disable=SC2034,SC2154 # B, THROTTLE, work, pids, ...: of demo.sh
#
# The phase of the proxy. Sourced by demo.sh.
#
#   steady client   10.77.1.2 ---.                       .--- /     backend "pages"
#     40 requests/s              +--- xdp-throttle run --+
#   greedy client   10.77.2.2 ---'     50/s a client     '--- /api  backend "api"
#     400 requests/s
#
# The steady client works for the whole time; the greedy one before, during and
# after the reload that changes the limit.

readonly PROXY_PORT=8080
readonly GREEDY_ADDRESS=10.77.2.1 # of the server, in the attacker's network
readonly STEADY_URL=http://$SERVER_ADDRESS:$PROXY_PORT
readonly GREEDY_URL=http://$GREEDY_ADDRESS:$PROXY_PORT
readonly GREEDY_RATE=400
readonly REQUESTS_BEFORE=50 REQUESTS_AFTER=150 REQUESTS_BURST=50
readonly STEADY_S=$((2 * WINDOW_S + 2))
declare -A run_pid # of each xdp-throttle, by name

# --- processes ---------------------------------------------------------------

# start_backend NAME PORT
start_backend() {
	nsenter --net="/run/netns/$SERVER" "$B/tools/backend" --port "$2" --name "$1" \
		--seconds 120 >"$work/$1" &
	pids+=($!)
	wait_until "the backend $1 did not start" test -s "$work/$1"
}

# answers_or_ended URL NAME
answers_or_ended() {
	in_ns "$SERVER" curl --silent --max-time 1 --output /dev/null "$1" ||
		[[ ! -e /proc/${run_pid[$2]} ]]
}

# run_throttle NAME URL [VARIABLE=VALUE...]: in the background, until it answers at URL.
# By a copy of the configuration, which the reload is to change.
run_throttle() {
	local name=$1 url=$2
	shift 2
	echo "  # $*${*:+ }xdp-throttle run -c demo.yaml &"
	env XDP_THROTTLE_STORE_MEMORY_STATE_FILE="$work/limits.json" "$@" \
		nsenter --net="/run/netns/$SERVER" "$THROTTLE" run -c "$work/demo.yaml" \
		>"$work/$name.access" 2>"$work/$name.log" &
	run_pid[$name]=$!
	pids+=($!)
	wait_until "xdp-throttle does not answer" answers_or_ended "$url" "$name"
	[[ -e /proc/${run_pid[$name]} ]] || die "xdp-throttle run: $(tail -n 1 "$work/$name.log")"
}

# stop_throttle NAME: a failure to end in order ends the demo.
stop_throttle() {
	kill -TERM "${run_pid[$1]}"
	join "xdp-throttle run" "${run_pid[$1]}"
}

start_http() {
	start_backend pages 8001
	start_backend api 8002
	cp "$CONFIG" "$work/demo.yaml"
	run_throttle one "$STEADY_URL"
}

# start_client NAMESPACE ADDRESS RATE SECONDS: in the background, as process
# ${pids[-1]}. Its result is in $work/NAMESPACE once it is joined.
start_client() {
	nsenter --net="/run/netns/$1" "$B/tools/probe" --address "$2" --port "$PROXY_PORT" \
		--rate "$3" --seconds "$4" --json >"$work/$1" &
	pids+=($!)
}

start_steady() { start_client "$CLIENT" "$SERVER_ADDRESS" "$CLIENT_RATE" "$STEADY_S"; }

# start_greedy SECONDS
start_greedy() { start_client "$ATTACKER" "$GREEDY_ADDRESS" "$GREEDY_RATE" "$1"; }

# --- what is shown -----------------------------------------------------------

# backend_of PATH: which one answers the steady client there.
backend_of() {
	in_ns "$CLIENT" curl --silent --max-time 2 --output /dev/null --dump-header - "$STEADY_URL$1" |
		tr -d '\r' | sed -n 's/^[Ss]erver: //p'
}

prefixes_have_their_backends() {
	local path wanted name
	while read -r path wanted; do
		name=$(backend_of "$path")
		echo "  GET $path: answered by backend \"$name\""
		claim "HTTP: $path is answered by backend \"$wanted\"" test "$name" = "$wanted"
	done <<-EOF
		/index.html pages
		/api/users api
	EOF
}

# One refusal to the greedy client, with what it says, in $work/refusal. A request
# may meet the token that has just come back: some are tried.
catch_refusal() {
	local _
	for _ in {1..20}; do
		in_ns "$ATTACKER" curl --silent --max-time 2 --include "$GREEDY_URL/" |
			tr -d '\r' >"$work/refusal"
		! grep -q '^HTTP/1.1 429' "$work/refusal" || return 0
	done
	return 1
}

has_field() { grep -qi "^$1: *[^ ]" "$work/refusal"; }

says_when_and_what() { has_field Retry-After && has_field RateLimit && has_field RateLimit-Policy; }

show_refusal() {
	claim "greedy client: was refused with a 429" catch_refusal
	sed 's/^/    | /' "$work/refusal"
	echo
	claim "greedy client: the 429 has Retry-After, RateLimit and RateLimit-Policy" \
		says_when_and_what
}

# within_10_percent FIGURE WANTED
within_10_percent() {
	awk -v figure="$1" -v wanted="$2" \
		'BEGIN { exit !(figure >= wanted * 0.9 && figure <= wanted * 1.1) }'
}

http_row() { printf '  %-32s %9s %9s %9s %9s\n' "$@"; }

# show_client TEXT NAMESPACE: what it got; sets its caller's served and failed.
show_client() {
	local result requests limited
	result=$(<"$work/$2")
	requests=$(number "$result" requests)
	limited=$(number "$result" limited)
	served=$((requests - $(number "$result" failures)))
	failed=$((requests - served - limited))
	http_row "$1" "$requests" "$served" "$limited" "$failed"
}

# show_greedy LIMIT TOKENS: of which it began with so many.
show_greedy() {
	local served failed wanted=$(($2 + $1 * WINDOW_S))
	join "the greedy client"
	show_client "greedy client, limit $1/s" "$ATTACKER"
	claim "greedy client, limit $1/s: served $served of $wanted that it may have, to 10 %" \
		within_10_percent "$served" "$wanted"
	claim "greedy client, limit $1/s: each other request got a 429" test "$failed" -eq 0
}

has_reloaded() { grep -q ' reloaded: ' "$work/one.log"; }

# While both clients are at work.
reload() {
	local served failed
	start_greedy 1
	sed -i "s/requests_per_second: $REQUESTS_BEFORE/requests_per_second: $REQUESTS_AFTER/" \
		"$work/demo.yaml"
	sleep 0.2
	kill -HUP "${run_pid[one]}"
	wait_until "xdp-throttle did not reload" has_reloaded
	join "the greedy client"
	show_client "  during the reload to $REQUESTS_AFTER/s" "$ATTACKER"
	claim "reload: each request of the greedy client was served or got a 429" \
		test "$failed" -eq 0
}

clients_and_a_reload() {
	local steady served failed
	start_steady
	steady=${pids[-1]}
	start_greedy "$WINDOW_S"
	sleep 1.5 # its burst is spent
	show_refusal
	http_row "" requests served 429 failed
	show_greedy "$REQUESTS_BEFORE" "$REQUESTS_BURST"
	reload
	start_greedy "$WINDOW_S"
	show_greedy "$REQUESTS_AFTER" 0
	join "the steady client" "$steady"
	show_client "steady client, all the while" "$CLIENT"
	claim "steady client: beside the other, and through a reload, no request failed" \
		test "$served" -eq "$(number "$(<"$work/$CLIENT")" requests)"
}
