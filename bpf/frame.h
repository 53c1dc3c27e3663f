/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A frame in either hook: its first bytes by pointer, any others by offset, and its length.
 * The ways to do that differ by hook, kernel and capabilities; here and nowhere else.
 *
 *   XDP, kernel 5.18 and later     helpers; the length by pointers, which takes CAP_PERFMON and
 *                                  a tenth of the time, or without it by a helper
 *   XDP, kernels before            pointers for everything, CAP_PERFMON
 *   tc                             helpers
 */
#ifndef TTGATE_FRAME_H
#define TTGATE_FRAME_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* 1: loaded with BPF_F_XDP_HAS_FRAGS, and so on a kernel that has the helpers for XDP. */
const volatile __u32 multi_buffer = 0;
/* 1: loaded without CAP_PERFMON. Goes with multi_buffer only. */
const volatile __u32 without_perfmon = 0;

/* The farthest that six extension headers reach is 12,352. */
#define OFFSET_MASK 0x3fff

/* Where the headers are, once they are parsed. */
struct place {
	__u32 network_offset;
	__u32 tcp_offset;
	__u32 told_end; /* by the headers: behind it is padding; 0: not told, or not by these */
	__u32 bytes;
	__s32 port;
	bool is_ipv4;
	/* A first fragment: of the others no port is known. Or the sender's route goes on from
	 * here. */
	__u32 is_hidden;
};

struct frame {
	const void *data; /* of a frame in several pieces, the first one */
	const void *end;
	struct xdp_md *xdp;
	struct __sk_buff *skb;
	bool is_xdp; /* which of the two: pointers are not to be compared with NULL */
	struct place place; /* what the plain gate does not ask for costs it nothing */
};

#define XDP_FRAME(ctx)                                                                             \
	{                                                                                          \
		.data = (const void *)(long)(ctx)->data,                                           \
		.end = (const void *)(long)(ctx)->data_end, .xdp = (ctx), .is_xdp = true,          \
	}

#define SKB_FRAME(socket_buffer)                                                                   \
	{                                                                                          \
		.data = (const void *)(long)(socket_buffer)->data,                                 \
		.end = (const void *)(long)(socket_buffer)->data_end, .skb = (socket_buffer),      \
	}

/* What is read by pointer: two tags, an IPv6 header and ports, with room to spare. */
#define PULL_BYTES 128

/* 0, or not when the frame ends before. */
static __always_inline int load_at(const struct frame *frame, __u32 offset, void *to, __u32 size)
{
	const void *from = frame->data;
	__u64 distance = offset;

	if (!frame->is_xdp)
		return bpf_skb_load_bytes(frame->skb, offset, to, size);
	if (multi_buffer)
		return bpf_xdp_load_bytes(frame->xdp, offset, to, size);
	/* The mask is for the verifier, and in assembler because the compiler sees no use in it. */
	asm volatile("%0 &= %1" : "+r"(distance) : "i"(OFFSET_MASK));
	from += distance;
	if (from + size > frame->end)
		return -1;
	__builtin_memcpy(to, from, size);
	return 0;
}

/*
 * The same for headers, which nearly always lie in the first piece: by pointer then, because a
 * helper costs as much as a look-up.
 */
static __always_inline int load_header(const struct frame *frame, __u32 offset, void *to,
				       __u32 size)
{
	const void *from = frame->data;
	__u64 distance = offset;

	asm volatile("%0 &= %1" : "+r"(distance) : "i"(OFFSET_MASK));
	from += distance;
	if (from + size > frame->end)
		return load_at(frame, offset, to, size);
	__builtin_memcpy(to, from, size);
	return 0;
}

/* 0, or not when the frame ends before. Pointers into the frame of a socket buffer are void then.
 */
static __always_inline int store_at(const struct frame *frame, __u32 offset, void *from, __u32 size)
{
	void *to = (void *)frame->data;
	__u64 distance = offset;

	if (!frame->is_xdp)
		return bpf_skb_store_bytes(frame->skb, offset, from, size, 0);
	if (multi_buffer)
		return bpf_xdp_store_bytes(frame->xdp, offset, from, size);
	asm volatile("%0 &= %1" : "+r"(distance) : "i"(OFFSET_MASK));
	to += distance;
	if (to + size > frame->end)
		return -1;
	__builtin_memcpy(to, from, size);
	return 0;
}

/*
 * Of the whole frame. There is more of it than the first piece only if its headers do not say that
 * it ends there.
 */
static __always_inline __u64 bytes_of(const struct frame *frame)
{
	__u64 bytes;

	if (!frame->is_xdp)
		return frame->skb->len;
	if (without_perfmon)
		return bpf_xdp_get_buff_len(frame->xdp);
	bytes = frame->end - frame->data;
	if ((__u64)frame->place.told_end - 1 >= bytes && multi_buffer)
		return bpf_xdp_get_buff_len(frame->xdp);
	return bytes;
}

#endif
