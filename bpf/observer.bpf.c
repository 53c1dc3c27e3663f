// SPDX-License-Identifier: GPL-2.0
/*
 * The second observer of inline mode: follows the kernel's own sockets, whatever way their packets
 * came, and tells of connections to a guarded port that got bytes which the judge never saw. By a
 * NAT redirect, for one, by an interface that is not guarded, or by what nobody thought of.
 *
 * Knows of the judge nothing but ttgate_seen. A connection is followed from its handshake until
 * its first bytes are accounted for, so that those from before the observer came are left alone.
 */
#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/types.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "seen.h"

#define WATCH_MAX_PORTS 8
/* The loopback interface of every network namespace. */
#define LOOPBACK_IFINDEX 1
/* enum sock_flags: the peer's FIN was taken, which the kernel counts as a byte. */
#define SOCK_DONE 1

/* include/linux/socket.h */
#define AF_INET 2
#define AF_INET6 10

enum watch_flags {
	WATCH_LOOPBACK = 1 << 0, /* loopback is guarded too */
	WATCH_ADDRESS = 1 << 1, /* only connections to this address */
};

struct watch_settings {
	__u32 netns; /* number of the network namespace */
	__u32 flags; /* enum watch_flags */
	__u64 since_ns; /* CLOCK_BOOTTIME: connections from before are left alone */
	__u64 address[2];
	__u32 port_count;
	__u32 reserved;
	__u16 ports[WATCH_MAX_PORTS]; /* host byte order */
};

enum watch_count {
	WATCH_FOLLOWED, /* connections whose handshake was seen */
	WATCH_UNSEEN, /* of those, with bytes that the judge never saw */
	WATCH_UNTOLD, /* of those, not in the queue: it was full */
	WATCH_COUNTS,
};

struct unseen {
	__u64 at_ns; /* CLOCK_BOOTTIME */
	struct seen_key ends;
	__u64 received; /* bytes */
	__u64 ifindex; /* by which the last packet came; 0: not known */
};

/* A connection that has not got a byte yet, as far as is known. */
struct followed {
	struct seen_key ends; /* without the first byte's number */
	__u32 is_doubtful; /* looked at once, and not found; another CPU may have been at work */
	__u32 reserved;
};

_Static_assert(sizeof(struct watch_settings) == 56, "watch_settings");
_Static_assert(sizeof(struct unseen) == 64, "unseen");

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct in6_addr___kernel {
	__u8 bytes[16];
};

struct sock_common {
	__be32 skc_daddr, skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	unsigned long skc_flags;
	possible_net_t skc_net;
	struct in6_addr___kernel skc_v6_daddr, skc_v6_rcv_saddr;
};

struct sock {
	struct sock_common __sk_common;
	__u16 sk_protocol;
	int sk_rx_dst_ifindex; /* since 5.17 */
};

struct inet_sock {
	int rx_dst_ifindex; /* before */
};

struct tcp_sock {
	__u32 rcv_nxt;
	__u64 bytes_received;
};

#pragma clang attribute pop

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct watch_settings);
} ttgate_watch SEC(".maps");

/*
 * By the address of the kernel's socket. Made at once, since a tracepoint may not wait for memory;
 * the connection that has been silent for longest makes room. No more than this, because all of
 * it is gone through at a time: 0.2 ms.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct followed);
} ttgate_followed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 256);
	__type(value, struct unseen);
} ttgate_unseen SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WATCH_COUNTS);
	__type(key, __u32);
	__type(value, __u64);
} ttgate_watch_counts SEC(".maps");

static __always_inline void count_watch(enum watch_count what)
{
	__u32 index = what;
	__u64 *count = bpf_map_lookup_elem(&ttgate_watch_counts, &index);

	if (count)
		__sync_fetch_and_add(count, 1);
}

static __always_inline const struct watch_settings *watch_settings(void)
{
	return bpf_map_lookup_elem(&ttgate_watch, &(__u32){ 0 });
}

static __always_inline bool is_watched(const struct watch_settings *settings, __u16 port)
{
#pragma unroll
	for (__u32 i = 0; i < WATCH_MAX_PORTS; i++) {
		if (i >= settings->port_count)
			return false;
		if (settings->ports[i] == port)
			return true;
	}
	return false;
}

static __always_inline void set_mapped(__u64 *address, __be32 ipv4)
{
	__u32 words[2] = { bpf_htonl(0xffff), ipv4 };

	address[0] = 0;
	__builtin_memcpy(&address[1], words, sizeof(words));
}

/* 0, or not for a socket that is neither IPv4 nor IPv6. */
static __always_inline int read_ends(struct seen_key *ends, const struct sock *sock)
{
	__builtin_memset(ends, 0, sizeof(*ends));
	switch (BPF_CORE_READ(sock, __sk_common.skc_family)) {
	case AF_INET:
		set_mapped(ends->source, BPF_CORE_READ(sock, __sk_common.skc_daddr));
		set_mapped(ends->destination, BPF_CORE_READ(sock, __sk_common.skc_rcv_saddr));
		break;
	case AF_INET6:
		bpf_core_read(ends->source, 16, &sock->__sk_common.skc_v6_daddr);
		bpf_core_read(ends->destination, 16, &sock->__sk_common.skc_v6_rcv_saddr);
		break;
	default:
		return -1;
	}
	ends->source_port = BPF_CORE_READ(sock, __sk_common.skc_dport);
	ends->destination_port = bpf_htons(BPF_CORE_READ(sock, __sk_common.skc_num));
	return 0;
}

static __always_inline __u32 ifindex_of(const struct sock *sock)
{
	const struct inet_sock *inet = (const void *)sock;

	if (bpf_core_field_exists(sock->sk_rx_dst_ifindex))
		return BPF_CORE_READ(sock, sk_rx_dst_ifindex);
	if (bpf_core_field_exists(inet->rx_dst_ifindex))
		return BPF_CORE_READ(inet, rx_dst_ifindex);
	return 0;
}

/* The handshake of somebody who connected to this host is over. */
static __always_inline void follow(const struct sock *sock)
{
	const struct watch_settings *settings = watch_settings();
	struct followed followed = {};
	__u64 address = (__u64)sock;

	if (!settings || !is_watched(settings, BPF_CORE_READ(sock, __sk_common.skc_num)) ||
	    BPF_CORE_READ(sock, sk_protocol) != IPPROTO_TCP ||
	    BPF_CORE_READ(sock, __sk_common.skc_net.net, ns.inum) != settings->netns ||
	    bpf_ktime_get_boot_ns() < settings->since_ns || read_ends(&followed.ends, sock))
		return;
	if (settings->flags & WATCH_ADDRESS &&
	    (followed.ends.destination[0] != settings->address[0] ||
	     followed.ends.destination[1] != settings->address[1]))
		return;
	count_watch(WATCH_FOLLOWED);
	bpf_map_update_elem(&ttgate_followed, &address, &followed, BPF_ANY);
}

static __always_inline void tell(const struct seen_key *ends, __u64 received, __u32 ifindex)
{
	struct unseen unseen = {
		.at_ns = bpf_ktime_get_boot_ns(),
		.ends = *ends,
		.received = received,
		.ifindex = ifindex,
	};

	count_watch(WATCH_UNSEEN);
	if (bpf_map_push_elem(&ttgate_unseen, &unseen, 0))
		count_watch(WATCH_UNTOLD);
}

/* @is_last: the socket is closed and changes no more. */
static __always_inline void look(__u64 address, struct followed *followed, bool is_last)
{
	const struct sock *sock = (const void *)address;
	const struct tcp_sock *tcp = (const void *)address;
	const struct watch_settings *settings;
	struct seen_key ends = followed->ends;
	__u64 taken, received;
	__u32 ifindex;

	taken = BPF_CORE_READ(tcp, bytes_received);
	received = taken - (taken && BPF_CORE_READ(sock, __sk_common.skc_flags) >> SOCK_DONE & 1);
	if (!received) {
		if (is_last)
			bpf_map_delete_elem(&ttgate_followed, &address);
		return;
	}
	ends.first = BPF_CORE_READ(tcp, rcv_nxt) - (__u32)taken;
	ifindex = ifindex_of(sock);
	settings = watch_settings();
	if (is_seen(&ends) || !settings ||
	    (ifindex == LOOPBACK_IFINDEX && !(settings->flags & WATCH_LOOPBACK))) {
		bpf_map_delete_elem(&ttgate_followed, &address);
		return;
	}
	/* Perhaps read between the two fields that a packet changes. */
	if (!is_last && !followed->is_doubtful) {
		followed->is_doubtful = 1;
		return;
	}
	/* Whoever takes it out tells. */
	if (!bpf_map_delete_elem(&ttgate_followed, &address))
		tell(&ends, received, ifindex);
}

SEC("raw_tp/inet_sock_set_state")
int watch_state(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 address = ctx->args[0];
	int before = ctx->args[1], after = ctx->args[2];
	struct followed *followed;

	if (before == BPF_TCP_SYN_RECV && after == BPF_TCP_ESTABLISHED) {
		follow((const void *)address);
		return 0;
	}
	if (after != BPF_TCP_CLOSE || before == BPF_TCP_LISTEN || before == BPF_TCP_SYN_SENT)
		return 0;
	followed = bpf_map_lookup_elem(&ttgate_followed, &address);
	if (followed)
		look(address, followed, true);
	return 0;
}

static long look_at_one(void *map __attribute__((unused)), const __u64 *address,
			struct followed *followed, void *context __attribute__((unused)))
{
	look(*address, followed, false);
	return 0;
}

/* Run by user space twice a second, for connections that stay open. */
SEC("raw_tp")
int watch_open(void *ctx __attribute__((unused)))
{
	bpf_for_each_map_elem(&ttgate_followed, look_at_one, NULL, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
