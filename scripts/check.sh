#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# `make check`: formatting, linters, include directions, manual pages, examples.
# Names what is wrong and goes on, so that one run shows everything.
# shellcheck disable=SC2317 # the functions are called by name, through step
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
B=${B:-build}
failed=0

step() { # title, command...
	local title=$1 output
	shift
	printf '  %-16s' "$title"
	if output=$("$@" 2>&1); then
		echo ok
	else
		printf 'FAILED\n%s\n' "$output"
		failed=1
	fi
}

mapfile -t c_files < <(git ls-files --cached --others --exclude-standard '*.c' '*.h')
mapfile -t scripts < <(git ls-files --cached --others --exclude-standard '*.sh' .ci/run tests/vm/init)

spdx() {
	local file bad=0
	for file in "${c_files[@]}" "${scripts[@]}" Makefile; do
		[ -e "$file" ] || continue
		head -n 2 "$file" | grep -q SPDX-License-Identifier && continue
		echo "$file: no SPDX line"
		bad=1
	done
	return "$bad"
}
tidy() {
	printf '%s\0' user/*.c user/*/*.c | xargs -0 -P "$(nproc)" -I{} \
		clang-tidy --quiet {} -- -std=gnu17 -D_GNU_SOURCE '-DTHR_VERSION=""' \
		-Iinclude -Iuser -I"$B" 2>/dev/null
}
analyze() {
	cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 --enable=warning,performance,portability \
		--suppress=missingIncludeSystem --include=scripts/cppcheck.h -D__GNUC__=12 -DTHR_VERSION='""' \
		-Iinclude -Iuser user
}
manuals() {
	local page bad=0 output
	for page in docs/*.[1-9]; do
		output=$(LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null)
		[ -n "$output" ] || continue
		echo "$page: $output"
		bad=1
	done
	return "$bad"
}
examples() {
	local file
	for file in configs/*.yaml; do
		"$B/xdp-throttle" check -c "$file" || return 1
	done
}

step formatting clang-format --dry-run -Werror "${c_files[@]}"
step spdx spdx
step includes scripts/check-includes.sh
step shellcheck shellcheck -x "${scripts[@]}"
step clang-tidy tidy
step cppcheck analyze
step manuals manuals
step examples examples
exit "$failed"
