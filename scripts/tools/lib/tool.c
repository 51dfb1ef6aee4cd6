/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See tool.h. */
#include "tool.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define OPTIONS_MAX 32

volatile sig_atomic_t tool_stopped;

static void print_error(const char *format, va_list arguments)
{
	fputs("error: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
}

void tool_die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_error(format, arguments);
	va_end(arguments);
	exit(1);
}

void tool_usage(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_error(format, arguments);
	va_end(arguments);
	exit(2);
}

uint64_t tool_number(const char *option, const char *text, uint64_t min, uint64_t max)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || *text < '0' || *text > '9' || *end || value < min || value > max)
		tool_usage("%s %s: want a whole number from %llu to %llu", option, text,
			   (unsigned long long)min, (unsigned long long)max);
	return value;
}

uint64_t tool_seconds_ns(const char *option, const char *text)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !isfinite(value) || value <= 0 || value > TOOL_SECONDS_MAX)
		tool_usage("%s %s: want seconds, more than 0 and at most %d", option, text,
			   TOOL_SECONDS_MAX);
	return (uint64_t)(value * TOOL_NS_PER_S);
}

static uint64_t read_clock(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (uint64_t)time.tv_sec * TOOL_NS_PER_S + (uint64_t)time.tv_nsec;
}

uint64_t tool_uptime_ns(const char *option, const char *text)
{
	uint64_t up = read_clock(CLOCK_BOOTTIME), now = tool_now_ns();
	char *end;
	double value = strtod(text, &end) * TOOL_NS_PER_S;

	if (end == text || *end || !isfinite(value) || value < 0 ||
	    value > (double)(up + TOOL_SECONDS_MAX * TOOL_NS_PER_S))
		tool_usage("%s %s: want seconds of uptime, at most %d from now", option, text,
			   TOOL_SECONDS_MAX);
	return value > (double)up ? now + ((uint64_t)value - up) : now;
}

static void take(const struct tool_option *option, const char *value)
{
	uint64_t unit = option->unit ? option->unit : 1;

	if (option->flag)
		*option->flag = true;
	else if (option->text)
		*option->text = value;
	else if (option->seconds_ns)
		*option->seconds_ns = tool_seconds_ns(option->name, value);
	else if (option->uptime_ns)
		*option->uptime_ns = tool_uptime_ns(option->name, value);
	else
		*option->number = tool_number(option->name, value, option->min, option->max) * unit;
}

void tool_options(int argc, char **argv, const struct tool_option *options, const char *usage)
{
	struct option known[OPTIONS_MAX + 1] = {0};
	int count = 0, index = 0;

	for (; options[count].name && count < OPTIONS_MAX - 1; count++)
		known[count] = (struct option){.name = options[count].name + strlen("--"),
					       .has_arg = !options[count].flag};
	known[count].name = "help";
	for (int r; (r = getopt_long(argc, argv, "", known, &index)) != -1;) {
		if (r || index == count) {
			fputs(usage, r ? stderr : stdout);
			exit(r ? 2 : 0);
		}
		take(&options[index], optarg);
	}
	if (optind < argc)
		tool_usage("%s: no such argument; see --help", argv[optind]);
}

uint64_t tool_now_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t tool_cpu_ns(void)
{
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

void tool_sleep_until(uint64_t when_ns)
{
	struct timespec when = {
		.tv_sec = (time_t)(when_ns / TOOL_NS_PER_S),
		.tv_nsec = (long)(when_ns % TOOL_NS_PER_S),
	};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL);
}

static void stop(int signal)
{
	(void)signal;
	tool_stopped = 1;
	alarm(1);
}

void tool_stop_after(uint64_t limit_ns)
{
	struct sigaction action = {.sa_handler = stop};
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct itimerval timer = {
		.it_value.tv_sec = (time_t)(limit_ns / TOOL_NS_PER_S),
		.it_value.tv_usec = (suseconds_t)(limit_ns % TOOL_NS_PER_S / TOOL_NS_PER_US + 1),
	};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGALRM, &action, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

void tool_sort(uint64_t *latencies_ns, uint64_t count)
{
	qsort(latencies_ns, count, sizeof(*latencies_ns), compare);
}

double tool_percentile_ms(const uint64_t *sorted_ns, uint64_t count, uint64_t percent)
{
	uint64_t rank = (count * percent + 99) / 100;

	return count ? (double)sorted_ns[rank ? rank - 1 : 0] / TOOL_NS_PER_MS : 0;
}
