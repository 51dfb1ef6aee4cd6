/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See listener.h. */
#include "daemon/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "config/validate.h"
#include "core/address.h"
#include "core/cleanup.h"

/* Connections that wait to be accepted; net.core.somaxconn caps it. */
#define BACKLOG 4096

struct place {
	struct sockaddr_storage address;
	socklen_t length;
};

void thr_listen_format(const struct thr_server_config *server, char text[static THR_LISTEN_TEXT])
{
	const char *address = server->address ? server->address : "*";
	bool is_v6 = strchr(address, ':') != NULL;

	snprintf(text, THR_LISTEN_TEXT, "%s%s%s:%u", is_v6 ? "[" : "", address, is_v6 ? "]" : "",
		 server->port);
}

static int fail_listen(const struct thr_server_config *server, int code, struct thr_error *error)
{
	char name[THR_LISTEN_TEXT];

	thr_listen_format(server, name);
	if (code == EADDRINUSE)
		return thr_fail(error, code,
				"%s: in use by another process: stop that one, or set another "
				"server.port",
				name);
	if (code == EADDRNOTAVAIL)
		return thr_fail(error, code,
				"%s: this machine does not have the address: correct "
				"server.address",
				name);
	if (code == EACCES)
		return thr_fail(error, code,
				"%s: this port needs root or CAP_NET_BIND_SERVICE: run as root, "
				"or set server.port to 1024 or more",
				name);
	return thr_fail(error, code, "%s: cannot be listened on: %s", name, strerror(code));
}

static int set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) ? -errno : 0;
}

/* One socket that listens. `alone` refuses a port that any other listens on, and
 * lets further sockets of ours join afterwards. */
static int open_one(const struct place *place, bool alone, int *ret_fd)
{
	AUTO_CLOSE int fd = socket(place->address.ss_family,
				   SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	int r;

	if (fd < 0)
		return -errno;
	/* So that connections of an earlier process that are still closing do not
	 * keep the port. */
	r = set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (!r && !alone)
		r = set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (!r && place->address.ss_family == AF_INET6)
		r = set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	/* Accepted sockets inherit it. */
	if (!r)
		r = set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (!r && bind(fd, (const struct sockaddr *)&place->address, place->length))
		r = -errno;
	if (!r && listen(fd, BACKLOG))
		r = -errno;
	if (!r && alone)
		r = set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (!r)
		*ret_fd = TAKE_FD(fd);
	return r;
}

static int open_all(const struct place *place, bool shared, int *ret_fds, size_t count)
{
	int r = 0;

	for (size_t i = 0; i < count; i++)
		ret_fds[i] = -1;
	for (size_t i = 0; i < count && !r; i++)
		r = open_one(place, i == 0 && !shared, &ret_fds[i]);
	if (r)
		thr_listeners_close(ret_fds, count);
	return r;
}

static int find_place(const struct thr_server_config *server, struct place *ret_place)
{
	struct thr_slice text = {.at = server->address, .length = strlen(server->address)};
	struct thr_address address;
	int r = thr_address_parse(text, &address);

	if (r)
		return r;
	address.port = server->port;
	ret_place->length = thr_address_to_sockaddr(&address, &ret_place->address);
	return 0;
}

int thr_listeners_open(const struct thr_server_config *server, bool shared, int *ret_fds,
		       size_t count, struct thr_error *error)
{
	const struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(server->port)};
	const struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(server->port)};
	struct place place = {.length = sizeof(v6)};
	int r = 0;

	if (server->address)
		r = find_place(server, &place);
	else
		memcpy(&place.address, &v6, sizeof(v6));
	if (!r)
		r = open_all(&place, shared, ret_fds, count);
	if (!server->address && (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL)) {
		place.length = sizeof(v4);
		memcpy(&place.address, &v4, sizeof(v4));
		r = open_all(&place, shared, ret_fds, count);
	}
	return r ? fail_listen(server, -r, error) : 0;
}

bool thr_listeners_collide(const struct thr_server_config *a, const struct thr_server_config *b)
{
	static char any[] = "::";
	struct thr_server_config named = *a;
	char text[THR_LISTEN_TEXT];

	if (!named.address)
		named.address = any;
	thr_listen_format(&named, text);
	return thr_listen_overlaps(text, b->address, b->port);
}

/* --- what workers did --- */

static bool is_listening(int fd)
{
	socklen_t length = sizeof(int);
	int listens = 0;

	return !getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) && listens;
}

int thr_listener_mend(const struct thr_server_config *server, int *fd, struct thr_error *error)
{
	int flags = *fd < 0 ? -1 : fcntl(*fd, F_GETFL);

	if (flags >= 0 && is_listening(*fd) && !fcntl(*fd, F_SETFL, flags | O_NONBLOCK))
		return 0;
	thr_listeners_close(fd, 1);
	return thr_listeners_open(server, true, fd, 1, error);
}

void thr_listeners_close(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (fds[i] >= 0)
			close(TAKE_FD(fds[i]));
}
