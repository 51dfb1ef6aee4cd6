/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel must be set to for `on_overload: challenge`, where the XDP program
 * answers a SYN with a cookie of the kernel's:
 *
 *   net.ipv4.tcp_syncookies = 2   else it makes no cookie while its own queue has room
 *   net.ipv4.tcp_timestamps = 2   without random offsets: the timestamp of the SYN-ACK
 *                                 carries window scale and SACK, and XDP writes it
 *
 * Both belong to the network namespace, and so are set while a throttle in it challenges,
 * and put back after that. What they were is kept in thr_live, with the program: the
 * command that restores them is seldom the one that set them. A kernel where they cannot
 * be set (/proc/sys is read-only in many containers) still has a throttle: SYNs that it
 * cannot challenge are dropped and counted.
 *
 * Callers hold thr_lock().
 */
#ifndef THR_CONTROL_CHALLENGE_H
#define THR_CONTROL_CHALLENGE_H

#include "config/config.h"
#include "control/instance.h"
#include "control/notices.h"

/* Whether SYNs are to be answered under `tables`: monitoring changes nothing. */
bool thr_challenge_is_wanted(const struct thr_tables *tables);

/* Set what `tables` need, where they want it, before they are in force, and fill in what a
 * SYN-ACK may offer. The instance is attached: what was set is forgotten with it. */
void thr_challenge_prepare(struct thr_instance *instance, const struct thr_tables *tables,
			   struct thr_notices *notices);

/* Put back what was set, unless somebody else changed it in the meantime, or another
 * throttle of this network namespace needs it: then that one puts it back. For tables that
 * do not challenge, after they are in force, and for the last interface, before it is detached. */
void thr_challenge_restore(struct thr_instance *instance, struct thr_notices *notices);

/* The interface stays after all: set again what the tables in force need. */
void thr_challenge_resume(struct thr_instance *instance);

/* Warn if the live tables challenge and the interface `name` would lose the answers: a veth
 * passes on what XDP sends natively only to an end that has a program of its own, which
 * cannot be seen from here. Returns whether it would. */
bool thr_challenge_check_link(const struct thr_instance *instance, const char *name,
			      enum thr_xdp_mode mode, struct thr_notices *notices);

/* The same for all interfaces of the instance: warns of the first. */
void thr_challenge_check_links(const struct thr_instance *instance, struct thr_notices *notices);

#define THR_CHALLENGE_TEXT 160

enum thr_challenge {
	THR_CHALLENGE_NONE,    /* no service challenges */
	THR_CHALLENGE_UNREADY, /* SYNs are dropped, or answers refused when they come back */
	THR_CHALLENGE_READY,
};

/* How it stands with the challenges of the live tables; where there are any with `text` set to
 * "ready", or to what is missing and what to do. */
enum thr_challenge thr_challenge_describe(const struct thr_instance *instance,
					  char text[static THR_CHALLENGE_TEXT]);

#endif
