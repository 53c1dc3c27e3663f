/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A packet, turned round into the RST that the kernel would have sent for it (RFC 9293 3.10.7.1),
 * with its checksum made from scratch: that of a packet from this host is not whole. XDP only.
 */
#ifndef TTGATE_BOUNCE_H
#define TTGATE_BOUNCE_H

#include "inline.h"

#define BOUNCE_HOPS 64

static __always_inline int turn_ethernet(const struct frame *frame)
{
	__u8 from[2 * ETH_ALEN], to[2 * ETH_ALEN];

	if (load_at(frame, 0, from, sizeof(from)))
		return -1;
	__builtin_memcpy(to, from + ETH_ALEN, ETH_ALEN);
	__builtin_memcpy(to + ETH_ALEN, from, ETH_ALEN);
	return store_at(frame, 0, to, sizeof(to));
}

static __always_inline int turn_ipv4(const struct frame *frame, __u32 offset)
{
	struct iphdr before, ip = { .version = 4, .ihl = 5 };

	if (load_at(frame, offset, &before, sizeof(before)))
		return -1;
	ip.tot_len = bpf_htons(sizeof(ip) + sizeof(struct tcp_header));
	ip.frag_off = bpf_htons(0x4000);
	ip.ttl = BOUNCE_HOPS;
	ip.protocol = IPPROTO_TCP;
	ip.saddr = before.daddr;
	ip.daddr = before.saddr;
	ip.check = ~fold(bpf_csum_diff(NULL, 0, (void *)&ip, sizeof(ip), 0));
	return store_at(frame, offset, &ip, sizeof(ip));
}

static __always_inline int turn_ipv6(const struct frame *frame, __u32 offset)
{
	struct ipv6hdr ip;
	struct in6_addr source;

	if (load_at(frame, offset, &ip, sizeof(ip)))
		return -1;
	source = ip.saddr;
	ip.saddr = ip.daddr;
	ip.daddr = source;
	ip.payload_len = bpf_htons(sizeof(struct tcp_header));
	ip.hop_limit = BOUNCE_HOPS;
	return store_at(frame, offset, &ip, sizeof(ip));
}

/*
 * 0: the frame is to be sent out where it came in. Headers with options are not answered, nor is
 * what comes through a tunnel: generic XDP takes a changed source address for a changed Ethernet
 * header. Global, as those in signatures.h.
 */
__noinline int bounce(struct xdp_md *ctx)
{
	struct scratch *scratch = bpf_map_lookup_elem(&ttgate_scratch, &(__u32){ 0 });
	const struct frame frame = XDP_FRAME(ctx);
	struct tcp_header tcp = { .offset = sizeof(tcp) / 4 << 4, .flags = TCP_RST };
	const struct place *place;
	__u32 ip_bytes;

	if (!scratch || without_ethernet)
		return -1;
	place = &scratch->place;
	ip_bytes = place->is_ipv4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	if (place->tcp_offset != place->network_offset + ip_bytes)
		return -1;
	tcp.source = scratch->segment.tcp.destination;
	tcp.destination = scratch->segment.tcp.source;
	tcp.seq = scratch->segment.tcp.ack;
	tcp.check = ~fold(bpf_csum_diff(NULL, 0, (void *)&tcp, sizeof(tcp),
					sum_pseudo_header(&scratch->segment.ends, sizeof(tcp))));
	if (turn_ethernet(&frame) ||
	    (place->is_ipv4 ? turn_ipv4(&frame, place->network_offset)
			    : turn_ipv6(&frame, place->network_offset)) ||
	    store_at(&frame, place->tcp_offset, &tcp, sizeof(tcp)))
		return -1;
	return bpf_xdp_adjust_tail(ctx, (int)(place->tcp_offset + sizeof(tcp) - place->bytes));
}

#endif
