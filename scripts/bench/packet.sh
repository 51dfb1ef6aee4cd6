#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What a packet costs, beside an empty XDP program, nft and iptables:
#
#   1. in BPF_PROG_TEST_RUN: the programs alone (testrun.sh)
#   2. over veth between two namespaces, frame and all (veth.sh)
#
# Everything is set up first, then measured in rounds over all of it, A B C A B
# C, and the best round counts: other work on the machine only ever adds time.
# Figures of one run may be compared with each other, and with nothing else.
#
# usage: scripts/bench/packet.sh [--quick]      (root; B=build)
#
# Prints tables and how the figures stand to their targets, and writes
# build/bench/packet.json. Takes two to three minutes, with --quick under one. A missed
# target is a result, not a failure; exit status 1 means that nothing could be
# measured.
set -euo pipefail

readonly B=${B:-build}
readonly THROTTLE=$B/xdp-throttle
here=$(dirname "${BASH_SOURCE[0]}")
work=

die() {
	echo "error: $*" >&2
	exit 1
}

progress() { echo "$*" >&2; }

cleanup() {
	trap - EXIT
	trap '' INT TERM
	remove_namespaces
	[[ -z $work ]] || rm -rf "$work"
}

# shellcheck source=scripts/bench/namespace.sh
. "$here/namespace.sh"
# shellcheck source=scripts/bench/testrun.sh
. "$here/testrun.sh"
# shellcheck source=scripts/bench/veth.sh
. "$here/veth.sh"

rounds=7 slice_ms=50 flood_s=0.5 is_quick=false
case ${1-} in
'') ;;
--quick) rounds=5 slice_ms=10 flood_s=0.1 is_quick=true ;;
*)
	echo "usage: scripts/bench/packet.sh [--quick]" >&2
	exit 2
	;;
esac

[[ $(id -u) -eq 0 ]] || die "the bench needs root: it makes network namespaces and loads BPF"
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
work=$(mktemp -d)

setup_testrun
setup_veth
# Lines of: table, row, family, prefixes, best, median; by tabs.
measure_testrun >"$work/results"
measure_veth >>"$work/results"

mkdir -p "$B/bench"
awk -v json="$B/bench/packet.json.new" -v kernel="$(uname -r)" -v quick="$is_quick" \
	-v cpu="$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" \
	-v date="$(date -u +%Y-%m-%dT%H:%M:%SZ)" -v rounds="$rounds" \
	-f "$here/report.awk" "$work/results"
mv "$B/bench/packet.json.new" "$B/bench/packet.json"
progress "written: $B/bench/packet.json"
