/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The bytes of a call: EVALSHA with the script's name, and, for a server that does not know
 * it, EVAL with its text and all the rest as it was.
 */
#ifndef THR_REDIS_COMMAND_H
#define THR_REDIS_COMMAND_H

#include <stddef.h>

#include "core/slice.h"
#include "store/redis.h"

struct thr_redis_words {
	const struct thr_slice *keys;
	size_t key_count;
	const struct thr_slice *arguments;
	size_t argument_count;
};

/* Where commands are put together: memory that grows to the longest. All zeros: empty. */
struct thr_redis_desk {
	const char **words;
	size_t *lengths;
	size_t room;
};

void thr_redis_desk_clear(struct thr_redis_desk *desk);

/* Sets call->bytes, to be freed by redisFreeCommand(), length and tail. Returns 0 or
 * -ENOMEM. */
int thr_redis_command_make(struct thr_redis_desk *desk, const struct thr_redis_script *script,
			   const struct thr_redis_words *words, struct thr_redis_call *call);

/* Make the EVALSHA an EVAL; an EVAL is left as it is. Returns 0 or -ENOMEM. */
int thr_redis_command_spell_out(struct thr_redis_call *call);

#endif
