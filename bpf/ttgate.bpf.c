// SPDX-License-Identifier: GPL-2.0
/*
 * The programs that user space loads: gate_xdp, and gate_tc for interfaces that take no XDP.
 * A packet that they do not drop goes on untouched, to other programs and to the kernel.
 * gate_xdp_at and gate_tc_at are the same with the time given, for tests: settings.heartbeat_ns.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include "gate.h"

/* @now_ns: 0 for the kernel's clock. */
static __always_inline int xdp(struct xdp_md *ctx, __u64 now_ns)
{
	struct clock clock = { .now_ns = now_ns };
	struct frame frame = XDP_FRAME(ctx);
	enum outcome outcome = judge(&frame, &clock);

	return count(outcome, bytes_of(&frame)) ? XDP_DROP : XDP_PASS;
}

/* Global: gone through by the verifier once, although it is called twice. */
__noinline int judge_skb(struct __sk_buff *skb, __u64 now_ns)
{
	struct clock clock = { .now_ns = now_ns };
	struct frame frame = SKB_FRAME(skb);

	return judge(&frame, &clock);
}

/* A tag that the card or the kernel has taken off already is not in the data: one less to parse. */
static __always_inline int tc(struct __sk_buff *skb, __u64 now_ns)
{
	__u32 bytes = skb->len;
	enum outcome outcome = judge_skb(skb, now_ns);

	/* Perhaps only because these bytes lie in more than one piece. */
	if (outcome == OUTCOME_PASS_UNPARSED &&
	    !bpf_skb_pull_data(skb, bytes < PULL_BYTES ? bytes : PULL_BYTES))
		outcome = judge_skb(skb, now_ns);
	return count(outcome, bytes) ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

/* 0, and so the real time, where the test has not set any. */
static __always_inline __u64 time_of_test(void)
{
	const struct settings *settings = bpf_map_lookup_elem(&ttgate_settings, &(__u32){ 0 });

	return settings ? settings->heartbeat_ns : 0;
}

SEC("xdp")
int gate_xdp(struct xdp_md *ctx)
{
	return xdp(ctx, 0);
}

SEC("tc")
int gate_tc(struct __sk_buff *skb)
{
	return tc(skb, 0);
}

SEC("?xdp")
int gate_xdp_at(struct xdp_md *ctx)
{
	return xdp(ctx, time_of_test());
}

SEC("?tc")
int gate_tc_at(struct __sk_buff *skb)
{
	return tc(skb, time_of_test());
}

char LICENSE[] SEC("license") = "GPL";
