# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash
#
# The processes of a bench, by name: sourced by bench.sh. Who starts them sets pid_of, and
# says what is_listening PORT.

declare -A pid_of # only of those that run

# is_running NAME
is_running() { [[ -n ${pid_of[$1]-} ]]; }

# wait_until_listening NAME PORT
wait_until_listening() {
	local _
	for _ in {1..100}; do
		[[ -e /proc/${pid_of[$1]} ]] || return 1
		! is_listening "$2" || return 0
		sleep 0.05
	done
	return 1
}

# tree PID: it and its descendants. One that ends meanwhile has none.
tree() {
	local child
	echo "$1"
	for child in $(cat "/proc/$1/task/$1/children" 2>/dev/null || true); do
		tree "$child"
	done
}

# end_process NAME: ask it and its children to end, and see to it after 5 seconds.
end_process() {
	local pid all _
	[[ -n ${pid_of[$1]-} ]] || return 0
	mapfile -t all < <(tree "${pid_of[$1]}")
	unset "pid_of[$1]"
	kill "${all[0]}" 2>/dev/null || true
	for _ in {1..100}; do
		[[ -e /proc/${all[0]} ]] || break
		sleep 0.05
	done
	for pid in "${all[@]}"; do
		kill -KILL "$pid" 2>/dev/null || true
	done
	wait "${all[0]}" 2>/dev/null || true
}

end_processes() {
	local name
	for name in "${!pid_of[@]}"; do
		end_process "$name"
	done
}
