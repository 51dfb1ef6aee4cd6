/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See attach.h. */
#include "control/attach.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/challenge.h"
#include "control/fallback.h"
#include "control/netlink.h"
#include "control/program.h"
#include "control/tables.h"
#include "core/cleanup.h"

/* --- one interface --- */

static int detach_one(struct thr_instance *instance, const struct thr_attachment *at,
		      struct thr_error *error)
{
	int result =
		at->joined ? thr_program_leave(at->program_id, at->index, at->name, at->mode, error)
			   : thr_netlink_detach(at, error);

	if (!result)
		thr_fallback_note(instance, at->index, 0);
	return result;
}

/* Load the program of this binary, with the maps of `reuse` or new ones. It stays loaded
 * while `ret_fresh` is open, which is empty on failure. */
static int load(const struct thr_attach_request *request, const struct thr_instance *reuse,
		struct thr_instance *ret_fresh, struct thr_error *error)
{
	struct thr_program *program = NULL;
	uint32_t id;
	int code = thr_program_open(reuse, request->sizes, &program, error);

	thr_instance_init(ret_fresh);
	if (!code)
		code = thr_program_load(program, &id, error);
	if (!code)
		code = thr_instance_open(id, ret_fresh, error);
	thr_program_free(program);
	return code;
}

static int attach_program(const struct thr_instance *program, struct thr_attachment *at,
			  struct thr_error *error)
{
	int code = thr_netlink_attach(at, program->program_fd, error);

	if (!code)
		at->program_id = program->program_id;
	return code;
}

/* Attach the program that `running` has on another interface, so that all have
 * the same one, or else `fresh`: where the other is an older build, or does not
 * suit the interface. (`ip link` cannot say that a program takes frames in several
 * buffers.) */
static int attach_either(const struct thr_instance *running, const struct thr_instance *fresh,
			 struct thr_attachment *at, struct thr_error *error)
{
	for (size_t i = 0; running && i < running->attachment_count; i++) {
		struct thr_instance same;
		int code = -EINVAL;

		if (running->attachments[i].joined ||
		    thr_instance_open(running->attachments[i].program_id, &same, NULL))
			continue;
		if (memcmp(same.tag, fresh->tag, sizeof(same.tag)) == 0)
			code = attach_program(&same, at, NULL);
		thr_instance_clear(&same);
		if (!code)
			return 0;
		break;
	}
	return attach_program(fresh, at, error);
}

/* Attach in the mode that is asked for. Under auto, a refusal of native mode that
 * generic mode would not meet too leads to generic mode. */
static int attach_in_mode(const struct thr_instance *running, const struct thr_instance *fresh,
			  struct thr_attachment *at, int *ret_native_error, struct thr_error *error)
{
	bool is_auto = at->mode == THR_MODE_AUTO;
	int code;

	if (is_auto)
		at->mode = THR_MODE_NATIVE;
	code = attach_either(running, fresh, at, error);
	if (!is_auto || !code || code == -EPERM || code == -EBUSY || code == -EEXIST ||
	    code == -ENODEV)
		return code;
	*ret_native_error = -code;
	at->mode = THR_MODE_GENERIC;
	return attach_either(running, fresh, at, error);
}

/* Make the tables of the request live in a program that is attached by now: new maps have
 * them already. */
static int apply(const struct thr_attach_request *request, const struct thr_instance *running,
		 struct thr_instance *fresh, struct thr_notices *notices, struct thr_error *error)
{
	if (!request->tables)
		return 0;
	if (running)
		return thr_tables_write(fresh, request->tables, notices, error);
	thr_challenge_prepare(fresh, request->tables, notices);
	return 0;
}

/* Attach to an empty interface: with the maps of `running`, or with new ones
 * where that is NULL. Tables are written while nothing uses the new maps, or are
 * taken off again with the interface when they fail. */
static int attach_new(const struct thr_attach_request *request, unsigned int index,
		      const struct thr_instance *running, struct thr_attach_result *result,
		      struct thr_error *error)
{
	struct thr_attachment at = {.index = index, .mode = request->mode};
	CLEANUP(thr_instance_clear) struct thr_instance fresh;
	int code = load(request, running, &fresh, error);

	if (!code && !running && request->tables)
		code = thr_tables_write_first(&fresh, request->tables, error);
	if (code)
		return code;
	snprintf(at.name, sizeof(at.name), "%s", request->device);
	code = attach_in_mode(running, &fresh, &at, &result->native_error, error);
	if (code)
		return code;
	code = apply(request, running, &fresh, &result->notices, error);
	if (code) {
		detach_one(&fresh, &at, NULL);
		return code;
	}
	result->mode = at.mode;
	result->program_id = at.program_id;
	thr_fallback_note(&fresh, index, result->native_error);
	thr_challenge_check_link(&fresh, request->device, at.mode, &result->notices);
	return 0;
}

/* Join libxdp's dispatcher. The program that joins is loaded for that place, so
 * it has an id of its own; with `running` it has that one's maps. */
static int attach_joining(const struct thr_attach_request *request, unsigned int index,
			  const struct thr_occupant *occupant, const struct thr_instance *running,
			  struct thr_attach_result *result, struct thr_error *error)
{
	struct thr_instance joined;
	struct thr_program *program;
	int code = thr_program_open(running, request->sizes, &program, error);

	if (code)
		return code;
	thr_instance_init(&joined);
	code = thr_program_join(program, index, request->device, occupant->mode,
				&result->program_id, error);
	if (!code) {
		code = thr_instance_open(result->program_id, &joined, error);
		if (!code && request->tables)
			code = thr_tables_write(&joined, request->tables, &result->notices, error);
		if (code)
			thr_program_leave(result->program_id, index, request->device,
					  occupant->mode, NULL);
	}
	if (!code)
		thr_challenge_check_link(&joined, request->device, occupant->mode,
					 &result->notices);
	result->mode = occupant->mode;
	result->joined = true;
	thr_instance_clear(&joined);
	thr_program_free(program);
	return code;
}

/* --- an interface that has ours already --- */

/* Where the interface has an older build, put the program of this binary in its
 * place, on every interface that has it, with the maps and so the buckets kept;
 * then write the tables. Where they fail the older build comes back. */
static int renew(const struct thr_attach_request *request, struct thr_instance *instance,
		 const struct thr_attachment *attachment, struct thr_attach_result *result,
		 struct thr_error *error)
{
	CLEANUP(thr_instance_clear) struct thr_instance newer, older;
	int code = load(request, instance, &newer, error);
	bool is_older;

	thr_instance_init(&older);
	if (!code)
		code = thr_instance_open(attachment->program_id, &older, error);
	if (code)
		return code;
	is_older = memcmp(newer.tag, older.tag, sizeof(newer.tag)) != 0;
	if (is_older)
		code = thr_netlink_replace(instance, older.program_id, older.program_fd,
					   newer.program_fd, error);
	if (code)
		return code;
	if (request->tables)
		code = thr_tables_write(instance, request->tables, &result->notices, error);
	if (code && is_older)
		thr_netlink_replace(instance, older.program_id, newer.program_fd, older.program_fd,
				    NULL);
	if (!code && is_older) {
		result->replaced = older.program_id;
		result->program_id = newer.program_id;
	}
	return code;
}

static int write_again(const struct thr_attach_request *request, struct thr_instance *instance,
		       const struct thr_attachment *attachment, struct thr_attach_result *result,
		       struct thr_error *error)
{
	if (!attachment->joined)
		return renew(request, instance, attachment, result, error);
	return request->tables
		       ? thr_tables_write(instance, request->tables, &result->notices, error)
		       : 0;
}

static int attach_again(const struct thr_attach_request *request, struct thr_instance *instance,
			const struct thr_attachment *attachment, struct thr_attach_result *result,
			struct thr_error *error)
{
	int code;

	if (request->mode != THR_MODE_AUTO && request->mode != attachment->mode)
		return thr_fail(error, EBUSY,
				"%s: attached in %s mode already: 'xdp-throttle detach --dev %s' "
				"first, to attach in %s mode",
				request->device, thr_mode_name(attachment->mode), request->device,
				thr_mode_name(request->mode));
	result->was_attached = true;
	result->mode = attachment->mode;
	result->joined = attachment->joined;
	result->program_id = attachment->program_id;
	result->native_error = thr_fallback_find(instance, attachment->index);
	code = write_again(request, instance, attachment, result, error);
	if (!code)
		thr_challenge_check_link(instance, request->device, result->mode, &result->notices);
	return code;
}

static const struct thr_attachment *find_attachment(const struct thr_instance *instance,
						    unsigned int index)
{
	for (size_t i = 0; i < instance->attachment_count; i++)
		if (instance->attachments[i].index == index)
			return &instance->attachments[i];
	return NULL;
}

/* It went, or another one has its name by now. */
static int fail_gone(const char *device, struct thr_error *error)
{
	return thr_fail(error, ENODEV, "%s: the interface is gone", device);
}

/* What takes off a program of that mode: `ip link set dev IF NAME off`. */
static const char *ip_link_name(enum thr_xdp_mode mode)
{
	if (mode == THR_MODE_OFFLOAD)
		return "xdpoffload";
	return mode == THR_MODE_GENERIC ? "xdpgeneric" : "xdpdrv";
}

static int check_sizes(const struct thr_attach_request *request, const struct thr_instance *running,
		       struct thr_error *error)
{
	return running && request->sizes ? thr_instance_check_sizes(running, request->sizes, error)
					 : 0;
}

static int attach_found(const struct thr_attach_request *request, unsigned int index,
			const struct thr_occupant *occupant, struct thr_instances *instances,
			struct thr_attach_result *result, struct thr_error *error)
{
	struct thr_instance *running = NULL;
	int code = 0;

	if (occupant->ours) {
		const struct thr_attachment *at;

		code = thr_instance_choose(instances, request->device, &running, error);
		if (!code)
			code = check_sizes(request, running, error);
		if (code)
			return code;
		at = find_attachment(running, index);
		return at ? attach_again(request, running, at, result, error)
			  : fail_gone(request->device, error);
	}
	if (occupant->program_id && !occupant->dispatcher_id)
		return thr_fail(
			error, EBUSY,
			"%s: XDP program '%s' (id %u) is attached, and is not one that "
			"others can join: detach it first ('ip link set dev %s %s off'), or "
			"load it through libxdp's dispatcher",
			request->device, occupant->name, occupant->program_id, request->device,
			ip_link_name(occupant->mode));
	if (instances->count > 1)
		return thr_fail(error, EBUSY,
				"%s: %zu separate throttles run here, among them on %s and %s, and "
				"it could share the buckets of either: detach all but one",
				request->device, instances->count,
				instances->items[0].attachments[0].name,
				instances->items[1].attachments[0].name);
	if (instances->count)
		running = &instances->items[0];
	code = check_sizes(request, running, error);
	if (code)
		return code;
	if (occupant->dispatcher_id && request->mode != THR_MODE_AUTO &&
	    request->mode != occupant->mode)
		return thr_fail(error, EINVAL,
				"%s: libxdp's dispatcher there runs in %s mode, and what joins it "
				"does too: attach with --mode auto",
				request->device, thr_mode_name(occupant->mode));
	return occupant->dispatcher_id
		       ? attach_joining(request, index, occupant, running, result, error)
		       : attach_new(request, index, running, result, error);
}

int thr_attach(const struct thr_attach_request *request, struct thr_attach_result *ret_result,
	       struct thr_error *error)
{
	unsigned int index = if_nametoindex(request->device);
	struct thr_attach_result result = {};
	struct thr_instances instances = {};
	struct thr_occupant occupant;
	int code;

	thr_program_silence();
	if (request->mode == THR_MODE_OFFLOAD)
		return thr_fail(error, EOPNOTSUPP,
				"%s: no hardware runs this program: the kernel offloads array and "
				"hash maps only, not the LRU and LPM maps of the throttle: use "
				"native",
				request->device);
	if (!index)
		return thr_fail(error, ENODEV, "%s: no such interface in this network namespace",
				request->device);
	code = thr_occupant_find(index, request->device, &occupant, error);
	if (!code)
		code = thr_instances_find(&instances, error);
	if (!code)
		code = attach_found(request, index, &occupant, &instances, &result, error);
	thr_instances_clear(&instances);
	if (!code)
		*ret_result = result;
	return code;
}

/* What the sysctls were is known as long as an interface has the throttle: they are put
 * back before the last one is detached, so that whoever kills this process in between can
 * detach again. */
static int detach_and_restore(struct thr_instance *instance, const struct thr_attachment *at,
			      struct thr_notices *notices, struct thr_error *error)
{
	int result;

	if (instance->attachment_count == 1)
		thr_challenge_restore(instance, notices);
	result = detach_one(instance, at, error);
	if (result)
		thr_challenge_resume(instance);
	return result;
}

int thr_detach(const char *device, struct thr_notices *notices, struct thr_error *error)
{
	struct thr_instances instances = {};
	struct thr_instance *instance;
	int result;

	thr_program_silence();
	result = thr_instances_find(&instances, error);
	if (!result)
		result = thr_instance_choose(&instances, device, &instance, error);
	if (!result) {
		const struct thr_attachment *at = find_attachment(instance, if_nametoindex(device));

		result = at ? detach_and_restore(instance, at, notices, error)
			    : fail_gone(device, error);
	}
	thr_instances_clear(&instances);
	return result;
}
