/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See tcp.h. */
#include "tcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tool.h"

#define EVENTS_PER_TURN 256

struct sockaddr_in tool_address(const char *address, uint16_t port)
{
	struct sockaddr_in result = {.sin_family = AF_INET, .sin_port = htons(port)};

	if (inet_pton(AF_INET, address, &result.sin_addr) != 1)
		tool_usage("--address %s: want an IPv4 address", address);
	return result;
}

static void set_nodelay(int fd)
{
	int yes = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

int tool_listen(const struct sockaddr_in *at)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int yes = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) ||
	    bind(fd, (const struct sockaddr *)at, sizeof(*at)) || listen(fd, SOMAXCONN))
		tool_die("cannot listen on port %u: %s", ntohs(at->sin_port), strerror(errno));
	return fd;
}

int tool_connect(const struct sockaddr_in *to)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int error;

	if (fd < 0)
		return -1;
	if (!connect(fd, (const struct sockaddr *)to, sizeof(*to))) {
		set_nodelay(fd);
		return fd;
	}
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

void tool_watch(int epoll, int fd, void *object)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.ptr = object,
	};

	set_nodelay(fd);
	if (fcntl(fd, F_SETFL, O_NONBLOCK) || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		tool_die("cannot watch a connection: %s", strerror(errno));
}

static void accept_all(struct tool_server *server)
{
	for (;;) {
		int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0)
			server->opened(server, fd);
		else if (errno == EAGAIN || errno == EINTR)
			return;
		else if (errno != ECONNABORTED)
			tool_die("cannot accept: %s", strerror(errno));
	}
}

void tool_serve(struct tool_server *server)
{
	/* The listener is the one object without an address of its own. */
	struct epoll_event wanted = {.events = EPOLLIN}, events[EVENTS_PER_TURN];

	server->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (server->epoll < 0 || epoll_ctl(server->epoll, EPOLL_CTL_ADD, server->listener, &wanted))
		tool_die("cannot watch the listener: %s", strerror(errno));
	puts("ready");
	fflush(stdout);
	while (!tool_stopped) {
		int count = epoll_wait(server->epoll, events, EVENTS_PER_TURN, -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr)
				server->ready(server, events[i].data.ptr, events[i].events);
			else
				accept_all(server);
		}
		if (server->swept)
			server->swept(server);
	}
}
