#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Checks that includes go one way:
#
#   main -> cli -> daemon -> {control, proxy, api} -> {config, store, http} -> core -> include <- bpf
#
# Each folder may include its own headers and those of the folders named for it;
# siblings never include each other. The command line may reach past the daemon.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A may=(
	[cli]="cli daemon control config core"
	[daemon]="daemon control proxy api config store http core"
	[control]="control config core"
	[proxy]="proxy config store http core"
	[api]="api config store http core"
	[config]="config core"
	[store]="store core"
	[http]="http core"
	[core]="core"
)
bad=0
for file in user/*/*.[ch]; do
	folder=$(basename "$(dirname "$file")")
	while read -r included; do
		other=${included%%/*}
		case " ${may[$folder]:-} " in
		*" $other "*) ;;
		*)
			echo "$file: includes \"$included\": $folder must not depend on $other" >&2
			bad=1
			;;
		esac
	done < <(sed -n 's|^#include "\([a-z]*/[^"]*\)".*|\1|p' "$file")
done
if grep -n '#include "[a-z]*/' include/*.h bpf/* >&2; then
	echo "include/ and bpf/ must not depend on user/" >&2
	bad=1
fi
for header in bpf/*.h; do
	if grep -rn "#include \"\(bpf/\)\?$(basename "$header")\"" user/ >&2; then
		echo "user/ must not include bpf/" >&2
		bad=1
	fi
done
exit $bad
