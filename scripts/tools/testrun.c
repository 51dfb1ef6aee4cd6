/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Times XDP programs with BPF_PROG_TEST_RUN: nanoseconds of CPU time a packet.
 *
 *   testrun [--rounds N] [--slice MS] < CASES
 *
 * A case is a line of nine fields:
 *
 *   NAME NETNS DEV PROGRAM KIND SOURCE PORT BITS VERDICT
 *
 * NETNS and DEV name the interface whose throttle lends its maps: the program
 * that runs is a second copy of the one attached there, over the same tables
 * and buckets. "- -" is for programs without maps. PROGRAM is xdp_throttle,
 * vary_throttle, vary_pass, vary_drop, restored_throttle, restored_drop, empty_pass or
 * empty_drop; those that vary or restore draw the last BITS bits of the IPv4 source, or
 * of the /64 of the IPv6 source. KIND is syn, ack or udp. VERDICT, "pass", "drop", "tx"
 * or "any", is what the last run must come to: a case that does not measure what it says
 * ends the bench. A program runs in its NETNS, where it finds listeners.
 *
 * Rounds go through all cases, A B C A B C, so that what disturbs the machine
 * for a while disturbs each of them. A first round, not counted, fills caches
 * and tables, and finds out how many runs make a slice. One line for each case
 * is printed: NAME, the best and the median of the rounds, separated by tabs.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "control/instance.h"
#include "core/cleanup.h"
#include "lib/frame.h"
#include "lib/tool.h"
#include "tools/testrun.skel.h"

#define CASES_MAX 128
#define INSTANCES_MAX 16
#define ROUNDS_MAX 64
/* More packets than thr_buckets has entries, twice over. */
#define WARM_UP_RUNS (1U << 19)

struct instance {
	char netns[64], dev[16];
	int netns_fd; /* -1: none */
	struct testrun_bpf *skeleton;
};

struct testcase {
	char name[64];
	struct instance *instance;
	int program_fd;
	struct frame_spec spec;
	uint32_t vary_mask;
	uint32_t verdict; /* enum xdp_action; 0: any */
	uint32_t runs;
	double ns[ROUNDS_MAX];
};

struct bench {
	struct instance instances[INSTANCES_MAX];
	struct testcase cases[CASES_MAX];
	size_t instance_count, case_count;
	uint64_t rounds;
	uint64_t slice_ns;
};

static const char usage[] = "usage: testrun [--rounds N] [--slice MS] < CASES\n"
			    "  --rounds N   to take the best and the median of (default 7)\n"
			    "  --slice MS   time for a case in a round (default 50)\n";

/* --- a throttle's maps --- */

static void enter(const struct instance *instance)
{
	if (instance->netns_fd >= 0 && setns(instance->netns_fd, CLONE_NEWNET))
		tool_die("%s: cannot enter the network namespace: %s", instance->netns,
			 strerror(errno));
}

/* The program id of the instance's throttle, whose network namespace the caller is
 * moved into. */
static uint32_t find_throttle(struct instance *instance)
{
	const char *netns = instance->netns, *dev = instance->dev;
	char path[96];
	struct thr_occupant occupant;
	struct thr_error error;

	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	instance->netns_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (instance->netns_fd < 0)
		tool_die("%s: no such network namespace: %s", netns, strerror(errno));
	enter(instance);
	if (thr_occupant_find(if_nametoindex(dev), dev, &occupant, &error))
		tool_die("%s: %s", netns, error.text);
	if (!occupant.ours)
		tool_die("%s: %s has no xdp-throttle attached", netns, dev);
	return occupant.ours;
}

/* Let `skeleton` use the maps of program `id` in the place of its own. */
static void borrow_maps(struct testrun_bpf *skeleton, uint32_t id)
{
	int program AUTO_CLOSE = bpf_prog_get_fd_by_id(id);
	uint32_t map_ids[64];
	struct bpf_prog_info info = {.nr_map_ids = 64, .map_ids = (uintptr_t)map_ids};
	uint32_t size = sizeof(info);

	if (program < 0 || bpf_obj_get_info_by_fd(program, &info, &size))
		tool_die("cannot read program %u: %s", id, strerror(errno));
	for (uint32_t i = 0; i < info.nr_map_ids && i < 64; i++) {
		int fd AUTO_CLOSE = bpf_map_get_fd_by_id(map_ids[i]);
		struct bpf_map_info map_info = {};
		struct bpf_map *map;

		size = sizeof(map_info);
		if (fd < 0 || bpf_obj_get_info_by_fd(fd, &map_info, &size))
			tool_die("cannot read map %u: %s", map_ids[i], strerror(errno));
		map = bpf_object__find_map_by_name(skeleton->obj, map_info.name);
		if (map && !strncmp(map_info.name, "thr_", 4) && bpf_map__reuse_fd(map, fd))
			tool_die("cannot use map %s: %s", map_info.name, strerror(errno));
	}
}

static struct instance *find_instance(struct bench *bench, const char *netns, const char *dev)
{
	struct instance *instance = bench->instances;
	struct instance *end = instance + bench->instance_count;

	while (instance < end && (strcmp(instance->netns, netns) || strcmp(instance->dev, dev)))
		instance++;
	if (instance < end)
		return instance;
	if (bench->instance_count++ == INSTANCES_MAX)
		tool_usage("more than %d interfaces", INSTANCES_MAX);
	snprintf(instance->netns, sizeof(instance->netns), "%s", netns);
	snprintf(instance->dev, sizeof(instance->dev), "%s", dev);
	instance->netns_fd = -1;
	instance->skeleton = testrun_bpf__open();
	if (!instance->skeleton)
		tool_die("cannot open the programs: %s", strerror(errno));
	if (strcmp(netns, "-"))
		borrow_maps(instance->skeleton, find_throttle(instance));
	if (testrun_bpf__load(instance->skeleton))
		tool_die("cannot load the programs: %s (root? and is what is attached of this "
			 "build?)",
			 strerror(errno));
	return instance;
}

/* --- cases --- */

static uint32_t parse_verdict(const char *text)
{
	if (!strcmp(text, "any"))
		return 0;
	if (!strcmp(text, "pass"))
		return XDP_PASS;
	if (!strcmp(text, "tx"))
		return XDP_TX;
	if (strcmp(text, "drop"))
		tool_usage("%s: want the verdict pass, drop, tx or any", text);
	return XDP_DROP;
}

static void parse_case(struct bench *bench, const char *line)
{
	static const char *const destinations[] = {"192.0.2.1", "2001:db8::1"};
	char netns[64], dev[16], program[32], kind[8], source[64], verdict[8];
	struct testcase *new = &bench->cases[bench->case_count];
	const struct bpf_program *found;
	unsigned int port, bits;

	if (bench->case_count++ == CASES_MAX)
		tool_usage("more than %d cases", CASES_MAX);
	if (sscanf(line, "%63s %63s %15s %31s %7s %63s %u %u %7s", new->name, netns, dev, program,
		   kind, source, &port, &bits, verdict) != 9 ||
	    port > UINT16_MAX || bits > 24 || !frame_parse_kind(kind, &new->spec.kind) ||
	    !frame_parse_address(source, &new->spec.source))
		tool_usage("not a case: %s", line);
	frame_parse_address(destinations[new->spec.source.is_v6], &new->spec.destination);
	new->spec.source_port = 32768;
	new->spec.destination_port = (uint16_t)port;
	new->vary_mask = (1U << bits) - 1;
	new->verdict = parse_verdict(verdict);
	new->instance = find_instance(bench, netns, dev);
	found = bpf_object__find_program_by_name(new->instance->skeleton->obj, program);
	if (!found)
		tool_usage("%s: no such program", program);
	new->program_fd = bpf_program__fd(found);
}

static void read_cases(struct bench *bench)
{
	char *line AUTO_FREE = NULL;
	size_t size = 0;

	while (getline(&line, &size, stdin) > 0)
		if (*line != '\n' && *line != '#')
			parse_case(bench, line);
}

/* --- measuring --- */

/*
 * Run the case `runs` times; returns CPU nanoseconds a run. CPU time, because
 * the machine has other work. The system call's own (some 50 us) is in it, over
 * hundreds of thousands of runs.
 */
static double measure(const struct testcase *testcase, uint32_t runs)
{
	uint8_t frame[FRAME_MAX];
	size_t size = frame_build(&testcase->spec, frame);
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = (uint32_t)size,
		    .repeat = (int)runs);
	struct testrun_bpf__bss *bss = testcase->instance->skeleton->bss;
	uint32_t word;
	uint64_t start;
	int err;

	memcpy(bss->restored_frame, frame, sizeof(frame));
	bss->restored_size = (uint32_t)size;
	memcpy(&word, testcase->spec.source.bytes + (testcase->spec.source.is_v6 ? 4 : 0), 4);
	bss->vary_first = be32toh(word);
	bss->vary_mask = testcase->vary_mask;
	enter(testcase->instance);
	start = tool_cpu_ns();
	err = bpf_prog_test_run_opts(testcase->program_fd, &run);
	if (tool_stopped)
		tool_die("interrupted");
	if (err)
		tool_die("%s: cannot be run: %s", testcase->name, strerror(-err));
	if (testcase->verdict && run.retval != testcase->verdict)
		tool_die("%s: came to verdict %u, not %u", testcase->name, run.retval,
			 testcase->verdict);
	return (double)(tool_cpu_ns() - start) / runs;
}

static void measure_all(struct bench *bench)
{
	struct testcase *end = bench->cases + bench->case_count;

	for (struct testcase *at = bench->cases; at < end; at++) {
		double runs = (double)bench->slice_ns / measure(at, WARM_UP_RUNS);

		at->runs = runs < 1e8 ? (uint32_t)runs + 1 : 100000000;
	}
	for (uint64_t round = 0; round < bench->rounds; round++) {
		fprintf(stderr, "  round %llu of %llu\n", (unsigned long long)round + 1,
			(unsigned long long)bench->rounds);
		for (struct testcase *at = bench->cases; at < end; at++)
			at->ns[round] = measure(at, at->runs);
	}
}

static int compare_doubles(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static void report(struct bench *bench)
{
	for (size_t i = 0; i < bench->case_count; i++) {
		struct testcase *at = &bench->cases[i];

		qsort(at->ns, bench->rounds, sizeof(*at->ns), compare_doubles);
		printf("%s\t%.2f\t%.2f\n", at->name, at->ns[0], at->ns[bench->rounds / 2]);
	}
}

int main(int argc, char **argv)
{
	static struct bench bench = {.rounds = 7, .slice_ns = 50 * TOOL_NS_PER_MS};
	const struct tool_option options[] = {
		{"--rounds", .number = &bench.rounds, .min = 1, .max = ROUNDS_MAX},
		{"--slice", .number = &bench.slice_ns, .min = 1, .max = 1000,
		 .unit = TOOL_NS_PER_MS},
		{0},
	};

	tool_options(argc, argv, options, usage);
	libbpf_set_print(NULL); /* the errors are told here, in one line */
	read_cases(&bench);
	tool_stop_after(TOOL_SECONDS_MAX * TOOL_NS_PER_S);
	measure_all(&bench);
	report(&bench);
	for (size_t i = 0; i < bench.instance_count; i++) {
		testrun_bpf__destroy(bench.instances[i].skeleton);
		if (bench.instances[i].netns_fd >= 0)
			close(bench.instances[i].netns_fd);
	}
	return 0;
}
