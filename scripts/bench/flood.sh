#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What a flood of SYNs from very many sources costs, what of it gets in, and what a real
# client notices; beside nft's meters, iptables' hashlimit, nft's SYNPROXY and the
# kernel's SYN cookies alone:
#
#   1. ns a packet against the number of sources, in BPF_PROG_TEST_RUN and over veth
#      (flood/cost.sh)
#   2. SYNs of the attack that reach the stack, and new clients that get their answer,
#      against the number of sources; and a spoofed flood in which none repeats
#      (flood/admission.sh)
#   3. a client's requests a second against the rate of the flood (flood/client.sh)
#
#   +-- gen: the world ---------+        +-- one for each host --------------+
#   | flood   }                 |        |                                   |
#   | clients } g0   drops what |--------|-- v0   filter, stack, server :80  |
#   |         is for others     |        |                                   |
#   +---------------------------+        +-----------------------------------+
#
# Who works where. veth hands a packet to the CPU that sends it. In part 1 that is left
# so: sender and host share a core, in lockstep, and the figure is the time of both. In
# parts 2 and 3 a flood does not wait for the host: the host's polling (threaded NAPI)
# and its server have core 0, the flood is made on core 1, and what the host cannot take
# in time overflows its ring of 256 packets, whosesoever they are, as at a NIC. So the
# flood and the client's packets are one queue of the one core that serves. Server before
# polling before flood is the order of priorities there, and the same for every filter.
# The clients are on core 1 with a priority over the flood's maker: they are never short
# of CPU, and the flood is less by what they take; its rate is therefore told as it was
# offered, not as it was asked for. Part 3 makes the flood on core 0, too.
#
# usage: scripts/bench/flood.sh [--quick]      (root; B=build)
#
# Prints tables and how the figures stand to their bounds, and writes
# build/bench/flood.json and a plot of each part, build/bench/flood-*.svg. Takes five
# minutes, with --quick under two. Exit status 1: a bound does not hold or was not
# measured (with --quick: nothing could be measured).
set -euo pipefail

# shellcheck source=scripts/bench/bench.sh
. "$(dirname "${BASH_SOURCE[0]}")/bench.sh"

readonly LIFE_S=900 # of the servers, whatever happens
readonly HOST_CPU=0
WORLD_CPU=$(($(nproc) > 1))
readonly WORLD_CPU

# shellcheck source=scripts/bench/flood/hosts.sh
. "$here/flood/hosts.sh"
# shellcheck source=scripts/bench/flood/cost.sh
. "$here/flood/cost.sh"
# shellcheck source=scripts/bench/flood/admission.sh
. "$here/flood/admission.sh"
# shellcheck source=scripts/bench/flood/client.sh
. "$here/flood/client.sh"

source_bits="0 4 8 12 16 20 24"  # of parts 1 and 2
rounds=4 slice_ms=30 flood_s=0.2 # of part 1
sweep_s=0.5 replays=3            # of part 2
client_rounds=2 client_s=0.6     # of part 3
client_rates="0 100000 300000 1000000 3000000 max"
if "$is_quick"; then
	rounds=3 slice_ms=10 flood_s=0.1 source_bits="0 12 24" sweep_s=0.3 replays=1
	client_rounds=1 client_s=0.4 client_rates="0 300000 max"
fi

need_root "the bench needs root: it makes network namespaces and loads BPF"
need_tools bench ip nsenter unshare sysctl taskset chrt pgrep ss awk ethtool nft
clean_up_at_end

setup_hosts
measure_cost >"$work/results"
setup_crowd
measure_admission >>"$work/results"
measure_client >>"$work/results"

mkdir -p "$B/bench"
awk -v prefix="$B/bench/flood-" -v budget_rate="$BUDGET_RATE" -v budget_burst="$BUDGET_BURST" \
	-f "$here/plot.awk" -f "$here/plot-flood.awk" "$work/results"
progress "written: $B/bench/flood-cost.svg, flood-admission.svg, flood-client.svg"
report flood -v replays="$replays" -v bits="$source_bits" -v rates="$client_rates" \
	-v budget_rate="$BUDGET_RATE" -v budget_burst="$BUDGET_BURST" -f "$here/report-flood.awk"
