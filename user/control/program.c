/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * See program.h. libbpf and libxdp say what they dislike through a callback;
 * the last such line becomes part of the error, the rest is not for the user.
 */
#include "control/program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <xdp/libxdp.h>

#include "core/cleanup.h"
#include "xdp_throttle.skel.h"

struct thr_program {
	struct xdp_throttle_bpf *skeleton;
	struct xdp_program *joined; /* libxdp's handle on skeleton->obj */
};

static char last_complaint[256];
static bool complaint_is_verifier; /* its words, which no later line replaces */

/* The verifier's log ends with its objection and a line of statistics. */
static const char *find_objection(char *log)
{
	char *end = strstr(log, "\nprocessed ");
	char *start;

	if (!strstr(log, "PROG LOAD LOG") || !end)
		return NULL;
	*end = '\0';
	start = strrchr(log, '\n');
	return start ? start + 1 : log;
}

static int keep_complaint(enum libbpf_print_level level, const char *format, va_list arguments)
{
	AUTO_FREE char *text = NULL;
	const char *objection;

	if (level != LIBBPF_WARN || complaint_is_verifier ||
	    vasprintf(&text, format, arguments) < 0)
		return 0;
	objection = find_objection(text);
	complaint_is_verifier = objection != NULL;
	snprintf(last_complaint, sizeof(last_complaint), "%.*s",
		 (int)strcspn(objection ? objection : text, "\n"), objection ? objection : text);
	return 0;
}

static int keep_xdp_complaint(enum libxdp_print_level level, const char *format, va_list arguments)
{
	return level == LIBXDP_WARN ? keep_complaint(LIBBPF_WARN, format, arguments) : 0;
}

void thr_program_silence(void)
{
	libbpf_set_print(keep_complaint);
	libxdp_set_print(keep_xdp_complaint);
	last_complaint[0] = '\0';
	complaint_is_verifier = false;
}

static int check_kernel(struct thr_error *error)
{
	struct utsname kernel;
	unsigned int major, minor;

	if (uname(&kernel) || sscanf(kernel.release, "%u.%u", &major, &minor) != 2)
		return 0;
	if (major > 6 || (major == 6 && minor >= 1))
		return 0;
	return thr_fail(error, ENOTSUP,
			"kernel %s is too old: xdp-throttle needs Linux 6.1 or later",
			kernel.release);
}

static int reuse_maps(struct thr_program *program, const struct thr_instance *reuse,
		      struct thr_error *error)
{
	for (int map = 0; map < THR_MAPS; map++) {
		struct bpf_map *ours =
			bpf_object__find_map_by_name(program->skeleton->obj, thr_map_name(map));

		if (!ours || bpf_map__reuse_fd(ours, reuse->map_fd[map]))
			return thr_fail(error, errno, "map %s of program %u cannot be used: %s",
					thr_map_name(map), reuse->program_id, strerror(errno));
	}
	return 0;
}

static int set_sizes(struct thr_program *program, const struct thr_sizes *sizes,
		     struct thr_error *error)
{
	for (int map = 0; map < THR_MAPS; map++) {
		uint32_t size = thr_map_size(sizes, map);
		struct bpf_map *ours =
			bpf_object__find_map_by_name(program->skeleton->obj, thr_map_name(map));

		if (size && (!ours || bpf_map__set_max_entries(ours, size)))
			return thr_fail(error, errno, "map %s cannot have %u entries: %s",
					thr_map_name(map), size, strerror(errno));
	}
	return 0;
}

int thr_program_open(const struct thr_instance *reuse, const struct thr_sizes *sizes,
		     struct thr_program **ret_program, struct thr_error *error)
{
	struct thr_program *program;
	int result = check_kernel(error);

	if (result)
		return result;
	thr_program_silence();
	program = calloc(1, sizeof(*program));
	if (!program)
		return thr_fail(error, ENOMEM, "out of memory");
	program->skeleton = xdp_throttle_bpf__open();
	if (!program->skeleton) {
		result = thr_fail(error, errno, "the XDP program cannot be opened: %s",
				  strerror(errno));
	} else {
		/* Frames that lie in several buffers are welcome (jumbo frames). */
		bpf_program__set_flags(program->skeleton->progs.xdp_throttle, BPF_F_XDP_HAS_FRAGS);
		if (reuse)
			result = reuse_maps(program, reuse, error);
		else if (sizes)
			result = set_sizes(program, sizes, error);
	}
	if (result) {
		thr_program_free(program);
		return result;
	}
	*ret_program = program;
	return 0;
}

static int fail_load(int code, struct thr_error *error)
{
	if (code == EPERM)
		return thr_fail(error, code,
				"loading the XDP program needs root (CAP_BPF, CAP_NET_ADMIN and "
				"CAP_SYS_ADMIN)");
	if (complaint_is_verifier)
		return thr_fail(error, code, "the kernel's verifier refuses the XDP program: %s",
				last_complaint);
	return thr_fail(error, code, "the kernel refuses the XDP program: %s%s%s", strerror(code),
			last_complaint[0] ? ": " : "", last_complaint);
}

static int program_id(int fd, uint32_t *ret_id)
{
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return -errno;
	*ret_id = info.id;
	return 0;
}

int thr_program_load(struct thr_program *program, uint32_t *ret_id, struct thr_error *error)
{
	int result = xdp_throttle_bpf__load(program->skeleton);

	if (!result)
		result = program_id(bpf_program__fd(program->skeleton->progs.xdp_throttle), ret_id);
	return result ? fail_load(-result, error) : 0;
}

static enum xdp_attach_mode xdp_mode(enum thr_xdp_mode mode)
{
	return mode == THR_MODE_GENERIC ? XDP_MODE_SKB : XDP_MODE_NATIVE;
}

int thr_program_join(struct thr_program *program, unsigned int index, const char *name,
		     enum thr_xdp_mode mode, uint32_t *ret_id, struct thr_error *error)
{
	int result;

	program->joined = xdp_program__from_bpf_obj(program->skeleton->obj, "xdp");
	result = (int)libxdp_get_error(program->joined);
	if (result) {
		program->joined = NULL;
		return thr_fail(error, -result, "libxdp does not take the program: %s",
				strerror(-result));
	}
	result = xdp_program__attach(program->joined, (int)index, xdp_mode(mode), 0);
	if (result)
		return thr_fail(error, -result,
				"%s: libxdp's dispatcher there does not take another program: "
				"%s%s%s",
				name, strerror(-result), last_complaint[0] ? ": " : "",
				last_complaint);
	result = program_id(xdp_program__fd(program->joined), ret_id);
	return result ? fail_load(-result, error) : 0;
}

int thr_program_leave(uint32_t id, unsigned int index, const char *name, enum thr_xdp_mode mode,
		      struct thr_error *error)
{
	struct xdp_program *program;
	int result;

	thr_program_silence();
	program = xdp_program__from_id(id);
	result = (int)libxdp_get_error(program);
	if (!result) {
		result = xdp_program__detach(program, (int)index, xdp_mode(mode), 0);
		xdp_program__close(program);
	}
	if (result)
		return thr_fail(error, -result,
				"%s: libxdp cannot take the program out of its dispatcher: %s%s%s",
				name, strerror(-result), last_complaint[0] ? ": " : "",
				last_complaint);
	return 0;
}

void thr_program_free(struct thr_program *program)
{
	if (!program)
		return;
	/* The object that libxdp was handed stays the skeleton's. */
	if (program->joined)
		xdp_program__close(program->joined);
	xdp_throttle_bpf__destroy(program->skeleton);
	free(program);
}
