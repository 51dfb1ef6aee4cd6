/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A configuration on its way into a worker. A text is parsed in a thread of its own, for
 * which the loop does not wait: clients of a worker that takes a new configuration notice
 * nothing.
 *
 *   CONFIG -> thread: parse -> eventfd -> loop: store, API and proxy take it -> CONFIGURED
 *
 * A configuration that cannot be taken is answered with the reason, and the one before stays
 * in force, in all three: what a worker must not do is end with its clients.
 */
#include <errno.h>
#include <string.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "daemon/generation.h"
#include "daemon/secrets.h"
#include "daemon/worker_internal.h"

#define INFORM_MS 1000 /* in which Redis, where it is there, has told all */

static void refuse(const struct worker *worker, uint64_t generation, int code, const char *what)
{
	struct thr_error error;

	worker_report(worker, generation, thr_fail(&error, -code, "%s: %s", what, strerror(-code)),
		      &error);
}

/* Until then all keys are taken for such that nothing is set for, which no answer shows. */
static void on_inform(struct thr_timer *timer)
{
	if (!thr_store_has_quotas(WORKER(timer, inform)->store))
		thr_log(THR_LOG_WARNING,
			"Redis has not said yet what is set for keys: api.default and "
			"store.on_error hold for all of them");
}

void intake_init(struct worker *worker)
{
	worker->inform.fire = on_inform;
	worker->incoming.done = -1;
	worker->text_fd = worker->secrets_fd = -1;
}

/* --- into force --- */

static int configure_store(struct worker *worker, const struct thr_config *config,
			   const struct thr_secrets *secrets, struct thr_error *error)
{
	const struct thr_redis_config *from = &config->store.redis;
	const struct thr_redis_settings redis = {
		.host = from->host,
		.socket = from->socket,
		.port = from->port,
		.tls = from->tls,
		.user = from->user,
		.password = secrets->password ? secrets->password : from->password,
		.database = from->database,
		.key_prefix = from->key_prefix,
		.deadline_ms = from->deadline_ms,
		.lease = from->lease,
		.failures = from->failures,
		.ca = secrets->ca,
		.certificate = secrets->certificate,
		.key = secrets->key,
	};
	struct thr_store_settings settings = {
		.redis = config->store.backend == THR_BACKEND_REDIS ? &redis : NULL};
	const char *why;

	if (thr_quota_make(config->api.default_capacity, config->api.default_refill_per_s,
			   config->store.on_error, &settings.fallback, &why))
		return thr_fail(error, ERANGE, "api.default: %s", why);
	return thr_store_configure(worker->store, &settings, error);
}

/* The store first, which has the most to make. That certificates are good, the master has seen. */
static int configure_shared(struct worker *worker, const struct thr_config *config, int secrets_fd,
			    bool *ret_changed, struct thr_error *error)
{
	struct thr_secrets secrets = {};
	int r = thr_secrets_unpack(secrets_fd, &secrets);

	*ret_changed = false;
	if (r)
		return thr_fail(error, -r, "its secrets: %s", strerror(-r));
	r = configure_store(worker, config, &secrets, error);
	if (!r) {
		*ret_changed = true;
		r = thr_api_configure(worker->api, config, secrets.has_token ? secrets.token : NULL,
				      error);
	}
	thr_secrets_clear(&secrets);
	return r;
}

/* To the configuration before, which store and API do not keep: it is parsed anew, while
 * clients wait. Only for lack of memory does it come to this. */
static void go_back(struct worker *worker)
{
	struct thr_config *config = NULL;
	struct thr_error error;
	bool unused;
	int r;

	if (worker->text_fd < 0)
		return; /* there is none; the master ends this worker */
	r = thr_generation_parse("the configuration in force", worker->text_fd, &config, &error);
	if (!r)
		r = configure_shared(worker, config, worker->secrets_fd, &unused, &error);
	if (r)
		thr_log(THR_LOG_ERROR, "back to the configuration before: %s", error.text);
	thr_config_free(config);
}

/* On success the proxy owns `config` and `targets`. */
static int configure_all(struct worker *worker, struct thr_config *config,
			 struct thr_targets *targets, struct thr_error *error)
{
	bool changed;
	int r = configure_shared(worker, config, worker->incoming.fds[THR_FD_SECRETS], &changed,
				 error);

	if (!r)
		r = thr_proxy_configure(worker->proxy, config, targets, error);
	if (r && changed)
		go_back(worker);
	return r;
}

static void keep_descriptor(int *kept, int *fd)
{
	if (*kept >= 0)
		close(*kept);
	*kept = TAKE_FD(*fd);
}

static int configure(struct worker *worker, struct thr_config *config, struct thr_error *error)
{
	struct thr_targets *targets = NULL;
	uint64_t drain_timeout_ms = config->server.drain_timeout_ms;
	bool has_api = config->api.present;
	enum thr_log_level level = config->log_level;
	enum thr_log_format format = config->log_format;
	int *fds = worker->incoming.fds;
	int r = thr_generation_map(fds[THR_FD_TARGETS], config, worker->parts->workers, &targets);

	if (r)
		thr_fail(error, -r, "memory that workers share: %s", strerror(-r));
	else
		r = configure_all(worker, config, targets, error);
	if (r) {
		thr_targets_free(targets);
		thr_config_free(config);
		return r;
	}
	keep_descriptor(&worker->text_fd, &fds[THR_FD_TEXT]);
	keep_descriptor(&worker->secrets_fd, &fds[THR_FD_SECRETS]);
	worker->drain_timeout_ms = drain_timeout_ms;
	thr_log_setup(level, format);
	if (has_api)
		thr_loop_arm(worker->loop, &worker->inform, INFORM_MS);
	else
		thr_loop_disarm(worker->loop, &worker->inform);
	return 0;
}

/* Serve on the listeners that came with the configuration; without one, not. */
static int change_listeners(struct worker *worker, struct thr_error *error)
{
	unsigned int number = worker->parts->number;
	int failed = 0;

	for (unsigned int i = 0; i < THR_FRONTS; i++) {
		int *fd = &worker->incoming.fds[THR_FD_LISTENERS + i], r;

		worker_unlisten(worker, i, number);
		if (*fd < 0 || worker->draining)
			continue;
		r = worker_listen(worker, i, number, fd);
		if (r)
			failed = thr_fail(error, -r, "its listener: %s", strerror(-r));
	}
	return failed;
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
		r = change_listeners(worker, &incoming->error);
	worker_close(incoming->fds);
	worker_hold_reserve(worker);
	worker_report(worker, incoming->message.generation, r, &incoming->error);
}

/* --- parsing --- */

static void *parse(void *argument)
{
	struct incoming *incoming = argument;

	incoming->result = thr_generation_parse(incoming->message.text, incoming->fds[THR_FD_TEXT],
						&incoming->config, &incoming->error);
	eventfd_write(incoming->done, 1);
	return NULL;
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
int intake_begin(struct worker *worker, const struct thr_message *message, int *fds)
{
	struct incoming *incoming = &worker->incoming;
	int r = message->code;

	if (incoming->done >= 0 ||
	    (!r && (fds[THR_FD_TEXT] < 0 || fds[THR_FD_TARGETS] < 0 || fds[THR_FD_SECRETS] < 0)))
		return -EPROTO;
	if (r) {
		refuse(worker, message->generation, r, "its descriptors");
		return 0;
	}
	incoming->message = *message;
	memcpy(incoming->fds, fds, sizeof(incoming->fds));
	memset(fds, -1, sizeof(incoming->fds));
	r = start_parsing(worker);
	if (r) {
		worker_close(incoming->fds);
		refuse(worker, message->generation, r, "a thread to read it by");
	}
	return 0;
}
