/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Attaching the throttle to an interface and taking it off again.
 *
 * All interfaces of a network namespace share one program and so one set of
 * buckets. An empty interface gets the program by netlink, as `ip link` does;
 * one with libxdp's dispatcher has the program join the others there; one with
 * any other program is left alone. The program stays when this process ends.
 */
#ifndef THR_ATTACH_H
#define THR_ATTACH_H

#include "config/config.h"
#include "control/instance.h"
#include "control/notices.h"

struct thr_attach_request {
	const char *device;
	enum thr_xdp_mode mode;
	const struct thr_tables *tables; /* made live; NULL: leave them as they are */
	const struct thr_sizes *sizes;	 /* of a new throttle's maps; NULL: as they come */
};

struct thr_attach_result {
	enum thr_xdp_mode mode;
	uint32_t program_id;
	int native_error;  /* errno for which auto fell back to generic, or 0 */
	bool joined;	   /* behind libxdp's dispatcher */
	bool was_attached; /* ours was there already */
	uint32_t replaced; /* id of the older build whose place it took, or 0 */
	struct thr_notices notices;
};

/* Attach, or renew what is attached. On failure the interface and the live
 * tables are as before. Callers hold thr_lock(). */
int thr_attach(const struct thr_attach_request *request, struct thr_attach_result *ret_result,
	       struct thr_error *error);

/* Take our program, and no other, off the interface. Before the last one, sysctls that
 * were changed for the throttle are put back: `notices`, which may be NULL, says so. */
int thr_detach(const char *device, struct thr_notices *notices, struct thr_error *error);

#endif
