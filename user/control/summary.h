/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The bitmap by which most sources skip the trie; thr_abi.h says how it is laid
 * out. */
#ifndef THR_SUMMARY_H
#define THR_SUMMARY_H

#include <stdint.h>

#include "core/prefix.h"
#include "thr_abi.h"

/* Mark in `words` (THR_SUMMARY_WORDS of them) every group of addresses that
 * `prefix` holds part of. Returns the enum thr_flag of the level it is on. */
uint32_t thr_summary_mark(uint64_t *words, const struct thr_prefix *prefix);

#endif
