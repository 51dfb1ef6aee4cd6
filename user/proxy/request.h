/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What becomes of a request: refused, limited, answered that there is no route, or
 * forwarded. In this order: is it well-formed, whose is it, which limit applies,
 * does a token come with it, where does it go.
 */
#ifndef THR_REQUEST_H
#define THR_REQUEST_H

#include "proxy/internal.h"

/* Look at `length` bytes of input (not 0). Returns how many were used: 0 when the head
 * is not complete, or when the session waits for its token (SESSION_ASKING): then they
 * are to be shown again after that. */
size_t request_take(struct session *session, char *at, size_t length);

/* The client went while the store was asked for its request's token. */
void request_abandon(struct session *session);

/* The head did not come within its time. */
void request_timed_out(struct session *session);

#endif
