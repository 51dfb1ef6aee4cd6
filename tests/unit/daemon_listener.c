/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The listeners of the workers: one port, shared among them and with nobody else. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/listener.h"
#include "support/run.h"

#define LISTENERS 3

static const char loopback[] = "127.0.0.1";

/* A port of 127.0.0.1 that was free a moment ago: `ret_holder` keeps it bound, and
 * does not listen, so that SO_REUSEADDR lets others in. */
static uint16_t pick_port(int *ret_holder)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)), 0);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	*ret_holder = fd;
	return ntohs(address.sin_port);
}

static int connect_to(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	close(fd);
	return -1;
}

static int get(int fd, int level, int option)
{
	int value = -1;
	socklen_t length = sizeof(value);

	assert_int_equal(getsockopt(fd, level, option, &value, &length), 0);
	return value;
}

static void every_listener_gets_its_share_of_connections(void **state)
{
	struct thr_endpoint server = {.address = loopback};
	int fds[LISTENERS], clients[64], holder;
	struct pollfd polls[LISTENERS];

	(void)state;
	server.port = pick_port(&holder);
	assert_int_equal(thr_listeners_open(&server, false, fds, LISTENERS, NULL), 0);
	close(holder);
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		assert_true((clients[i] = connect_to(server.port)) >= 0);
	for (size_t i = 0; i < LISTENERS; i++)
		polls[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
	/* That none of 64 goes to one of three: 5 in 10^12. */
	assert_int_equal(poll(polls, LISTENERS, 1000), LISTENERS);
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		close(clients[i]);
	thr_listeners_close(fds, LISTENERS);
}

static void listeners_do_not_block_and_do_not_delay(void **state)
{
	struct thr_endpoint server = {.address = loopback};
	int fds[LISTENERS], holder;

	(void)state;
	server.port = pick_port(&holder);
	assert_int_equal(thr_listeners_open(&server, false, fds, LISTENERS, NULL), 0);
	for (size_t i = 0; i < LISTENERS; i++) {
		assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
		assert_int_equal(get(fds[i], IPPROTO_TCP, TCP_NODELAY), 1);
		assert_int_equal(get(fds[i], SOL_SOCKET, SO_REUSEPORT), 1);
	}
	thr_listeners_close(fds, LISTENERS);
	assert_int_equal(fds[0], -1);
	close(holder);
}

static void a_second_user_of_the_port_is_refused(void **state)
{
	struct thr_endpoint server = {.address = loopback};
	int fds[LISTENERS], more[LISTENERS], holder;
	struct thr_error error;

	(void)state;
	server.port = pick_port(&holder);
	assert_int_equal(thr_listeners_open(&server, false, fds, LISTENERS, NULL), 0);
	assert_int_equal(thr_listeners_open(&server, false, more, LISTENERS, &error), -EADDRINUSE);
	assert_non_null(strstr(error.text, "127.0.0.1:"));
	assert_non_null(strstr(error.text, "in use by another process"));
	for (size_t i = 0; i < LISTENERS; i++)
		assert_int_equal(more[i], -1);
	thr_listeners_close(fds, LISTENERS);
	close(holder);
}

static void our_own_port_is_taken_over_for_another_address(void **state)
{
	struct thr_endpoint server = {.address = loopback}, everywhere = {0};
	int fds[LISTENERS], more[LISTENERS], holder;

	(void)state;
	server.port = pick_port(&holder);
	close(holder);
	everywhere.port = server.port;
	assert_int_equal(thr_listeners_open(&server, false, fds, LISTENERS, NULL), 0);
	assert_int_equal(thr_listeners_open(&everywhere, true, more, LISTENERS, NULL), 0);
	thr_listeners_close(fds, LISTENERS);
	holder = connect_to(server.port);
	assert_true(holder >= 0);
	close(holder);
	thr_listeners_close(more, LISTENERS);
}

static void a_listener_that_blocks_is_mended(void **state)
{
	struct thr_endpoint server = {.address = loopback};
	int fds[LISTENERS], holder, fd;

	(void)state;
	server.port = pick_port(&holder);
	assert_int_equal(thr_listeners_open(&server, false, fds, LISTENERS, NULL), 0);
	close(holder);
	fd = fds[0];
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
	assert_int_equal(thr_listener_mend(&server, &fds[0], NULL), 0);
	assert_int_equal(fds[0], fd);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	thr_listeners_close(fds, LISTENERS);
}

static void a_listener_that_was_shut_down_is_replaced(void **state)
{
	struct thr_endpoint server = {.address = loopback};
	int fds[LISTENERS], holder, client;

	(void)state;
	server.port = pick_port(&holder);
	assert_int_equal(thr_listeners_open(&server, false, fds, LISTENERS, NULL), 0);
	close(holder);
	for (size_t i = 0; i < LISTENERS; i++)
		assert_int_equal(shutdown(fds[i], SHUT_RDWR), 0);
	assert_int_equal(connect_to(server.port), -1);
	assert_int_equal(thr_listener_mend(&server, &fds[1], NULL), 1);
	assert_int_equal(get(fds[1], SOL_SOCKET, SO_ACCEPTCONN), 1);
	client = connect_to(server.port);
	assert_true(client >= 0);
	close(client);
	thr_listeners_close(fds, LISTENERS);
}

static void addresses_collide_where_one_holds_the_other(void **state)
{
	static const struct {
		const char *a, *b;
		bool collide;
	} cases[] = {
		{NULL, NULL, true},
		{NULL, "127.0.0.1", true},
		{NULL, "::1", true},
		{"::", "127.0.0.1", true},
		{"0.0.0.0", "127.0.0.1", true},
		{"0.0.0.0", "::", true},
		{"127.0.0.1", "127.0.0.1", true},
		{"::1", "::0:1", true},
		{"127.0.0.1", "127.0.0.2", false},
		{"127.0.0.1", "::1", false},
		{"0.0.0.0", "::1", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct thr_endpoint a = {.address = cases[i].a, .port = 80};
		struct thr_endpoint b = {.address = cases[i].b, .port = 80};

		assert_int_equal(thr_listeners_collide(&a, &b), cases[i].collide);
		assert_int_equal(thr_listeners_collide(&b, &a), cases[i].collide);
		b.port = 81;
		assert_false(thr_listeners_collide(&a, &b));
	}
}

static void without_an_address_ipv4_comes_in_too(void **state)
{
	struct thr_endpoint server = {0};
	int fd, client, holder;

	(void)state;
	server.port = pick_port(&holder);
	close(holder);
	assert_int_equal(thr_listeners_open(&server, false, &fd, 1, NULL), 0);
	client = connect_to(server.port);
	assert_true(client >= 0);
	close(client);
	thr_listeners_close(&fd, 1);
}

static void an_address_that_is_not_here_is_named(void **state)
{
	char address[] = "192.0.2.77", text[THR_LISTEN_TEXT];
	struct thr_endpoint server = {.address = address,
				      .port = 8080,
				      .address_key = "server.address",
				      .port_key = "server.port"};
	struct thr_error error;
	int fd;

	(void)state;
	assert_int_equal(thr_listeners_open(&server, false, &fd, 1, &error), -EADDRNOTAVAIL);
	assert_non_null(strstr(error.text, "192.0.2.77:8080: "));
	assert_non_null(strstr(error.text, "server.address"));

	server.address = NULL;
	thr_listen_format(&server, text);
	assert_string_equal(text, "*:8080");
	strcpy(address, "::1");
	server.address = address;
	thr_listen_format(&server, text);
	assert_string_equal(text, "[::1]:8080");
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_listener_gets_its_share_of_connections),
		cmocka_unit_test(listeners_do_not_block_and_do_not_delay),
		cmocka_unit_test(a_second_user_of_the_port_is_refused),
		cmocka_unit_test(our_own_port_is_taken_over_for_another_address),
		cmocka_unit_test(a_listener_that_blocks_is_mended),
		cmocka_unit_test(a_listener_that_was_shut_down_is_replaced),
		cmocka_unit_test(addresses_collide_where_one_holds_the_other),
		cmocka_unit_test(without_an_address_ipv4_comes_in_too),
		cmocka_unit_test(an_address_that_is_not_here_is_named),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
