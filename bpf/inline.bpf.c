// SPDX-License-Identifier: GPL-2.0
/*
 * The programs of inline mode: the gate of ttgate.bpf.c, and what it lets pass to a guarded port
 * is judged by its first bytes. An object of its own, because CO-RE wants the kernel's BTF and
 * the plain gate does not.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include "inline.h"
#include "bounce.h"

/* Global, as those in signatures.h: whatever way judge() took to get here. */
__noinline int inspect_xdp(struct xdp_md *ctx, bool banned, bool is_plain)
{
	const struct frame frame = XDP_FRAME(ctx);

	return inspect(&frame, banned, is_plain);
}

__noinline int inspect_skb(struct __sk_buff *skb, bool banned, bool is_plain)
{
	const struct frame frame = SKB_FRAME(skb);

	return inspect(&frame, banned, is_plain);
}

/* By source and port alone: what is still to be done. */
static __always_inline enum action judged(struct frame *frame, enum outcome outcome)
{
	bool banned;

	frame->place.bytes = bytes_of(frame);
	banned = count(outcome, frame->place.bytes);
	if (is_inspected(&frame->place))
		return banned ? ACTION_INSPECT_BANNED : ACTION_INSPECT;
	return banned ? ACTION_DROP : ACTION_PASS;
}

/* Global, and over before anything is inspected: kernel 5.15 adds up the stack of all callers. */
__noinline int judge_xdp(struct xdp_md *ctx)
{
	struct clock clock = {};
	struct frame frame = XDP_FRAME(ctx);

	return judged(&frame, judge(&frame, &clock));
}

SEC("xdp")
int gate_xdp(struct xdp_md *ctx)
{
	int action = judge_xdp(ctx);

	if (action == ACTION_INSPECT || action == ACTION_INSPECT_BANNED) {
		bool banned = action == ACTION_INSPECT_BANNED;

		action = inspect_xdp(ctx, banned, false);
		if (action == ACTION_PLAIN) {
			make_plain_xdp(ctx);
			action = inspect_xdp(ctx, banned, true);
		}
	}
	if (action == ACTION_BOUNCE && !bounce(ctx)) {
		count_inline(INLINE_BOUNCED, inspected_bytes());
		return XDP_TX;
	}
	return action == ACTION_PASS ? XDP_PASS : XDP_DROP;
}

/* Global as judge_xdp(), and gone through by the verifier once, although it is called twice. */
__noinline int judge_skb(struct __sk_buff *skb, bool is_last)
{
	struct clock clock = {};
	struct frame frame = SKB_FRAME(skb);
	enum outcome outcome = judge(&frame, &clock);

	if (outcome == OUTCOME_PASS_UNPARSED && !is_last)
		return ACTION_AGAIN;
	return judged(&frame, outcome);
}

SEC("tc")
int gate_tc(struct __sk_buff *skb)
{
	__u32 bytes = skb->len;
	int action = judge_skb(skb, false);

	/* Perhaps only because these bytes lie in more than one piece. */
	if (action == ACTION_AGAIN) {
		bpf_skb_pull_data(skb, bytes < PULL_BYTES ? bytes : PULL_BYTES);
		action = judge_skb(skb, true);
	}
	if (action == ACTION_INSPECT || action == ACTION_INSPECT_BANNED) {
		bool banned = action == ACTION_INSPECT_BANNED;

		action = inspect_skb(skb, banned, false);
		if (action == ACTION_PLAIN) {
			make_plain_skb(skb);
			action = inspect_skb(skb, banned, true);
		}
	}
	return action == ACTION_PASS ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}

/* Writes the time of the beginning where none is yet, in ticks, in which the kernel's sockets count
 * too. */
SEC("?xdp")
int inline_begin(struct xdp_md *ctx __attribute__((unused)))
{
#pragma unroll
	for (__u32 i = 0; i < INLINE_SLOTS; i++) {
		__u32 slot = i;
		struct inline_settings *settings = bpf_map_lookup_elem(&ttgate_inline, &slot);

		if (!settings)
			return -1;
		if (!settings->since)
			settings->since = bpf_jiffies64();
	}
	return 0;
}

/* The verdict on what lies behind the Ethernet header, for tests and for the bench. */
SEC("?xdp")
int sniff_frame(struct xdp_md *ctx)
{
	const struct frame frame = XDP_FRAME(ctx);
	const __u32 zero = 0;
	struct scratch *scratch = bpf_map_lookup_elem(&ttgate_scratch, &zero);
	const struct inline_settings *settings = bpf_map_lookup_elem(&ttgate_inline, &zero);
	__u64 bytes = bpf_xdp_get_buff_len(ctx) - sizeof(struct ethernet_header);
	const struct signatures *table;
	__u32 which;

	if (!scratch || !settings)
		return -1;
	which = settings->table;
	table = bpf_map_lookup_elem(&ttgate_tables, &which);
	scratch->match.length = bytes < PREFIX_BYTES ? bytes : PREFIX_BYTES;
	if (!table ||
	    load_prefix(&frame, scratch, sizeof(struct ethernet_header), 0, scratch->match.length))
		return -1;
	return sniff(table, &scratch->match);
}

char LICENSE[] SEC("license") = "GPL";
