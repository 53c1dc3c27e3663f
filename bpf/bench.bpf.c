// SPDX-License-Identifier: GPL-2.0
/*
 * For make bench only: what the gate is measured against, compiled with it, and the gate on
 * packets that each come from another source.
 */
#include "ttgate.bpf.c"

/* Random sources are 10.0.0.0 and the next million: a power of two, and all of them banned. */
#define SOURCES 0x100000
#define FIRST_SOURCE 0x0a000000

/* Where generate sends its packets, and how many sources it takes in turn. */
const volatile __u32 target_ifindex = 0;
const volatile __u32 source_count = 1;
const volatile __u32 random_sources = SOURCES;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __be32);
	__type(value, __u32);
} bare_ipv4 SEC(".maps");

/* The same keys as ttgate_bans, in a map of the same kind. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1048576);
	__type(key, struct source);
	__type(value, __u64);
} bare_bans SEC(".maps");

static __always_inline struct iphdr *ip_header(struct xdp_md *ctx)
{
	struct iphdr *ip = (void *)(long)ctx->data + sizeof(struct ethernet_header);

	return (void *)(ip + 1) > (void *)(long)ctx->data_end ? NULL : ip;
}

SEC("?xdp")
int bare_pass(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_PASS;
}

SEC("?xdp")
int bare_all(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_DROP;
}

SEC("?tc")
int bare_tc(struct __sk_buff *skb __attribute__((unused)))
{
	return TC_ACT_UNSPEC;
}

SEC("?xdp")
int bare_drop(struct xdp_md *ctx)
{
	const struct iphdr *ip = ip_header(ctx);
	__be32 key;

	if (!ip)
		return XDP_PASS;
	key = ip->saddr;
	return bpf_map_lookup_elem(&bare_ipv4, &key) ? XDP_DROP : XDP_PASS;
}

__u64 fence;

/*
 * The addition is a barrier: without, the CPU works on the next packets while it waits for the
 * memory of this one, and a program is measured by how many of its turns fit into the CPU.
 */
static __always_inline void set_random_source(struct iphdr *ip)
{
	__sync_fetch_and_add(&fence, 1);
	ip->saddr = bpf_htonl(FIRST_SOURCE | (bpf_get_prandom_u32() % random_sources));
}

SEC("?xdp")
int bare_random(struct xdp_md *ctx)
{
	struct iphdr *ip = ip_header(ctx);
	struct source key;

	if (!ip)
		return XDP_PASS;
	set_random_source(ip);
	key = mapped(ip->saddr);
	return bpf_map_lookup_elem(&bare_bans, &key) ? XDP_DROP : XDP_PASS;
}

SEC("?xdp")
int gate_random(struct xdp_md *ctx)
{
	struct iphdr *ip = ip_header(ctx);

	if (!ip)
		return XDP_PASS;
	set_random_source(ip);
	return xdp(ctx, 0);
}

__u32 generated;

/* Frames as a card hands them to its driver: the kernel's test run makes them (5.18). */
SEC("?xdp")
int generate(struct xdp_md *ctx)
{
	struct iphdr *ip = ip_header(ctx);
	const __u16 *words = (const __u16 *)ip;
	__u32 sum = 0;

	if (!ip)
		return XDP_ABORTED;
	ip->saddr = bpf_htonl(FIRST_SOURCE | generated++ % source_count);
	ip->check = 0;
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	ip->check = ~((sum & 0xffff) + (sum >> 16));
	return bpf_redirect(target_ifindex, 0);
}
