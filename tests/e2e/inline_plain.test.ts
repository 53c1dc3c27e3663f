// SPDX-License-Identifier: Apache-2.0
// What could make another stream at the server than the one that is judged: the urgent pointer, MPTCP, IP
// fragments, headers beyond those that are read. A friend is served all the same, a stranger is banned or
// does not get through.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { run } from "../harness/child.ts";
import { fragmentsOf } from "../harness/fragments.ts";
import { friendly, hostile, InlineBed, requireVerdicts } from "../harness/inline_bed.ts";
import { describeWith } from "../harness/needs.ts";
import type { RawConnection, SegmentOptions } from "../harness/raw_tcp.ts";
import { ack, checksum, joined, psh, urg } from "../harness/tcp_frame.ts";
import { sleep } from "../harness/wait.ts";

setDefaultTimeout(30_000);

/** Long enough for a packet to get to the server and for the server to say so. */
const settleMs = 300;

type Speech = readonly SegmentOptions[];

/** A first packet, with a byte that the urgent pointer may take out again. */
const disturbed = (bytes: Uint8Array, at: number) => joined(bytes.slice(0, at), [0x58], bytes.slice(at));

/** Each would leave the server with `bytes`, and the judge with something else. */
const urgentWays: Readonly<Record<string, (bytes: Uint8Array) => Speech>> = {
  "the second byte": (bytes) => [{ bytes: disturbed(bytes, 1), flags: ack | psh | urg, urgent: 2 }],
  "the first byte": (bytes) => [{ bytes: disturbed(bytes, 0), flags: ack | psh | urg, urgent: 1 }],
  "a byte of a later segment": (bytes) => [
    { bytes: bytes.slice(0, 4), flags: ack | urg, urgent: 6 },
    { at: 4, bytes: disturbed(bytes.slice(4), 1) },
  ],
  "a byte of a later segment, told by a segment without data": (bytes) => [
    { flags: ack | urg, urgent: 3 },
    { bytes: disturbed(bytes, 2) },
  ],
  "a byte of a later segment, told on the last ACK": (bytes) => [
    { flags: ack | urg, urgent: 2 },
    { bytes: disturbed(bytes, 1) },
  ],
  "several bytes, one after the other": (bytes) => {
    const more = disturbed(disturbed(bytes, 2), 5);
    return [
      { bytes: more.slice(0, 3), flags: ack | urg, urgent: 3 },
      { at: 3, bytes: more.slice(3), flags: ack | psh | urg, urgent: 3 },
    ];
  },
};

describeWith("namespaces", "executable")("the urgent pointer", () => {
  let bed: InlineBed;

  beforeAll(async () => {
    requireVerdicts();
    bed = await InlineBed.open();
  });
  afterAll(() => bed?.[Symbol.asyncDispose]());

  for (const [name, speech] of Object.entries(urgentWays)) {
    for (const family of [4, 6] as const) {
      test(`at ${name} hides no stranger (IPv${family})`, async () => {
        const source = family === 4 ? bed.nextIpv4() : bed.nextIpv6();
        const before = bed.counts();
        const stranger = await bed.clients.connect(source, { lastAck: !name.endsWith("last ACK") });
        stranger.send(...speech(hostile));
        await bed.counted("urgent", before);
        await sleep(settleMs);
        // Judged with the byte, or gone: never the request without it.
        const { data } = bed.sink.of(stranger.name);
        expect(data).not.toBe(hostile.toHex());
        const told = joined(...speech(hostile).map(({ bytes }) => bytes ?? []));
        expect(told.toHex()).toStartWith(data);
      });
    }
  }

  test("at nothing, beyond the segment or at the end costs a friend no byte", async () => {
    for (const urgent of [0, 1, 7, friendly.length, friendly.length + 1, 0xffff]) {
      const friend = await bed.clients.connect(bed.nextIpv4());
      friend.send({ bytes: friendly, flags: ack | urg | psh, urgent });
      await bed.sink.got(friend.name, friendly);
    }
    const stranger = await bed.clients.connect(bed.nextIpv4());
    stranger.send({ bytes: hostile, flags: ack | urg | psh, urgent: hostile.length });
    await bed.gate.banned(stranger.ends.source);
    expect(bed.sink.of(stranger.name).data).toBe("");
  });

  test("is the server's own affair behind the bytes that decide", async () => {
    const friend = await bed.clients.connect(bed.nextIpv4());
    friend.send({ bytes: friendly });
    await bed.sink.got(friend.name, friendly);
    const before = bed.counts();
    friend.send({ at: friendly.length, bytes: Uint8Array.of(1, 2, 3), flags: ack | urg | psh, urgent: 3 });
    await bed.sink.got(friend.name, joined(friendly, [1, 2]));
    expect(bed.counts().urgent).toBe(before.urgent);
  });
});

/** A client by the kernel's own MPTCP: says its bytes and waits for the end or for 300 ms. */
const mptcpClient = `
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_STREAM, 262)
s.bind((sys.argv[1], 0))
s.connect((sys.argv[2], 5000))
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
for piece in sys.argv[3:]:
    s.send(bytes.fromhex(piece))
s.settimeout(0.3)
port = s.getsockname()[1]
try:
    s.recv(1)
except OSError:
    pass
# MPTCP_INFO: a fallback to TCP is told by bit 0 of mptcpi_flags; without MPTCP at all the option fails.
print(port)
`;

describeWith("namespaces", "executable")("MPTCP by the kernel", () => {
  for (const [name, sysctl] of [
    ["a handshake that is remembered", []],
    ["SYN cookies", ["net.ipv4.tcp_syncookies=2"]],
  ] as const) {
    test(`falls back to TCP, with ${name}`, async () => {
      await using bed = await InlineBed.open({ sink: ["mptcp"], sysctl });
      const { network } = bed;
      const visit = async (from: string, to: string, ...pieces: readonly Uint8Array[]) => {
        const words = pieces.map((piece) => piece.toHex());
        const { code, stdout, stderr } = await run(["python3", "-c", mptcpClient, from, to, ...words], {
          namespace: network.client,
        });
        expect([code, stderr]).toEqual([0, ""]);
        return `${from} ${stdout.trim()}`;
      };
      const before = bed.counts();
      for (const [number, from, to] of [
        [1, network.clientIpv4(1), network.gateIpv4],
        [2, network.clientIpv6(2), network.gateIpv6],
      ] as const) {
        const friend = await visit(from, to, friendly.slice(0, 9), friendly.slice(9));
        await bed.sink.got(friend, friendly);
        expect(await bed.gate.ban(from)).toBeUndefined();
        const stranger = number === 1 ? network.clientIpv4(3) : network.clientIpv6(4);
        const visited = await visit(stranger, to, hostile.slice(0, 3), hostile.slice(3));
        await bed.gate.banned(stranger);
        expect(hostile.slice(0, 8).toHex()).toStartWith(bed.sink.of(visited).data);
      }
      expect(bed.counts().mptcp - before.mptcp).toBeGreaterThanOrEqual(4);
      const { stdout } = await run(["ss", "-HMan"], { namespace: network.gate });
      expect(stdout.split("\n").filter((line) => line.startsWith("ESTAB") && line.includes("token"))).toEqual([]);
    });
  }

  /** RFC 8684 3.1, version 1, without checksums. */
  const key = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);

  test("is not opened nor joined by an ACK under SYN cookies", async () => {
    await using bed = await InlineBed.open({ sink: ["mptcp"], sysctl: ["net.ipv4.tcp_syncookies=2"] });
    for (const source of [bed.nextIpv4(), bed.nextIpv6()]) {
      const stranger = await bed.clients.connect(source, { lastAck: false });
      const before = bed.counts();
      stranger.send({ options: joined([30, 20, 0x01, 0x01], key, key) });
      await bed.counted("mptcp", before);
      stranger.send({ bytes: hostile });
      await bed.gate.banned(source);
      expect(bed.sink.of(stranger.name).data).toBe("");
    }
  });
});

describeWith("namespaces", "executable")("IP fragments", () => {
  const cuts: Readonly<Record<string, readonly number[]>> = {
    "behind the TCP header": [24],
    "within the TCP header": [8],
    "in three": [16, 32],
  };
  const said = (connection: RawConnection, bytes: Uint8Array, at: readonly number[]) =>
    fragmentsOf(connection.frame({ bytes }), at);

  test("are dropped and counted, in whatever order they come", async () => {
    await using bed = await InlineBed.open();
    for (const at of Object.values(cuts)) {
      for (const source of [bed.nextIpv4(), bed.nextIpv6()]) {
        for (const isReversed of [false, true]) {
          const stranger = await bed.clients.connect(source);
          const frames = said(stranger, hostile, at);
          const before = bed.counts();
          bed.clients.sendFrames(...(isReversed ? frames.reverse() : frames));
          await bed.counted("fragment", before);
          await sleep(settleMs);
          expect(bed.sink.of(stranger.name).data).toBe("");
        }
      }
    }
    // Nobody is banned for it, and a whole packet goes on being judged.
    expect(await bed.gate.bans()).toEqual([]);
    const friend = await bed.clients.connect(bed.nextIpv4());
    friend.send({ bytes: friendly });
    await bed.sink.got(friend.name, friendly);
  });

  test("pass with --fragments pass", async () => {
    await using bed = await InlineBed.open({ gate: ["--fragments", "pass"] });
    for (const source of [bed.nextIpv4(), bed.nextIpv6()]) {
      const client = await bed.clients.connect(source);
      bed.clients.sendFrames(...said(client, friendly, [24]));
      await bed.sink.got(client.name, friendly);
    }
    expect(bed.counts().fragment).toBe(0);
  });

  test("of one piece (RFC 6946) are judged as what they hold", async () => {
    await using bed = await InlineBed.open();
    const friend = await bed.clients.connect(bed.nextIpv6());
    bed.clients.sendFrames(...fragmentsOf(friend.frame({ bytes: friendly }), []));
    await bed.sink.got(friend.name, friendly);
    const stranger = await bed.clients.connect(bed.nextIpv6());
    bed.clients.sendFrames(...fragmentsOf(stranger.frame({ bytes: hostile }), []));
    await bed.gate.banned(stranger.ends.source);
    expect(bed.sink.of(stranger.name).data).toBe("");
  });
});

describeWith("namespaces", "executable")("headers around the segment", () => {
  let bed: InlineBed;

  beforeAll(async () => {
    bed = await InlineBed.open();
  });
  afterAll(() => bed?.[Symbol.asyncDispose]());

  const readable: readonly [string, SegmentOptions, 4 | 6][] = [
    ["two priority tags", { vlans: [0, 0] }, 4],
    ["a priority tag of Q-in-Q", { vlans: [0, 0], serviceTag: true }, 4],
    ["six extension headers", { ipv6Extensions: 6 }, 6],
    ["40 bytes of IPv4 options", { ipv4OptionBytes: 40 }, 4],
  ];
  for (const [name, wrapping, family] of readable) {
    test(`${name} hide nobody`, async () => {
      const next = () => (family === 4 ? bed.nextIpv4() : bed.nextIpv6());
      const friend = await bed.clients.connect(next());
      friend.send({ bytes: friendly, ...wrapping });
      await bed.sink.got(friend.name, friendly);
      const stranger = await bed.clients.connect(next());
      stranger.send({ bytes: hostile, ...wrapping });
      await bed.gate.banned(stranger.ends.source);
      expect(bed.sink.of(stranger.name).data).toBe("");
    });
  }

  const hidden: readonly [string, SegmentOptions, 4 | 6][] = [
    ["three priority tags", { vlans: [0, 0, 0] }, 4],
    ["eight priority tags", { vlans: Array(8).fill(0) }, 6],
    ["seven extension headers", { ipv6Extensions: 7 }, 6],
    ["thirty extension headers", { ipv6Extensions: 30 }, 6],
  ];
  for (const [name, wrapping, family] of hidden) {
    test(`${name} are more than are read: dropped and counted`, async () => {
      const stranger = await bed.clients.connect(family === 4 ? bed.nextIpv4() : bed.nextIpv6());
      const before = bed.counts();
      stranger.send({ bytes: hostile, ...wrapping });
      await bed.counted("unread", before);
      await sleep(settleMs);
      expect(bed.sink.of(stranger.name).data).toBe("");
    });
  }
});

/** A frame in another form; its segment is as it was. */
type Form = (frame: Uint8Array) => Uint8Array;

const ethernetBytes = 14;
const behindEthernet = (form: (packet: Uint8Array) => Uint8Array): Form => {
  return (frame) => joined(frame.subarray(0, ethernetBytes), form(frame.subarray(ethernetBytes)));
};
const tagged = (etherType: number, ...between: readonly number[]): Form => {
  return (frame) =>
    joined(frame.subarray(0, 12), [etherType >> 8, etherType & 0xff], between, frame.subarray(ethernetBytes));
};
/** With another field of the IPv4 header, and its checksum made anew. */
const withIpv4 = (change: (header: Uint8Array) => void): Form =>
  behindEthernet((packet) => {
    const header = packet.slice(0, 20);
    change(header);
    header.set([0, 0], 10);
    new DataView(header.buffer).setUint16(10, checksum(header));
    return joined(header, packet.subarray(20));
  });
/** A hop-by-hop header before the segment, and no length in IPv6's own: the frame's end is the packet's. */
const endless = behindEthernet((packet) => {
  const header = packet.slice(0, 40);
  header.set([0, 0, 0], 4);
  return joined(header, [6, 0, 1, 4, 0, 0, 0, 0], packet.subarray(40));
});
const lengthOf = (frame: Uint8Array) => frame.length - ethernetBytes;

describeWith("namespaces", "executable")("frames of another form", () => {
  let bed: InlineBed;

  beforeAll(async () => {
    bed = await InlineBed.open();
  });
  afterAll(() => bed?.[Symbol.asyncDispose]());

  const forms: readonly [name: string, form: Form, family: 4 | 6, isTaken: boolean][] = [
    ["with the card's checksum behind them", (frame) => joined(frame, [0xde, 0xad, 0xbe, 0xef]), 4, true],
    ["with a trailer that looks like a packet", (frame) => joined(frame, frame.subarray(ethernetBytes)), 6, true],
    ["with a hop limit of 0", withIpv4((header) => header.set([0], 8)), 4, true],
    ["with a reserved flag", withIpv4((header) => header.set([0xc0], 6)), 4, true],
    ["without the length of the IPv4 packet", withIpv4((header) => header.set([0, 0], 2)), 4, false],
    ["with an IPv4 packet that is longer than they are", withIpv4((header) => header.set([5, 220], 2)), 4, false],
    ["without the length of the IPv6 packet", endless, 6, true],
    ["of LLC and SNAP", (frame) => tagged(lengthOf(frame) + 8, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0)(frame), 4, false],
    ["of 802.3 without LLC", (frame) => tagged(lengthOf(frame))(frame), 4, false],
    ["of PPPoE", (frame) => tagged(0x8864, 0x11, 0, 0, 1, 0, lengthOf(frame) + 2, 0, 0x21)(frame), 4, false],
    ["of MPLS", tagged(0x8847, 0, 0, 0x11, 64), 4, false],
    ["of MPLS, IPv6", tagged(0x8848, 0, 0, 0x21, 64), 6, false],
    ["with a tag of 0x9100", tagged(0x9100, 0, 0, 8, 0), 4, false],
    ["with the other family's type", tagged(0x86dd), 4, false],
  ];
  for (const [name, form, family, isTaken] of forms) {
    test(`${name} bring no stranger to the server${isTaken ? "" : ", nor anybody"}`, async () => {
      const next = () => (family === 4 ? bed.nextIpv4() : bed.nextIpv6());
      const [friend, stranger] = [await bed.clients.connect(next()), await bed.clients.connect(next())];
      bed.clients.sendFrames(form(friend.frame({ bytes: friendly })), form(stranger.frame({ bytes: hostile })));
      if (isTaken) {
        await bed.sink.got(friend.name, friendly);
        await bed.gate.banned(stranger.ends.source);
      } else {
        await sleep(settleMs);
        expect(bed.sink.of(friend.name).data).toBe("");
      }
      expect(bed.sink.of(stranger.name).data).toBe("");
    });
  }
});
