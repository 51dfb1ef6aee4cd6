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

readonly B=${B:-build}
readonly THROTTLE=$B/xdp-throttle
here=$(dirname "${BASH_SOURCE[0]}")
work=

readonly NAME=xdpt-$$-http
readonly NAMESPACE=/run/netns/$NAME
readonly LIFE_S=600 # of what is started for the whole bench, whatever happens
readonly PROXY_CPU=0
CLIENT_CPU=$(($(nproc) > 1))
readonly CLIENT_CPU

die() {
	echo "error: $*" >&2
	exit 1
}

progress() { echo "$*" >&2; }

in_ns() { nsenter --net="$NAMESPACE" "$@"; }

on_client_cpu() { in_ns taskset -c "$CLIENT_CPU" "$@"; }

# shellcheck source=scripts/bench/process.sh
. "$here/process.sh"
# shellcheck source=scripts/bench/http/proxies.sh
. "$here/http/proxies.sh"
# shellcheck source=scripts/bench/http/load.sh
. "$here/http/load.sh"
# shellcheck source=scripts/bench/http/slow.sh
. "$here/http/slow.sh"

# Ends only what this script started, by process id.
cleanup() {
	local name
	trap - EXIT
	trap '' INT TERM
	for name in "${!pid_of[@]}"; do
		end_process "$name"
	done
	[[ ! -e $NAMESPACE ]] || ip netns del "$NAME"
	[[ -z $work ]] || rm -rf "$work"
}

rounds=5 slice_s=2 alone_s=2 attack_s=4 is_quick=false
case ${1-} in
'') ;;
--quick) rounds=2 slice_s=1 alone_s=0.5 attack_s=1 is_quick=true ;;
*)
	echo "usage: scripts/bench/http.sh [--quick]" >&2
	exit 2
	;;
esac

[[ $(id -u) -eq 0 ]] || die "the bench needs root: it makes a network namespace"
for tool in ip nsenter sysctl taskset chrt ss awk nginx haproxy wrk slowhttptest; do
	command -v "$tool" >/dev/null || die "$tool is missing: run scripts/install-deps.sh bench"
done
ulimit -Sn "$(ulimit -Hn)"
[[ $(ulimit -n) = unlimited || $(ulimit -n) -ge 16384 ]] ||
	die "the bench needs 16384 descriptors a process: raise ulimit -n"
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
work=$(mktemp -d)
ip netns add "$NAME"
in_ns ip link set lo up

start_all
measure_memory >"$work/results"
measure_load >>"$work/results"
check_idle
measure_slow >>"$work/results"

mkdir -p "$B/bench"
holds=true
awk -v json="$B/bench/http.json.new" -v kernel="$(uname -r)" -v quick="$is_quick" \
	-v cpu="$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" \
	-v date="$(date -u +%Y-%m-%dT%H:%M:%SZ)" -v rounds="$rounds" \
	-v nginx="$(nginx -v 2>&1 | sed 's|.*/||')" \
	-v haproxy="$(haproxy -v | sed -n '1s/.*version \([0-9.]*\).*/\1/p')" \
	-f "$here/figures.awk" -f "$here/report-http.awk" "$work/results" || holds=false
[[ ! -e $B/bench/http.json.new ]] || mv "$B/bench/http.json.new" "$B/bench/http.json"
progress "written: $B/bench/http.json"
"$holds" || "$is_quick"
