// SPDX-License-Identifier: Apache-2.0
// Hand-made connections for the fuzzer: what a client says, and the segments in which it says so: cut, out of
// order, overlapping, twice, between decoys that the kernel throws away, with what makes it see another stream,
// in wrappings that hide the segment. Seeded and pure.

import { pick, type Random } from "../harness/random.ts";
import type { ConnectOptions, SegmentOptions } from "../harness/raw_tcp.ts";
import { ack, fin, joined, psh, rst, syn, urg } from "../harness/tcp_frame.ts";

/** One frame, or the fragments of it. */
export interface ScriptSegment extends SegmentOptions {
  /** Where its bytes behind the IP header are cut. */
  readonly cuts?: readonly number[];
  /** The last fragment first. */
  readonly reversed?: boolean;
  /** With the option of RFC 7323 that the connection agreed on; a value that is too old is thrown away. */
  readonly timestamp?: number;
}

export interface Script {
  readonly family: 4 | 6;
  readonly isFriend: boolean;
  readonly connect: ConnectOptions;
  /** Sent one behind the other; between two bursts the server's kernel has time. */
  readonly bursts: readonly (readonly ScriptSegment[])[];
  /** Every byte of it reaches the server, unless somebody takes a segment away. */
  readonly isWhole: boolean;
}

export interface Words {
  readonly friendly: readonly Uint8Array[];
  readonly hostile: readonly Uint8Array[];
}

/** MSS, SACK permitted, timestamps, window scale: as Linux sends them. */
const linuxOptions = Uint8Array.of(2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 3, 232, 0, 0, 0, 0, 1, 3, 3, 7);
/** What Linux' own clients begin with is the number of their SYN. */
const firstTimestamp = 1001;
/** RFC 3168 6.1: ECE and CWR. */
const congestion = 0xc0;
/** RFC 8684 3.1: MP_CAPABLE and MP_JOIN; RFC 7413: the question for a cookie. */
const synOptions: readonly Uint8Array[] = [
  new Uint8Array(),
  new Uint8Array(),
  linuxOptions,
  Uint8Array.of(30, 4, 0x01, 0x01),
  Uint8Array.of(30, 12, 0x10, 1, 1, 2, 3, 4, 5, 6, 7, 8),
  Uint8Array.of(1, 1, 34, 2),
];

/** @param hasCookies the server makes a socket of any of four sequence numbers. */
export function scriptOf(random: Random, words: Words, hasCookies: boolean): Script {
  const isFriend = random(4) === 0;
  const said = pick(random, isFriend ? words.friendly : words.hostile);
  const family = random(2) === 0 ? 4 : 6;
  const options = pick(random, synOptions);
  const hasTimestamps = options === linuxOptions;
  const hides = !isFriend && random(4) === 0;
  const pieces = ordered(random, overlapping(random, cut(random, said)));
  const spoken = pieces
    .map((piece) => wrapped(random, piece, family, hides))
    .map((segment, index) => (hasTimestamps ? { ...segment, timestamp: firstTimestamp + index } : segment));
  const lastAck = random(3) > 0;
  const disturbed = spoken.flatMap((segment) => [
    ...(random(3) === 0 ? [decoy(random, words, said, !hasCookies)] : []),
    ...(!isFriend && random(8) === 0 ? [contradiction(random, words, segment)] : []),
    ...(!isFriend && random(8) === 0 ? [ghost(random, words, segment, hasTimestamps)] : []),
    ...(!hasCookies && random(12) === 0 ? [aliveness(random, segment)] : []),
    segment,
    ...(random(5) === 0 ? [segment] : []),
  ]);
  return {
    family,
    isFriend,
    connect: {
      isn: pick(random, [0, 0xffff_fff0, 0x7fff_fff8, random(0x7fff_ffff)]),
      lastAck,
      options,
      ...(random(12) === 0 ? { synBytes: random(2) === 0 ? said : pick(random, words.friendly) } : {}),
    },
    bursts: bursts(random, disturbed),
    isWhole: !hides,
  };
}

function cut(random: Random, bytes: Uint8Array): SegmentOptions[] {
  const count = random(3) === 0 ? 0 : random(6);
  const edges = [0, ...Array.from({ length: count }, () => random(Math.min(bytes.length, 24))), bytes.length];
  const sorted = [...new Set(edges)].sort((a, b) => a - b);
  return sorted.slice(0, -1).map((at, index) => ({ at, bytes: bytes.slice(at, sorted[index + 1]) }));
}

/** Pieces that reach into the one before. */
function overlapping(random: Random, pieces: readonly SegmentOptions[]): SegmentOptions[] {
  const said = joined(...pieces.map(({ bytes }) => bytes ?? []));
  return pieces.map(({ at = 0, bytes = new Uint8Array() }) => {
    const earlier = random(4) === 0 ? Math.min(at, 1 + random(6)) : 0;
    const end = at + bytes.length;
    const later = random(4) === 0 ? Math.min(said.length - end, 1 + random(6)) : 0;
    return { at: at - earlier, bytes: said.slice(at - earlier, end + later) };
  });
}

function ordered(random: Random, pieces: readonly SegmentOptions[]): SegmentOptions[] {
  const way = random(4);
  if (way < 2) return [...pieces];
  if (way === 2) return [...pieces].reverse();
  return pieces
    .map((piece) => ({ piece, rank: random(1000) }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ piece }) => piece);
}

/**
 * What the kernel throws away, with bytes that would make another verdict.
 * @param hasOne the sequence number of the first byte is one and no other.
 */
function decoy(random: Random, words: Words, said: Uint8Array, hasOne: boolean): ScriptSegment {
  const bytes = pick(random, [...words.friendly, ...words.hostile]).slice(0, 1 + random(40));
  const at = random(Math.min(said.length, 20));
  switch (random(hasOne ? 9 : 7)) {
    case 0:
      return { at, bytes, wrongChecksum: true };
    case 1:
      return { at, bytes, ack: 0x1234_5678 ^ random(0x7fff_ffff) };
    case 2:
      return { at: 1_000_000_000 + random(1_000_000), bytes };
    case 3:
      return { at, bytes, flags: psh };
    case 4:
      return { at: 500_000 + random(1000), flags: rst };
    case 5:
      return { flags: ack | urg, urgent: random(30) };
    case 6:
      return { at: -1_000_000, bytes, flags: syn };
    case 7:
      return { at: -1, bytes: Uint8Array.of(random(256)), flags: ack };
    default:
      return { at: -bytes.length, bytes };
  }
}

/** Other bytes in the same place, as right as the segment's own. */
function contradiction(random: Random, words: Words, { at = 0, bytes }: SegmentOptions): ScriptSegment {
  const other = pick(random, words.friendly);
  return { at, bytes: other.slice(at, at + (bytes?.length ?? 1)) };
}

/**
 * In the place of a segment what the program may take for one and the kernel throws away: for another card, with a
 * wrong sum of its header, signed without a key (RFC 2385), or too old by its timestamp (PAWS).
 */
function ghost(random: Random, words: Words, { at = 0, bytes }: SegmentOptions, hasTimestamps: boolean): ScriptSegment {
  const said = pick(random, random(3) > 0 ? words.friendly : words.hostile);
  const other = { at, bytes: said.slice(at, at + Math.max(bytes?.length ?? 0, random(30))) };
  switch (random(hasTimestamps ? 5 : 4)) {
    case 0:
      return { ...other, otherCard: true };
    case 1:
      return { ...other, wrongIpChecksum: true, vlans: [5] };
    case 2:
      return { ...other, vlans: [5 + random(100)] };
    case 3:
      return { ...other, options: Uint8Array.of(19, 18, ...new Array(16).fill(0x5a), 1, 1) };
    default:
      return { ...other, timestamp: 1 };
  }
}

/** RFC 9293 3.8.4: the byte before, once more or another one, to hear whether the other side is there. */
function aliveness(random: Random, { at = 0 }: SegmentOptions): ScriptSegment {
  return { at: at - 1, bytes: at > 0 || random(2) === 0 ? new Uint8Array() : Uint8Array.of(random(256)), flags: ack };
}

function finFlags({ flags = ack }: SegmentOptions): Partial<SegmentOptions> {
  return { flags: flags | fin };
}

function wrapped(random: Random, piece: SegmentOptions, family: 4 | 6, hides: boolean): ScriptSegment {
  const bytes = piece.bytes ?? new Uint8Array();
  const urgent = random(6) === 0;
  const seen: ScriptSegment = {
    ...piece,
    flags: ack | (random(2) === 0 ? psh : 0) | (urgent ? urg : 0) | (random(6) === 0 ? congestion : 0),
    ...(urgent ? { urgent: random(bytes.length + 3) } : {}),
    ...(random(6) === 0 ? { vlans: Array(1 + random(2)).fill(0), serviceTag: random(2) === 0 } : {}),
    ...(random(6) === 0 ? { padding: new Uint8Array(1 + random(12)).fill(0x53) } : {}),
    ...(family === 4 && random(6) === 0 ? { ipv4OptionBytes: 4 * (1 + random(10)) } : {}),
    ...(family === 6 && random(6) === 0 ? { ipv6Extensions: 1 + random(6), ipv6First: pick(random, [0, 43, 60]) } : {}),
  };
  return hides && random(2) === 0 ? { ...seen, ...hidden(random, family) } : seen;
}

function hidden(random: Random, family: 4 | 6): Partial<ScriptSegment> {
  const way = random(3);
  if (way === 0) return { vlans: Array(3 + random(6)).fill(0) };
  if (way === 1 && family === 6) return { ipv6Extensions: 7 + random(20) };
  const cuts = pick(random, [[8], [16], [24], [24, 32], [8, 24]]);
  return {
    vlans: [],
    ipv4OptionBytes: 0,
    ipv6Extensions: 0,
    padding: new Uint8Array(),
    cuts,
    reversed: random(2) === 0,
  };
}

function bursts(random: Random, segments: readonly ScriptSegment[]): ScriptSegment[][] {
  const all: ScriptSegment[][] = [[]];
  for (const segment of segments) {
    if (random(3) === 0) all.push([]);
    all.at(-1)?.push(segment);
  }
  const end = endOf(segments);
  const isLast = ({ at = 0, bytes }: ScriptSegment) => at + (bytes?.length ?? 0) === end;
  if (random(8) === 0)
    return all.map((burst) => burst.map((one) => (isLast(one) ? { ...one, ...finFlags(one) } : one)));
  if (random(5) === 0) all.push([{ at: end, flags: fin | ack }]);
  return all;
}

function endOf(segments: readonly SegmentOptions[]): number {
  return Math.max(...segments.map(({ at = 0, bytes }) => (at < 100_000 ? at + (bytes?.length ?? 0) : 0)));
}
