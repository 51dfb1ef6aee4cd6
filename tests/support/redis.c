/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A client and a server for tests; see redis.h. */
#include "support/redis.h"

#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "support/run.h"

#define PATIENCE_NS (20 * THR_NS_PER_S)

/* --- the client --- */

static void on_changed(void *context, bool bad, const char *text)
{
	struct redis_client *client = context;

	if (bad)
		client->bad++;
	else
		client->good++;
	snprintf(client->told, sizeof(client->told), "%s", text);
}

void client_begin(struct redis_client *client, const struct thr_redis_settings *settings)
{
	static const char echo[] = "return ARGV[1]";
	static const char set[] = "return redis.call('set', KEYS[1], ARGV[1])";
	struct thr_redis_events events = {on_changed, client};
	struct thr_redis_counts counts;
	struct thr_error error = {""};

	memset(client, 0, sizeof(*client));
	client->scripts[SCRIPT_ECHO] =
		(struct thr_redis_script){.text = echo, .length = sizeof(echo) - 1};
	client->scripts[SCRIPT_SET] =
		(struct thr_redis_script){.text = set, .length = sizeof(set) - 1};
	counts = (struct thr_redis_counts){&client->commands, &client->errors, &client->timeouts,
					   &client->opened};
	assert_int_equal(thr_loop_new(&client->loop), 0);
	assert_int_equal(thr_resolver_new(client->loop, &client->resolver), 0);
	if (thr_redis_new(client->loop, client->resolver, settings, client->scripts, SCRIPTS,
			  &events, &counts, &client->redis, &error) < 0)
		fail_msg("%s", error.text);
}

void client_end(struct redis_client *client)
{
	thr_redis_free(client->redis);
	thr_resolver_free(client->resolver);
	thr_loop_turn(client->loop, 0);
	thr_loop_turn(client->loop, 0);
	thr_loop_free(client->loop);
}

static void on_done(struct thr_redis_call *base, const struct redisReply *reply)
{
	struct redis_call *call = THR_CONTAINER(base, struct redis_call, call);
	const char *text = reply ? reply->str : base->why;

	assert_false(call->is_over);
	call->is_over = true;
	call->is_answered = reply != NULL;
	call->type = reply ? reply->type : 0;
	snprintf(call->text, sizeof(call->text), "%s", text ? text : "");
	call->over_ns = thr_clock_monotonic_ns();
}

int client_call(struct redis_client *client, struct redis_call *call, unsigned int script,
		const char *key, const char *argument)
{
	struct thr_slice keys[] = {{key, strlen(key)}};
	struct thr_slice arguments[] = {{argument, strlen(argument)}};

	memset(call, 0, sizeof(*call));
	call->call.done = on_done;
	return thr_redis_eval(client->redis, &call->call, &client->scripts[script], keys, 1,
			      arguments, 1);
}

void client_turn(struct redis_client *client)
{
	if (client->between)
		client->between(client->context);
	assert_int_equal(thr_loop_turn(client->loop, client->between ? 1 : 50), 0);
}

void client_until(struct redis_client *client, const bool *flag)
{
	uint64_t end_ns = thr_clock_monotonic_ns() + PATIENCE_NS;

	while (!*flag) {
		client_turn(client);
		if (thr_clock_monotonic_ns() > end_ns)
			fail_msg("it does not come (last told: %s)", client->told);
	}
}

void client_until_breaker(struct redis_client *client, unsigned int breaker)
{
	uint64_t end_ns = thr_clock_monotonic_ns() + PATIENCE_NS;

	while (thr_redis_breaker(client->redis) != breaker) {
		client_turn(client);
		if (thr_clock_monotonic_ns() > end_ns)
			fail_msg("the breaker does not get there (last told: %s)", client->told);
	}
}

void client_expect(struct redis_client *client, const char *key, const char *argument)
{
	struct redis_call call;

	assert_int_equal(client_call(client, &call, SCRIPT_ECHO, key, argument), 0);
	client_until(client, &call.is_over);
	assert_string_equal(call.text, argument);
	assert_true(call.is_answered);
}

/* --- the server --- */

uint16_t free_port(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, length), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &length), 0);
	close(fd);
	return ntohs(at.sin_port);
}

#define OPTIONS_MAX 40

static void run_server(const struct redis_server *server, const char *const *options, int out)
{
	const char *words[OPTIONS_MAX] = {
		"redis-server", "--save", "",	    "--dir", server->folder,
		"--logfile",	"",	  "--port", "0",     "--unixsocket",
		server->socket,
	};
	size_t count = 11;

	while (options && *options && count < OPTIONS_MAX - 1)
		words[count++] = *options++;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	execvp(words[0], (char **)(uintptr_t)words);
	_exit(127);
}

void server_begin(struct redis_server *server, const char *const *options)
{
	char said[65536];
	size_t length = 0;
	int pipes[2];

	strcpy(server->folder, "/tmp/xdp-throttle-redis.XXXXXX");
	assert_non_null(mkdtemp(server->folder));
	snprintf(server->socket, sizeof(server->socket), "%s/s", server->folder);
	assert_int_equal(pipe(pipes), 0);
	server->pid = fork();
	assert_true(server->pid >= 0);
	if (server->pid == 0)
		run_server(server, options, pipes[1]);
	close(pipes[1]);
	server->out = pipes[0];
	do {
		ssize_t got = read(server->out, said + length, sizeof(said) - 1 - length);

		if (got <= 0)
			fail_msg("redis-server does not start: %.*s", (int)length, said);
		length += (size_t)got;
		said[length] = '\0';
	} while (!strstr(said, "ready to accept connections at") || !strstr(said, "/s\n"));
}

void server_end(struct redis_server *server)
{
	char command[128];

	kill(server->pid, SIGKILL);
	waitpid(server->pid, NULL, 0);
	close(server->out);
	snprintf(command, sizeof(command), "rm -rf '%s'", server->folder);
	assert_int_equal(system(command), 0);
}

/* One command by a connection of its own; the reply is the caller's. */
static redisReply *ask(const struct redis_server *server, const char *command)
{
	redisContext *context = redisConnectUnix(server->socket);
	redisReply *reply;

	assert_non_null(context);
	assert_int_equal(context->err, 0);
	reply = redisCommand(context, command);
	assert_non_null(reply);
	if (reply->type == REDIS_REPLY_ERROR)
		fail_msg("%s: %s", command, reply->str);
	redisFree(context);
	return reply;
}

void server_do(const struct redis_server *server, const char *command)
{
	freeReplyObject(ask(server, command));
}

void server_expect(const struct redis_server *server, const char *command, const char *text)
{
	char said[256];

	server_text(server, command, said, sizeof(said));
	assert_string_equal(said, text);
}

void server_text(const struct redis_server *server, const char *command, char *text, size_t size)
{
	redisReply *reply = ask(server, command);

	assert_non_null(reply->str);
	snprintf(text, size, "%s", reply->str);
	freeReplyObject(reply);
}
