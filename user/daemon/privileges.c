/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Users and capabilities; see privileges.h. */
#include "daemon/privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEFAULT_USER "nobody"

int thr_run_as_find(const char *user, struct thr_run_as *ret_run_as, struct thr_error *error)
{
	const char *name = user ? user : DEFAULT_USER;
	const struct passwd *found;

	if (geteuid() != 0) {
		*ret_run_as = (struct thr_run_as){.change = false};
		return 0;
	}
	errno = 0;
	found = getpwnam(name);
	if (!found)
		return thr_fail(error, errno ? errno : ENOENT,
				"server.user %s: %s: name a user of this machine for the workers "
				"to run as",
				name, errno ? strerror(errno) : "no such user");
	*ret_run_as =
		(struct thr_run_as){.change = true, .uid = found->pw_uid, .gid = found->pw_gid};
	return 0;
}

/* So that not even a program with file capabilities brings one back. Without
 * CAP_SETPCAP, as an ordinary user, there is none to drop that matters:
 * no_new_privs holds. */
static int drop_bounding_set(void)
{
	for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
		if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) && errno != EPERM)
			return -errno;
	return 0;
}

static int change_user(const struct thr_run_as *run_as)
{
	if (!run_as->change)
		return 0;
	if (setgroups(0, NULL) || setresgid(run_as->gid, run_as->gid, run_as->gid) ||
	    setresuid(run_as->uid, run_as->uid, run_as->uid))
		return -errno;
	return 0;
}

static int clear_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
		return -errno;
	return syscall(SYS_capset, &header, none) ? -errno : 0;
}

int thr_privileges_drop(const struct thr_run_as *run_as, struct thr_error *error)
{
	int r = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;

	if (!r)
		r = drop_bounding_set();
	if (!r)
		r = change_user(run_as);
	if (!r)
		r = clear_capabilities();
	return r ? thr_fail(error, -r, "giving up privileges: %s", strerror(-r)) : 0;
}
