/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* EVALSHA by hiredis' formatter, and EVAL made of it; see redis_command.h. */
#include "store/redis_command.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHA_DIGITS (sizeof(((struct thr_redis_script *)0)->sha) - 1)

static const char evalsha[] = "$7\r\nEVALSHA\r\n$40\r\n"; /* the name and "\r\n" follow */

void thr_redis_desk_clear(struct thr_redis_desk *desk)
{
	free(desk->words);
	free(desk->lengths);
	*desk = (struct thr_redis_desk){0};
}

static int make_room(struct thr_redis_desk *desk, size_t words)
{
	const char **grown;
	size_t *lengths;

	if (desk->room >= words)
		return 0;
	grown = reallocarray(desk->words, words, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	desk->words = grown;
	lengths = reallocarray(desk->lengths, words, sizeof(*lengths));
	if (!lengths)
		return -ENOMEM;
	desk->lengths = lengths;
	desk->room = words;
	return 0;
}

static void put(struct thr_redis_desk *desk, size_t *count, struct thr_slice word)
{
	desk->words[*count] = word.length ? word.at : "";
	desk->lengths[(*count)++] = word.length;
}

int thr_redis_command_make(struct thr_redis_desk *desk, const struct thr_redis_script *script,
			   const struct thr_redis_words *words, struct thr_redis_call *call)
{
	char number[24];
	int length = snprintf(number, sizeof(number), "%zu", words->key_count), size;
	size_t count = 0;
	char *bytes;

	if (make_room(desk, 3 + words->key_count + words->argument_count) < 0)
		return -ENOMEM;
	put(desk, &count, THR_SLICE("EVALSHA"));
	put(desk, &count, (struct thr_slice){script->sha, SHA_DIGITS});
	put(desk, &count, (struct thr_slice){number, (size_t)length});
	for (size_t i = 0; i < words->key_count; i++)
		put(desk, &count, words->keys[i]);
	for (size_t i = 0; i < words->argument_count; i++)
		put(desk, &count, words->arguments[i]);
	size = redisFormatCommandArgv(&bytes, (int)count, desk->words, desk->lengths);
	if (size < 0)
		return -ENOMEM;
	call->bytes = bytes;
	call->length = (size_t)size;
	/* "*7\r\n" comes before. */
	call->tail = (size_t)((char *)memchr(bytes, '\n', call->length) - bytes) + 1;
	call->tail += sizeof(evalsha) - 1 + SHA_DIGITS + 2;
	return 0;
}

int thr_redis_command_spell_out(struct thr_redis_call *call)
{
	const struct thr_redis_script *script = call->script;
	size_t head = (size_t)((char *)memchr(call->bytes, '\n', call->length) - call->bytes) + 1;
	char eval[48], *bytes, *at;
	int length = snprintf(eval, sizeof(eval), "$4\r\nEVAL\r\n$%zu\r\n", script->length);

	if (memcmp(call->bytes + head, evalsha, sizeof(evalsha) - 1) != 0)
		return 0;
	/* By malloc(), as hiredis' own commands are. */
	bytes = malloc(head + (size_t)length + script->length + 2 + call->length - call->tail);
	if (!bytes)
		return -ENOMEM;
	at = mempcpy(bytes, call->bytes, head);
	at = mempcpy(at, eval, (size_t)length);
	at = mempcpy(at, script->text, script->length);
	at = mempcpy(at, "\r\n", 2);
	at = mempcpy(at, call->bytes + call->tail, call->length - call->tail);
	redisFreeCommand(call->bytes);
	call->bytes = bytes;
	call->length = (size_t)(at - bytes);
	return 0;
}
