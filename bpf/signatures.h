/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The engine for signature tables: what a profile says of the first bytes of a connection, the
 * same as src/core/profile/sniffer.ts for a client that may still send.
 *
 * Global functions, not static: the verifier goes through each of them once instead of for every
 * way to reach it, which is what makes the loops within loops affordable. Kernel 5.12 and later
 * take pointers there.
 */
#ifndef TTGATE_SIGNATURES_H
#define TTGATE_SIGNATURES_H

#include <stdbool.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include "signature_table.h"

/*
 * A prefix, and what was found in it so far. Kept in a map and not in variables: of those the
 * verifier would follow every combination through the loops.
 */
struct match {
	__u32 length;
	__s32 cursor; /* where the last step that holds ended; -1: open */
	__s32 latest; /* of one alternative: the outcome that took the most bytes */
	__u32 is_open;
	__s32 refuted_at, named_at; /* of all: the outcomes that took the fewest bytes */
	__u32 refuter, namer; /* their owners */
	__u32 can_be_refuted, can_be_named;
	__u32 is_expected, can_be_expected;
	__u32 is_near, can_be_near;
	__s32 overruled_at; /* as those above, of those that a near miss overrules */
	__u32 overruled_namer, can_be_overruled;
	__u64 fresh[PREFIX_BYTES / 64]; /* which bytes the segment brought */
	__u64 sums[BET_WORDS]; /* of the experts, and of those who won the earliest bet */
	__u64 won[BET_WORDS];
	__u8 seen[256]; /* how often each byte came before: of the expert of memory */
	__u32 lost_at, bet_lost_at; /* of one alternative, and of what is expected; 0: not */
	__u8 before[8]; /* zeros: what an expert takes for the bytes before the first */
	/* Twice as long, so that the verifier sees at once that bytes behind an offset fit. */
	__u8 bytes[2 * PREFIX_BYTES];
};

#include "ciphertext.h"

enum verdict_kind {
	VERDICT_OPEN, /* more bytes decide */
	VERDICT_PASS,
	VERDICT_FOREIGN,
	VERDICT_MALFORMED, /* a near miss: refused and no ban, a strike in user space */
};

/* Less is evidence against nobody. */
#define FEWEST_BYTES 2

/* A verdict in one number: its kind, and of VERDICT_FOREIGN the owner. */
#define VERDICT(kind, owner) ((kind) | (owner) << 2)
#define VERDICT_KIND(verdict) ((verdict)&3)
#define VERDICT_OWNER(verdict) ((verdict) >> 2)

/*
 * Wherever they begin: clang would put them together from single bytes. The verifier refuses that
 * only on machines that cannot do it.
 */
static __always_inline __u64 load_u64(const void *from)
{
	return *(const __u64 *)from;
}

static __always_inline __u32 load_u32(const void *from)
{
	return *(const __u32 *)from;
}

/*
 * What a step says, as in src/core/signature/probe.ts: positive, it holds, and the number less
 * one is how many bytes decided that; negative, it fails; 0, more bytes decide.
 */
static __always_inline int holds(int at)
{
	return at + 1;
}

static __always_inline int fails(int at)
{
	return -(at + 1);
}

#define STEP_OPEN 0

static __always_inline bool in_set(const struct signatures *table, __u32 sets_at, __u32 set,
				   __u8 byte)
{
	const __u8 *cells = table_at(table, sets_at + set * 32 + (byte >> 3));

	return *cells >> (byte & 7) & 1;
}

/* Of two words, how many bytes are the same before the first that is not. */
__noinline int same_bytes(__u64 differs)
{
	int count = 0;

	for (int i = 0; i < (int)sizeof(differs); i++) {
		if (differs & 0xff)
			break;
		differs >>= 8;
		count++;
	}
	return count;
}

static __always_inline int match_bytes(const struct signature_step *step, struct match *match,
				       __u32 at)
{
	__u32 present = match->length - at;
	__u64 differs;

	if (at >= match->length)
		return STEP_OPEN;
	differs = (load_u64(&match->bytes[at & (PREFIX_BYTES - 1)]) & step->bytes.mask) ^
		  step->bytes.value;
	if (present < sizeof(differs))
		differs &= (1ULL << present * 8) - 1;
	/* How many bytes it took to fail is of use only where that is to hold. */
	if (differs)
		return step->flags & STEP_NEGATED ? fails(at + same_bytes(differs) + 1) : fails(0);
	if (present < step->count)
		return STEP_OPEN;
	match->cursor = at + step->count;
	return holds(match->cursor);
}

/* A global function for its loop: the verifier would go through it for each step of each rule. */
__noinline int match_run(const struct signatures *table, struct match *match, __u32 step_at,
			 __u32 sets_at, __u32 at)
{
	const struct signature_step *step;
	__u32 count, limit, enough, until, set;
	bool to_end, has_until;

	if (!table || !match)
		return STEP_OPEN;
	step = table_at(table, step_at);
	to_end = step->kind == STEP_REST;
	until = step->run.until;
	has_until = !to_end && until != NOTHING;
	set = step->run.set;
	count = step->count;
	limit = step->limit;
	/* 0: that many bytes are not what ends it. */
	enough = to_end || has_until ? 0 : limit;
	for (__u32 i = 0; i < PREFIX_BYTES; i++) {
		__u32 index = at + i;
		__u8 byte;

		if (index >= match->length)
			break;
		byte = match->bytes[index & (PREFIX_BYTES - 1)];
		if (has_until && in_set(table, sets_at, until, byte)) {
			if (i < count)
				return fails(index + 1);
			match->cursor = index + 1;
			return holds(index + 1);
		}
		if (i >= limit || !in_set(table, sets_at, set, byte))
			return fails(index + 1);
		if (i + 1 == enough)
			return holds(index + 1);
	}
	return STEP_OPEN;
}

static __always_inline int match_number(const struct signature_step *step, struct match *match,
					__u32 at)
{
	__u32 size = step->count, end = at + size, value;
	__s64 total;
	int decided;

	if (match->length < end)
		return STEP_OPEN;
	value = load_u32(&match->bytes[at & (PREFIX_BYTES - 1)]);
	if (step->flags & STEP_LITTLE)
		value = value << (32 - size * 8) >> (32 - size * 8);
	else
		value = __builtin_bswap32(value) >> (32 - size * 8);
	if (value < step->number.min || value > step->number.max)
		return fails(end);
	match->cursor = end;
	if (step->limit == LENGTH_FREE)
		return holds(end);
	total = (__s64)value + step->number.plus;
	if (step->limit == LENGTH_EQUALS) {
		if (total >= match->length)
			return STEP_OPEN;
		decided = total + 1;
		return fails(decided > (int)end ? decided : (int)end);
	}
	if (total > match->length)
		return STEP_OPEN;
	decided = total;
	return holds(decided > (int)end ? decided : (int)end);
}

static __always_inline int match_length(const struct signature_step *step, __u32 length)
{
	if (length > step->limit)
		return fails(step->limit + 1);
	if (step->kind == STEP_LENGTH && step->limit == NOTHING && length >= step->count)
		return holds(step->count);
	return STEP_OPEN;
}

static __always_inline int match_step(const struct signatures *table, struct match *match,
				      __u32 step_at, __u32 sets_at)
{
	const struct signature_step *step = table_at(table, step_at);
	int cursor = match->cursor;
	__u32 at = step->at;

	if (step->flags & STEP_RELATIVE) {
		if (cursor < 0)
			return STEP_OPEN;
		at += cursor;
	}
	/* A step about a place sets it again as soon as it knows where it ends. */
	if (step->kind <= STEP_NUMBER)
		match->cursor = -1;
	if (step->kind == STEP_BYTES)
		return match_bytes(step, match, at);
	if (step->kind == STEP_RUN || step->kind == STEP_REST)
		return match_run(table, match, step_at, sets_at, at);
	if (step->kind == STEP_NUMBER)
		return match_number(step, match, at);
	if (step->kind == STEP_CIPHERTEXT)
		return match_ciphertext(table, match, step_at);
	return match_length(step, match->length);
}

/* An alternative holds when all its steps do, with the bytes of the one that took the most. */
__noinline int match_alternative(const struct signatures *table, struct match *match,
				 __u32 first_step_at, __u32 step_count, __u32 sets_at)
{
	if (!table || !match)
		return STEP_OPEN;
	match->cursor = -1;
	match->latest = 1;
	match->lost_at = 0;
	match->is_open = false;
	for (__u32 i = 0; i < MAX_STEPS; i++) {
		__u32 step_at = first_step_at + i * sizeof(struct signature_step);
		const struct signature_step *step = table_at(table, step_at);
		int cursor = match->cursor;
		int outcome;

		if (i >= step_count)
			break;
		outcome = match_step(table, match, step_at, sets_at);
		if (step->flags & STEP_NEGATED) {
			/* The next relative step does not begin at what must not be there. */
			match->cursor = cursor;
			outcome = -outcome;
		}
		if (outcome < 0)
			return outcome;
		if (outcome == STEP_OPEN)
			match->is_open = true;
		else if (outcome > match->latest)
			match->latest = outcome;
	}
	return match->is_open ? STEP_OPEN : match->latest;
}

static __always_inline void note(struct match *match,
				 const struct signature_alternative *alternative, int outcome)
{
	__u32 flags = alternative->flags;

	if (outcome < 0) {
		if (flags & ALTERNATIVE_EXPECTED && match->lost_at &&
		    (!match->bet_lost_at || match->lost_at < match->bet_lost_at)) {
			match->bet_lost_at = match->lost_at;
			__builtin_memcpy(match->won, match->sums, sizeof(match->won));
		}
		return;
	}
	if (flags & ALTERNATIVE_EXPECTED) {
		if (outcome == STEP_OPEN)
			match->can_be_expected = true;
		else
			match->is_expected = true;
		return;
	}
	if (flags & ALTERNATIVE_NEAR) {
		if (outcome == STEP_OPEN)
			match->can_be_near = true;
		else
			match->is_near = true;
		return;
	}
	if (flags & ALTERNATIVE_OVERRULED) {
		if (outcome == STEP_OPEN) {
			match->can_be_overruled = true;
		} else if (outcome < match->overruled_at) {
			match->overruled_at = outcome;
			match->overruled_namer = alternative->owner;
		}
		return;
	}
	if (outcome == STEP_OPEN) {
		match->can_be_named = true;
		if (flags & ALTERNATIVE_REFUTES)
			match->can_be_refuted = true;
		return;
	}
	if (outcome < match->named_at) {
		match->named_at = outcome;
		match->namer = alternative->owner;
	}
	if (flags & ALTERNATIVE_REFUTES && outcome < match->refuted_at) {
		match->refuted_at = outcome;
		match->refuter = alternative->owner;
	}
}

static __always_inline bool misses(const struct signatures *table, __u32 sets_at,
				   const struct signature_pivot *pivot, const struct match *match)
{
	__u32 at = pivot->at;

	return at < match->length &&
	       !in_set(table, sets_at, pivot->set, match->bytes[at & (PREFIX_BYTES - 1)]);
}

/* Those that the first byte leaves possible. */
static __always_inline void scan(const struct signatures *table, struct match *match,
				 const struct signature_header *header)
{
	const struct signature_dispatch *dispatch;

	dispatch = table_at(table, header->dispatch_at + match->bytes[0] * sizeof(*dispatch));
	for (__u32 i = 0; i < MAX_CANDIDATES; i++) {
		const struct signature_alternative *alternative;
		const __u16 *candidate;

		if (i >= dispatch->count)
			break;
		candidate = table_at(table, header->lists_at + (dispatch->first + i) * 2);
		alternative = table_at(table,
				       header->alternatives_at + *candidate * sizeof(*alternative));
		if (misses(table, header->sets_at, &alternative->pivots[0], match) ||
		    misses(table, header->sets_at, &alternative->pivots[1], match))
			continue;
		note(match, alternative,
		     match_alternative(table, match,
				       header->steps_at + alternative->first_step *
								  sizeof(struct signature_step),
				       alternative->step_count, header->sets_at));
	}
}

/* The owner that has the name of the first expert whose sum is at its limit. */
static __always_inline __u32 winner(const struct signatures *table, const struct match *match,
				    const struct signature_header *header)
{
	for (__u32 lane = 0; lane < BET_LANES; lane++) {
		if (match->won[lane / 4] >> (lane % 4 * 16 + 15) & 1)
			return *(const __u16 *)table_at(table, header->lanes_at + lane * 2);
	}
	return header->owner_count - 1;
}

/*
 * That it is a stranger is certain; for a while a recogniser that is still possible may give the
 * name.
 */
static __always_inline int stranger(const struct signatures *table, const struct match *match,
				    const struct signature_header *header)
{
	if (match->refuter != NOTHING && match->refuted_at <= holds(BET_BYTES))
		return VERDICT(VERDICT_FOREIGN, match->refuter);
	if (match->namer != NOTHING && match->named_at <= holds(BET_BYTES))
		return VERDICT(VERDICT_FOREIGN, match->namer);
	if (match->can_be_named && match->length < BET_BYTES)
		return VERDICT(VERDICT_OPEN, 0);
	return VERDICT(VERDICT_FOREIGN, winner(table, match, header));
}

/* Nothing speaks against the client, and nothing can any more. */
static __always_inline bool may_pass(const struct match *match,
				     const struct signature_header *header)
{
	return match->refuter == NOTHING && !match->can_be_refuted &&
	       (!header->has_expected || match->is_expected);
}

/*
 * The verdict on a prefix, VERDICT(). A recogniser that refutes wins as soon as it holds; of
 * several that hold, the one that took the fewest bytes gives the name.
 */
__noinline int sniff(const struct signatures *table, struct match *match)
{
	const struct signature_header *header;

	if (!table || !match)
		return VERDICT(VERDICT_PASS, 0);
	header = table_at(table, 0);
	if (header->magic != SIGNATURES_MAGIC || header->version != SIGNATURES_VERSION)
		return VERDICT(VERDICT_PASS, 0);
	if (match->length > header->prefix_bytes)
		match->length = header->prefix_bytes;
	if (match->length == 0)
		return VERDICT(VERDICT_OPEN, 0);
	match->refuted_at = match->named_at = 4 * PREFIX_BYTES;
	match->refuter = match->namer = NOTHING;
	match->can_be_refuted = match->can_be_named = false;
	match->is_expected = match->can_be_expected = false;
	match->is_near = match->can_be_near = false;
	match->overruled_at = 4 * PREFIX_BYTES;
	match->overruled_namer = NOTHING;
	match->can_be_overruled = false;
	match->bet_lost_at = 0;
	scan(table, match, header);
	if (match->length < FEWEST_BYTES)
		return may_pass(match, header) ? VERDICT(VERDICT_PASS, 0)
					       : VERDICT(VERDICT_OPEN, 0);
	if (header->has_bets && match->bet_lost_at && !match->is_expected &&
	    !match->can_be_expected)
		return stranger(table, match, header);
	if (match->refuter != NOTHING)
		return VERDICT(VERDICT_FOREIGN, match->refuter);
	if (match->can_be_refuted)
		return VERDICT(VERDICT_OPEN, 0);
	if (may_pass(match, header))
		return VERDICT(VERDICT_PASS, 0);
	/* Too few bytes of what is expected are no evidence against the client. */
	if (match->can_be_expected)
		return VERDICT(VERDICT_OPEN, 0);
	if (match->namer != NOTHING)
		return VERDICT(VERDICT_FOREIGN, match->namer);
	if (match->can_be_named)
		return VERDICT(VERDICT_OPEN, 0);
	if (match->is_near)
		return VERDICT(VERDICT_MALFORMED, 0);
	if (match->can_be_near)
		return VERDICT(VERDICT_OPEN, 0);
	if (match->overruled_namer != NOTHING)
		return VERDICT(VERDICT_FOREIGN, match->overruled_namer);
	if (match->can_be_overruled)
		return VERDICT(VERDICT_OPEN, 0);
	/* What nobody knows is the last of the owners. */
	return VERDICT(VERDICT_FOREIGN, header->owner_count - 1);
}

/* The number that stands for an owner's name in a ban. */
static __always_inline __u32 reason_of(const struct signatures *table, __u32 owner)
{
	const struct signature_header *header = table_at(table, 0);
	const __u32 *reason = table_at(table, header->reasons_at + owner * sizeof(*reason));

	return *reason;
}

#endif
