/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Connections whose first bytes the judge saw: it notes them here, and observer.bpf.c, which knows
 * nothing else of the judge, looks them up. By both ends and the number of the first byte, so that
 * a later connection between the same ends is another one.
 *
 * Only proven connections get in. The observer looks within a second or two of a connection's
 * first bytes, so that the oldest may make room.
 */
#ifndef TTGATE_SEEN_H
#define TTGATE_SEEN_H

#include <linux/types.h>
#include <bpf/bpf_helpers.h>

/* Addresses and ports in network byte order, IPv4 as v4-mapped. */
struct seen_key {
	__u64 source[2], destination[2];
	__be16 source_port, destination_port;
	__u32 first; /* sequence number of the first byte */
};

_Static_assert(sizeof(struct seen_key) == 40, "seen_key");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, struct seen_key);
	__type(value, __u8);
} ttgate_seen SEC(".maps");

/* @key: of the same layout as struct seen_key. */
static __always_inline void set_seen(const void *key)
{
	const __u8 seen = 1;

	bpf_map_update_elem(&ttgate_seen, key, &seen, BPF_ANY);
}

#endif
