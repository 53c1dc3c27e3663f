/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The maps of the program, kernel side only; ttgate.h and docs/map.md describe what is in
 * them. User space may put maps of its own (pinned, or the operator's) in their place.
 */
#ifndef TTGATE_MAPS_H
#define TTGATE_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "ttgate.h"

/* Not preallocated: a million places cost memory only when they are taken. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1048576);
	__type(key, struct ban_key);
	__type(value, struct ban);
} ttgate_bans SEC(".maps");

/* The trie knows no other way than BPF_F_NO_PREALLOC. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct cidr_key);
	__type(value, struct ban);
} ttgate_cidr SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} ttgate_settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OUTCOME_COUNT);
	__type(key, __u32);
	__type(value, struct counter);
} ttgate_counters SEC(".maps");

/*
 * The documented map that an operator makes: IPv4 address in network byte order, time of the
 * end in seconds, or with 8 bytes in nanoseconds, of CLOCK_BOOTTIME; 0 or 1 is without an end.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __be32);
	__type(value, __u32);
} ipv4_bans SEC(".maps");

#endif
