/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See listener.h. */
#include "daemon/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/validate.h"
#include "core/address.h"
#include "core/cleanup.h"
#include "daemon/socket_file.h"
#include "core/slice.h"

/* Connections that wait to be accepted; net.core.somaxconn caps it. */
#define BACKLOG 4096

struct place {
	struct sockaddr_storage address;
	socklen_t length;
};

void thr_listen_format(const struct thr_endpoint *endpoint, char text[static THR_LISTEN_TEXT])
{
	const char *address = endpoint->address ? endpoint->address : "*";
	bool is_v6 = strchr(address, ':') != NULL;

	if (endpoint->path)
		snprintf(text, THR_LISTEN_TEXT, "%s", endpoint->path);
	else
		snprintf(text, THR_LISTEN_TEXT, "%s%s%s:%u", is_v6 ? "[" : "", address,
			 is_v6 ? "]" : "", endpoint->port);
}

static int fail_path(const struct thr_endpoint *endpoint, int code, struct thr_error *error)
{
	if (code == EADDRINUSE)
		return thr_fail(error, code,
				"%s: in use by another process: stop that one, or set another %s",
				endpoint->path, endpoint->port_key);
	if (code == EEXIST)
		return thr_fail(error, code,
				"%s: there is a file that is no socket: remove it, or set another "
				"%s",
				endpoint->path, endpoint->port_key);
	return thr_fail(error, code, "%s: cannot be listened on: %s", endpoint->path,
			strerror(code));
}

static int fail_listen(const struct thr_endpoint *endpoint, int code, struct thr_error *error)
{
	char name[THR_LISTEN_TEXT];

	if (endpoint->path)
		return fail_path(endpoint, code, error);
	thr_listen_format(endpoint, name);
	if (code == EADDRINUSE)
		return thr_fail(error, code,
				"%s: in use by another process: stop that one, or set another %s",
				name, endpoint->port_key);
	if (code == EADDRNOTAVAIL)
		return thr_fail(error, code,
				"%s: this machine does not have the address: correct %s", name,
				endpoint->address_key);
	if (code == EACCES)
		return thr_fail(error, code,
				"%s: this port needs root or CAP_NET_BIND_SERVICE: run as root, "
				"or set %s to 1024 or more",
				name, endpoint->port_key);
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

static int find_place(const struct thr_endpoint *endpoint, struct place *ret_place)
{
	struct thr_slice text = {.at = endpoint->address, .length = strlen(endpoint->address)};
	struct thr_address address;
	int r = thr_address_parse(text, &address);

	if (r)
		return r;
	address.port = endpoint->port;
	ret_place->length = thr_address_to_sockaddr(&address, &ret_place->address);
	return 0;
}

static int open_tcp(const struct thr_endpoint *endpoint, bool shared, int *ret_fds, size_t count)
{
	const struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
					.sin6_port = htons(endpoint->port)};
	const struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(endpoint->port)};
	struct place place = {.length = sizeof(v6)};
	int r = 0;

	if (endpoint->address)
		r = find_place(endpoint, &place);
	else
		memcpy(&place.address, &v6, sizeof(v6));
	if (!r)
		r = open_all(&place, shared, ret_fds, count);
	if (!endpoint->address && (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL)) {
		place.length = sizeof(v4);
		memcpy(&place.address, &v4, sizeof(v4));
		r = open_all(&place, shared, ret_fds, count);
	}
	return r;
}

static int open_unix(const struct thr_endpoint *endpoint, int *ret_fds, size_t count)
{
	int r;

	for (size_t i = 0; i < count; i++)
		ret_fds[i] = -1;
	r = thr_socket_file_open(endpoint->path, endpoint->group, &ret_fds[0]);
	for (size_t i = 1; i < count && !r; i++) {
		ret_fds[i] = fcntl(ret_fds[0], F_DUPFD_CLOEXEC, 0);
		if (ret_fds[i] < 0)
			r = -errno;
	}
	if (r && ret_fds[0] >= 0)
		unlink(endpoint->path);
	if (r)
		thr_listeners_close(ret_fds, count);
	return r;
}

int thr_listeners_open(const struct thr_endpoint *endpoint, bool shared, int *ret_fds, size_t count,
		       struct thr_error *error)
{
	int r = endpoint->path ? open_unix(endpoint, ret_fds, count)
			       : open_tcp(endpoint, shared, ret_fds, count);

	return r ? fail_listen(endpoint, -r, error) : 0;
}

bool thr_listeners_collide(const struct thr_endpoint *a, const struct thr_endpoint *b)
{
	struct thr_endpoint named = *a;
	char text[THR_LISTEN_TEXT];

	if (a->path || b->path)
		return false;
	if (!named.address)
		named.address = "::";
	thr_listen_format(&named, text);
	return thr_listen_overlaps(text, b->address, b->port);
}

bool thr_endpoint_is(const struct thr_endpoint *a, const struct thr_endpoint *b)
{
	return thr_same_text(a->path, b->path) && thr_same_text(a->address, b->address) &&
	       a->port == b->port;
}

/* --- what workers did --- */

/* A Unix socket that was shut down still says that it listens. */
static bool is_listening(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLRDHUP};
	socklen_t length = sizeof(int);
	int listens = 0;

	return !getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) && listens &&
	       poll(&poll_fd, 1, 0) == 0;
}

int thr_listener_mend(const struct thr_endpoint *endpoint, int *fd, struct thr_error *error)
{
	int flags = *fd < 0 ? -1 : fcntl(*fd, F_GETFL), r;

	if (flags >= 0 && is_listening(*fd) && !fcntl(*fd, F_SETFL, flags | O_NONBLOCK))
		return 0;
	thr_listeners_close(fd, 1);
	r = thr_listeners_open(endpoint, true, fd, 1, error);
	return r ? r : 1;
}

void thr_listeners_close(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (fds[i] >= 0)
			close(TAKE_FD(fds[i]));
}
