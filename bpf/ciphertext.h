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

/* Of a byte the scores of all experts, by the bytes before it. */
#define ADD_SCORES(bytes, at)                                                                      \
	do {                                                                                       \
		const __u8 *here = (bytes) + ((at) & (PREFIX_BYTES - 1));                          \
		__u32 byte = here[8], last = here[7], before = here[6];                            \
		__u32 block =                                                                      \
			block_of_context[(context_as_last[last] | context_as_before[before]) &     \
					 (sizeof(block_of_context) - 1)] &                         \
			(EXPERT_BLOCKS - 1);                                                       \
		const __u64 *row = &writing_scores[(block << 8 | byte) * 2];                       \
                                                                                                   \
		first += row[0];                                                                   \
		second += row[1];                                                                  \
		third += step_scores[(byte - last) & 255];                                         \
		third += step_scores[256 + ((byte - before) & 255)];                               \
		third += step_scores[512 + ((byte - here[4]) & 255)];                              \
		third += step_scores[768 + ((byte - here[0]) & 255)];                              \
	} while (0)

/*
 * Each loop in a global function of its own, which the verifier goes through once: it would follow
 * every way out of one loop through the next. Sums are handed on in the match.
 */

/* Bets on the bytes from the header's end to the shortest packet's. Negative: one is won. */
__noinline int bet(const struct signatures *table, struct match *match, __u32 step_at)
{
	const struct signature_step *step;
	__u64 first, second, third, at, end;

	if (!table || !match)
		return 0;
	step = table_at(table, step_at);
	at = step->at;
	end = step->count < match->length ? step->count : match->length;
	first = second = third = LANES((__u64)step->bet.start);
	for (__u64 i = 0; i < BET_BYTES; i++) {
		if (at >= end)
			break;
		ADD_SCORES(match->before, at);
		at++;
		if ((first | second | third) & LANE_SIGNS) {
			match->lost_at = at;
			break;
		}
	}
	match->sums[0] = first;
	match->sums[1] = second;
	match->sums[2] = third;
	return -(int)match->lost_at;
}

/* Adds the scores of the bytes from..to). */
__noinline int add_up(struct match *match, __u32 from, __u32 to)
{
	__u64 first, second, third, at = from, end = to;

	if (!match)
		return 0;
	first = match->sums[0];
	second = match->sums[1];
	third = match->sums[2];
	for (__u64 i = 0; i < BET_BYTES; i++) {
		if (at >= end)
			break;
		ADD_SCORES(match->before, at);
		at++;
	}
	match->sums[0] = first;
	match->sums[1] = second;
	match->sums[2] = third;
	return 0;
}

/* Whether uniform beats every expert, from the header's end on, which the sums are of, or any byte
 * before. */
__noinline int beats_all(struct match *match, __u32 header)
{
	__u64 first, second, third, at = header;

	if (!match)
		return false;
	first = match->sums[0];
	second = match->sums[1];
	third = match->sums[2];
	for (__u64 i = 0; i <= CLEAR_BYTES; i++) {
		if (!((first | second | third) & LANE_SIGNS))
			return true;
		if (!at)
			break;
		at--;
		ADD_SCORES(match->before, at);
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
