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

# shellcheck source=scripts/bench/bench.sh
. "$(dirname "${BASH_SOURCE[0]}")/bench.sh"
# shellcheck source=scripts/bench/testrun.sh
. "$here/testrun.sh"
# shellcheck source=scripts/bench/veth.sh
. "$here/veth.sh"

rounds=7 slice_ms=50 flood_s=0.5
! "$is_quick" || rounds=5 slice_ms=10 flood_s=0.1

need_root "the bench needs root: it makes network namespaces and loads BPF"
clean_up_at_end
setup_testrun
setup_veth
# Lines of: table, row, family, prefixes, best, median; by tabs.
measure_testrun >"$work/results"
measure_veth >>"$work/results"

report packet -f "$here/report.awk"
