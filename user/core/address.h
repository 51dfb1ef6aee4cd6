/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The address of a peer, as prefix.h and the packet layer keep one: IPv4 as
 * v4-mapped IPv6, ::ffff:a.b.c.d.
 */
#ifndef THR_ADDRESS_H
#define THR_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/prefix.h"
#include "core/slice.h"

struct thr_address {
	uint8_t bytes[16]; /* network order, v4-mapped */
	uint16_t port;	   /* host order; 0: not known */
};

/* Longest text of an address without its port, with its NUL. */
#define THR_ADDRESS_TEXT 46

bool thr_address_is_v4(const struct thr_address *address);

/* Make it the IPv4 address of these 4 bytes, in network order; the port stays. */
void thr_address_set_v4(struct thr_address *address, const void *bytes);

/* From a socket address; one that is neither AF_INET nor AF_INET6 (a Unix socket)
 * becomes all zeros. */
void thr_address_from_sockaddr(const struct sockaddr *from, struct thr_address *ret_address);

/* To a socket address of the address' own family; returns its length. */
socklen_t thr_address_to_sockaddr(const struct thr_address *address,
				  struct sockaddr_storage *ret_to);

/* Parse an IPv4 or IPv6 address, without port, brackets or zone. Mapped IPv4
 * (::ffff:192.0.2.1) becomes IPv4. Returns 0 with port 0, or -EINVAL. */
int thr_address_parse(struct thr_slice text, struct thr_address *ret_address);

/* Parse a port, 0 to 65535: digits only, no leading zero. Returns 0 or -EINVAL. */
int thr_port_parse(struct thr_slice text, uint16_t *ret_port);

/* "192.0.2.1" or "2001:db8::1" (RFC 5952), NUL-terminated. Returns the length. */
size_t thr_address_format(const struct thr_address *address, char text[static THR_ADDRESS_TEXT]);

/* Whether one of `count` prefixes, ascending by thr_prefix_compare() or not, holds
 * the address. */
bool thr_address_in(const struct thr_address *address, const struct thr_prefix *prefixes,
		    size_t count);

#endif
