// SPDX-License-Identifier: Apache-2.0
// Inline mode finds a connection's first bytes by the kernel's own socket, however TCP carries them: a
// friend's bytes all arrive, a stranger is banned and the server is rid of it.

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { friendly, hostile, InlineBed, requireVerdicts } from "../harness/inline_bed.ts";
import { describeWith } from "../harness/needs.ts";
import type { ConnectOptions, RawConnection, SegmentOptions } from "../harness/raw_tcp.ts";
import { ack, fin, psh } from "../harness/tcp_frame.ts";

setDefaultTimeout(30_000);

interface Delivery {
  readonly name: string;
  readonly connect?: ConnectOptions;
  /** Only where it exists. */
  readonly family?: 4 | 6;
  readonly segments: (bytes: Uint8Array, connection: RawConnection) => readonly SegmentOptions[];
}

function piece(bytes: Uint8Array, from: number, to: number, rest: SegmentOptions = {}): SegmentOptions {
  return { at: from, bytes: bytes.slice(from, to), ...rest };
}

function inPieces(bytes: Uint8Array, size: number): SegmentOptions[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
    piece(bytes, index * size, (index + 1) * size),
  );
}

/** MSS, SACK permitted, timestamps, window scale: as Linux sends them. */
const linuxOptions = Uint8Array.of(2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 3, 232, 0, 0, 0, 0, 1, 3, 3, 7);
/** Just before the numbers begin again. */
const wrapping: ConnectOptions = { isn: 0xffff_fff0 };
const garbage = new Uint8Array(1);

const deliveries: readonly Delivery[] = [
  { name: "in one segment", segments: (bytes) => [{ bytes }] },
  { name: "in two segments", segments: (bytes) => [piece(bytes, 0, 7), piece(bytes, 7, bytes.length)] },
  {
    name: "in two segments, the second first",
    segments: (bytes) => [piece(bytes, 7, bytes.length), piece(bytes, 0, 7)],
  },
  { name: "in bytes", segments: (bytes) => inPieces(bytes, 1) },
  { name: "in bytes, the last first", segments: (bytes) => inPieces(bytes, 1).reverse() },
  {
    name: "in three segments, the middle last",
    segments: (bytes) => [piece(bytes, 0, 4), piece(bytes, 11, bytes.length), piece(bytes, 4, 11)],
  },
  {
    name: "in segments that overlap",
    segments: (bytes) => [piece(bytes, 0, 6), piece(bytes, 3, 12), piece(bytes, 9, bytes.length)],
  },
  {
    name: "in segments that overlap, the last first",
    segments: (bytes) => [piece(bytes, 9, bytes.length), piece(bytes, 3, 12), piece(bytes, 0, 6)],
  },
  { name: "sent again with more behind it", segments: (bytes) => [piece(bytes, 0, 5), { bytes }] },
  {
    name: "with every segment sent twice",
    segments: (bytes) => inPieces(bytes, 3).flatMap((segment) => [segment, segment]),
  },
  { name: "over the wrap of the sequence numbers", connect: wrapping, segments: (bytes) => [{ bytes }] },
  { name: "in bytes over the wrap", connect: wrapping, segments: (bytes) => inPieces(bytes, 1) },
  {
    name: "backwards over the wrap",
    connect: wrapping,
    segments: (bytes) => [piece(bytes, 20, bytes.length), piece(bytes, 10, 20), piece(bytes, 0, 10)],
  },
  { name: "on the last ACK", connect: { lastAck: false }, segments: (bytes) => [{ bytes }] },
  {
    name: "on the last ACK and behind it",
    connect: { lastAck: false },
    segments: (bytes) => [piece(bytes, 0, 9), piece(bytes, 9, bytes.length)],
  },
  {
    name: "behind an ACK that was lost, the second segment first",
    connect: { lastAck: false },
    segments: (bytes) => [piece(bytes, 9, bytes.length), piece(bytes, 0, 9)],
  },
  {
    name: "with timestamps, window scale and SACK",
    connect: { options: linuxOptions, lastAck: false },
    segments: (bytes, connection) => [
      { options: connection.timestamps(1001) },
      piece(bytes, 0, 5, { options: connection.timestamps(1002) }),
      piece(bytes, 5, bytes.length, { options: connection.timestamps(1003) }),
    ],
  },
  {
    name: "behind a segment with a timestamp from before",
    connect: { options: linuxOptions, lastAck: false },
    segments: (bytes, connection) => [
      { options: connection.timestamps(1001) },
      // PAWS: the kernel throws it away (RFC 7323 5).
      piece(bytes, 0, 5, { options: connection.timestamps(1) }),
      { bytes, options: connection.timestamps(1002) },
    ],
  },
  { name: "with FIN", segments: (bytes) => [{ bytes, flags: fin | ack | psh }] },
  { name: "without PSH", segments: (bytes) => [{ bytes, flags: ack }] },
  {
    name: "behind a segment with a wrong checksum",
    segments: (bytes) => [{ bytes: bytes.map((byte) => byte ^ 0xff), wrongChecksum: true }, { bytes }],
  },
  {
    name: "behind a keep-alive of one byte",
    segments: (bytes) => [{ at: -1, bytes: garbage, flags: ack }, { at: -1, flags: ack }, { bytes }],
  },
  {
    name: "with a keep-alive in between",
    segments: (bytes) => [piece(bytes, 0, 6), { at: 5, bytes: garbage, flags: ack }, piece(bytes, 6, bytes.length)],
  },
  {
    name: "behind a byte that was sent with the handshake's number",
    segments: (bytes) => [{ at: -1, bytes: Uint8Array.of(0, ...bytes) }],
  },
  { name: "from a client whose window is zero", segments: (bytes) => [{ bytes, window: 0 }] },
  {
    name: "with padding behind it",
    segments: (bytes) => [
      piece(bytes, 0, 3, { padding: new TextEncoder().encode("SSH-2.0") }),
      piece(bytes, 3, bytes.length, { padding: new Uint8Array(9) }),
    ],
  },
  { name: "behind IPv4 options", family: 4, segments: (bytes) => [{ bytes, ipv4OptionBytes: 12 }] },
  { name: "behind IPv6 extension headers", family: 6, segments: (bytes) => [{ bytes, ipv6Extensions: 2 }] },
  // The kernel takes a priority tag off also where it knows nothing of VLANs.
  { name: "behind a priority tag", segments: (bytes) => [{ bytes, vlans: [0] }] },
];

describeWith("namespaces", "executable")("the first bytes", () => {
  let bed: InlineBed;

  beforeAll(async () => {
    requireVerdicts();
    bed = await InlineBed.open();
  });
  afterAll(() => bed?.[Symbol.asyncDispose]());

  for (const { name, connect, family, segments } of deliveries) {
    const families = family === undefined ? ([4, 6] as const) : [family];
    const inEach = (visit: (source: string) => Promise<void>) =>
      Promise.all(families.map((version) => visit(version === 4 ? bed.nextIpv4() : bed.nextIpv6())));

    test(`of a friend ${name}`, async () => {
      await inEach(async (source) => {
        const connection = await bed.clients.connect(source, connect);
        connection.send(...segments(friendly, connection));
        await bed.sink.got(connection.name, friendly);
        expect(await bed.gate.ban(source)).toBeUndefined();
      });
    });

    test(`of a stranger ${name}`, async () => {
      await inEach(async (source) => {
        const connection = await bed.clients.connect(source, connect);
        connection.send(...segments(hostile, connection));
        await bed.gate.banned(source);
        const { opened } = bed.sink.of(connection.name);
        // One that the kernel had not handed over yet was never seen by the server.
        if (opened > 0) expect(await bed.sink.ended(connection.name)).toBe("ECONNRESET");
        const { data } = bed.sink.of(connection.name);
        expect(hostile.toHex()).toStartWith(data);
        expect(data.length / 2).toBeLessThan(9);
        expect(await bed.socketsOf(connection.name)).toEqual([]);
      });
    });
  }

  test("of friends are never held, and the kernel alone banned the strangers", () => {
    expect(bed.counts()).toMatchObject({ held: 0, not_banned: 0, spared: 0, event_lost: 0, older: 0 });
  });
});
