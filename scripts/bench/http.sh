#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What a proxied request costs, beside nginx, HAProxy and a relay that looks at
# nothing (http/proxies.sh, http/load.sh), and what slow clients do to the others
# (http/slow.sh).
#
#   +-- one network namespace, all over 127.0.0.1 -------------------------------+
#   |   CPU 1: wrk -c64 ----> CPU 0: relay | nginx | haproxy | ours --.          |
#   |          idle clients                                           |          |
#   |          backend <----------------------------------------------'          |
#   +----------------------------------------------------------------------------+
#
# All proxies are started first, with one worker each, then measured in rounds
# over all of them, A B C A B C, and the best round counts: other work on the
# machine only ever adds time. Figures of one run may be compared with each
# other, and with nothing else.
#
# usage: scripts/bench/http.sh [--quick]      (root; B=build)
#
# Prints tables and how the figures stand to their bounds, and writes
# build/bench/http.json. Takes five minutes, with --quick a bit over one. Exit
# status 1: a bound does not hold or was not measured (with --quick: nothing
# could be measured).
set -euo pipefail

# shellcheck source=scripts/bench/bench.sh
. "$(dirname "${BASH_SOURCE[0]}")/bench.sh"

readonly NAMESPACE=/run/netns/xdpt-$$-http
readonly LIFE_S=600 # of what is started for the whole bench, whatever happens
readonly PROXY_CPU=0
CLIENT_CPU=$(($(nproc) > 1))
readonly CLIENT_CPU

on_client_cpu() { in_ns http taskset -c "$CLIENT_CPU" "$@"; }

# shellcheck source=scripts/bench/http/proxies.sh
. "$here/http/proxies.sh"
# shellcheck source=scripts/bench/http/load.sh
. "$here/http/load.sh"
# shellcheck source=scripts/bench/http/slow.sh
. "$here/http/slow.sh"

rounds=5 slice_s=2 alone_s=2 attack_s=4
! "$is_quick" || rounds=2 slice_s=1 alone_s=0.5 attack_s=1

need_root "the bench needs root: it makes a network namespace"
need_tools bench ip nsenter sysctl taskset chrt ss awk nginx haproxy wrk slowhttptest
ulimit -Sn "$(ulimit -Hn)"
[[ $(ulimit -n) = unlimited || $(ulimit -n) -ge 16384 ]] ||
	die "the bench needs 16384 descriptors a process: raise ulimit -n"
clean_up_at_end
add_namespace http

start_all
measure_memory >"$work/results"
measure_load >>"$work/results"
check_idle
measure_slow >>"$work/results"

report http -v nginx="$(nginx -v 2>&1 | sed 's|.*/||')" \
	-v haproxy="$(haproxy -v | sed -n '1s/.*version \([0-9.]*\).*/\1/p')" \
	-f "$here/report-http.awk"
