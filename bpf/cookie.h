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
	__u64 passed_at; /* jiffies; 0: not, or something came since that may begin another connection */
};

/* In jiffies, more than a packet waits for the kernel. */
#define PASSED_JIFFIES 1000
/* When the last one passed, of whatever connection. */
volatile __u64 cookie_passed_at;

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
static __always_inline bool is_first_by_cookie(const struct segment *segment)
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
	cookie->passed_at = cookie_passed_at = bpf_jiffies64();
}

/*
 * A segment without data may end the connection that passed, and open the next one by another cookie,
 * before the kernel has seen any of it.
 */
static __always_inline void forget_passed(const struct segment *segment)
{
	struct by_cookie *cookie;

	if (bpf_jiffies64() - cookie_passed_at >= PASSED_JIFFIES)
		return;
	cookie = bpf_map_lookup_elem(&ttgate_cookies, &segment->ends);
	if (cookie)
		cookie->passed_at = 0;
}

static __always_inline bool is_behind_cookie(const struct segment *segment)
{
	const struct by_cookie *cookie = bpf_map_lookup_elem(&ttgate_cookies, &segment->ends);

	return cookie && bpf_jiffies64() - cookie->passed_at < PASSED_JIFFIES &&
	       segment->seq - cookie->next < JUDGED_SPAN;
}

/* Of the port that the segment goes to. */
static __always_inline bool listener_gives_cookies(const struct frame *frame)
{
	const struct scratch *scratch = bpf_map_lookup_elem(&ttgate_scratch, &(__u32){ 0 });
	struct endpoints nobody;
	struct bpf_sock *listener;
	bool gives;

	if (!scratch)
		return true;
	nobody = scratch->segment.ends;
	nobody.source_port = 0;
	listener = lookup_socket(frame, &nobody);
	if (!listener)
		return false;
	gives = listener->state == BPF_TCP_LISTEN && gives_cookies(listener);
	bpf_sk_release(listener);
	return gives;
}

__noinline int listener_gives_cookies_xdp(struct xdp_md *ctx)
{
	const struct frame frame = { .xdp = ctx, .is_xdp = true };

	return listener_gives_cookies(&frame);
}

__noinline int listener_gives_cookies_skb(struct __sk_buff *skb)
{
	const struct frame frame = { .skb = skb };

	return listener_gives_cookies(&frame);
}

/*
 * Whether the next connection between the segment's ends may begin without a SYN: by a cookie that
 * was given out before this one began, while a memo of this one vouches for it.
 */
static __always_inline bool may_begin_by_cookie(const struct frame *frame)
{
	return frame->is_xdp ? listener_gives_cookies_xdp(frame->xdp)
			     : listener_gives_cookies_skb(frame->skb);
}

#endif
