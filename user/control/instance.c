/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Opening a loaded program and its maps by id; see instance.h. */
#include "control/instance.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "thr_reasons.h"

#define MAP_IDS_MAX 32

static const struct {
	const char *name;
	uint32_t key_size, value_size;
	uint32_t max_entries; /* 0: what the loader was told */
} map_shapes[THR_MAPS] = {
	[THR_MAP_CONFIG] = {"thr_config", 4, sizeof(struct thr_live), 1},
	[THR_MAP_PORTS] = {"thr_ports", 4, sizeof(struct thr_ports), THR_SLOTS *THR_PORT_GROUPS},
	[THR_MAP_SERVICES] = {"thr_services", 4, sizeof(struct thr_service),
			      THR_SLOTS *(THR_SERVICES_MAX + 1)},
	[THR_MAP_POLICIES] = {"thr_policies", 4, sizeof(struct thr_policy),
			      THR_SLOTS *THR_POLICIES_MAX},
	[THR_MAP_SUMMARY] = {"thr_summary", 4, sizeof(uint64_t), THR_SLOTS *THR_SUMMARY_WORDS},
	[THR_MAP_SOURCES] = {"thr_sources", sizeof(struct thr_source_key),
			     sizeof(struct thr_source), THR_SLOTS *THR_SOURCES_MAX},
	[THR_MAP_RECENT] = {"thr_recent", 4, sizeof(struct thr_recent), THR_RECENT_MAX},
	[THR_MAP_BUCKETS] = {"thr_buckets", sizeof(struct thr_bucket_key),
			     sizeof(struct thr_bucket), 0},
	[THR_MAP_GATE] = {"thr_gate", 4, sizeof(struct thr_cell), 0},
	[THR_MAP_BUDGETS] = {"thr_budgets", 4, sizeof(struct thr_budget), THR_SERVICES_MAX + 1},
	[THR_MAP_VERIFIED] = {"thr_verified", sizeof(struct thr_source_id),
			      sizeof(struct thr_expiry), 0},
	[THR_MAP_BLOCKED] = {"thr_blocked", sizeof(struct thr_source_id), sizeof(struct thr_expiry),
			     0},
	[THR_MAP_STATS] = {"thr_stats", 4, sizeof(struct thr_count), THR_REASONS_MAX},
};

const char *thr_map_name(enum thr_map map)
{
	return map_shapes[map].name;
}

static const struct {
	enum thr_map map;
	size_t member;
} sized[] = {
	{THR_MAP_GATE, offsetof(struct thr_sizes, gate)},
	{THR_MAP_BUCKETS, offsetof(struct thr_sizes, exact)},
	{THR_MAP_VERIFIED, offsetof(struct thr_sizes, verified)},
	{THR_MAP_BLOCKED, offsetof(struct thr_sizes, blocked)},
};
#define SIZED (sizeof(sized) / sizeof(sized[0]))

static const struct thr_size *size_of(const struct thr_sizes *sizes, size_t i)
{
	return (const struct thr_size *)((const char *)sizes + sized[i].member);
}

uint32_t thr_map_size(const struct thr_sizes *sizes, enum thr_map map)
{
	for (size_t i = 0; i < SIZED; i++)
		if (sized[i].map == map)
			return (uint32_t)size_of(sizes, i)->entries;
	return 0;
}

int thr_instance_check_sizes(const struct thr_instance *instance, const struct thr_sizes *sizes,
			     struct thr_error *error)
{
	for (size_t i = 0; i < SIZED; i++) {
		const struct thr_size *size = size_of(sizes, i);
		uint32_t live = instance->map_entries[sized[i].map];

		if (size->entries && size->entries != live)
			return thr_fail(error, EBUSY,
					"%s is %" PRIu64
					", and the throttle that runs has %u, which "
					"cannot change: detach it from every interface and attach "
					"again, or leave the key out",
					size->name, size->entries, live);
	}
	return 0;
}

const char *thr_mode_name(enum thr_xdp_mode mode)
{
	static const char *const names[] = {"auto", "native", "generic", "offload"};

	return names[mode];
}

void thr_instance_init(struct thr_instance *instance)
{
	*instance = (struct thr_instance){.program_fd = -1};
	for (int map = 0; map < THR_MAPS; map++)
		instance->map_fd[map] = -1;
}

static size_t array_bytes(enum thr_map map)
{
	/* The kernel keeps values of an array 8 bytes apart; ours are multiples. */
	return (size_t)map_shapes[map].value_size * map_shapes[map].max_entries;
}

static void unmap_array(void *address, enum thr_map map)
{
	if (address)
		munmap(address, array_bytes(map));
}

void thr_instance_clear(struct thr_instance *instance)
{
	unmap_array(instance->live, THR_MAP_CONFIG);
	unmap_array(instance->ports, THR_MAP_PORTS);
	unmap_array(instance->services, THR_MAP_SERVICES);
	unmap_array(instance->policies, THR_MAP_POLICIES);
	unmap_array(instance->summary, THR_MAP_SUMMARY);
	for (int map = 0; map < THR_MAPS; map++)
		thr_cleanup_close(&instance->map_fd[map]);
	thr_cleanup_close(&instance->program_fd);
	free(instance->attachments);
	thr_instance_init(instance);
}

static int map_array(const struct thr_instance *instance, enum thr_map map, void **ret_address,
		     struct thr_error *error)
{
	void *address = mmap(NULL, array_bytes(map), PROT_READ | PROT_WRITE, MAP_SHARED,
			     instance->map_fd[map], 0);

	if (address == MAP_FAILED)
		return thr_fail(error, errno, "map %s cannot be mapped: %s", thr_map_name(map),
				strerror(errno));
	*ret_address = address;
	return 0;
}

int thr_instance_map(struct thr_instance *instance, struct thr_error *error)
{
	const struct {
		enum thr_map map;
		void **address;
	} arrays[] = {
		{THR_MAP_CONFIG, (void **)&instance->live},
		{THR_MAP_PORTS, (void **)&instance->ports},
		{THR_MAP_SERVICES, (void **)&instance->services},
		{THR_MAP_POLICIES, (void **)&instance->policies},
		{THR_MAP_SUMMARY, (void **)&instance->summary},
	};

	for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++) {
		int result = map_array(instance, arrays[i].map, arrays[i].address, error);

		if (result)
			return result;
	}
	return 0;
}

/* Keep `fd` when it is one of our maps by name; -EPROTO when its shape is not
 * the one this program knows. */
static int take_map(struct thr_instance *instance, int *fd)
{
	struct bpf_map_info info = {};
	__u32 size = sizeof(info);

	if (bpf_obj_get_info_by_fd(*fd, &info, &size))
		return -errno;
	for (int map = 0; map < THR_MAPS; map++) {
		if (strcmp(info.name, map_shapes[map].name) != 0)
			continue;
		if (info.key_size != map_shapes[map].key_size ||
		    info.value_size != map_shapes[map].value_size ||
		    (map_shapes[map].max_entries &&
		     info.max_entries != map_shapes[map].max_entries))
			return -EPROTO;
		thr_cleanup_close(&instance->map_fd[map]);
		instance->map_fd[map] = TAKE_FD(*fd);
		instance->map_entries[map] = info.max_entries;
		if (map == THR_MAP_CONFIG)
			instance->config_id = info.id;
		return 0;
	}
	return 0;
}

static int open_maps(struct thr_instance *instance, const __u32 *ids, __u32 count)
{
	for (__u32 i = 0; i < count; i++) {
		AUTO_CLOSE int fd = bpf_map_get_fd_by_id(ids[i]);
		int result;

		if (fd < 0)
			return -errno;
		result = take_map(instance, &fd);
		if (result)
			return result;
	}
	for (int map = 0; map < THR_MAPS; map++)
		if (instance->map_fd[map] < 0)
			return -EPROTO;
	return 0;
}

static int fail_version(uint32_t id, struct thr_error *error)
{
	return thr_fail(
		error, EPROTO,
		"program %u (xdp_throttle) is of another version of xdp-throttle: detach it "
		"with that version, or with 'ip link set dev IF xdpdrv off' (xdpgeneric off)",
		id);
}

int thr_instance_open(uint32_t id, struct thr_instance *instance, struct thr_error *error)
{
	__u32 ids[MAP_IDS_MAX];
	struct bpf_prog_info info = {.map_ids = (uintptr_t)ids, .nr_map_ids = MAP_IDS_MAX};
	__u32 size = sizeof(info);
	int result;

	thr_instance_init(instance);
	instance->program_fd = bpf_prog_get_fd_by_id(id);
	if (instance->program_fd < 0 ||
	    bpf_obj_get_info_by_fd(instance->program_fd, &info, &size)) {
		result = thr_fail(error, errno, "program %u cannot be opened: %s", id,
				  errno == EPERM ? "this needs root" : strerror(errno));
		goto fail;
	}
	instance->program_id = id;
	memcpy(instance->tag, info.tag, sizeof(instance->tag));
	result = open_maps(instance, ids,
			   info.nr_map_ids < MAP_IDS_MAX ? info.nr_map_ids : MAP_IDS_MAX);
	if (result == -EPROTO)
		fail_version(id, error);
	else if (result)
		thr_fail(error, -result, "maps of program %u cannot be opened: %s", id,
			 strerror(-result));
	if (!result)
		result = thr_instance_map(instance, error);
	if (!result && ((instance->live->version && instance->live->version != THR_ABI_VERSION) ||
			instance->live->active >= THR_SLOTS))
		result = fail_version(id, error);
	if (!result)
		return 0;
fail:
	thr_instance_clear(instance);
	return result;
}
