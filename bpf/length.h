/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How many bytes a frame has. In XDP, `data_end - data` would need CAP_PERFMON, and
 * bpf_xdp_get_buff_len() a 5.18 kernel and a third of the time that a packet is to cost. So
 * the length that the IP header tells is taken where data_end confirms it to the byte, as with
 * nearly every frame; for padding, lies and several buffers there are two slower ways.
 */
#ifndef TTGATE_LENGTH_H
#define TTGATE_LENGTH_H

#include <linux/bpf.h>
#include "parse.h"

/* 1: loaded with BPF_F_XDP_HAS_FRAGS, and so on a kernel that has bpf_xdp_get_buff_len(). */
const volatile __u32 multi_buffer = 0;

/*
 * Without that: bisection of what lies below the end, up to 65,535 bytes. Global, not static: so
 * the verifier goes through it once, and not again for every call.
 */
__noinline __u64 measure_frame(struct xdp_md *xdp)
{
	const void *data = (const void *)(long)xdp->data;
	const void *end = (const void *)(long)xdp->data_end;
	__u64 bytes = 0;

	if (multi_buffer)
		return bpf_xdp_get_buff_len(xdp);
#pragma unroll
	for (int bit = 15; bit >= 0; bit--) {
		__u64 more = bytes | 1 << bit;

		if (data + more <= end)
			bytes = more;
		bytes = hide_value(bytes, xdp->rx_queue_index, 0xffff);
	}
	return bytes;
}

/* @told: the frame's length by its headers; 0: they do not tell. */
static __always_inline void set_length(struct frame *frame, __u64 told)
{
	if (frame->measured)
		return;
	frame->measured = true;
	if (told && frame->data + told <= frame->end && frame->data + told + 1 > frame->end)
		frame->bytes = told;
	else
		frame->bytes = measure_frame(frame->xdp);
}

/* The mask is for the verifier: that of 5.10 knows no bounds of a value with swapped bytes. */
static __always_inline __u64 length_from(__be16 wire)
{
	__u64 length = bpf_ntohs(wire);

	asm volatile("%0 &= 0xffff" : "+r"(length));
	return length;
}

#endif
