/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Connections by SYN cookie that have no socket yet. A card hands over packets by the dozen: those
 * behind the one that proves the cookie come here before the kernel has made a socket of it, and
 * nothing in them tells where in the stream they are. They wait, unless what came first decided.
 */
#ifndef TTGATE_COOKIE_H
#define TTGATE_COOKIE_H

#include "inline_maps.h"
#include "judged.h"

/* Of both ends. Each entry cost a cookie; a socket takes its place within a batch of packets. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct endpoints);
	__type(value, struct cookie);
} ttgate_cookies SEC(".maps");

static __always_inline void remember_cookie(const struct segment *segment, bool has_passed)
{
	struct cookie cookie = {
		.next = segment->seq + segment->payload_bytes,
		.has_passed = has_passed,
	};

	bpf_map_update_elem(&ttgate_cookies, &segment->ends, &cookie, BPF_ANY);
}

/* Whether a segment for which there is no socket has to come again. */
static __always_inline bool waits_for_socket(const struct segment *segment)
{
	const struct cookie *cookie = bpf_map_lookup_elem(&ttgate_cookies, &segment->ends);

	return cookie && !(cookie->has_passed && segment->seq - cookie->next < JUDGED_SPAN);
}

#endif
