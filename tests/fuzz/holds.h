/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What every fuzzer has: its entry, and an assert() that no build turns off. */
#ifndef THR_FUZZ_HOLDS_H
#define THR_FUZZ_HOLDS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define HOLDS(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
