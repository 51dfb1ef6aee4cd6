/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who may ask, and how often.
 *
 * A peer is charged before it is known: what guesses at the token is limited too. The token
 * itself is nowhere in a worker, only its digest, and digests are compared in constant time,
 * so that neither memory nor the time of an answer tells of it.
 *
 * The limit of a peer is this machine's own, also where the limits of keys are shared.
 */
#include <errno.h>
#include <openssl/crypto.h>

#include "api/internal.h"

#define TOKEN_MAX 4096 /* bytes; a longer one is not hashed */

int access_new(struct thr_api *api)
{
	struct thr_hash scope = thr_hash(thr_memory_hash_key(api->parts.buckets), "api", 3);

	api->peer_scope = (struct thr_hash_key){{scope.word[0], scope.word[1]}};
	api->digest = EVP_MD_fetch(NULL, "SHA256", NULL);
	api->digest_context = EVP_MD_CTX_new();
	return api->digest && api->digest_context ? 0 : -ENOMEM;
}

void access_free(struct thr_api *api)
{
	EVP_MD_CTX_free(api->digest_context);
	EVP_MD_free(api->digest);
}

bool access_charge(struct client *client, struct thr_standing *ret_standing)
{
	static const size_t v4_bytes[] = {16, 15, 14}; /* of the mapped form: /32, /24, /16 */
	static const size_t v6_bytes[] = {8, 6, 4};    /* /64, /48, /32 */
	const struct thr_api *api = client->api;
	const uint8_t *address = client->peer.bytes;
	const size_t *bytes = thr_address_is_v4(&client->peer) ? v4_bytes : v6_bytes;
	struct thr_memory_key key;

	if (!api->settings.limited)
		return true;
	key.key = thr_hash(&api->peer_scope, address, bytes[0]);
	key.group[0] = thr_hash(&api->peer_scope, address, bytes[1]);
	key.group[1] = thr_hash(&api->peer_scope, address, bytes[2]);
	thr_memory_take(api->parts.buckets, &key, &api->settings.limit, 1,
			thr_loop_now_ns(api->parts.loop), ret_standing);
	return ret_standing->allowed;
}

bool access_has_token(struct thr_api *api, struct thr_slice authorization)
{
	struct thr_slice token = thr_bearer_token(authorization);
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned int length = 0;

	if (!api->settings.has_token)
		return true;
	if (!token.length || token.length > TOKEN_MAX)
		return false;
	if (!EVP_DigestInit_ex2(api->digest_context, api->digest, NULL) ||
	    !EVP_DigestUpdate(api->digest_context, token.at, token.length) ||
	    !EVP_DigestFinal_ex(api->digest_context, digest, &length))
		return false;
	return length == THR_TOKEN_DIGEST &&
	       CRYPTO_memcmp(digest, api->settings.token, THR_TOKEN_DIGEST) == 0;
}
