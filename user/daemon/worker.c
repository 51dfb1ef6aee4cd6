/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A worker: one process, one loop, one proxy.
 *
 * It starts with nothing but its channel to the master. Configuration and
 * listener come over that, the first time as on every reload, so there is one way
 * in. A text is parsed in a thread of its own, for which the loop does not wait:
 * clients of a worker that takes a new configuration notice nothing.
 *
 *   CONFIG -> thread: parse -> eventfd -> loop: proxy takes it -> CONFIGURED
 *
 * A configuration that cannot be taken is answered with the reason, and the one
 * before stays in force: what a worker must not do is end with its clients. When
 * descriptors run out, which clients can bring about, those that the master sends
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
#include "daemon/worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "core/log.h"
#include "daemon/generation.h"
#include "daemon/message.h"

#define LOG_WAIT_MS 1000 /* for the last lines */
/* Of descriptors: what a CONFIG brings, the one to parse it by, and some LISTEN. */
#define RESERVE (THR_MESSAGE_FDS + 5)
/* Between turns of an idle loop: the master takes a loop that stands still for stuck. */
#define TICK_MS 1000

/* A configuration on its way in. The thread owns what is in it until `parsed`
 * becomes ready, the loop before and after that. */
struct incoming {
	pthread_t thread;
	struct thr_message message;
	int fds[THR_MESSAGE_FDS];
	int done; /* eventfd; -1: nothing is on its way */
	int result;
	struct thr_config *config;
	struct thr_error error;
};

struct worker {
	const struct thr_worker_parts *parts;
	struct thr_loop *loop;
	struct thr_store *store;
	struct thr_resolver *resolver;
	struct thr_proxy *proxy;
	struct thr_api *api;
	struct thr_io channel;
	struct thr_io parsed; /* watches incoming.done */
	struct thr_timer deadline;
	struct thr_timer tick;
	int reserve[RESERVE]; /* -1: to be had again */
	struct incoming incoming;
	uint64_t drain_timeout_ms;
	bool draining;
	bool out_of_time;
};

#define WORKER(pointer, member)                                                                    \
	((struct worker *)((char *)(pointer)-offsetof(struct worker, member)))

static void report(const struct worker *worker, uint64_t generation, int code,
		   const struct thr_error *error)
{
	struct thr_message message = {
		.kind = THR_MESSAGE_CONFIGURED, .generation = generation, .code = code};

	if (code)
		snprintf(message.text, sizeof(message.text), "%s", error->text);
	thr_message_send(worker->parts->channel, &message, NULL);
}

static void refuse(const struct worker *worker, uint64_t generation, int code, const char *what)
{
	struct thr_error error;

	report(worker, generation, thr_fail(&error, -code, "%s: %s", what, strerror(-code)),
	       &error);
}

/* --- descriptors for what the master sends --- */

static void hold_reserve(struct worker *worker)
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

	hold_reserve(worker);
	thr_loop_arm(worker->loop, timer, TICK_MS);
}

static _Noreturn void end(int status)
{
	thr_log_stop(LOG_WAIT_MS);
	_exit(status);
}

/* --- a configuration --- */

static void close_descriptors(int *fds)
{
	for (int i = 0; i < THR_MESSAGE_FDS; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

static void *parse(void *argument)
{
	struct incoming *incoming = argument;

	incoming->result = thr_generation_parse(incoming->message.text, incoming->fds[THR_FD_TEXT],
						&incoming->config, &incoming->error);
	eventfd_write(incoming->done, 1);
	return NULL;
}

/* Hand what was parsed to the proxy, which owns it from then on. */
static int configure(struct worker *worker, struct thr_config *config, struct thr_error *error)
{
	struct thr_targets *targets = NULL;
	uint64_t drain_timeout_ms = config->server.drain_timeout_ms;
	enum thr_log_level level = config->log_level;
	enum thr_log_format format = config->log_format;
	int r = thr_generation_map(worker->incoming.fds[THR_FD_TARGETS], config,
				   worker->parts->workers, &targets);

	if (r)
		thr_fail(error, -r, "memory that workers share: %s", strerror(-r));
	else
		r = thr_proxy_configure(worker->proxy, config, targets, error);
	if (r) {
		thr_targets_free(targets);
		thr_config_free(config);
		return r;
	}
	worker->drain_timeout_ms = drain_timeout_ms;
	thr_log_setup(level, format);
	return 0;
}

/* Accept from the descriptor, which is the proxy's from now on, or closed. */
static int listen_on(struct worker *worker, unsigned int slot, int *fd)
{
	int r = thr_proxy_listen(worker->proxy, slot, *fd);

	if (r)
		thr_proxy_unlisten(worker->proxy, slot);
	*fd = -1;
	return r;
}

/* Serve on the listener that came with the configuration; without one, on none. */
static int change_listener(struct worker *worker, struct thr_error *error)
{
	int *fd = &worker->incoming.fds[THR_FD_LISTENER];
	int r;

	thr_proxy_unlisten(worker->proxy, worker->parts->number);
	if (*fd < 0 || worker->draining)
		return 0;
	r = listen_on(worker, worker->parts->number, fd);
	return r ? thr_fail(error, -r, "its listener: %s", strerror(-r)) : 0;
}

static void on_parsed(struct thr_io *io, uint32_t events)
{
	struct worker *worker = WORKER(io, parsed);
	struct incoming *incoming = &worker->incoming;
	int r;

	(void)events;
	pthread_join(incoming->thread, NULL);
	thr_loop_forget(worker->loop, io);
	close(incoming->done);
	incoming->done = -1;

	r = incoming->result;
	if (!r)
		r = configure(worker, incoming->config, &incoming->error);
	if (!r)
		r = change_listener(worker, &incoming->error);
	close_descriptors(incoming->fds);
	hold_reserve(worker);
	report(worker, incoming->message.generation, r, &incoming->error);
}

/* The thread is handed `incoming`, and must not be there when this fails. */
static int start_parsing(struct worker *worker)
{
	struct incoming *incoming = &worker->incoming;
	int r;

	incoming->config = NULL;
	incoming->done = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (incoming->done < 0)
		return -errno;
	worker->parsed = (struct thr_io){.fd = incoming->done, .ready = on_parsed};
	r = thr_loop_watch(worker->loop, &worker->parsed, EPOLLIN);
	if (!r)
		r = -pthread_create(&incoming->thread, NULL, parse, incoming);
	if (r) {
		thr_loop_forget(worker->loop, &worker->parsed);
		close(incoming->done);
		incoming->done = -1;
	}
	return r;
}

/* The master sends the next one after this one was answered. */
static int take_config(struct worker *worker, const struct thr_message *message, int *fds)
{
	struct incoming *incoming = &worker->incoming;
	int r = message->code;

	if (incoming->done >= 0 || (!r && fds[THR_FD_TARGETS] < 0))
		return -EPROTO;
	if (r) {
		refuse(worker, message->generation, r, "its descriptors");
		return 0;
	}
	incoming->message = *message;
	memcpy(incoming->fds, fds, sizeof(incoming->fds));
	for (int i = 0; i < THR_MESSAGE_FDS; i++)
		fds[i] = -1;
	r = start_parsing(worker);
	if (r) {
		close_descriptors(incoming->fds);
		refuse(worker, message->generation, r, "a thread to read it by");
	}
	return 0;
}

/* --- the master's word --- */

static void drain(struct worker *worker)
{
	if (worker->draining)
		return;
	worker->draining = true;
	thr_proxy_drain(worker->proxy);
}

static void on_deadline(struct thr_timer *timer)
{
	WORKER(timer, deadline)->out_of_time = true;
}

/* What cannot be taken goes back, so that the master finds another worker for it. */
static int take_listener(struct worker *worker, const struct thr_message *message, int *fds)
{
	struct thr_message answer = {.kind = THR_MESSAGE_UNLISTEN, .slot = message->slot};
	int r = message->code;

	if (!r && fds[0] < 0)
		return -EPROTO;
	if (worker->draining)
		return 0;
	if (!r)
		r = listen_on(worker, message->slot, &fds[0]);
	if (r)
		thr_message_send(worker->parts->channel, &answer, NULL);
	return 0;
}

static int obey(struct worker *worker, const struct thr_message *message, int *fds)
{
	switch (message->kind) {
	case THR_MESSAGE_CONFIG:
		return take_config(worker, message, fds);
	case THR_MESSAGE_LISTEN:
		return take_listener(worker, message, fds);
	case THR_MESSAGE_UNLISTEN:
		thr_proxy_unlisten(worker->proxy, message->slot);
		return 0;
	case THR_MESSAGE_DRAIN:
		drain(worker);
		return 0;
	default:
		return -EPROTO;
	}
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
		close_descriptors(fds);
		if (r) {
			thr_log(THR_LOG_ERROR, "the master's message %u: %s", message.kind,
				strerror(-r));
			end(EXIT_FAILURE);
		}
	}
	hold_reserve(worker);
	if (r < 0) {
		thr_loop_forget(worker->loop, io);
		thr_loop_arm(worker->loop, &worker->deadline, worker->drain_timeout_ms);
		drain(worker);
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

/* The sandbox comes last: making what serving needs takes more calls than serving. */
static int start(struct worker *worker, struct thr_error *error)
{
	struct thr_store_parts store = {
		.buckets = worker->parts->buckets,
		.quotas = worker->parts->quotas,
		.counts = worker->parts->store_counts,
		.instance = worker->parts->instance,
	};
	struct thr_proxy_parts parts = {
		.counts = worker->parts->counts,
		.route_counts = worker->parts->route_counts,
		.worker = worker->parts->number,
		.workers = worker->parts->workers,
	};
	int r = thr_privileges_drop(&worker->parts->run_as, error);

	if (r)
		return r;
	r = start_loop(worker);
	if (r)
		return thr_fail(error, -r, "its loop: %s", strerror(-r));
	r = thr_resolver_new(worker->loop, &worker->resolver);
	store.loop = worker->loop;
	store.resolver = worker->resolver;
	if (!r)
		r = thr_store_new(&store, &worker->store);
	if (r)
		return thr_fail(error, -r, "its store: %s", strerror(-r));
	parts.loop = worker->loop;
	parts.store = worker->store;
	parts.resolver = worker->resolver;
	r = thr_proxy_new(&parts, &worker->proxy, error);
	return r ? r : thr_sandbox_enter(error);
}

_Noreturn void thr_worker_run(const struct thr_worker_parts *parts)
{
	struct worker worker = {
		.parts = parts,
		.deadline.fire = on_deadline,
		.tick.fire = on_tick,
		.incoming.done = -1,
	};
	struct thr_error error;
	int r;

	memset(worker.reserve, -1, sizeof(worker.reserve));
	settle_in(parts);
	r = start(&worker, &error);
	if (r) {
		report(&worker, 0, r, &error);
		end(EXIT_FAILURE);
	}
	while (!worker.out_of_time && !(worker.draining && !thr_proxy_busy(worker.proxy))) {
		int wait_ms = thr_log_turn(thr_loop_now_ms(worker.loop));

		__atomic_store_n(&parts->counts->turn_ms, thr_loop_now_ms(worker.loop),
				 __ATOMIC_RELAXED);
		r = thr_loop_turn(worker.loop, wait_ms);
		if (r) {
			thr_log(THR_LOG_ERROR, "the loop: %s", strerror(-r));
			end(EXIT_FAILURE);
		}
	}
	end(EXIT_SUCCESS);
}
