/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The first bytes of connections for which one segment was not enough, put together from segments
 * in any order.
 */
#ifndef TTGATE_UNDECIDED_H
#define TTGATE_UNDECIDED_H

#include "inline_maps.h"

static __always_inline void set_stream_key(struct stream_key *key, const struct segment *segment)
{
	key->source = segment->ends.source;
	key->destination = segment->ends.destination;
	key->source_port = segment->ends.source_port;
	key->destination_port = segment->ends.destination_port;
	key->first = segment->stream.next - (__u32)segment->stream.received;
}

/* Its bytes are as expected. */
static __always_inline void welcome(const struct segment *segment)
{
	const struct source *source = &segment->ends.source;

	if (!bpf_map_lookup_elem(&ttgate_welcome, source))
		bpf_map_update_elem(&ttgate_welcome, source, &segment->seq, BPF_ANY);
}

/* How many bits are set before the first that is not. */
static __always_inline __u32 first_gap(const __u64 *have)
{
	__u64 gaps = 0;
	__u32 at = 0;

#pragma unroll
	for (int word = 0; word < PREFIX_BYTES / 64; word++) {
		gaps = ~have[word];
		if (gaps)
			break;
		at += 64;
	}
	if (!gaps)
		return at;
#pragma unroll
	for (int half = 32; half; half /= 2) {
		if (gaps << (64 - half))
			continue;
		gaps >>= half;
		at += half;
	}
	return at;
}

/* Of a word of the bitmap, the bits of all places before this one. */
static __always_inline __u64 bits_below(__u32 place, __u32 word)
{
	__u32 first = word * 64;

	if (place <= first)
		return 0;
	return place >= first + 64 ? ~0ULL : (1ULL << (place - first)) - 1;
}

/*
 * Adds match->bytes[from..to) to what is remembered and completes match with what was. 0, or not
 * when the client has said something else there before: which of the two the server gets to see
 * cannot be told then.
 */
__noinline int merge(struct undecided *kept, struct match *match, __u32 from, __u32 to)
{
	if (!kept || !match)
		return -1;
	for (__u32 word = 0; word < PREFIX_BYTES / 64; word++)
		match->fresh[word] = bits_below(to, word) & ~bits_below(from, word);
	for (__u32 word = 0; word < PREFIX_BYTES / 64; word++) {
		__u64 fresh = match->fresh[word];
		__u64 known = kept->have[word];

		for (__u32 bit = 0; bit < 64; bit++) {
			__u32 i = word * 64 + bit;
			bool is_known = known >> bit & 1;

			if (is_known && fresh >> bit & 1 && kept->bytes[i] != match->bytes[i])
				return -1;
			if (is_known)
				match->bytes[i] = kept->bytes[i];
			else
				kept->bytes[i] = match->bytes[i];
		}
		kept->have[word] = known | fresh;
	}
	kept->contiguous = first_gap(kept->have);
	match->length = kept->contiguous;
	return 0;
}

/* Not while another CPU does: one of them would forget what the other adds. */
static __always_inline int merge_alone(struct undecided *kept, struct scratch *scratch, __u32 from,
				       __u32 to)
{
	int result;

	if (bpf_map_update_elem(&ttgate_merging, &scratch->key, &scratch->slot, BPF_NOEXIST))
		return -1;
	result = merge(kept, &scratch->match, from, to);
	bpf_map_delete_elem(&ttgate_merging, &scratch->key);
	return result;
}

#endif
