/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Settings as a value: copied, compared and freed as a whole. Some of them are secrets, so
 * that none is left in memory that was freed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/redis.h"
#include "core/slice.h"

#define TEXTS 8

/* The members that are strings. */
static void texts_of(struct thr_redis_settings *settings, char **ret_text[static TEXTS])
{
	ret_text[0] = &settings->host;
	ret_text[1] = &settings->socket;
	ret_text[2] = &settings->user;
	ret_text[3] = &settings->password;
	ret_text[4] = &settings->key_prefix;
	ret_text[5] = &settings->ca;
	ret_text[6] = &settings->certificate;
	ret_text[7] = &settings->key;
}

int thr_redis_settings_copy(const struct thr_redis_settings *from,
			    struct thr_redis_settings *ret_settings)
{
	struct thr_redis_settings copy = *from;
	char **text[TEXTS];
	int r = 0;

	texts_of(&copy, text);
	for (size_t i = 0; i < TEXTS; i++) {
		if (!*text[i])
			continue;
		*text[i] = strdup(*text[i]);
		if (!*text[i])
			r = -ENOMEM;
	}
	if (r < 0)
		thr_redis_settings_clear(&copy);
	else
		*ret_settings = copy;
	return r;
}

void thr_redis_settings_clear(struct thr_redis_settings *settings)
{
	char **text[TEXTS];

	texts_of(settings, text);
	for (size_t i = 0; i < TEXTS; i++) {
		if (*text[i])
			explicit_bzero(*text[i], strlen(*text[i]));
		free(*text[i]);
		*text[i] = NULL;
	}
}

bool thr_redis_settings_are_same(const struct thr_redis_settings *one,
				 const struct thr_redis_settings *other)
{
	struct thr_redis_settings first = *one, second = *other;
	char **text[TEXTS], **other_text[TEXTS];

	texts_of(&first, text);
	texts_of(&second, other_text);
	for (size_t i = 0; i < TEXTS; i++)
		if (!thr_same_text(*text[i], *other_text[i]))
			return false;
	return one->port == other->port && one->tls == other->tls &&
	       one->database == other->database && one->deadline_ms == other->deadline_ms &&
	       one->lease == other->lease && one->failures == other->failures;
}

bool thr_redis_settings_are_same_place(const struct thr_redis_settings *one,
				       const struct thr_redis_settings *other)
{
	return thr_same_text(one->host, other->host) && thr_same_text(one->socket, other->socket) &&
	       one->port == other->port && one->database == other->database &&
	       thr_same_text(one->key_prefix, other->key_prefix);
}
