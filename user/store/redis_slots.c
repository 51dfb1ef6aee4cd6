/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a cluster says of itself, read strictly; see redis_slots.h. */
#include "store/redis_slots.h"

#include <hiredis/hiredis.h>

#include "core/address.h"
#include "store/redis.h"

#define HOST_MAX 253 /* bytes of a name (RFC 1035) */

/* CRC-16/XMODEM: polynomial 0x1021, from 0, not reflected. Bit by bit: a key is short, and
 * its slot is looked for once a call of a cluster. */
static uint16_t crc16(const char *bytes, size_t length)
{
	unsigned int crc = 0;

	for (size_t i = 0; i < length; i++) {
		crc ^= (unsigned int)(uint8_t)bytes[i] << 8;
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1;
	}
	return (uint16_t)crc;
}

uint16_t thr_redis_slot(struct thr_slice key)
{
	const char *open = key.length ? memchr(key.at, '{', key.length) : NULL;
	const char *end = key.at + key.length;
	const char *close = open ? memchr(open, '}', (size_t)(end - open)) : NULL;

	/* What is between the first brace and the first that closes it, unless nothing is. */
	if (close && close > open + 1)
		return crc16(open + 1, (size_t)(close - open - 1)) % THR_REDIS_SLOTS;
	return crc16(key.at, key.length) % THR_REDIS_SLOTS;
}

bool thr_redis_error_is(struct thr_slice error, const char *word)
{
	size_t length = strlen(word);

	return error.length >= length && memcmp(error.at, word, length) == 0 &&
	       (error.length == length || error.at[length] == ' ');
}

/* A name or an address: nothing that would do harm in a message or as a C string. */
static bool is_host(struct thr_slice host)
{
	if (host.length > HOST_MAX)
		return false;
	for (size_t i = 0; i < host.length; i++)
		if (host.at[i] <= ' ' || host.at[i] > '~')
			return false;
	return true;
}

/* The piece up to the next space, which is passed. */
static struct thr_slice next_word(struct thr_slice *rest)
{
	const char *space = rest->length ? memchr(rest->at, ' ', rest->length) : NULL;
	size_t length = space ? (size_t)(space - rest->at) : rest->length;
	struct thr_slice word = {rest->at, length};
	size_t passed = space ? length + 1 : length;

	*rest = (struct thr_slice){rest->at + passed, rest->length - passed};
	return word;
}

bool thr_redis_place_parse(struct thr_slice error, struct thr_redis_place *ret_place)
{
	struct thr_redis_place place = {0};
	struct thr_slice slot, target;
	const char *colon;

	next_word(&error);
	slot = next_word(&error);
	target = next_word(&error);
	colon = target.length ? memrchr(target.at, ':', target.length) : NULL;
	if (!colon || thr_port_parse(slot, &place.first_slot) < 0 ||
	    place.first_slot >= THR_REDIS_SLOTS)
		return false;
	place.last_slot = place.first_slot;
	place.host = (struct thr_slice){target.at, (size_t)(colon - target.at)};
	target.length -= place.host.length + 1;
	target.at = colon + 1;
	if (!is_host(place.host) || thr_port_parse(target, &place.port) < 0 || !place.port)
		return false;
	*ret_place = place;
	return true;
}

static bool is_integer(const redisReply *reply, long long least, long long most)
{
	return reply && reply->type == REDIS_REPLY_INTEGER && reply->integer >= least &&
	       reply->integer <= most;
}

bool thr_redis_range_parse(const redisReply *element, struct thr_redis_place *ret_place)
{
	struct thr_redis_place place = {0};
	const redisReply *master;

	if (!element || element->type != REDIS_REPLY_ARRAY || element->elements < 3 ||
	    !is_integer(element->element[0], 0, THR_REDIS_SLOTS - 1) ||
	    !is_integer(element->element[1], 0, THR_REDIS_SLOTS - 1) ||
	    element->element[0]->integer > element->element[1]->integer)
		return false;
	master = element->element[2];
	if (!master || master->type != REDIS_REPLY_ARRAY || master->elements < 2 ||
	    !master->element[0] || !is_integer(master->element[1], 1, UINT16_MAX))
		return false;
	place.first_slot = (uint16_t)element->element[0]->integer;
	place.last_slot = (uint16_t)element->element[1]->integer;
	place.port = (uint16_t)master->element[1]->integer;
	/* nil, and "?" of older servers: it does not know its own name. */
	if (master->element[0]->type == REDIS_REPLY_STRING) {
		place.host = (struct thr_slice){master->element[0]->str,
						(size_t)master->element[0]->len};
		if (thr_slice_is(place.host, "?"))
			place.host.length = 0;
	}
	if (!is_host(place.host))
		return false;
	*ret_place = place;
	return true;
}
