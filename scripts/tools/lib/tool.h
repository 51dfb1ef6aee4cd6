/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the command line tools of the demo and the benches share: numbers from
 * arguments, a monotonic clock, and an orderly end on SIGINT and SIGTERM.
 *
 * Functions that read arguments end the process with status 2 and one line on
 * stderr when the argument is wrong: a tool has nothing to clean up by then.
 */
#ifndef TOOL_H
#define TOOL_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#define TOOL_NS_PER_S 1000000000ULL
#define TOOL_NS_PER_MS 1000000ULL
#define TOOL_NS_PER_US 1000ULL

/* No tool of the demo or the benches works longer than this, whatever it is
 * asked for: a caller that dies leaves nothing running behind. */
#define TOOL_SECONDS_MAX 60

/* Prints "error: ..." and ends the process with status 1. */
_Noreturn void tool_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same for a wrong argument: status 2. */
_Noreturn void tool_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * An option, which the one member says that is set where its value goes; without the option
 * that keeps what it has.
 */
struct tool_option {
	const char *name;  /* with its dashes; NULL ends a list */
	bool *flag;	   /* it takes no value */
	const char **text; /* for the tool to read */
	uint64_t *number;  /* tool_number(), in units of `unit` (0: 1) */
	uint64_t min, max, unit;
	uint64_t *seconds_ns; /* tool_seconds_ns() */
	uint64_t *uptime_ns;  /* tool_uptime_ns() */
};

/* Read all arguments; --help prints the usage and ends the process with status 0. */
void tool_options(int argc, char **argv, const struct tool_option *options, const char *usage);

/* A whole number in [min, max]; `option` names it in the message. */
uint64_t tool_number(const char *option, const char *text, uint64_t min, uint64_t max);

/* Seconds with a fraction, in (0, TOOL_SECONDS_MAX], as nanoseconds. */
uint64_t tool_seconds_ns(const char *option, const char *text);

/* The time of tool_now_ns() at which the machine will have been up for that many
 * seconds: what /proc/uptime reads then. At most TOOL_SECONDS_MAX from now. */
uint64_t tool_uptime_ns(const char *option, const char *text);

uint64_t tool_now_ns(void);
/* CPU time of the calling thread. */
uint64_t tool_cpu_ns(void);

/* Sleep until `when_ns` of tool_now_ns(), or until a signal arrives. */
void tool_sleep_until(uint64_t when_ns);

/*
 * From here on tool_stopped is set by SIGINT, by SIGTERM, and when `limit_ns`
 * are over. Each interrupts the system call that it meets, and does so again
 * every second, so that one which began a moment too late ends as well.
 * SIGPIPE is ignored.
 */
void tool_stop_after(uint64_t limit_ns);
extern volatile sig_atomic_t tool_stopped;

/* Sort latencies; then the one that `percent` of the `count` do not exceed, in ms (0: there
 * are none). */
void tool_sort(uint64_t *latencies_ns, uint64_t count);
double tool_percentile_ms(const uint64_t *sorted_ns, uint64_t count, uint64_t percent);

#endif
