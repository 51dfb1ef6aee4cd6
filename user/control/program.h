/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The XDP program that is built into this binary: loading it into the kernel,
 * with maps of its own or with those of a running throttle.
 */
#ifndef THR_PROGRAM_H
#define THR_PROGRAM_H

#include "control/instance.h"

struct thr_program; /* opened; loaded or not */

/* Open the program. With `reuse`, it will use that instance's maps; else its own, of
 * what `sizes` state, which may be NULL. Returns 0 or a negative errno: -ENOTSUP for a
 * kernel older than 6.1. */
int thr_program_open(const struct thr_instance *reuse, const struct thr_sizes *sizes,
		     struct thr_program **ret_program, struct thr_error *error);

/* Load it. On success *ret_id is the program's id; it lives until the program is
 * freed, and from then on while an interface or a descriptor holds it. */
int thr_program_load(struct thr_program *program, uint32_t *ret_id, struct thr_error *error);

/* Load it as one of those that libxdp's dispatcher on the interface calls. */
int thr_program_join(struct thr_program *program, unsigned int index, const char *name,
		     enum thr_xdp_mode mode, uint32_t *ret_id, struct thr_error *error);

/* Take the program `id` out of the dispatcher. */
int thr_program_leave(uint32_t id, unsigned int index, const char *name, enum thr_xdp_mode mode,
		      struct thr_error *error);

/* Keep libbpf and libxdp from printing; their last complaint goes into errors. */
void thr_program_silence(void);

/* Closes it; what is loaded stays where it is attached. */
void thr_program_free(struct thr_program *program);

#endif
