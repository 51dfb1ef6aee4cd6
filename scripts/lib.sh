# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash disable=SC2034 # THROTTLE: of those that source it
#
# What the demo and the benches share. Sourced by them; each says in undo() how all that
# it has started ends.

readonly B=${B:-build}
readonly THROTTLE=$B/xdp-throttle
work= # a directory for this run, from clean_up_at_end on

die() {
	echo "error: $*" >&2
	exit 1
}

progress() { echo "$*" >&2; }

# need_root WHO AND WHAT FOR
need_root() { [[ $(id -u) -eq 0 ]] || die "$*"; }

# need_tools GROUP TOOL...: which scripts/install-deps.sh GROUP installs.
need_tools() {
	local group=$1 tool
	shift
	for tool in "$@"; do
		command -v "$tool" >/dev/null || die "$tool is missing: run scripts/install-deps.sh $group"
	done
}

# number JSON KEY: the number under "KEY".
number() {
	[[ $1 =~ \"$2\":([0-9]+(\.[0-9]+)?) ]] || die "no \"$2\" in: $1"
	echo "${BASH_REMATCH[1]}"
}

cleanup() {
	trap - EXIT
	trap '' INT TERM
	undo
	[[ -z $work ]] || rm -rf "$work"
}

# From here on the script leaves nothing behind, however it ends.
clean_up_at_end() {
	trap cleanup EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	work=$(mktemp -d)
}
