/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The maps of inline mode and what is in them. They live as long as the program, and nobody but
 * ttgate writes them: src/fences/xdp/inline/inline_layout.ts is checked against the sizes below.
 */
#ifndef TTGATE_INLINE_MAPS_H
#define TTGATE_INLINE_MAPS_H

#include "gate.h"
#include "signatures.h"
#include "socket.h"

#define INLINE_MAGIC 0x696e6c6e /* "inln" */
#define INLINE_LAYOUT 4

/*
 * Each guarded port has a place of its own, which is its place among settings.ports; behind them is
 * that of packets whose port is not read. A port that is not judged has a place of zeros.
 */
#define INLINE_SLOTS (TTGATE_MAX_PORTS + 1)
#define UNREAD_SLOT TTGATE_MAX_PORTS

/* What the log and the evidence show of a stranger. */
#define EVIDENCE_BYTES 64

enum inline_flags {
	INLINE_DRY_RUN = 1 << 0, /* judge and count, ban nobody */
	INLINE_BOUNCE = 1 << 1, /* answer the packets of those who are banned with RST */
	INLINE_PASS_FRAGMENTS = 1 << 2, /* and senders' routes: unjudged */
	INLINE_PASS_UNREAD = 1 << 3, /* what lies behind more headers than are read: unjudged */
	INLINE_TRIAL = 1 << 4, /* a dry run in which those who are banned already stay out */
};

struct inline_settings {
	__u32 magic;
	__u32 layout;
	__u32 flags; /* enum inline_flags */
	__u32 table; /* which in ttgate_tables is valid */
	__u64 ban_ns; /* how long; 0: without an end */
	__u64 since; /* jiffies: connections that were open then are left alone */
	__u32 generation; /* of the table, for the names of its owners */
	__u32 port; /* host byte order */
};

/* What became of a segment with data, or of a packet of somebody banned: index of the counts. */
enum inline_outcome {
	INLINE_PASSED, /* first bytes, as expected */
	INLINE_UNDECIDED, /* first bytes, not enough to tell; remembered and passed */
	INLINE_BANNED,
	INLINE_SPARED, /* foreign, from an address that is never banned */
	INLINE_WOULD_BAN, /* foreign, in a dry run */
	INLINE_NOT_BANNED, /* foreign, and left to user space: the map was full, for one */
	INLINE_UNPROVEN, /* foreign, or to be remembered, but perhaps forged or damaged */
	INLINE_NO_SOCKET, /* to a guarded port, and no connection here */
	INLINE_OLDER, /* of a connection that was open before the program came */
	INLINE_HELD, /* dropped, and not lost: the client sends it again when it may be judged */
	INLINE_RESET, /* of somebody banned, made a RST for the server */
	INLINE_BOUNCED, /* of somebody banned, answered with a RST */
	INLINE_FRAGMENT, /* the first IP fragment of a TCP segment, or a sender's route: dropped */
	INLINE_UNREAD, /* behind more tags or extension headers than are read, dropped */
	INLINE_URGENT, /* first bytes, the urgent pointer taken out */
	INLINE_MPTCP, /* MPTCP's option taken out */
	INLINE_MALFORMED, /* a near miss of what is expected, made a RST for the server */
	INLINE_EVENT_LOST, /* user space was not told: it had not fetched those before */
	INLINE_OUTCOME_COUNT,
};

struct inline_event {
	__u64 at_ns; /* CLOCK_BOOTTIME */
	__u8 source[16];
	__u16 source_port, port; /* host byte order */
	__u16 owner; /* of the signature table */
	__u8 what; /* enum inline_outcome */
	__u8 count; /* bytes of evidence */
	__u32 generation;
	__u32 reserved;
	__u8 evidence[EVIDENCE_BYTES];
};

_Static_assert(sizeof(struct inline_settings) == 40, "inline_settings");
_Static_assert(sizeof(struct inline_event) == 104, "inline_event");

/* A connection: both ends, and the sequence number of its first byte. */
struct stream_key {
	struct source source, destination;
	__be16 source_port, destination_port;
	__u32 first;
};

#define REFUSED ~0U

/* The first bytes of a connection that are not enough for a verdict, in whatever order they came.
 */
struct undecided {
	__u64 have[PREFIX_BYTES / 64];
	__u32 contiguous; /* from the first byte on */
	__u32 passed_at; /* with so many they passed; 0: not yet; REFUSED: they never will */
	__u8 bytes[PREFIX_BYTES];
};

#define CHUNK_BYTES 512

/* A TCP segment to a guarded port, and the stream that it belongs to. */
struct segment {
	struct endpoints ends;
	struct tcp_header tcp;
	__u32 seq, ack;
	__u32 payload_at, payload_bytes;
	struct stream stream;
};

/*
 * What is too big for the stack, and what global functions hand each other: the verifier goes
 * through those once, since it knows nothing of what they find here. One packet at a time is on
 * a CPU.
 */
struct scratch {
	struct match match;
	struct place place;
	struct segment segment;
	struct stream_key key;
	struct undecided fresh;
	struct inline_event event;
	__u64 now_ns;
	__u32 slot; /* of the packet's port */
	struct {
		volatile __u32 next, blank_end;
	} walk; /* over a TCP header's options, where the verifier does not follow */
	__u8 chunk[2 * CHUNK_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, INLINE_SLOTS);
	__type(key, __u32);
	__type(value, struct inline_settings);
} ttgate_inline SEC(".maps");

/*
 * Two places for each port: the one that is not in use is written, then inline_settings.table
 * changes.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * TTGATE_MAX_PORTS);
	__type(key, __u32);
	__type(value, struct signatures);
} ttgate_tables SEC(".maps");

/*
 * Who is in it has a connection with this host, so that filling it costs as many; the oldest
 * makes room, which then passes unjudged.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct stream_key);
	__type(value, struct undecided);
} ttgate_undecided SEC(".maps");

/* Those of them that a CPU adds bytes to right now: JITs of old kernels know no compare-and-swap. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct stream_key);
	__type(value, __u32);
} ttgate_merging SEC(".maps");

/*
 * Sources with a connection that passed: what stays undecided is no strike against them. User
 * space alone reads it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct source);
	__type(value, __u32); /* the sequence number of the segment that passed first */
} ttgate_welcome SEC(".maps");

/* What a ban of an address has to respect. */
enum never_ban {
	MAY_BE_BANNED, /* what is not in the map too */
	NEVER_BANNED,
	NEIGHBOUR_NEVER_BANNED, /* in the same IPv6 network: user space says how much to ban */
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536); /* a host of many services has thousands of addresses */
	__type(key, struct cidr_key);
	__type(value, __u32);
} ttgate_never_ban SEC(".maps");

/* A queue, not a ring buffer: user space fetches without a callback and without shared pages. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 4096);
	__type(value, struct inline_event);
} ttgate_events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, INLINE_SLOTS *INLINE_OUTCOME_COUNT);
	__type(key, __u32);
	__type(value, struct counter);
} ttgate_inline_counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} ttgate_scratch SEC(".maps");

enum action {
	ACTION_PASS,
	ACTION_DROP,
	ACTION_BOUNCE,
	ACTION_PLAIN, /* has to be made plain TCP first: plain.h */
	ACTION_AGAIN, /* not parsed: perhaps when more of it lies in one piece */
	ACTION_INSPECT, /* by its first bytes */
	ACTION_INSPECT_BANNED,
};

static __always_inline void count_inline(enum inline_outcome outcome, __u64 bytes)
{
	const struct scratch *scratch = bpf_map_lookup_elem(&ttgate_scratch, &(__u32){ 0 });
	struct counter *counter;
	__u32 index;

	if (!scratch)
		return;
	index = scratch->slot * INLINE_OUTCOME_COUNT + outcome;
	counter = bpf_map_lookup_elem(&ttgate_inline_counters, &index);
	if (counter) {
		counter->packets++;
		counter->bytes += bytes;
	}
}

#endif
