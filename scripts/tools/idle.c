/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Clients that do nothing: opens connections one after the other, makes one
 * request on each and reads its answer, and then holds them all until it is ended.
 *
 *   idle --port 8080 --path /52 --connections 10000 --seconds 600
 *
 * Prints "ready" when all are open and answered. When it is ended or its time is
 * over it prints how many are still open: a server that closed them on the quiet
 * was not measured with them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "lib/tcp.h"
#include "lib/tool.h"

#define CONNECTIONS_MAX 100000
#define ANSWER_MAX 8192
#define PATIENCE_S 5 /* for an answer */

static const char usage[] = "usage: idle [option ...]\n"
			    "  --address ADDR   of the server (default 127.0.0.1)\n"
			    "  --port P         (default 8080)\n"
			    "  --path PATH      to ask for once on each (default /)\n"
			    "  --connections N  (default 100)\n"
			    "  --seconds S      to hold them for, at most 900 (default 60)\n";

/* Whether the `size` bytes at `answer`, a string, are a whole 200 answer. */
static bool is_whole(const char *answer, size_t size)
{
	const char *end = strstr(answer, "\r\n\r\n");
	const char *field = strcasestr(answer, "\r\ncontent-length:");

	if (!end || !field || field > end)
		return false;
	return size == (size_t)(end + 4 - answer) +
			       strtoul(field + strlen("\r\ncontent-length:"), NULL, 10);
}

/* One request and its answer. Ends the process when it is anything but a 200. */
static void ask(int fd, const char *request, size_t request_size)
{
	struct timeval patience = {.tv_sec = PATIENCE_S};
	char answer[ANSWER_MAX + 1];
	size_t size = 0;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (send(fd, request, request_size, MSG_NOSIGNAL) != (ssize_t)request_size)
		tool_die("cannot send a request: %s", strerror(errno));
	do {
		ssize_t got = recv(fd, answer + size, ANSWER_MAX - size, 0);

		if (got <= 0)
			tool_die("no answer: %s", got ? strerror(errno) : "closed");
		size += (size_t)got;
		answer[size] = '\0';
	} while (!is_whole(answer, size) && size < ANSWER_MAX);
	if (strncmp(answer, "HTTP/1.1 200 ", 13) || !is_whole(answer, size))
		tool_die("not a 200 answer of at most %d bytes: %.12s", ANSWER_MAX, answer);
}

static bool is_open(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

static void hold(const struct sockaddr_in *server, const char *path, size_t count)
{
	char request[1024];
	int *connections AUTO_FREE = calloc(count, sizeof(*connections));
	int size =
		snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: idle\r\n\r\n", path);
	size_t open = 0;

	if (!connections)
		tool_die("out of memory");
	if ((size_t)size >= sizeof(request))
		tool_usage("--path %s: want a shorter one", path);
	for (size_t i = 0; i < count && !tool_stopped; i++) {
		connections[i] = tool_connect(server);
		if (connections[i] < 0)
			tool_die("connection %zu: %s", i, strerror(errno));
		ask(connections[i], request, (size_t)size);
	}
	puts("ready");
	fflush(stdout);
	while (!tool_stopped)
		pause();
	for (size_t i = 0; i < count; i++)
		open += is_open(connections[i]);
	printf("{\"connections\":%zu,\"open\":%zu}\n", count, open);
}

int main(int argc, char **argv)
{
	const char *address = "127.0.0.1", *path = "/";
	uint64_t port = 8080, connections = 100, seconds = 60;
	struct sockaddr_in server;
	const struct tool_option options[] = {
		{"--address", .text = &address},
		{"--port", .number = &port, .min = 1, .max = UINT16_MAX},
		{"--path", .text = &path},
		{"--connections", .number = &connections, .min = 1, .max = CONNECTIONS_MAX},
		{"--seconds", .number = &seconds, .min = 1, .max = TOOL_SERVE_SECONDS_MAX},
		{0},
	};

	tool_options(argc, argv, options, usage);
	server = tool_address(address, (uint16_t)port);
	tool_stop_after(seconds * TOOL_NS_PER_S);
	hold(&server, path, connections);
	return 0;
}
