/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One change at a time: whoever attaches, detaches or writes tables holds this
 * lock, so that no change that is based on what was read gets lost. It is a file
 * lock, which the kernel lets go of when the process ends, however it ends.
 */
#ifndef THR_LOCK_H
#define THR_LOCK_H

#include "core/error.h"

/* Wait for the lock. Returns a descriptor to close, or a negative errno. */
int thr_lock(struct thr_error *error);

/* The same for who must not wait: -EWOULDBLOCK when somebody else has it. */
int thr_lock_try(struct thr_error *error);

#endif
