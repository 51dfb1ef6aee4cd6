/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `status`: what is attached where, in which mode and why, and the counters. */
#include "cli/sources.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "control/challenge.h"
#include "control/fallback.h"
#include "control/stats.h"
#include "core/cleanup.h"

static const char *action_name(const struct thr_instance *instance)
{
	static const char *const names[] = {"off", "enforce", "monitor"};
	uint32_t action = instance->live->slot[instance->live->active].action;

	return action < sizeof(names) / sizeof(names[0]) ? names[action] : "unknown";
}

static json_t *interface_json(const struct thr_instance *instance,
			      const struct thr_attachment *attachment)
{
	int fallback = thr_fallback_find(instance, attachment->index);
	json_t *object = json_pack("{s:s,s:s,s:i,s:b}", "name", attachment->name, "mode",
				   thr_mode_name(attachment->mode), "program_id",
				   (int)attachment->program_id, "dispatcher", attachment->joined);

	if (fallback && attachment->mode == THR_MODE_GENERIC)
		json_object_set_new(object, "native_refused",
				    json_string(thr_native_error_text(fallback)));
	return object;
}

/* Of the first throttle whose challenges are not ready, else of the first that has any;
 * NULL: none has. */
static json_t *challenge_json(const struct thr_instance *instances, size_t count)
{
	enum thr_challenge found = THR_CHALLENGE_NONE;
	char text[THR_CHALLENGE_TEXT], detail[THR_CHALLENGE_TEXT] = "";

	for (size_t i = 0; i < count && found != THR_CHALLENGE_UNREADY; i++) {
		enum thr_challenge state = thr_challenge_describe(&instances[i], text);

		if (state == THR_CHALLENGE_NONE || state == found)
			continue;
		found = state;
		memcpy(detail, text, sizeof(detail));
	}
	if (found == THR_CHALLENGE_NONE)
		return NULL;
	return json_pack("{s:b,s:s}", "ready", found == THR_CHALLENGE_READY, "detail", detail);
}

/* One object for the `count` throttles at `instances`: counters are summed. */
static json_t *status_json(const struct thr_instance *instances, const struct thr_stats *stats,
			   size_t count)
{
	json_t *interfaces = json_array(), *reasons = json_object();
	const char *action = action_name(&instances[0]);
	struct thr_stats sum = {};

	for (size_t i = 0; i < count; i++) {
		if (strcmp(action_name(&instances[i]), action) != 0)
			action = "mixed";
		for (size_t j = 0; j < instances[i].attachment_count; j++)
			json_array_append_new(
				interfaces,
				interface_json(&instances[i], &instances[i].attachments[j]));
		for (int reason = THR_REASON_NONE + 1; reason < THR_REASON_COUNT; reason++)
			sum.reason[reason].packets += stats[i].reason[reason].packets;
		sum.passed += stats[i].passed;
		sum.challenged += stats[i].challenged;
		sum.dropped += stats[i].dropped;
	}
	for (int reason = THR_REASON_NONE + 1; reason < THR_REASON_COUNT; reason++)
		json_object_set_new(reasons, thr_reason_name(reason),
				    json_integer((json_int_t)sum.reason[reason].packets));
	return json_pack("{s:o,s:s,s:o*,s:{s:I,s:I,s:I},s:o}", "interfaces", interfaces, "action",
			 action, "challenge", challenge_json(instances, count), "packets", "passed",
			 (json_int_t)sum.passed, "dropped", (json_int_t)sum.dropped, "challenged",
			 (json_int_t)sum.challenged, "reasons", reasons);
}

/* What a reader might take for granted of the action, and must not. */
static const char *action_note(const struct thr_instance *instance)
{
	switch (instance->live->slot[instance->live->active].action) {
	case THR_ACTION_OFF:
		return "  no limits yet: 'xdp-throttle apply -c FILE' sets them";
	case THR_ACTION_MONITOR:
		return "  drops nothing: reasons count what would drop";
	default:
		return "";
	}
}

static void print_totals(const struct thr_instance *instance, const struct thr_stats *stats)
{
	char challenge[THR_CHALLENGE_TEXT];

	printf("\naction      %s%s\n", action_name(instance), action_note(instance));
	if (thr_challenge_describe(instance, challenge))
		printf("challenge   %s\n", challenge);
	printf("passed      %" PRIu64 " packets\ndropped     %" PRIu64
	       " packets\nchallenged  %" PRIu64 " packets\n",
	       stats->passed, stats->dropped, stats->challenged);
}

static void print_status(const struct thr_instance *instance, const struct thr_stats *stats)
{
	printf("%-16s %-8s %8s\n", "INTERFACE", "MODE", "PROGRAM");
	for (size_t i = 0; i < instance->attachment_count; i++) {
		const struct thr_attachment *at = &instance->attachments[i];
		int fallback = thr_fallback_find(instance, at->index);

		printf("%-16s %-8s %8u%s", at->name, thr_mode_name(at->mode), at->program_id,
		       at->joined ? "  behind libxdp's dispatcher" : "");
		if (fallback && at->mode == THR_MODE_GENERIC)
			printf("  native was refused: %s", thr_native_error_text(fallback));
		printf("\n");
	}
	print_totals(instance, stats);
	printf("\n%-24s %14s %14s  %s\n", "REASON", "PACKETS", "DROPPED", "MEANING");
	for (int reason = THR_REASON_NONE + 1; reason < THR_REASON_COUNT; reason++)
		if (stats->reason[reason].packets)
			printf("%-24s %14llu %14llu  %s\n", thr_reason_name(reason),
			       stats->reason[reason].packets,
			       thr_reason_is_answer(reason) ? 0 : stats->reason[reason].dropped,
			       thr_reason_text(reason));
}

static int print_nothing(const struct thr_arguments *arguments, struct thr_error *error)
{
	if (arguments->value[THR_OPT_JSON])
		return thr_cli_print_json(json_pack("{s:[],s:s,s:{s:i,s:i,s:i},s:{}}", "interfaces",
						    "action", "off", "packets", "passed", 0,
						    "dropped", 0, "challenged", 0, "reasons"),
					  error);
	printf("no interface of this network namespace has the throttle attached\n");
	return 0;
}

static int print_throttles(const struct thr_arguments *arguments,
			   const struct thr_instance *instances, size_t count,
			   struct thr_error *error)
{
	AUTO_FREE struct thr_stats *stats = calloc(count, sizeof(*stats));
	int result = 0;

	for (size_t i = 0; stats && i < count && !result; i++)
		result = thr_stats_read(&instances[i], &stats[i], error);
	if (!stats || result)
		return stats ? result : thr_fail(error, ENOMEM, "out of memory");
	if (arguments->value[THR_OPT_JSON])
		return thr_cli_print_json(status_json(instances, stats, count), error);
	for (size_t i = 0; i < count; i++) {
		if (i)
			printf("\n");
		print_status(&instances[i], &stats[i]);
	}
	return 0;
}

/* Print the throttle that --dev names, or all of them. */
static int print_instances(const struct thr_arguments *arguments,
			   const struct thr_instances *instances, struct thr_error *error)
{
	const char *device = arguments->value[THR_OPT_DEV];
	struct thr_instance *chosen;
	int result;

	if (!instances->count && !device && !instances->passed_over.text[0])
		return print_nothing(arguments, error);
	if (instances->passed_over.text[0] && instances->count && !device)
		fprintf(stderr, "xdp-throttle: note: not shown: %s\n", instances->passed_over.text);
	if (instances->count > 1 && !device)
		return print_throttles(arguments, instances->items, instances->count, error);
	result = thr_instance_choose(instances, device, &chosen, error);
	return result ? result : print_throttles(arguments, chosen, 1, error);
}

int thr_cmd_status(const struct thr_arguments *arguments, struct thr_error *error)
{
	struct thr_instances instances = {};
	int result = thr_instances_find(&instances, error);

	if (!result)
		result = print_instances(arguments, &instances, error);
	thr_instances_clear(&instances);
	return result;
}
