/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See xdp.h. The summary is written here from its description in thr_abi.h, not
 * by the code that users of the product run, so that the two check each other. */
#include "support/xdp.h"

#include <endian.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <linux/bpf.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "support/run.h"

/* --- the program --- */

static int print_warnings(enum libbpf_print_level level, const char *format, va_list arguments)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, arguments) : 0;
}

/* Arrays that tests write as memory, and the member that points to it. */
static const struct {
	const char *map;
	size_t member;
} mapped[] = {
	{"thr_config", offsetof(struct thr_xdp, live)},
	{"thr_ports", offsetof(struct thr_xdp, ports)},
	{"thr_services", offsetof(struct thr_xdp, services)},
	{"thr_policies", offsetof(struct thr_xdp, policies)},
	{"thr_summary", offsetof(struct thr_xdp, summary)},
	{".bss", offsetof(struct thr_xdp, clock)},
};

static void **mapped_memory(struct thr_xdp *xdp, size_t i)
{
	return (void **)((char *)xdp + mapped[i].member);
}

static size_t map_size(const struct bpf_map *map)
{
	return (size_t)bpf_map__max_entries(map) * bpf_map__value_size(map);
}

static int map_arrays(struct thr_xdp *xdp)
{
	for (size_t i = 0; i < ARRAY_SIZE(mapped); i++) {
		const struct bpf_map *map =
			bpf_object__find_map_by_name(xdp->object, mapped[i].map);
		void *memory;

		if (!map) /* the clock, where the object is not the mocked one */
			continue;
		memory = mmap(NULL, map_size(map), PROT_READ | PROT_WRITE, MAP_SHARED,
			      bpf_map__fd(map), 0);
		if (memory == MAP_FAILED)
			return -errno;
		*mapped_memory(xdp, i) = memory;
	}
	return xdp->live && xdp->ports && xdp->services && xdp->policies && xdp->summary ? 0
											 : -ENOENT;
}

/* Seeds need not be drawn where nobody seeks collisions; any that are odd and differ
 * will do. */
static void set_gate(struct thr_xdp *xdp)
{
	const struct bpf_map *gate = bpf_object__find_map_by_name(xdp->object, "thr_gate");

	for (unsigned int i = 0; i < THR_SEEDS; i++)
		xdp->live->seed[i] = 0x9E3779B97F4A7C15ULL * (2 * i + 1) ^ 0x5851F42D4C957F2DULL;
	xdp->live->gate_shift = 64 - (uint32_t)__builtin_ctz(bpf_map__max_entries(gate));
}

static int find_maps(struct thr_xdp *xdp)
{
	const struct bpf_program *program =
		bpf_object__find_program_by_name(xdp->object, "xdp_throttle");

	xdp->program = program ? bpf_program__fd(program) : -1;
	xdp->sources = bpf_object__find_map_fd_by_name(xdp->object, "thr_sources");
	xdp->buckets = bpf_object__find_map_fd_by_name(xdp->object, "thr_buckets");
	xdp->stats = bpf_object__find_map_fd_by_name(xdp->object, "thr_stats");
	if (xdp->program < 0 || xdp->sources < 0 || xdp->buckets < 0 || xdp->stats < 0)
		return -ENOENT;
	return map_arrays(xdp);
}

int thr_xdp_open(const char *object, uint32_t buckets, struct thr_xdp **ret_xdp)
{
	const char *build = getenv("B");
	struct thr_xdp *xdp = calloc(1, sizeof(*xdp));
	char path[256];
	int error;

	assert_non_null(xdp);
	libbpf_set_print(print_warnings);
	snprintf(path, sizeof(path), "%s/%s", build ? build : "build", object);
	xdp->object = bpf_object__open_file(path, NULL);
	error = xdp->object ? 0 : -errno;
	if (!error && buckets)
		error = bpf_map__set_max_entries(
			bpf_object__find_map_by_name(xdp->object, "thr_buckets"), buckets);
	/* As the loader does: frames may lie in several buffers. */
	if (!error)
		bpf_program__set_flags(
			bpf_object__find_program_by_name(xdp->object, "xdp_throttle"),
			BPF_F_XDP_HAS_FRAGS);
	if (!error)
		error = bpf_object__load(xdp->object);
	if (!error)
		error = find_maps(xdp);
	if (!error)
		set_gate(xdp);
	if (error)
		thr_xdp_free(xdp);
	else
		*ret_xdp = xdp;
	return error;
}

void thr_xdp_free(struct thr_xdp *xdp)
{
	if (!xdp)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(mapped); i++)
		if (*mapped_memory(xdp, i))
			munmap(*mapped_memory(xdp, i),
			       map_size(bpf_object__find_map_by_name(xdp->object, mapped[i].map)));
	bpf_object__close(xdp->object);
	free(xdp);
}

/* What the program remembers, it remembers a CPU: stay on one. */
static void stay_here(void)
{
	cpu_set_t here;

	CPU_ZERO(&here);
	CPU_SET(sched_getcpu(), &here);
	assert_int_equal(sched_setaffinity(0, sizeof(here), &here), 0);
}

int thr_xdp_setup(void **state)
{
	struct thr_xdp *xdp;
	int error = thr_xdp_open(THR_XDP_MOCKED, 4096, &xdp);

	stay_here();
	*state = NULL;
	if (error == -EPERM)
		return 0;
	if (error || !xdp->clock)
		return -1;
	xdp->live->jiffy_ns = THR_TEST_JIFFY_NS;
	thr_xdp_advance(xdp, NS_PER_S);
	*state = xdp;
	return 0;
}

void thr_xdp_advance(struct thr_xdp *xdp, uint64_t ns)
{
	xdp->clock->now_ns += ns;
	xdp->clock->jiffies = xdp->clock->now_ns / THR_TEST_JIFFY_NS;
	xdp->clock->coarse_ns = xdp->clock->jiffies * THR_TEST_JIFFY_NS;
}

int thr_xdp_teardown(void **state)
{
	thr_xdp_free(*state);
	return 0;
}

struct thr_xdp *thr_xdp_given(void **state)
{
	if (!*state)
		THR_SKIP("needs root: the kernel refuses to load a BPF program");
	return *state;
}

/* --- tables --- */

void thr_xdp_grant(struct thr_xdp *xdp, const struct thr_grant *grant)
{
	struct thr_policy *policy = &xdp->policies[grant->slot * THR_POLICIES_MAX + grant->policy];
	struct thr_limit *limit = &policy->limit[grant->kind];
	uint32_t per_s = grant->per_s ? grant->per_s : 1;
	uint64_t interval = thr_bucket_interval(grant->rate, per_s);

	assert_true(thr_bucket_fits(interval, grant->burst));
	*limit = (struct thr_limit){
		.interval = interval,
		.window = thr_bucket_ticks(interval, grant->burst),
		.rate = grant->rate,
		.burst = grant->burst,
		.per_s = per_s,
		.scope = grant->scope,
	};
	xdp->live->slot[grant->slot].kinds |= 1u << grant->kind;
}

static void summary_set(struct thr_xdp *xdp, uint32_t slot, uint32_t half, uint32_t bit)
{
	xdp->summary[slot * THR_SUMMARY_WORDS + half + bit / 64] |= 1ULL << bit % 64;
}

static void summarize_v4(struct thr_xdp *xdp, uint32_t slot, uint32_t address, uint32_t bits)
{
	uint32_t groups = bits < 22 ? 1u << (22 - bits) : 1;

	for (uint32_t i = 0; i < groups; i++)
		summary_set(xdp, slot, 0, (address >> 10) + i);
	xdp->live->slot[slot].flags |= THR_SOURCES_V4;
}

static void summarize_v6(struct thr_xdp *xdp, uint32_t slot, uint64_t high, uint32_t bits)
{
	uint32_t level = bits >= 48 ? 48 : bits >= 32 ? 32 : 16;
	uint32_t groups = bits < 16 ? 1u << (16 - bits) : 1;

	for (uint64_t i = 0; i < groups; i++)
		summary_set(xdp, slot, THR_SUMMARY_HALF,
			    thr_summary_v6_bit(high + (i << 48), level));
	xdp->live->slot[slot].flags |= level == 48   ? THR_SOURCES_V6_48
				       : level == 32 ? THR_SOURCES_V6_32
						     : THR_SOURCES_V6_SHORT;
}

void thr_xdp_list(struct thr_xdp *xdp, const struct thr_listing *listing)
{
	const struct thr_source source = {.policy = listing->policy,
					  .own_policy = listing->policy,
					  .action = listing->action,
					  .own_action = listing->action};
	struct thr_source_key key = {0};
	struct in6_addr address;
	char text[64];
	uint64_t half[2];
	uint32_t bits;
	bool is_v6;

	assert_int_equal(sscanf(listing->prefix, "%63[^/]/%u", text, &bits), 2);
	thr_packet_address(text, &address);
	is_v6 = strchr(text, ':') != NULL;
	key.prefixlen = THR_SOURCE_TAG_BITS + bits + (is_v6 ? 0 : 96);
	key.tag = THR_SOURCE_TAG(listing->slot, is_v6);
	memcpy(key.address, &address, sizeof(key.address));
	assert_int_equal(bpf_map_update_elem(xdp->sources, &key, &source, BPF_ANY), 0);
	memcpy(half, &address, sizeof(half));
	if (is_v6)
		summarize_v6(xdp, listing->slot, be64toh(half[0]), bits);
	else
		summarize_v4(xdp, listing->slot, (uint32_t)be64toh(half[1]), bits);
}

void thr_xdp_serve(struct thr_xdp *xdp, uint32_t slot, uint16_t port, uint8_t service)
{
	xdp->ports[slot * THR_PORT_GROUPS + port / 8].service[port % 8] = service;
}

void thr_xdp_publish(struct thr_xdp *xdp, uint32_t slot, enum thr_action action)
{
	static uint32_t generation;
	struct thr_settings *settings = &xdp->live->slot[slot];

	settings->action = action;
	settings->generation = ++generation;
	if (!settings->v6_source_mask[0])
		settings->v6_source_mask[0] = ~0ULL;
	xdp->live->version = THR_ABI_VERSION;
	__atomic_store_n(&xdp->live->active, slot, __ATOMIC_RELEASE);
}

/* --- packets --- */

/* The kernel repeats a run by itself only after it has waited for RCU, some ten
 * milliseconds: until then it is cheaper to ask again. */
#define REPEAT_PAYS 10000

int thr_xdp_run(struct thr_xdp *xdp, const struct thr_frame *frame, uint32_t repeat)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame->bytes,
		    .data_size_in = frame->size, .repeat = repeat);
	uint32_t calls = 1;
	int error = 0;

	if (repeat < REPEAT_PAYS) {
		options.repeat = 1;
		calls = repeat;
	}
	while (calls-- && !error)
		error = bpf_prog_test_run_opts(xdp->program, &options);
	return error ? error : (int)options.retval;
}

static int run_once(struct thr_xdp *xdp, const struct thr_frame *frame, struct thr_frame *ret_after)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame->bytes,
		    .data_size_in = frame->size, .data_out = ret_after->bytes,
		    .data_size_out = sizeof(ret_after->bytes), .repeat = 1);

	assert_int_equal(bpf_prog_test_run_opts(xdp->program, &options), 0);
	ret_after->size = options.data_size_out;
	return (int)options.retval;
}

enum thr_reason thr_xdp_exchange(struct thr_xdp *xdp, const struct thr_frame *frame,
				 struct thr_frame *ret_after)
{
	enum thr_reason found = THR_REASON_NONE;
	struct thr_tally before, after;
	uint64_t moved = 0;
	int verdict;
	bool withholds;

	thr_xdp_tally(xdp, &before);
	verdict = run_once(xdp, frame, ret_after);
	thr_xdp_tally(xdp, &after);
	for (int reason = 0; reason < THR_REASON_COUNT; reason++) {
		uint64_t more = after.of[reason].packets - before.of[reason].packets;

		moved += more;
		if (more)
			found = reason;
	}
	assert_int_equal(moved, 1);
	withholds = found >= THR_REASON_FIRST_ANSWERED &&
		    xdp->live->slot[xdp->live->active].action == THR_ACTION_ENFORCE;
	if (withholds)
		assert_int_equal(verdict, found < THR_REASON_FIRST_DROP ? XDP_TX : XDP_DROP);
	else
		assert_int_equal(verdict, XDP_PASS);
	return found;
}

enum thr_reason thr_xdp_send(struct thr_xdp *xdp, const struct thr_layer *layers)
{
	struct thr_frame frame, after;

	thr_frame_build(layers, &frame);
	return thr_xdp_exchange(xdp, &frame, &after);
}

uint64_t thr_xdp_offer(struct thr_xdp *xdp, const struct thr_layer *layers, uint32_t count)
{
	struct thr_tally before;
	struct thr_frame frame;

	thr_frame_build(layers, &frame);
	thr_xdp_tally(xdp, &before);
	assert_true(thr_xdp_run(xdp, &frame, count) >= 0);
	return thr_xdp_passed_since(xdp, &before);
}

/* --- counters --- */

void thr_xdp_tally(const struct thr_xdp *xdp, struct thr_tally *ret_tally)
{
	int cpus = libbpf_num_possible_cpus();
	struct thr_count counts[cpus];

	*ret_tally = (struct thr_tally){0};
	for (uint32_t reason = 0; reason < THR_REASON_COUNT; reason++) {
		struct thr_count *sum = &ret_tally->of[reason];

		assert_int_equal(bpf_map_lookup_elem(xdp->stats, &reason, counts), 0);
		for (int cpu = 0; cpu < cpus; cpu++) {
			sum->packets += counts[cpu].packets;
			sum->dropped += counts[cpu].dropped;
		}
	}
}

uint64_t thr_xdp_passed_since(const struct thr_xdp *xdp, const struct thr_tally *before)
{
	struct thr_tally now;
	uint64_t passed = 0;

	thr_xdp_tally(xdp, &now);
	for (int reason = 0; reason < THR_REASON_FIRST_ANSWERED; reason++)
		passed += now.of[reason].packets - before->of[reason].packets;
	return passed;
}

/* --- sources that stand out, and budgets --- */

void thr_xdp_mark(struct thr_xdp *xdp, const char *map, const char *address, uint64_t ns)
{
	const struct thr_settings *settings = &xdp->live->slot[xdp->live->active];
	const struct thr_expiry entry = {.until_ns = xdp->clock->now_ns + ns};
	__u64 *latest = strcmp(map, "thr_verified") == 0 ? &xdp->live->verified_until_ns
							 : &xdp->live->blocked_until_ns;
	struct thr_source_id id = {.is_v6 = strchr(address, ':') != NULL};
	struct in6_addr mapped_address;

	thr_packet_address(address, &mapped_address);
	memcpy(id.source, &mapped_address, sizeof(id.source));
	for (int i = 0; i < 2 && id.is_v6; i++)
		id.source[i] &= settings->v6_source_mask[i];
	if (*latest < entry.until_ns)
		*latest = entry.until_ns;
	assert_int_equal(bpf_map_update_elem(bpf_object__find_map_fd_by_name(xdp->object, map), &id,
					     &entry, BPF_ANY),
			 0);
}

void thr_xdp_set_budget(struct thr_xdp *xdp, const struct thr_test_budget *budget)
{
	uint32_t index = budget->slot * (THR_SERVICES_MAX + 1) + budget->service;
	uint64_t interval = thr_bucket_interval(budget->rate, 1);

	xdp->services[index].on_overload = budget->on_overload;
	xdp->services[index].new_sources = (struct thr_limit){
		.interval = interval,
		.window = thr_bucket_ticks(interval, budget->burst),
	};
	xdp->live->slot[budget->slot].flags |= THR_HAS_BUDGETS;
}

uint32_t thr_xdp_own_buckets(const struct thr_xdp *xdp)
{
	struct thr_bucket_key key;
	const void *last = NULL;
	uint32_t count = 0;

	for (; bpf_map_get_next_key(xdp->buckets, last, &key) == 0; last = &key)
		count++;
	return count;
}
