/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See netlink.h. */
#include "control/netlink.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <string.h>

#include "control/fallback.h"
#include "core/cleanup.h"

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

static int fail_attach(const struct thr_attachment *at, int code, struct thr_error *error)
{
	if (code == EPERM)
		return thr_fail(error, code, "%s: attaching needs root (CAP_NET_ADMIN)", at->name);
	if (code == EBUSY)
		return thr_fail(error, code, "%s: another program was attached just now", at->name);
	if (code == EEXIST)
		return fail_stacked(at->name, code, error);
	if (code == ENODEV)
		return thr_fail(error, code, "%s: the interface is gone", at->name);
	return thr_fail(error, code, "%s: %s mode: %s", at->name, thr_mode_name(at->mode),
			thr_native_error_text(code));
}

int thr_netlink_attach(const struct thr_attachment *at, int program_fd, struct thr_error *error)
{
	int code = -bpf_xdp_attach((int)at->index, program_fd,
				   XDP_FLAGS_UPDATE_IF_NOEXIST | mode_flag(at->mode), NULL);

	return code ? fail_attach(at, code, error) : 0;
}

static bool is_in_place(const struct thr_attachment *at)
{
	struct thr_occupant occupant;

	return !thr_occupant_find(at->index, at->name, &occupant, NULL) &&
	       occupant.program_id == at->program_id;
}

int thr_netlink_detach(const struct thr_attachment *at, struct thr_error *error)
{
	AUTO_CLOSE int fd = bpf_prog_get_fd_by_id(at->program_id);
	LIBBPF_OPTS(bpf_xdp_attach_opts, options, .old_prog_fd = fd);
	int code = fd < 0 ? errno
			  : -bpf_xdp_detach((int)at->index, XDP_FLAGS_REPLACE | mode_flag(at->mode),
					    &options);

	if (!code)
		return 0;
	if (code == EEXIST && is_in_place(at))
		return fail_stacked(at->name, code, error);
	if (code == EEXIST)
		return thr_fail(error, code, "%s: another program took its place just now",
				at->name);
	return thr_fail(error, code, "%s: detaching: %s", at->name,
			code == EPERM ? "this needs root (CAP_NET_ADMIN)" : strerror(code));
}

int thr_netlink_replace(const struct thr_instance *instance, uint32_t id, int from, int to,
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
