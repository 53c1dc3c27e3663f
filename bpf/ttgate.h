/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the XDP program, ttgate and other tools share: the layout of every map.
 * docs/map.md is the text to it; src/fences/xdp/maps/layout.ts is checked against the sizes
 * below when the object is loaded. A change of any struct raises TTGATE_LAYOUT.
 */
#ifndef TTGATE_H
#define TTGATE_H

#include <linux/types.h>

#define TTGATE_MAGIC 0x74746774 /* "ttgt" */
#define TTGATE_LAYOUT 1

/* Stands on a test frame that asks for the verdict and is not to be counted in a ban. */
#define TTGATE_QUESTION 0x7474673f /* "ttg?" */

/* Guarded TCP ports: a handful of gates in one process, searched linearly. */
#define TTGATE_MAX_PORTS 8

/* IPv4 as v4-mapped IPv6 (RFC 4291 2.5.5.2); IPv6 masked to the ban prefix. */
struct ban_key {
	__u8 addr[16];
};

/* Longest prefix match: prefixlen counts from the v4-mapped form, an IPv4 /24 is 120. */
struct cidr_key {
	__u32 prefixlen;
	__u8 addr[16];
};

enum ban_flags {
	BAN_BY_TTGATE = 1 << 0, /* ttgate wrote it; without it, another tool did */
	BAN_ORIGIN_SHIFT = 8, /* bits 8 to 15: enum ban_origin */
};

/* Who asked ttgate for the ban, so that it is known again after a crash. */
enum ban_origin {
	ORIGIN_MAP, /* another tool, or not told */
	ORIGIN_SNIFFER,
	ORIGIN_STRIKES,
	ORIGIN_KERNEL,
	ORIGIN_OPERATOR,
	ORIGIN_LIST,
	ORIGIN_SERVER,
	ORIGIN_CROWDSEC,
	ORIGIN_FAIL2BAN,
	ORIGIN_GATE,
};

/* An entry of all zero bytes is a ban without an end: the easiest thing to write by hand. */
struct ban {
	__u64 expires_ns; /* CLOCK_BOOTTIME; 0: no end */
	__u64 packets; /* dropped, by this entry */
	__u64 bytes;
	__u32 reason; /* FNV-1a of the protocol's name; 0: not told */
	__u32 flags; /* enum ban_flags */
	__u64 last_seen_ns; /* CLOCK_BOOTTIME of the last drop; 0: none yet */
};

enum gate_scope {
	SCOPE_PORT = 0, /* a ban blocks TCP to the guarded ports */
	SCOPE_HOST = 1, /* a ban blocks every packet of the source */
};

struct settings {
	__u32 magic;
	__u32 layout;
	__u32 scope; /* enum gate_scope */
	__u32 ipv6_prefix; /* length that an IPv6 source is masked to, 1..128 */
	__u32 cidr_entries; /* 0: the trie is not looked at */
	__u32 port_count;
	__u16 ports[TTGATE_MAX_PORTS]; /* host byte order */
	__u64 heartbeat_ns; /* CLOCK_BOOTTIME, about once a second while ttgate runs */
	__u32 daemon_pid;
	__u32 reserved;
};

/* What became of a packet: the index into the counters. */
enum outcome {
	OUTCOME_PASS, /* nobody banned it, or not guarded */
	OUTCOME_DROP_BAN,
	OUTCOME_DROP_CIDR,
	OUTCOME_PASS_EXPIRED, /* a ban that is over, not swept yet */
	OUTCOME_PASS_UNPARSED, /* truncated, or headers beyond the bounds */
	OUTCOME_COUNT,
};

struct counter {
	__u64 packets;
	__u64 bytes;
};

_Static_assert(sizeof(struct ban_key) == 16, "ban_key");
_Static_assert(sizeof(struct cidr_key) == 20, "cidr_key");
_Static_assert(sizeof(struct ban) == 40, "ban");
_Static_assert(sizeof(struct settings) == 56, "settings");
_Static_assert(sizeof(struct counter) == 16, "counter");

#endif
