/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The demo's client: opens a new TCP connection for every request, at a steady
 * pace, and measures the time from connect() to the last byte of the answer.
 *
 *   probe --address 10.0.0.1 --port 80 --rate 50 --seconds 3
 *
 * Anything but a 200 within the timeout is a failure, and counts with the
 * timeout as its latency: what was lost must not make the rest look fast. How many
 * of the failures were a 429, a refusal by a limit, is said besides. One
 * request is under way at a time; after a late answer the next starts at once,
 * until the pace is made up.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "lib/tcp.h"
#include "lib/tool.h"

#define REQUESTS_MAX 1000000
#define ANSWER_MAX 4096

struct options {
	struct sockaddr_in server;
	uint64_t count;
	uint64_t duration_ns;
	uint64_t rate; /* a second */
	uint64_t timeout_ns;
	bool json;
};

static const char usage[] =
	"usage: probe [option ...]\n"
	"  --address ADDR   of the server (default 127.0.0.1)\n"
	"  --port P         (default 8080)\n"
	"  --count N        requests to make, at most and by default 1000000, and/or\n"
	"  --seconds S      time to make them for, at most and by default 60\n"
	"  --rate R         requests a second (default 50)\n"
	"  --timeout MS     for a connection and its answer (default 1000)\n"
	"  --json           print the result as JSON\n";

static void parse_options(int argc, char **argv, struct options *options)
{
	const char *address = "127.0.0.1";
	uint64_t port = 8080;
	const struct tool_option known[] = {
		{"--address", .text = &address},
		{"--port", .number = &port, .min = 1, .max = UINT16_MAX},
		{"--count", .number = &options->count, .min = 1, .max = REQUESTS_MAX},
		{"--seconds", .seconds_ns = &options->duration_ns},
		{"--rate", .number = &options->rate, .min = 1, .max = 100000},
		{"--timeout", .number = &options->timeout_ns, .min = 1, .max = 10000,
		 .unit = TOOL_NS_PER_MS},
		{"--json", .flag = &options->json},
		{0},
	};

	tool_options(argc, argv, known, usage);
	options->server = tool_address(address, (uint16_t)port);
}

/* Wait for `events` on `fd` until `deadline_ns`. */
static bool wait_for(int fd, short events, uint64_t deadline_ns)
{
	struct pollfd poll_fd = {.fd = fd, .events = events};
	uint64_t now = tool_now_ns();

	if (tool_stopped || now >= deadline_ns)
		return false;
	return poll(&poll_fd, 1, (int)((deadline_ns - now) / TOOL_NS_PER_MS) + 1) == 1;
}

/* What the connection that is over had to say. */
static int status_of(const char *answer, size_t size)
{
	if (size > 12 && !memcmp(answer, "HTTP/1.1 200", 12))
		return 200;
	return size > 12 && !memcmp(answer, "HTTP/1.1 429", 12) ? 429 : 0;
}

/* Connect, ask and read to the end. Returns the status of the answer, 0 when it
 * was not whole or is neither 200 nor 429. */
static int request(const struct options *options, uint64_t deadline_ns)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n";
	int fd AUTO_CLOSE = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char answer[ANSWER_MAX];
	size_t size = 0;

	if (fd < 0)
		tool_die("cannot make a socket: %s", strerror(errno));
	if (connect(fd, (const struct sockaddr *)&options->server, sizeof(options->server)) &&
	    errno != EINPROGRESS)
		return 0;
	if (!wait_for(fd, POLLOUT, deadline_ns) ||
	    send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL) != sizeof(text) - 1)
		return 0;
	while (size < sizeof(answer) && wait_for(fd, POLLIN, deadline_ns)) {
		ssize_t got = recv(fd, answer + size, sizeof(answer) - size, 0);

		if (got < 0)
			return 0;
		if (!got)
			return status_of(answer, size);
		size += (size_t)got;
	}
	return 0;
}

struct counts {
	size_t failures;
	size_t limited; /* of them: answered 429 */
};

/* Make the requests. Returns how many were made, with the latency of each in
 * `latencies` and the failures counted; the one that the end of the time cuts
 * short is no request. */
static size_t run(const struct options *options, uint64_t *latencies, struct counts *ret_counts)
{
	uint64_t start = tool_now_ns();
	size_t made = 0;

	*ret_counts = (struct counts){0};
	while (made < options->count) {
		uint64_t began;
		int status;

		tool_sleep_until(start + made * TOOL_NS_PER_S / options->rate);
		if (tool_stopped)
			break;
		began = tool_now_ns();
		status = request(options, began + options->timeout_ns);
		if (!status && tool_stopped)
			break;
		latencies[made++] = status == 200 ? tool_now_ns() - began : options->timeout_ns;
		ret_counts->failures += status != 200;
		ret_counts->limited += status == 429;
	}
	return made;
}

int main(int argc, char **argv)
{
	struct options options = {
		.count = REQUESTS_MAX,
		.duration_ns = TOOL_SECONDS_MAX * TOOL_NS_PER_S,
		.rate = 50,
		.timeout_ns = TOOL_NS_PER_S,
	};
	uint64_t *latencies AUTO_FREE = NULL;
	struct counts counts;
	size_t made;

	parse_options(argc, argv, &options);
	latencies = calloc(options.count, sizeof(*latencies));
	if (!latencies)
		tool_die("out of memory");
	tool_stop_after(options.duration_ns);
	made = run(&options, latencies, &counts);
	if (!made)
		tool_die("stopped before the first answer");
	tool_sort(latencies, made);
	printf(options.json
		       ? "{\"requests\":%zu,\"failures\":%zu,\"limited\":%zu,"
			 "\"p50_ms\":%.3f,\"p99_ms\":%.3f}\n"
		       : "%zu requests, %zu failures (%zu limited), p50 %.3f ms, p99 %.3f ms\n",
	       made, counts.failures, counts.limited, tool_percentile_ms(latencies, made, 50),
	       tool_percentile_ms(latencies, made, 99));
	return 0;
}
