/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the master and a worker say to each other, over a pair of sockets that
 * keeps messages apart (SOCK_SEQPACKET) and carries descriptors:
 *
 *   master                                   worker
 *     CONFIG generation, text, targets,
 *            secrets[, listeners] ->           parses in a thread of its own
 *                        <- CONFIGURED generation, code[, text]
 *     LISTEN slot, front, listener ->          accepts for a worker that is down
 *                        <- UNLISTEN slot, front   it could not
 *     UNLISTEN slot, front ->                  that one is back
 *                        <- CHANGE change      of what is set for a key
 *     CHANGED changed ->                       it is on disk and in force, or why not
 *     DRAIN ->                                 accepts no more, ends when idle
 *
 * The end of the channel is a message too: the other process has ended. Neither
 * side ever waits for the other.
 */
#ifndef THR_MESSAGE_H
#define THR_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/listener.h"
#include "store/store.h"

enum thr_message_kind {
	THR_MESSAGE_CONFIG,
	THR_MESSAGE_CONFIGURED,
	THR_MESSAGE_LISTEN,
	THR_MESSAGE_UNLISTEN,
	THR_MESSAGE_CHANGE,
	THR_MESSAGE_CHANGED,
	THR_MESSAGE_DRAIN,
};

/* Changes of a worker that are not answered, at most. Either side of the channel holds more than
 * twice as many messages (167 by the kernel's default of net.core.wmem_default), so that neither
 * they nor their answers fill it. */
#define THR_CHANGES_MAX 64

/* A struct thr_change without pointers, and without types that not every bit pattern
 * is a value of: a worker may say anything. */
struct thr_message_change {
	uint64_t number; /* the worker's own */
	uint64_t capacity;
	double refill_per_s;
	uint64_t version[THR_VERSIONS_MAX];
	uint32_t kind; /* PUT or DELETE of enum thr_change_kind */
	uint32_t on_error;
	uint32_t condition;
	uint32_t any;
	uint32_t version_count;
	uint32_t key_length;
	char key[THR_KEY_MAX];
};

struct thr_message_changed {
	uint64_t number;
	uint64_t version;
	uint32_t result; /* enum thr_change_result */
	char why[160];
};

struct thr_message {
	uint32_t kind;
	uint32_t slot;	/* LISTEN, UNLISTEN */
	uint32_t front; /* LISTEN, UNLISTEN: enum thr_front */
	uint32_t fds;	/* bits of the descriptors that come with it; set by sending */
	uint64_t generation;
	/* CONFIGURED: 0, or a negative errno with the text. As received by who takes
	 * descriptors: -EMFILE when the message had some and there was no room for all
	 * of them, and then it has none. */
	int32_t code;
	union {
		char text[512]; /* CONFIG: the file's name; CONFIGURED: what went wrong */
		struct thr_message_change change;
		struct thr_message_changed changed;
	};
};

/* The descriptors of a CONFIG; a LISTEN has one, the first. */
enum {
	THR_FD_TEXT,
	THR_FD_TARGETS,
	THR_FD_SECRETS,
	THR_FD_LISTENERS, /* one for each front */
	THR_MESSAGE_FDS = THR_FD_LISTENERS + THR_FRONTS
};

/* Two ends that do not block and are closed on exec. Returns 0 or a negative
 * errno. */
int thr_message_pair(int ret_ends[static 2]);

/* Send with those of THR_MESSAGE_FDS descriptors that are not -1; they stay the
 * caller's. `fds` may be NULL. Returns 0 or a negative errno: -EAGAIN when the
 * other side has not read for long. */
int thr_message_send(int channel, const struct thr_message *message, const int *fds);

/*
 * Receive one. With `ret_fds`, descriptors become the caller's, each where it was
 * sent from, -1 where there is none; without, the kernel drops them. Returns 1, 0 when there
 * is nothing to receive, -EPIPE at the end of the channel, -EPROTO for what is not a message.
 */
int thr_message_receive(int channel, struct thr_message *ret_message, int *ret_fds);

#endif
