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
#include "segment.h"

struct by_cookie {
	__u32 first; /* sequence number of the stream's first byte, as the first segment has it */
	__u32 next; /* behind what passed */
	bool passed;
};

/* A socket takes its place within a batch. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct endpoints);
	__type(value, struct by_cookie);
} ttgate_cookies SEC(".maps");

/*
 * A cookie has room for four sizes of segments in the place of a sequence number: it is right for
 * any of four numbers in a row.
 */
#define COOKIE_NUMBERS 4

/*
 * The first segment makes the socket. What follows it in the batch may prove the cookie as well,
 * and is not the beginning that it seems to be. @returns whether it is that.
 */
static __always_inline bool is_first_by_cookie(const struct frame *frame,
					       const struct segment *segment)
{
	const struct by_cookie *before = bpf_map_lookup_elem(&ttgate_cookies, &segment->ends);
	struct by_cookie first = { .first = segment->seq };

	if (before) {
		__u32 behind = segment->seq - before->first + COOKIE_NUMBERS;

		if (behind == COOKIE_NUMBERS)
			return true;
		if (behind < 2 * COOKIE_NUMBERS)
			return false;
	}
	/* The kernel makes no socket of what is damaged. */
	if (has_right_checksum(frame))
		bpf_map_update_elem(&ttgate_cookies, &segment->ends, &first, BPF_ANY);
	return true;
}

/*
 * An ACK without data has made the socket, and what was taken for the beginning was not: it waits
 * in the kernel behind bytes that are to come. @first: sequence number of the stream's first byte.
 */
static __always_inline bool began_elsewhere(const struct segment *segment, __u32 first)
{
	const struct by_cookie *cookie = bpf_map_lookup_elem(&ttgate_cookies, &segment->ends);
	__u32 ahead;

	if (!cookie)
		return false;
	ahead = cookie->first - first;
	return ahead && ahead < COOKIE_NUMBERS;
}

static __always_inline void remember_cookie(const struct segment *segment)
{
	struct by_cookie *cookie = bpf_map_lookup_elem(&ttgate_cookies, &segment->ends);

	if (!cookie)
		return;
	cookie->next = segment->seq + segment->payload_bytes;
	cookie->passed = true;
}

static __always_inline bool is_behind_cookie(const struct segment *segment)
{
	const struct by_cookie *cookie = bpf_map_lookup_elem(&ttgate_cookies, &segment->ends);

	return cookie && cookie->passed && segment->seq - cookie->next < JUDGED_SPAN;
}

#endif
