/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Listeners, shortages and who makes room; see acceptor.h. */
#include "core/acceptor.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_A_TURN 64 /* before connections that are open get their turn */
#define RETRY_MS 100
#define IDLE_LOOKS 64 /* at connections, for one to close when there are too many */

struct thr_listener {
	struct thr_io io;
	struct thr_acceptor *acceptor;
};

static void pause_accepting(struct thr_acceptor *acceptor)
{
	for (unsigned int i = 0; i < acceptor->slots; i++)
		thr_loop_forget(acceptor->loop, &acceptor->listeners[i].io);
	acceptor->accepting = false;
	thr_loop_arm(acceptor->loop, &acceptor->retry, RETRY_MS);
}

static void on_retry(struct thr_timer *timer)
{
	struct thr_acceptor *acceptor = THR_CONTAINER(timer, struct thr_acceptor, retry);

	acceptor->accepting = true;
	for (unsigned int i = 0; i < acceptor->slots; i++) {
		struct thr_io *io = &acceptor->listeners[i].io;

		/* The kernel may still be short of what watching takes. */
		if (io->fd >= 0 && thr_loop_watch_level(acceptor->loop, io, EPOLLIN) < 0) {
			pause_accepting(acceptor);
			return;
		}
	}
}

/* The connection that has been idle for longest, of the next ones in a row: what ordering all
 * of them would cost with each request is not worth the difference. */
static struct thr_link *find_idle(struct thr_acceptor *acceptor)
{
	struct thr_link *found = NULL;
	uint64_t found_ms = 0;

	for (size_t i = 0; i < IDLE_LOOKS && i < acceptor->count; i++) {
		struct thr_link *item = acceptor->connections.next;
		uint64_t until_ms = acceptor->use->idle_until_ms(item);

		thr_link_remove(item);
		thr_link_add_last(&acceptor->connections, item);
		if (until_ms && (!found || until_ms < found_ms)) {
			found = item;
			found_ms = until_ms;
		}
	}
	return found;
}

static bool make_room(struct thr_acceptor *acceptor)
{
	struct thr_link *idle;

	if (acceptor->count < acceptor->max)
		return true;
	idle = find_idle(acceptor);
	if (idle)
		acceptor->use->close(idle);
	else if (acceptor->use->full)
		acceptor->use->full(acceptor);
	return idle;
}

/* Whether accept4() failed for want of what other connections hold. */
static bool is_shortage(int code)
{
	return code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM;
}

/* Whether it failed because the listener was shut, which a worker that is out of control can
 * do to one that it shares: nobody will ever come by it. */
static bool is_shut(int code, uint32_t events)
{
	return code == EINVAL || (code == EAGAIN && events & EPOLLHUP);
}

static void on_connections(struct thr_io *io, uint32_t events)
{
	struct thr_acceptor *acceptor = THR_CONTAINER(io, struct thr_listener, io)->acceptor;

	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct sockaddr_storage from = {0};
		socklen_t length = sizeof(from);
		struct thr_address peer;
		int fd;

		/* That somebody waits is only known when the turn begins: for him alone one
		 * goes. */
		if (i && acceptor->count >= acceptor->max)
			return;
		if (!make_room(acceptor)) {
			pause_accepting(acceptor);
			return;
		}
		fd = accept4(io->fd, (struct sockaddr *)&from, &length,
			     SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && is_shortage(errno)) {
			pause_accepting(acceptor);
			return;
		}
		if (fd < 0 && is_shut(errno, events)) {
			thr_loop_forget(acceptor->loop, io);
			return;
		}
		if (fd < 0 && errno == EAGAIN)
			return;
		if (fd < 0)
			continue; /* that connection is gone already: accept(2) */
		thr_address_from_sockaddr((struct sockaddr *)&from, &peer);
		acceptor->use->accept(acceptor, fd, &peer);
	}
}

int thr_acceptor_init(struct thr_acceptor *acceptor, struct thr_loop *loop, unsigned int slots,
		      const struct thr_acceptor_use *use)
{
	*acceptor = (struct thr_acceptor){
		.use = use,
		.loop = loop,
		.retry.fire = on_retry,
		.accepting = true,
	};
	thr_link_init(&acceptor->connections);
	acceptor->listeners = calloc(slots, sizeof(*acceptor->listeners));
	if (!acceptor->listeners)
		return -ENOMEM;
	acceptor->slots = slots;
	for (unsigned int i = 0; i < slots; i++)
		acceptor->listeners[i] = (struct thr_listener){{-1, on_connections}, acceptor};
	return 0;
}

int thr_acceptor_listen(struct thr_acceptor *acceptor, unsigned int slot, int fd)
{
	struct thr_io *io = &acceptor->listeners[slot].io;

	thr_acceptor_unlisten(acceptor, slot);
	io->fd = fd;
	return acceptor->accepting ? thr_loop_watch_level(acceptor->loop, io, EPOLLIN) : 0;
}

void thr_acceptor_unlisten(struct thr_acceptor *acceptor, unsigned int slot)
{
	struct thr_io *io = &acceptor->listeners[slot].io;

	if (io->fd < 0)
		return;
	thr_loop_forget(acceptor->loop, io);
	close(io->fd);
	io->fd = -1;
}

void thr_acceptor_stop(struct thr_acceptor *acceptor)
{
	for (unsigned int i = 0; i < acceptor->slots; i++)
		thr_acceptor_unlisten(acceptor, i);
	acceptor->accepting = false;
	thr_loop_disarm(acceptor->loop, &acceptor->retry);
}

void thr_acceptor_add(struct thr_acceptor *acceptor, struct thr_link *item)
{
	thr_link_add_last(&acceptor->connections, item);
	acceptor->count++;
}

void thr_acceptor_remove(struct thr_acceptor *acceptor, struct thr_link *item)
{
	thr_link_remove(item);
	acceptor->count--;
}

void thr_acceptor_clear(struct thr_acceptor *acceptor)
{
	thr_acceptor_stop(acceptor);
	while (!thr_link_is_empty(&acceptor->connections))
		acceptor->use->close(acceptor->connections.next);
	free(acceptor->listeners);
	acceptor->listeners = NULL;
	acceptor->slots = 0;
}
