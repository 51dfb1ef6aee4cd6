/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the master does when: the phases of `run`, by signals and by what becomes
 * of the workers.
 *
 * SIGTERM, SIGINT and SIGQUIT close the listeners at once, so that clients and
 * balancers see that this machine is leaving, and give connections
 * server.drain_timeout to end. A second one ends them. SIGUSR1 and SIGUSR2, by which
 * other servers open their logs again, must not end this one.
 */
#include "daemon/master.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/duration.h"
#include "core/log.h"
#include "daemon/daemon.h"
#include "daemon/listener.h"
#include "daemon/message.h"
#include "daemon/notify.h"
#include "daemon/packet.h"

#define MASTER(pointer, member)                                                                    \
	((struct thr_master *)((char *)(pointer)-offsetof(struct thr_master, member)))

static void kill_all(struct thr_master *master)
{
	for (unsigned int i = 0; i < master->worker_count; i++)
		thr_slot_kill(&master->slots[i]);
}

/* --- the end --- */

static uint64_t count_connections(const struct thr_master *master)
{
	uint64_t count = 0;

	for (unsigned int i = 0; i < master->worker_count; i++)
		count += __atomic_load_n(&master->counts[i].open_connections, __ATOMIC_RELAXED) +
			 __atomic_load_n(&master->api_counts[i].open_connections, __ATOMIC_RELAXED);
	return count;
}

static void drain(struct thr_master *master)
{
	const struct thr_message message = {.kind = THR_MESSAGE_DRAIN};
	uint64_t wait_ms = master->generation->config->server.drain_timeout_ms;
	uint64_t open = count_connections(master);
	char wait[THR_DURATION_TEXT];

	master->phase = THR_DRAINING;
	thr_fronts_close(master);
	for (unsigned int i = 0; i < master->worker_count; i++) {
		struct thr_slot *slot = &master->slots[i];

		thr_loop_disarm(master->loop, &slot->timer);
		if (slot->pid)
			thr_slot_tell(slot, &message, NULL);
	}
	thr_loop_arm(master->loop, &master->deadline, wait_ms);
	thr_duration_format(wait_ms, wait);
	if (open)
		thr_log(THR_LOG_INFO, "draining: connections that have %s to end: %" PRIu64, wait,
			open);
	thr_notify("STOPPING=1\nSTATUS=draining");
}

static void on_deadline(struct thr_timer *timer)
{
	struct thr_master *master = MASTER(timer, deadline);
	uint64_t cut = count_connections(master);

	kill_all(master);
	thr_log(THR_LOG_WARNING,
		"server.drain_timeout is over: connections that were cut: %" PRIu64, cut);
}

/* --- once a second --- */

#define LOOK_MS 1000

static uint64_t ns_of(const struct timeval *time)
{
	return (uint64_t)time->tv_sec * THR_NS_PER_S + (uint64_t)time->tv_usec * 1000;
}

/* Its own, that of children that were waited for, and that of workers that live: by their
 * clocks, as /proc may hide the processes of other users. */
static uint64_t count_cpu_ns(const struct thr_master *master)
{
	uint64_t sum = thr_clock_read_ns(CLOCK_PROCESS_CPUTIME_ID);
	struct rusage gone;
	clockid_t clock;

	if (!getrusage(RUSAGE_CHILDREN, &gone))
		sum += ns_of(&gone.ru_utime) + ns_of(&gone.ru_stime);
	for (unsigned int i = 0; i < master->worker_count; i++)
		if (master->slots[i].pid && !clock_getcpuclockid(master->slots[i].pid, &clock))
			sum += thr_clock_read_ns(clock);
	return sum;
}

bool thr_master_has_file(const struct thr_master *master)
{
	return strcmp(master->path, THR_DAEMON_NO_FILE) != 0;
}

void thr_master_publish(struct thr_master *master)
{
	const struct thr_config *config = master->generation->config;
	struct thr_facts *facts = &master->facts;
	uint64_t cpu_ns;

	if (!config->api.present)
		return; /* nobody can ask for it */
	cpu_ns = count_cpu_ns(master);
	if (cpu_ns > facts->cpu_ns) /* what is left of a process is in whole microseconds */
		facts->cpu_ns = cpu_ns;
	facts->serving = 0;
	for (unsigned int i = 0; i < master->worker_count; i++)
		facts->serving += thr_slot_is_serving(&master->slots[i]);
	facts->interfaces_configured = config->xdp.interface_count;
	thr_packet_count(&config->xdp, &facts->interfaces, &facts->packets, &facts->challenge);
	facts->notes_lost = thr_notes_lost(master->notes);
	thr_board_write(master->board, facts);
}

static void on_look(struct thr_timer *timer)
{
	struct thr_master *master = MASTER(timer, look);

	if (master->phase == THR_DRAINING)
		return; /* its deadline sees to workers that are stuck */
	thr_slots_look(master);
	thr_master_publish(master);
	thr_loop_arm(master->loop, timer, LOOK_MS);
}

void thr_master_fail(struct thr_master *master, int code, const char *text)
{
	if (master->phase != THR_STARTING || master->result)
		return;
	master->result = thr_fail(master->error, code, "%s", text);
	master->phase = THR_DRAINING;
	kill_all(master);
}

static bool is_over(const struct thr_master *master)
{
	if (master->phase != THR_DRAINING)
		return false;
	for (unsigned int i = 0; i < master->worker_count; i++)
		if (master->slots[i].pid)
			return false;
	return true;
}

static void reap(struct thr_master *master)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (unsigned int i = 0; i < master->worker_count; i++)
			if (master->slots[i].pid == pid) {
				thr_slot_died(&master->slots[i], status);
				break;
			}
}

/* --- signals and phases --- */

void thr_master_settle(struct thr_master *master)
{
	for (unsigned int i = 0; i < master->worker_count; i++) {
		const struct thr_slot *slot = &master->slots[i];

		if (slot->pid && slot->answered != master->generation->number)
			return;
		if (!slot->pid && master->phase == THR_STARTING)
			return;
	}
	if (master->phase == THR_DRAINING)
		return;
	if (master->phase != THR_SERVING)
		thr_reload_end(master);
	master->phase = THR_SERVING;
	if (master->reload_wanted) {
		master->reload_wanted = false;
		thr_reload_begin(master);
	}
}

static void on_end_signal(struct thr_master *master, int number)
{
	if (master->phase == THR_DRAINING) {
		kill_all(master);
		thr_log(THR_LOG_WARNING, "a second signal: ending at once");
		return;
	}
	thr_log(THR_LOG_INFO, "SIG%s: stopping", sigabbrev_np(number));
	drain(master);
}

static void on_signal(struct thr_master *master, int number)
{
	switch (number) {
	case SIGCHLD:
		reap(master);
		break;
	case SIGHUP:
		master->reload_wanted = master->phase != THR_DRAINING;
		if (master->phase == THR_SERVING)
			thr_master_settle(master);
		break;
	case SIGUSR1:
	case SIGUSR2:
		thr_log(THR_LOG_INFO, "SIG%s: nothing to do: logs go to standard output",
			sigabbrev_np(number));
		break;
	default:
		on_end_signal(master, number);
	}
}

static void on_signals(struct thr_io *io, uint32_t events)
{
	struct thr_master *master = MASTER(io, signals);
	struct signalfd_siginfo signal;

	(void)events;
	while (read(io->fd, &signal, sizeof(signal)) == sizeof(signal))
		on_signal(master, (int)signal.ssi_signo);
}

void thr_master_signals(sigset_t *ret_set)
{
	static const int numbers[] = {SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGUSR2};

	sigemptyset(ret_set);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaddset(ret_set, numbers[i]);
}

static int watch_signals(struct thr_master *master)
{
	sigset_t set;
	int fd;

	thr_master_signals(&set);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	master->signals = (struct thr_io){.fd = fd, .ready = on_signals};
	return thr_loop_watch_level(master->loop, &master->signals, EPOLLIN);
}

static int fail_loop(struct thr_master *master, int code)
{
	return thr_fail(master->error, code, "the master's loop: %s", strerror(code));
}

int thr_master_run(struct thr_master *master)
{
	int r = watch_signals(master);

	if (r) {
		master->result = fail_loop(master, -r);
		return master->result;
	}
	master->deadline.fire = on_deadline;
	master->again.fire = thr_reload_again;
	master->look.fire = on_look;
	thr_loop_arm(master->loop, &master->look, LOOK_MS);
	for (unsigned int i = 0; i < master->worker_count && !master->result; i++)
		thr_slot_spawn(&master->slots[i]);
	while (!is_over(master) && !r)
		r = thr_loop_turn(master->loop, thr_log_turn(thr_loop_now_ms(master->loop)));
	if (r) {
		kill_all(master);
		return fail_loop(master, -r);
	}
	return master->result;
}
