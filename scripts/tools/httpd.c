/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The demo's web server: answers every request on every connection with the
 * same short page and closes, until its time is over. One connection after the
 * other: a client that is connected is served at once or given up after 200 ms,
 * and a flood of SYNs never gets as far as accept().
 *
 *   httpd --address 10.0.0.1 --port 80 --seconds 60
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "lib/tcp.h"
#include "lib/tool.h"

#define REQUEST_MAX 4096
#define PATIENCE_MS 200

static const char usage[] = "usage: httpd [--address ADDR] [--port P] [--seconds S]\n"
			    "  --address ADDR   to listen on (default 127.0.0.1)\n"
			    "  --port P         (default 8080)\n"
			    "  --seconds S      to live for, at most 900 (default 60)\n";

static const char answer[] = "HTTP/1.1 200 OK\r\n"
			     "Content-Type: text/plain\r\n"
			     "Content-Length: 6\r\n"
			     "Connection: close\r\n"
			     "\r\n"
			     "hello\n";

/* Read up to the blank line that ends a request, and answer it. What is longer,
 * late or cut short gets no answer. */
static void serve(int fd)
{
	struct timeval patience = {.tv_usec = PATIENCE_MS * 1000};
	char request[REQUEST_MAX + 1];
	size_t size = 0;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	while (size < REQUEST_MAX) {
		ssize_t got = recv(fd, request + size, REQUEST_MAX - size, 0);

		if (got <= 0)
			return;
		size += (size_t)got;
		request[size] = '\0';
		if (strstr(request, "\r\n\r\n")) {
			send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL);
			return;
		}
	}
}

int main(int argc, char **argv)
{
	const char *address = "127.0.0.1";
	uint64_t port = 8080, seconds = 60;
	int listener AUTO_CLOSE = -1;
	struct sockaddr_in at;
	const struct tool_option options[] = {
		{"--address", .text = &address},
		{"--port", .number = &port, .min = 1, .max = UINT16_MAX},
		{"--seconds", .number = &seconds, .min = 1, .max = TOOL_SERVE_SECONDS_MAX},
		{0},
	};

	tool_options(argc, argv, options, usage);
	at = tool_address(address, (uint16_t)port);
	listener = tool_listen(&at);
	fcntl(listener, F_SETFL, 0); /* it blocks: nothing else is waited for */
	tool_stop_after(seconds * TOOL_NS_PER_S);
	puts("ready");
	fflush(stdout);
	while (!tool_stopped) {
		int connection AUTO_CLOSE = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (connection >= 0)
			serve(connection);
		else if (errno != EINTR && errno != ECONNABORTED)
			tool_die("cannot accept: %s", strerror(errno));
	}
	return 0;
}
