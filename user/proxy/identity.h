/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who a client is. The socket's peer, or what a PROXY protocol header names; when
 * that is a trusted proxy, the nearest address in X-Forwarded-For that is not,
 * walked from the right. What an untrusted peer writes there counts for nothing.
 */
#ifndef THR_IDENTITY_H
#define THR_IDENTITY_H

#include "config/config.h"
#include "core/address.h"
#include "http/http.h"
#include "store/client_key.h"

/* Walk the X-Forwarded-For fields of a request whose peer is trusted. An entry
 * that is not an address (with or without a port or brackets) ends the walk: the
 * last good address, at worst the peer, is the client. When all are trusted, the
 * leftmost is, of the 64 entries from the right that are looked at. The port is
 * the entry's, where it has one. */
void thr_identity_find(const struct thr_http_field *fields, size_t count,
		       const struct thr_address *peer, const struct thr_prefix *trusted,
		       size_t trusted_count, struct thr_address *ret_client);

/* The name of the client's bucket in a store that machines share, "http:SCOPE|ADDRESS",
 * with an IPv6 address as its prefix, "2001:db8:1:2::/64". No two names are alike: what
 * follows the last '|' is the address. Not terminated; returns its length. The scope, at
 * most 1,024 bytes, is not hashed: who looks at the store can read it. */
#define THR_IDENTITY_NAME_MAX (sizeof("http:|/64") + 1024 + THR_ADDRESS_TEXT)
size_t thr_identity_name(const char *scope, const struct thr_address *client,
			 char name[static THR_IDENTITY_NAME_MAX]);

/* thr_client_key() by what the packet layer takes for one source, `v6_bits` of an IPv6 address,
 * where that is less than a client: more than 64 bits. */
void thr_identity_source_key(const struct thr_hash_key *scope, const struct thr_address *client,
			     unsigned int v6_bits, struct thr_memory_key *ret_key);

/* The first bits of an address that are its source, the others 0. */
void thr_identity_source(const struct thr_address *address, unsigned int v6_bits,
			 uint8_t ret_source[static 16]);

#endif
