/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The composition root of `run`: makes what the workers share, in the order in
 * which it can fail, and hands it to the master.
 *
 *   configuration -> user -> listeners -> shared memory -> state file -> packet layer
 *                 -> workers
 *
 * Listeners come before the packet layer, because they are what fails most often,
 * and clients that connect early wait in their queues. The packet layer outlives
 * this process; only when the start fails is it taken off again from where this
 * start put it.
 *
 * Lines are written by the log's threads from the beginning on: who reads them, or
 * does not, must not hold up the master.
 */
#include "daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/clock.h"
#include "core/log.h"
#include "daemon/listener.h"
#include "daemon/master.h"
#include "daemon/packet.h"

#define LOG_WAIT_MS 1000 /* for the last lines */

/* Signals wait from the first moment on: one that comes during the start is
 * obeyed after it. Descriptors 0 to 2 are open, so that nothing else gets their
 * numbers. */
static void settle_in(void)
{
	sigset_t set;
	int fd;

	thr_master_signals(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
	thr_log_name("master");
}

#define CPUS_MOST (1 << 20)

static unsigned int count_cpus(void)
{
	unsigned int count = 0;

	/* The kernel refuses a set that is smaller than its own. */
	for (int cpus = CPU_SETSIZE; cpus <= CPUS_MOST && !count; cpus *= 2) {
		size_t size = CPU_ALLOC_SIZE(cpus);
		cpu_set_t *set = CPU_ALLOC(cpus);

		if (!set)
			break;
		if (!sched_getaffinity(0, size, set))
			count = (unsigned int)CPU_COUNT_S(size, set);
		CPU_FREE(set);
	}
	return count ? count : 1;
}

static int make_slots(struct thr_master *master)
{
	const struct thr_server_config *server = &master->generation->config->server;

	master->worker_count = server->workers ? server->workers : count_cpus();
	master->slots = calloc(master->worker_count, sizeof(*master->slots));
	if (!master->slots)
		return thr_fail(master->error, ENOMEM, "%s", strerror(ENOMEM));
	for (unsigned int i = 0; i < master->worker_count; i++)
		thr_slot_init(&master->slots[i], master, i);
	return 0;
}

static int open_listeners(struct thr_master *master)
{
	struct thr_new_fronts fronts;
	int r = thr_fronts_open(master, NULL, master->generation->config, &fronts, master->error);

	if (!r)
		thr_fronts_put(master, &fronts);
	return r;
}

/* One of `size` bytes for each worker; NULL: no memory. */
static void *map_counts(const struct thr_master *master, size_t size)
{
	void *counts = mmap(NULL, master->worker_count * size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return counts == MAP_FAILED ? NULL : counts;
}

static void unmap_counts(const struct thr_master *master, void *counts, size_t size)
{
	if (counts)
		munmap(counts, master->worker_count * size);
}

static int share_memory(struct thr_master *master)
{
	const struct thr_config *config = master->generation->config;
	int r = thr_memory_new(config->store.max_keys, &master->buckets);

	if (r)
		return thr_fail(master->error, -r,
				"memory for store.memory.max_keys of %llu: %s: write a smaller "
				"number",
				(unsigned long long)config->store.max_keys, strerror(-r));
	if (getrandom(&master->instance, sizeof(master->instance), 0) < 0)
		return thr_fail(master->error, errno, "random numbers: %s", strerror(errno));
	r = thr_quotas_new(config->api.max_configs, true, &master->quotas);
	if (!r)
		r = thr_board_new(&master->board);
	if (!r)
		r = thr_heed_new(master);
	if (r)
		return thr_fail(master->error, -r, "memory that workers share: %s", strerror(-r));
	master->counts = map_counts(master, sizeof(*master->counts));
	master->store_counts = map_counts(master, sizeof(*master->store_counts));
	master->api_counts = map_counts(master, sizeof(*master->api_counts));
	master->route_counts = mmap(NULL, thr_proxy_route_counts_size(master->worker_count),
				    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (master->route_counts == MAP_FAILED)
		master->route_counts = NULL;
	if (!master->counts || !master->store_counts || !master->api_counts ||
	    !master->route_counts)
		return thr_fail(master->error, ENOMEM, "memory that workers share: %s",
				strerror(ENOMEM));
	return thr_generation_share(master->generation, master->worker_count, NULL, master->error);
}

static int start_loop(struct thr_master *master)
{
	int r = thr_loop_new(&master->loop);

	return r ? thr_fail(master->error, -r, "the master's loop: %s", strerror(-r)) : 0;
}

static int prepare(struct thr_master *master)
{
	const struct thr_config *config;
	int r = thr_generation_load(master->path, &master->generation, master->error);

	if (r)
		return r;
	config = master->generation->config;
	thr_log_setup(config->log_level, config->log_format);
	r = thr_run_as_find(config->server.user, &master->run_as, master->error);
	if (!r && master->run_as.change && !master->run_as.uid)
		thr_log(THR_LOG_WARNING, "server.user root: workers can read root's files; name a "
					 "user of their own");
	if (!r)
		r = make_slots(master);
	if (!r)
		r = open_listeners(master);
	if (!r)
		r = share_memory(master);
	if (!r)
		r = start_loop(master);
	return r ? r : thr_changes_open(master, config, master->error);
}

/* With the packet layer on, which stays when this ends as it should. */
static int serve(struct thr_master *master)
{
	const struct thr_config *config = master->generation->config;
	AUTO_FREE bool *attached = calloc(config->xdp.interface_count + 1, sizeof(*attached));
	int r;

	if (!attached)
		return thr_fail(master->error, ENOMEM, "%s", strerror(ENOMEM));
	r = thr_packet_apply(&config->xdp, true, attached, master->error);
	if (r)
		return r;
	thr_reload_warn(master, config);
	thr_descriptors_raise(master, config);
	if (!thr_sandbox_exists())
		thr_log(THR_LOG_WARNING,
			"this build has a sanitizer: system calls of workers are not filtered");
	thr_log(THR_LOG_INFO, "starting: version %s, configuration %s, workers: %u", THR_VERSION,
		thr_master_has_file(master) ? master->path : "of the environment alone",
		master->worker_count);
	master->facts.start_ns = master->facts.last_good_ns = thr_clock_wall_ns();
	master->facts.last_good = true;
	r = thr_master_run(master);
	/* A reload replaces the configuration, and comes only after a good start. */
	if (master->result)
		thr_packet_undo(&config->xdp, attached);
	return r;
}

static void release(struct thr_master *master)
{
	if (master->slots)
		thr_fronts_close(master);
	free(master->slots);
	thr_state_free(master->state);
	thr_loop_free(master->loop);
	if (master->signals.fd >= 0)
		close(master->signals.fd);
	unmap_counts(master, master->counts, sizeof(*master->counts));
	unmap_counts(master, master->store_counts, sizeof(*master->store_counts));
	unmap_counts(master, master->api_counts, sizeof(*master->api_counts));
	if (master->route_counts)
		munmap(master->route_counts, thr_proxy_route_counts_size(master->worker_count));
	thr_heed_free(master);
	thr_board_free(master->board);
	thr_quotas_free(master->quotas);
	thr_memory_free(master->buckets);
	thr_generation_free(master->generation);
}

int thr_daemon_run(const char *path, struct thr_error *error)
{
	struct thr_master master = {.path = path, .signals.fd = -1, .error = error};
	int r;

	settle_in();
	r = thr_log_start();
	if (r)
		return thr_fail(error, -r, "the log: %s", strerror(-r));
	r = prepare(&master);
	if (!r)
		r = serve(&master);
	if (!r)
		thr_log(THR_LOG_INFO, "ended%s",
			master.generation->config->xdp.interface_count
				? "; the packet layer stays: 'xdp-throttle detach --dev IF' takes "
				  "it off"
				: "");
	release(&master);
	thr_log_stop(LOG_WAIT_MS);
	return r;
}
