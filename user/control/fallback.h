/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Why an interface has the program in generic mode, which costs more a packet: the errno
 * that native mode was refused with under `auto`. It is kept with the program, for `status`.
 */
#ifndef THR_FALLBACK_H
#define THR_FALLBACK_H

#include "control/instance.h"

/* The errno for which `auto` fell back to generic on interface `index`, or 0. */
int thr_fallback_find(const struct thr_instance *instance, unsigned int index);

/* Remember it; with `code` 0, forget it. There is room for THR_FALLBACKS_MAX interfaces:
 * of one more, nothing is remembered. */
void thr_fallback_note(struct thr_instance *instance, unsigned int index, int code);

/* Why native mode was not to be had, in words: "the driver has no XDP support". */
const char *thr_native_error_text(int code);

#endif
