#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Installs the Debian packages that a group of make targets needs, when some are
# missing and it may: as root, or through sudo. Otherwise it names them and stops.
#
#   scripts/install-deps.sh build|demo|test|check|bench
set -euo pipefail

demo="iproute2 util-linux curl redis-server"
case ${1:-build} in
build)
	packages="clang gcc libc6-dev linux-libc-dev pkg-config bpftool libbpf-dev libxdp-dev
		libelf-dev zlib1g-dev libyaml-dev libjansson-dev libc-ares-dev libseccomp-dev libhiredis-dev libssl-dev"
	;;
demo) packages=$demo ;;
test)
	packages="$demo libcmocka-dev libclang-rt-14-dev ethtool nftables xdp-tools qemu-system-x86
		node-llhttp python3 redis-server faketime openssl prometheus strace"
	;;
check) packages="clang-format clang-tidy cppcheck shellcheck man-db" ;;
bench) packages="$demo procps nftables iptables ethtool nginx-light haproxy wrk slowhttptest
		libnginx-mod-http-lua lua-nginx-redis redis-server" ;;
*)
	echo "usage: $0 build|demo|test|check|bench" >&2
	exit 2
	;;
esac

if ! command -v dpkg-query >/dev/null; then
	echo "This system has no dpkg: install what these Debian packages hold:" >&2
	tr -s '[:space:]' ' ' <<<"$packages" >&2
	exit 1
fi

# One at a time, also under make -j.
exec 9<"$0"
flock 9

missing=()
for package in $packages; do
	state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$state" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

install=(apt-get install -y --no-install-recommends "${missing[@]}")
if [ "$(id -u)" = 0 ]; then
	run=(env DEBIAN_FRONTEND=noninteractive)
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
	run=(sudo env DEBIAN_FRONTEND=noninteractive)
else
	echo "These packages are missing, and installing them needs root. Run:" >&2
	echo "  sudo ${install[*]}" >&2
	exit 1
fi
log=$(mktemp)
policy=/usr/sbin/policy-rc.d
made_policy=
new_units=()
trap 'rm -f "$log"; [ -z "$made_policy" ] || "${run[@]}" rm -f "$policy"' EXIT

# The servers that the demo, tests and benches start themselves are not for serving: their
# packages ask policy-rc.d before they start anything, and what they enable is disabled
# again. A policy that is there, and a unit that was there, is somebody's: it stays.
keep_services_off() {
	local unit
	if [ ! -e "$policy" ] && [ ! -L "$policy" ]; then
		made_policy=1
		printf '#!/bin/sh\nexit 101\n' | "${run[@]}" tee "$policy" >/dev/null
		"${run[@]}" chmod 755 "$policy"
	fi
	[ -d /run/systemd/system ] || return 0
	for unit in nginx haproxy redis-server prometheus prometheus-node-exporter; do
		systemctl cat "$unit" >/dev/null 2>&1 || new_units+=("$unit")
	done
}
[ "${1:-build}" = build ] || keep_services_off
echo "Installing ${#missing[@]} Debian packages: ${missing[*]}"
if ! { "${run[@]}" apt-get update && "${run[@]}" "${install[@]}"; } >"$log" 2>&1; then
	tail -n 15 "$log" >&2
	echo "Installing the packages failed. Run by hand: ${install[*]}" >&2
	exit 1
fi
for unit in "${new_units[@]}"; do
	"${run[@]}" systemctl disable --quiet "$unit" || true
done
