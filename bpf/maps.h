/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The maps. What each holds, and how a table is swapped, is in thr_abi.h.
 *
 * No map is pinned: user space finds them through the program that is attached
 * to the interface. Tables that are plain arrays can be mapped into user
 * space, where a new table is written without a system call an entry.
 */
#ifndef THR_MAPS_H
#define THR_MAPS_H

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct thr_live);
} thr_config SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, THR_SLOTS *THR_PORT_GROUPS);
	__type(key, __u32);
	__type(value, struct thr_ports);
} thr_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, THR_SLOTS *(THR_SERVICES_MAX + 1));
	__type(key, __u32);
	__type(value, struct thr_service);
} thr_services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, THR_SLOTS *THR_POLICIES_MAX);
	__type(key, __u32);
	__type(value, struct thr_policy);
} thr_policies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, THR_SLOTS *THR_SUMMARY_WORDS);
	__type(key, __u32);
	__type(value, __u64);
} thr_summary SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, THR_SLOTS *THR_SOURCES_MAX);
	__type(key, struct thr_source_key);
	__type(value, struct thr_source);
} thr_sources SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, THR_RECENT_MAX);
	__type(key, __u32);
	__type(value, struct thr_recent);
} thr_recent SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, THR_GATE_CELLS);
	__type(key, __u32);
	__type(value, struct thr_cell);
} thr_gate SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, THR_BUCKETS_MAX);
	__type(key, struct thr_bucket_key);
	__type(value, struct thr_bucket);
} thr_buckets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, THR_SERVICES_MAX + 1);
	__type(key, __u32);
	__type(value, struct thr_budget);
} thr_budgets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, THR_VERIFIED_MAX);
	__type(key, struct thr_source_id);
	__type(value, struct thr_expiry);
} thr_verified SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, THR_BLOCKED_MAX);
	__type(key, struct thr_source_id);
	__type(value, struct thr_expiry);
} thr_blocked SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, THR_REASONS_MAX);
	__type(key, __u32);
	__type(value, struct thr_count);
} thr_stats SEC(".maps");

#endif
