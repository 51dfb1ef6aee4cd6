/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See summary.h. */
#include "control/summary.h"

#include <endian.h>
#include <string.h>

static void mark(uint64_t *half, uint32_t bit)
{
	half[bit >> 6] |= 1ULL << (bit & 63);
}

static uint32_t mark_v4(uint64_t *half, const struct thr_prefix *prefix)
{
	uint32_t address, first, count = 1;

	memcpy(&address, &prefix->address[12], sizeof(address));
	first = be32toh(address) >> (32 - THR_SUMMARY_BITS_LOG2);
	if (prefix->bits < THR_SUMMARY_BITS_LOG2)
		count = 1U << (THR_SUMMARY_BITS_LOG2 - prefix->bits);
	for (uint32_t bit = first; bit < first + count; bit++)
		mark(half, bit);
	return THR_SOURCES_V4;
}

static uint32_t mark_v6(uint64_t *half, const struct thr_prefix *prefix)
{
	uint64_t high, count = 1;

	memcpy(&high, prefix->address, sizeof(high));
	high = be64toh(high);
	if (prefix->bits >= 48) {
		mark(half, thr_summary_v6_bit(high, 48));
		return THR_SOURCES_V6_48;
	}
	if (prefix->bits >= 32) {
		mark(half, thr_summary_v6_bit(high, 32));
		return THR_SOURCES_V6_32;
	}
	if (prefix->bits < 16)
		count = 1U << (16 - prefix->bits);
	for (uint64_t group = high >> 48; count; group++, count--)
		mark(half, thr_summary_v6_bit(group << 48, 16));
	return THR_SOURCES_V6_SHORT;
}

uint32_t thr_summary_mark(uint64_t *words, const struct thr_prefix *prefix)
{
	return prefix->is_v6 ? mark_v6(words + THR_SUMMARY_HALF, prefix) : mark_v4(words, prefix);
}
