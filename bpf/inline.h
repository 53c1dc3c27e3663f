/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Inline mode: judges the first bytes of each connection to a guarded port on their way to the
 * server. Where they are in the stream, and whether the client is who it says, comes from the
 * kernel's own socket; only what is not decided by its first segment is remembered here.
 *
 * The line that decides a ban is in judge_segment(). Everything that is not proven passes: to be
 * taken or refused by the kernel as if ttgate were not there.
 */
#ifndef TTGATE_INLINE_H
#define TTGATE_INLINE_H

#include "gate.h"
#include "judged.h"
#include "signatures.h"
#include "socket.h"

#define INLINE_MAGIC 0x696e6c6e /* "inln" */
#define INLINE_LAYOUT 1

/* What the log and the evidence show of a stranger. */
#define EVIDENCE_BYTES 64

enum inline_flags {
	INLINE_DRY_RUN = 1 << 0, /* judge and count, ban nobody */
	INLINE_BOUNCE = 1 << 1, /* answer the packets of those who are banned with RST */
};

struct inline_settings {
	__u32 magic;
	__u32 layout;
	__u32 flags; /* enum inline_flags */
	__u32 table; /* which of the two in ttgate_tables is valid */
	__u64 ban_ns; /* how long; 0: without an end */
	__u64 since; /* jiffies: connections that were open then are left alone */
	__u32 generation; /* of the table, for the names of its owners */
	__u32 reserved;
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

/* The first bytes of a connection that are not enough for a verdict, in whatever order they came.
 */
struct undecided {
	__u64 have[PREFIX_BYTES / 64];
	__u32 contiguous; /* from the first byte on */
	__u32 passed_at; /* with so many they passed; 0: not yet */
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
	__u8 chunk[2 * CHUNK_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct inline_settings);
} ttgate_inline SEC(".maps");

/* Two places: the one that is not in use is written, then inline_settings.table changes. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
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

/* What a ban of an address has to respect. */
enum never_ban {
	MAY_BE_BANNED, /* what is not in the map too */
	NEVER_BANNED,
	NEIGHBOUR_NEVER_BANNED, /* in the same IPv6 network: how much to ban is for user space to
				   say */
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
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
	__uint(max_entries, INLINE_OUTCOME_COUNT);
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
	ACTION_AGAIN, /* not parsed: perhaps when more of it lies in one piece */
};

/*
 * Before kernel 5.18: bytes of an XDP frame by pointer, to the chunk. Global, as those in
 * signatures.h.
 */
__noinline int load_by_pointer(struct xdp_md *ctx, __u32 offset, __u32 size)
{
	struct scratch *scratch = bpf_map_lookup_elem(&ttgate_scratch, &(__u32){ 0 });
	const __u8 *from = (const void *)(long)ctx->data;
	const void *end = (const void *)(long)ctx->data_end;
	__u64 distance = offset & OFFSET_MASK;

	if (!scratch)
		return -1;
	asm volatile("%0 &= %1" : "+r"(distance) : "i"(OFFSET_MASK));
	from += distance;
	for (__u32 i = 0; i < CHUNK_BYTES; i++) {
		if (i >= size)
			break;
		if ((const void *)(from + i + 1) > end)
			return -1;
		scratch->chunk[i] = from[i];
	}
	return 0;
}

/* 0, or not when the frame ends before, or nothing is to be loaded. */
static __always_inline int load_chunk(const struct frame *frame, struct scratch *scratch,
				      __u32 offset, __u32 size)
{
	__u32 last;

	if (frame->is_xdp && !multi_buffer)
		return load_by_pointer(frame->xdp, offset, size);
	/* For the verifier, which would not see the bounds in what the compiler makes of it. */
	last = size - 1;
	asm volatile("" : "+r"(last));
	if (last >= CHUNK_BYTES)
		return -1;
	if (!frame->is_xdp)
		return bpf_skb_load_bytes(frame->skb, offset, scratch->chunk, last + 1);
	return bpf_xdp_load_bytes(frame->xdp, offset, scratch->chunk, last + 1);
}

/* The same to a place in the prefix. */
static __always_inline int load_prefix(const struct frame *frame, struct scratch *scratch,
				       __u32 offset, __u32 at, __u32 size)
{
	__u8 *to = &scratch->match.bytes[at & (PREFIX_BYTES - 1)];
	__u32 last = size - 1;

	asm volatile("" : "+r"(last));
	if (last >= PREFIX_BYTES)
		return -1;
	if (!frame->is_xdp)
		return bpf_skb_load_bytes(frame->skb, offset, to, last + 1);
	if (multi_buffer)
		return bpf_xdp_load_bytes(frame->xdp, offset, to, last + 1);
	if (load_by_pointer(frame->xdp, offset, size))
		return -1;
	for (__u32 i = 0; i < PREFIX_BYTES; i++) {
		if (i >= size)
			break;
		to[i] = scratch->chunk[i];
		asm volatile("" ::: "memory"); /* else it becomes a call of memmove */
	}
	return 0;
}

static __always_inline void count_inline(enum inline_outcome outcome, __u64 bytes)
{
	__u32 index = outcome;
	struct counter *counter = bpf_map_lookup_elem(&ttgate_inline_counters, &index);

	if (counter) {
		counter->packets++;
		counter->bytes += bytes;
	}
}

static __always_inline int read_segment(const struct frame *frame, const struct place *place,
					struct segment *segment)
{
	struct tcp_header *tcp = &segment->tcp;
	__u32 end = place->told_end ? place->told_end : place->bytes;
	__u32 header_bytes;

	if (load_header(frame, place->tcp_offset, tcp, sizeof(*tcp)))
		return -1;
	header_bytes = (tcp->offset >> 4) * 4;
	segment->payload_at = place->tcp_offset + header_bytes;
	if (header_bytes < sizeof(*tcp) || end > place->bytes || end < segment->payload_at)
		return -1;
	segment->payload_bytes = end - segment->payload_at;
	segment->seq = bpf_ntohl(tcp->seq);
	segment->ack = bpf_ntohl(tcp->ack);
	segment->ends.source_port = tcp->source;
	segment->ends.destination_port = tcp->destination;
	segment->ends.is_ipv4 = place->is_ipv4;
	if (place->is_ipv4) {
		__be32 addresses[2];

		if (load_header(frame, place->network_offset + offsetof(struct iphdr, saddr),
				addresses, sizeof(addresses)))
			return -1;
		segment->ends.source.high = 0;
		segment->ends.source.low = bpf_cpu_to_be64(MAPPED_HEAD | bpf_ntohl(addresses[0]));
		segment->ends.destination.high = 0;
		segment->ends.destination.low =
			bpf_cpu_to_be64(MAPPED_HEAD | bpf_ntohl(addresses[1]));
		return 0;
	}
	return load_header(frame, place->network_offset + offsetof(struct ipv6hdr, saddr),
			   &segment->ends.source, 2 * sizeof(struct source));
}

static __always_inline bool proves_cookie(const struct frame *frame, const struct place *place,
					  struct bpf_sock *listener, struct segment *segment)
{
	if (place->is_ipv4) {
		struct iphdr ip;

		return !load_at(frame, place->network_offset, &ip, sizeof(ip)) &&
		       !bpf_tcp_check_syncookie(listener, &ip, sizeof(ip), (void *)&segment->tcp,
						sizeof(segment->tcp));
	} else {
		struct ipv6hdr ip;

		return !load_at(frame, place->network_offset, &ip, sizeof(ip)) &&
		       !bpf_tcp_check_syncookie(listener, &ip, sizeof(ip), (void *)&segment->tcp,
						sizeof(segment->tcp));
	}
}

/* The client has said its last byte. */
static __always_inline bool is_half_closed(__u32 state)
{
	return state == BPF_TCP_CLOSE_WAIT || state == BPF_TCP_CLOSING || state == BPF_TCP_LAST_ACK;
}

static __always_inline void find_stream(const struct frame *frame, const struct place *place,
					struct segment *segment)
{
	struct stream *stream = &segment->stream;
	struct bpf_sock *socket = lookup_socket(frame, &segment->ends);
	struct tcp_sock *tcp;

	stream->kind = STREAM_NONE;
	if (!socket)
		return;
	stream->kind = STREAM_OTHER;
	switch (socket->state) {
	case BPF_TCP_ESTABLISHED:
	case BPF_TCP_FIN_WAIT1:
	case BPF_TCP_FIN_WAIT2:
	case BPF_TCP_SYN_RECV: /* by TCP Fast Open: the socket is there before the last ACK is */
	case BPF_TCP_CLOSE_WAIT:
	case BPF_TCP_CLOSING:
	case BPF_TCP_LAST_ACK:
		tcp = bpf_skc_to_tcp_sock(socket);
		if (!tcp)
			break;
		read_established(stream, tcp);
		stream->kind = STREAM_OPEN;
		if (is_subflow(tcp) || is_half_closed(socket->state))
			stream->kind = STREAM_UNJUDGED;
		break;
	case STATE_NEW_SYN_RECV:
		read_request(stream, socket);
		break;
	case BPF_TCP_LISTEN:
		stream->kind = STREAM_LISTENER;
		if (!(segment->tcp.flags & TCP_SYN) && proves_cookie(frame, place, socket, segment))
			read_cookie(stream, segment->seq, segment->ack);
		break;
	}
	bpf_sk_release(socket);
}

/* RFC 9293 3.10.7.4: the kernel would take it. An off-path attacker knows neither number. */
static __always_inline bool is_acceptable(const struct segment *segment)
{
	const struct stream *stream = &segment->stream;
	__s32 ahead = segment->seq - stream->next;

	return segment->ack - stream->ack_first <= stream->ack_last - stream->ack_first &&
	       ahead <= (__s32)stream->window;
}

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* RFC 9293 3.1 and RFC 8200 8.1; IPv4 as v4-mapped gives the same sum but for the 0xffff. */
static __always_inline __u32 sum_pseudo_header(const struct endpoints *ends, __u32 tcp_bytes)
{
	__u64 sum = bpf_htonl(IPPROTO_TCP) + (__u64)bpf_htonl(tcp_bytes);

	sum += ends->source.low & 0xffffffff;
	sum += ends->source.low >> 32;
	sum += ends->destination.low & 0xffffffff;
	sum += ends->destination.low >> 32;
	sum += ends->source.high & 0xffffffff;
	sum += ends->source.high >> 32;
	sum += ends->destination.high & 0xffffffff;
	sum += ends->destination.high >> 32;
	return fold(sum);
}

/* A jumbo frame in chunks; what is longer was put together by the kernel, and has a partial sum. */
#define MAX_CHUNKS 20

/*
 * A card may have a damaged packet go on, to be dropped by TCP. A sender on this host, and what
 * the kernel has put together from several packets, has the sum of the pseudo header only.
 */
static __always_inline bool sum_segment(const struct frame *frame)
{
	struct scratch *scratch = bpf_map_lookup_elem(&ttgate_scratch, &(__u32){ 0 });
	struct segment *segment;
	__u32 total, pseudo;
	__s64 sum;

	if (!scratch)
		return false;
	segment = &scratch->segment;
	total = segment->payload_at + segment->payload_bytes - scratch->place.tcp_offset;
	pseudo = sum_pseudo_header(&segment->ends, total);
	if (segment->tcp.check == pseudo)
		return true;
	if (total > MAX_CHUNKS * CHUNK_BYTES)
		return false;
	sum = pseudo;
	for (__u32 done = 0; done < MAX_CHUNKS * CHUNK_BYTES; done += CHUNK_BYTES) {
		__u32 bytes = CHUNK_BYTES;

		/* Else the compiler enters the loop in its middle, which kernel 6.1 refuses. */
		asm volatile("" : "+r"(done));
		if (done >= total)
			break;
		if (total - done < CHUNK_BYTES)
			bytes = total - done;
		__builtin_memset(&scratch->chunk[bytes & (2 * CHUNK_BYTES - 4)], 0, 4);
		if (load_chunk(frame, scratch, scratch->place.tcp_offset + done, bytes))
			return false;
		sum = bpf_csum_diff(NULL, 0, (void *)scratch->chunk, (bytes + 3) & ~3U, sum);
		if (sum < 0)
			return false;
	}
	return fold((__u32)sum) == 0xffff;
}

__noinline int has_right_checksum_xdp(struct xdp_md *ctx)
{
	const struct frame frame = { .xdp = ctx, .is_xdp = true };

	return sum_segment(&frame);
}

__noinline int has_right_checksum_skb(struct __sk_buff *skb)
{
	const struct frame frame = { .skb = skb };

	return sum_segment(&frame);
}

static __always_inline bool has_right_checksum(const struct frame *frame)
{
	return frame->is_xdp ? has_right_checksum_xdp(frame->xdp)
			     : has_right_checksum_skb(frame->skb);
}

static __always_inline void set_stream_key(struct stream_key *key, const struct segment *segment)
{
	key->source = segment->ends.source;
	key->destination = segment->ends.destination;
	key->source_port = segment->ends.source_port;
	key->destination_port = segment->ends.destination_port;
	key->first = segment->stream.next - (__u32)segment->stream.received;
}

/* How many bits are set before the first that is not. */
static __always_inline __u32 first_gap(const __u64 *have)
{
	__u64 gaps = 0;
	__u32 at = 0;

#pragma unroll
	for (int word = 0; word < PREFIX_BYTES / 64; word++) {
		gaps = ~have[word];
		if (gaps)
			break;
		at += 64;
	}
	if (!gaps)
		return at;
#pragma unroll
	for (int half = 32; half; half /= 2) {
		if (gaps << (64 - half))
			continue;
		gaps >>= half;
		at += half;
	}
	return at;
}

/* Of a word of the bitmap, the bits of all places before this one. */
static __always_inline __u64 bits_below(__u32 place, __u32 word)
{
	__u32 first = word * 64;

	if (place <= first)
		return 0;
	return place >= first + 64 ? ~0ULL : (1ULL << (place - first)) - 1;
}

/*
 * Adds match->bytes[from..to) to what is remembered and completes match with what was. 0, or not
 * when the client has said something else there before: which of the two the server gets to see
 * can not be told then.
 */
__noinline int merge(struct undecided *kept, struct match *match, __u32 from, __u32 to)
{
	if (!kept || !match)
		return -1;
	for (__u32 word = 0; word < PREFIX_BYTES / 64; word++)
		match->fresh[word] = bits_below(to, word) & ~bits_below(from, word);
	for (__u32 word = 0; word < PREFIX_BYTES / 64; word++) {
		__u64 fresh = match->fresh[word];
		__u64 known = kept->have[word];

		for (__u32 bit = 0; bit < 64; bit++) {
			__u32 i = word * 64 + bit;
			bool is_known = known >> bit & 1;

			if (is_known && fresh >> bit & 1 && kept->bytes[i] != match->bytes[i])
				return -1;
			if (is_known)
				match->bytes[i] = kept->bytes[i];
			else
				kept->bytes[i] = match->bytes[i];
		}
		kept->have[word] = known | fresh;
	}
	kept->contiguous = first_gap(kept->have);
	match->length = kept->contiguous;
	return 0;
}

static __always_inline void tell(const struct segment *segment, struct scratch *scratch,
				 const struct inline_settings *settings, __u32 owner,
				 enum inline_outcome what, __u64 now_ns)
{
	struct inline_event *event = &scratch->event;

	event->at_ns = now_ns;
	__builtin_memcpy(event->source, &segment->ends.source, sizeof(event->source));
	event->source_port = bpf_ntohs(segment->ends.source_port);
	event->port = bpf_ntohs(segment->ends.destination_port);
	event->owner = owner;
	event->what = what;
	event->count =
		scratch->match.length < EVIDENCE_BYTES ? scratch->match.length : EVIDENCE_BYTES;
	event->generation = settings->generation;
	__builtin_memcpy(event->evidence, scratch->match.bytes, EVIDENCE_BYTES);
	if (bpf_map_push_elem(&ttgate_events, event, 0))
		count_inline(INLINE_EVENT_LOST, 0);
}

static __always_inline long ban(const struct segment *segment, const struct settings *gate,
				__u64 ban_ns, __u32 reason, __u64 now_ns)
{
	__u64 expires_ns = ban_ns ? now_ns + ban_ns : 0;
	struct ban entry = {
		.expires_ns = expires_ns,
		.reason = reason,
		.flags = BAN_BY_TTGATE,
	};
	struct source key = segment->ends.source;

	if (segment->ends.is_ipv4 && ipv4_value_size) {
		__be32 address = bpf_htonl((__u32)bpf_be64_to_cpu(key.low));
		__u64 value = ipv4_value_size == sizeof(__u64)
				      ? (ban_ns ? expires_ns : ~0ULL)
				      : (ban_ns ? expires_ns / NS_PER_SECOND + 1 : 0xffffffff);

		return bpf_map_update_elem(&ipv4_bans, &address, &value, BPF_ANY);
	}
	if (!segment->ends.is_ipv4)
		key = masked(key, gate->ipv6_prefix);
	return bpf_map_update_elem(&ttgate_bans, &key, &entry, BPF_ANY);
}

static __always_inline enum never_ban never_ban_of(const struct segment *segment)
{
	struct cidr_key key = { .prefixlen = 128 };
	const __u32 *found;

	__builtin_memcpy(key.addr, &segment->ends.source, sizeof(key.addr));
	found = bpf_map_lookup_elem(&ttgate_never_ban, &key);
	return found ? *found : MAY_BE_BANNED;
}

/*
 * The segment, as the server's kernel gets it: a RST, in the place where it waits for the next
 * byte, so that the socket is freed at once (RFC 5961 3.2 wants exactly that number).
 */
static __always_inline void make_reset(const struct frame *frame, __u32 tcp_offset,
				       struct segment *segment)
{
	struct tcp_header *tcp = &segment->tcp;
	struct tcp_header before = *tcp;
	__s64 sum;

	if ((__s32)(segment->seq - segment->stream.next) < 0)
		tcp->seq = bpf_htonl(segment->stream.next);
	tcp->flags = TCP_RST | TCP_ACK;
	sum = bpf_csum_diff((void *)&before, sizeof(before), (void *)tcp, sizeof(*tcp),
			    (__u16)~tcp->check);
	tcp->check = ~fold((__u32)sum);
	store_at(frame, tcp_offset, tcp, sizeof(*tcp));
}

static __always_inline enum inline_outcome carry_out(const struct segment *segment,
						     const struct settings *gate,
						     const struct inline_settings *settings,
						     __u32 reason, __u64 now_ns)
{
	enum never_ban never;

	if (settings->flags & INLINE_DRY_RUN)
		return INLINE_WOULD_BAN;
	never = never_ban_of(segment);
	if (never == NEVER_BANNED)
		return INLINE_SPARED;
	if (never == NEIGHBOUR_NEVER_BANNED || ban(segment, gate, settings->ban_ns, reason, now_ns))
		return INLINE_NOT_BANNED;
	return INLINE_BANNED;
}

/* Foreign and proven. */
static __always_inline enum action
settle_foreign(const struct frame *frame, struct scratch *scratch, const struct settings *gate,
	       const struct inline_settings *settings, const struct signatures *table, __u32 owner,
	       struct clock *clock)
{
	struct segment *segment = &scratch->segment;
	__u64 now_ns = read_clock(clock);
	enum inline_outcome what =
		carry_out(segment, gate, settings, reason_of(table, owner), now_ns);

	count_inline(what, scratch->place.bytes);
	tell(segment, scratch, settings, owner, what, now_ns);
	if (what != INLINE_WOULD_BAN)
		make_reset(frame, scratch->place.tcp_offset, segment);
	return ACTION_PASS;
}

/* Whether the data on a SYN would get to a server: only TCP Fast Open hands it on. */
static __always_inline bool takes_early_data(const struct frame *frame,
					     const struct segment *segment)
{
	struct bpf_sock *socket = lookup_socket(frame, &segment->ends);
	struct tcp_sock *tcp;
	bool takes;

	if (!socket)
		return false;
	/* One that is over makes room for its successor. */
	takes = socket->state == BPF_TCP_TIME_WAIT;
	if (socket->state == BPF_TCP_LISTEN) {
		tcp = bpf_skc_to_tcp_sock(socket);
		takes = tcp && tcp->inet_conn.icsk_accept_queue.fastopenq.max_qlen;
	}
	bpf_sk_release(socket);
	return takes;
}

/*
 * A SYN that carries data may come from a forged address: it bans nobody. TCP Fast Open would
 * hand the data to the server before it is known who sent it, so that only what passes goes on;
 * the client sends the other again, without data first (RFC 7413 4.1.3).
 */
static __always_inline enum action judge_syn(const struct frame *frame, struct scratch *scratch,
					     const struct inline_settings *settings,
					     const struct signatures *table)
{
	const struct segment *segment = &scratch->segment;
	__u32 bytes = segment->payload_bytes < PREFIX_BYTES ? segment->payload_bytes : PREFIX_BYTES;

	if (settings->flags & INLINE_DRY_RUN || !takes_early_data(frame, segment) ||
	    load_prefix(frame, scratch, segment->payload_at, 0, bytes))
		return ACTION_PASS;
	scratch->match.length = bytes;
	if (VERDICT_KIND(sniff(table, &scratch->match)) == VERDICT_PASS)
		return ACTION_PASS;
	count_inline(INLINE_HELD, scratch->place.bytes);
	return ACTION_DROP;
}

/* Sockets count in 32 bits: whoever waits for weeks before the first byte is taken for younger. */
static __always_inline bool is_older(const struct stream *stream,
				     const struct inline_settings *settings)
{
	__u64 now = bpf_jiffies64();
	__u32 age = (__u32)now - stream->since;

	return !stream->received && stream->since && age >= now - settings->since;
}

static __always_inline enum action judge_segment(const struct frame *frame, struct scratch *scratch,
						 const struct settings *gate,
						 const struct inline_settings *settings,
						 const struct signatures *table,
						 struct clock *clock)
{
	const struct signature_header *header = table_at(table, 0);
	struct segment *segment = &scratch->segment;
	const struct stream *stream = &segment->stream;
	struct match *match = &scratch->match;
	struct undecided *kept;
	struct stream_key *key = &scratch->key;
	__u32 from, to, skip;
	bool is_proven = false;
	__s64 position;
	int verdict;

	position = (__s64)stream->received + (__s32)(segment->seq - stream->next);
	/* Behind what any rule looks at, or sent again: the kernel has it. */
	if (stream->received >= header->prefix_bytes) {
		set_judged(&segment->ends, stream->next);
		return ACTION_PASS;
	}
	if (position >= header->prefix_bytes ||
	    position + segment->payload_bytes <= (__s64)stream->received)
		return ACTION_PASS;
	if (!is_acceptable(segment)) {
		count_inline(INLINE_UNPROVEN, scratch->place.bytes);
		return ACTION_PASS;
	}
	from = position > (__s64)stream->received ? position : stream->received;
	skip = from - (__u32)position;
	to = from + segment->payload_bytes - skip;
	if (to > PREFIX_BYTES)
		to = PREFIX_BYTES;

	set_stream_key(key, segment);
	kept = bpf_map_lookup_elem(&ttgate_undecided, key);
	if (!kept && stream->received)
		return ACTION_PASS;
	if (kept && (stream->received > kept->contiguous ||
		     (kept->passed_at && stream->received >= kept->passed_at))) {
		bpf_map_delete_elem(&ttgate_undecided, key);
		return ACTION_PASS;
	}
	if (is_older(stream, settings)) {
		count_inline(INLINE_OLDER, scratch->place.bytes);
		return ACTION_PASS;
	}
	if (load_prefix(frame, scratch, segment->payload_at + skip, from, to - from))
		return ACTION_PASS;
	if (kept || from) {
		is_proven = has_right_checksum(frame);
		if (!is_proven) {
			count_inline(INLINE_UNPROVEN, scratch->place.bytes);
			return ACTION_PASS;
		}
	}
	match->length = to;
	if (kept) {
		if (merge(kept, match, from, to)) {
			if (settings->flags & INLINE_DRY_RUN)
				return ACTION_PASS;
			count_inline(INLINE_HELD, scratch->place.bytes);
			return ACTION_DROP;
		}
	} else if (from) {
		match->length = 0;
	}
	verdict = sniff(table, match);
	if (VERDICT_KIND(verdict) == VERDICT_PASS) {
		if (kept)
			kept->passed_at = match->length;
		count_inline(INLINE_PASSED, scratch->place.bytes);
		return ACTION_PASS;
	}
	if (!is_proven && !has_right_checksum(frame)) {
		count_inline(INLINE_UNPROVEN, scratch->place.bytes);
		return ACTION_PASS;
	}
	if (VERDICT_KIND(verdict) == VERDICT_FOREIGN) {
		if (kept)
			bpf_map_delete_elem(&ttgate_undecided, key);
		return settle_foreign(frame, scratch, gate, settings, table, VERDICT_OWNER(verdict),
				      clock);
	}
	if (!kept) {
		__builtin_memset(&scratch->fresh, 0, sizeof(scratch->fresh));
		merge(&scratch->fresh, match, from, to);
		bpf_map_update_elem(&ttgate_undecided, key, &scratch->fresh, BPF_ANY);
	}
	count_inline(INLINE_UNDECIDED, scratch->place.bytes);
	return ACTION_PASS;
}

/*
 * Of somebody banned: other connections that were open when the ban came have a socket at the
 * server, which would wait for ever. Its packets are dropped all the same if they have none.
 */
static __always_inline enum action end_banned(const struct frame *frame, struct scratch *scratch,
					      const struct inline_settings *settings)
{
	struct segment *segment = &scratch->segment;

	if (!(segment->tcp.flags & TCP_ACK) || segment->tcp.flags & (TCP_SYN | TCP_RST))
		return ACTION_DROP;
	find_stream(frame, &scratch->place, segment);
	if ((segment->stream.kind == STREAM_OPEN || segment->stream.kind == STREAM_UNJUDGED) &&
	    is_acceptable(segment)) {
		make_reset(frame, scratch->place.tcp_offset, segment);
		count_inline(INLINE_RESET, scratch->place.bytes);
		return ACTION_PASS;
	}
	return settings->flags & INLINE_BOUNCE ? ACTION_BOUNCE : ACTION_DROP;
}

/* @banned: what the ban's maps say of the source. */
static __always_inline enum action inspect(const struct frame *frame, bool banned)
{
	const __u32 zero = 0;
	const struct inline_settings *settings = bpf_map_lookup_elem(&ttgate_inline, &zero);
	const struct settings *gate = bpf_map_lookup_elem(&ttgate_settings, &zero);
	struct scratch *scratch = bpf_map_lookup_elem(&ttgate_scratch, &zero);
	struct clock clock = {};
	const struct signatures *table;
	struct segment *segment;
	__u32 which;

	if (!settings || !scratch || !gate || settings->magic != INLINE_MAGIC ||
	    settings->layout != INLINE_LAYOUT)
		return banned ? ACTION_DROP : ACTION_PASS;
	segment = &scratch->segment;
	if (settings->flags & INLINE_DRY_RUN)
		banned = false;
	if (read_segment(frame, &scratch->place, segment))
		return banned ? ACTION_DROP : ACTION_PASS;
	if (banned)
		return end_banned(frame, scratch, settings);
	if (segment->tcp.flags & TCP_SYN)
		clear_judged(&segment->ends);
	if (segment->payload_bytes == 0 || segment->tcp.flags & TCP_RST)
		return ACTION_PASS;
	if (is_judged(&segment->ends, segment->seq))
		return ACTION_PASS;
	which = settings->table;
	table = bpf_map_lookup_elem(&ttgate_tables, &which);
	if (!table)
		return ACTION_PASS;
	if (segment->tcp.flags & TCP_SYN)
		return judge_syn(frame, scratch, settings, table);
	if (!(segment->tcp.flags & TCP_ACK))
		return ACTION_PASS;
	find_stream(frame, &scratch->place, segment);
	if (segment->stream.kind == STREAM_NONE || segment->stream.kind == STREAM_LISTENER)
		count_inline(INLINE_NO_SOCKET, scratch->place.bytes);
	if (segment->stream.kind != STREAM_OPEN)
		return ACTION_PASS;
	return judge_segment(frame, scratch, gate, settings, table, &clock);
}

/* Whether there is anything to inspect; if so it is left in the scratch space. */
static __always_inline bool is_inspected(const struct place *place)
{
	const __u32 zero = 0;
	const struct settings *gate = bpf_map_lookup_elem(&ttgate_settings, &zero);
	struct scratch *scratch = bpf_map_lookup_elem(&ttgate_scratch, &zero);

	if (!scratch || !usable(gate) || !guarded(gate, place->port))
		return false;
	scratch->place = *place;
	return true;
}

#endif
