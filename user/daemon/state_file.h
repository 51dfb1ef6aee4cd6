/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The file in which quotas outlive the daemon: JSON, a line for each.
 *
 *   {"version": 7,
 *   "quotas": [
 *   {"key": "user:42", "capacity": 100, "refill_per_second": 0.5, "on_error": "local", "version":
 * 7}
 *   ],
 *   "checksum": "cd4aa5...26f7"}
 *
 * `version` is the last that was given to a quota, so that none is given twice. The checksum
 * is of all lines above its own: JSON alone would not tell of a digit that a disk has lost.
 * What is not as it was written is refused as a whole: to go on with part of the limits would
 * be to let somebody through.
 *
 * It is replaced and never written over: whoever reads it, whenever the power fails, finds the
 * old one or the new one.
 */
#ifndef THR_STATE_FILE_H
#define THR_STATE_FILE_H

#include "core/buffer.h"
#include "core/error.h"
#include "core/slice.h"
#include "store/quotas.h"

/* Whether a key can be in the file: UTF-8 of 1 to THR_KEY_MAX bytes. */
bool thr_state_key_fits(struct thr_slice key);

/* --- writing: begin, put for each, end. Return 0 or -ENOMEM. --- */

int thr_state_text_begin(struct thr_buffer *text, uint64_t version);
int thr_state_text_put(struct thr_buffer *text, struct thr_slice key,
		       const struct thr_quota *quota);
int thr_state_text_end(struct thr_buffer *text);

/*
 * Put the text in the place of the file, for its owner alone, and make its folder if only that
 * is missing. It is on disk when this returns 0. Else a negative errno, with `error` set, and the
 * file is as before; but -EINPROGRESS: it is the new one, and just the last step failed, which
 * orders the folder to disk. Which of the two is there after a power failure is not known, and
 * after a restart it is the new one, unless another is written before.
 */
int thr_state_file_write(const char *path, const struct thr_buffer *text, struct thr_error *error);

/* --- its owner --- */

/*
 * Make the folder of the file if only that is missing, and keep the file from all others that
 * do the same until *ret_fd is closed. What is locked is FILE.lock, which stays when nobody
 * does: the file itself is replaced. That it
 * can be is found out here, and not by the first change. Returns 0, or a negative errno with
 * `error` saying what to do; -EBUSY: another process has it.
 */
int thr_state_file_lock(const char *path, int *ret_fd, struct thr_error *error);

/* --- reading --- */

/*
 * Read all of it into the table, which is empty; `secret` is what its keys are hashed with.
 * Without a file: nothing, and version 0. Returns 0, or a negative errno with `error` saying
 * what is wrong and what to do, and the table is empty.
 */
int thr_state_file_read(const char *path, struct thr_quotas *quotas,
			const struct thr_hash_key *secret, uint64_t *ret_version,
			struct thr_error *error);

#endif
