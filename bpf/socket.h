/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the kernel's own socket knows of a connection: how many bytes it has taken, which
 * sequence numbers and acknowledgements it would take now. The kernel's structs are declared
 * with the fields that are read and no others; CO-RE puts the offsets of the running kernel in.
 * Reading them takes CAP_PERFMON.
 */
#ifndef TTGATE_SOCKET_H
#define TTGATE_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "gate.h"
#include "signatures.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct fastopen_queue {
	int max_qlen; /* 0: no TCP Fast Open */
};

struct request_sock_queue {
	struct fastopen_queue fastopenq;
};

struct inet_connection_sock {
	struct request_sock_queue icsk_accept_queue;
	struct {
		__u32 lrcvtime; /* jiffies; until the first data, when the handshake was over */
	} icsk_ack;
};

struct tcp_options_received {
	int ts_recent_stamp; /* of a listener: jiffies when it last gave out a cookie */
};

struct sock_reuseport {
	unsigned int synq_overflow_ts; /* the same, of listeners that share a port */
};

struct sock {
	struct sock_reuseport *sk_reuseport_cb;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 rcv_nxt;
	__u32 rcv_wup;
	__u32 rcv_wnd;
	__u32 snd_una;
	__u32 write_seq;
	__u64 bytes_received;
	__u64 bytes_acked;
	struct tcp_options_received rx_opt;
	bool is_mptcp;
};

struct tcp_request_sock {
	__u32 rcv_isn;
	__u32 snt_isn;
};

#pragma clang attribute pop

/* Both ends of a packet's connection, as the packet has them. */
struct endpoints {
	struct source source;
	struct source destination;
	__be16 source_port;
	__be16 destination_port;
	__u32 is_ipv4; /* a word, so that no byte is without a value: it is a key */
};

_Static_assert(offsetof(struct endpoints, destination) == sizeof(struct source), "endpoints");

struct tcp_header {
	__be16 source, destination;
	__be32 seq, ack;
	__u8 offset; /* upper half: in words */
	__u8 flags;
	__be16 window, check, urgent;
};

_Static_assert(sizeof(struct tcp_header) == 20, "tcp_header");

enum tcp_flags {
	TCP_FIN = 1 << 0,
	TCP_SYN = 1 << 1,
	TCP_RST = 1 << 2,
	TCP_ACK = 1 << 4,
	TCP_URG = 1 << 5,
};

/* linux/bpf.h has these states, and not the one of a handshake that waits for its last ACK. */
#define STATE_NEW_SYN_RECV 12

enum stream_kind {
	STREAM_NONE, /* no connection here: another host's, another network namespace's */
	STREAM_LISTENER, /* no connection */
	STREAM_UNOPENED, /* SYN cookies: perhaps one whose last ACK is under way in the kernel */
	STREAM_OPEN,
	STREAM_UNJUDGED, /* of a protocol above TCP that joins connections */
	STREAM_CLOSING, /* the client has said its last byte */
	STREAM_OTHER, /* over, or this host's own attempt to connect */
};

struct stream {
	enum stream_kind kind;
	volatile __u64 address; /* of the kernel's socket */
	__u64 received; /* bytes that the kernel has taken */
	__u32 next; /* the sequence number of the next one */
	__u32 window; /* bytes that it would take */
	__u32 ack_first, ack_last; /* what the peer may acknowledge */
	/* Jiffies of the handshake's end, while nothing was received; 0: it is about to end. */
	__u32 since;
	bool by_cookie;
	bool is_ending; /* by whatever comes next */
};

/* A window is no larger (RFC 7323 2.3), and numbers that begin again after 4 GiB are told apart. */
#define ACKED_SPAN (1U << 30)

static __always_inline void read_established(struct stream *stream, struct tcp_sock *tcp)
{
	__u32 edge = tcp->rcv_wup + tcp->rcv_wnd;
	__u64 acked = tcp->bytes_acked;

	stream->next = tcp->rcv_nxt;
	stream->received = tcp->bytes_received;
	stream->window = (__s32)(edge - stream->next) > 0 ? edge - stream->next : 0;
	stream->ack_first = tcp->snd_una - (__u32)(acked < ACKED_SPAN ? acked : ACKED_SPAN);
	/* Not snd_nxt: the kernel sends first and adds then, and the answer may be here before. */
	stream->ack_last = tcp->write_seq;
	stream->since = tcp->inet_conn.icsk_ack.lrcvtime;
}

/* A subflow's first byte may be from the middle of what the client says. */
static __always_inline bool is_subflow(struct tcp_sock *tcp)
{
	return bpf_core_field_exists(tcp->is_mptcp) && tcp->is_mptcp;
}

/*
 * Data that comes with the last ACK of the handshake, or before the kernel has seen that. Read by
 * address, which the verifier forgets the type of in a map: the helper that would give the type
 * back finds nothing where the server listens for MPTCP, even if the client does not speak it.
 */
static __always_inline void read_request(struct stream *stream, struct bpf_sock *socket)
{
	const struct tcp_request_sock *request;
	__u32 rcv_isn, snt_isn;

	stream->address = (__u64)socket;
	request = (const void *)stream->address;
	if (bpf_core_read(&rcv_isn, sizeof(rcv_isn), &request->rcv_isn) ||
	    bpf_core_read(&snt_isn, sizeof(snt_isn), &request->snt_isn))
		return;
	stream->next = rcv_isn + 1;
	stream->received = 0;
	stream->window = PREFIX_BYTES;
	stream->ack_first = snt_isn + 1;
	stream->ack_last = stream->ack_first;
	stream->since = 0;
	stream->kind = STREAM_OPEN;
}

/*
 * The handshake of a listener under a SYN flood: what it knows of the client is in the number
 * that the client acknowledges, which also proves that this is the first byte.
 */
static __always_inline void read_cookie(struct stream *stream, __u32 seq, __u32 ack)
{
	stream->next = seq;
	stream->received = 0;
	stream->window = PREFIX_BYTES;
	stream->ack_first = ack;
	stream->ack_last = ack;
	stream->since = 0;
	stream->by_cookie = true;
	stream->kind = STREAM_OPEN;
}

/*
 * Two minutes of the fastest clock, for which the kernel takes its cookies, and the second that it
 * may be late to write down when it gave one out; ten times as many of others.
 */
#define COOKIE_JIFFIES 121000

static __always_inline bool gives_cookies(struct bpf_sock *listener)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(listener);
	struct sock_reuseport *group = NULL;
	__u32 stamp;

	if (!tcp)
		return false;
	stamp = tcp->rx_opt.ts_recent_stamp;
	bpf_core_read(&group, sizeof(group), &((struct sock *)tcp)->sk_reuseport_cb);
	if (group)
		bpf_core_read(&stamp, sizeof(stamp), &group->synq_overflow_ts);
	return stamp && (__u32)bpf_jiffies64() - stamp < COOKIE_JIFFIES;
}

static __always_inline struct bpf_sock *lookup_socket(const struct frame *frame,
						      const struct endpoints *ends)
{
	struct bpf_sock_tuple tuple = {};
	__u32 bytes;

	if (ends->is_ipv4) {
		tuple.ipv4.saddr = bpf_htonl((__u32)bpf_be64_to_cpu(ends->source.low));
		tuple.ipv4.daddr = bpf_htonl((__u32)bpf_be64_to_cpu(ends->destination.low));
		tuple.ipv4.sport = ends->source_port;
		tuple.ipv4.dport = ends->destination_port;
		bytes = sizeof(tuple.ipv4);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, &ends->source, 16);
		__builtin_memcpy(tuple.ipv6.daddr, &ends->destination, 16);
		tuple.ipv6.sport = ends->source_port;
		tuple.ipv6.dport = ends->destination_port;
		bytes = sizeof(tuple.ipv6);
	}
	if (frame->is_xdp)
		return bpf_skc_lookup_tcp(frame->xdp, &tuple, bytes, BPF_F_CURRENT_NETNS, 0);
	return bpf_skc_lookup_tcp(frame->skb, &tuple, bytes, BPF_F_CURRENT_NETNS, 0);
}

#endif
