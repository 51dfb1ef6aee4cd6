/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the XDP program and user space share: the keys and values of the maps.
 *
 * Tables are kept twice, in slot 0 and slot 1 of every map that holds a table.
 * User space writes the slot that is not in use and then stores
 * thr_config.active, one aligned word: a packet reads that word once and sees
 * all of the old tables or all of the new ones. Buckets and counters are not
 * tables; they stay.
 *
 * All-zero maps mean: pass everything, count it.
 */
#ifndef THR_ABI_H
#define THR_ABI_H

#include <linux/types.h>

/* Raised with every change to this file that another version cannot read. */
#define THR_ABI_VERSION 2

#define THR_SLOTS 2
#define THR_SERVICES_MAX 255	   /* service 0 is every port that no service names */
#define THR_POLICIES_MAX 16384	   /* distinct limits in one table */
#define THR_SOURCES_MAX (1U << 19) /* source prefixes in one table */
#define THR_RECENT_MAX 4096	   /* per CPU */

/* Entries of the maps that the loader may give another size (xdp.tables). */
#define THR_GATE_CELLS (1U << 20) /* a power of two */
#define THR_BUCKETS_MAX (1U << 18)
#define THR_VERIFIED_MAX (1U << 16)
#define THR_BLOCKED_MAX (1U << 16)

/* What a limit counts. */
enum thr_kind { THR_CONNECTIONS, THR_PACKETS, THR_BYTES, THR_KINDS };

enum thr_action {
	THR_ACTION_OFF, /* no table was applied yet */
	THR_ACTION_ENFORCE,
	THR_ACTION_MONITOR, /* count what would drop, drop nothing */
};

/* What becomes of a new connection that the budget for new sources does not cover. */
enum thr_overload { THR_OVERLOAD_DROP, THR_OVERLOAD_PASS, THR_OVERLOAD_CHALLENGE };

/* A limit, wherever there is one. */
struct thr_limit {
	__u64 interval; /* of one token, 2^-20 ns (thr_bucket_interval()); 0: no limit */
	__u64 window;	/* ticks that a burst takes to come back */
	__u64 rate;	/* tokens in per_s seconds, and */
	__u64 burst;	/* tokens of a full bucket: as the user wrote them */
	__u32 per_s;
	__u32 scope; /* THR_SCOPE_*, see thr_policies */
};
_Static_assert(sizeof(struct thr_limit) == 40, "thr_limit is an ABI");

/* --- thr_config: array of one --- */

enum thr_flag {
	THR_DROP_MALFORMED = 1 << 0, /* reasons of the UNPARSED part drop */
	THR_DROP_FRAGMENTS = 1 << 1, /* fragments after the first drop */
	/* Which levels of the summary have prefixes; see thr_summary. */
	THR_SOURCES_V4 = 1 << 2,
	THR_SOURCES_V6_SHORT = 1 << 3, /* under /32 */
	THR_SOURCES_V6_32 = 1 << 4,    /* /32 to /47 */
	THR_SOURCES_V6_48 = 1 << 5,    /* /48 and longer */
	THR_HAS_BUDGETS = 1 << 6,      /* some service has a budget for new sources, */
	THR_HAS_CHALLENGES = 1 << 7,   /* and some challenges beyond it */
};
#define THR_SOURCES_V6 (THR_SOURCES_V6_SHORT | THR_SOURCES_V6_32 | THR_SOURCES_V6_48)
#define THR_SOURCES_ANY (THR_SOURCES_V4 | THR_SOURCES_V6)

struct thr_settings {
	__u32 action;		  /* enum thr_action */
	__u32 kinds;		  /* bit per enum thr_kind that some limit of this table has */
	__u32 flags;		  /* enum thr_flag */
	__u32 generation;	  /* of this table: one more than the last table's, never 0 */
	__be64 v6_source_mask[2]; /* the part of an IPv6 address that is one source */
};

#define THR_FALLBACKS_MAX 16

/* An interface that was to be attached in native mode and could not. */
struct thr_fallback {
	__u32 interface; /* index; 0: no entry */
	__s32 error;	 /* errno of the attempt */
};

/* Words of a bucket's key, and one for the sum; see bpf/gate.h. */
#define THR_SEEDS 6

/* What a SYN-ACK that carries a cookie may offer, from the sysctls of the network
 * namespace. */
struct thr_offer {
	__u8 timestamps; /* without them the next two cannot be offered */
	__u8 sack;
	__u8 window_scale; /* that the kernel will choose; 255: none */
	__u8 unused[5];
};

/* A sysctl that was changed for the challenge. */
struct thr_sysctl_change {
	__s32 was; /* its value before */
	__s32 is;  /* what it was set to; 0: it was not changed */
};
enum thr_sysctl { THR_SYSCTL_SYNCOOKIES, THR_SYSCTL_TIMESTAMPS, THR_SYSCTLS };

struct thr_live {
	__u32 version;	/* THR_ABI_VERSION; 0 until a table was applied */
	__u32 active;	/* the slot that is in force */
	__u64 jiffy_ns; /* length of a timer tick; 0: unknown, remember no refusal */
	struct thr_settings slot[THR_SLOTS];
	__u64 seed[THR_SEEDS]; /* random, drawn before the first table is in force */
	__u32 gate_shift;      /* 64 less log2 of the entries of thr_gate */
	struct thr_offer offer;
	struct thr_limit promotion; /* on new entries of thr_buckets; see bpf/limit.h */
	/* Monotonic times before which an entry of these maps may be in force. */
	__u64 blocked_until_ns, verified_until_ns;
	__u64 challenged_until; /* jiffies before which an ACK may answer a challenge */
	/* The rest is user space's own. */
	struct thr_sysctl_change sysctl[THR_SYSCTLS];
	__u32 stale[THR_SLOTS]; /* thr_sources may hold entries of a table not in force */
	struct thr_fallback fallback[THR_FALLBACKS_MAX];
};
_Static_assert(sizeof(struct thr_settings) == 32, "thr_settings is an ABI");
_Static_assert(sizeof(struct thr_live) == 360, "thr_live is an ABI");

/* --- thr_policies: array, slot * THR_POLICIES_MAX + index --- */

/*
 * Whose bucket a limit charges. For each source there is one bucket of the
 * default, one of each service, and one of the source prefix that limits it,
 * over all services. A shared prefix has one for all its sources, and so has
 * each prefix of a tier. An IPv6 prefix longer than what counts as one source
 * is a source of its own (narrow).
 */
#define THR_SCOPE_SERVICE 0x000000u /* | service; 0 is the default */
#define THR_SCOPE_PREFIX 0x010000u
#define THR_SCOPE_SHARED 0x020000u /* | address bits << 8 */
#define THR_SCOPE_TIER 0x040000u   /* | address bits << 8 | service */
#define THR_SCOPE_NARROW 0x080000u /* | address bits << 8 */
#define THR_SCOPE_COOKIE 0x100000u /* with any of them: returned SYN cookies, apart from SYNs */
#define THR_SCOPE_WIDE (THR_SCOPE_SHARED | THR_SCOPE_TIER)
#define THR_SCOPE_HAS_BITS (THR_SCOPE_WIDE | THR_SCOPE_NARROW)
#define THR_SCOPE_BITS(scope) ((scope) >> 8 & 0xff)

/* Index 0 is the default, 1 to THR_SERVICES_MAX are the services (what a source
 * gets there where no prefix says otherwise); the rest follow in any order. */
#define THR_POLICY_FIRST_FREE (THR_SERVICES_MAX + 1)

struct thr_policy {
	struct thr_limit limit[THR_KINDS];
	__u64 unused;
};
_Static_assert(sizeof(struct thr_policy) == 128, "thr_policy is an ABI");

/* --- thr_services: array, slot * (THR_SERVICES_MAX + 1) + service --- */

struct thr_service {
	char name[32];	   /* NUL-terminated; empty: no such service */
	__u32 tier[2];	   /* index of the limits of each IPv4 and each IPv6 prefix; 0: none */
	__u32 own_policy;  /* index of what the service itself states; 0: nothing */
	__u32 on_overload; /* enum thr_overload */
	/* The budget for connections of new sources, all together; its scope is unused. */
	struct thr_limit new_sources;
	__u64 unused;
};
_Static_assert(sizeof(struct thr_service) == 96, "thr_service is an ABI");

/* --- thr_budgets: array, by service --- */

/* Buckets that all sources of a service share, each in a cache line of its own. The
 * number of no service has the budget for entries of thr_buckets. */
#define THR_BUDGET_PROMOTION 0
struct thr_budget {
	__u64 tat; /* see thr_bucket.h */
	__u64 unused[7];
};
_Static_assert(sizeof(struct thr_budget) == 64, "thr_budget is an ABI");

/* --- thr_ports: array, slot * THR_PORT_GROUPS + port / 8 --- */

#define THR_PORT_GROUPS 8192
struct thr_ports {
	__u8 service[8]; /* by port % 8 */
};

/* --- thr_sources: LPM trie --- */

enum thr_source_action { THR_SOURCE_LIMIT, THR_SOURCE_ALLOW, THR_SOURCE_DENY };

/* Slot and family lead the key, so that both slots share one trie and an IPv6
 * prefix such as ::/0 does not hold IPv4 sources, which are kept v4-mapped. */
#define THR_SOURCE_TAG(slot, is_v6) ((slot) << 1 | (is_v6))
#define THR_SOURCE_TAG_BITS 32

struct thr_source_key {
	__u32 prefixlen; /* THR_SOURCE_TAG_BITS + bits of the mapped address */
	__u32 tag;
	__u8 address[16];
};

/*
 * `action` and `policy` are in force: where an entry does not state its own,
 * those of the prefix around it. `own_*` are what the entry itself states.
 */
struct thr_source {
	__u32 policy; /* index; 0: the service's */
	__u32 own_policy;
	__u8 action; /* enum thr_source_action */
	__u8 own_action;
	__u8 unused[6];
};
_Static_assert(sizeof(struct thr_source_key) == 24, "thr_source_key is an ABI");
_Static_assert(sizeof(struct thr_source) == 16, "thr_source is an ABI");

/* --- thr_summary: array of words, slot * THR_SUMMARY_WORDS + word --- */

/*
 * One bit for a group of addresses: clear when no prefix of thr_sources can
 * hold any of them, so that most sources never enter the trie. IPv4 by its
 * first 22 bits; IPv6 by a hash of its first 16, 32 and 48 bits, each for the
 * prefixes that are no shorter (enum thr_flag says which are in use).
 */
#define THR_SUMMARY_BITS_LOG2 22
#define THR_SUMMARY_HALF (1U << (THR_SUMMARY_BITS_LOG2 - 6)) /* words: IPv4, then IPv6 */
#define THR_SUMMARY_WORDS (2 * THR_SUMMARY_HALF)

/* The IPv6 bit for the first `bits` (16, 32 or 48) of an address whose first
 * eight bytes, in host order, are `high`. The multiplier is 2^64 divided by
 * the golden ratio (Knuth, TAOCP 6.4). */
static inline __u32 thr_summary_v6_bit(__u64 high, __u32 bits)
{
	__u64 group = (high >> (64 - bits)) + ((__u64)bits << 56);

	return (__u32)(group * 0x9E3779B97F4A7C15ULL >> (64 - THR_SUMMARY_BITS_LOG2));
}

/* --- thr_recent: per-CPU array, direct-mapped by a hash of source and service --- */

/*
 * What this CPU remembers of a source that came by lately: the answer of the
 * trie, and until when the source is refused, whatever it sends. A bucket's
 * debt does not shrink before that moment, so a flood from one source is
 * refused without asking the bucket again.
 */
struct thr_recent {
	__be64 source[2];
	__u32 generation; /* of the table that answered; 0: empty */
	__u16 service;
	__u16 is_v6;
	__u32 policy;
	__u32 action;
	__u64 until; /* jiffies; packets of `kinds` are refused for `reason` before it */
	__u32 kinds;
	__u32 reason;
};
_Static_assert(sizeof(struct thr_recent) == 48, "thr_recent is an ABI");

/* --- thr_gate: array, by a seeded hash of a bucket's key and kind --- */

/* A bucket that every source whose hash leads here charges, and whose it is; see
 * bpf/gate.h. */
struct thr_cell {
	__u64 tat;   /* see thr_bucket.h */
	__u64 owner; /* hash of the only bucket in it; 0: of several, or none */
};
_Static_assert(sizeof(struct thr_cell) == 16, "thr_cell is an ABI");

/* --- thr_buckets: LRU hash --- */

struct thr_bucket_key {
	__be64 source[2]; /* masked to what shares the bucket */
	__u32 scope;	  /* THR_SCOPE_* */
	__u32 is_v6;	  /* tells ::ffff:192.0.2.1 in an IPv6 header from 192.0.2.1 */
};

struct thr_bucket {
	__u64 tat[THR_KINDS]; /* see thr_bucket.h */
};
_Static_assert(sizeof(struct thr_bucket_key) == 24, "thr_bucket_key is an ABI");
_Static_assert(sizeof(struct thr_bucket) == 24, "thr_bucket is an ABI");

/* --- thr_verified and thr_blocked: LRU hashes --- */

/* One source, the address masked to what counts as one. */
struct thr_source_id {
	__be64 source[2]; /* IPv4 as ::ffff:a.b.c.d */
	__u32 is_v6;
	__u32 unused;
};

/* Only who has shown that it is no spoofed address gets an entry: who completed a
 * handshake with a SYN cookie or has a connection (thr_verified, written by the XDP
 * program), or who spoke HTTP with the proxy (both, written by user space). */
struct thr_expiry {
	__u64 until_ns; /* monotonic; the entry is void from then on */
};
/* The lowest bit of until_ns: a verified source's time was ended early, by the program. */
#define THR_EXPIRY_ENDED 1ULL
_Static_assert(sizeof(struct thr_source_id) == 24, "thr_source_id is an ABI");
_Static_assert(sizeof(struct thr_expiry) == 8, "thr_expiry is an ABI");

/* How long a source stays verified that showed itself now: 10 minutes. */
#define THR_VERIFIED_NS 600000000000ULL

/* --- thr_stats: per-CPU array, by enum thr_reason --- */

struct thr_count {
	__u64 packets; /* that came to this reason */
	__u64 dropped; /* of them, or answered: 0 for a reason that passes, or under monitor */
};
_Static_assert(sizeof(struct thr_count) == 16, "thr_count is an ABI");

#endif
