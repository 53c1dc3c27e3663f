/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Takes out of a segment what would make of the client's bytes another stream at the server than
 * the one that is judged:
 *
 *   the urgent pointer (RFC 9293 3.8.5)   the kernel takes the byte that it names out of the
 *                                         stream, unless the server asks for it in line
 *   MPTCP's options (RFC 8684)            one stream in several connections
 *
 * The byte stays where it is then, and the server answers as one that knows no MPTCP. Either is
 * a change of the TCP header, whose checksum is corrected with it.
 */
#ifndef TTGATE_PLAIN_H
#define TTGATE_PLAIN_H

#include "segment.h"
#include "undecided.h"

#define TCP_OPTION_BYTES 40

enum tcp_option {
	OPTION_END = 0,
	OPTION_NONE = 1,
	OPTION_MPTCP = 30,
};

/*
 * With SYN cookies a listener believes an ACK that carries 20 bytes of MPTCP, which only the two
 * kinds below do that open a connection or join one.
 */
#define MPTCP_ACK_BYTES 20
enum mptcp_kind {
	MPTCP_CAPABLE,
	MPTCP_JOIN,
};

static __always_inline __u32 option_bytes(const struct segment *segment)
{
	return (segment->tcp.offset >> 4) * 4 - sizeof(segment->tcp);
}

static __always_inline bool may_speak_mptcp(const struct segment *segment)
{
	__u32 bytes = option_bytes(segment);

	return bytes >= MPTCP_ACK_BYTES || (bytes && segment->tcp.flags & TCP_SYN);
}

/* One comparison for most segments: they have neither flag, and options for a timestamp. */
static __always_inline bool may_be_ambiguous(const struct segment *segment)
{
	return segment->tcp.flags & TCP_URG || may_speak_mptcp(segment);
}

/* The sum of the pseudo header alone, as a sender on this host leaves it, covers no header. */
static __always_inline bool has_partial_checksum(const struct scratch *scratch)
{
	const struct segment *segment = &scratch->segment;
	__u32 bytes = segment->payload_at + segment->payload_bytes - scratch->place.tcp_offset;

	return segment->tcp.check == sum_pseudo_header(&segment->ends, bytes);
}

static __always_inline void store_header(const struct frame *frame, struct scratch *scratch,
					 __s64 sum)
{
	if (!has_partial_checksum(scratch))
		scratch->segment.tcp.check = ~fold((__u32)sum);
	store_at(frame, scratch->place.tcp_offset, &scratch->segment.tcp,
		 sizeof(scratch->segment.tcp));
}

/* Whether the bytes that decide have got to the server: what follows is its own affair. */
static __always_inline bool is_past(const struct frame *frame, struct scratch *scratch)
{
	const struct stream *stream = &scratch->segment.stream;
	const struct undecided *kept;

	find_stream(frame, &scratch->place, &scratch->segment);
	if (stream->kind != STREAM_OPEN)
		return stream->kind == STREAM_UNJUDGED || stream->kind == STREAM_CLOSING;
	if (!stream->received)
		return false;
	set_stream_key(&scratch->key, &scratch->segment);
	kept = bpf_map_lookup_elem(&ttgate_undecided, &scratch->key);
	return !kept || (kept->passed_at && stream->received >= kept->passed_at);
}

static __always_inline void clear_urgent(const struct frame *frame, struct scratch *scratch)
{
	struct tcp_header *tcp = &scratch->segment.tcp;
	struct tcp_header before = *tcp;

	if (!(tcp->flags & TCP_URG) || is_past(frame, scratch))
		return;
	tcp->flags &= ~TCP_URG;
	tcp->urgent = 0;
	store_header(frame, scratch,
		     bpf_csum_diff((void *)&before, sizeof(before), (void *)tcp, sizeof(*tcp),
				   (__u16)~tcp->check));
	count_inline(INLINE_URGENT, scratch->place.bytes);
}

/* In the chunk. @returns whether there was any. Global, as those in signatures.h. */
__noinline int blank_options(struct scratch *scratch, __u32 count, bool is_syn)
{
	__u8 *options;

	if (!scratch)
		return 0;
	options = scratch->chunk;
	scratch->walk.next = 0;
	scratch->walk.blank_end = 0;
	for (__u32 i = 0; i < TCP_OPTION_BYTES; i++) {
		__u8 kind = options[i], length = options[i + 1];

		if (i >= count)
			break;
		if (i < scratch->walk.blank_end)
			options[i] = OPTION_NONE;
		if (i < scratch->walk.next)
			continue;
		if (kind == OPTION_END)
			break;
		if (kind == OPTION_NONE)
			continue;
		if (length < 2 || i + length > count)
			break;
		scratch->walk.next = i + length;
		if (kind != OPTION_MPTCP || (!is_syn && options[i + 2] >> 4 > MPTCP_JOIN))
			continue;
		options[i] = OPTION_NONE;
		scratch->walk.blank_end = i + length;
	}
	return scratch->walk.blank_end > 0;
}

static __always_inline void clear_mptcp(const struct frame *frame, struct scratch *scratch)
{
	const struct segment *segment = &scratch->segment;
	__u32 offset = scratch->place.tcp_offset + sizeof(segment->tcp);
	__u32 *after = (__u32 *)scratch->chunk;
	__u32 *before = (__u32 *)&scratch->chunk[CHUNK_BYTES];
	__u32 bytes = option_bytes(segment);

	if (!may_speak_mptcp(segment) || bytes > TCP_OPTION_BYTES)
		return;
	__builtin_memset(scratch->chunk, 0, TCP_OPTION_BYTES);
	if (load_chunk(frame, scratch, offset, bytes))
		return;
	__builtin_memcpy(before, after, TCP_OPTION_BYTES);
	if (!blank_options(scratch, bytes, segment->tcp.flags & TCP_SYN))
		return;
	for (__u32 word = 0; word < TCP_OPTION_BYTES / 4; word++) {
		if (before[word] != after[word])
			store_at(frame, offset + 4 * word, &after[word], sizeof(*after));
	}
	store_header(frame, scratch,
		     bpf_csum_diff(before, TCP_OPTION_BYTES, after, TCP_OPTION_BYTES,
				   (__u16)~segment->tcp.check));
	count_inline(INLINE_MPTCP, scratch->place.bytes);
}

static __always_inline int make_plain(const struct frame *frame)
{
	struct scratch *scratch = bpf_map_lookup_elem(&ttgate_scratch, &(__u32){ 0 });

	if (!scratch)
		return -1;
	clear_mptcp(frame, scratch);
	clear_urgent(frame, scratch);
	return 0;
}

/*
 * Global, as those in signatures.h. The segment is read again after it: in a socket buffer nothing
 * is where it was.
 */
__noinline int make_plain_xdp(struct xdp_md *ctx)
{
	const struct frame frame = XDP_FRAME(ctx);

	return make_plain(&frame);
}

__noinline int make_plain_skb(struct __sk_buff *skb)
{
	const struct frame frame = SKB_FRAME(skb);

	return make_plain(&frame);
}

#endif
