/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The life of a worker as the master sees it.
 *
 * A worker that dies takes its connections with it and nothing else: its column
 * of what the workers share is cleared, and its listener, which is open here too,
 * is lent to a living worker (lend.c). The restart comes at once after a life of 10 s; else after a
 * pause that doubles from 100 ms to 10 s, so that a worker that cannot live does not cost a core.
 *
 * A worker that is stuck (it does not answer a configuration within a minute, lets
 * its channel fill, or its loop does not turn for half a minute) or makes no sense is
 * killed, and so becomes one that died. One that cannot take a new configuration, for
 * lack of descriptors or memory, has clients to serve: it stays with the one before
 * and is asked again every second, and meanwhile others accept for it by the new.
 */
#include "daemon/master.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/clock.h"
#include "core/log.h"
#include "daemon/message.h"
#include "daemon/worker.h"

#define ANSWER_MS 60000	   /* for a configuration; 64 MiB of YAML take seconds */
#define LONG_LIFE_MS 10000 /* after which a death is an accident, not a habit */
#define AGAIN_MS 1000	   /* from a configuration that was not taken to the next try */
#define STILL_LOOKS 30	   /* one a second */
#define PAUSE_MIN_MS 100
#define PAUSE_MAX_MS 10000

#define SLOT(pointer, member)                                                                      \
	((struct thr_slot *)((char *)(pointer)-offsetof(struct thr_slot, member)))

/* The loop's clock stands still while a turn works; lives are short. */
static uint64_t now_ms(void)
{
	return thr_clock_monotonic_ns() / THR_NS_PER_MS;
}

bool thr_slot_is_serving(const struct thr_slot *slot)
{
	return slot->pid && slot->generation && !slot->behind;
}

void thr_slot_kill(const struct thr_slot *slot)
{
	if (slot->pid)
		kill(slot->pid, SIGKILL);
}

/* What cannot be sent: as much is there unread as the channel holds, which is more than there
 * is to say to a worker that reads. */
void thr_slot_tell(struct thr_slot *slot, const struct thr_message *message, const int *fds)
{
	int r;

	if (!slot->pid || slot->deaf)
		return;
	r = thr_message_send(slot->channel.fd, message, fds);
	if (!r || r == -EPIPE || r == -ECONNRESET)
		return;
	slot->deaf = true;
	thr_slot_kill(slot);
	thr_log(THR_LOG_ERROR, "worker %u takes no messages (%s): killed it", slot->number + 1,
		strerror(-r));
}

/* --- loops that stand still --- */

/* By looks and not by clocks: when the whole machine stood still, or this process did,
 * that was one look. */
static bool is_stuck(struct thr_slot *slot)
{
	uint64_t turn_ms =
		__atomic_load_n(&slot->master->counts[slot->number].turn_ms, __ATOMIC_RELAXED);

	if (turn_ms != slot->turn_ms)
		slot->still = 0;
	else
		slot->still++;
	slot->turn_ms = turn_ms;
	return slot->still >= STILL_LOOKS;
}

void thr_slots_look(struct thr_master *master)
{
	for (unsigned int i = 0; i < master->worker_count; i++) {
		struct thr_slot *slot = &master->slots[i];

		if (!slot->pid || !is_stuck(slot))
			continue;
		slot->still = 0;
		thr_slot_kill(slot);
		thr_log(THR_LOG_ERROR, "worker %u has stood still for %d s: killed it",
			slot->number + 1, STILL_LOOKS);
	}
	thr_slots_lend(master);
}

/* --- what workers say --- */

/* Without a configuration it is of no use. */
static void on_useless(struct thr_slot *slot, const struct thr_message *message)
{
	char text[sizeof(message->text) + 32];

	thr_slot_kill(slot);
	snprintf(text, sizeof(text), "worker %u: %s", slot->number + 1, message->text);
	if (slot->master->phase == THR_STARTING)
		thr_master_fail(slot->master, -message->code, text);
	else
		thr_log(THR_LOG_ERROR, "%s: starting it anew", text);
}

static void fall_behind(struct thr_slot *slot, const char *why)
{
	thr_loop_arm(slot->master->loop, &slot->timer, AGAIN_MS);
	if (!slot->behind)
		thr_log(THR_LOG_ERROR,
			"worker %u could not take the configuration (%s): it goes on by the one "
			"before, and is asked again every second",
			slot->number + 1, why);
	slot->behind = true;
	thr_slot_give_back(slot);
}

static void catch_up(struct thr_slot *slot, uint64_t generation)
{
	bool was_down = !slot->generation && slot->master->phase != THR_STARTING;
	bool was_behind = slot->behind;

	slot->generation = generation;
	slot->behind = false;
	thr_slot_take_back(slot);
	if (was_down)
		thr_log(THR_LOG_INFO, "worker %u serves again", slot->number + 1);
	if (was_behind)
		thr_log(THR_LOG_INFO, "worker %u has taken the configuration", slot->number + 1);
}

/* Of a worker that has ended only this matters: why it could not start. */
static int on_configured(struct thr_slot *slot, const struct thr_message *message)
{
	struct thr_master *master = slot->master;

	if (!slot->asked)
		return -EPROTO;
	slot->asked = false;
	thr_loop_disarm(master->loop, &slot->timer);
	if (message->code && !slot->generation) {
		on_useless(slot, message);
		return 1;
	}
	if (!slot->pid || master->phase == THR_DRAINING)
		return 1;
	if (message->generation != master->generation->number) {
		thr_slot_configure(slot); /* there is a newer one by now */
		return 1;
	}
	slot->answered = message->generation;
	if (message->code)
		fall_behind(slot, message->text);
	else
		catch_up(slot, message->generation);
	thr_slots_lend(master);
	thr_master_settle(master);
	return 1;
}

/* A listener that the worker could not take: the next look lends it, to another if
 * there is one. The answer may come after that listener went back. */
static int on_declined(struct thr_slot *slot, const struct thr_message *message)
{
	struct thr_master *master = slot->master;
	struct thr_slot *lender;

	if (message->slot >= master->worker_count || message->front >= THR_FRONTS)
		return -EPROTO;
	lender = &master->slots[message->slot];
	if (lender->borrower[message->front] == slot->number) {
		lender->borrower[message->front] = THR_NOBODY;
		lender->ask_next = slot->number + 1;
	}
	return 1;
}

/* One message a call: a worker that went mad gets no more of the master's time than
 * the others. Returns 1, 0 when there was none, or a negative errno at the end. */
static int hear(struct thr_slot *slot)
{
	struct thr_message message;
	int r = thr_message_receive(slot->channel.fd, &message, NULL);

	if (r <= 0)
		return r;
	if (message.kind == THR_MESSAGE_CONFIGURED)
		return on_configured(slot, &message);
	if (message.kind == THR_MESSAGE_CHANGE)
		return thr_changes_hear(slot, &message.change);
	return message.kind == THR_MESSAGE_UNLISTEN ? on_declined(slot, &message) : -EPROTO;
}

static void on_channel(struct thr_io *io, uint32_t events)
{
	struct thr_slot *slot = SLOT(io, channel);
	int r = hear(slot);

	(void)events;
	if (r >= 0)
		return;
	/* Without its channel it is about to end, or out of control: SIGCHLD follows
	 * either way. */
	thr_loop_forget(slot->master->loop, io);
	thr_slot_kill(slot);
	if (r != -EPIPE)
		thr_log(THR_LOG_ERROR, "worker %u sent what makes no sense: killed it",
			slot->number + 1);
}

void thr_slot_configure(struct thr_slot *slot)
{
	const struct thr_master *master = slot->master;
	const struct thr_generation *generation = master->generation;
	const int fds[THR_MESSAGE_FDS] = {
		[THR_FD_TEXT] = generation->text_fd,
		[THR_FD_TARGETS] = generation->targets_fd,
		[THR_FD_SECRETS] = generation->secrets_fd,
		[THR_FD_LISTENERS + THR_FRONT_PROXY] = slot->listener[THR_FRONT_PROXY],
		[THR_FD_LISTENERS + THR_FRONT_API] = slot->listener[THR_FRONT_API],
	};
	struct thr_message message = {.kind = THR_MESSAGE_CONFIG, .generation = generation->number};

	if (slot->asked)
		return;
	slot->asked = true;
	snprintf(message.text, sizeof(message.text), "%s", master->path);
	thr_slot_tell(slot, &message, fds);
	thr_loop_arm(master->loop, &slot->timer, ANSWER_MS);
}

/* --- birth and death --- */

static void pause_before_restart(struct thr_slot *slot)
{
	uint64_t pause_ms = slot->pause_ms ? slot->pause_ms * 2 : PAUSE_MIN_MS;

	slot->pause_ms = pause_ms < PAUSE_MAX_MS ? pause_ms : PAUSE_MAX_MS;
	thr_loop_arm(slot->master->loop, &slot->timer, slot->pause_ms);
}

static void fail_spawn(struct thr_slot *slot, int code)
{
	char text[128];

	snprintf(text, sizeof(text), "worker %u cannot be started: %s", slot->number + 1,
		 strerror(code));
	if (slot->master->phase == THR_STARTING) {
		thr_master_fail(slot->master, code, text);
		return;
	}
	pause_before_restart(slot);
	thr_log(THR_LOG_ERROR, "%s", text);
}

static _Noreturn void become_worker(const struct thr_slot *slot, int channel)
{
	const struct thr_master *master = slot->master;
	const struct thr_worker_parts parts = {
		.channel = channel,
		.number = slot->number,
		.workers = master->worker_count,
		.buckets = master->buckets,
		.quotas = master->quotas,
		.board = master->board,
		.notes = master->notes,
		.counts = master->counts,
		.store_counts = master->store_counts,
		.api_counts = master->api_counts,
		.route_counts = master->route_counts,
		.instance = master->instance,
		.run_as = master->run_as,
	};

	thr_worker_run(&parts);
}

/* Watch the channel and fork; the process that comes back is the master. */
static int start_worker(struct thr_slot *slot, int channel)
{
	struct thr_master *master = slot->master;
	int r = thr_loop_watch_level(master->loop, &slot->channel, EPOLLIN);

	if (r)
		return r;
	slot->pid = fork();
	if (slot->pid == 0)
		become_worker(slot, channel);
	if (slot->pid > 0)
		return 0;
	r = -errno;
	slot->pid = 0;
	thr_loop_forget(master->loop, &slot->channel);
	return r;
}

void thr_slot_spawn(struct thr_slot *slot)
{
	int ends[2], r = thr_message_pair(ends);

	thr_slot_mend_listeners(slot);
	if (r) {
		fail_spawn(slot, -r);
		return;
	}
	slot->channel.fd = ends[0];
	r = start_worker(slot, ends[1]);
	close(ends[1]);
	if (r) {
		close(TAKE_FD(slot->channel.fd));
		fail_spawn(slot, -r);
		return;
	}
	slot->born_ms = now_ms();
	thr_slot_configure(slot);
}

static void on_timer(struct thr_timer *timer)
{
	struct thr_slot *slot = SLOT(timer, timer);

	if (!slot->pid) {
		thr_slot_spawn(slot);
		return;
	}
	if (!slot->asked) {
		thr_slot_configure(slot);
		return;
	}
	thr_slot_kill(slot);
	thr_log(THR_LOG_ERROR, "worker %u did not answer within %d s: killed it", slot->number + 1,
		ANSWER_MS / 1000);
}

void thr_slot_init(struct thr_slot *slot, struct thr_master *master, unsigned int number)
{
	*slot = (struct thr_slot){
		.master = master,
		.number = number,
		.channel = {.fd = -1, .ready = on_channel},
		.timer.fire = on_timer,
		.ask_next = number + 1,
	};
	for (unsigned int i = 0; i < THR_FRONTS; i++) {
		slot->listener[i] = slot->retired[i] = -1;
		slot->borrower[i] = THR_NOBODY;
	}
}

static void describe_end(int status, char *text, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(text, size, "signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(text, size, "exit status %d", WEXITSTATUS(status));
}

/*
 * Forget the worker: what it lent, what it borrowed, what it counted. First that it
 * lives: its process id may be another process's by now, and what is still to be
 * heard from it changes nothing.
 */
static void bury(struct thr_slot *slot)
{
	struct thr_master *master = slot->master;

	slot->pid = 0;
	slot->behind = false;
	while (hear(slot) > 0) /* its last words */
		;
	thr_changes_forget(slot);
	slot->asked = slot->deaf = false;
	slot->generation = 0;
	slot->answered = 0;
	slot->still = 0;
	thr_loop_forget(master->loop, &slot->channel);
	close(TAKE_FD(slot->channel.fd));
	thr_loop_disarm(master->loop, &slot->timer);
	thr_targets_forget_worker(master->generation->targets, slot->number);
	__atomic_store_n(&master->counts[slot->number].open_connections, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&master->api_counts[slot->number].open_connections, 0, __ATOMIC_RELAXED);
	thr_slot_return_listeners(slot);
}

static void restart(struct thr_slot *slot, const char *how)
{
	uint64_t life_ms = now_ms() - slot->born_ms;

	slot->master->facts.restarts++;
	if (life_ms >= LONG_LIFE_MS) {
		slot->pause_ms = 0;
		thr_slot_spawn(slot);
		thr_log(THR_LOG_WARNING, "worker %u ended by %s: restarting it", slot->number + 1,
			how);
	} else {
		pause_before_restart(slot);
		thr_log(THR_LOG_WARNING,
			"worker %u ended by %s after %" PRIu64 " ms: restarting it in %" PRIu64
			" ms",
			slot->number + 1, how, life_ms, slot->pause_ms);
	}
	thr_slots_lend(slot->master);
	thr_master_settle(slot->master);
}

void thr_slot_died(struct thr_slot *slot, int status)
{
	struct thr_master *master = slot->master;
	char how[64], text[128];

	describe_end(status, how, sizeof(how));
	bury(slot);
	if (master->phase == THR_STARTING) {
		snprintf(text, sizeof(text), "worker %u ended by %s before it could serve",
			 slot->number + 1, how);
		thr_master_fail(master, ECHILD, text);
	} else if (master->phase != THR_DRAINING) {
		restart(slot, how);
	} else if (!master->result && status && !WIFSIGNALED(status)) {
		thr_log(THR_LOG_WARNING, "worker %u ended by %s", slot->number + 1, how);
	}
}
