/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Connections that are past their first bytes: their segments need no look at the socket, which
 * costs more than all the rest. A memo and no flow table: whoever is not in it is looked up, and a
 * connection has one place, where the next one pushes it out. What is found here passes, it never
 * bans.
 *
 * A SYN clears the place, so that the next connection between the same ends is judged, and keeps it
 * clear for a while: what comes in its batch is looked up while the connection before it is still
 * there. An entry is one word, which CPUs that write at the same time leave whole.
 */
#ifndef TTGATE_JUDGED_H
#define TTGATE_JUDGED_H

#include <stdbool.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include "seen.h"
#include "socket.h"

#define JUDGED_BITS 12
/* Of sequence numbers, behind which the socket is asked again. */
#define JUDGED_SPAN (1U << 30)

/* More than a packet waits for the kernel, and less than a client waits until it sends again. */
#define ENDING_NS 100000000

/* About a millisecond, in 32 bits. */
#define MOMENT_BITS 20

static __always_inline __u32 moment_of(__u64 now_ns)
{
	return now_ns >> MOMENT_BITS;
}

/*
 * Upper half: a hash of both ends, never 0. Lower half: what the kernel waited for. Or 0, and the
 * moment when a SYN cleared it. Behind the last place, and so handed on with them: cookies_at().
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, (1 << JUDGED_BITS) + 1);
	__type(key, __u32);
	__type(value, __u64);
} ttgate_judged SEC(".maps");

static __always_inline __u64 hash_of(const struct endpoints *ends)
{
	__u64 by = hash_factor();
	__u64 sum = mixed(ends->source.low, by) + ends->source.high;

	sum = mixed(sum, by) + ((__u32)ends->source_port << 16 | ends->destination_port);
	sum = mixed(sum, by) + ends->destination.low;
	sum = mixed(sum, by) + ends->destination.high + ends->is_ipv4;
	return mixed(sum, by);
}

static __always_inline volatile __u64 *judged_place(__u64 hash)
{
	__u32 index = hash >> (64 - JUDGED_BITS);

	return bpf_map_lookup_elem(&ttgate_judged, &index);
}

static __always_inline __u32 tag_of(__u64 hash)
{
	return (__u32)hash | 1;
}

static __always_inline bool is_judged(const struct endpoints *ends, __u32 seq)
{
	__u64 hash = hash_of(ends);
	volatile __u64 *place = judged_place(hash);
	__u64 entry;

	if (!place)
		return false;
	entry = *place;
	return entry >> 32 == tag_of(hash) && seq - (__u32)entry < JUDGED_SPAN;
}

static __always_inline void set_judged(const struct endpoints *ends, __u32 next)
{
	__u64 hash = hash_of(ends);
	volatile __u64 *place = judged_place(hash);
	__u64 entry;

	if (!place)
		return;
	entry = *place;
	if (entry >> 32 ||
	    moment_of(bpf_ktime_get_coarse_ns()) - (__u32)entry > moment_of(ENDING_NS))
		*place = (__u64)tag_of(hash) << 32 | next;
}

static __always_inline void clear_judged(const struct endpoints *ends)
{
	volatile __u64 *place = judged_place(hash_of(ends));

	if (place)
		*place = moment_of(bpf_ktime_get_coarse_ns());
}

/*
 * Of SYN cookies, whatever program saw them. Lower half: jiffies, when a connection last began
 * while a server gave them out. Upper half: since when that goes on, as moment_of() has it. Or
 * 0.
 */
static __always_inline volatile __u64 *cookies_at(void)
{
	return bpf_map_lookup_elem(&ttgate_judged, &(__u32){ 1 << JUDGED_BITS });
}

#endif
