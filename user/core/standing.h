/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a client stands with a limit: what the store says and HTTP writes out; and what
 * a limit asks for where a shared store cannot say it. */
#ifndef THR_STANDING_H
#define THR_STANDING_H

#include <stdbool.h>
#include <stdint.h>

/* What a limit says after a taking. */
struct thr_standing {
	bool allowed;
	uint64_t limit;	    /* tokens in a full bucket */
	uint64_t window_ns; /* in which an empty bucket fills */
	uint64_t remaining; /* whole tokens left */
	uint64_t reset_ns;  /* until the bucket is full */
	uint64_t retry_ns;  /* until the same taking would conform; 0 when it did */
};

/* What becomes of a taking while the shared store cannot be asked. */
enum thr_on_error {
	THR_ON_ERROR_LOCAL, /* a bucket of this machine, with this machine's share of the limit */
	THR_ON_ERROR_ALLOW,
	THR_ON_ERROR_DENY,
};

#endif
