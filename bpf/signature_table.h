/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A profile as one block of structs: src/core/signature/table.ts writes it, docs/signatures.md is
 * the text to it.
 */
#ifndef TTGATE_SIGNATURE_TABLE_H
#define TTGATE_SIGNATURE_TABLE_H

#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#define SIGNATURES_MAGIC 0x73746774 /* "tgts" */
#define SIGNATURES_VERSION 5

/* No rule looks further; a longer one stays in user space. */
#define PREFIX_BYTES 256
/* A power of two, which bounds every offset with one instruction. */
#define SIGNATURES_BYTES (256 * 1024)
/* Bounds of loops; user space refuses a profile that wants more. */
#define MAX_CANDIDATES 256
#define MAX_STEPS 32

/* Scores of experts are added up in so many words. */
#define BET_WORDS 4

/* In place of a set's index, of a maximum or of a place. */
#define NOTHING 0xffff

struct signature_header {
	__u32 magic;
	__u32 version;
	__u32 has_expected;
	__u32 prefix_bytes;
	__u32 alternative_count, alternatives_at;
	__u32 step_count, steps_at;
	__u32 set_count, sets_at;
	__u32 dispatch_at, lists_at;
	__u32 owner_count, reasons_at;
	__u32 has_bets; /* what is expected is decided with the bytes that bets take */
	__u32 lanes_at; /* of each expert the owner that has its name */
};

enum alternative_flags {
	ALTERNATIVE_REFUTES = 1 << 0,
	ALTERNATIVE_EXPECTED = 1 << 1,
	ALTERNATIVE_NEAR = 1 << 2,
	ALTERNATIVE_OVERRULED = 1 << 3, /* by what is near */
};

/* A place that rules an alternative out for most packets. */
struct signature_pivot {
	__u16 at; /* NOTHING: none */
	__u16 set; /* what may stand there */
};

struct signature_alternative {
	__u16 first_step;
	__u8 step_count;
	__u8 flags; /* enum alternative_flags */
	__u16 owner;
	__u16 horizon_bytes;
	struct signature_pivot pivots[2];
};

enum step_kind {
	STEP_BYTES = 1,
	STEP_RUN,
	STEP_REST,
	STEP_NUMBER, /* kinds up to here look at a place, and end at one */
	STEP_LENGTH,
	STEP_BLOCKS,
	STEP_CIPHERTEXT,
};

enum step_flags {
	STEP_NEGATED = 1 << 0,
	STEP_RELATIVE = 1 << 1,
	STEP_LITTLE = 1 << 2,
};

/* What a number says of the length. */
enum length_relation {
	LENGTH_FREE,
	LENGTH_EQUALS,
	LENGTH_WITHIN,
};

struct signature_step {
	__u8 kind;
	__u8 flags;
	__u16 at;
	__u16 count;
	__u16 limit;
	union {
		struct {
			__u64 value, mask;
		} bytes;
		struct {
			__u32 set, until;
		} run;
		struct {
			__u32 min, max;
			__s32 plus;
		} number;
		struct {
			__u32 start; /* of a sum whose sign comes up where the bet is won */
			__u32 shift; /* to one whose sign goes down where uniform wins */
		} bet;
	};
};

struct signature_dispatch {
	__u16 first;
	__u16 count;
};

_Static_assert(sizeof(struct signature_header) == 64, "signature_header");
_Static_assert(sizeof(struct signature_alternative) == 16, "signature_alternative");
_Static_assert(sizeof(struct signature_step) == 24, "signature_step");

/* With room behind it for the largest struct that begins at its last byte. */
struct signatures {
	__u8 bytes[SIGNATURES_BYTES + 64];
};

static __always_inline const void *table_at(const struct signatures *table, __u32 offset)
{
	return table->bytes + (offset & (SIGNATURES_BYTES - 1));
}

#endif
