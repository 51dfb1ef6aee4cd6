/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * See challenge.h. /proc/sys/net shows the network namespace of who reads it.
 *
 * What a sysctl was is remembered before it is set: who is killed in between leaves a
 * record that is not true yet, and does no harm, as only a sysctl that is what the record
 * says is put back.
 */
#include "control/challenge.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "core/cleanup.h"

#define WANTED 2
#define PATH_OF(name) "/proc/sys/net/" name

static const struct {
	const char *name, *path;
	const char *cost; /* of another value */
} sysctls[THR_SYSCTLS] = {
	[THR_SYSCTL_SYNCOOKIES] = {"net.ipv4.tcp_syncookies", PATH_OF("ipv4/tcp_syncookies"),
				   "SYNs that were to be challenged are dropped"},
	[THR_SYSCTL_TIMESTAMPS] = {"net.ipv4.tcp_timestamps", PATH_OF("ipv4/tcp_timestamps"),
				   "challenged clients have neither window scaling nor SACK"},
};

/* --- reading and writing --- */

static int read_text(const char *path, char *text, size_t size)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, text, size - 1);

	if (got < 0)
		return -errno;
	text[got] = '\0';
	return 0;
}

/* The last of the numbers in a sysctl; a negative errno where it cannot be read, as
 * net.core.rmem_max outside of the initial namespace before Linux 6.12. */
static int read_last(const char *path, int *ret_value)
{
	char text[128], *at = text, *end;
	int result = read_text(path, text, sizeof(text));
	long value = -1;

	if (result)
		return result;
	for (long next = strtol(at, &end, 10); end != at; next = strtol(at, &end, 10)) {
		value = next;
		at = end;
	}
	if (value < 0 || value > INT32_MAX)
		return -EINVAL;
	*ret_value = (int)value;
	return 0;
}

static int read_or(const char *path, int otherwise)
{
	int value = otherwise;

	read_last(path, &value);
	return value;
}

static int write_number(const char *path, int value)
{
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 || dprintf(fd, "%d\n", value) < 0 ? -errno : 0;
}

/* --- what may be offered --- */

/* As tcp_select_initial_window() of net/ipv4/tcp_output.c does for a socket whose buffer
 * the application left alone. */
static uint8_t window_scale(void)
{
	int rmem = read_or(PATH_OF("ipv4/tcp_rmem"), 6 << 20);
	int rmem_max = read_or(PATH_OF("core/rmem_max"), 0);
	unsigned int space = (unsigned int)(rmem > rmem_max ? rmem : rmem_max);
	int scale = 0;

	while (scale < 14 && space >> (scale + 16))
		scale++;
	return (uint8_t)scale;
}

static struct thr_offer offer_now(void)
{
	return (struct thr_offer){
		.timestamps = read_or(sysctls[THR_SYSCTL_TIMESTAMPS].path, 0) == WANTED,
		.sack = read_or(PATH_OF("ipv4/tcp_sack"), 0) != 0,
		.window_scale =
			read_or(PATH_OF("ipv4/tcp_window_scaling"), 0) ? window_scale() : UINT8_MAX,
	};
}

/* --- setting --- */

static bool challenges(const struct thr_service_config *service)
{
	return service->new_sources.count && service->on_overload == THR_OVERLOAD_CHALLENGE;
}

static bool settings_challenge(const struct thr_settings *settings)
{
	return settings->flags & THR_HAS_CHALLENGES && settings->action == THR_ACTION_ENFORCE;
}

static bool is_challenging(const struct thr_live *live)
{
	return settings_challenge(&live->slot[live->active]);
}

static const struct thr_service_config *find_challenging(const struct thr_tables *tables)
{
	for (size_t i = 0; i < tables->service_count; i++)
		if (challenges(&tables->services[i]))
			return &tables->services[i];
	return NULL;
}

bool thr_challenge_is_wanted(const struct thr_tables *tables)
{
	return tables->action == THR_ACTION_ENFORCE && find_challenging(tables);
}

/* Returns 0 with what it was, or a negative errno; *ret_was is -1 where that is unknown. */
static int set(struct thr_sysctl_change *change, const char *path, int *ret_was)
{
	int result;

	*ret_was = -1;
	result = read_last(path, ret_was);
	if (result || *ret_was == WANTED)
		return result;
	change->was = *ret_was;
	__atomic_store_n(&change->is, WANTED, __ATOMIC_SEQ_CST);
	result = write_number(path, WANTED);
	if (result)
		change->is = 0;
	return result;
}

/* Whether another throttle of this network namespace set it, and is to put it back. */
static bool is_anothers(const struct thr_instance *instance, int which)
{
	struct thr_instances instances = {};
	struct thr_error error;
	bool found = false;

	if (thr_instances_find(&instances, &error))
		return false;
	for (size_t i = 0; i < instances.count; i++)
		found |= instances.items[i].config_id != instance->config_id &&
			 instances.items[i].live->sysctl[which].is;
	thr_instances_clear(&instances);
	return found;
}

/* One slot has the tables in force, the other those that come or went: where both challenge,
 * the user has been told. */
static void note_kept(const struct thr_instance *instance, int which, struct thr_notices *notices)
{
	const struct thr_live *live = instance->live;

	if (live->sysctl[which].is || is_anothers(instance, which) ||
	    (settings_challenge(&live->slot[0]) && settings_challenge(&live->slot[1])))
		return;
	thr_note(notices, false, "%s is %d already: detach leaves it", sysctls[which].name, WANTED);
}

void thr_challenge_prepare(struct thr_instance *instance, const struct thr_tables *tables,
			   struct thr_notices *notices)
{
	for (int i = 0; i < THR_SYSCTLS && thr_challenge_is_wanted(tables); i++) {
		int was;
		int result = set(&instance->live->sysctl[i], sysctls[i].path, &was);

		if (result)
			thr_note(notices, true, "%s is not %d and cannot be set (%s): %s",
				 sysctls[i].name, WANTED, strerror(-result), sysctls[i].cost);
		else if (was != WANTED)
			thr_note(notices, false,
				 "%s: %d -> %d, for on_overload: challenge of service %s; detach "
				 "restores it",
				 sysctls[i].name, was, WANTED, find_challenging(tables)->name);
		else
			note_kept(instance, i, notices);
	}
	instance->live->offer = offer_now();
}

/* --- restoring --- */

/* Leave the changes to another throttle that needs them. */
static bool hand_over(struct thr_instance *instance)
{
	struct thr_instances instances = {};
	struct thr_error error;
	bool done = false;

	if (thr_instances_find(&instances, &error))
		return false;
	for (size_t i = 0; i < instances.count && !done; i++) {
		struct thr_live *other = instances.items[i].live;

		if (instances.items[i].config_id == instance->config_id || !is_challenging(other))
			continue;
		for (int j = 0; j < THR_SYSCTLS; j++) {
			if (!other->sysctl[j].is)
				other->sysctl[j] = instance->live->sysctl[j];
			instance->live->sysctl[j].is = 0;
		}
		done = true;
	}
	thr_instances_clear(&instances);
	return done;
}

static void restore(struct thr_sysctl_change *change, int which, struct thr_notices *notices)
{
	int is = change->is, was = change->was;
	int result;

	if (!is)
		return;
	if (read_or(sysctls[which].path, -1) != is) {
		change->is = 0;
		return;
	}
	result = write_number(sysctls[which].path, was);
	if (result) {
		thr_note(notices, true, "%s stays %d and was %d: %s", sysctls[which].name, is, was,
			 strerror(-result));
		return;
	}
	change->is = 0;
	thr_note(notices, false, "%s: %d -> %d, as it was", sysctls[which].name, is, was);
}

void thr_challenge_restore(struct thr_instance *instance, struct thr_notices *notices)
{
	struct thr_live *live = instance->live;
	bool changed = false;

	for (int i = 0; live && i < THR_SYSCTLS; i++)
		changed |= live->sysctl[i].is != 0;
	if (!changed || hand_over(instance))
		return;
	for (int i = 0; i < THR_SYSCTLS; i++)
		restore(&live->sysctl[i], i, notices);
}

void thr_challenge_resume(struct thr_instance *instance)
{
	int was;

	for (int i = 0; i < THR_SYSCTLS && is_challenging(instance->live); i++)
		set(&instance->live->sysctl[i], sysctls[i].path, &was);
}

/* --- where answers are lost --- */

static bool is_veth(const char *name)
{
	AUTO_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ethtool_drvinfo driver = {.cmd = ETHTOOL_GDRVINFO};
	struct ifreq request = {.ifr_data = (void *)&driver};

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	return fd >= 0 && !ioctl(fd, SIOCETHTOOL, &request) && !strcmp(driver.driver, "veth");
}

bool thr_challenge_check_link(const struct thr_instance *instance, const char *name,
			      enum thr_xdp_mode mode, struct thr_notices *notices)
{
	if (mode != THR_MODE_NATIVE || !is_challenging(instance->live) || !is_veth(name))
		return false;
	thr_note(notices, true,
		 "%s is a veth: in native mode the answers to challenged SYNs are lost, unless its "
		 "other end has an XDP program too: detach it and attach with --mode generic "
		 "(xdp.mode: generic)",
		 name);
	return true;
}

void thr_challenge_check_links(const struct thr_instance *instance, struct thr_notices *notices)
{
	for (size_t i = 0; i < instance->attachment_count; i++) {
		const struct thr_attachment *at = &instance->attachments[i];

		if (thr_challenge_check_link(instance, at->name, at->mode, notices))
			return;
	}
}

/* --- for status --- */

#define AGAIN "'xdp-throttle apply' sets it again"

enum thr_challenge thr_challenge_describe(const struct thr_instance *instance,
					  char text[static THR_CHALLENGE_TEXT])
{
	int cookies = read_or(sysctls[THR_SYSCTL_SYNCOOKIES].path, -1);
	int timestamps = read_or(sysctls[THR_SYSCTL_TIMESTAMPS].path, -1);
	const struct thr_offer offer = offer_now();

	if (!is_challenging(instance->live))
		return THR_CHALLENGE_NONE;
	if (cookies != WANTED) {
		snprintf(text, THR_CHALLENGE_TEXT,
			 "tcp_syncookies is %d, wants %d: SYNs beyond the budget are "
			 "dropped; " AGAIN,
			 cookies, WANTED);
		return THR_CHALLENGE_UNREADY;
	}
	if (timestamps != WANTED && instance->live->offer.timestamps) {
		snprintf(text, THR_CHALLENGE_TEXT, "tcp_timestamps is %d, wants %d; " AGAIN,
			 timestamps, WANTED);
		return THR_CHALLENGE_UNREADY;
	}
	if (memcmp(&offer, &instance->live->offer, sizeof(offer)) != 0) {
		snprintf(text, THR_CHALLENGE_TEXT,
			 "net.ipv4.tcp_* or rmem_max have changed: apply the tables again");
		return THR_CHALLENGE_UNREADY;
	}
	if (timestamps != WANTED)
		snprintf(text, THR_CHALLENGE_TEXT,
			 "ready, but tcp_timestamps is %d, wants %d: no window scaling, no SACK",
			 timestamps, WANTED);
	else
		snprintf(text, THR_CHALLENGE_TEXT, "ready");
	return THR_CHALLENGE_READY;
}
