/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TCP over IPv4 for the tools of the HTTP bench: sockets that end the process
 * with one line on stderr when they cannot be had, and a server's event loop.
 *
 * A tool that serves for a whole bench lives longer than one that measures, and
 * is bounded all the same: TOOL_SERVE_SECONDS_MAX.
 */
#ifndef TOOL_TCP_H
#define TOOL_TCP_H

#include <netinet/in.h>
#include <stdint.h>

#define TOOL_SERVE_SECONDS_MAX 900

/* `port` of `address`, which is an IPv4 address in digits. */
struct sockaddr_in tool_address(const char *address, uint16_t port);

/* A listening socket that does not block. */
int tool_listen(const struct sockaddr_in *at);

/* A connection that blocks, without Nagle's delay, or -1 with errno set. */
int tool_connect(const struct sockaddr_in *to);

/* Make an accepted or connected socket ready for an edge-triggered loop: it does
 * not block, and `epoll` reports `object` for whatever happens to it. */
void tool_watch(int epoll, int fd, void *object);

/*
 * Until tool_stopped: call `opened` with each connection that `listener` accepts,
 * and `ready` with the object of each event. An object that `ready` frees must be
 * that of no other event: one descriptor an object, or freed in `swept`, which is
 * called after the events of each turn and may be NULL.
 */
struct tool_server {
	int epoll, listener;
	void (*opened)(struct tool_server *server, int fd);
	void (*ready)(struct tool_server *server, void *object, uint32_t events);
	void (*swept)(struct tool_server *server);
};
void tool_serve(struct tool_server *server);

#endif
