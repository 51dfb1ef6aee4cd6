# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash disable=SC2034,SC2154 # is_quick, CLIENT_CPU: of the benches; rounds: theirs
#
# What the benches have in common: their one argument, what is started and ends with
# them, and the report. Sourced by each of them.

here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=scripts/lib.sh
. "$here/../lib.sh"
# shellcheck source=scripts/bench/namespace.sh
. "$here/namespace.sh"
# shellcheck source=scripts/bench/process.sh
. "$here/process.sh"

is_quick=false
case ${1-} in
'') ;;
--quick) is_quick=true ;;
*)
	echo "usage: $0 [--quick]" >&2
	exit 2
	;;
esac

# Ends only what this script started, by process id.
undo() {
	end_processes
	remove_namespaces
}

# report NAME AWK-ARGUMENT...: print the results and write build/bench/NAME.json, by awk
# scripts that fail when a bound does not hold. Fails then, but for --quick.
report() {
	local json=$B/bench/$1.json holds=true
	shift
	mkdir -p "$B/bench"
	awk -v json="$json.new" -v kernel="$(uname -r)" -v quick="$is_quick" \
		-v cpu="$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" \
		-v date="$(date -u +%Y-%m-%dT%H:%M:%SZ)" -v rounds="$rounds" \
		-f "$here/figures.awk" "$@" "$work/results" || holds=false
	mv "$json.new" "$json" || die "there are no figures"
	progress "written: $json"
	"$holds" || "$is_quick"
}
