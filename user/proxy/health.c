/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Active checks: GET of a route's health path from each of its targets, every
 * interval, by whichever worker asks first (target.h). A status of 2xx or 3xx
 * within the timeout is a success; only the head of the answer is read.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/internal.h"

#define TURN_MS 100 /* how often it is asked what is due */
#define ANSWER_MAX 8192
#define PROBE_MAX 2048

struct check {
	struct thr_io io;
	struct thr_timer timer;
	struct thr_deferred deferred;
	struct thr_link item; /* of checks->running */
	struct generation *generation;
	const struct route *route;
	size_t target;
	size_t sent, length, got;
	bool ended;
	char probe[PROBE_MAX];
	char answer[ANSWER_MAX];
};

struct checks {
	struct thr_timer timer;
	struct generation *generation;
	struct thr_link running;
};

static void release(struct thr_deferred *deferred)
{
	struct check *check = THR_CONTAINER(deferred, struct check, deferred);

	generation_put(check->generation);
	free(check);
}

static void stop(struct check *check)
{
	struct thr_loop *loop = check->generation->proxy->parts.loop;

	check->ended = true;
	thr_loop_forget(loop, &check->io);
	thr_loop_disarm(loop, &check->timer);
	if (check->io.fd >= 0)
		close(check->io.fd);
	check->io.fd = -1;
	thr_link_remove(&check->item);
	thr_loop_defer(loop, &check->deferred);
}

/* `why` it failed, or NULL: it passed. */
static void end(struct check *check, const char *why)
{
	struct generation *generation = check->generation;
	const struct thr_route_config *route = check->route->config;

	if (thr_target_checked(generation->targets, check->target, &route->health, !why))
		thr_log(!why ? THR_LOG_INFO : THR_LOG_WARNING, "target %s of route %s is %s%s",
			generation->target[check->target].endpoint->name, route->path,
			why ? "unhealthy: " : "healthy again", why ? why : "");
	stop(check);
}

static void send_probe(struct check *check)
{
	ssize_t sent = send(check->io.fd, check->probe + check->sent, check->length - check->sent,
			    MSG_NOSIGNAL);

	if (sent >= 0)
		check->sent += (size_t)sent;
	else if (errno != EAGAIN && errno != EINTR)
		end(check, strerror(errno));
}

/* `status` of the answer; 0: it is not HTTP. */
static void judge(struct check *check, unsigned int status)
{
	char why[32];

	snprintf(why, sizeof(why), "it answers %u", status);
	if (status >= 200 && status < 400)
		end(check, NULL);
	else
		end(check, status ? why : "its answer is not valid HTTP/1.1");
}

static void read_answer(struct check *check)
{
	struct thr_http_response *response = &check->generation->proxy->response;
	const struct thr_http_limits limits = {ANSWER_MAX, ANSWER_MAX, THR_HTTP_FIELDS_MAX};
	size_t at = 0;

	while (check->got < ANSWER_MAX) {
		ssize_t got =
			recv(check->io.fd, check->answer + check->got, ANSWER_MAX - check->got, 0);

		if (got <= 0) {
			if (got == 0 || (errno != EAGAIN && errno != EINTR))
				end(check, got ? strerror(errno) : "it closed the connection");
			return;
		}
		check->got += (size_t)got;
		for (;;) {
			int head = thr_http_parse_response(check->answer + at, check->got - at,
							   THR_METHOD_GET, &limits, response);

			if (head == 0)
				break;
			at += head > 0 ? (size_t)head : 0;
			if (head > 0 && response->status < 200 && response->status != 101)
				continue;
			judge(check, head > 0 ? response->status : 0);
			return;
		}
	}
	end(check, "the head of its answer is too large");
}

static void on_ready(struct thr_io *io, uint32_t events)
{
	struct check *check = THR_CONTAINER(io, struct check, io);

	if (!check->ended && events & EPOLLOUT && check->sent < check->length)
		send_probe(check);
	if (!check->ended && events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP))
		read_answer(check);
}

static void on_timeout(struct thr_timer *timer)
{
	end(THR_CONTAINER(timer, struct check, timer), "no answer in time");
}

static void begin(struct checks *checks, const struct route *route, size_t target)
{
	struct generation *generation = checks->generation;
	struct endpoint *endpoint = generation->target[target].endpoint;
	const struct thr_health_config *rules = &route->config->health;
	struct thr_loop *loop = generation->proxy->parts.loop;
	struct check *check = malloc(sizeof(*check));

	if (!check)
		return;
	memset(check, 0, offsetof(struct check, probe));
	check->io = (struct thr_io){.fd = -1, .ready = on_ready};
	check->timer.fire = on_timeout;
	check->deferred.run = release;
	check->generation = generation_get(generation);
	check->route = route;
	check->target = target;
	check->length =
		(size_t)snprintf(check->probe, PROBE_MAX,
				 "GET %s HTTP/1.1\r\nHost: %s\r\n"
				 "User-Agent: xdp-throttle-health\r\nConnection: close\r\n\r\n",
				 rules->path, endpoint->name);
	thr_link_add_last(&checks->running, &check->item);
	thr_loop_arm(loop, &check->timer, rules->timeout_ms);
	check->io.fd = endpoint_connect(endpoint);
	if (check->io.fd < 0 ||
	    thr_loop_watch(loop, &check->io, EPOLLIN | EPOLLOUT | EPOLLRDHUP) < 0)
		end(check, "it could not be reached");
}

static void on_turn(struct thr_timer *timer)
{
	struct checks *checks = THR_CONTAINER(timer, struct checks, timer);
	struct generation *generation = checks->generation;
	struct thr_loop *loop = generation->proxy->parts.loop;
	const struct thr_config *config = generation->config;

	for (size_t i = 0; i < config->route_count; i++) {
		const struct route *route = &generation->routes[i];

		if (!route->config->health.path)
			continue;
		for (size_t j = 0; j < route->picker.count; j++) {
			size_t target = route->picker.first + j;
			struct endpoint *endpoint = generation->target[target].endpoint;

			endpoint_refresh(endpoint);
			if (endpoint->resolving && !endpoint->address_count)
				continue;
			if (thr_target_check_is_due(generation->targets, target,
						    &route->config->health, thr_loop_now_ms(loop)))
				begin(checks, route, target);
		}
	}
	thr_loop_arm(loop, &checks->timer, TURN_MS);
}

int checks_start(struct generation *generation)
{
	struct checks *checks;
	bool any = false;

	for (size_t i = 0; i < generation->config->route_count; i++)
		any |= generation->config->routes[i].health.path != NULL;
	if (!any)
		return 0;
	checks = calloc(1, sizeof(*checks));
	if (!checks)
		return -ENOMEM;
	checks->timer.fire = on_turn;
	checks->generation = generation;
	thr_link_init(&checks->running);
	generation->checks = checks;
	thr_loop_arm(generation->proxy->parts.loop, &checks->timer, 1);
	return 0;
}

void checks_stop(struct generation *generation)
{
	struct checks *checks = generation->checks;

	generation->checks = NULL;
	if (!checks)
		return;
	thr_loop_disarm(generation->proxy->parts.loop, &checks->timer);
	while (!thr_link_is_empty(&checks->running))
		stop(THR_CONTAINER(checks->running.next, struct check, item));
	free(checks);
}
