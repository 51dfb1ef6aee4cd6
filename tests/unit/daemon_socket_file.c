/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Unix sockets that listen: one for all workers, and its file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/listener.h"
#include "daemon/socket_file.h"
#include "support/run.h"

#define LISTENERS 3

struct fixture {
	char folder[32], path[64];
	struct thr_endpoint endpoint;
	int fds[LISTENERS];
	struct thr_error error;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	if (!fixture)
		return -1;
	strcpy(fixture->folder, "/tmp/thr-socket-XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	snprintf(fixture->path, sizeof(fixture->path), "%s/socket", fixture->folder);
	fixture->endpoint = (struct thr_endpoint){.path = fixture->path,
						  .group = (gid_t)-1,
						  .address_key = "api.listen",
						  .port_key = "api.listen"};
	memset(fixture->fds, -1, sizeof(fixture->fds));
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	thr_listeners_close(fixture->fds, LISTENERS);
	unlink(fixture->path);
	rmdir(fixture->folder);
	free(fixture);
	return 0;
}

static int open_them(struct fixture *fixture)
{
	return thr_listeners_open(&fixture->endpoint, false, fixture->fds, LISTENERS,
				  &fixture->error);
}

static bool can_connect(const struct fixture *fixture)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool can;

	strcpy(address.sun_path, fixture->path);
	can = !connect(fd, (struct sockaddr *)&address, sizeof(address));
	close(fd);
	return can;
}

static void every_worker_can_accept_from_it(void **state)
{
	struct fixture *fixture = *state;
	char text[THR_LISTEN_TEXT];

	assert_int_equal(open_them(fixture), 0);
	for (size_t i = 0; i < LISTENERS; i++) {
		int fd;

		assert_true(can_connect(fixture));
		fd = accept4(fixture->fds[i], NULL, NULL, SOCK_CLOEXEC);
		assert_true(fd >= 0);
		close(fd);
		assert_true(fcntl(fixture->fds[i], F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(fixture->fds[i], F_GETFD) & FD_CLOEXEC);
	}
	thr_listen_format(&fixture->endpoint, text);
	assert_string_equal(text, fixture->path);
}

static void its_mode_is_the_same_under_every_umask(void **state)
{
	static const mode_t masks[] = {0, 022, 077, 0777};
	struct fixture *fixture = *state;
	struct stat status;

	for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
		mode_t before = umask(masks[i]);

		assert_int_equal(open_them(fixture), 0);
		umask(before);
		assert_int_equal(stat(fixture->path, &status), 0);
		assert_int_equal(status.st_mode & 07777, 0660);
		thr_listeners_close(fixture->fds, LISTENERS);
	}
}

static void its_group_is_that_of_the_workers(void **state)
{
	struct fixture *fixture = *state;
	struct stat status;

	if (getuid())
		THR_SKIP("needs root to give a file to another group");
	fixture->endpoint.group = 12345;
	assert_int_equal(open_them(fixture), 0);
	assert_int_equal(stat(fixture->path, &status), 0);
	assert_int_equal(status.st_gid, 12345);
	assert_int_equal(status.st_uid, 0);
}

static void a_file_that_nobody_answers_is_replaced(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(open_them(fixture), 0);
	thr_listeners_close(fixture->fds, LISTENERS);
	assert_int_equal(access(fixture->path, F_OK), 0);
	assert_int_equal(open_them(fixture), 0);
	assert_true(can_connect(fixture));
}

static void one_that_is_answered_is_left_alone(void **state)
{
	struct fixture *fixture = *state;
	int more[LISTENERS];

	assert_int_equal(open_them(fixture), 0);
	assert_int_equal(
		thr_listeners_open(&fixture->endpoint, false, more, LISTENERS, &fixture->error),
		-EADDRINUSE);
	assert_non_null(strstr(fixture->error.text, "in use by another process"));
	assert_non_null(strstr(fixture->error.text, "another api.listen"));
	assert_true(can_connect(fixture));
}

static void what_is_no_socket_is_left_alone(void **state)
{
	struct fixture *fixture = *state;
	int fd = open(fixture->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(open_them(fixture), -EEXIST);
	assert_non_null(strstr(fixture->error.text, "no socket: remove it"));
	for (size_t i = 0; i < LISTENERS; i++)
		assert_int_equal(fixture->fds[i], -1);
	assert_int_equal(access(fixture->path, F_OK), 0);
}

static void only_its_own_file_is_removed(void **state)
{
	struct fixture *fixture = *state;
	struct thr_socket_file file, gone;

	assert_int_equal(open_them(fixture), 0);
	thr_socket_file_note(fixture->path, &gone);
	file = gone;
	thr_socket_file_remove(&gone);
	assert_int_equal(access(fixture->path, F_OK), -1);
	assert_int_equal(symlink("elsewhere", fixture->path), 0);
	thr_socket_file_remove(&file);
	assert_int_equal(faccessat(AT_FDCWD, fixture->path, F_OK, AT_SYMLINK_NOFOLLOW), 0);
}

static void one_that_was_shut_down_is_replaced(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(open_them(fixture), 0);
	assert_int_equal(thr_listener_mend(&fixture->endpoint, &fixture->fds[0], NULL), 0);
	assert_int_equal(shutdown(fixture->fds[1], SHUT_RDWR), 0);
	assert_false(can_connect(fixture));
	assert_int_equal(thr_listener_mend(&fixture->endpoint, &fixture->fds[0], NULL), 1);
	assert_true(can_connect(fixture));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(every_worker_can_accept_from_it),
		TEST(its_mode_is_the_same_under_every_umask),
		TEST(its_group_is_that_of_the_workers),
		TEST(a_file_that_nobody_answers_is_replaced),
		TEST(one_that_is_answered_is_left_alone),
		TEST(what_is_no_socket_is_left_alone),
		TEST(only_its_own_file_is_removed),
		TEST(one_that_was_shut_down_is_replaced),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
