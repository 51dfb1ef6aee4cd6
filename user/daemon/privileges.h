/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a worker gives up before it meets a stranger's first byte, so that a fault in it
 * is worth as little as can be. What is left to who takes it over:
 *
 *   - its clients' connections, its listeners and those lent to it, and new connections
 *     to any address that the machine reaches, by TCP and UDP, from a port of the
 *     system's choice, and to Unix sockets that its user may connect to
 *   - Redis, as what the configuration logs in as: the password, the client's key, and so
 *     every bucket and every quota of all machines that share it
 *   - files that its user may read
 *   - the memory that workers share: it can grant and refuse requests, and set targets
 *     aside. There is nothing in it by which the master or another worker finds an
 *     address or a size
 *   - where the file has the packet layer, and asks for it: any source can be verified, and
 *     blocked, for as long as the file says; the master looks at 4,096 such notes a second
 *   - its channel to the master, who takes three kinds of short message there, and by one
 *     of them sets and deletes quotas: what the API lets its clients do
 *   - the digest of the API's token, not the token
 *   - what was in the master's memory at the fork: the configuration with what is secret
 *     in it, the environment, and where in memory everything lies. Workers are forked
 *     and do not exec, so one tells the layout of all, and of the master
 *
 * It cannot change files, start programs or processes, signal others, or make code.
 * Root as server.user is obeyed, and warned about: files are then no boundary.
 */
#ifndef THR_PRIVILEGES_H
#define THR_PRIVILEGES_H

#include <stdbool.h>
#include <sys/types.h>

#include "core/error.h"

/* Whom workers run as. */
struct thr_run_as {
	bool change; /* false: as whom the master does, who is not root */
	uid_t uid;
	gid_t gid;
};

/* Look up `user`, or "nobody" for NULL, when this process is root. Returns 0, or a
 * negative errno with `error` set. */
int thr_run_as_find(const char *user, struct thr_run_as *ret_run_as, struct thr_error *error);

/* Become that user without groups, without any capability and without a way to
 * get one (no_new_privs). For good, and before there is a second thread: the kernel
 * keeps most of it for each. */
int thr_privileges_drop(const struct thr_run_as *run_as, struct thr_error *error);

/*
 * Allow this process the system calls that serving takes, and no others; all
 * threads that it has and will have. sandbox.c has the list, and what becomes of the rest.
 * thr_sandbox_exists() is false where the program was built with a sanitizer that
 * needs others: entering does nothing then.
 */
int thr_sandbox_enter(struct thr_error *error);
bool thr_sandbox_exists(void);

#endif
