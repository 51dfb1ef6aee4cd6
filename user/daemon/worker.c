/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A worker: one process, one loop, one proxy, one API, one store for both.
 *
 * It starts with nothing but its channel to the master. Configuration and
 * listeners come over that, the first time as on every reload, so there is one way
 * in (intake.c). Changes of what is set for keys go out over it, and their answers
 * come back (keep.c).
 *
 * When descriptors run out, which clients can bring about, those that the master sends
 * come in by a reserve.
 *
 * It ends when it was told to drain and no connection is left. When the master is
 * gone, which the end of the channel says, it drains by itself, bounded by
 * server.drain_timeout, which the master no longer watches.
 *
 * Signals that end or reload the daemon are the master's: a terminal or a service
 * manager sends them to every process of the group, and a worker that obeyed
 * would cut its connections.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "core/log.h"
#include "daemon/metrics.h"
#include "daemon/worker_internal.h"

#define LOG_WAIT_MS 1000 /* for the last lines */
/* Between turns of an idle loop: the master takes a loop that stands still for stuck. */
#define TICK_MS 1000

/* --- descriptors for what the master sends --- */

void worker_hold_reserve(struct worker *worker)
{
	for (size_t i = 0; i < RESERVE; i++)
		if (worker->reserve[i] < 0)
			worker->reserve[i] = eventfd(0, EFD_CLOEXEC);
}

static void release_reserve(struct worker *worker)
{
	for (size_t i = 0; i < RESERVE; i++) {
		if (worker->reserve[i] >= 0)
			close(worker->reserve[i]);
		worker->reserve[i] = -1;
	}
}

static void on_tick(struct thr_timer *timer)
{
	struct worker *worker = WORKER(timer, tick);

	worker_hold_reserve(worker);
	thr_loop_arm(worker->loop, timer, TICK_MS);
}

/* --- listeners --- */

int worker_listen(struct worker *worker, enum thr_front front, unsigned int slot, int *fd)
{
	int r = front == THR_FRONT_PROXY ? thr_proxy_listen(worker->proxy, slot, *fd)
					 : thr_api_listen(worker->api, slot, *fd);

	*fd = -1;
	if (r)
		worker_unlisten(worker, front, slot);
	return r;
}

void worker_unlisten(struct worker *worker, enum thr_front front, unsigned int slot)
{
	if (front == THR_FRONT_PROXY)
		thr_proxy_unlisten(worker->proxy, slot);
	else
		thr_api_unlisten(worker->api, slot);
}

/* --- the master's word --- */

void worker_report(const struct worker *worker, uint64_t generation, int code,
		   const struct thr_error *error)
{
	struct thr_message message = {
		.kind = THR_MESSAGE_CONFIGURED, .generation = generation, .code = code};

	if (code)
		snprintf(message.text, sizeof(message.text), "%s", error->text);
	thr_message_send(worker->parts->channel, &message, NULL);
}

static void drain(struct worker *worker)
{
	if (worker->draining)
		return;
	worker->draining = true;
	thr_proxy_drain(worker->proxy);
	thr_api_drain(worker->api);
	thr_store_drain(worker->store);
}

static void on_deadline(struct thr_timer *timer)
{
	WORKER(timer, deadline)->out_of_time = true;
}

/* What cannot be taken goes back, so that the master finds another worker for it. */
static int take_listener(struct worker *worker, const struct thr_message *message, int *fds)
{
	struct thr_message answer = {
		.kind = THR_MESSAGE_UNLISTEN, .slot = message->slot, .front = message->front};
	int r = message->code;

	if (!r && fds[0] < 0)
		return -EPROTO;
	if (worker->draining)
		return 0;
	if (!r)
		r = worker_listen(worker, message->front, message->slot, &fds[0]);
	if (r)
		thr_message_send(worker->parts->channel, &answer, NULL);
	return 0;
}

static int obey(struct worker *worker, const struct thr_message *message, int *fds)
{
	switch (message->kind) {
	case THR_MESSAGE_CONFIG:
		return intake_begin(worker, message, fds);
	case THR_MESSAGE_LISTEN:
		return take_listener(worker, message, fds);
	case THR_MESSAGE_UNLISTEN:
		worker_unlisten(worker, message->front, message->slot);
		return 0;
	case THR_MESSAGE_CHANGED:
		keep_changed(worker, &message->changed);
		return 0;
	case THR_MESSAGE_DRAIN:
		drain(worker);
		return 0;
	default:
		return -EPROTO;
	}
}

void worker_close(int *fds)
{
	for (int i = 0; i < THR_MESSAGE_FDS; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

static _Noreturn void end(int status)
{
	thr_log_stop(LOG_WAIT_MS);
	_exit(status);
}

static void on_channel(struct thr_io *io, uint32_t events)
{
	struct worker *worker = WORKER(io, channel);
	struct thr_message message;
	int fds[THR_MESSAGE_FDS];
	int r;

	(void)events;
	release_reserve(worker);
	while ((r = thr_message_receive(io->fd, &message, fds)) > 0) {
		r = obey(worker, &message, fds);
		worker_close(fds);
		if (r) {
			thr_log(THR_LOG_ERROR, "the master's message %u: %s", message.kind,
				strerror(-r));
			end(EXIT_FAILURE);
		}
	}
	worker_hold_reserve(worker);
	if (r < 0) {
		thr_loop_forget(worker->loop, io);
		thr_loop_arm(worker->loop, &worker->deadline, worker->drain_timeout_ms);
		drain(worker);
		keep_give_up(worker);
		thr_log(THR_LOG_ERROR, "the master is gone: draining");
	}
}

/* --- the process --- */

static void settle_in(const struct thr_worker_parts *parts)
{
	static const int ignored[] = {SIGPIPE, SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGUSR2};
	char name[32];
	sigset_t none;

	thr_log_forget();
	snprintf(name, sizeof(name), "worker %u", parts->number + 1);
	thr_log_name(name);
	prctl(PR_SET_NAME, "xdpt-worker");
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* What the master has open is not for a process that strangers talk to. */
	close_range(STDERR_FILENO + 1, (unsigned int)parts->channel - 1, 0);
	close_range((unsigned int)parts->channel + 1, ~0U, 0);
}

/* What the master alone changes. It takes descriptors that are closed next. */
static int give_up_writing(const struct thr_worker_parts *parts, struct thr_error *error)
{
	int r = thr_quotas_read_only(parts->quotas);

	if (!r)
		r = thr_board_read_only(parts->board);
	return r ? thr_fail(error, -r, "memory that workers share: %s", strerror(-r)) : 0;
}

static int start_loop(struct worker *worker)
{
	int r = thr_log_start();

	if (!r)
		r = thr_loop_new(&worker->loop);
	if (r)
		return r;
	thr_loop_arm(worker->loop, &worker->tick, 1);
	worker->channel = (struct thr_io){.fd = worker->parts->channel, .ready = on_channel};
	return thr_loop_watch_level(worker->loop, &worker->channel, EPOLLIN);
}

static void write_metrics(void *context, struct thr_metrics *metrics)
{
	const struct worker *worker = context;
	const struct thr_worker_parts *parts = worker->parts;
	bool is_shared = thr_store_is_shared(worker->store);

	thr_metrics_write_facts(parts->board, parts->workers, metrics);
	thr_proxy_write_metrics(worker->proxy, parts->counts, metrics);
	thr_api_write_metrics(parts->api_counts, parts->workers, metrics);
	thr_store_write_metrics(parts->store_counts, parts->workers, parts->buckets, is_shared,
				metrics);
	if (!is_shared)
		thr_metrics_write_quotas(parts->quotas, metrics);
}

static int start_store(struct worker *worker, struct thr_error *error)
{
	const struct thr_worker_parts *parts = worker->parts;
	struct thr_store_parts store = {
		.loop = worker->loop,
		.buckets = parts->buckets,
		.quotas = parts->quotas,
		.counts = &parts->store_counts[parts->number],
		.all_counts = parts->store_counts,
		.workers = parts->workers,
		.instance = parts->instance,
		.tell = keep_tell,
		.keep = keep_change,
		.context = worker,
	};
	int r = thr_resolver_new(worker->loop, &worker->resolver);

	store.resolver = worker->resolver;
	if (!r)
		r = thr_store_new(&store, &worker->store);
	return r ? thr_fail(error, -r, "its store: %s", strerror(-r)) : 0;
}

static void put_note(void *context, const struct thr_note *note)
{
	const struct worker *worker = context;

	thr_notes_put(worker->parts->notes, worker->parts->number, note);
}

static int start_fronts(struct worker *worker, struct thr_error *error)
{
	const struct thr_worker_parts *parts = worker->parts;
	const struct thr_proxy_parts proxy = {
		.loop = worker->loop,
		.store = worker->store,
		.buckets = parts->buckets,
		.resolver = worker->resolver,
		.counts = &parts->counts[parts->number],
		.route_counts = parts->route_counts,
		.worker = parts->number,
		.workers = parts->workers,
		.note = put_note,
		.context = worker,
	};
	const struct thr_api_parts api = {
		.loop = worker->loop,
		.store = worker->store,
		.buckets = parts->buckets,
		.counts = &parts->api_counts[parts->number],
		.worker = parts->number,
		.workers = parts->workers,
		.write_metrics = write_metrics,
		.context = worker,
	};
	int r = thr_proxy_new(&proxy, &worker->proxy, error);

	return r ? r : thr_api_new(&api, &worker->api, error);
}

/* The sandbox comes last: making what serving needs takes more calls than serving. */
static int start(struct worker *worker, struct thr_error *error)
{
	int r = thr_privileges_drop(&worker->parts->run_as, error);

	if (r)
		return r;
	r = start_loop(worker);
	if (r)
		return thr_fail(error, -r, "its loop: %s", strerror(-r));
	r = start_store(worker, error);
	if (!r)
		r = start_fronts(worker, error);
	return r ? r : thr_sandbox_enter(error);
}

static bool is_over(const struct worker *worker)
{
	if (worker->out_of_time)
		return true;
	return worker->draining && !thr_proxy_busy(worker->proxy) && !thr_api_busy(worker->api) &&
	       !thr_store_is_draining(worker->store);
}

_Noreturn void thr_worker_run(const struct thr_worker_parts *parts)
{
	uint64_t *turn_ms = &parts->counts[parts->number].turn_ms;
	struct worker worker = {
		.parts = parts,
		.deadline.fire = on_deadline,
		.tick.fire = on_tick,
	};
	struct thr_error error;
	int r;

	memset(worker.reserve, -1, sizeof(worker.reserve));
	intake_init(&worker);
	keep_init(&worker);
	r = give_up_writing(parts, &error);
	settle_in(parts);
	if (!r)
		r = start(&worker, &error);
	if (r) {
		worker_report(&worker, 0, r, &error);
		end(EXIT_FAILURE);
	}
	while (!is_over(&worker)) {
		int wait_ms = thr_log_turn(thr_loop_now_ms(worker.loop));

		__atomic_store_n(turn_ms, thr_loop_now_ms(worker.loop), __ATOMIC_RELAXED);
		r = thr_loop_turn(worker.loop, wait_ms);
		if (r) {
			thr_log(THR_LOG_ERROR, "the loop: %s", strerror(-r));
			end(EXIT_FAILURE);
		}
	}
	end(EXIT_SUCCESS);
}
