/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who the source is: the action and the policy of the longest prefix that holds
 * it, and what this CPU remembers of it.
 *
 *   recent entry of this CPU?  --yes-->  refused until later? or its standing
 *          | no
 *   summary: can any prefix hold it?  --no-->  the service's policy
 *          | maybe
 *   trie, and remember the answer
 *
 * Runs with bottom halves disabled, so what a CPU remembers has one user.
 */
#ifndef THR_SOURCE_H
#define THR_SOURCE_H

/* What the ladder asks of a packet. */
struct ask {
	__be64 source[2]; /* IPv4 as ::ffff:a.b.c.d */
	__u32 bytes;	  /* of the frame */
	__u16 port;	  /* destination; 0 where there is none */
	__u8 kinds;	  /* bit per enum thr_kind to charge */
	bool is_v6;
	bool opens;   /* a connection, by a SYN; or */
	bool returns; /* a SYN cookie, which opens one as well */
	__u8 unused[6];
};

struct ladder {
	const struct ask *ask;
	const struct thr_live *live;
	const struct thr_settings *settings;
	struct thr_recent *recent; /* the place for this source, whoever is there */
	__u64 jiffies;		   /* read before any finer clock */
	__u64 now_ns;		   /* coarse; 0 until source_find() did not know better */
	__u32 slot;
	__u32 service;
	__u32 policy; /* index; 0: the service's */
	__u32 action; /* enum thr_source_action */
	__u32 places; /* where the packet was charged so far; see limit.h */
	bool is_verified;
	bool is_budgeted; /* the packet needs a token of the service's budget */
};

static __always_inline __u32 source_service(const struct ladder *ladder)
{
	__u32 group = ladder->slot * THR_PORT_GROUPS + ladder->ask->port / 8;
	const struct thr_ports *ports = bpf_map_lookup_elem(&thr_ports, &group);

	return ports ? ports->service[ladder->ask->port % 8] : 0;
}

/* --- what this CPU remembers --- */

static __always_inline struct thr_recent *source_place(const struct ladder *ladder)
{
	const __be64 *source = ladder->ask->source;
	__u64 mixed = source[0] ^ (source[1] << 1 | source[1] >> 63) ^ ladder->service;
	__u32 place = mixed * 0x9E3779B97F4A7C15ULL >> 52;

	_Static_assert(THR_RECENT_MAX == 1 << (64 - 52), "place covers the array");
	return bpf_map_lookup_elem(&thr_recent, &place);
}

static __always_inline bool source_is_recent(const struct ladder *ladder)
{
	const struct thr_recent *recent = ladder->recent;

	return recent && recent->source[1] == ladder->ask->source[1] &&
	       recent->source[0] == ladder->ask->source[0] && recent->service == ladder->service &&
	       recent->is_v6 == ladder->ask->is_v6 &&
	       recent->generation == ladder->settings->generation;
}

static __always_inline void source_remember(const struct ladder *ladder)
{
	struct thr_recent *recent = ladder->recent;

	if (!recent)
		return;
	recent->source[0] = ladder->ask->source[0];
	recent->source[1] = ladder->ask->source[1];
	recent->generation = ladder->settings->generation;
	recent->service = ladder->service;
	recent->is_v6 = ladder->ask->is_v6;
	recent->policy = ladder->policy;
	recent->action = ladder->action;
	recent->kinds = 0;
}

/*
 * Remember that packets of `kind` are refused for `wait` ticks from now on. The
 * jiffies that end by then are those below the sum, unless the kernel is late to
 * count one: then the refusal lasts longer by as much. A taking's size matters
 * for bytes, so that kind is not remembered; nor are returned cookies, which are counted
 * apart from SYNs.
 *
 * A debt shrinks early only where another CPU gives back what it took in this
 * very moment; SOURCE_REMEMBER_NS bounds what that can cost a source.
 */
#define SOURCE_REMEMBER_NS 1000000000ULL

static __always_inline void source_remember_refusal(const struct ladder *ladder, __u32 kind,
						    __u32 reason, __u64 wait)
{
	__u64 jiffy_ns = ladder->live->jiffy_ns;
	__u64 wait_ns = wait >> THR_TICK_SHIFT;

	if (!ladder->recent || !jiffy_ns || kind == THR_BYTES || ladder->ask->returns)
		return;
	if (wait_ns > SOURCE_REMEMBER_NS)
		wait_ns = SOURCE_REMEMBER_NS;
	source_remember(ladder);
	ladder->recent->until = ladder->jiffies + wait_ns / jiffy_ns;
	ladder->recent->kinds = 1u << kind;
	ladder->recent->reason = reason;
}

/* --- the tables --- */

static __always_inline bool source_summary_has(__u32 slot, __u32 half, __u32 bit)
{
	__u32 word = slot * THR_SUMMARY_WORDS + half + (bit >> 6);
	const __u64 *bits = bpf_map_lookup_elem(&thr_summary, &word);

	return bits && *bits >> (bit & 63) & 1;
}

/* Whether some prefix may hold the source. */
static __always_inline bool source_may_be_listed(const struct ladder *ladder)
{
	__u32 flags = ladder->settings->flags;
	__u32 slot = ladder->slot;
	__u64 high;

	if (!ladder->ask->is_v6) {
		__u32 v4 = (__u32)bpf_be64_to_cpu(ladder->ask->source[1]);

		return flags & THR_SOURCES_V4 &&
		       source_summary_has(slot, 0, v4 >> (32 - THR_SUMMARY_BITS_LOG2));
	}
	high = bpf_be64_to_cpu(ladder->ask->source[0]);
	return (flags & THR_SOURCES_V6_SHORT &&
		source_summary_has(slot, THR_SUMMARY_HALF, thr_summary_v6_bit(high, 16))) ||
	       (flags & THR_SOURCES_V6_32 &&
		source_summary_has(slot, THR_SUMMARY_HALF, thr_summary_v6_bit(high, 32))) ||
	       (flags & THR_SOURCES_V6_48 &&
		source_summary_has(slot, THR_SUMMARY_HALF, thr_summary_v6_bit(high, 48)));
}

/* Set the ladder's policy and action from the trie. */
static __always_inline void source_look_up(struct ladder *ladder)
{
	struct thr_source_key key = {
		.prefixlen = THR_SOURCE_TAG_BITS + 128,
		.tag = THR_SOURCE_TAG(ladder->slot, ladder->ask->is_v6),
	};
	const struct thr_source *source;

	__builtin_memcpy(key.address, ladder->ask->source, sizeof(key.address));
	source = bpf_map_lookup_elem(&thr_sources, &key);
	if (source) {
		ladder->policy = source->policy;
		ladder->action = source->action;
	}
	source_remember(ladder);
}

/* --- the sets of sources that are verified, or blocked, for a while --- */

static __always_inline void source_set_id(const struct ask *ask,
					  const struct thr_settings *settings,
					  struct thr_source_id *id)
{
	id->source[0] = ask->source[0];
	id->source[1] = ask->source[1];
	id->is_v6 = ask->is_v6;
	id->unused = 0;
	if (ask->is_v6) {
		id->source[0] &= settings->v6_source_mask[0];
		id->source[1] &= settings->v6_source_mask[1];
	}
}

/* Whether thr_verified or thr_blocked has the source, of whose entries none is in
 * force from `until_ns` on. */
static __always_inline bool source_is_in(const struct ladder *ladder, void *map, __u64 until_ns)
{
	const struct thr_expiry *entry;
	struct thr_source_id id;

	if (ladder->now_ns >= until_ns)
		return false;
	source_set_id(ladder->ask, ladder->settings, &id);
	entry = bpf_map_lookup_elem(map, &id);
	return entry && ladder->now_ns < entry->until_ns;
}

static __always_inline bool source_is_blocked(const struct ladder *ladder)
{
	return source_is_in(ladder, &thr_blocked, ladder->live->blocked_until_ns);
}

static __always_inline bool source_is_verified(const struct ladder *ladder)
{
	return source_is_in(ladder, &thr_verified, ladder->live->verified_until_ns);
}

/*
 * Find the source's standing: sets the ladder's service, policy, action and
 * clocks. Returns 0, or the reason for which the source is still refused.
 */
static __always_inline int source_find(struct ladder *ladder)
{
	ladder->jiffies = clock_jiffies();
	ladder->service = source_service(ladder);
	ladder->recent = source_place(ladder);
	ladder->policy = 0;
	ladder->action = THR_SOURCE_LIMIT;
	if (source_is_recent(ladder)) {
		const struct thr_recent *recent = ladder->recent;

		if (recent->kinds & ladder->ask->kinds && !ladder->ask->returns &&
		    ladder->jiffies < recent->until)
			return recent->reason;
		ladder->policy = recent->policy;
		ladder->action = recent->action;
	} else if (source_may_be_listed(ladder)) {
		source_look_up(ladder);
	}
	ladder->now_ns = clock_coarse_ns();
	return 0;
}

#endif
