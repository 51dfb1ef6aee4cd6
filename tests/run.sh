#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Runs the tests and adds them up:
#
#   tests/run.sh [T] [N]
#
#   T  suites whose name starts with it: unit/bucket, bpf, netns/attach, http/split, vm, fuzz
#   N  tests whose name matches this glob
#   B  (environment) build directory
#
# A suite is a program that prints TAP, or a fuzzer, which counts as one test.
# It fails as a whole when it crashes, hangs, or prints fewer results than it
# planned. Under CI (environment), a test that is skipped because it needs root
# fails the run. The last line is "N passed, N failed, N skipped".
set -u

cd "$(dirname "$0")/.." || exit 1
B=${B:-build}
export B CMOCKA_MESSAGE_OUTPUT=TAP PYTHONDONTWRITEBYTECODE=1
only_suites=${1:-}
only_suites=${only_suites#tests/}
only_tests=${2:-}
suite_seconds=600

passed=0 failed=0 skipped=0 unprivileged=0 took=0
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT

# selected SUITE: whether T names it.
selected() {
	[[ $1 == "$only_suites"* ]]
}

# report SUITE PASSED FAILED SKIPPED: one line; the output of what failed. What took seconds says
# how many.
report() {
	printf '%-4s %-24s %d passed' "$( ((${3} == 0)) && echo ok || echo FAIL)" "$1" "$2"
	(($3 == 0)) || printf ', %d failed' "$3"
	(($4 == 0)) || printf ', %d skipped' "$4"
	((took == 0)) || printf ', %d s' "$took"
	printf '\n'
	(($3 == 0)) || grep -Ev '^ok |^1\.\.' "$scratch/output" | sed 's/^/     | /'
	cat "$scratch/skips"
	passed=$((passed + $2)) failed=$((failed + $3)) skipped=$((skipped + $4))
}

# note_skip NAME REASON
note_skip() {
	printf '     skipped %s: %s\n' "$1" "$2" >>"$scratch/skips"
	[[ ${2,,} != *"needs root"* && ${2,,} != *privilege* ]] || unprivileged=$((unprivileged + 1))
}

# run COMMAND...: its output in $scratch/output, its exit status as ours. What
# the shell itself has to say of a crash is left out: the report says it.
run() {
	local start=$SECONDS status
	: >"$scratch/skips"
	{
		timeout --kill-after=10 "$suite_seconds" "$@" >"$scratch/output" 2>&1 </dev/null
	} 2>/dev/null
	status=$?
	took=$((SECONDS - start))
	return "$status"
}

# read_tap SUITE: reads $scratch/output; sets its caller's plan (-1: none), ok,
# bad and skip, leaving out tests that N does not name. cmocka
# prints a skipped test as "not ok 3 # SKIP name", after a line "# skip: reason".
read_tap() {
	local line name reason=
	plan=-1 ok=0 bad=0 skip=0
	while IFS= read -r line; do
		if [[ $line =~ ^1\.\.([0-9]+)(.*# SKIP (.*))? ]]; then
			plan=$(((plan < 0 ? 0 : plan) + BASH_REMATCH[1]))
			[[ -n ${BASH_REMATCH[2]} ]] || continue
			note_skip "$1" "${BASH_REMATCH[3]}"
			skip=$((skip + 1)) plan=$((plan + 1))
		elif [[ $line == "# skip: "* ]]; then
			reason=${line#\# skip: }
		elif [[ $line =~ ^(not )?ok\ +([0-9]+)?[\ -]*(.*)$ ]]; then
			local refused=${BASH_REMATCH[1]}
			name=${BASH_REMATCH[3]}
			if [[ $name =~ ^(.*)\#\ SKIP\ ?(.*)$ ]]; then
				if [[ -n ${BASH_REMATCH[1]} ]]; then
					name=${BASH_REMATCH[1]% } reason=${BASH_REMATCH[2]}
				else
					name=${BASH_REMATCH[2]}
				fi
				refused=skip
			fi
			# shellcheck disable=SC2053 # a glob is meant
			if [[ -n $only_tests && $name != $only_tests ]]; then
				((plan <= 0)) || plan=$((plan - 1))
			elif [[ $refused == skip ]]; then
				note_skip "$1/$name" "${reason:-no reason given}"
				skip=$((skip + 1))
			elif [[ -n $refused ]]; then
				bad=$((bad + 1))
			else
				ok=$((ok + 1))
			fi
			reason=
		fi
	done <"$scratch/output"
}

# run_suite SUITE PROGRAM
run_suite() {
	local status plan ok bad skip
	run "$2" ${only_tests:+"$only_tests"}
	status=$?
	read_tap "$1"
	if ((plan < 0)); then
		echo "# no plan was printed; exit status $status" >>"$scratch/output"
		bad=$((bad + 1))
	elif ((ok + bad + skip < plan)); then
		echo "# $plan tests were planned; exit status $status" >>"$scratch/output"
		bad=$((bad + plan - ok - bad - skip))
	elif ((status != 0 && bad == 0)); then
		echo "# every test passed, but the exit status is $status" >>"$scratch/output"
		bad=$((bad + 1))
	elif ((plan == 0)) && [[ -z $only_tests ]]; then
		echo "# there is no test in it" >>"$scratch/output"
		bad=$((bad + 1))
	fi
	((ok + bad + skip == 0)) || report "$1" "$ok" "$bad" "$skip"
}

# run_fuzzer SUITE PROGRAM: briefly, from a copy of its corpus.
run_fuzzer() {
	local corpus=$scratch/corpus
	rm -rf "$corpus"
	mkdir "$corpus"
	[[ ! -d tests/fuzz/corpus/${1#fuzz/} ]] || cp -r "tests/fuzz/corpus/${1#fuzz/}/." "$corpus"
	if run "$2" -runs=20000 -max_total_time=10 -seed=1 "-artifact_prefix=$B/tests/fuzz/" \
		"$corpus"; then
		report "$1" 1 0 0
	else
		report "$1" 0 1 0
	fi
}

# each KIND PREFIX SOURCE...: runs the program made of each source.
each() {
	local kind=$1 prefix=$2 source name program
	shift 2
	for source in "$@"; do
		[[ -e $source ]] || continue
		name=$(basename "${source%.*}")
		name=$kind/${name#"$prefix"}
		selected "$name" || continue
		program=$B/${source%.c}
		[[ $source == *.c ]] || program=$source
		if [[ ! -x $program ]]; then
			echo "# $program is missing or cannot be executed" >"$scratch/output"
			: >"$scratch/skips"
			took=0
			report "$name" 0 1 0
		elif [[ $kind == fuzz ]]; then
			run_fuzzer "$name" "$program"
		else
			run_suite "$name" "$program"
		fi
	done
}

each unit '' tests/unit/*.c
each bpf test_ tests/bpf/test_*.c
each http test_ tests/http/test_*.py
each netns '' tests/netns/*.sh
each vm '' tests/vm/run.sh
[[ -n $only_tests ]] || each fuzz fuzz_ tests/fuzz/fuzz_*.c

status=0
((failed == 0)) || status=1
if [[ -n ${CI:-} ]] && ((unprivileged > 0)); then
	echo "CI runs every test: $unprivileged were skipped for lack of privilege"
	status=1
fi
if ((passed + failed + skipped == 0)); then
	echo "no test matches T='$only_suites' N='$only_tests'"
	status=1
fi
echo "$passed passed, $failed failed, $skipped skipped"
exit $status
