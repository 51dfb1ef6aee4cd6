#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What a check costs (POST /check): on the memory store beside nginx's `return 200`, on
# Redis beside a limiter in nginx's Lua on the same Redis (check/servers.sh,
# check/load.sh), and what happens to checks while Redis stands still (check/stop.sh).
#
#   +-- 127.0.0.1 --------------------------------------------------------------+
#   |   CPU 1: wrk -c64 ----> CPU 0: nginx: return 200                          |
#   |                                nginx: limiter.lua ------.                 |
#   |                                ours on memory           |                 |
#   |                                ours on Redis -----------+--.              |
#   |          redis-server <---------------------------------'--'              |
#   +---------------------------------------------------------------------------+
#
# All are started first, with one worker each, then measured in rounds over all of
# them, A B C A B C, and the best round counts: other work on the machine only ever
# adds time. Figures of one run may be compared with each other, and with nothing else.
#
# usage: scripts/bench/check.sh [--quick]      (B=build; needs no root)
#
# Prints tables and how the figures stand to their bounds, and writes
# build/bench/check.json. Takes eight minutes, with --quick two. Exit status 1: a bound
# does not hold or was not measured (with --quick: nothing could be measured).
set -euo pipefail

readonly B=${B:-build}
readonly THROTTLE=$B/xdp-throttle
here=$(dirname "${BASH_SOURCE[0]}")
work=

readonly SERVER_CPU=0
CLIENT_CPU=$(($(nproc) > 1))
readonly CLIENT_CPU

die() {
	echo "error: $*" >&2
	exit 1
}

progress() { echo "$*" >&2; }

# shellcheck source=scripts/bench/process.sh
. "$here/process.sh"
# shellcheck source=scripts/bench/check/servers.sh
. "$here/check/servers.sh"
# shellcheck source=scripts/bench/check/load.sh
. "$here/check/load.sh"
# shellcheck source=scripts/bench/check/stop.sh
. "$here/check/stop.sh"

# Ends only what this script started, by process id.
cleanup() {
	local name
	trap - EXIT
	trap '' INT TERM
	! is_running redis || kill -CONT "${pid_of[redis]}" 2>/dev/null || true
	for name in "${!pid_of[@]}"; do
		end_process "$name"
	done
	[[ -z $work ]] || rm -rf "$work"
}

rounds=5 slice_s=2 stop_rounds=3 stop_s=12 is_quick=false
case ${1-} in
'') ;;
--quick) rounds=2 slice_s=1 stop_rounds=1 stop_s=8 is_quick=true ;;
*)
	echo "usage: scripts/bench/check.sh [--quick]" >&2
	exit 2
	;;
esac

for tool in awk curl nginx redis-cli redis-server setpriv ss taskset wrk; do
	command -v "$tool" >/dev/null || die "$tool is missing: run scripts/install-deps.sh bench"
done
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
work=$(mktemp -d)

start_all
measure_load >"$work/results"
measure_stops >>"$work/results"

mkdir -p "$B/bench"
holds=true
awk -v json="$B/bench/check.json.new" -v kernel="$(uname -r)" -v quick="$is_quick" \
	-v cpu="$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" \
	-v date="$(date -u +%Y-%m-%dT%H:%M:%SZ)" -v rounds="$rounds" -v lease="$LEASE" \
	-v nginx="$(nginx -v 2>&1 | sed 's|.*/||')" \
	-v redis="$(redis-server --version | sed 's/.* v=\([0-9.]*\).*/\1/')" \
	-f "$here/figures.awk" -f "$here/report-check.awk" "$work/results" || holds=false
mv "$B/bench/check.json.new" "$B/bench/check.json" || die "there are no figures"
progress "written: $B/bench/check.json"
"$holds" || "$is_quick"
