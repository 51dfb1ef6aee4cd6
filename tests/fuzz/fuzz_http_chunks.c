/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Any bytes as a chunked body: the same data, end and refusal in any pieces, and
 * the same as llhttp's for what is accepted. The first two bytes choose the pieces.
 */
#include "http/chunks.h"

#include "fuzz/http_peer.h"

struct decoder {
	struct thr_http_chunks chunks;
	char *data;
	size_t produced, consumed;
	int result;
};

/* Through memory of its very size, so that a touch past the end is caught. */
static void feed(struct decoder *decoder, const char *bytes, size_t length)
{
	struct thr_http_decoded decoded;
	char *piece = malloc(length ? length : 1);

	if (!piece)
		abort();
	memcpy(piece, bytes, length);
	decoder->result = thr_http_chunks_decode(&decoder->chunks, piece, length, &decoded);
	HOLDS(decoder->result == 0 || decoder->result == 1 || decoder->result == -400);
	HOLDS(decoded.consumed <= length && decoded.produced <= decoded.consumed);
	HOLDS(decoder->result || decoded.consumed == length);
	memcpy(decoder->data + decoder->produced, piece, decoded.produced);
	decoder->produced += decoded.produced;
	decoder->consumed += decoded.consumed;
	free(piece);
}

/* Decode in pieces of `first` and `second` bytes, in turn. */
static void decode(struct decoder *decoder, const char *bytes, size_t length, size_t first,
		   size_t second)
{
	size_t at = 0;

	memset(decoder, 0, sizeof(*decoder));
	decoder->data = malloc(length + 1);
	if (!decoder->data)
		abort();
	for (bool turn = false; at < length && !decoder->result; turn = !turn) {
		size_t piece = turn ? second : first;

		if (piece > length - at)
			piece = length - at;
		feed(decoder, bytes + at, piece);
		at += piece;
	}
}

/* Known to differ: llhttp takes no white space in extensions, is not strict in
 * their quoted strings, and refuses one without a value that stands between two
 * others. Bytes of data that look like it are left out with them. */
static bool peer_differs(const char *bytes, size_t length)
{
	const char *semicolon = memchr(bytes, ';', length);

	if (memchr(bytes, ' ', length) || memchr(bytes, '\t', length) || memchr(bytes, '"', length))
		return true;
	return semicolon && memchr(semicolon + 1, ';', (size_t)(bytes + length - semicolon - 1));
}

static void compare(const char *bytes, const struct decoder *decoder)
{
	static const char head[] =
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
	static struct peer peer;

	if (peer_differs(bytes, decoder->consumed))
		return;
	peer_init(&peer, HTTP_REQUEST);
	peer_read(&peer, head, sizeof(head) - 1);
	peer_read(&peer, bytes, decoder->consumed);
	HOLDS(!peer.messages);
	HOLDS(peer.body_bytes == decoder->produced);
	HOLDS(!memcmp(peer.body, decoder->data, decoder->produced));
	if (decoder->result == 1) {
		peer_read(&peer, "\r\n", 2);
		HOLDS(peer.messages == 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *bytes = (const char *)data + 2;
	struct decoder whole, pieces;

	if (size < 2 || size > PEER_BODY_MAX)
		return 0;
	size -= 2;
	decode(&whole, bytes, size, size, size);
	decode(&pieces, bytes, size, 1 + data[0] % 64, 1 + data[1] % 64);
	HOLDS(whole.result == pieces.result);
	HOLDS(whole.consumed == pieces.consumed && whole.produced == pieces.produced);
	HOLDS(!memcmp(whole.data, pieces.data, whole.produced));
	if (whole.result >= 0)
		compare(bytes, &whole);
	free(whole.data);
	free(pieces.data);
	return 0;
}
