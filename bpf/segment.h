/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A TCP segment: its headers and payload, the stream that the kernel's socket has it in, and
 * whether it came as it was sent.
 */
#ifndef TTGATE_SEGMENT_H
#define TTGATE_SEGMENT_H

#include "inline_maps.h"

/*
 * Before kernel 5.18: bytes of an XDP frame by pointer, to the chunk; in words, as far as they go.
 * Global, as those in signatures.h.
 */
__noinline int load_by_pointer(struct xdp_md *ctx, __u32 offset, __u32 size)
{
	struct scratch *scratch = bpf_map_lookup_elem(&ttgate_scratch, &(__u32){ 0 });
	const __u8 *from = (const void *)(long)ctx->data;
	const void *end = (const void *)(long)ctx->data_end;
	__u64 distance = offset & OFFSET_MASK;
	__u32 i = 0;

	/* So far in is only what the kernel has put together from several packets. */
	if (!scratch || offset > OFFSET_MASK)
		return -1;
	asm volatile("%0 &= %1" : "+r"(distance) : "i"(OFFSET_MASK));
	from += distance;
	for (; i < CHUNK_BYTES; i += sizeof(__u64)) {
		if (i + sizeof(__u64) > size)
			break;
		if ((const void *)(from + i + sizeof(__u64)) > end)
			return -1;
		*(__u64 *)(scratch->chunk + i) = load_u64(from + i);
	}
	for (__u32 rest = 1; rest < sizeof(__u64); rest++) {
		if (i >= size)
			break;
		if ((const void *)(from + i + 1) > end)
			return -1;
		scratch->chunk[i] = from[i];
		i++;
	}
	return 0;
}

/* 0, or not when the frame ends before, or nothing is to be loaded. */
static __always_inline int load_chunk(const struct frame *frame, struct scratch *scratch,
				      __u32 offset, __u32 size)
{
	__u32 last;

	if (frame->is_xdp && !multi_buffer)
		return load_by_pointer(frame->xdp, offset, size);
	/* For the verifier, which would not see the bounds in what the compiler makes of it. */
	last = size - 1;
	asm volatile("" : "+r"(last));
	if (last >= CHUNK_BYTES)
		return -1;
	if (!frame->is_xdp)
		return bpf_skb_load_bytes(frame->skb, offset, scratch->chunk, last + 1);
	return bpf_xdp_load_bytes(frame->xdp, offset, scratch->chunk, last + 1);
}

/* The same to a place in the prefix. */
static __always_inline int load_prefix(const struct frame *frame, struct scratch *scratch,
				       __u32 offset, __u32 at, __u32 size)
{
	__u8 *to = &scratch->match.bytes[at & (PREFIX_BYTES - 1)];
	__u32 last = size - 1;

	asm volatile("" : "+r"(last));
	if (last >= PREFIX_BYTES)
		return -1;
	if (!frame->is_xdp)
		return bpf_skb_load_bytes(frame->skb, offset, to, last + 1);
	if (multi_buffer)
		return bpf_xdp_load_bytes(frame->xdp, offset, to, last + 1);
	if (load_by_pointer(frame->xdp, offset, size))
		return -1;
	/* The last word may be more than was loaded: nobody looks at that. */
	for (__u32 i = 0; i < PREFIX_BYTES; i += sizeof(__u64)) {
		if (i >= size)
			break;
		*(__u64 *)(to + i) = load_u64(scratch->chunk + i);
		asm volatile("" ::: "memory"); /* else it becomes a call of memmove */
	}
	return 0;
}

#define IPV4_OPTION_BYTES 40
/* RFC 791 3.1 */
#define OPTION_LOOSE_ROUTE 131
#define OPTION_STRICT_ROUTE 137

/*
 * Or what looks like it: options of IPv4 that are neither come nearly never. Global, as those in
 * signatures.h.
 */
__noinline int has_source_route(struct scratch *scratch, __u32 count)
{
	if (!scratch)
		return false;
	for (__u32 i = 0; i < IPV4_OPTION_BYTES; i++) {
		if (i >= count)
			break;
		if (scratch->chunk[i] == OPTION_LOOSE_ROUTE ||
		    scratch->chunk[i] == OPTION_STRICT_ROUTE)
			return true;
	}
	return false;
}

/*
 * Whether it is not what it seems to be: a fragment, or on a sender's route to another of this
 * host's addresses.
 */
static __always_inline bool is_hidden(const struct frame *frame, struct scratch *scratch)
{
	const struct place *place = &scratch->place;
	__u32 options_at = place->network_offset + sizeof(struct iphdr);
	__u32 count = place->tcp_offset - options_at;

	if (place->is_hidden || !place->is_ipv4)
		return place->is_hidden;
	return count && !load_chunk(frame, scratch, options_at, count) &&
	       has_source_route(scratch, count);
}

static __always_inline int read_segment(const struct frame *frame, const struct place *place,
					struct segment *segment)
{
	struct tcp_header *tcp = &segment->tcp;
	__u32 end = place->told_end ? place->told_end : place->bytes;
	__u32 header_bytes;

	if (load_header(frame, place->tcp_offset, tcp, sizeof(*tcp)))
		return -1;
	header_bytes = (tcp->offset >> 4) * 4;
	segment->payload_at = place->tcp_offset + header_bytes;
	if (header_bytes < sizeof(*tcp) || end > place->bytes || end < segment->payload_at)
		return -1;
	segment->payload_bytes = end - segment->payload_at;
	segment->seq = bpf_ntohl(tcp->seq);
	segment->ack = bpf_ntohl(tcp->ack);
	segment->ends.source_port = tcp->source;
	segment->ends.destination_port = tcp->destination;
	segment->ends.is_ipv4 = place->is_ipv4;
	if (place->is_ipv4) {
		__be32 addresses[2];

		if (load_header(frame, place->network_offset + offsetof(struct iphdr, saddr),
				addresses, sizeof(addresses)))
			return -1;
		segment->ends.source = mapped(addresses[0]);
		segment->ends.destination = mapped(addresses[1]);
		return 0;
	}
	return load_header(frame, place->network_offset + offsetof(struct ipv6hdr, saddr),
			   &segment->ends.source, 2 * sizeof(struct source));
}

/* Nothing of it gets to the server. */
static __always_inline bool is_empty(const struct segment *segment)
{
	return segment->payload_bytes == 0 || segment->tcp.flags & TCP_RST;
}

static __always_inline bool proves_cookie(const struct frame *frame, const struct place *place,
					  struct bpf_sock *listener, struct segment *segment)
{
	if (place->is_ipv4) {
		struct iphdr ip;

		return !load_at(frame, place->network_offset, &ip, sizeof(ip)) &&
		       !bpf_tcp_check_syncookie(listener, &ip, sizeof(ip), (void *)&segment->tcp,
						sizeof(segment->tcp));
	} else {
		struct ipv6hdr ip;

		return !load_at(frame, place->network_offset, &ip, sizeof(ip)) &&
		       !bpf_tcp_check_syncookie(listener, &ip, sizeof(ip), (void *)&segment->tcp,
						sizeof(segment->tcp));
	}
}

/* The client has said its last byte. */
static __always_inline bool is_half_closed(__u32 state)
{
	return state == BPF_TCP_CLOSE_WAIT || state == BPF_TCP_CLOSING || state == BPF_TCP_LAST_ACK;
}

static __always_inline void find_stream(const struct frame *frame, const struct place *place,
					struct segment *segment)
{
	struct stream *stream = &segment->stream;
	struct bpf_sock *socket = lookup_socket(frame, &segment->ends);
	struct tcp_sock *tcp;

	stream->kind = STREAM_NONE;
	stream->by_cookie = false;
	stream->is_ending = false;
	if (!socket)
		return;
	stream->kind = STREAM_OTHER;
	switch (socket->state) {
	case BPF_TCP_ESTABLISHED:
	case BPF_TCP_FIN_WAIT1:
	case BPF_TCP_FIN_WAIT2:
	case BPF_TCP_SYN_RECV: /* by TCP Fast Open: the socket is there before the last ACK is */
	case BPF_TCP_CLOSE_WAIT:
	case BPF_TCP_CLOSING:
	case BPF_TCP_LAST_ACK:
		tcp = bpf_skc_to_tcp_sock(socket);
		if (!tcp)
			break;
		read_established(stream, tcp);
		stream->kind = STREAM_OPEN;
		stream->is_ending =
			socket->state != BPF_TCP_ESTABLISHED && socket->state != BPF_TCP_SYN_RECV;
		if (is_half_closed(socket->state))
			stream->kind = STREAM_CLOSING;
		if (is_subflow(tcp))
			stream->kind = STREAM_UNJUDGED;
		break;
	case STATE_NEW_SYN_RECV:
		read_request(stream, socket);
		break;
	case BPF_TCP_LISTEN:
		stream->kind = STREAM_LISTENER;
		if (segment->tcp.flags & TCP_SYN)
			break;
		if (proves_cookie(frame, place, socket, segment))
			read_cookie(stream, segment->seq, segment->ack);
		else if (gives_cookies(socket))
			stream->kind = STREAM_UNOPENED;
		break;
	default:
		stream->is_ending = true;
	}
	bpf_sk_release(socket);
}

/* RFC 9293 3.10.7.4: the kernel would take it. An off-path attacker knows neither number. */
static __always_inline bool is_acceptable(const struct segment *segment)
{
	const struct stream *stream = &segment->stream;
	__s32 ahead = segment->seq - stream->next;

	return segment->ack - stream->ack_first <= stream->ack_last - stream->ack_first &&
	       ahead <= (__s32)stream->window;
}

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* RFC 9293 3.1 and RFC 8200 8.1; IPv4 as v4-mapped gives the same sum but for the 0xffff. */
static __always_inline __u32 sum_pseudo_header(const struct endpoints *ends, __u32 tcp_bytes)
{
	__u64 sum = bpf_htonl(IPPROTO_TCP) + (__u64)bpf_htonl(tcp_bytes);

	sum += ends->source.low & 0xffffffff;
	sum += ends->source.low >> 32;
	sum += ends->destination.low & 0xffffffff;
	sum += ends->destination.low >> 32;
	sum += ends->source.high & 0xffffffff;
	sum += ends->source.high >> 32;
	sum += ends->destination.high & 0xffffffff;
	sum += ends->destination.high >> 32;
	return fold(sum);
}

/* A jumbo frame in chunks; what is longer was put together by the kernel, and has a partial sum. */
#define MAX_CHUNKS 20

/*
 * A card may have a damaged packet go on, to be dropped by TCP. A sender on this host, and what
 * the kernel has put together from several packets, has the sum of the pseudo header only.
 */
static __always_inline bool sum_segment(const struct frame *frame)
{
	struct scratch *scratch = bpf_map_lookup_elem(&ttgate_scratch, &(__u32){ 0 });
	struct segment *segment;
	__u32 total, pseudo;
	__s64 sum;

	if (!scratch)
		return false;
	segment = &scratch->segment;
	total = segment->payload_at + segment->payload_bytes - scratch->place.tcp_offset;
	pseudo = sum_pseudo_header(&segment->ends, total);
	if (segment->tcp.check == pseudo)
		return true;
	if (total > MAX_CHUNKS * CHUNK_BYTES)
		return false;
	sum = pseudo;
	for (__u32 done = 0; done < MAX_CHUNKS * CHUNK_BYTES; done += CHUNK_BYTES) {
		__u32 bytes = CHUNK_BYTES;

		/* Else the compiler enters the loop in its middle, which kernel 6.1 refuses. */
		asm volatile("" : "+r"(done));
		if (done >= total)
			break;
		if (total - done < CHUNK_BYTES)
			bytes = total - done;
		__builtin_memset(&scratch->chunk[bytes & (2 * CHUNK_BYTES - 4)], 0, 4);
		if (load_chunk(frame, scratch, scratch->place.tcp_offset + done, bytes))
			return false;
		sum = bpf_csum_diff(NULL, 0, (void *)scratch->chunk, (bytes + 3) & ~3U, sum);
		if (sum < 0)
			return false;
	}
	return fold((__u32)sum) == 0xffff;
}

__noinline int has_right_checksum_xdp(struct xdp_md *ctx)
{
	const struct frame frame = { .xdp = ctx, .is_xdp = true };

	return sum_segment(&frame);
}

__noinline int has_right_checksum_skb(struct __sk_buff *skb)
{
	const struct frame frame = { .skb = skb };

	return sum_segment(&frame);
}

static __always_inline bool has_right_checksum(const struct frame *frame)
{
	return frame->is_xdp ? has_right_checksum_xdp(frame->xdp)
			     : has_right_checksum_skb(frame->skb);
}

#endif
