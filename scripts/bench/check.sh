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

# shellcheck source=scripts/bench/bench.sh
. "$(dirname "${BASH_SOURCE[0]}")/bench.sh"

readonly SERVER_CPU=0
CLIENT_CPU=$(($(nproc) > 1))
readonly CLIENT_CPU

# shellcheck source=scripts/bench/check/servers.sh
. "$here/check/servers.sh"
# shellcheck source=scripts/bench/check/load.sh
. "$here/check/load.sh"
# shellcheck source=scripts/bench/check/stop.sh
. "$here/check/stop.sh"

# Redis may stand still.
undo() {
	! is_running redis || kill -CONT "${pid_of[redis]}" 2>/dev/null || true
	end_processes
}

rounds=5 slice_s=2 stop_rounds=3 stop_s=12
! "$is_quick" || rounds=2 slice_s=1 stop_rounds=1 stop_s=8

need_tools bench awk curl nginx redis-cli redis-server setpriv ss taskset wrk
clean_up_at_end

start_all
measure_load >"$work/results"
measure_stops >>"$work/results"

report check -v lease="$LEASE" \
	-v nginx="$(nginx -v 2>&1 | sed 's|.*/||')" \
	-v redis="$(redis-server --version | sed 's/.* v=\([0-9.]*\).*/\1/')" \
	-f "$here/report-check.awk"
