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

/* For qsort() over uint64_t. */
int tool_compare_u64(const void *a, const void *b);

#endif
