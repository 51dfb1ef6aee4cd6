/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The URL of a Redis, in the forms that its own tools read:
 *
 *   redis[s]://[[USER][:PASSWORD]@]HOST[:PORT][/DATABASE]
 *   unix://[[USER][:PASSWORD]@]/PATH[?db=DATABASE]
 *
 * The last '@' before the host ends the password, and the first ':' the user's name, so
 * that a password may have more of either in it. User, password and path are
 * percent-decoded. No phrase shows a part of the URL, which may be the password.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "config/url.h"
#include "config/validate.h"
#include "core/cleanup.h"
#include "core/slice.h"

#define REDIS_PORT 6379
#define DATABASE_DIGITS 5
#define SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)

/* Slices of the text as it is written; without an address where it does not say. */
struct parts {
	struct thr_slice user, password, socket;
	struct thr_authority authority;
	bool tls;
	uint32_t database;
};

static unsigned int hex_value(char c)
{
	return isdigit((unsigned char)c) ? (unsigned int)(c - '0')
					 : (unsigned int)(tolower((unsigned char)c) - 'a') + 10;
}

static const char *escape_fault(struct thr_slice text)
{
	for (size_t i = 0; i < text.length; i++) {
		if (text.at[i] != '%')
			continue;
		if (text.length - i < 3 || !isxdigit((unsigned char)text.at[i + 1]) ||
		    !isxdigit((unsigned char)text.at[i + 2]))
			return "write two hexadecimal digits after each '%', and '%' itself as "
			       "%25";
		if (!hex_value(text.at[i + 1]) && !hex_value(text.at[i + 2]))
			return "write it without %00";
	}
	return NULL;
}

/* Decoded, what escape_fault() found nothing wrong with. Sets *failed when memory is
 * out; NULL too for a slice that is not there. */
static char *decode(struct thr_slice text, bool *failed)
{
	size_t used = 0;
	char *decoded;

	if (!text.at)
		return NULL;
	decoded = malloc(text.length + 1);
	if (!decoded) {
		*failed = true;
		return NULL;
	}
	for (size_t i = 0; i < text.length; i++) {
		if (text.at[i] == '%') {
			decoded[used++] =
				(char)(hex_value(text.at[i + 1]) << 4 | hex_value(text.at[i + 2]));
			i += 2;
		} else {
			decoded[used++] = text.at[i];
		}
	}
	decoded[used] = '\0';
	return decoded;
}

/* Read [[USER][:PASSWORD]@] and move *rest behind it. */
static const char *credentials_fault(const char **rest, size_t length, struct parts *parts)
{
	const char *start = *rest, *end = memrchr(start, '@', length), *colon, *fault;

	if (!end)
		return NULL;
	*rest = end + 1;
	colon = memchr(start, ':', (size_t)(end - start));
	if (!colon)
		colon = end;
	if (colon > start)
		parts->user = (struct thr_slice){start, (size_t)(colon - start)};
	if (end > colon + 1)
		parts->password = (struct thr_slice){colon + 1, (size_t)(end - colon - 1)};
	fault = escape_fault(parts->user);
	return fault ? fault : escape_fault(parts->password);
}

static const char *database_fault(const char *text, uint32_t *ret_database)
{
	uint32_t database = 0;

	if (text[strspn(text, "0123456789")] || strlen(text) > DATABASE_DIGITS)
		return "write the number of a database at the end, such as /0, or ?db=0 for a "
		       "Unix socket, and nothing more";
	for (; *text; text++)
		database = database * 10 + (uint32_t)(*text - '0');
	*ret_database = database;
	return NULL;
}

static const char *socket_fault(const char *rest, struct parts *parts)
{
	size_t length = strcspn(rest, "?#"), bytes = 0;
	const char *fault;

	parts->socket = (struct thr_slice){rest, length};
	if (rest[0] != '/' || length < 2 || rest[length - 1] == '/')
		return "write unix:// and the absolute path of a socket, such as "
		       "unix:///run/redis/redis.sock";
	fault = escape_fault(parts->socket);
	for (size_t i = 0; !fault && i < length; i += rest[i] == '%' ? 3 : 1)
		bytes++;
	if (bytes > SOCKET_PATH_MAX)
		return "write a path of at most 107 bytes, which is all that a socket can have";
	if (fault || !rest[length])
		return fault;
	if (strncmp(rest + length, "?db=", 4) != 0 || !rest[length + 4])
		return "write ?db= and the number of a database after the path, and nothing more";
	return database_fault(rest + length + 4, &parts->database);
}

static const char *server_fault(const char *rest, size_t length, struct parts *parts)
{
	const char *fault;

	if (strchr(rest + length, '@'))
		return "write '/', '?' and '#' of a password as %2F, %3F and %23";
	fault = thr_authority_split(rest, length, &parts->authority);
	if (fault)
		return fault;
	rest += length;
	return database_fault(rest + (*rest == '/'), &parts->database);
}

static const char *parts_fault(const char *text, struct parts *parts)
{
	const char *rest = thr_after_scheme(text, "redis://");
	const char *encrypted = thr_after_scheme(text, "rediss://");
	const char *local = thr_after_scheme(text, "unix://");
	const char *end, *fault;

	rest = rest ? rest : encrypted ? encrypted : local;
	if (!rest)
		return "write redis://HOST:PORT/0, rediss:// for TLS, or unix:///PATH";
	for (size_t i = 0; rest[i]; i++)
		if (rest[i] <= ' ' || rest[i] > '~')
			return "write printable ASCII without spaces, percent-encode the rest";
	parts->tls = encrypted != NULL;
	end = rest + strcspn(rest, "/?#");
	fault = credentials_fault(&rest, (size_t)(end - rest), parts);
	if (fault)
		return fault;
	return local ? socket_fault(rest, parts) : server_fault(rest, (size_t)(end - rest), parts);
}

int thr_redis_url_parse(const char *text, struct thr_redis_config *into, const char **ret_why)
{
	struct parts parts = {0};
	const char *why = parts_fault(text, &parts);
	AUTO_FREE char *url = NULL, *host = NULL, *user = NULL, *password = NULL;
	bool failed = false;
	char *socket;

	if (why) {
		*ret_why = why;
		return -EINVAL;
	}
	url = strdup(text);
	host = parts.socket.at ? NULL : strdup(parts.authority.host);
	user = decode(parts.user, &failed);
	password = decode(parts.password, &failed);
	socket = decode(parts.socket, &failed);
	if (failed || !url || (!host && !socket)) {
		free(socket);
		return -ENOMEM;
	}
	into->url = TAKE_PTR(url);
	into->host = TAKE_PTR(host);
	into->user = TAKE_PTR(user);
	into->password = TAKE_PTR(password);
	into->socket = socket;
	into->port = parts.authority.port ? parts.authority.port : REDIS_PORT;
	into->tls = parts.tls;
	into->database = parts.database;
	return 0;
}
