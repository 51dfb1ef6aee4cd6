/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the master and a worker say to each other, over a pair of sockets that
 * keeps messages apart (SOCK_SEQPACKET) and carries descriptors:
 *
 *   master                                   worker
 *     CONFIG generation, text, targets[, listener] ->   parses in a thread of its own
 *                        <- CONFIGURED generation, code[, text]
 *     LISTEN slot, listener ->                 accepts for a worker that is down
 *                        <- UNLISTEN slot      it could not
 *     UNLISTEN slot ->                         that one is back
 *     DRAIN ->                                 accepts no more, ends when idle
 *
 * The end of the channel is a message too: the other process has ended. Neither
 * side ever waits for the other.
 */
#ifndef THR_MESSAGE_H
#define THR_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

enum thr_message_kind {
	THR_MESSAGE_CONFIG,
	THR_MESSAGE_CONFIGURED,
	THR_MESSAGE_LISTEN,
	THR_MESSAGE_UNLISTEN,
	THR_MESSAGE_DRAIN,
};

struct thr_message {
	uint32_t kind;
	uint32_t slot; /* LISTEN, UNLISTEN */
	uint64_t generation;
	/* CONFIGURED: 0, or a negative errno with the text. As received by who takes
	 * descriptors: -EMFILE when the message had some and there was no room for all
	 * of them, and then it has none. */
	int32_t code;
	char text[512]; /* CONFIG: the file's name; CONFIGURED: what went wrong */
};

/* The descriptors of a CONFIG, in this order; a LISTEN has one. */
enum { THR_FD_TEXT, THR_FD_TARGETS, THR_FD_LISTENER, THR_MESSAGE_FDS };

/* Two ends that do not block and are closed on exec. Returns 0 or a negative
 * errno. */
int thr_message_pair(int ret_ends[static 2]);

/* Send with the first descriptors of `fds` up to the first -1; they stay the
 * caller's. `fds` may be NULL. Returns 0 or a negative errno: -EAGAIN when the
 * other side has not read for long. */
int thr_message_send(int channel, const struct thr_message *message, const int *fds);

/*
 * Receive one. With `ret_fds`, descriptors become the caller's, -1 where there
 * are none; without, the kernel drops them. Returns 1, 0 when there is nothing to
 * receive, -EPIPE at the end of the channel, -EPROTO for what is not a message.
 */
int thr_message_receive(int channel, struct thr_message *ret_message, int *ret_fds);

#endif
