/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See tool.h. */
#include "tool.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

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

int tool_compare_u64(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}
