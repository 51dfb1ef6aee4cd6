/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See attach.h. */
#include "control/attach.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <string.h>

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
	if (mode == THR_MODE_OFFLOAD)
		return XDP_FLAGS_HW_MODE;
	return mode == THR_MODE_GENERIC ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
}

static int fail_attach(const char *name, enum thr_xdp_mode mode, int code, struct thr_error *error)
{
	if (code == EPERM)
		return thr_fail(error, code, "%s: attaching needs root (CAP_NET_ADMIN)", name);
	if (code == EBUSY || code == EEXIST)
		return thr_fail(error, code, "%s: another program was attached just now", name);
	if (code == ENODEV)
		return thr_fail(error, code, "%s: the interface is gone", name);
	return thr_fail(error, code, "%s: %s mode: %s", name, thr_mode_name(mode),
			thr_native_error_text(code));
}

/* Attach to an empty interface. Under auto, a refusal of native mode (other than
 * one that generic mode would meet too) leads to generic mode. */
static int attach_netlink(const struct thr_instance *instance, unsigned int index,
			  const struct thr_attach_request *request,
			  struct thr_attach_result *result, struct thr_error *error)
{
	enum thr_xdp_mode mode = request->mode == THR_MODE_AUTO ? THR_MODE_NATIVE : request->mode;
	int code = -bpf_xdp_attach((int)index, instance->program_fd,
				   XDP_FLAGS_UPDATE_IF_NOEXIST | mode_flag(mode), NULL);

	if (code && request->mode == THR_MODE_AUTO && code != EPERM && code != EBUSY &&
	    code != EEXIST && code != ENODEV) {
		result->native_error = code;
		mode = THR_MODE_GENERIC;
		code = -bpf_xdp_attach((int)index, instance->program_fd,
				       XDP_FLAGS_UPDATE_IF_NOEXIST | mode_flag(mode), NULL);
	}
	if (code)
		return fail_attach(request->device, mode, code, error);
	result->mode = mode;
	return 0;
}

static int detach_netlink(const struct thr_instance *instance, unsigned int index, const char *name,
			  enum thr_xdp_mode mode, struct thr_error *error)
{
	LIBBPF_OPTS(bpf_xdp_attach_opts, options, .old_prog_fd = instance->program_fd);
	int code = -bpf_xdp_detach((int)index, XDP_FLAGS_REPLACE | mode_flag(mode), &options);

	if (!code)
		return 0;
	return thr_fail(error, code, "%s: detaching: %s", name,
			code == EPERM ? "this needs root (CAP_NET_ADMIN)" : strerror(code));
}

/* --- one interface --- */

static int detach_one(struct thr_instance *instance, unsigned int index, const char *name,
		      enum thr_xdp_mode mode, bool joined, struct thr_error *error)
{
	int result = joined ? thr_program_leave(instance->program_id, index, name, mode, error)
			    : detach_netlink(instance, index, name, mode, error);

	if (!result)
		note_fallback(instance, index, 0);
	return result;
}

/* Attach a program that is not on the interface yet: that of `running`, or with
 * `running` NULL a new one. Tables are written while nothing is attached to the
 * new program, or are taken off again with the interface when they fail. */
static int attach_new(const struct thr_attach_request *request, unsigned int index,
		      struct thr_instance *running, struct thr_attach_result *result,
		      struct thr_error *error)
{
	struct thr_instance fresh;
	struct thr_instance *instance = running;
	struct thr_program *program = NULL;
	bool attached = false;
	uint32_t id;
	int code = 0;

	thr_instance_init(&fresh);
	if (!running) {
		code = thr_program_open(NULL, &program, error);
		if (!code)
			code = thr_program_load(
				program, request->mode == THR_MODE_OFFLOAD ? index : 0, &id, error);
		if (!code)
			code = thr_instance_open(id, &fresh, error);
		if (!code && request->tables)
			code = thr_tables_write(&fresh, request->tables, error);
		instance = &fresh;
	}
	if (!code) {
		code = attach_netlink(instance, index, request, result, error);
		attached = !code;
	}
	if (!code && running && request->tables)
		code = thr_tables_write(instance, request->tables, error);
	if (!code) {
		note_fallback(instance, index, result->native_error);
		result->program_id = instance->program_id;
	} else if (attached) {
		detach_one(instance, index, request->device, result->mode, false, NULL);
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
	int code = thr_program_open(running, &program, error);

	if (code)
		return code;
	thr_instance_init(&joined);
	code = thr_program_join(program, index, request->device, occupant->mode,
				&result->program_id, error);
	if (!code) {
		code = thr_instance_open(result->program_id, &joined, error);
		if (!code && request->tables)
			code = thr_tables_write(&joined, request->tables, error);
		if (code)
			thr_program_leave(result->program_id, index, request->device,
					  occupant->mode, NULL);
	}
	result->mode = occupant->mode;
	result->joined = true;
	thr_instance_clear(&joined);
	thr_program_free(program);
	return code;
}

/* --- an interface that has ours already --- */

static int replace_program(struct thr_instance *instance, int fd, struct thr_error *error)
{
	for (size_t i = 0; i < instance->attachment_count; i++) {
		const struct thr_attachment *at = &instance->attachments[i];
		LIBBPF_OPTS(bpf_xdp_attach_opts, forward, .old_prog_fd = instance->program_fd);
		LIBBPF_OPTS(bpf_xdp_attach_opts, back, .old_prog_fd = fd);
		__u32 flags = XDP_FLAGS_REPLACE | mode_flag(at->mode);
		int code = at->joined ? EOPNOTSUPP
				      : -bpf_xdp_attach((int)at->index, fd, flags, &forward);

		if (!code)
			continue;
		for (size_t undo = 0; undo < i; undo++)
			bpf_xdp_attach((int)instance->attachments[undo].index, instance->program_fd,
				       XDP_FLAGS_REPLACE |
					       mode_flag(instance->attachments[undo].mode),
				       &back);
		return thr_fail(error, code,
				"%s: the older build that is attached cannot be replaced: %s; "
				"detach it first",
				at->name, strerror(code));
	}
	return 0;
}

/* Put the program of this binary in the place of an older build, on every
 * interface, with the maps and so the buckets kept. */
static int renew_program(struct thr_instance *instance, struct thr_attach_result *result,
			 struct thr_error *error)
{
	struct thr_instance newer;
	struct thr_program *program;
	uint32_t id;
	int code = thr_program_open(instance, &program, error);

	if (code)
		return code;
	thr_instance_init(&newer);
	code = thr_program_load(program, 0, &id, error);
	if (!code)
		code = thr_instance_open(id, &newer, error);
	if (!code && memcmp(newer.tag, instance->tag, sizeof(newer.tag)) != 0) {
		code = replace_program(instance, newer.program_fd, error);
		if (!code) {
			result->replaced = instance->program_id;
			result->program_id = id;
		}
	}
	thr_instance_clear(&newer);
	thr_program_free(program);
	return code;
}

static int attach_again(const struct thr_attach_request *request, struct thr_instance *instance,
			const struct thr_attachment *attachment, struct thr_attach_result *result,
			struct thr_error *error)
{
	int code = 0;

	if (request->mode != THR_MODE_AUTO && request->mode != attachment->mode)
		return thr_fail(error, EBUSY,
				"%s: attached in %s mode already: 'xdp-throttle detach --dev %s' "
				"first, to attach in %s mode",
				request->device, thr_mode_name(attachment->mode), request->device,
				thr_mode_name(request->mode));
	result->was_attached = true;
	result->mode = attachment->mode;
	result->joined = attachment->joined;
	result->program_id = instance->program_id;
	result->native_error = thr_fallback_find(instance, attachment->index);
	if (!attachment->joined)
		code = renew_program(instance, result, error);
	if (!code && request->tables)
		code = thr_tables_write(instance, request->tables, error);
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

static int attach_found(const struct thr_attach_request *request, unsigned int index,
			const struct thr_occupant *occupant, struct thr_instances *instances,
			struct thr_attach_result *result, struct thr_error *error)
{
	struct thr_instance *running = NULL;
	int code = 0;

	if (occupant->ours) {
		code = thr_instance_choose(instances, request->device, &running, error);
		return code ? code
			    : attach_again(request, running, find_attachment(running, index),
					   result, error);
	}
	if (occupant->program_id && !occupant->dispatcher_id)
		return thr_fail(error, EBUSY,
				"%s: XDP program '%s' (id %u) is attached, and is not one that "
				"others can join: detach it first ('ip link set dev %s xdp off'), "
				"or load it through libxdp's dispatcher",
				request->device, occupant->name, occupant->program_id,
				request->device);
	if (instances->count && request->mode != THR_MODE_OFFLOAD)
		code = thr_instance_choose(instances, NULL, &running, error);
	if (code)
		return code;
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

int thr_detach(const char *device, struct thr_error *error)
{
	struct thr_instances instances = {};
	struct thr_instance *instance;
	int result = thr_instances_find(&instances, error);

	if (!result)
		result = thr_instance_choose(&instances, device, &instance, error);
	if (!result) {
		const struct thr_attachment *at = find_attachment(instance, if_nametoindex(device));

		result = at ? detach_one(instance, at->index, at->name, at->mode, at->joined, error)
			    : thr_fail(error, ENODEV, "%s: the interface is gone", device);
	}
	thr_instances_clear(&instances);
	return result;
}
