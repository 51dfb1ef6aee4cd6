/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* UTF-8, percent-decoding and what a key may be; see key.h. */
#include "api/key.h"

#include <errno.h>
#include <stdint.h>

/* The first byte says how long, and how the second one is bounded: overlong forms,
 * surrogates and what lies over U+10FFFF are told by that (RFC 3629, 4). */
size_t thr_utf8_length(const char *at, size_t left)
{
	const unsigned char *byte = (const unsigned char *)at;
	unsigned char least = 0x80, most = 0xbf;
	size_t length;

	if (byte[0] < 0x80)
		return 1;
	if (byte[0] < 0xc2 || byte[0] > 0xf4)
		return 0;
	length = byte[0] < 0xe0 ? 2 : byte[0] < 0xf0 ? 3 : 4;
	if (left < length)
		return 0;
	if (byte[0] == 0xe0)
		least = 0xa0;
	if (byte[0] == 0xed)
		most = 0x9f;
	if (byte[0] == 0xf0)
		least = 0x90;
	if (byte[0] == 0xf4)
		most = 0x8f;
	if (byte[1] < least || byte[1] > most)
		return 0;
	for (size_t i = 2; i < length; i++)
		if ((byte[i] & 0xc0) != 0x80)
			return 0;
	return length;
}

bool thr_key_is_valid(struct thr_slice key, const char **ret_why)
{
	size_t length;

	if (!key.length) {
		*ret_why = "The key is empty: write 1 to 256 bytes.";
		return false;
	}
	if (key.length > THR_KEY_MAX) {
		*ret_why =
			"The key is longer than 256 bytes: write a shorter one, or a hash of it.";
		return false;
	}
	for (size_t i = 0; i < key.length; i += length) {
		length = thr_utf8_length(key.at + i, key.length - i);
		if (!length) {
			*ret_why = "The key is not UTF-8.";
			return false;
		}
		if (!key.at[i]) {
			*ret_why = "The key has the character U+0000: write one without it.";
			return false;
		}
	}
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int thr_key_decode(struct thr_slice segment, char bytes[static THR_KEY_MAX],
		   struct thr_slice *ret_key, const char **ret_why)
{
	char decoded[THR_KEY_MAX + 1]; /* one too many tells that it is too long */
	struct thr_slice key = {decoded, 0};

	for (size_t i = 0; i < segment.length && key.length < sizeof(decoded); i++) {
		int high, low;

		decoded[key.length] = segment.at[i];
		if (segment.at[i] == '%') {
			high = segment.length - i > 2 ? hex_digit(segment.at[i + 1]) : -1;
			low = segment.length - i > 2 ? hex_digit(segment.at[i + 2]) : -1;
			if (high < 0 || low < 0) {
				*ret_why = "A '%' in the key is not followed by two hexadecimal "
					   "digits: write '%' itself as %25.";
				return -EINVAL;
			}
			decoded[key.length] = (char)(high << 4 | low);
			i += 2;
		}
		key.length++;
	}
	if (!thr_key_is_valid(key, ret_why))
		return -EINVAL;
	memcpy(bytes, decoded, key.length);
	*ret_key = (struct thr_slice){bytes, key.length};
	return 0;
}
