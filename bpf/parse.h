/* SPDX-License-Identifier: GPL-2.0 */
/*
 * From a frame's first byte to its source address and TCP port, in bounded steps. Every read
 * is checked against the end; what lies beyond it is UNPARSED, what lies beyond the bounds below
 * is BEYOND. Knows no maps and passes no verdict.
 *
 * Packet pointers only ever move by constants: for everything else the verifier wants
 * CAP_PERFMON. What lies at an offset that the packet tells is read through frame.h.
 */
#ifndef TTGATE_PARSE_H
#define TTGATE_PARSE_H

#include <stdbool.h>
#include <linux/icmpv6.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "frame.h"

/* 1: the interface's frames begin with the IP header: a tunnel's, for one. */
const volatile __u32 without_ethernet = 0;

/*
 * An outer 802.1ad and an inner 802.1Q tag, or two of either; switches stack no more. The kernel
 * takes off as many as there are, if they carry a priority only.
 */
#define VLAN_TAGS 2
/* RFC 8200 4.1: hop-by-hop, destination, routing, fragment, AH, destination, each once. */
#define EXTENSION_HEADERS 6

#define IPV4_FRAGMENT_OFFSET 0x1fff
#define IPV4_MORE_FRAGMENTS 0x2000
#define IPV6_FRAGMENT_OFFSET 0xfff8
#define IPV6_MORE_FRAGMENTS 0x0001
#define IPV6_STATIONS_LEFT 0x00ff

/* Instead of a port. */
#define NO_PORT -1 /* another protocol, or a later fragment */
#define UNPARSED -2 /* cut off or malformed: the kernel throws it away */
#define BEYOND -3 /* behind more headers than are read here: the kernel may find the port */

/* struct ethhdr, but not packed: that would be read byte by byte. */
struct ethernet_header {
	__u8 addresses[2 * ETH_ALEN];
	__be16 protocol;
};

struct vlan_tag {
	__be16 tci;
	__be16 protocol;
};

struct extension_header {
	__u8 next;
	__u8 length; /* beyond the first 8 bytes: in units of 8, AH in units of 4 */
	__be16 fragment_offset; /* of a route: its type, and how many stations are left */
	__be32 rest;
};

struct tcp_ports {
	__be16 source;
	__be16 destination;
};

static __always_inline bool is_vlan(__be16 protocol)
{
	return protocol == bpf_htons(ETH_P_8021Q) || protocol == bpf_htons(ETH_P_8021AD);
}

static __always_inline int near_port(const void *pos, const void *end)
{
	const struct tcp_ports *ports = pos;

	return (const void *)(ports + 1) > end ? UNPARSED : bpf_ntohs(ports->destination);
}

static __always_inline int far_port(const struct frame *frame, __u32 offset)
{
	struct tcp_ports ports;

	return load_at(frame, offset, &ports, sizeof(ports)) ? UNPARSED
							     : bpf_ntohs(ports.destination);
}

/* Version 4, and five words of header or more: 0x45 to 0x4f. */
static __always_inline bool is_ipv4(const struct iphdr *ip)
{
	return *(const __u8 *)ip - 0x45U <= 0x4f - 0x45;
}

static __always_inline int parse_ipv4_port(struct frame *frame, __u32 offset,
					   const struct iphdr *ip)
{
	if (ip->protocol != IPPROTO_TCP || ip->frag_off & bpf_htons(IPV4_FRAGMENT_OFFSET))
		return NO_PORT;
	frame->place.is_hidden = (ip->frag_off & bpf_htons(IPV4_MORE_FRAGMENTS)) != 0;
	frame->place.tcp_offset = offset + ip->ihl * 4;
	if (ip->ihl == 5)
		return near_port(ip + 1, frame->end);
	return far_port(frame, frame->place.tcp_offset);
}

static __always_inline bool is_extension(__u8 protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING ||
	       protocol == IPPROTO_DSTOPTS || protocol == IPPROTO_FRAGMENT ||
	       protocol == IPPROTO_AH;
}

static __always_inline int parse_ipv6_port(struct frame *frame, __u32 offset,
					   const struct ipv6hdr *ip)
{
	__u8 protocol = ip->nexthdr;

	offset += sizeof(*ip);
	frame->place.tcp_offset = offset;
	if (protocol == IPPROTO_TCP)
		return near_port(ip + 1, frame->end);
	/* 64 bits: kernel 5.15 forgets a shorter number that is put on the stack. */
	for (__u64 i = 0; i < EXTENSION_HEADERS; i++) {
		struct extension_header header;
		__u32 is_route;

		if (!is_extension(protocol))
			return NO_PORT;
		if (load_at(frame, offset, &header, sizeof(header)))
			return UNPARSED;
		if (protocol == IPPROTO_FRAGMENT) {
			if (header.fragment_offset & bpf_htons(IPV6_FRAGMENT_OFFSET))
				return NO_PORT;
			if (header.fragment_offset & bpf_htons(IPV6_MORE_FRAGMENTS))
				frame->place.is_hidden = true;
			header.length = 0;
		}
		/* Without an if, of which the verifier would follow both ways to the end. */
		is_route = ((protocol ^ IPPROTO_ROUTING) - 1U) >> 31;
		frame->place.is_hidden |=
			is_route * (header.fragment_offset & bpf_htons(IPV6_STATIONS_LEFT));
		offset += sizeof(header) + header.length * (protocol == IPPROTO_AH ? 4 : 8);
		protocol = header.next;
		frame->place.tcp_offset = offset;
		if (protocol == IPPROTO_TCP)
			return far_port(frame, offset);
	}
	return is_extension(protocol) ? BEYOND : NO_PORT;
}

/*
 * Neighbour discovery (RFC 4861, types 133 to 137) that has passed no router, which is what
 * its hop limit of 255 proves.
 */
static __always_inline bool is_neighbour_discovery(const struct ipv6hdr *ip, const void *end)
{
	const struct icmp6hdr *icmp = (const void *)(ip + 1);

	return ip->nexthdr == IPPROTO_ICMPV6 && ip->hop_limit == 255 &&
	       (const void *)(icmp + 1) <= end && icmp->icmp6_type >= 133 &&
	       icmp->icmp6_type <= 137;
}

/* Where no header says what follows: by its version. */
static __always_inline int parse_version(const struct frame *frame)
{
	const __u8 *first = frame->data;

	if ((const void *)(first + 1) > frame->end)
		return UNPARSED;
	if (*first >> 4 == 4)
		return bpf_htons(ETH_P_IP);
	return *first >> 4 == 6 ? bpf_htons(ETH_P_IPV6) : UNPARSED;
}

/*
 * The protocol behind Ethernet header and tags in network byte order, or UNPARSED, or BEYOND.
 * @network: where that protocol's header begins. @offset: the same as a number.
 */
static __always_inline int parse_link(const struct frame *frame, const void **network,
				      __u32 *offset)
{
	const struct ethernet_header *ethernet = frame->data;
	const void *pos = ethernet + 1;
	__be16 protocol;

	if (without_ethernet) {
		*network = frame->data;
		*offset = 0;
		return parse_version(frame);
	}
	*network = pos;
	*offset = sizeof(*ethernet);
	if (pos > frame->end)
		return UNPARSED;
	protocol = ethernet->protocol;
	/* Most packets: not asked whether it is a tag. */
	if (protocol == bpf_htons(ETH_P_IP))
		return protocol;
#pragma unroll
	for (int i = 0; i < VLAN_TAGS; i++) {
		const struct vlan_tag *tag = pos;

		if (!is_vlan(protocol))
			break;
		pos = tag + 1;
		if (pos > frame->end)
			return UNPARSED;
		/* Else the compiler makes of it the frame's begin plus a number. */
		asm volatile("" : "+r"(pos));
		protocol = tag->protocol;
		*offset += sizeof(*tag);
	}
	*network = pos;
	return is_vlan(protocol) ? BEYOND : protocol;
}

#endif
