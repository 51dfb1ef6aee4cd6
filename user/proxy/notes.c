/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the packet layer is told of clients.
 *
 *   verified: a target answered, and did not call the request bad (400), too much (429)
 *             or fail over it (5xx). The handshake alone shows that the address is real;
 *             who spoke HTTP to some purpose is a client one wants back under a flood. Told
 *             at most once a minute by each worker, so a client that stays is verified on.
 *   blocked:  another request was refused, and the bucket of the client's refusals is
 *             empty too.
 *
 * Told only of peers that the packet layer sees the packets of: those of a trusted proxy,
 * or behind a PROXY protocol header, come from somebody else's address.
 *
 * What it costs: a comparison for each answer, and a hash once a minute and connection; a
 * second bucket for each refusal where clients are blocked; nothing where nobody asks.
 */
#include "proxy/identity.h"
#include "proxy/internal.h"

#define VERIFY_EVERY_NS (60 * THR_NS_PER_S)
/* The master takes notes a few times a second: until then a client may be refused again. */
#define BLOCK_EVERY_NS THR_NS_PER_S

_Static_assert(VERIFY_EVERY_NS < THR_VERIFIED_NS / 2, "who stays is verified on");

/* Whether the packet layer sees the client of this connection itself. */
static bool is_seen(const struct session *session, const struct thr_config *config)
{
	return session->direct && !thr_address_in(&session->peer, config->trusted_proxies,
						  config->trusted_proxy_count);
}

/* The peer's source, as the packet layer counts them, and the kind: hashed. */
static struct thr_hash hash_source(const struct thr_proxy *proxy, const struct thr_config *config,
				   const struct thr_note *note)
{
	uint8_t key[sizeof(note->address.bytes) + 1];

	thr_identity_source(&note->address, config->xdp.tables.v6_source_bits, key);
	key[sizeof(key) - 1] = (uint8_t)note->kind;
	return thr_hash(thr_store_hash_key(proxy->parts.store), key, sizeof(key));
}

static void tell(struct thr_proxy *proxy, const struct thr_config *config,
		 const struct thr_note *note, uint64_t every_ns)
{
	struct thr_hash hash = hash_source(proxy, config, note);
	struct noted *noted = &proxy->noted[hash.word[0] % NOTE_PLACES];
	uint64_t now_ns = thr_loop_now_ns(proxy->parts.loop);

	if (noted->source == hash.word[1] && now_ns < noted->due_ns)
		return;
	*noted = (struct noted){hash.word[1], now_ns + every_ns};
	proxy->parts.note(proxy->parts.context, note);
}

void note_answered(struct exchange *exchange, unsigned int status, uint64_t now_ns)
{
	const struct generation *generation = exchange->generation;
	struct session *session = exchange->session;
	const struct thr_note note = {.address = session->peer,
				      .kind = THR_NOTE_VERIFIED,
				      .until_ns = now_ns + THR_VERIFIED_NS};

	if (generation->verifies && (status == 400 || status == 429 || status >= 500))
		return;
	session->note_ns = now_ns + VERIFY_EVERY_NS;
	if (generation->verifies && is_seen(session, generation->config))
		tell(session->proxy, generation->config, &note, VERIFY_EVERY_NS);
}

/* Only a bucket of the client's own says that it was this client who went on and on. Where
 * sources are smaller than clients, each has refusals of its own, because each is blocked by
 * itself. */
bool note_refused(struct session *session, const struct admitted *admitted)
{
	const struct generation *generation = admitted->generation;
	struct thr_proxy *proxy = session->proxy;
	uint64_t now_ns = thr_loop_now_ns(proxy->parts.loop);
	const struct thr_note note = {.address = session->peer,
				      .kind = THR_NOTE_BLOCKED,
				      .until_ns = now_ns + generation->block.for_ns};
	struct thr_standing standing;
	struct thr_memory_key key;

	if (!generation->block.blocks || !admitted->alone || !is_seen(session, generation->config))
		return false;
	thr_identity_source_key(&generation->block.scope, &session->peer,
				generation->config->xdp.tables.v6_source_bits, &key);
	if (thr_memory_take(proxy->parts.buckets, &key, &generation->block.limit, 1, now_ns,
			    &standing) != THR_PLACE_OWN ||
	    standing.allowed)
		return false;
	tell(proxy, generation->config, &note, BLOCK_EVERY_NS);
	return true;
}
