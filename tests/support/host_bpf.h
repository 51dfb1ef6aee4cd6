/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lets those headers of bpf/ that call no helper be compiled for the host:
 * include this before them, and after the headers of the C library.
 *
 * They read headers where the frame has them, aligned or not, as the BPF
 * machine does and the host's processors do.
 */
#ifndef THR_TEST_HOST_BPF_H
#define THR_TEST_HOST_BPF_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

#undef __always_inline
#define __always_inline inline __attribute__((always_inline, no_sanitize("alignment")))

#include "thr_abi.h"
#include "thr_reasons.h"

#endif
