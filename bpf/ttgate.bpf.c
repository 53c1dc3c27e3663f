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

/* Deeper headers than this, in a tc packet whose first bytes are not together, are not read. */
#define PULL_BYTES 2048

static __always_inline int xdp(struct xdp_md *ctx, struct clock *clock)
{
	struct frame frame = {
		.data = (const void *)(long)ctx->data,
		.end = (const void *)(long)ctx->data_end,
		.xdp = ctx,
	};
	enum outcome outcome = judge(&frame, clock);

	return count(outcome, frame.bytes) ? XDP_DROP : XDP_PASS;
}

static __always_inline enum outcome judge_skb(const struct __sk_buff *skb, struct clock *clock)
{
	struct frame frame = {
		.data = (const void *)(long)skb->data,
		.end = (const void *)(long)skb->data_end,
		.measured = true,
		.bytes = skb->len,
	};

	return judge(&frame, clock);
}

/* A tag that the card or the kernel has taken off already is not in the data: one less to parse. */
static __always_inline int tc(struct __sk_buff *skb, struct clock *clock)
{
	__u32 bytes = skb->len;
	enum outcome outcome = judge_skb(skb, clock);

	/* Perhaps only because the headers lie in more than one piece. */
	if (outcome == OUTCOME_PASS_UNPARSED &&
	    !bpf_skb_pull_data(skb, bytes < PULL_BYTES ? bytes : PULL_BYTES))
		outcome = judge_skb(skb, clock);
	return count(outcome, bytes) ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

static __always_inline struct clock clock_of_test(void)
{
	const struct settings *settings = bpf_map_lookup_elem(&ttgate_settings, &(__u32){0});

	return (struct clock){.now_ns = settings ? settings->heartbeat_ns : 0};
}

SEC("xdp")
int gate_xdp(struct xdp_md *ctx)
{
	struct clock clock = {};

	return xdp(ctx, &clock);
}

SEC("tc")
int gate_tc(struct __sk_buff *skb)
{
	struct clock clock = {};

	return tc(skb, &clock);
}

SEC("?xdp")
int gate_xdp_at(struct xdp_md *ctx)
{
	struct clock clock = clock_of_test();

	return xdp(ctx, &clock);
}

SEC("?tc")
int gate_tc_at(struct __sk_buff *skb)
{
	struct clock clock = clock_of_test();

	return tc(skb, &clock);
}

char LICENSE[] SEC("license") = "GPL";
