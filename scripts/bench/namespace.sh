# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash
#
# The network namespaces of a bench: sourced by bench.sh.

namespaces=()

# A network namespace that is removed at the end. The full name is xdpt-PID-$1.
add_namespace() {
	namespaces+=("xdpt-$$-$1")
	ip netns add "xdpt-$$-$1"
	in_ns "$1" ip link set lo up
}

in_ns() {
	local name=xdpt-$$-$1
	shift
	nsenter --net="/run/netns/$name" "$@"
}

mac_of() { in_ns "$1" ip -br link show "$2" | awk '{ print $3 }'; } # namespace, interface

remove_namespaces() {
	local name
	for name in "${namespaces[@]}"; do
		[[ ! -e /run/netns/$name ]] || ip netns del "$name"
	done
}
