/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See packet.h. */
#include "daemon/packet.h"

#include <errno.h>
#include <string.h>

#include "control/attach.h"
#include "control/challenge.h"
#include "control/fallback.h"
#include "control/lock.h"
#include "control/peers.h"
#include "control/tables.h"
#include "core/cleanup.h"
#include "core/log.h"
#include "proxy/proxy.h"

static void log_notices(const struct thr_notices *notices)
{
	for (size_t i = 0; i < notices->count; i++)
		thr_log(notices->items[i].is_warning ? THR_LOG_WARNING : THR_LOG_INFO, "%s",
			notices->items[i].text);
}

static void log_attached(const char *device, const struct thr_attach_result *result)
{
	thr_log(THR_LOG_INFO, "%s: %s in %s mode, program %u%s", device,
		result->was_attached ? "already attached" : "attached", thr_mode_name(result->mode),
		result->program_id, result->joined ? ", behind libxdp's dispatcher" : "");
	if (result->native_error)
		thr_log(THR_LOG_WARNING, "%s: generic because native mode was refused: %s", device,
			thr_native_error_text(result->native_error));
}

/* How many of the interfaces have it. */
static size_t count_named(const struct thr_instance *instance, const struct thr_xdp_config *xdp)
{
	size_t count = 0;

	for (size_t i = 0; i < instance->attachment_count; i++)
		for (size_t j = 0; j < xdp->interface_count; j++)
			count += strcmp(instance->attachments[i].name, xdp->interfaces[j]) == 0;
	return count;
}

/* Write the tables into the throttle that the interfaces share; into each, where
 * they were attached apart. */
static int write_tables(const struct thr_xdp_config *xdp, struct thr_error *error)
{
	struct thr_instances instances = {};
	struct thr_notices notices = {};
	int r = thr_instances_find(&instances, error);

	for (size_t i = 0; i < instances.count && !r; i++) {
		if (!count_named(&instances.items[i], xdp))
			continue;
		r = thr_tables_write(&instances.items[i], &xdp->tables, &notices, error);
		if (!r)
			thr_challenge_check_links(&instances.items[i], &notices);
	}
	log_notices(&notices);
	thr_instances_clear(&instances);
	return r;
}

static void undo(const struct thr_xdp_config *xdp, const bool *attached)
{
	struct thr_notices notices = {};
	struct thr_error error;

	for (size_t i = 0; i < xdp->interface_count; i++)
		if (attached[i] && thr_detach(xdp->interfaces[i], &notices, &error))
			thr_log(THR_LOG_WARNING, "%s", error.text);
	log_notices(&notices);
}

static int attach_all(const struct thr_xdp_config *xdp, struct thr_attach_result *results,
		      bool *attached, struct thr_error *error)
{
	int r = 0;

	for (size_t i = 0; i < xdp->interface_count && !r; i++) {
		const struct thr_attach_request request = {.device = xdp->interfaces[i],
							   .mode = xdp->mode,
							   .sizes = &xdp->tables.sizes};

		r = thr_attach(&request, &results[i], error);
		attached[i] = !r && !results[i].was_attached;
	}
	return r;
}

/* Tables come last, by one store in each throttle: what fails before leaves the
 * old ones in force. A throttle that is new passes everything until then. */
int thr_packet_apply(const struct thr_xdp_config *xdp, bool may_wait, bool *ret_attached,
		     struct thr_error *error)
{
	AUTO_FREE struct thr_attach_result *results = NULL;
	AUTO_CLOSE int lock = -1;
	int r;

	if (!xdp->interface_count)
		return 0;
	lock = may_wait ? thr_lock(error) : thr_lock_try(error);
	if (lock < 0)
		return lock;
	results = calloc(xdp->interface_count, sizeof(*results));
	if (!results)
		return thr_fail(error, ENOMEM, "xdp.interfaces: %s", strerror(ENOMEM));
	memset(ret_attached, 0, xdp->interface_count * sizeof(*ret_attached));
	r = attach_all(xdp, results, ret_attached, error);
	if (!r)
		r = write_tables(xdp, error);
	if (r)
		undo(xdp, ret_attached);
	for (size_t i = 0; i < xdp->interface_count && !r; i++)
		log_attached(xdp->interfaces[i], &results[i]);
	return r;
}

static void add(struct thr_stats *sum, const struct thr_stats *stats)
{
	for (size_t i = 0; i < THR_REASON_COUNT; i++) {
		sum->reason[i].packets += stats->reason[i].packets;
		sum->reason[i].dropped += stats->reason[i].dropped;
	}
	sum->passed += stats->passed;
	sum->challenged += stats->challenged;
	sum->dropped += stats->dropped;
}

static void merge_challenge(enum thr_challenge *worst, const struct thr_instance *instance)
{
	char text[THR_CHALLENGE_TEXT];
	enum thr_challenge state = thr_challenge_describe(instance, text);

	if (state == THR_CHALLENGE_UNREADY || *worst == THR_CHALLENGE_NONE)
		*worst = state;
}

void thr_packet_count(const struct thr_xdp_config *xdp, uint64_t *ret_interfaces,
		      struct thr_stats *ret_stats, enum thr_challenge *ret_challenge)
{
	struct thr_instances instances = {};
	struct thr_stats stats;
	struct thr_error error;
	uint64_t interfaces = 0;

	*ret_challenge = THR_CHALLENGE_NONE;
	memset(ret_stats, 0, sizeof(*ret_stats));
	if (xdp->interface_count && !thr_instances_find(&instances, &error))
		for (size_t i = 0; i < instances.count; i++) {
			size_t named = count_named(&instances.items[i], xdp);

			if (!named || thr_stats_read(&instances.items[i], &stats, &error))
				continue;
			add(ret_stats, &stats);
			interfaces += named;
			merge_challenge(ret_challenge, &instances.items[i]);
		}
	thr_instances_clear(&instances);
	*ret_interfaces = interfaces;
}

/* A source stays blocked for what it has left, if that is more: an operator may have blocked
 * it for longer, and is not to be undone by what the source still has open. */
static struct thr_peer peer_of(const struct thr_instance *instance, enum thr_peer_set set,
			       const struct thr_note *note)
{
	struct thr_peer peer = {thr_peer_source(instance, &note->address), note->until_ns};
	uint64_t later_ns;

	if (set != THR_PEERS_BLOCKED)
		return peer;
	later_ns = thr_peers_find(instance, set, &peer.source, note->until_ns);
	if (later_ns)
		peer.until_ns = later_ns;
	return peer;
}

/* Those of one kind. `peers` has room for all. */
static int note_kind(struct thr_instance *instance, const struct thr_note *notes, size_t count,
		     enum thr_note_kind kind, struct thr_peer *peers, struct thr_error *error)
{
	enum thr_peer_set set = kind == THR_NOTE_VERIFIED ? THR_PEERS_VERIFIED : THR_PEERS_BLOCKED;
	size_t found = 0;

	for (size_t i = 0; i < count; i++)
		if (notes[i].kind == kind)
			peers[found++] = peer_of(instance, set, &notes[i]);
	return thr_peers_add(instance, set, peers, found, error);
}

int thr_packet_note(const struct thr_xdp_config *xdp, const struct thr_note *notes, size_t count,
		    struct thr_error *error)
{
	AUTO_FREE struct thr_peer *peers = calloc(count + 1, sizeof(*peers));
	struct thr_instances instances = {};
	AUTO_CLOSE int lock = thr_lock_try(error);
	int r = lock < 0 ? lock : thr_instances_find(&instances, error);
	bool any = false;

	if (!peers)
		r = thr_fail(error, ENOMEM, "%s", strerror(ENOMEM));
	if (!r)
		r = thr_fail(error, ENOENT, "no interface has the throttle any more");
	/* One that has no tables, say, does not keep them from the others. */
	for (size_t i = 0; i < instances.count && peers; i++) {
		int each;

		if (!count_named(&instances.items[i], xdp))
			continue;
		each = note_kind(&instances.items[i], notes, count, THR_NOTE_VERIFIED, peers,
				 error);
		if (!each)
			each = note_kind(&instances.items[i], notes, count, THR_NOTE_BLOCKED, peers,
					 error);
		any |= !each;
		r = each;
	}
	thr_instances_clear(&instances);
	return any ? 0 : r;
}

void thr_packet_undo(const struct thr_xdp_config *xdp, const bool *attached)
{
	AUTO_CLOSE int lock = -1;

	if (!xdp->interface_count)
		return;
	lock = thr_lock(NULL);
	if (lock >= 0)
		undo(xdp, attached);
}
