/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the service manager is told, over both kinds of socket names. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/notify.h"
#include "support/run.h"

/* A socket bound to `name`, where '@' stands for the abstract namespace. */
static int manage(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	size_t length = strlen(name);

	assert_true(fd >= 0);
	memcpy(address.sun_path, name, length);
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)),
			 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
	return fd;
}

static void expect_text(int fd, const char *text)
{
	char got[256] = "";

	assert_true(recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT) > 0);
	assert_string_equal(got, text);
}

static void nobody_is_told_where_nobody_asked(void **state)
{
	(void)state;
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(thr_notify("READY=1"), 0);
	setenv("NOTIFY_SOCKET", "", 1);
	assert_int_equal(thr_notify("READY=1"), 0);
}

static void a_socket_in_the_file_system_is_told(void **state)
{
	char folder[] = "/tmp/xdp-throttle-notify-XXXXXX", name[64];
	int fd;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(name, sizeof(name), "%s/socket", folder);
	fd = manage(name);
	assert_int_equal(thr_notify("READY=1\nSTATUS=%d workers", 2), 0);
	expect_text(fd, "READY=1\nSTATUS=2 workers");
	close(fd);
	unlink(name);
	rmdir(folder);
}

static void an_abstract_socket_is_told(void **state)
{
	char name[64];
	int fd;

	(void)state;
	snprintf(name, sizeof(name), "@xdp-throttle-notify-%d", getpid());
	fd = manage(name);
	assert_int_equal(thr_notify("STOPPING=1"), 0);
	expect_text(fd, "STOPPING=1");
	close(fd);
}

static void a_socket_that_is_gone_is_an_error(void **state)
{
	char name[200];

	(void)state;
	setenv("NOTIFY_SOCKET", "@xdp-throttle-notify-nobody", 1);
	assert_int_equal(thr_notify("READY=1"), -ECONNREFUSED);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	setenv("NOTIFY_SOCKET", name, 1);
	assert_int_equal(thr_notify("READY=1"), -ENAMETOOLONG);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_is_told_where_nobody_asked),
		cmocka_unit_test(a_socket_in_the_file_system_is_told),
		cmocka_unit_test(an_abstract_socket_is_told),
		cmocka_unit_test(a_socket_that_is_gone_is_an_error),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
