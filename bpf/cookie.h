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
#include "undecided.h"

struct by_cookie {
	__u32 first; /* sequence number of the stream's first byte, as the first segment has it */
	__u32 next; /* behind what passed */
	__u64 passed_at; /* jiffies; 0: not, or something came since that may begin another
			    connection */
};

/* In jiffies, more than a packet waits for the kernel. */
#define PASSED_JIFFIES 1000

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
	cookie->passed_at = bpf_jiffies64();
}

/*
 * A segment without data may end the connection that passed, and open the next one by another
 * cookie, before the kernel has seen any of it.
 */
static __always_inline void forget_passed(const struct segment *segment)
{
	struct by_cookie *cookie = bpf_map_lookup_elem(&ttgate_cookies, &segment->ends);

	if (cookie)
		cookie->passed_at = 0;
}

static __always_inline bool is_behind_cookie(const struct segment *segment)
{
	const struct by_cookie *cookie = bpf_map_lookup_elem(&ttgate_cookies, &segment->ends);

	return cookie && bpf_jiffies64() - cookie->passed_at < PASSED_JIFFIES &&
	       segment->seq - cookie->next < JUDGED_SPAN;
}

enum cookies {
	COOKIES_NONE,
	COOKIES_GIVEN,
	COOKIE_PROVEN, /* by the segment */
};

/* By the listener of the segment's port, whatever connection is there already. */
static __always_inline enum cookies cookies_of(const struct frame *frame)
{
	struct scratch *scratch = bpf_map_lookup_elem(&ttgate_scratch, &(__u32){ 0 });
	enum cookies cookies = COOKIES_NONE;
	struct endpoints nobody;
	struct bpf_sock *listener;

	if (!scratch)
		return COOKIES_NONE;
	nobody = scratch->segment.ends;
	nobody.source_port = 0;
	listener = lookup_socket(frame, &nobody);
	if (!listener)
		return COOKIES_NONE;
	if (listener->state == BPF_TCP_LISTEN && gives_cookies(listener)) {
		cookies = COOKIES_GIVEN;
		if (proves_cookie(frame, &scratch->place, listener, &scratch->segment))
			cookies = COOKIE_PROVEN;
	}
	bpf_sk_release(listener);
	return cookies;
}

__noinline int cookies_of_xdp(struct xdp_md *ctx)
{
	const struct frame frame = XDP_FRAME(ctx);

	return cookies_of(&frame);
}

__noinline int cookies_of_skb(struct __sk_buff *skb)
{
	const struct frame frame = SKB_FRAME(skb);

	return cookies_of(&frame);
}

static __always_inline enum cookies find_cookies(const struct frame *frame)
{
	return frame->is_xdp ? cookies_of_xdp(frame->xdp) : cookies_of_skb(frame->skb);
}

static __always_inline bool cookies_are_given(void)
{
	const volatile __u64 *at = cookies_at();
	__u64 entry = at ? *at : 0;

	return entry && (__u32)bpf_jiffies64() - (__u32)entry < COOKIE_JIFFIES;
}

/* From now on ends of connections are noted. */
static __always_inline void set_cookies_given(void)
{
	volatile __u64 *at = cookies_at();
	__u64 since;

	if (!at)
		return;
	since = cookies_are_given() ? *at >> 32 : moment_of(bpf_ktime_get_ns());
	*at = since << 32 | (__u32)bpf_jiffies64();
}

/* When something that may end a connection went on to the kernel; a socket tells within a batch. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct endpoints);
	__type(value, __u64);
} ttgate_ended SEC(".maps");

static __always_inline void note_end(struct scratch *scratch)
{
	if (!cookies_are_given())
		return;
	scratch->now_ns = bpf_ktime_get_ns();
	bpf_map_update_elem(&ttgate_ended, &scratch->segment.ends, &scratch->now_ns, BPF_ANY);
}

/* Whether the connection that is there may be over when the kernel takes the segment. */
static __always_inline bool may_have_ended(const struct segment *segment)
{
	__u64 now_ns = bpf_ktime_get_ns();
	const __u64 *at_ns = bpf_map_lookup_elem(&ttgate_ended, &segment->ends);
	const volatile __u64 *cookies = cookies_at();

	if (at_ns && now_ns - *at_ns < ENDING_NS)
		return true;
	return cookies && moment_of(now_ns) - (__u32)(*cookies >> 32) <= moment_of(ENDING_NS);
}

/* A connection of a cookie that began with few bytes: what follows them proves the cookie too. */
static __always_inline bool continues(struct scratch *scratch)
{
	const struct segment *segment = &scratch->segment;
	const struct stream *stream = &segment->stream;
	const struct undecided *kept;

	if (segment->seq != stream->next || stream->received >= COOKIE_NUMBERS ||
	    segment->ack != stream->ack_first)
		return false;
	set_stream_key(&scratch->key, segment);
	kept = bpf_map_lookup_elem(&ttgate_undecided, &scratch->key);
	return kept && kept->contiguous == stream->received;
}

/*
 * Whether the segment may begin another connection than the one that is there: by a cookie, once
 * that one has ended. The client may end it in the same batch; and it may have had the cookie
 * before, or begin with that of the connection itself. Of one that is over the kernel takes no more
 * bytes, so that those that come are of another, if of any; of one that the client has closed it
 * does while they come again. The connection's own segments prove its cookie too, whenever both
 * sides have said as much as one another.
 */
static __always_inline bool begins_another(const struct frame *frame, struct scratch *scratch)
{
	const struct segment *segment = &scratch->segment;
	const struct stream *stream = &segment->stream;
	bool is_open = stream->kind == STREAM_OPEN;
	bool is_first = is_open && !stream->received;
	enum cookies cookies = COOKIES_GIVEN;

	if (stream->kind == STREAM_NONE || stream->kind == STREAM_LISTENER ||
	    (is_open && !is_first && !cookies_are_given()))
		return false;
	if (!stream->by_cookie)
		cookies = find_cookies(frame);
	if (cookies != COOKIES_NONE)
		set_cookies_given();
	if ((stream->kind == STREAM_OTHER ||
	     (stream->kind == STREAM_CLOSING && may_have_ended(segment))) &&
	    !is_empty(segment))
		return cookies != COOKIES_NONE;
	if (cookies != COOKIE_PROVEN)
		return false;
	if (is_first)
		return segment->seq != stream->next;
	return may_have_ended(segment) && !(is_open && continues(scratch));
}

#endif
