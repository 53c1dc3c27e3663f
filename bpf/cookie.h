/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Connections by SYN cookie that have no socket yet. A card hands over packets in batches: those
 * behind the one that proves the cookie come here before the kernel has made a socket of it, and
 * nothing in them tells where in the stream they are. They are dropped and come again, unless
 * what came with the cookie has passed, as nearly all of a friend's does.
 */
#ifndef TTGATE_COOKIE_H
#define TTGATE_COOKIE_H

#include "inline_maps.h"
#include "judged.h"

/* By both ends, the sequence number behind what passed. A socket takes its place within a batch. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct endpoints);
	__type(value, __u32);
} ttgate_cookies SEC(".maps");

static __always_inline void remember_cookie(const struct segment *segment)
{
	__u32 next = segment->seq + segment->payload_bytes;

	bpf_map_update_elem(&ttgate_cookies, &segment->ends, &next, BPF_ANY);
}

static __always_inline bool is_behind_cookie(const struct segment *segment)
{
	const __u32 *next = bpf_map_lookup_elem(&ttgate_cookies, &segment->ends);

	return next && segment->seq - *next < JUDGED_SPAN;
}

#endif
