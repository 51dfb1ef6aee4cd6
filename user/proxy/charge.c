/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A token for a request: from this machine's buckets at once, without a copy or an
 * allocation; from a shared store at once or later.
 *
 *   SESSION_HEAD --- asked ---> SESSION_ASKING --- answered ---> SESSION_HEAD, decided again
 *                                     '--- the client went ---> cancelled
 *
 * What a request needs while it waits hangs from its session, so that connections that do
 * not wait are no larger for it. The head is not kept in parsed form but parsed again: a
 * microsecond beside a call over the network.
 */
#include <errno.h>
#include <stdlib.h>

#include "proxy/identity.h"
#include "proxy/internal.h"

/* Most calls to a store with a hot key are answered at once: then the same memory serves
 * again and again. */
static struct asking *take(struct thr_proxy *proxy)
{
	struct asking *asking = proxy->spare_asking;

	proxy->spare_asking = NULL;
	return asking ? asking : malloc(sizeof(*asking));
}

static void give(struct thr_proxy *proxy, struct asking *asking)
{
	if (proxy->spare_asking)
		free(asking);
	else
		proxy->spare_asking = asking;
}

void charge_end(struct thr_proxy *proxy, struct asking *asking)
{
	if (!asking)
		return;
	generation_put(asking->generation);
	give(proxy, asking);
}

/* Goes on at the end of the turn: the store may be in the middle of a call of another
 * session, which is using the scratch memory. */
static void on_answer(struct thr_ask *ask)
{
	struct session *session = THR_CONTAINER(ask, struct asking, ask)->session;

	session->state = SESSION_HEAD;
	session->stream.in_is_new = true;
	thr_loop_defer(session->proxy->parts.loop, &session->again);
}

static void take_answer(const struct thr_ask *ask, struct admitted *admitted)
{
	admitted->standing = ask->standing;
	admitted->alone = !ask->degraded && !ask->grouped;
}

static int charge_shared(struct session *session, const struct limit *limit,
			 struct admitted *admitted)
{
	struct thr_proxy *proxy = session->proxy;
	struct asking *asking = take(proxy);
	char name[THR_IDENTITY_NAME_MAX];

	if (!asking)
		return -ENOMEM;
	asking->ask = (struct thr_ask){
		.name = {name, thr_identity_name(limit->name, &admitted->client, name)},
		.limit = limit->limit,
		.on_error = limit->on_error,
		.cost = 1,
		.done = on_answer,
	};
	thr_client_key(&limit->scope, &admitted->client, &asking->ask.key);
	if (thr_store_ask(proxy->parts.store, &asking->ask)) {
		take_answer(&asking->ask, admitted);
		give(proxy, asking);
		return 0;
	}
	asking->ask.name = THR_SLICE("");
	asking->session = session;
	asking->generation = generation_get(admitted->generation);
	asking->route = admitted->route;
	asking->client = admitted->client;
	asking->begin_ns = admitted->begin_ns;
	session->asking = asking;
	session->state = SESSION_ASKING;
	return -EINPROGRESS;
}

int charge(struct session *session, const struct limit *limit, const struct asking *answer,
	   struct admitted *admitted)
{
	struct thr_store *store = session->proxy->parts.store;
	struct thr_ask ask = {.limit = limit->limit, .on_error = limit->on_error, .cost = 1};

	admitted->limited = limit->limited;
	if (!limit->limited)
		return 0;
	admitted->policy = limit->policy;
	if (answer) {
		take_answer(&answer->ask, admitted);
		return 0;
	}
	if (thr_store_is_shared(store)) {
		int r = charge_shared(session, limit, admitted);

		admitted->limited = r == 0;
		return r;
	}
	thr_client_key(&limit->scope, &admitted->client, &ask.key);
	thr_store_ask(store, &ask);
	take_answer(&ask, admitted);
	return 0;
}
