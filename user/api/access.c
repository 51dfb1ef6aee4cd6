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
#include "store/client_key.h"

int access_new(struct thr_api *api)
{
	api->peer_scope = thr_hash_scope(thr_memory_hash_key(api->parts.buckets), "api");
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
	const struct thr_api *api = client->api;
	struct thr_memory_key key;

	if (!api->settings.limited)
		return true;
	thr_client_key(&api->peer_scope, &client->peer, &key);
	thr_memory_take(api->parts.buckets, &key, &api->settings.limit, 1,
			thr_loop_now_ns(api->parts.loop), ret_standing);
	return ret_standing->allowed;
}

bool access_has_token(struct thr_api *api, struct thr_slice token)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned int length = 0;

	if (!api->settings.has_token)
		return true;
	if (!token.length || token.length > THR_TOKEN_MAX)
		return false;
	if (!EVP_DigestInit_ex2(api->digest_context, api->digest, NULL) ||
	    !EVP_DigestUpdate(api->digest_context, token.at, token.length) ||
	    !EVP_DigestFinal_ex(api->digest_context, digest, &length))
		return false;
	return length == THR_TOKEN_DIGEST &&
	       CRYPTO_memcmp(digest, api->settings.token, THR_TOKEN_DIGEST) == 0;
}
