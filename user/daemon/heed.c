/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What workers say of clients' addresses, on its way into the packet layer.
 *
 *   worker --> notes.h --> here, every PERIOD_MS: judge --> packet.h --> maps of each throttle
 *                                    '--> dropped, counted
 *
 * Nothing here waits: while somebody else changes the tables, what was taken is kept for the
 * next time, and the rings fill. A worker may be in a stranger's hands. What it can bring
 * about is that sources are verified, or blocked, for as long as the configuration says of
 * each; where the configuration asks for neither, nothing.
 */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "daemon/master.h"
#include "daemon/packet.h"

#define PERIOD_MS 250
#define TAKEN_MAX 1024 /* at once: bounds what a period costs */
#define TOLD_MAX 16    /* of those, in the log */

struct thr_heard {
	size_t count;
	bool told; /* that they cannot be written */
	struct thr_note notes[TAKEN_MAX];
};

/* For how long at most a note may be in force; 0: nobody asks for it. */
static uint64_t most_ns(const struct thr_config *config, uint32_t kind)
{
	switch (kind) {
	case THR_NOTE_VERIFIED:
		return thr_config_has_budgets(config) ? THR_VERIFIED_NS : 0;
	case THR_NOTE_BLOCKED:
		return config->xdp.interface_count && config->block.refusals.count
			       ? config->block.for_ms * THR_NS_PER_MS
			       : 0;
	default:
		return 0;
	}
}

static bool is_wanted(const struct thr_config *config)
{
	return most_ns(config, THR_NOTE_VERIFIED) || most_ns(config, THR_NOTE_BLOCKED);
}

bool thr_heed_judge(const struct thr_config *config, struct thr_note *note, uint64_t now_ns)
{
	static const uint8_t unspecified[sizeof(note->address.bytes)];
	uint64_t latest_ns = now_ns + most_ns(config, note->kind);

	if (note->until_ns <= now_ns || latest_ns == now_ns ||
	    memcmp(note->address.bytes, unspecified, sizeof(unspecified)) == 0)
		return false;
	if (note->until_ns > latest_ns)
		note->until_ns = latest_ns;
	return true;
}

static void take(struct thr_master *master, uint64_t now_ns)
{
	struct thr_heard *heard = master->heard;
	struct thr_note *end = heard->notes + heard->count;
	size_t count = thr_notes_take(master->notes, end, TAKEN_MAX - heard->count);
	struct thr_note *kept = end;

	for (struct thr_note *note = end; note < end + count; note++)
		if (thr_heed_judge(master->generation->config, note, now_ns))
			*kept++ = *note;
	heard->count += (size_t)(kept - end);
	master->facts.notes_dropped += count - (size_t)(kept - end);
}

/* An operator looks for a client that is refused in the log; a flood is not to fill it. */
static void tell_blocked(const struct thr_heard *heard, uint64_t now_ns)
{
	char address[THR_ADDRESS_TEXT];
	size_t told = 0;

	for (size_t i = 0; i < heard->count; i++) {
		const struct thr_note *note = &heard->notes[i];
		uint64_t left_s;

		if (note->kind != THR_NOTE_BLOCKED || told++ >= TOLD_MAX || note->until_ns < now_ns)
			continue;
		thr_address_format(&note->address, address);
		left_s = (note->until_ns - now_ns + THR_NS_PER_S - 1) / THR_NS_PER_S;
		thr_log(THR_LOG_INFO, "%s: blocked for %" PRIu64 "s, by rate_limit.block", address,
			left_s);
	}
	if (told > TOLD_MAX)
		thr_log(THR_LOG_INFO, "%zu more clients blocked, by rate_limit.block",
			told - TOLD_MAX);
}

static void write_out(struct thr_master *master)
{
	struct thr_heard *heard = master->heard;
	struct thr_error error;
	int r;

	if (!heard->count)
		return;
	r = thr_packet_note(&master->generation->config->xdp, heard->notes, heard->count, &error);
	if (r == -EWOULDBLOCK)
		return;
	if (r && !heard->told)
		thr_log(THR_LOG_WARNING, "clients cannot be told of to the packet layer: %s",
			error.text);
	heard->told = r != 0;
	if (!r)
		tell_blocked(heard, thr_loop_now_ns(master->loop));
	for (size_t i = 0; i < heard->count; i++) {
		if (r)
			master->facts.notes_dropped++;
		else if (heard->notes[i].kind == THR_NOTE_VERIFIED)
			master->facts.verified++;
		else
			master->facts.blocked++;
	}
	heard->count = 0;
}

static void on_notes(struct thr_timer *timer)
{
	struct thr_master *master =
		(struct thr_master *)((char *)timer - offsetof(struct thr_master, heed));

	take(master, thr_loop_now_ns(master->loop));
	write_out(master);
	thr_heed_watch(master);
}

int thr_heed_new(struct thr_master *master)
{
	master->heard = calloc(1, sizeof(*master->heard));
	if (!master->heard)
		return -ENOMEM;
	master->heed.fire = on_notes;
	return thr_notes_new(master->worker_count, &master->notes);
}

void thr_heed_free(struct thr_master *master)
{
	thr_notes_free(master->notes);
	free(master->heard);
}

void thr_heed_watch(struct thr_master *master)
{
	if (is_wanted(master->generation->config))
		thr_loop_arm(master->loop, &master->heed, PERIOD_MS);
}
