/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A running throttle: one set of maps, and the interfaces of this network
 * namespace that have a program which uses them. That is one program for all of
 * them, but for an interface where it was loaded to join a dispatcher.
 *
 * It is found through the interfaces, never through a path: so a program that
 * `ip link` attached is managed like one of ours, and /sys/fs/bpf need not be
 * there. The interface has the program itself, or libxdp's dispatcher that
 * calls it.
 */
#ifndef THR_INSTANCE_H
#define THR_INSTANCE_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "core/error.h"
#include "thr_abi.h"

enum thr_map {
	THR_MAP_CONFIG,
	THR_MAP_PORTS,
	THR_MAP_SERVICES,
	THR_MAP_POLICIES,
	THR_MAP_SUMMARY,
	THR_MAP_SOURCES,
	THR_MAP_RECENT,
	THR_MAP_GATE,
	THR_MAP_BUCKETS,
	THR_MAP_BUDGETS,
	THR_MAP_VERIFIED,
	THR_MAP_BLOCKED,
	THR_MAP_STATS,
	THR_MAPS
};

struct thr_attachment {
	unsigned int index;
	char name[IF_NAMESIZE];
	enum thr_xdp_mode mode; /* never THR_MODE_AUTO */
	uint32_t program_id;
	bool joined; /* called by libxdp's dispatcher */
};

struct thr_instance {
	uint32_t program_id; /* of one of its programs */
	uint8_t tag[8];	     /* hash of that one's instructions */
	int program_fd;
	uint32_t config_id; /* of thr_config: what makes two programs one throttle */
	int map_fd[THR_MAPS];
	uint32_t map_entries[THR_MAPS];
	struct thr_live *live;	      /* thr_config, and the other arrays that */
	struct thr_ports *ports;      /* can be mapped; NULL before */
	struct thr_service *services; /* thr_instance_map() */
	struct thr_policy *policies;
	uint64_t *summary;
	struct thr_attachment *attachments; /* ascending by index */
	size_t attachment_count;
};

struct thr_instances {
	struct thr_instance *items; /* in the order of their first interface */
	size_t count;
	struct thr_error passed_over; /* why a program of our name is not among them, or empty */
};

/* What is attached to an interface. */
struct thr_occupant {
	uint32_t program_id; /* 0: nothing */
	enum thr_xdp_mode mode;
	char name[16];		/* of the program */
	uint32_t dispatcher_id; /* libxdp's dispatcher, when there is one */
	uint32_t ours;		/* id of our program, there or behind the dispatcher; 0: none */
};

/*
 * Find every throttle of this network namespace, with its maps open and mapped.
 * Returns 0 (there may be none), or a negative errno: -EPERM without the
 * privilege. A throttle of another version is passed over; choosing it fails.
 */
int thr_instances_find(struct thr_instances *ret_instances, struct thr_error *error);
void thr_instances_clear(struct thr_instances *instances);

/* What is attached to interface `index`, called `name`. */
int thr_occupant_find(unsigned int index, const char *name, struct thr_occupant *ret_occupant,
		      struct thr_error *error);

/*
 * The instance on interface `device`; with `device` NULL, the only one. Errors
 * name what there is: none, several, no such interface, or another program.
 * The result belongs to `instances`.
 */
int thr_instance_choose(const struct thr_instances *instances, const char *device,
			struct thr_instance **ret_instance, struct thr_error *error);

/* Open the program `id` and its maps into `instance`, which is empty. */
int thr_instance_open(uint32_t id, struct thr_instance *instance, struct thr_error *error);

/* What `sizes` state of the entries of `map`; 0: nothing. */
uint32_t thr_map_size(const struct thr_sizes *sizes, enum thr_map map);

/* Refuse sizes that are stated and are not those of the instance: they are settled when
 * the program is loaded. The message has their place in the file. Returns 0 or -EBUSY. */
int thr_instance_check_sizes(const struct thr_instance *instance, const struct thr_sizes *sizes,
			     struct thr_error *error);

/* Map the arrays of an instance whose map_fd are open. */
int thr_instance_map(struct thr_instance *instance, struct thr_error *error);

/* Release what `instance` holds and make it empty. Nothing is detached. */
void thr_instance_clear(struct thr_instance *instance);
void thr_instance_init(struct thr_instance *instance);

const char *thr_map_name(enum thr_map map);
const char *thr_mode_name(enum thr_xdp_mode mode);

#endif
