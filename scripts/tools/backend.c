/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The server behind the proxies of the HTTP bench and the demo: keeps connections
 * alive, and answers with a body of as many bytes as the last part of the path
 * says (/any/thing/1024; none: 52), so that one server has every size and every
 * route. --name tells several apart: it is the Server field of the answers.
 *
 *   backend --port 8000 --name web --seconds 60
 *
 * It costs little beside what is measured: no more is read of a request than
 * where it ends, and an answer is one sendmsg(). Edge-triggered: a
 * connection is worked on until the kernel has no more for it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "lib/tcp.h"
#include "lib/tool.h"

#define REQUEST_MAX 16384 /* of a head */
#define HEAD_MAX 256	  /* of an answer */
#define BODY_MAX (1 << 20)
#define BODY_DEFAULT 52

struct connection {
	int fd;
	size_t size; /* of what was read and is not done with */
	size_t skip; /* bytes of the request's body that are still to come: no answer before */
	size_t head_size, body_size;
	size_t sent; /* of both */
	char head[HEAD_MAX];
	char request[REQUEST_MAX + 1];
};

static const char usage[] = "usage: backend [option ...]\n"
			    "  --address ADDR   to listen on (default 127.0.0.1)\n"
			    "  --port P         (default 8000)\n"
			    "  --name NAME      in the answers' Server field (default backend)\n"
			    "  --seconds S      to live for, at most 900 (default 60)\n";

static const char *name = "backend";
static char body[BODY_MAX];

/* What the last part of the path asks for; `head` starts with the request line. */
static size_t wanted_size(const char *head)
{
	const char *path = strchr(head, ' ');
	size_t length = path ? strcspn(path + 1, " ?\r\n") : 0;
	const char *last = length ? memrchr(path + 1, '/', length) : NULL;
	unsigned long size = last ? strtoul(last + 1, NULL, 10) : 0;

	if (!size)
		return BODY_DEFAULT;
	return size < BODY_MAX ? size : BODY_MAX;
}

/* The value of the Content-Length of `head`, 0 without one. */
static size_t announced_size(const char *head)
{
	const char *field = strcasestr(head, "\r\ncontent-length:");

	return field ? strtoul(field + strlen("\r\ncontent-length:"), NULL, 10) : 0;
}

static void prepare_answer(struct connection *connection, const char *head)
{
	bool bodiless = !strncmp(head, "HEAD ", 5);
	size_t size = wanted_size(head);

	connection->head_size = (size_t)snprintf(connection->head, HEAD_MAX,
						 "HTTP/1.1 200 OK\r\n"
						 "Server: %.64s\r\n"
						 "Content-Type: text/plain\r\n"
						 "Content-Length: %zu\r\n"
						 "\r\n",
						 name, size);
	connection->body_size = bodiless ? 0 : size;
	connection->sent = 0;
}

static bool is_answering(const struct connection *connection)
{
	return connection->sent < connection->head_size + connection->body_size;
}

/* Send what the kernel takes, once it is time. False when the connection is broken. */
static bool send_answer(struct connection *connection)
{
	while (!connection->skip && is_answering(connection)) {
		size_t head_sent = connection->sent < connection->head_size ? connection->sent
									    : connection->head_size;
		size_t body_sent = connection->sent - head_sent;
		struct iovec parts[2] = {
			{connection->head + head_sent, connection->head_size - head_sent},
			{body, connection->body_size - body_sent},
		};
		struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
		ssize_t sent = sendmsg(connection->fd, &message, MSG_NOSIGNAL);

		if (sent < 0)
			return errno == EAGAIN;
		connection->sent += (size_t)sent;
	}
	return true;
}

static void drop_front(struct connection *connection, size_t count)
{
	connection->size -= count;
	memmove(connection->request, connection->request + count, connection->size);
}

static void skip_body(struct connection *connection)
{
	size_t count = connection->skip < connection->size ? connection->skip : connection->size;

	connection->skip -= count;
	drop_front(connection, count);
}

/* Take one request from what was read, if one is there, and prepare its answer. */
static bool take_request(struct connection *connection)
{
	char *end;

	connection->request[connection->size] = '\0';
	end = strstr(connection->request, "\r\n\r\n");
	if (!end)
		return false;
	end[2] = '\0';
	connection->skip = announced_size(connection->request);
	prepare_answer(connection, connection->request);
	drop_front(connection, (size_t)(end + 4 - connection->request));
	return true;
}

/* Answer and read, in turns, until the kernel has no more. False when the
 * connection is over. A read that did not fill the buffer is the last: what comes
 * later is an event of its own. */
static bool work(struct connection *connection, bool is_ending)
{
	for (bool is_dry = false;;) {
		size_t room;
		ssize_t got;

		skip_body(connection);
		if (!send_answer(connection))
			return false;
		if (!connection->skip) {
			if (is_answering(connection))
				return true;
			if (take_request(connection))
				continue;
		}
		if (is_dry)
			return true;
		room = REQUEST_MAX - connection->size;
		got = recv(connection->fd, connection->request + connection->size, room, 0);
		if (got < 0)
			return errno == EAGAIN;
		if (!got)
			return false;
		connection->size += (size_t)got;
		is_dry = (size_t)got < room && !is_ending;
	}
}

static void opened(struct tool_server *server, int fd)
{
	struct connection *connection = calloc(1, sizeof(*connection));

	if (!connection)
		tool_die("out of memory");
	connection->fd = fd;
	tool_watch(server->epoll, fd, connection);
}

static void ready(struct tool_server *server, void *object, uint32_t events)
{
	struct connection *connection = object;

	(void)server;
	if (work(connection, events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
		return;
	close(connection->fd);
	free(connection);
}

int main(int argc, char **argv)
{
	struct tool_server server = {.opened = opened, .ready = ready};
	const char *address = "127.0.0.1";
	uint64_t port = 8000, seconds = 60;
	struct sockaddr_in at;
	const struct tool_option options[] = {
		{"--address", .text = &address},
		{"--port", .number = &port, .min = 1, .max = UINT16_MAX},
		{"--name", .text = &name},
		{"--seconds", .number = &seconds, .min = 1, .max = TOOL_SERVE_SECONDS_MAX},
		{0},
	};

	tool_options(argc, argv, options, usage);
	memset(body, 'x', sizeof(body));
	at = tool_address(address, (uint16_t)port);
	server.listener = tool_listen(&at);
	tool_stop_after(seconds * TOOL_NS_PER_S);
	tool_serve(&server);
	return 0;
}
