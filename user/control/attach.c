/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See attach.h. */
#include "control/attach.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <string.h>

#include "control/challenge.h"
#include "control/program.h"
#include "control/tables.h"
#include "core/cleanup.h"

/* --- what auto fell back for, kept with the program --- */

int thr_fallback_find(const struct thr_instance *instance, unsigned int index)
{
	for (int i = 0; i < THR_FALLBACKS_MAX; i++)
		if (instance->live->fallback[i].interface == index)
			return instance->live->fallback[i].error;
	return 0;
}

static void note_fallback(struct thr_instance *instance, unsigned int index, int code)
{
	struct thr_fallback *place = NULL;
	char name[IF_NAMESIZE];

	/* Interfaces that went leave their entries. */
	for (int i = 0; i < THR_FALLBACKS_MAX; i++)
		if (!if_indextoname(instance->live->fallback[i].interface, name))
			instance->live->fallback[i] = (struct thr_fallback){};
	for (int i = THR_FALLBACKS_MAX - 1; i >= 0; i--) {
		struct thr_fallback *entry = &instance->live->fallback[i];

		if (entry->interface == index || (!entry->interface && code))
			place = entry;
		if (entry->interface == index)
			break;
	}
	if (place)
		*place = (struct thr_fallback){.interface = code ? index : 0, .error = code};
}

const char *thr_native_error_text(int code)
{
	switch (code) {
	case EOPNOTSUPP:
		return "the driver has no XDP support";
	case EINVAL:
		return "the driver refused it (often: LRO is on, or the MTU is too large)";
	case ERANGE:
		return "the MTU is too large for the driver";
	default:
		return strerror(code);
	}
}

/* --- netlink --- */

static __u32 mode_flag(enum thr_xdp_mode mode)
{
	return mode == THR_MODE_GENERIC ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
}

/* The kernel keeps an interface as it is while one on top of it has a program. */
static int fail_stacked(const char *name, int code, struct thr_error *error)
{
	return thr_fail(
		error, code,
		"%s: an interface on top of it (bridge, bond, VLAN, macvlan, ...) has an XDP "
		"program: detach that one first",
		name);
}

static int fail_attach(const char *name, enum thr_xdp_mode mode, int code, struct thr_error *error)
{
	if (code == EPERM)
		return thr_fail(error, code, "%s: attaching needs root (CAP_NET_ADMIN)", name);
	if (code == EBUSY)
		return thr_fail(error, code, "%s: another program was attached just now", name);
	if (code == EEXIST)
		return fail_stacked(name, code, error);
	if (code == ENODEV)
		return thr_fail(error, code, "%s: the interface is gone", name);
	return thr_fail(error, code, "%s: %s mode: %s", name, thr_mode_name(mode),
			thr_native_error_text(code));
}

/* Attach to an empty interface, in `mode`. */
static int attach_netlink(const struct thr_instance *instance, unsigned int index, const char *name,
			  enum thr_xdp_mode mode, struct thr_attach_result *result,
			  struct thr_error *error)
{
	int code = -bpf_xdp_attach((int)index, instance->program_fd,
				   XDP_FLAGS_UPDATE_IF_NOEXIST | mode_flag(mode), NULL);

	if (code)
		return fail_attach(name, mode, code, error);
	result->mode = mode;
	result->program_id = instance->program_id;
	return 0;
}

static bool is_in_place(const struct thr_attachment *attachment)
{
	struct thr_occupant occupant;

	return !thr_occupant_find(attachment->index, attachment->name, &occupant, NULL) &&
	       occupant.program_id == attachment->program_id;
}

static int detach_netlink(const struct thr_attachment *attachment, struct thr_error *error)
{
	AUTO_CLOSE int fd = bpf_prog_get_fd_by_id(attachment->program_id);
	LIBBPF_OPTS(bpf_xdp_attach_opts, options, .old_prog_fd = fd);
	int code =
		fd < 0 ? errno
		       : -bpf_xdp_detach((int)attachment->index,
					 XDP_FLAGS_REPLACE | mode_flag(attachment->mode), &options);

	if (!code)
		return 0;
	if (code == EEXIST && is_in_place(attachment))
		return fail_stacked(attachment->name, code, error);
	if (code == EEXIST)
		return thr_fail(error, code, "%s: another program took its place just now",
				attachment->name);
	return thr_fail(error, code, "%s: detaching: %s", attachment->name,
			code == EPERM ? "this needs root (CAP_NET_ADMIN)" : strerror(code));
}

/* --- one interface --- */

static int detach_one(struct thr_instance *instance, const struct thr_attachment *attachment,
		      struct thr_error *error)
{
	int result = attachment->joined
			     ? thr_program_leave(attachment->program_id, attachment->index,
						 attachment->name, attachment->mode, error)
			     : detach_netlink(attachment, error);

	if (!result)
		note_fallback(instance, attachment->index, 0);
	return result;
}

/* Attach the program that `running` has on another interface, so that all have
 * the same one, or else `fresh`: where the other is an older build, or does not
 * suit the interface. (`ip link` cannot say that a program takes frames in several
 * buffers.) */
static int attach_either(const struct thr_instance *running, const struct thr_instance *fresh,
			 unsigned int index, const char *name, enum thr_xdp_mode mode,
			 struct thr_attach_result *result, struct thr_error *error)
{
	for (size_t i = 0; running && i < running->attachment_count; i++) {
		struct thr_instance same;
		int code = -EINVAL;

		if (running->attachments[i].joined ||
		    thr_instance_open(running->attachments[i].program_id, &same, NULL))
			continue;
		if (memcmp(same.tag, fresh->tag, sizeof(same.tag)) == 0)
			code = attach_netlink(&same, index, name, mode, result, NULL);
		thr_instance_clear(&same);
		if (!code)
			return 0;
		break;
	}
	return attach_netlink(fresh, index, name, mode, result, error);
}

/* Attach in the mode that is asked for. Under auto, a refusal of native mode that
 * generic mode would not meet too leads to generic mode. */
static int attach_in_mode(const struct thr_instance *running, const struct thr_instance *fresh,
			  unsigned int index, const struct thr_attach_request *request,
			  struct thr_attach_result *result, struct thr_error *error)
{
	bool is_auto = request->mode == THR_MODE_AUTO;
	int code = attach_either(running, fresh, index, request->device,
				 is_auto ? THR_MODE_NATIVE : request->mode, result, error);

	if (!is_auto || !code || code == -EPERM || code == -EBUSY || code == -EEXIST ||
	    code == -ENODEV)
		return code;
	result->native_error = -code;
	return attach_either(running, fresh, index, request->device, THR_MODE_GENERIC, result,
			     error);
}

/* Attach to an empty interface: with the maps of `running`, or with new ones
 * where that is NULL. Tables are written while nothing uses the new maps, or are
 * taken off again with the interface when they fail. */
static int attach_new(const struct thr_attach_request *request, unsigned int index,
		      const struct thr_instance *running, struct thr_attach_result *result,
		      struct thr_error *error)
{
	struct thr_instance fresh;
	struct thr_program *program;
	bool attached = false;
	uint32_t id;
	int code = thr_program_open(running, request->sizes, &program, error);

	if (code)
		return code;
	thr_instance_init(&fresh);
	code = thr_program_load(program, &id, error);
	if (!code)
		code = thr_instance_open(id, &fresh, error);
	if (!code && !running && request->tables)
		code = thr_tables_write_first(&fresh, request->tables, error);
	if (!code) {
		code = attach_in_mode(running, &fresh, index, request, result, error);
		attached = !code;
	}
	if (!code && running && request->tables)
		code = thr_tables_write(&fresh, request->tables, &result->notices, error);
	if (!code && !running && request->tables)
		thr_challenge_prepare(&fresh, request->tables, &result->notices);
	if (!code) {
		note_fallback(&fresh, index, result->native_error);
		thr_challenge_check_link(&fresh, request->device, result->mode, &result->notices);
	} else if (attached) {
		const struct thr_attachment undo = {
			.index = index, .mode = result->mode, .program_id = result->program_id};

		detach_one(&fresh, &undo, NULL);
	}
	thr_instance_clear(&fresh);
	thr_program_free(program);
	return code;
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

/* Put the program `to` in the place of `from` on every interface that had program
 * `id` when the instance was found; all or none. */
static int replace_program(const struct thr_instance *instance, uint32_t id, int from, int to,
			   struct thr_error *error)
{
	LIBBPF_OPTS(bpf_xdp_attach_opts, forward, .old_prog_fd = from);
	LIBBPF_OPTS(bpf_xdp_attach_opts, back, .old_prog_fd = to);
	int code = 0;
	size_t i;

	for (i = 0; i < instance->attachment_count && !code; i++) {
		const struct thr_attachment *at = &instance->attachments[i];

		if (at->program_id == id)
			code = -bpf_xdp_attach((int)at->index, to,
					       XDP_FLAGS_REPLACE | mode_flag(at->mode), &forward);
	}
	if (!code)
		return 0;
	thr_fail(error, code, "%s: the older build that is attached cannot be replaced: %s",
		 instance->attachments[i - 1].name, strerror(code));
	for (size_t undo = 0; undo + 1 < i; undo++) {
		const struct thr_attachment *at = &instance->attachments[undo];

		if (at->program_id == id)
			bpf_xdp_attach((int)at->index, from,
				       XDP_FLAGS_REPLACE | mode_flag(at->mode), &back);
	}
	return -code;
}

/* Where the interface has an older build, put the program of this binary in its
 * place, on every interface that has it, with the maps and so the buckets kept;
 * then write the tables. Where they fail the older build comes back. */
static int renew(const struct thr_attach_request *request, struct thr_instance *instance,
		 const struct thr_attachment *attachment, struct thr_attach_result *result,
		 struct thr_error *error)
{
	struct thr_instance older, newer;
	struct thr_program *program = NULL;
	bool replaced = false;
	uint32_t id;
	int code = thr_instance_open(attachment->program_id, &older, error);

	if (code)
		return code;
	thr_instance_init(&newer);
	code = thr_program_open(instance, NULL, &program, error);
	if (!code)
		code = thr_program_load(program, &id, error);
	if (!code)
		code = thr_instance_open(id, &newer, error);
	if (!code && memcmp(newer.tag, older.tag, sizeof(newer.tag)) != 0) {
		code = replace_program(instance, older.program_id, older.program_fd,
				       newer.program_fd, error);
		replaced = !code;
	}
	if (!code && request->tables)
		code = thr_tables_write(instance, request->tables, &result->notices, error);
	if (replaced && code) {
		replace_program(instance, older.program_id, newer.program_fd, older.program_fd,
				NULL);
	} else if (replaced) {
		result->replaced = older.program_id;
		result->program_id = id;
	}
	thr_instance_clear(&newer);
	thr_instance_clear(&older);
	thr_program_free(program);
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
		code = thr_instance_choose(instances, request->device, &running, error);
		if (!code)
			code = check_sizes(request, running, error);
		return code ? code
			    : attach_again(request, running, find_attachment(running, index),
					   result, error);
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
			    : thr_fail(error, ENODEV, "%s: the interface is gone", device);
	}
	thr_instances_clear(&instances);
	return result;
}
