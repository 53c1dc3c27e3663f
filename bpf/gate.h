/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The verdict on one packet, the same for XDP and tc: is it guarded, is its source banned, is
 * the ban still running. Reads and writes the maps; knows nothing of contexts and actions.
 */
#ifndef TTGATE_GATE_H
#define TTGATE_GATE_H

#include "frame.h"
#include "maps.h"
#include "parse.h"

#define NS_PER_SECOND 1000000000ULL

/* Halves of an address in network byte order, IPv4 as v4-mapped: a struct ban_key, aligned. */
struct source {
	__u64 high;
	__u64 low;
};

_Static_assert(sizeof(struct source) == sizeof(struct ban_key), "source");

/* ::ffff:0:0/96 */
static __always_inline struct source mapped(__be32 address)
{
	const __be32 words[] = { 0, 0, bpf_htonl(0xffff), address };
	struct source source;

	__builtin_memcpy(&source, words, sizeof(source));
	return source;
}

/*
 * Which map holds the IPv4 bans: 0, ttgate_bans like all others; else ipv4_bans, whose values
 * have this many bytes. Constant to the verifier, which drops the half that does not apply.
 */
const volatile __u32 ipv4_value_size = 0;

/*
 * CLOCK_BOOTTIME, read once in a timer tick: reading it costs as much as the hash lookup, and
 * the packets to be dropped come in floods. A ban ends up to one tick late (1 to 10 ms). CPUs
 * that write at the same time leave a time that was right within this tick, or, where memory
 * is weakly ordered, an older one for a packet: which again is late, never early.
 */
struct {
	volatile __u64 boot_ns;
	volatile __u64 jiffies;
} tick;

struct clock {
	__u64 now_ns; /* 0: not read yet */
};

static __always_inline __u64 read_clock(struct clock *clock)
{
	__u64 jiffies;

	if (clock->now_ns)
		return clock->now_ns;
	jiffies = bpf_jiffies64();
	if (tick.jiffies != jiffies) {
		tick.boot_ns = bpf_ktime_get_boot_ns();
		tick.jiffies = jiffies;
	}
	clock->now_ns = tick.boot_ns;
	return clock->now_ns;
}

static __always_inline bool usable(const struct settings *settings)
{
	return settings && settings->magic == TTGATE_MAGIC && settings->layout == TTGATE_LAYOUT;
}

static __always_inline bool guarded(const struct settings *settings, int port)
{
#pragma unroll
	for (__u32 i = 0; i < TTGATE_MAX_PORTS; i++) {
		if (i >= settings->port_count)
			return false;
		if (settings->ports[i] == port)
			return true;
	}
	return false;
}

/*
 * A frame by which user space asks what would become of a source's packet: nobody sent it, so it
 * is not counted as the source's. It is known by what no network can bring: metadata before the
 * frame, or a mark on one that came through no interface.
 */
static __always_inline bool is_question(const struct frame *frame)
{
	const __u32 *mark;

	if (!frame->is_xdp)
		return !frame->skb->ingress_ifindex && frame->skb->mark == TTGATE_QUESTION;
	mark = (const void *)(long)frame->xdp->data_meta;
	return (const void *)(mark + 1) <= frame->data && *mark == TTGATE_QUESTION;
}

/* 0: not to be counted. */
static __always_inline __u64 counted_bytes(const struct frame *frame)
{
	return is_question(frame) ? 0 : bytes_of(frame);
}

/*
 * The counts are atomic: a source's connections arrive on every CPU that the card spreads them
 * over. Plain ones lost a fifth of the packets with two CPUs, and were not faster.
 *
 * @bytes: 0 for what is not to be counted.
 */
static __always_inline enum outcome judge_ban(struct ban *ban, enum outcome drop, __u64 bytes,
					      struct clock *clock)
{
	__u64 now;

	if (!ban)
		return OUTCOME_PASS;
	now = read_clock(clock);
	if (ban->expires_ns && now >= ban->expires_ns)
		return OUTCOME_PASS_EXPIRED;
	if (bytes) {
		__sync_fetch_and_add(&ban->packets, 1);
		__sync_fetch_and_add(&ban->bytes, bytes);
		ban->last_seen_ns = now;
	}
	return drop;
}

static __always_inline enum outcome judge_exact(const struct frame *frame, const struct source *key,
						struct clock *clock)
{
	struct ban *ban = bpf_map_lookup_elem(&ttgate_bans, key);

	return judge_ban(ban, OUTCOME_DROP_BAN, ban ? counted_bytes(frame) : 0, clock);
}

static __always_inline enum outcome judge_ipv4_map(__be32 address, struct clock *clock)
{
	const void *value = bpf_map_lookup_elem(&ipv4_bans, &address);
	__u64 expires;

	if (!value)
		return OUTCOME_PASS;
	if (ipv4_value_size == sizeof(__u64))
		expires = *(const __u64 *)value;
	else
		expires = *(const __u32 *)value;
	/* Written by hand: without an end. */
	if (expires <= 1)
		return OUTCOME_DROP_BAN;
	if (ipv4_value_size == sizeof(__u32))
		expires *= NS_PER_SECOND;
	return read_clock(clock) < expires ? OUTCOME_DROP_BAN : OUTCOME_PASS_EXPIRED;
}

/*
 * Where strangers to one another share a /64, each with an IPv4 address in the lower half: NAT64
 * (64:ff9b::/47, RFC 6052 and RFC 8215) and Teredo (2001::/32). src/core/client.ts has them too.
 */
static __always_inline bool is_shared(const struct source *address)
{
	__u64 high = bpf_be64_to_cpu(address->high);

	return high >> 17 == 0x0064ff9b0000 >> 1 || high >> 32 == 0x20010000;
}

/* The key of an IPv6 source: what a ban of it covers. */
static __always_inline struct source source_key(struct source address, __u32 bits)
{
	if (is_shared(&address))
		return address;
	if (bits <= 64) {
		address.high &= bpf_cpu_to_be64(~0ULL << (64 - bits));
		address.low = 0;
	} else {
		address.low &= bpf_cpu_to_be64(~0ULL << (128 - bits));
	}
	return address;
}

/*
 * The trie gives the longest prefix only. Where that one is over, a wider one that still runs
 * may lie behind it: the walk ends at the first that runs, or where nothing is left. Global,
 * not static, so that the verifier goes through it once and not for every call; kernel 5.10
 * wants numbers only for that.
 */
__noinline int judge_cidr(__u64 high, __u64 low, __u64 bytes, __u64 now_ns)
{
	const struct source source = { .high = high, .low = low };
	struct clock clock = { .now_ns = now_ns };
	enum outcome outcome = OUTCOME_PASS;
	struct cidr_key key;

	__builtin_memcpy(key.addr, &source, sizeof(key.addr));
	for (int bits = 128; bits >= 0; bits--) {
		struct ban *ban;

		key.prefixlen = bits;
		ban = bpf_map_lookup_elem(&ttgate_cidr, &key);
		if (!ban)
			break;
		outcome = judge_ban(ban, OUTCOME_DROP_CIDR, bytes, &clock);
		if (outcome == OUTCOME_DROP_CIDR)
			break;
	}
	return outcome;
}

/* @exact: what the single address got; a prefix may still be banned where that is over. */
static __always_inline enum outcome judge_prefixes(enum outcome exact,
						   const struct settings *settings,
						   const struct source *source,
						   const struct frame *frame, struct clock *clock)
{
	enum outcome outcome;

	if (exact == OUTCOME_DROP_BAN || !settings->cidr_entries)
		return exact;
	outcome = judge_cidr(source->high, source->low, counted_bytes(frame), clock->now_ns);
	return outcome == OUTCOME_PASS ? exact : outcome;
}

static __always_inline enum outcome judge_ipv4(struct frame *frame, const void *network,
					       __u32 offset, const struct settings *settings,
					       struct clock *clock)
{
	const struct iphdr *ip = network;
	struct source source;
	enum outcome exact;
	__be32 address;
	int port;

	if ((const void *)(ip + 1) > frame->end || !is_ipv4(ip))
		return OUTCOME_PASS_UNPARSED;
	address = ip->saddr;
	port = parse_ipv4_port(frame, offset, ip);
	frame->place.is_ipv4 = true;
	frame->place.port = port;
	frame->place.told_end = ip->tot_len ? offset + bpf_ntohs(ip->tot_len) : 0;
	if (settings->scope != SCOPE_HOST) {
		if (port <= UNPARSED)
			return OUTCOME_PASS_UNPARSED;
		if (!guarded(settings, port))
			return OUTCOME_PASS;
	}
	source = mapped(address);
	if (ipv4_value_size)
		exact = judge_ipv4_map(address, clock);
	else
		exact = judge_exact(frame, &source, clock);
	return judge_prefixes(exact, settings, &source, frame, clock);
}

/*
 * A ban of the host spares neighbour discovery: the banned prefix may be that of the gate's
 * own link or cover its router, and a neighbour that cannot be resolved is lost for everybody
 * behind it. From beyond the link nothing gets in that way. ARP passes as all that is not IP.
 */
static __always_inline enum outcome judge_ipv6(struct frame *frame, const void *network,
					       __u32 offset, const struct settings *settings,
					       struct clock *clock)
{
	const struct ipv6hdr *ip = network;
	struct source source, key;
	bool neighbour_discovery;
	enum outcome exact;
	int port;

	if ((const void *)(ip + 1) > frame->end || ip->version != 6)
		return OUTCOME_PASS_UNPARSED;
	__builtin_memcpy(&source, &ip->saddr, sizeof(source));
	port = parse_ipv6_port(frame, offset, ip);
	frame->place.port = port;
	frame->place.told_end =
		ip->payload_len ? offset + sizeof(*ip) + bpf_ntohs(ip->payload_len) : 0;
	neighbour_discovery = is_neighbour_discovery(ip, frame->end);
	/* A prefix out of range would give all of IPv6 one key. */
	if (settings->ipv6_prefix - 1 >= 128)
		return OUTCOME_PASS;
	if (settings->scope == SCOPE_HOST) {
		if (neighbour_discovery)
			return OUTCOME_PASS;
	} else {
		if (port <= UNPARSED)
			return OUTCOME_PASS_UNPARSED;
		if (!guarded(settings, port))
			return OUTCOME_PASS;
	}
	key = source_key(source, settings->ipv6_prefix);
	exact = judge_exact(frame, &key, clock);
	return judge_prefixes(exact, settings, &source, frame, clock);
}

static __always_inline enum outcome judge(struct frame *frame, struct clock *clock)
{
	const struct settings *settings = bpf_map_lookup_elem(&ttgate_settings, &(__u32){ 0 });
	const void *network;
	__u32 offset;
	int protocol;

	if (!usable(settings))
		return OUTCOME_PASS;
	protocol = parse_link(frame, &network, &offset);
	frame->place.network_offset = offset;
	if (protocol == bpf_htons(ETH_P_IP))
		return judge_ipv4(frame, network, offset, settings, clock);
	if (protocol == bpf_htons(ETH_P_IPV6))
		return judge_ipv6(frame, network, offset, settings, clock);
	frame->place.port = protocol < 0 ? protocol : NO_PORT;
	return protocol < 0 ? OUTCOME_PASS_UNPARSED : OUTCOME_PASS;
}

/* The one way out of every program: counts, and says whether the packet is to be dropped. */
static __always_inline bool count(enum outcome outcome, __u64 bytes)
{
	__u32 index = outcome;
	struct counter *counter = bpf_map_lookup_elem(&ttgate_counters, &index);

	if (counter) {
		counter->packets++;
		counter->bytes += bytes;
	}
	return outcome == OUTCOME_DROP_BAN || outcome == OUTCOME_DROP_CIDR;
}

#endif
