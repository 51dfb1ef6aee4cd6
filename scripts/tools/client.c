/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The client of the flood bench: asks the tool `backend` for one byte at a time, and
 * tells how often it got it.
 *
 *   client --mode ask --address 10.0.0.1 --seconds 1
 *
 *   ask        one connection, made before the time begins, one request after the
 *              other: how many in the time
 *   reconnect  the same with a connection for each request
 *   open       --count connections, begun at a steady pace over the time whatever
 *              becomes of the earlier ones, each from an address of its own (--first
 *              and those after it): how many of them had their answer within
 *              --timeout of connect()
 *
 * In the first two a lost packet is TCP's affair, as it is for any client: it waits,
 * and asks less often. An answer counts, not a connection: with SYN cookies a client
 * may hold one that the server does not know of.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "lib/tcp.h"
#include "lib/tool.h"

#define COUNT_MAX 10000
#define LATENCIES_MAX (1U << 22)
#define ANSWER_MAX 1024
#define EVENTS_PER_TURN 64

enum mode { MODE_ASK, MODE_RECONNECT, MODE_OPEN };

struct options {
	enum mode mode;
	struct sockaddr_in server;
	struct in_addr first; /* source; 0: the kernel's choice */
	uint64_t count;
	uint64_t start_ns;
	uint64_t duration_ns;
	uint64_t timeout_ns;
};

struct result {
	uint64_t *latencies; /* of what was answered */
	uint64_t answered, failed;
	uint64_t took_ns;
};

static const char usage[] =
	"usage: client [option ...]\n"
	"  --mode MODE      ask (default), reconnect or open\n"
	"  --address ADDR   of the server (default 127.0.0.1)\n"
	"  --port P         (default 80)\n"
	"  --at UPTIME      when to begin, by /proc/uptime (default: now)\n"
	"  --seconds S      to work for, at most 60 (default 1)\n"
	"  --count N        open: connections, at most 10000 (default 100)\n"
	"  --first ADDR     open: source of the first, the next one's is one more, and so on\n"
	"  --timeout MS     open: for a connection and its answer (default 1000)\n";

static const char request[] = "GET /1 HTTP/1.1\r\nHost: client\r\n\r\n";

static enum mode parse_mode(const char *text)
{
	static const char *const names[] = {"ask", "reconnect", "open"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(text, names[i]))
			return (enum mode)i;
	tool_usage("--mode %s: want ask, reconnect or open", text);
}

static void parse_options(int argc, char **argv, struct options *options)
{
	const char *mode = "ask", *address = "127.0.0.1", *first = "0.0.0.0";
	uint64_t port = 80;
	const struct tool_option known[] = {
		{"--mode", .text = &mode},
		{"--address", .text = &address},
		{"--port", .number = &port, .min = 1, .max = UINT16_MAX},
		{"--at", .uptime_ns = &options->start_ns},
		{"--seconds", .seconds_ns = &options->duration_ns},
		{"--count", .number = &options->count, .min = 1, .max = COUNT_MAX},
		{"--first", .text = &first},
		{"--timeout", .number = &options->timeout_ns, .min = 1, .max = 10000,
		 .unit = TOOL_NS_PER_MS},
		{0},
	};

	tool_options(argc, argv, known, usage);
	options->mode = parse_mode(mode);
	options->server = tool_address(address, (uint16_t)port);
	options->first = tool_address(first, 0).sin_addr;
}

/* Whether `answer`, `size` bytes, is the whole one to `request`. */
static bool is_whole(const char *answer, size_t size)
{
	return size > 5 && !memcmp(answer + size - 5, "\r\n\r\nx", 5);
}

/* A closed connection leaves nothing behind: neither end runs out of ports. */
static void reset_when_closed(int fd)
{
	struct linger linger = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

static void add_answer(struct result *result, uint64_t latency_ns)
{
	if (result->answered < LATENCIES_MAX)
		result->latencies[result->answered] = latency_ns;
	result->answered++;
}

/* --- one request after the other --- */

static bool ask(int fd)
{
	char answer[ANSWER_MAX];
	size_t size = 0;

	if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != sizeof(request) - 1)
		return false;
	while (!is_whole(answer, size)) {
		ssize_t got = recv(fd, answer + size, sizeof(answer) - size, 0);

		if (got <= 0)
			return false;
		size += (size_t)got;
	}
	return true;
}

static int open_one(const struct options *options)
{
	int fd = tool_connect(&options->server);

	if (fd >= 0)
		reset_when_closed(fd);
	return fd;
}

/* Ask until the time is over; what that cuts short is no request. */
static void ask_on(const struct options *options, struct result *result)
{
	int fd = options->mode == MODE_ASK ? open_one(options) : -1;
	uint64_t start;

	tool_sleep_until(options->start_ns);
	start = tool_now_ns();
	while (!tool_stopped) {
		uint64_t began = tool_now_ns();

		if (fd < 0)
			fd = open_one(options);
		if (fd >= 0 && ask(fd))
			add_answer(result, tool_now_ns() - began);
		else if (!tool_stopped)
			result->failed++;
		else
			break;
		if (fd >= 0 && options->mode == MODE_RECONNECT) {
			close(fd);
			fd = -1;
		}
	}
	if (fd >= 0)
		close(fd);
	result->took_ns = tool_now_ns() - start;
}

/* --- many clients --- */

struct attempt {
	int fd; /* -1: over */
	bool is_asked;
	uint64_t began_ns;
	size_t size;
	char answer[ANSWER_MAX];
};

struct crowd {
	const struct options *options;
	struct result *result;
	struct attempt *attempts;
	size_t begun, expired; /* attempts before these are begun, and out of time or over */
	int epoll;
};

static void end_attempt(struct crowd *crowd, struct attempt *attempt, bool is_answered)
{
	close(attempt->fd);
	attempt->fd = -1;
	if (is_answered)
		add_answer(crowd->result, tool_now_ns() - attempt->began_ns);
	else
		crowd->result->failed++;
}

static void begin_attempt(struct crowd *crowd)
{
	struct attempt *attempt = &crowd->attempts[crowd->begun];
	const struct sockaddr_in *server = &crowd->options->server;
	struct sockaddr_in source = {.sin_family = AF_INET};
	uint32_t first = ntohl(crowd->options->first.s_addr);

	attempt->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	attempt->began_ns = tool_now_ns();
	if (attempt->fd < 0)
		tool_die("cannot make a socket: %s", strerror(errno));
	source.sin_addr.s_addr = htonl(first + (uint32_t)crowd->begun);
	crowd->begun++;
	if (first && bind(attempt->fd, (struct sockaddr *)&source, sizeof(source)))
		tool_die("cannot use a source address: %s", strerror(errno));
	reset_when_closed(attempt->fd);
	if (connect(attempt->fd, (const struct sockaddr *)server, sizeof(*server)) &&
	    errno != EINPROGRESS)
		end_attempt(crowd, attempt, false);
	else
		tool_watch(crowd->epoll, attempt->fd, attempt);
}

/* After an event; edges, so read on until there is no more. */
static void go_on(struct crowd *crowd, struct attempt *attempt)
{
	if (!attempt->is_asked) {
		ssize_t sent = send(attempt->fd, request, sizeof(request) - 1, MSG_NOSIGNAL);

		if (sent < 0 && (errno == EAGAIN || errno == ENOTCONN))
			return;
		attempt->is_asked = sent == sizeof(request) - 1;
		if (!attempt->is_asked) {
			end_attempt(crowd, attempt, false);
			return;
		}
	}
	while (attempt->fd >= 0) {
		ssize_t got = recv(attempt->fd, attempt->answer + attempt->size,
				   sizeof(attempt->answer) - attempt->size, 0);

		if (got < 0 && errno == EAGAIN)
			return;
		attempt->size += got > 0 ? (size_t)got : 0;
		if (got <= 0 || is_whole(attempt->answer, attempt->size))
			end_attempt(crowd, attempt, got > 0);
	}
}

/* When the crowd is to be looked after next: a connection begins, or is out of time. */
static uint64_t next_due(const struct crowd *crowd, uint64_t start)
{
	const struct options *options = crowd->options;
	uint64_t begins = start + crowd->begun * options->duration_ns / options->count;
	uint64_t ends = UINT64_MAX;

	if (crowd->expired < crowd->begun)
		ends = crowd->attempts[crowd->expired].began_ns + options->timeout_ns;
	return crowd->begun < options->count && begins < ends ? begins : ends;
}

static void look_after(struct crowd *crowd, uint64_t start)
{
	const struct options *options = crowd->options;
	uint64_t now = tool_now_ns();

	while (crowd->begun < options->count &&
	       now >= start + crowd->begun * options->duration_ns / options->count)
		begin_attempt(crowd);
	while (crowd->expired < crowd->begun) {
		struct attempt *oldest = &crowd->attempts[crowd->expired];

		if (oldest->fd >= 0 && now < oldest->began_ns + options->timeout_ns)
			break;
		if (oldest->fd >= 0)
			end_attempt(crowd, oldest, false);
		crowd->expired++;
	}
}

static void wait_for_events(struct crowd *crowd, uint64_t until_ns)
{
	struct epoll_event events[EVENTS_PER_TURN];
	uint64_t now = tool_now_ns();
	int wait_ms = until_ns > now ? (int)((until_ns - now) / TOOL_NS_PER_MS) + 1 : 0;
	int count = epoll_wait(crowd->epoll, events, EVENTS_PER_TURN, wait_ms);

	for (int i = 0; i < count; i++) {
		struct attempt *attempt = events[i].data.ptr;

		if (attempt->fd >= 0)
			go_on(crowd, attempt);
	}
}

static void open_many(const struct options *options, struct result *result)
{
	struct attempt *attempts AUTO_FREE = calloc(options->count, sizeof(*attempts));
	int epoll AUTO_CLOSE = epoll_create1(EPOLL_CLOEXEC);
	struct crowd crowd = {
		.options = options, .result = result, .attempts = attempts, .epoll = epoll};
	uint64_t start;

	if (!attempts || epoll < 0)
		tool_die("cannot begin: %s", strerror(errno));
	tool_sleep_until(options->start_ns);
	start = tool_now_ns();
	while (!tool_stopped && crowd.expired < options->count) {
		look_after(&crowd, start);
		if (crowd.expired < options->count)
			wait_for_events(&crowd, next_due(&crowd, start));
	}
	result->took_ns = tool_now_ns() - start;
}

/* --- */

static void report(const struct result *result)
{
	uint64_t count = result->answered < LATENCIES_MAX ? result->answered : LATENCIES_MAX;

	tool_sort(result->latencies, count);
	printf("{\"answered\":%llu,\"failed\":%llu,\"per_second\":%.1f,\"p50_ms\":%.3f,"
	       "\"p99_ms\":%.3f}\n",
	       (unsigned long long)result->answered, (unsigned long long)result->failed,
	       (double)result->answered * TOOL_NS_PER_S / (double)result->took_ns,
	       tool_percentile_ms(result->latencies, count, 50),
	       tool_percentile_ms(result->latencies, count, 99));
}

/* Whatever becomes of the server: a crowd's last member waits for its answer, and has a
 * second more. */
static void bound_time(const struct options *options)
{
	uint64_t now = tool_now_ns(), limit_ns = options->duration_ns;

	if (options->start_ns > now)
		limit_ns += options->start_ns - now;
	if (options->mode == MODE_OPEN)
		limit_ns += options->timeout_ns + TOOL_NS_PER_S;
	tool_stop_after(limit_ns);
}

int main(int argc, char **argv)
{
	struct options options = {
		.count = 100,
		.duration_ns = TOOL_NS_PER_S,
		.timeout_ns = TOOL_NS_PER_S,
	};
	uint64_t *latencies AUTO_FREE = calloc(LATENCIES_MAX, sizeof(*latencies));
	struct result result = {.latencies = latencies};

	parse_options(argc, argv, &options);
	if (!latencies)
		tool_die("out of memory");
	bound_time(&options);
	(options.mode == MODE_OPEN ? open_many : ask_on)(&options, &result);
	report(&result);
	return 0;
}
