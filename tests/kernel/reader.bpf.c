// SPDX-License-Identifier: GPL-2.0
/* Stands for somebody else's program: drops IPv4 sources that are in the documented map. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __be32);
	__type(value, __u32);
} blocked SEC(".maps");

SEC("xdp")
int reader(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);
	__be32 source;

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	source = ip->saddr;
	return bpf_map_lookup_elem(&blocked, &source) ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
