/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The packet layer of a configuration: its program on every interface, then its
 * tables, all or nothing. Interfaces that a configuration no longer names keep
 * the program: protection ends when somebody says `detach`, and not before.
 */
#ifndef THR_PACKET_H
#define THR_PACKET_H

#include "config/config.h"
#include "control/challenge.h"
#include "control/stats.h"

/*
 * Attach to the interfaces and make the tables live; nothing where there
 * are none. On success `ret_attached`, with room for an element for each interface,
 * says which did not have the program before. On failure those are detached
 * again and the old tables are in force; but where the interfaces have several
 * throttles, those that were written before the one that failed keep the new.
 *
 * While another command changes something, this waits for it; or returns
 * -EWOULDBLOCK, if it may not wait.
 */
int thr_packet_apply(const struct thr_xdp_config *xdp, bool may_wait, bool *ret_attached,
		     struct thr_error *error);

/*
 * Add up the counters of the throttles that the interfaces have, and how many of them have
 * one; and how it stands with their challenges: not ready, if one is not. Zeros where there is
 * nothing to be read.
 */
void thr_packet_count(const struct thr_xdp_config *xdp, uint64_t *ret_interfaces,
		      struct thr_stats *ret_stats, enum thr_challenge *ret_challenge);

/*
 * Enter notes into the sets of verified and of blocked sources of the throttles that the
 * interfaces have. Returns 0 when some throttle has them all, or a negative errno with
 * `error` set: -EWOULDBLOCK while another command changes something, for which this does
 * not wait; -ENOENT where no interface has a throttle.
 */
struct thr_note;
int thr_packet_note(const struct thr_xdp_config *xdp, const struct thr_note *notes, size_t count,
		    struct thr_error *error);

/* Detach the interfaces that are marked. The tables of a throttle that was there before
 * stay as they were set. */
void thr_packet_undo(const struct thr_xdp_config *xdp, const bool *attached);

#endif
