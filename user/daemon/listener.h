/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The sockets that clients connect to: one for each worker, on one address, and
 * the kernel spreads connections over them (SO_REUSEPORT), so that no worker
 * waits for another and none is woken in vain.
 *
 * SO_REUSEPORT alone would let a second `run` of the same user take half of the
 * clients in silence. So the first socket is bound and listens without it, which
 * the kernel grants to one process only, and is opened for the others after that.
 *
 * A Unix socket is one for all workers, each with a descriptor of its own: a path cannot be
 * bound twice. All of them are woken by a connection and one gets it, which is well
 * for a few clients that keep theirs; see socket_file.h.
 */
#ifndef THR_LISTENER_H
#define THR_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/error.h"

/* What clients connect to. */
enum thr_front { THR_FRONT_PROXY, THR_FRONT_API, THR_FRONTS };

/* Where. Strings are the configuration's. */
struct thr_endpoint {
	const char *address; /* without brackets; NULL: every one, IPv4 and IPv6 */
	uint16_t port;
	const char *path; /* of a Unix socket; NULL: the two above */
	gid_t group;	  /* that may connect to it; -1: this process's */
	/* The keys to be changed where it cannot be had. */
	const char *address_key, *port_key;
};

#define THR_LISTEN_TEXT 128

/* "192.0.2.1:8080", "[2001:db8::1]:8080", "*:8080" for every address, "/run/socket". */
void thr_listen_format(const struct thr_endpoint *endpoint, char text[static THR_LISTEN_TEXT]);

/*
 * Open `count` sockets that listen, do not block and are closed on exec. Without
 * an address: IPv6 and IPv4, or IPv4 where the machine has no IPv6. With `shared`
 * the port may be one that sockets of ours already listen on. Returns 0, or a
 * negative errno with `error` set and nothing open.
 */
int thr_listeners_open(const struct thr_endpoint *endpoint, bool shared, int *ret_fds, size_t count,
		       struct thr_error *error);

/*
 * Whether sockets of both could not listen at the same time without SO_REUSEPORT: the
 * same port, and the same address or one of them every address.
 */
bool thr_listeners_collide(const struct thr_endpoint *a, const struct thr_endpoint *b);

/* Whether both are the same place. */
bool thr_endpoint_is(const struct thr_endpoint *a, const struct thr_endpoint *b);

/*
 * Undo what a worker may have done to a listener that it had: it does not block, and
 * one that was shut down is replaced, beside those of the others. Returns 0, 1 when it was
 * replaced, or a negative errno with `error` set; a listener that cannot be replaced is -1 then.
 */
int thr_listener_mend(const struct thr_endpoint *endpoint, int *fd, struct thr_error *error);

/* Closes and sets to -1. */
void thr_listeners_close(int *fds, size_t count);

#endif
