/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The PROXY protocol header that a load balancer writes before the first byte of
 * a connection: version 1 (a line of text) and 2 (binary), as in HAProxy's
 * doc/proxy-protocol.txt (2020/03/05).
 */
#ifndef THR_PROXY_PROTOCOL_H
#define THR_PROXY_PROTOCOL_H

#include "core/address.h"

#define THR_PROXY_HEADER_MAX 536 /* of version 1: 107; of 2: 16 and at most 520 accepted */

/*
 * Returns the header's length with *ret_known set, and when it is, the source in
 * *ret_source; 0 when more bytes are needed; -EPROTO for anything else, a header
 * longer than the maximum included. UNKNOWN (v1), LOCAL and AF_UNSPEC (v2) are
 * not known: the socket's peer is meant. TLVs are skipped.
 */
int thr_proxy_header_parse(const char *at, size_t length, struct thr_address *ret_source,
			   bool *ret_known);

#endif
