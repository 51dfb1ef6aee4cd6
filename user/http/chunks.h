/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The chunked transfer coding (RFC 9112, 7.1), decoded in place and in pieces of
 * any size. Strict: sizes are 1 to 16 hexadecimal digits up to 2^63 - 1, every
 * line ends in CRLF and has at most 256 bytes with it, extensions are of RFC 9112's
 * grammar but with no white space before the ';', and are dropped: nobody
 * downstream reads them differently.
 */
#ifndef THR_CHUNKS_H
#define THR_CHUNKS_H

#include <stddef.h>
#include <stdint.h>

/* All zeros: before the first chunk. */
struct thr_http_chunks {
	uint64_t remaining; /* of the chunk's data */
	uint16_t line_bytes;
	uint8_t state;
};

struct thr_http_decoded {
	size_t consumed; /* of the input */
	size_t produced; /* data, moved to the front of the input */
};

/*
 * Decode `length` bytes at `at`. Returns
 *   1     the last chunk's line was consumed: what follows is the trailer section
 *   0     all input was consumed: more is needed
 *   -400  what came is not chunked; what was produced before it is still valid
 * A result but 0 is final: further calls consume nothing and return the same.
 */
int thr_http_chunks_decode(struct thr_http_chunks *chunks, char *at, size_t length,
			   struct thr_http_decoded *ret);

/* Write "1f4\r\n" for a chunk of `size` bytes (not 0). Returns the length. */
#define THR_CHUNK_LINE_MAX 18
size_t thr_http_chunk_line(uint64_t size, char line[static THR_CHUNK_LINE_MAX]);

#endif
