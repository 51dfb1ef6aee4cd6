/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which interfaces of this network namespace have our program, and which
 * program that is; see instance.h.
 *
 * Behind a dispatcher, our program hangs on a link whose target is the
 * dispatcher: the kernel lists links, so no pinned file is needed.
 */
#include "control/instance.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"

#define OUR_PROGRAM "xdp_throttle"
#define DISPATCHER "xdp_dispatcher"

static int program_name(uint32_t id, char name[16])
{
	AUTO_CLOSE int fd = bpf_prog_get_fd_by_id(id);
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size))
		return -errno;
	memcpy(name, info.name, 16);
	name[15] = '\0';
	return 0;
}

/* Our program among those that the dispatcher calls; 0 when it is not. */
static uint32_t find_behind(uint32_t dispatcher)
{
	__u32 link = 0;

	while (!bpf_link_get_next_id(link, &link)) {
		AUTO_CLOSE int fd = bpf_link_get_fd_by_id(link);
		struct bpf_link_info info = {};
		__u32 size = sizeof(info);
		char name[16];

		if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size))
			continue;
		if (info.type == BPF_LINK_TYPE_TRACING &&
		    info.tracing.target_obj_id == dispatcher && !program_name(info.prog_id, name) &&
		    strcmp(name, OUR_PROGRAM) == 0)
			return info.prog_id;
	}
	return 0;
}

static void set_mode(const struct bpf_xdp_query_opts *query, struct thr_occupant *occupant)
{
	if (query->hw_prog_id) {
		occupant->program_id = query->hw_prog_id;
		occupant->mode = THR_MODE_OFFLOAD;
	} else if (query->drv_prog_id) {
		occupant->program_id = query->drv_prog_id;
		occupant->mode = THR_MODE_NATIVE;
	} else if (query->skb_prog_id) {
		occupant->program_id = query->skb_prog_id;
		occupant->mode = THR_MODE_GENERIC;
	}
}

/* Ask once. -ENOENT: the program went away in between. */
static int query(unsigned int index, const char *name, struct thr_occupant *ret_occupant,
		 struct thr_error *error)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	struct thr_occupant occupant = {};
	int result = bpf_xdp_query((int)index, 0, &query);

	if (result)
		return thr_fail(error, -result, "%s: cannot be asked for its XDP program: %s", name,
				result == -ENODEV ? "no such interface" : strerror(-result));
	set_mode(&query, &occupant);
	if (occupant.program_id) {
		result = program_name(occupant.program_id, occupant.name);
		if (result)
			return thr_fail(error, -result, "%s: XDP program %u cannot be read: %s",
					name, occupant.program_id,
					result == -EPERM ? "this needs root" : strerror(-result));
	}
	if (strcmp(occupant.name, OUR_PROGRAM) == 0) {
		occupant.ours = occupant.program_id;
	} else if (strcmp(occupant.name, DISPATCHER) == 0) {
		occupant.dispatcher_id = occupant.program_id;
		occupant.ours = find_behind(occupant.dispatcher_id);
	}
	*ret_occupant = occupant;
	return 0;
}

int thr_occupant_find(unsigned int index, const char *name, struct thr_occupant *ret_occupant,
		      struct thr_error *error)
{
	int result = -ENOENT;

	for (int tries = 0; tries < 3 && result == -ENOENT; tries++)
		result = query(index, name, ret_occupant, error);
	return result;
}

static int add_attachment(struct thr_instance *instance, unsigned int index, const char *name,
			  const struct thr_occupant *occupant)
{
	struct thr_attachment *grown =
		reallocarray(instance->attachments, instance->attachment_count + 1, sizeof(*grown));
	struct thr_attachment *attachment;

	if (!grown)
		return -ENOMEM;
	instance->attachments = grown;
	attachment = &grown[instance->attachment_count++];
	*attachment = (struct thr_attachment){
		.index = index,
		.mode = occupant->mode,
		.program_id = occupant->ours,
		.joined = occupant->dispatcher_id != 0,
	};
	strncpy(attachment->name, name, sizeof(attachment->name) - 1);
	return 0;
}

/* The instance whose maps program `id` uses, added when it is new. */
static int get_instance(struct thr_instances *instances, uint32_t id,
			struct thr_instance **ret_instance, struct thr_error *error)
{
	struct thr_instance opened, *grown;
	int result = thr_instance_open(id, &opened, error);

	if (result)
		return result;
	for (size_t i = 0; i < instances->count; i++) {
		if (instances->items[i].config_id == opened.config_id) {
			thr_instance_clear(&opened);
			*ret_instance = &instances->items[i];
			return 0;
		}
	}
	grown = reallocarray(instances->items, instances->count + 1, sizeof(*grown));
	if (!grown) {
		thr_instance_clear(&opened);
		return thr_fail(error, ENOMEM, "out of memory");
	}
	instances->items = grown;
	grown[instances->count] = opened;
	*ret_instance = &grown[instances->count++];
	return 0;
}

int thr_instances_find(struct thr_instances *ret_instances, struct thr_error *error)
{
	struct if_nameindex *interfaces = if_nameindex();
	struct thr_instances found = {};
	int result = 0;

	if (!interfaces)
		return thr_fail(error, errno, "the interfaces cannot be listed: %s",
				strerror(errno));
	for (const struct if_nameindex *at = interfaces; at->if_index && !result; at++) {
		struct thr_occupant occupant;
		struct thr_instance *instance = NULL;

		/* An interface or its program may go while the list is walked. */
		result = thr_occupant_find(at->if_index, at->if_name, &occupant, error);
		if (!result && occupant.ours)
			result = get_instance(&found, occupant.ours, &instance, error);
		if (!result && instance)
			result = add_attachment(instance, at->if_index, at->if_name, &occupant);
		if (result == -EPROTO)
			thr_fail(&found.passed_over, EPROTO, "%s: %s", at->if_name, error->text);
		if (result == -ENODEV || result == -ENOENT || result == -EPROTO)
			result = 0;
	}
	if_freenameindex(interfaces);
	if (result) {
		thr_instances_clear(&found);
		return result;
	}
	*ret_instances = found;
	return 0;
}

void thr_instances_clear(struct thr_instances *instances)
{
	for (size_t i = 0; i < instances->count; i++)
		thr_instance_clear(&instances->items[i]);
	free(instances->items);
	*instances = (struct thr_instances){};
}

/* Why the program of our name on `device` is not among the instances. */
static int fail_passed_over(uint32_t id, const char *device, struct thr_error *error)
{
	struct thr_instance instance;
	struct thr_error why;

	if (thr_instance_open(id, &instance, &why))
		return thr_fail(error, EPROTO, "%s: %s", device, why.text);
	thr_instance_clear(&instance);
	return thr_fail(error, EAGAIN, "%s: the throttle was attached just now: try again", device);
}

static int choose_by_device(const struct thr_instances *instances, const char *device,
			    struct thr_instance **ret_instance, struct thr_error *error)
{
	struct thr_occupant occupant = {};
	unsigned int index = if_nametoindex(device);
	int result;

	if (!index)
		return thr_fail(error, ENODEV, "%s: no such interface in this network namespace",
				device);
	for (size_t i = 0; i < instances->count; i++) {
		struct thr_instance *instance = &instances->items[i];

		for (size_t j = 0; j < instance->attachment_count; j++) {
			if (instance->attachments[j].index == index) {
				*ret_instance = instance;
				return 0;
			}
		}
	}
	result = thr_occupant_find(index, device, &occupant, error);
	if (result)
		return result;
	if (occupant.ours)
		return fail_passed_over(occupant.ours, device, error);
	if (occupant.program_id)
		return thr_fail(error, ENOENT,
				"%s: the XDP program there is '%s' (id %u), not ours", device,
				occupant.name, occupant.program_id);
	return thr_fail(error, ENOENT,
			"%s: not attached ('xdp-throttle attach --dev %s' attaches it)", device,
			device);
}

int thr_instance_choose(const struct thr_instances *instances, const char *device,
			struct thr_instance **ret_instance, struct thr_error *error)
{
	if (device)
		return choose_by_device(instances, device, ret_instance, error);
	if (!instances->count && instances->passed_over.text[0])
		return thr_fail(error, EPROTO, "%s", instances->passed_over.text);
	if (!instances->count)
		return thr_fail(error, ENOENT,
				"no interface of this network namespace has the throttle attached: "
				"'xdp-throttle attach --dev IF' does it");
	if (instances->count > 1)
		return thr_fail(
			error, EINVAL,
			"%zu separate throttles are attached, among them to %s and %s: choose "
			"one with --dev IF",
			instances->count, instances->items[0].attachments[0].name,
			instances->items[1].attachments[0].name);
	*ret_instance = &instances->items[0];
	return 0;
}
