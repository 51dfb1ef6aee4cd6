#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Boots Debian's own kernel, the oldest that is supported, in a virtual machine
# and prints the TAP of the tests there (see init): of what the kernel at hand
# may lack, such as programs of type EXT, which libxdp's dispatcher calls others
# by, and of what only an old verifier refuses.
#
#   B=build tests/vm/run.sh [GLOB]     only the tests whose names match
#
# Needs no root. The processor is emulated, which takes no /dev/kvm. The kernel
# and busybox are downloaded once and unpacked under $B/vm; nothing is installed.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin

B=${B:-build}
only=${1:-*}
here=$(dirname "$0")
limit_s=300
vm=$B/vm
log=$vm/log # of the downloads
console=$vm/console
root=$vm/root # the machine's file system
objects=/usr/lib/$(uname -m)-linux-gnu/bpf

skip() {
	echo "1..0 # SKIP $1"
	exit 0
}

# --- what has to be downloaded ---

# The package that PACKAGE stands for: that of Linux 6.1 which is current.
real_package() {
	case $1 in
	linux-image-*) apt-cache depends "$1" | sed -n 's/.*Depends: \(linux-image-6\.1\..*\)/\1/p' ;;
	*) echo "$1" ;;
	esac
}

# unpack DIRECTORY PACKAGE GLOB...: the files of the package that match.
unpack() {
	local directory=$1 package

	rm -rf "$directory"
	mkdir -p "$directory"
	package=$(real_package "$2") || return 1
	shift 2
	(
		cd "$directory" &&
			apt-get download "$package" &&
			dpkg-deb --fsys-tarfile ./*.deb | tar -x --wildcards "$@" &&
			rm ./*.deb
	)
}

# download NAME PACKAGE GLOB...: unpack to $vm/NAME, which appears when it is
# complete. Where it fails, apt's lists may be old, or not there.
download() {
	local name=$1

	shift
	[ ! -d "$vm/$name" ] || return 0
	echo "# downloading $1"
	unpack "$vm/$name.new" "$@" >>"$log" 2>&1 ||
		{ apt-get update && unpack "$vm/$name.new" "$@"; } >>"$log" 2>&1 ||
		skip "$1 cannot be downloaded: see $log"
	mv "$vm/$name.new" "$vm/$name"
}

# --- the machine's file system: our binaries, the host's tools, their libraries ---

copy() {
	local to=$root/$1

	shift
	mkdir -p "$to"
	cp -L "$@" "$to/"
}

make_root() {
	local programs=("$B/xdp-throttle" "$(command -v ip)" "$(command -v xdp-loader)")
	local tests=() libraries file

	for file in "$B"/tests/bpf/test_*; do
		[[ ! -x $file ]] || tests+=("$file")
	done
	rm -rf "$root"
	copy bin "${programs[@]}" "$vm/busybox/bin/busybox"
	"${CC:-cc}" -O2 -Wall -Wextra "$here/verify.c" -lbpf -o "$root/bin/verify"
	mapfile -t libraries < <(ldd "${programs[@]}" "${tests[@]}" |
		grep -o '/[^ ]*\.so[^ ]*' | sort -u)
	for file in "${libraries[@]}"; do
		copy "$(dirname "$file")" "$file"
	done
	copy "$objects" "$objects"/{xdp-dispatcher,xdpfilt_alw_all,xdpfilt_alw_ip}.o
	copy build "$B/xdp_throttle.bpf.o"
	if [ ${#tests[@]} -gt 0 ]; then
		copy build/tests/bpf "${tests[@]}" "$B"/tests/bpf/*.bpf.o
	fi
	copy . "$here/init" "$vm"/kernel/lib/modules/*/kernel/drivers/net/veth.ko
	chmod +x "$root/init"
	(cd "$root" && find . | bin/busybox cpio -o -H newc) >"$vm/initramfs" 2>>"$log"
}

# --- running it ---

# Kernel messages come out of the machine's first serial port, the tests' TAP out
# of its second.
boot() {
	exec timeout --foreground -k 5 "$limit_s" qemu-system-x86_64 -accel tcg,thread=multi \
		-smp 2 -m 1024 -nodefaults -display none -no-reboot \
		-kernel "$vm"/kernel/boot/vmlinuz-* -initrd "$vm/initramfs" \
		-append "console=ttyS0 quiet panic=-1 thr_tests=$only" \
		-serial "file:$console" -serial stdio </dev/null 2>>"$console"
}

# Print the machine's TAP, and "not ok" for what it has left out.
report() {
	local line plan='' done=0 failed=0

	while IFS= read -r line; do
		line=${line%$'\r'}
		case $line in
		1..*) plan=${line#1..} plan=${plan%% *} ;;
		ok\ *) done=$((done + 1)) ;;
		not\ ok\ *) done=$((done + 1)) failed=$((failed + 1)) ;;
		esac
		printf '%s\n' "$line"
	done
	if [ -z "$plan" ]; then
		plan=1
		echo "1..1"
	fi
	if [ "$done" -lt "$plan" ]; then
		failed=$((failed + plan - done))
		tail -n 80 "$console" | tr -d '\r' | sed 's/^/# /'
		while [ "$done" -lt "$plan" ]; do
			done=$((done + 1))
			echo "not ok $done - the machine ended early, or not within $limit_s s"
		done
	fi
	[ "$failed" -eq 0 ]
}

mkdir -p "$vm"
: >"$log"
[ "$(uname -m)" = x86_64 ] || skip "the machine is made for x86-64"
for tool in qemu-system-x86_64 apt-get dpkg-deb xdp-loader; do
	command -v "$tool" >/dev/null || skip "$tool is missing (packages: qemu-system-x86, xdp-tools)"
done
download kernel linux-image-cloud-amd64 './boot/vmlinuz-*' '*/veth.ko'
download busybox busybox-static ./bin/busybox
make_root
printf '# booting %s, emulated\n' "$(basename "$vm"/kernel/boot/vmlinuz-*)"
exec 3< <(boot)
machine=$!
trap 'kill "$machine" 2>/dev/null || true; rm -rf "$root" "$vm/initramfs"' EXIT
report <&3
