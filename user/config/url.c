/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The parts of RFC 3986 that a configuration needs: HOST[:PORT] of a target, of
 * the API's address and of Redis (url_redis.c). A host is a name, an IPv4 address,
 * or an IPv6 address in brackets; it is not looked up here.
 */
#include "config/url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "config/validate.h"

#define LABEL_MAX 63
#define HTTP_PORT 80
#define SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)

static bool is_name_byte(char c)
{
	return isalnum((unsigned char)c) || c == '-' || c == '_';
}

/* Labels of letters, digits, '-' and '_' (which container names have), with a
 * dot between them and maybe one at the end. */
static bool is_name(const char *host)
{
	while (*host) {
		size_t length = strcspn(host, ".");

		if (!length || length > LABEL_MAX || host[0] == '-' || host[length - 1] == '-')
			return false;
		for (size_t i = 0; i < length; i++)
			if (!is_name_byte(host[i]))
				return false;
		host += length + (host[length] == '.');
	}
	return true;
}

static const char *host_fault(struct thr_authority *authority, bool bracketed)
{
	const char *host = authority->host;
	struct in6_addr address;

	if (bracketed) {
		authority->is_address = true;
		return inet_pton(AF_INET6, host, &address) == 1
			       ? NULL
			       : "write an IPv6 address in the brackets";
	}
	if (!*host)
		return "write a host";
	if (!host[strspn(host, "0123456789.")]) {
		authority->is_address = true;
		return inet_pton(AF_INET, host, &address) == 1
			       ? NULL
			       : "write an IPv4 address of four numbers, such as 192.0.2.1";
	}
	return is_name(host) ? NULL : "write a host name of letters, digits, '-' and '.'";
}

static const char *port_fault(const char *text, size_t length, uint16_t *ret_port)
{
	unsigned long port = 0;

	for (size_t i = 0; i < length && port <= UINT16_MAX; i++) {
		if (!isdigit((unsigned char)text[i]))
			return "write a port from 1 to 65535 after the colon";
		port = port * 10 + (unsigned long)(text[i] - '0');
	}
	if (!port || port > UINT16_MAX)
		return "write a port from 1 to 65535 after the colon";
	*ret_port = (uint16_t)port;
	return NULL;
}

const char *thr_authority_split(const char *text, size_t length,
				struct thr_authority *ret_authority)
{
	struct thr_authority authority = {0};
	bool bracketed = length && text[0] == '[';
	const char *end = text + length, *host_end, *fault;

	if (bracketed) {
		text++;
		host_end = memchr(text, ']', (size_t)(end - text));
		if (!host_end)
			return "write a closing bracket after the IPv6 address";
	} else {
		host_end = memchr(text, ':', length);
		host_end = host_end ? host_end : end;
		if (host_end < end && memchr(host_end + 1, ':', (size_t)(end - host_end - 1)))
			return "write an IPv6 address in brackets, such as [2001:db8::1]:8080";
	}
	if (host_end - text > THR_HOST_MAX)
		return "write a host of at most 253 bytes";
	memcpy(authority.host, text, (size_t)(host_end - text));
	fault = host_fault(&authority, bracketed);
	if (fault)
		return fault;

	host_end += bracketed;
	if (host_end < end) {
		if (*host_end != ':')
			return "write only a colon and a port after the bracket";
		fault = port_fault(host_end + 1, (size_t)(end - host_end - 1), &authority.port);
	}
	if (!fault)
		*ret_authority = authority;
	return fault;
}

const char *thr_after_scheme(const char *text, const char *scheme)
{
	size_t length = strlen(scheme);

	return strncasecmp(text, scheme, length) == 0 ? text + length : NULL;
}

static const char *target_fault(const char *text, struct thr_authority *ret_authority)
{
	const char *rest = thr_after_scheme(text, "http://");
	size_t length;

	if (thr_after_scheme(text, "https://"))
		return "only http:// targets are supported";
	if (!rest)
		return "write http://HOST or http://HOST:PORT";
	length = strcspn(rest, "/?#");
	if (memchr(rest, '@', length))
		return "write it without a user name or password";
	if (rest[length] && strcmp(rest + length, "/") != 0)
		return "write it without a path: requests keep their own";
	return thr_authority_split(rest, length, ret_authority);
}

int thr_target_parse(const char *text, struct thr_target *ret_target, const char **ret_why)
{
	struct thr_authority authority;
	const char *why = target_fault(text, &authority);
	char *host;

	if (why) {
		*ret_why = why;
		return -EINVAL;
	}
	host = strdup(authority.host);
	if (!host)
		return -ENOMEM;
	ret_target->host = host;
	ret_target->port = authority.port ? authority.port : HTTP_PORT;
	return 0;
}

const char *thr_address_fault(const char *text)
{
	struct in6_addr address;

	if (inet_pton(AF_INET, text, &address) == 1)
		return NULL;
	if (inet_pton(AF_INET6, text, &address) != 1)
		return "write an IPv4 or IPv6 address without brackets and port, such as 127.0.0.1 "
		       "or ::1";
	if (IN6_IS_ADDR_V4MAPPED(&address))
		return "write an IPv4 address in its own form, not mapped to IPv6";
	return NULL;
}

/* A path that a socket can be at. */
static const char *socket_fault(const char *text)
{
	size_t length = strlen(text);

	if (length > SOCKET_PATH_MAX)
		return "write a path of at most 107 bytes, which is all that a socket can have";
	for (const char *at = text; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			return "write a path without control characters";
	return text[length - 1] == '/' ? "write the path of a socket, not of a directory" : NULL;
}

const char *thr_listen_fault(const char *text)
{
	/* It would read as an address without its dots, or as no host at all. */
	const char *port = text + (text[0] == ':');
	bool is_port_alone = !port[strspn(port, "0123456789")];
	struct thr_authority authority = {0};
	const char *fault = NULL;

	if (text[0] == '/')
		return socket_fault(text);
	if (thr_after_scheme(text, "unix:/"))
		return "write the path of the socket alone, such as /run/xdp-throttle/api.sock";
	if (!is_port_alone)
		fault = thr_authority_split(text, strlen(text), &authority);
	if (fault)
		return fault;
	if (!authority.is_address || !authority.port)
		return "write ADDRESS:PORT, such as 127.0.0.1:8081 or [::1]:8081, or the path of "
		       "a Unix socket";
	return thr_address_fault(authority.host);
}

int thr_listen_parse(const char *text, char **ret_address, uint16_t *ret_port)
{
	struct thr_authority authority;
	char *address;

	if (text[0] == '/' || thr_authority_split(text, strlen(text), &authority)) {
		*ret_address = NULL;
		*ret_port = 0;
		return 0;
	}
	address = strdup(authority.host);
	if (!address)
		return -ENOMEM;
	*ret_address = address;
	*ret_port = authority.port;
	return 0;
}

/* An address of either family, IPv4 mapped to IPv6. */
static struct in6_addr read_address(const char *text)
{
	struct in6_addr address = IN6ADDR_ANY_INIT;

	if (inet_pton(AF_INET6, text, &address) != 1) {
		address.s6_addr[10] = address.s6_addr[11] = 0xff;
		inet_pton(AF_INET, text, &address.s6_addr[12]);
	}
	return address;
}

/* Whether `b` is among what a socket on `a` takes: 0.0.0.0 is every IPv4 address,
 * and :: every address of both families. */
static bool takes(const struct in6_addr *a, const struct in6_addr *b)
{
	const struct in6_addr any_v4 = read_address("0.0.0.0");

	return IN6_IS_ADDR_UNSPECIFIED(a) || IN6_ARE_ADDR_EQUAL(a, b) ||
	       (IN6_ARE_ADDR_EQUAL(a, &any_v4) && IN6_IS_ADDR_V4MAPPED(b));
}

bool thr_address_is_loopback(const char *text)
{
	struct in6_addr address = read_address(text);

	return IN6_IS_ADDR_LOOPBACK(&address) ||
	       (IN6_IS_ADDR_V4MAPPED(&address) && address.s6_addr[12] == 127);
}

bool thr_listen_overlaps(const char *listen, const char *address, uint16_t port)
{
	struct thr_authority authority;
	struct in6_addr a, b;

	if (listen[0] == '/' || thr_authority_split(listen, strlen(listen), &authority) ||
	    authority.port != port)
		return false;
	a = read_address(authority.host);
	b = read_address(address ? address : "::");
	return takes(&a, &b) || takes(&b, &a);
}
