/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Connections whose first bytes the judge saw: it notes them here, and observer.bpf.c, which knows
 * nothing else of the judge, looks them up. By both ends and the number of the first byte, so that
 * a later connection between the same ends is another one.
 *
 * Only proven connections get in. The observer looks within a second or two of a connection's
 * first bytes, so that the oldest may make room. A hash of each, in a set of few that take two
 * lines of the cache: an update of a map by key costs ten times as much, for every connection.
 */
#ifndef TTGATE_SEEN_H
#define TTGATE_SEEN_H

#include <stdbool.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#define SEEN_BITS 15
/* With so many connections within a second or two, one in ten thousand is pushed out. */
#define SEEN_SETS (1 << SEEN_BITS)
#define SEEN_WAYS 7

/* Addresses and ports in network byte order, IPv4 as v4-mapped. */
struct seen_key {
	__u64 source[2], destination[2];
	__be16 source_port, destination_port;
	__u32 first; /* sequence number of the first byte */
};

_Static_assert(sizeof(struct seen_key) == 40, "seen_key");

struct seen_set {
	__u64 added; /* so many times; behind the last set: what hashes are multiplied by */
	__u64 hashes[SEEN_WAYS]; /* never 0 */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SEEN_SETS + 1);
	__type(key, __u32);
	__type(value, struct seen_set);
} ttgate_seen SEC(".maps");

/*
 * Of these maps, random and odd, chosen by the first packet: else somebody could look for ends that
 * hash alike, one of which then vouches for the other.
 */
static __always_inline __u64 hash_factor(void)
{
	struct seen_set *last = bpf_map_lookup_elem(&ttgate_seen, &(__u32){ SEEN_SETS });
	__u64 factor;

	if (!last)
		return 1;
	factor = *(volatile __u64 *)&last->added;
	if (factor)
		return factor;
	factor = ((__u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32()) | 1;
	/* Two CPUs may, for the first packets of all: the later one stays. */
	*(volatile __u64 *)&last->added = factor;
	return *(volatile __u64 *)&last->added;
}

static __always_inline __u64 mixed(__u64 sum, __u64 factor)
{
	return (sum ^ sum >> 32) * factor;
}

/* @key: of the same layout as struct seen_key. */
static __always_inline __u64 seen_hash(const void *key)
{
	const __u64 *words = key;
	__u64 factor = hash_factor();
	__u64 sum = 0;

#pragma unroll
	for (__u32 i = 0; i < sizeof(struct seen_key) / sizeof(*words); i++)
		sum = mixed(sum + words[i], factor);
	return mixed(sum, factor) | 1;
}

static __always_inline struct seen_set *seen_set_of(__u64 hash)
{
	__u32 index = hash >> (64 - SEEN_BITS);

	return bpf_map_lookup_elem(&ttgate_seen, &index);
}

static __always_inline bool has_hash(const struct seen_set *set, __u64 hash)
{
	bool has = false;

#pragma unroll
	for (__u32 way = 0; way < SEEN_WAYS; way++)
		has |= set->hashes[way] == hash;
	return has;
}

static __always_inline bool is_seen(const void *key)
{
	__u64 hash = seen_hash(key);
	const struct seen_set *set = seen_set_of(hash);

	return set && has_hash(set, hash);
}

static __always_inline void set_seen(const void *key)
{
	__u64 hash = seen_hash(key);
	struct seen_set *set = seen_set_of(hash);

	__u64 way;

	if (!set || has_hash(set, hash))
		return;
	/* Where two CPUs do this at once, one of both is forgotten. */
	way = set->added++ % SEEN_WAYS;
	/* Else the compiler makes of it what the verifier knows no bounds of. */
	asm volatile("" : "+r"(way));
	if (way < SEEN_WAYS)
		set->hashes[way] = hash;
}

#endif
