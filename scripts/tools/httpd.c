/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The demo's web server: answers every request on every connection with the
 * same short page and closes, until its time is over. One connection after the
 * other: a client that is connected is served at once or given up after 200 ms,
 * and a flood of SYNs never gets as far as accept().
 *
 *   httpd --address 10.0.0.1 --port 80 --seconds 60
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
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

static int listen_on(const char *address, uint16_t port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int yes = 1;

	if (inet_pton(AF_INET, address, &at.sin_addr) != 1)
		tool_usage("--address %s: want an IPv4 address", address);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, SOMAXCONN))
		tool_die("cannot listen on %s:%u: %s", address, port, strerror(errno));
	return fd;
}

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
	static const struct option known[] = {
		{"address", 1, 0, 'a'},
		{"port", 1, 0, 'p'},
		{"seconds", 1, 0, 't'},
		{"help", 0, 0, 'h'},
		{0},
	};
	uint64_t limit_ns = TOOL_SECONDS_MAX * TOOL_NS_PER_S;
	const char *address = "127.0.0.1";
	uint16_t port = 8080;
	int listener AUTO_CLOSE = -1;

	for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
		if (option == 'a')
			address = optarg;
		else if (option == 'p')
			port = (uint16_t)tool_number("--port", optarg, 1, UINT16_MAX);
		else if (option == 't')
			limit_ns = TOOL_NS_PER_S *
				   tool_number("--seconds", optarg, 1, TOOL_SERVE_SECONDS_MAX);
		else {
			fputs(usage, option == 'h' ? stdout : stderr);
			return option == 'h' ? 0 : 2;
		}
	}
	listener = listen_on(address, port);
	tool_stop_after(limit_ns);
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
