/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a worker can and cannot do once it gave up its privileges: tried in a child
 * process each. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "daemon/privileges.h"
#include "support/run.h"

/* The wait status of a child that does `attempt` in the sandbox and exits with what
 * it returns. */
static int try_in_sandbox(int (*attempt)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(thr_sandbox_enter(NULL) ? 99 : attempt());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void need_sandbox(void)
{
	if (!thr_sandbox_exists())
		THR_SKIP("built with a sanitizer, which needs more system calls");
}

static void *touch(void *argument)
{
	char *bytes = malloc(1 << 20);

	if (!bytes)
		return NULL;
	memset(bytes, 1, 1 << 20);
	free(bytes);
	return argument;
}

static int run_a_thread(void)
{
	pthread_t thread;
	void *result = NULL;
	int given = 0;

	if (pthread_create(&thread, NULL, touch, &given))
		return 1;
	return pthread_join(thread, &result) || result != &given;
}

static int read_a_file(void)
{
	AUTO_FCLOSE FILE *file = fopen("/etc/passwd", "r");
	char line[16];

	return !file || !fgets(line, sizeof(line), file);
}

static int use_the_network(void)
{
	AUTO_CLOSE int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	AUTO_CLOSE int udp = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = {.sin_family = AF_INET};

	const struct linger at_once = {.l_onoff = 1};
	int one = 1;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return tcp < 0 || (udp < 0 && errno != EAFNOSUPPORT) ||
	       setsockopt(tcp, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) ||
	       setsockopt(tcp, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)) ||
	       fcntl(tcp, F_SETFL, fcntl(tcp, F_GETFL) | O_NONBLOCK) ||
	       (connect(tcp, (struct sockaddr *)&address, sizeof(address)) && errno == ENOSYS);
}

/* What would be felt by the others who have the socket. */
static int let_it_block(void)
{
	AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int off = 0;

	return fd < 0 || !fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) || errno != ENOSYS ||
	       !fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC) || errno != ENOSYS ||
	       !ioctl(fd, FIONBIO, &off) || errno != ENOSYS;
}

static int set_other_options(void)
{
	AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1;

	return fd < 0 || !setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) ||
	       errno != ENOSYS || !setsockopt(fd, IPPROTO_TCP, SO_LINGER, &one, sizeof(one)) ||
	       errno != ENOSYS;
}

static int open_a_port(void)
{
	AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 || listen(fd, 1) == 0 || errno != ENOSYS;
}

static int write_a_file(void)
{
	return open("/dev/null", O_WRONLY) >= 0 || errno != ENOSYS;
}

static int open_a_netlink_socket(void)
{
	return socket(AF_NETLINK, SOCK_RAW, 0) >= 0 || errno != ENOSYS;
}

static int map_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
	       MAP_FAILED;
}

static int make_a_process(void)
{
	return fork() >= 0;
}

static int signal_another(void)
{
	return kill(getppid(), 0) == 0;
}

static int execute(void)
{
	execl("/bin/true", "true", NULL);
	return 0;
}

static void what_serving_takes_is_allowed(void **state)
{
	static int (*const attempts[])(void) = {run_a_thread, read_a_file, use_the_network};

	(void)state;
	need_sandbox();
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++)
		assert_int_equal(try_in_sandbox(attempts[i]), 0);
}

static void what_it_does_not_take_fails(void **state)
{
	static int (*const attempts[])(void) = {
		write_a_file,	open_a_port,	open_a_netlink_socket, map_code,
		make_a_process, signal_another, let_it_block,	       set_other_options};

	(void)state;
	need_sandbox();
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++)
		assert_int_equal(try_in_sandbox(attempts[i]), 0);
}

static void what_only_an_intruder_does_kills(void **state)
{
	int status;

	(void)state;
	need_sandbox();
	status = try_in_sandbox(execute);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

/* A line of /proc/self/status, without its name. */
static bool status_says(const char *name, const char *value)
{
	AUTO_FCLOSE FILE *file = fopen("/proc/self/status", "r");
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, name, strlen(name)) == 0)
			return strstr(line, value) != NULL;
	return false;
}

static int drop_and_look(const struct thr_run_as *run_as)
{
	static const char none[] = "0000000000000000";

	if (thr_privileges_drop(run_as, NULL))
		return 1;
	if (getuid() != run_as->uid || geteuid() != run_as->uid || getgid() != run_as->gid)
		return 2;
	if (getgroups(0, NULL) != 0 || !status_says("NoNewPrivs:", "1"))
		return 3;
	return status_says("CapPrm:", none) && status_says("CapEff:", none) &&
			       status_says("CapInh:", none) && status_says("CapBnd:", none) &&
			       status_says("CapAmb:", none) && setuid(0) != 0
		       ? 0
		       : 4;
}

static void root_becomes_the_user_without_anything_left(void **state)
{
	struct thr_run_as run_as;
	int status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		THR_SKIP("needs root");
	assert_int_equal(thr_run_as_find(NULL, &run_as, NULL), 0);
	assert_true(run_as.change);
	assert_true(run_as.uid > 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(drop_and_look(&run_as));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void a_user_that_does_not_exist_is_named(void **state)
{
	struct thr_run_as run_as;
	struct thr_error error;

	(void)state;
	if (geteuid() != 0)
		THR_SKIP("needs root");
	assert_true(thr_run_as_find("no-such-user", &run_as, &error) < 0);
	assert_non_null(strstr(error.text, "server.user no-such-user: no such user"));
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_serving_takes_is_allowed),
		cmocka_unit_test(what_it_does_not_take_fails),
		cmocka_unit_test(what_only_an_intruder_does_kills),
		cmocka_unit_test(root_becomes_the_user_without_anything_left),
		cmocka_unit_test(a_user_that_does_not_exist_is_named),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
