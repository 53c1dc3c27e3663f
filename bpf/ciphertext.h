/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Is it ciphertext? The same two tests as src/core/ciphertext/bets.ts: an expert wins its bet, or
 * uniform beats every expert. The experts' sums are lanes of 16 bits, four in a word.
 *
 * The loops have one way through their body, and their counters have 64 bits: docs/kernels.md.
 */
#ifndef TTGATE_CIPHERTEXT_H
#define TTGATE_CIPHERTEXT_H

#include <stdbool.h>
#include "expert_tables.h"
#include "signature_table.h"

#define LANES(value) ((value)*0x0001000100010001ULL)
/* A sum is at its limit, or above. */
#define LANE_SIGNS LANES(0x8000ULL)

#define CLEAR_BYTES 16 /* a header has no more */
#define LATER_TRIAL 64

/* Four experts in each; in the fourth one alone, that of memory. */
struct sums {
	__u64 first, second, third, fourth;
};
#define BET_LANES 13
/* What borrows from the lowest lane of the fourth tells nothing. */
#define LONE_SIGN 0x8000ULL

static __always_inline bool has_sign(const struct sums *sums)
{
	return ((sums->first | sums->second | sums->third) & LANE_SIGNS) |
	       (sums->fourth & LONE_SIGN);
}

static __always_inline struct sums load_sums(const struct match *match)
{
	return (struct sums){ match->sums[0], match->sums[1], match->sums[2], match->sums[3] };
}

static __always_inline void store_sums(struct match *match, const struct sums *sums)
{
	match->sums[0] = sums->first;
	match->sums[1] = sums->second;
	match->sums[2] = sums->third;
	match->sums[3] = sums->fourth;
}

/* What the expert of a step gives for a difference. */
static __always_inline __u64 step_score(__u64 distance, __u64 byte, __u64 other)
{
	return step_scores[distance + ((byte - other) & 255)];
}

/* Adds the scores of the byte at a place, given those before it. */
static __always_inline void add_scores(struct sums *sums, const struct match *match, __u64 at)
{
	const __u8 *here = match->before + (at & (PREFIX_BYTES - 1));
	__u64 byte = here[8], last = here[7], before = here[6];
	__u64 context = context_as_last[last] | context_as_before[before];
	__u64 block = block_of_context[context & (sizeof(block_of_context) - 1)];
	__u64 row = (block & (EXPERT_BLOCKS - 1)) * 512;

	/* A sum: of what is or'ed kernels up to 6.1 know no bounds, and clang makes it that. */
	asm volatile("" : "+r"(row));
	row += byte * 2;
	sums->first += writing_scores[row];
	sums->second += writing_scores[row + 1];
	sums->third += step_score(0, byte, last);
	sums->third += step_score(256, byte, before);
	sums->third += step_score(512, byte, here[4]);
	sums->third += step_score(768, byte, here[0]);
}

/* How often the byte came before, and once more from now on. */
static __always_inline __u64 remember(struct match *match, __u64 byte)
{
	__u8 *seen = match->seen + (byte & 255);
	__u64 before = *seen;

	*seen = before + 1;
	return before & (MEMORY_ROW - 1);
}

/* What the expert of memory gives for the byte at a place; not asked for a header's. */
static __always_inline void add_memory(struct sums *sums, struct match *match, __u64 at)
{
	__u64 row = (at & (MEMORY_PLACES - 1)) * MEMORY_ROW;
	__u64 before = remember(match, match->bytes[at & (PREFIX_BYTES - 1)]);

	asm volatile("" : "+r"(row));
	sums->fourth += memory_scores[row + before];
}

/*
 * Each loop in a global function of its own, which the verifier goes through once: it would follow
 * every way out of one loop through the next. Sums are handed on in the match.
 */

/* What came before the header's end is known, and no bet. */
__noinline int remember_header(struct match *match, __u32 header)
{
	__u64 end = header;

	if (!match)
		return 0;
	__builtin_memset(match->seen, 0, sizeof(match->seen));
	for (__u64 at = 0; at < CLEAR_BYTES; at++) {
		if (at >= end)
			break;
		remember(match, match->bytes[at]);
	}
	return 0;
}

/* Bets on the bytes from the header's end to the shortest packet's. Negative: one is won. */
__noinline int bet(const struct signatures *table, struct match *match, __u32 step_at)
{
	const struct signature_step *step;
	struct sums sums;
	__u64 at, end;

	if (!table || !match)
		return 0;
	step = table_at(table, step_at);
	remember_header(match, step->at);
	at = step->at;
	end = step->count < match->length ? step->count : match->length;
	sums.first = sums.second = sums.third = LANES((__u64)step->bet.start);
	sums.fourth = step->bet.start;
	for (__u64 i = 0; i < BET_BYTES; i++) {
		if (at >= end)
			break;
		add_scores(&sums, match, at);
		add_memory(&sums, match, at);
		at++;
		if (has_sign(&sums)) {
			match->lost_at = at;
			break;
		}
	}
	store_sums(match, &sums);
	return -(int)match->lost_at;
}

/* Adds the scores of the bytes from..to), which come next. */
__noinline int add_up(struct match *match, __u32 from, __u32 to)
{
	struct sums sums;
	__u64 at = from, end = to;

	if (!match)
		return 0;
	sums = load_sums(match);
	for (__u64 i = 0; i < BET_BYTES; i++) {
		if (at >= end)
			break;
		add_scores(&sums, match, at);
		add_memory(&sums, match, at);
		at++;
	}
	store_sums(match, &sums);
	return 0;
}

/*
 * Whether uniform beats every expert, from the header's end on, which the sums are of, or from any
 * byte before.
 */
__noinline int beats_all(struct match *match, __u32 header)
{
	struct sums sums;
	__u64 at = header;

	if (!match)
		return false;
	sums = load_sums(match);
	for (__u64 i = 0; i <= CLEAR_BYTES; i++) {
		if (!has_sign(&sums))
			return true;
		if (!at)
			break;
		at--;
		add_scores(&sums, match, at);
	}
	return false;
}

/* What a step says, as those of signatures.h; of a lost bet the sums are left in the match. */
__noinline int match_ciphertext(const struct signatures *table, struct match *match, __u32 step_at)
{
	const struct signature_step *step;
	__u32 shortest;
	__u64 shift;
	int lost;

	if (!table || !match)
		return 0;
	lost = bet(table, match, step_at);
	if (lost)
		return lost - 1;
	step = table_at(table, step_at);
	shortest = step->count;
	if (match->length < shortest)
		return 0;
	/* The same sums, seen from the other side. */
	shift = LANES((__u64)step->bet.shift);
	match->sums[0] += shift;
	match->sums[1] += shift;
	match->sums[2] += shift;
	match->sums[3] += step->bet.shift;
	if (beats_all(match, step->at))
		return shortest + 1;
	if (shortest < LATER_TRIAL) {
		if (match->length < LATER_TRIAL)
			return 0;
		add_up(match, shortest, LATER_TRIAL);
		if (beats_all(match, step->at))
			return LATER_TRIAL + 1;
		shortest = LATER_TRIAL;
	}
	if (shortest >= BET_BYTES || match->length < BET_BYTES)
		return 0;
	add_up(match, shortest, BET_BYTES);
	return beats_all(match, step->at) ? BET_BYTES + 1 : 0;
}

#endif
