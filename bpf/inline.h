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

#include "cookie.h"
#include "judged.h"
#include "plain.h"
#include "seen.h"
#include "segment.h"
#include "undecided.h"

_Static_assert(sizeof(struct seen_key) == sizeof(struct stream_key), "seen_key");

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
		.flags = BAN_BY_TTGATE | ORIGIN_KERNEL << BAN_ORIGIN_SHIFT,
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
		key = source_key(key, gate->ipv6_prefix);
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
static __always_inline void make_reset(const struct frame *frame, struct scratch *scratch)
{
	struct segment *segment = &scratch->segment;
	struct tcp_header *tcp = &segment->tcp;
	struct tcp_header before = *tcp;
	__s64 sum;

	if ((__s32)(segment->seq - segment->stream.next) < 0)
		tcp->seq = bpf_htonl(segment->stream.next);
	tcp->flags = TCP_RST | TCP_ACK;
	sum = bpf_csum_diff((void *)&before, sizeof(before), (void *)tcp, sizeof(*tcp),
			    (__u16)~tcp->check);
	tcp->check = ~fold((__u32)sum);
	store_at(frame, scratch->place.tcp_offset, tcp, sizeof(*tcp));
	note_end(scratch);
}

/*
 * Perhaps forged or damaged. Most likely the kernel would throw it away; but it takes
 *
 *   what acknowledges bytes from before the connection, on its fast path (tcp_rcv_established)
 *   what acknowledges bytes that the server writes, or lies in a window that it opens, after this
 *   look and before the kernel's own
 *   the word of another machine on this host that a checksum is still to be made
 */
static __always_inline enum action drop_unproven(const struct inline_settings *settings,
						 __u64 bytes)
{
	count_inline(INLINE_UNPROVEN, bytes);
	return settings->flags & INLINE_DRY_RUN ? ACTION_PASS : ACTION_DROP;
}

/* What cannot be judged now: the client sends it again. */
static __always_inline enum action hold(const struct inline_settings *settings, __u64 bytes)
{
	if (settings->flags & INLINE_DRY_RUN)
		return ACTION_PASS;
	count_inline(INLINE_HELD, bytes);
	return ACTION_DROP;
}

static __always_inline enum action refuse_segment(const struct frame *frame,
						  struct scratch *scratch)
{
	make_reset(frame, scratch);
	count_inline(INLINE_RESET, scratch->place.bytes);
	return ACTION_PASS;
}

/* A function of its own, so that what it keeps on the stack is not below the engine's as well. */
static __noinline enum inline_outcome carry_out(const struct segment *segment,
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

/*
 * @kept: of a connection that is refused, NULL without. The kernel may throw away the RST for what
 * is around it, such as a wrong checksum of the IP header: whatever else it says is refused too.
 */
static __always_inline void refuse(struct undecided *kept, const struct stream_key *key,
				   enum inline_outcome what)
{
	if (!kept)
		return;
	if (what == INLINE_BANNED || what == INLINE_WOULD_BAN)
		bpf_map_delete_elem(&ttgate_undecided, key);
	else
		kept->passed_at = REFUSED;
}

/* Foreign and proven. */
static __always_inline enum action
settle_foreign(const struct frame *frame, struct scratch *scratch, const struct settings *gate,
	       const struct inline_settings *settings, const struct signatures *table,
	       struct undecided *kept, __u32 owner, struct clock *clock)
{
	struct segment *segment = &scratch->segment;
	__u64 now_ns = read_clock(clock);
	enum inline_outcome what =
		carry_out(segment, gate, settings, reason_of(table, owner), now_ns);

	refuse(kept, &scratch->key, what);
	count_inline(what, scratch->place.bytes);
	tell(segment, scratch, settings, owner, what, now_ns);
	if (what != INLINE_WOULD_BAN)
		make_reset(frame, scratch);
	return ACTION_PASS;
}

/* A near miss, proven: out, and user space counts it against the source. */
static __always_inline enum action settle_malformed(const struct frame *frame,
						    struct scratch *scratch,
						    const struct inline_settings *settings,
						    struct undecided *kept, struct clock *clock)
{
	struct segment *segment = &scratch->segment;

	refuse(kept, &scratch->key,
	       settings->flags & INLINE_DRY_RUN ? INLINE_WOULD_BAN : INLINE_MALFORMED);
	count_inline(INLINE_MALFORMED, scratch->place.bytes);
	tell(segment, scratch, settings, NOTHING, INLINE_MALFORMED, read_clock(clock));
	if (!(settings->flags & INLINE_DRY_RUN))
		make_reset(frame, scratch);
	return ACTION_PASS;
}

/*
 * Whether the data on a SYN may get to a server: only TCP Fast Open hands it on. A socket that is
 * there now may be gone when the kernel takes the SYN: it was over, or a RST is in the same batch.
 */
static __always_inline bool takes_early_data(const struct frame *frame,
					     const struct segment *segment)
{
	struct bpf_sock *socket = lookup_socket(frame, &segment->ends);
	bool takes = true;
	struct tcp_sock *tcp;

	if (!socket)
		return false;
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
	struct segment *segment = &scratch->segment;
	__u32 bytes = segment->payload_bytes < PREFIX_BYTES ? segment->payload_bytes : PREFIX_BYTES;

	if (settings->flags & INLINE_DRY_RUN || !takes_early_data(frame, segment))
		return ACTION_PASS;
	if (load_prefix(frame, scratch, segment->payload_at, 0, bytes))
		return hold(settings, scratch->place.bytes);
	scratch->match.length = bytes;
	if (VERDICT_KIND(sniff(table, &scratch->match)) == VERDICT_PASS) {
		/* Later segments are not the first of their connection, which else look for it. */
		if (find_cookies(frame) != COOKIES_NONE)
			set_cookies_given();
		segment->stream.next = segment->seq + 1;
		segment->stream.received = 0;
		set_stream_key(&scratch->key, segment);
		set_seen(&scratch->key);
		return ACTION_PASS;
	}
	return hold(settings, scratch->place.bytes);
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
		if (!cookies_are_given())
			set_judged(&segment->ends, stream->next);
		return ACTION_PASS;
	}
	if (position >= header->prefix_bytes ||
	    position + segment->payload_bytes <= (__s64)stream->received)
		return ACTION_PASS;
	if (!is_acceptable(segment))
		return drop_unproven(settings, scratch->place.bytes);
	if (!(settings->flags & INLINE_DRY_RUN)) {
		if (stream->by_cookie) {
			is_proven = has_right_checksum(frame);
			if (!is_proven)
				return drop_unproven(settings, scratch->place.bytes);
			if (!is_first_by_cookie(segment))
				return hold(settings, scratch->place.bytes);
		}
		if (!stream->by_cookie && !stream->received && cookies_are_given() &&
		    began_elsewhere(segment, stream->next))
			return refuse_segment(frame, scratch);
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
	if (kept && kept->passed_at == REFUSED && !(settings->flags & INLINE_DRY_RUN))
		return refuse_segment(frame, scratch);
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
		return hold(settings, scratch->place.bytes);
	if (!is_proven && (kept || from)) {
		is_proven = has_right_checksum(frame);
		if (!is_proven)
			return drop_unproven(settings, scratch->place.bytes);
	}
	match->length = to;
	if (kept) {
		if (merge_alone(kept, scratch, from, to))
			return hold(settings, scratch->place.bytes);
	} else if (from) {
		match->length = 0;
	}
	verdict = sniff(table, match);
	if (VERDICT_KIND(verdict) == VERDICT_PASS) {
		if (kept)
			kept->passed_at = match->length;
		if (stream->by_cookie)
			remember_cookie(segment);
		welcome(segment);
		set_seen(key);
		count_inline(INLINE_PASSED, scratch->place.bytes);
		return ACTION_PASS;
	}
	if (!is_proven && !has_right_checksum(frame))
		return drop_unproven(settings, scratch->place.bytes);
	set_seen(key);
	if (VERDICT_KIND(verdict) == VERDICT_FOREIGN)
		return settle_foreign(frame, scratch, gate, settings, table, kept,
				      VERDICT_OWNER(verdict), clock);
	if (VERDICT_KIND(verdict) == VERDICT_MALFORMED)
		return settle_malformed(frame, scratch, settings, kept, clock);
	if (!kept) {
		__builtin_memset(&scratch->fresh, 0, sizeof(scratch->fresh));
		merge(&scratch->fresh, match, from, to);
		/* Not in the place of what another CPU has just put there, which would be
		 * forgotten. */
		if (bpf_map_update_elem(&ttgate_undecided, key, &scratch->fresh, BPF_NOEXIST))
			return hold(settings, scratch->place.bytes);
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
	if ((segment->stream.kind == STREAM_OPEN || segment->stream.kind == STREAM_UNJUDGED ||
	     segment->stream.kind == STREAM_CLOSING) &&
	    is_acceptable(segment)) {
		make_reset(frame, scratch);
		count_inline(INLINE_RESET, scratch->place.bytes);
		return ACTION_PASS;
	}
	return settings->flags & INLINE_BOUNCE ? ACTION_BOUNCE : ACTION_DROP;
}

/*
 * What cannot be judged, and would reach the server all the same: a fragment's checksum proves
 * nothing, and its other bytes come in packets without a port. Or what is of another connection
 * than it seems to be.
 */
static __always_inline enum action refuse_hidden(const struct place *place, __u32 flags)
{
	if (flags & INLINE_DRY_RUN)
		return ACTION_PASS;
	if (place->port == BEYOND) {
		if (flags & INLINE_PASS_UNREAD)
			return ACTION_PASS;
		count_inline(INLINE_UNREAD, place->bytes);
		return ACTION_DROP;
	}
	if (flags & INLINE_PASS_FRAGMENTS)
		return ACTION_PASS;
	count_inline(INLINE_FRAGMENT, place->bytes);
	return ACTION_DROP;
}

/* @banned: what the ban's maps say of the source. @is_plain: make_plain() has been there. */
static __always_inline enum action inspect(const struct frame *frame, bool banned, bool is_plain)
{
	const __u32 zero = 0;
	const struct inline_settings *settings;
	const struct settings *gate = bpf_map_lookup_elem(&ttgate_settings, &zero);
	struct scratch *scratch = bpf_map_lookup_elem(&ttgate_scratch, &zero);
	struct clock clock = {};
	const struct signatures *table;
	struct segment *segment;
	__u32 which;

	if (!scratch || !gate)
		return banned ? ACTION_DROP : ACTION_PASS;
	which = scratch->slot;
	settings = bpf_map_lookup_elem(&ttgate_inline, &which);
	if (!settings || settings->magic != INLINE_MAGIC || settings->layout != INLINE_LAYOUT)
		return banned ? ACTION_DROP : ACTION_PASS;
	/* The place has just become another port's. */
	if (which != UNREAD_SLOT && settings->port != (__u32)scratch->place.port)
		return banned ? ACTION_DROP : ACTION_PASS;
	segment = &scratch->segment;
	if ((settings->flags & (INLINE_DRY_RUN | INLINE_TRIAL)) == INLINE_DRY_RUN)
		banned = false;
	if (scratch->place.port == BEYOND || is_hidden(frame, scratch))
		return banned ? ACTION_DROP : refuse_hidden(&scratch->place, settings->flags);
	if (read_segment(frame, &scratch->place, segment))
		return banned ? ACTION_DROP : ACTION_PASS;
	if (banned)
		return end_banned(frame, scratch, settings);
	if (!is_plain && !(settings->flags & INLINE_DRY_RUN) && may_be_ambiguous(segment))
		return ACTION_PLAIN;
	if (segment->tcp.flags & TCP_SYN)
		clear_judged(&segment->ends);
	if (is_empty(segment)) {
		if (settings->flags & INLINE_DRY_RUN || !cookies_are_given())
			return ACTION_PASS;
		forget_passed(segment);
		if (segment->tcp.flags & TCP_RST)
			note_end(scratch);
		if (segment->tcp.flags & (TCP_SYN | TCP_RST))
			return ACTION_PASS;
	}
	if (is_judged(&segment->ends, segment->seq))
		return ACTION_PASS;
	/* Nearly all of them: the connection that is there is not looked up then. */
	if (is_empty(segment) && find_cookies(frame) != COOKIE_PROVEN)
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
	if (!(settings->flags & INLINE_DRY_RUN) &&
	    (segment->stream.kind == STREAM_UNOPENED
		     ? !is_empty(segment) && !is_behind_cookie(segment)
		     : begins_another(frame, scratch)))
		return hold(settings, scratch->place.bytes);
	if (segment->tcp.flags & TCP_FIN || segment->stream.is_ending)
		note_end(scratch);
	if (is_empty(segment))
		return ACTION_PASS;
	if (segment->stream.kind == STREAM_NONE || segment->stream.kind == STREAM_LISTENER)
		count_inline(INLINE_NO_SOCKET, scratch->place.bytes);
	if (segment->stream.kind != STREAM_OPEN)
		return ACTION_PASS;
	return judge_segment(frame, scratch, gate, settings, table, &clock);
}

/* The place of a guarded port, or -1. Global, so that the verifier goes through it once. */
__noinline int slot_of(int port)
{
	const struct settings *gate = bpf_map_lookup_elem(&ttgate_settings, &(__u32){ 0 });

	if (!usable(gate))
		return -1;
#pragma unroll
	for (__u32 i = 0; i < TTGATE_MAX_PORTS; i++) {
		if (i >= gate->port_count)
			return -1;
		if (gate->ports[i] == port)
			return i;
	}
	return -1;
}

/* Whether there is anything to inspect; if so it is left in the scratch space. */
static __always_inline bool is_inspected(const struct place *place)
{
	const __u32 zero = 0;
	const struct settings *gate = bpf_map_lookup_elem(&ttgate_settings, &zero);
	struct scratch *scratch = bpf_map_lookup_elem(&ttgate_scratch, &zero);

	int slot;

	if (!scratch || !usable(gate))
		return false;
	slot = slot_of(place->port);
	if (slot < 0 && place->port != BEYOND && !(place->port == UNPARSED && place->is_hidden))
		return false;
	scratch->slot = slot < 0 ? UNREAD_SLOT : slot;
	scratch->place = *place;
	return true;
}

/* Of the frame in the scratch space. */
static __always_inline __u32 inspected_bytes(void)
{
	const __u32 zero = 0;
	const struct scratch *scratch = bpf_map_lookup_elem(&ttgate_scratch, &zero);

	return scratch ? scratch->place.bytes : 0;
}

#endif
