/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The program of an interface by netlink, as `ip link` attaches it and takes it off: what
 * is attached so needs no process to stay. Refusals are told in words for the user.
 */
#ifndef THR_NETLINK_H
#define THR_NETLINK_H

#include "control/instance.h"

/* Attach a program to an interface that has none, in the mode of `at`, which is native or
 * generic. Returns 0 or a negative errno. Whatever the mode: -EPERM, -EBUSY where there is a
 * program by now, -EEXIST where an interface on top has one, -ENODEV. */
int thr_netlink_attach(const struct thr_attachment *at, int program_fd, struct thr_error *error);

/* Take off the program of `at`, and no other. Returns 0 or a negative errno. */
int thr_netlink_detach(const struct thr_attachment *at, struct thr_error *error);

/* Put the program `to` in the place of `from` on every interface that had program `id` when
 * the instance was found; all or none. */
int thr_netlink_replace(const struct thr_instance *instance, uint32_t id, int from, int to,
			struct thr_error *error);

#endif
