/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Accepting from the listeners of slots, and making room, over Unix sockets in the abstract
 * namespace: a connect() that returns is in the queue of its listener. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/acceptor.h"
#include "core/clock.h"
#include "support/run.h"

#define SLOTS 3
#define PLACES 100
#define TURNS_MAX 1000

struct connection {
	struct thr_link item;
	int fd; /* -1: closed */
	uint64_t idle_until_ms;
	struct thr_acceptor *acceptor;
};

static struct {
	struct thr_acceptor acceptor;
	struct thr_loop *loop;
	struct connection accepted[PLACES];
	size_t accepts, fulls;
	int clients[PLACES];
	size_t client_count;
	unsigned int watches_that_fail; /* the next ones */
} ours;

/* In the place of libc's. */
int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
	if (operation == EPOLL_CTL_ADD && ours.watches_that_fail) {
		ours.watches_that_fail--;
		errno = ENOMEM;
		return -1;
	}
	return (int)syscall(SYS_epoll_ctl, epoll, operation, fd, event);
}

static void on_accept(struct thr_acceptor *acceptor, int fd, const struct thr_address *peer)
{
	static const struct thr_address none;
	struct connection *connection = &ours.accepted[ours.accepts++];

	assert_true(ours.accepts <= PLACES);
	assert_memory_equal(peer->bytes, none.bytes, sizeof(none.bytes));
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	*connection = (struct connection){.fd = fd, .acceptor = acceptor};
	thr_acceptor_add(acceptor, &connection->item);
}

static struct connection *connection_of(const struct thr_link *item)
{
	return THR_CONTAINER(item, struct connection, item);
}

static uint64_t idle_until_ms(const struct thr_link *item)
{
	return connection_of(item)->idle_until_ms;
}

static void close_one(struct thr_link *item)
{
	struct connection *connection = connection_of(item);

	thr_acceptor_remove(connection->acceptor, item);
	close(connection->fd);
	connection->fd = -1;
}

static void on_full(struct thr_acceptor *acceptor)
{
	assert_ptr_equal(acceptor, &ours.acceptor);
	ours.fulls++;
}

static const struct thr_acceptor_use use = {
	.accept = on_accept,
	.idle_until_ms = idle_until_ms,
	.close = close_one,
	.full = on_full,
};

static int setup(void **state)
{
	(void)state;
	memset(&ours, 0, sizeof(ours));
	assert_int_equal(thr_loop_new(&ours.loop), 0);
	assert_int_equal(thr_acceptor_init(&ours.acceptor, ours.loop, SLOTS, &use), 0);
	ours.acceptor.max = PLACES;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	thr_acceptor_clear(&ours.acceptor);
	assert_int_equal(ours.acceptor.count, 0);
	thr_loop_free(ours.loop);
	for (size_t i = 0; i < ours.client_count; i++)
		close(ours.clients[i]);
	return 0;
}

/* The address of listener `number`, of this process alone. */
static socklen_t address_of(unsigned int number, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(ret->sun_path + 1, sizeof(ret->sun_path) - 1, "xdpt-acceptor-%d-%u", getpid(),
		 number);
	return sizeof(*ret);
}

/* Returns the listener, which is the acceptor's. */
static int listen_at(unsigned int slot, unsigned int number)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;
	socklen_t length = address_of(number, &address);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
	assert_int_equal(listen(fd, PLACES), 0);
	assert_int_equal(thr_acceptor_listen(&ours.acceptor, slot, fd), 0);
	return fd;
}

/* Returns 0 or a negative errno. */
static int connect_to(unsigned int number)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;
	socklen_t length = address_of(number, &address);

	assert_true(fd >= 0);
	ours.clients[ours.client_count++] = fd;
	return connect(fd, (struct sockaddr *)&address, length) < 0 ? -errno : 0;
}

static void come(unsigned int number)
{
	assert_int_equal(connect_to(number), 0);
}

/* Until so many were accepted. */
static void turn_until(size_t accepts)
{
	for (int turns = 0; ours.accepts < accepts; turns++) {
		assert_true(turns < TURNS_MAX);
		assert_int_equal(thr_loop_turn(ours.loop, 1000), 0);
	}
	assert_int_equal(ours.accepts, accepts);
}

/* What is there already. */
static void turn(void)
{
	assert_int_equal(thr_loop_turn(ours.loop, 0), 0);
}

static void connections_of_all_slots_are_accepted(void **state)
{
	(void)state;
	for (unsigned int slot = 0; slot < SLOTS; slot++) {
		listen_at(slot, slot);
		come(slot);
		come(slot);
	}
	turn_until(2 * SLOTS);
	assert_int_equal(ours.acceptor.count, 2 * SLOTS);
}

static void a_slot_that_is_taken_back_or_given_anew_closes_its_listener(void **state)
{
	(void)state;
	listen_at(0, 0);
	listen_at(1, 1);
	thr_acceptor_unlisten(&ours.acceptor, 0);
	thr_acceptor_unlisten(&ours.acceptor, 0);
	assert_int_equal(connect_to(0), -ECONNREFUSED);
	listen_at(1, 2);
	assert_int_equal(connect_to(1), -ECONNREFUSED);
	come(2);
	turn_until(1);
}

static void of_too_many_the_one_that_is_idle_for_longest_goes(void **state)
{
	static const uint64_t until_ms[] = {0, 30, 20, 40};

	(void)state;
	listen_at(0, 0);
	ours.acceptor.max = 4;
	for (size_t i = 0; i < 4; i++)
		come(0);
	turn_until(4);
	for (size_t i = 0; i < 4; i++)
		ours.accepted[i].idle_until_ms = until_ms[i];
	come(0);
	come(0);
	turn_until(6);
	assert_int_equal(ours.accepted[2].fd, -1);
	assert_int_equal(ours.accepted[1].fd, -1);
	assert_int_equal(ours.acceptor.count, 4);
	assert_int_equal(ours.fulls, 0);
}

static void none_goes_for_nobody(void **state)
{
	(void)state;
	listen_at(0, 0);
	ours.acceptor.max = 2;
	come(0);
	come(0);
	turn_until(2);
	ours.accepted[0].idle_until_ms = ours.accepted[1].idle_until_ms = 1;
	turn();
	assert_int_equal(ours.acceptor.count, 2);
	come(0);
	turn_until(3);
	turn();
	assert_int_equal(ours.acceptor.count, 2);
	assert_int_equal(ours.fulls, 0);
}

static void when_all_are_in_use_new_ones_wait(void **state)
{
	(void)state;
	listen_at(0, 0);
	ours.acceptor.max = 2;
	for (size_t i = 0; i < 3; i++)
		come(0);
	turn_until(2);
	turn();
	assert_int_equal(ours.fulls, 1);
	turn();
	assert_int_equal(ours.fulls, 1);
	close_one(&ours.accepted[0].item);
	turn_until(3);
	assert_int_equal(ours.acceptor.count, 2);
}

/* One connection is in use, as many as there may be, and one more waits. */
static void given_no_room(void)
{
	ours.acceptor.max = 1;
	come(0);
	come(0);
	turn_until(1);
	turn();
	assert_int_equal(ours.fulls, 1);
}

static void a_listener_that_comes_meanwhile_waits_too(void **state)
{
	(void)state;
	listen_at(0, 0);
	given_no_room();
	listen_at(1, 1);
	thr_acceptor_unlisten(&ours.acceptor, 0);
	ours.acceptor.max = 2;
	come(1);
	turn();
	assert_int_equal(ours.accepts, 1);
	turn_until(2);
}

static void what_cannot_be_watched_again_is_tried_again(void **state)
{
	(void)state;
	for (unsigned int slot = 0; slot < SLOTS; slot++)
		listen_at(slot, slot);
	given_no_room();
	come(1);
	come(2);
	ours.acceptor.max = PLACES;
	ours.watches_that_fail = SLOTS;
	turn_until(4);
}

static void without_descriptors_new_ones_wait(void **state)
{
	struct rlimit before, none;

	(void)state;
	listen_at(0, 0);
	come(0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){0, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(thr_loop_turn(ours.loop, 1000), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(ours.accepts, 0);
	turn();
	assert_int_equal(ours.accepts, 0);
	turn_until(1);
	assert_int_equal(ours.fulls, 0);
}

/* As a worker out of control does to a listener that it shares with the others. */
static void a_listener_that_is_shut_costs_no_time(void **state)
{
	uint64_t begin_ns;

	(void)state;
	assert_int_equal(shutdown(listen_at(0, 0), SHUT_RDWR), 0);
	assert_int_equal(thr_loop_turn(ours.loop, 1000), 0);
	begin_ns = thr_clock_monotonic_ns();
	assert_int_equal(thr_loop_turn(ours.loop, 50), 0);
	assert_true(thr_clock_monotonic_ns() - begin_ns > 20 * THR_NS_PER_MS);
}

static void after_the_stop_nobody_is_accepted(void **state)
{
	(void)state;
	listen_at(0, 0);
	given_no_room();
	thr_acceptor_stop(&ours.acceptor);
	assert_int_equal(connect_to(0), -ECONNREFUSED);
	listen_at(1, 1);
	come(1);
	ours.acceptor.max = 2;
	/* Longer than it waits before it tries again. */
	assert_int_equal(thr_loop_turn(ours.loop, 150), 0);
	turn();
	assert_int_equal(ours.accepts, 1);
	assert_int_equal(ours.acceptor.count, 1);
}

#define ACCEPTOR_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		ACCEPTOR_TEST(connections_of_all_slots_are_accepted),
		ACCEPTOR_TEST(a_slot_that_is_taken_back_or_given_anew_closes_its_listener),
		ACCEPTOR_TEST(of_too_many_the_one_that_is_idle_for_longest_goes),
		ACCEPTOR_TEST(none_goes_for_nobody),
		ACCEPTOR_TEST(when_all_are_in_use_new_ones_wait),
		ACCEPTOR_TEST(a_listener_that_comes_meanwhile_waits_too),
		ACCEPTOR_TEST(what_cannot_be_watched_again_is_tried_again),
		ACCEPTOR_TEST(without_descriptors_new_ones_wait),
		ACCEPTOR_TEST(a_listener_that_is_shut_costs_no_time),
		ACCEPTOR_TEST(after_the_stop_nobody_is_accepted),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
