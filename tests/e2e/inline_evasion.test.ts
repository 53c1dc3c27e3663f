// SPDX-License-Identifier: Apache-2.0
// Ways around inline mode that were found, each tried again: the server reads nothing that was not judged.
import { expect, setDefaultTimeout, test } from "bun:test";
import { requirePrefix } from "../../src/core/address.ts";
import { run } from "../harness/child.ts";
import { friendly, hostile, InlineBed, sysctl } from "../harness/inline_bed.ts";
import { describeWith } from "../harness/needs.ts";
import { ip } from "../harness/netns.ts";
import type { SegmentOptions } from "../harness/raw_tcp.ts";
import { checksum, joined } from "../harness/tcp_frame.ts";
import { sleep, waitFor } from "../harness/wait.ts";

setDefaultTimeout(60_000);

const text = (line: string) => new TextEncoder().encode(line);
/** For the server, would it come. */
const settleMs = 300;

/** 9000 bytes: the last of the four sizes that a cookie knows. */
const largestSegment = Uint8Array.of(2, 4, 0x23, 0x28);

/** What the kernel throws away, and the program reads. */
const ghosts: readonly (SegmentOptions & { readonly name: string })[] = [
  { name: "a wrong checksum of the IP header", wrongIpChecksum: true },
  { name: "another card's address", otherCard: true },
  { name: "a VLAN that is not here", vlans: [5] },
  { name: "a signature without a key (RFC 2385)", options: Uint8Array.of(19, 18, ...new Array(16).fill(1), 1, 1) },
];

/** As from a card: the program sees several packets before the kernel takes the first. */
function inBatches({ network: { gate, device } }: InlineBed): void {
  ip("netns", "exec", gate, "sh", "-c", `echo 1 > /sys/class/net/${device}/threaded`);
}

/**
 * Sends a frame as a virtual machine or a container of this host may: with the word that its checksum is still to be
 * made (VIRTIO_NET_HDR_F_NEEDS_CSUM, by a PACKET_VNET_HDR). The kernel does not look at the checksum then.
 */
const sendUnfinished = `
import socket, struct, sys
card = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
card.bind((sys.argv[1], 0))
card.setsockopt(263, 15, 1)
card.send(struct.pack("=BBHHHH", 1, 0, 0, 0, int(sys.argv[2]), 16) + bytes.fromhex(sys.argv[3]))
`;

/** A header of 2,048 bytes with as many options as Linux takes, none of which anybody knows. */
function manyOptions(next: number): number[] {
  const lengths = [...new Array(7).fill(255), 245];
  return [next, 255, ...lengths.flatMap((length) => [0x1e, length, ...new Array(length).fill(0)])];
}

/** An IPv6 frame with its segment behind three such headers. What begins with hop-by-hop options may leave out its length. */
function farBehind(frame: Uint8Array): Uint8Array {
  const headers = frame.slice(0, 54);
  headers.set([0, 0, 0], 18);
  return joined(headers, manyOptions(60), manyOptions(60), manyOptions(6), frame.slice(54));
}

/** The frame to another address of the gate's, and from there on to its own: a loose source route (RFC 791 3.1). */
function bySourceRoute(frame: Uint8Array): Uint8Array {
  const segment = frame.slice(34);
  const headers = joined(frame.slice(0, 34), [131, 7, 4], frame.slice(30, 34), [0]);
  headers[14] = 0x47;
  headers[17] = 28 + segment.length;
  headers.set([0, 0], 24);
  headers.set(requirePrefix(way.ipv4).bytes.subarray(12), 30);
  const sum = checksum(headers.subarray(14));
  headers.set([sum >> 8, sum & 0xff], 24);
  return joined(headers, segment);
}

/** The same by segment routing (RFC 8754 2). */
function bySegmentRouting(frame: Uint8Array): Uint8Array {
  const segment = frame.slice(54);
  const headers = frame.slice(0, 54);
  const { bytes: address } = requirePrefix(way.ipv6);
  const route = joined([6, 4, 4, 1, 1, 0, 0, 0], frame.slice(38, 54), address);
  headers.set([0, route.length + segment.length, 43], 18);
  headers.set(address, 38);
  return joined(headers, route, segment);
}

const way = { ipv4: "10.77.0.99", ipv6: "fd77::99" } as const;

describeWith("namespaces", "executable")("nobody gets past the judge", () => {
  test("by a near miss that the kernel throws away, and with it the RST", async () => {
    await using bed = await InlineBed.open({ gate: ["-p", "ssh"] });
    for (const { name: _, ...ghost } of ghosts) {
      const stranger = await bed.clients.connect(bed.nextIpv4());
      stranger.send({ bytes: text("S") });
      await bed.sink.got(stranger.name, text("S"));
      const before = bed.counts();
      stranger.send({ ...ghost, at: 1, bytes: text("SH-3.0-x\r\n") });
      await bed.counted("malformed", before);
      for (const bytes of [hostile, text("SH-2.0-x\r\n")]) stranger.send({ at: 1, bytes });
      expect(await bed.sink.ended(stranger.name)).toBe("ECONNRESET");
      expect(bed.sink.of(stranger.name).data).toBe(text("S").toHex());
    }
  });

  test.each([
    ["", []],
    [", under SYN cookies", ["net.ipv4.tcp_syncookies=2"]],
  ])("by a checksum that is neither right nor to be made%s", async (_, sysctl) => {
    await using bed = await InlineBed.open({ sysctl });
    const { network, clients, sink } = bed;
    for (const source of [bed.nextIpv4(), bed.nextIpv6()]) {
      const stranger = await clients.connect(source, { lastAck: false });
      const before = bed.counts();
      const frame = stranger.frame({ bytes: hostile, wrongChecksum: true });
      const tcpAt = source.includes(":") ? 54 : 34;
      const argv = ["python3", "-c", sendUnfinished, network.clientDevice, `${tcpAt}`, frame.toHex()];
      expect(await run(argv, { namespace: network.client })).toMatchObject({ code: 0, stderr: "" });
      await bed.counted("unproven", before);
      expect(await bed.gate.ban(source)).toBeUndefined();
      // It is judged as any, once it is whole.
      stranger.send({ bytes: hostile });
      await bed.gate.banned(source);
      expect(sink.of(stranger.name).data).toBe("");
    }
  });

  test("by a jumbo frame that does not tell its length, and has its segment behind the first piece", async () => {
    await using bed = await InlineBed.open();
    const { gate, device, client, clientDevice } = bed.network;
    ip("-n", gate, "link", "set", device, "mtu", "9000");
    ip("-n", client, "link", "set", clientDevice, "mtu", "9000");
    const stranger = await bed.clients.connect(bed.nextIpv6());
    bed.clients.sendFrames(farBehind(stranger.frame({ bytes: hostile })));
    await bed.gate.banned(stranger.ends.source);
    expect(bed.sink.of(stranger.name).data).toBe("");
    const friend = await bed.clients.connect(bed.nextIpv6());
    bed.clients.sendFrames(farBehind(friend.frame({ bytes: friendly })));
    await bed.sink.got(friend.name, friendly);
  });

  test("by a sender's route to another address of the gate's", async () => {
    await using bed = await InlineBed.open();
    const { gate, device } = bed.network;
    for (const name of ["all", device]) {
      await sysctl(gate, `net.ipv4.conf.${name}.accept_source_route=1`);
      await sysctl(gate, `net.ipv6.conf.${name}.seg6_enabled=1`);
    }
    ip("-n", gate, "address", "add", `${way.ipv4}/16`, "dev", device);
    ip("-n", gate, "address", "add", `${way.ipv6}/32`, "dev", device, "nodad");
    const ways = { [bed.nextIpv4()]: bySourceRoute, [bed.nextIpv6()]: bySegmentRouting };
    for (const [source, routed] of Object.entries(ways)) {
      const stranger = await bed.clients.connect(source);
      const before = bed.counts();
      bed.clients.sendFrames(routed(stranger.frame({ bytes: hostile })));
      await bed.counted("fragment", before);
      await sleep(settleMs);
      expect(bed.sink.of(stranger.name).data).toBe("");
    }
  });

  test("by an acknowledgement from before the connection, whose data the kernel's fast path takes", async () => {
    await using bed = await InlineBed.open({ gate: ["-p", "ssh"] });
    inBatches(bed);
    // The fast path is open for some of them.
    const strangers = await Promise.all(Array.from({ length: 16 }, () => bed.clients.connect(bed.nextIpv4())));
    for (const stranger of strangers) {
      const old = (stranger.serverFirst - 1_000_000) >>> 0;
      stranger.send({ bytes: text("SS") }, { at: 2, bytes: text("X-2.0-OpenSSH_9.6\r\n"), ack: old });
    }
    for (const { name } of strangers) await bed.sink.got(name, text("SS"));
    await sleep(settleMs);
    expect(strangers.map(({ name }) => bed.sink.of(name).data)).toEqual(strangers.map(() => text("SS").toHex()));
  });

  test("by what is foreign and thrown away, from an address that is never banned", async () => {
    await using bed = await InlineBed.open({ gate: ["-p", "ssh", "--allow", "10.77.2.0/24"] });
    const stranger = await bed.clients.connect(bed.nextIpv4());
    stranger.send({ bytes: text("S") });
    await bed.sink.got(stranger.name, text("S"));
    const before = bed.counts();
    stranger.send({ at: 1, bytes: hostile, otherCard: true });
    await bed.counted("spared", before);
    stranger.send({ at: 1, bytes: hostile });
    expect(await bed.sink.ended(stranger.name)).toBe("ECONNRESET");
    expect(bed.sink.of(stranger.name).data).toBe(text("S").toHex());
  });

  // A cookie is right for four numbers in a row, and the program sees a batch before the kernel makes a socket.
  test.each([
    ["behind one that proves the same cookie", [{ bytes: text("GET") }, { at: 3, bytes: text(" / HTTP/1.1\r\n\r\n") }]],
    ["ahead of its beginning", [{}, { at: 3, bytes: text(`SSH-2.0-${"x".repeat(80)}\r\n`) }, { bytes: text("SS\0") }]],
  ] as const)("by a segment %s", async (_, segments: readonly SegmentOptions[]) => {
    await using bed = await InlineBed.open({ gate: ["-p", "ssh"], sysctl: ["net.ipv4.tcp_syncookies=2"] });
    inBatches(bed);
    for (const source of [bed.nextIpv4(), bed.nextIpv6()]) {
      const stranger = await bed.clients.connect(source, { lastAck: false, options: largestSegment });
      stranger.send(...segments);
      // As TCP does, until there is an end: what comes before the socket is there is dropped.
      await waitFor(`the end of ${stranger.name} at the server`, async () => {
        await sleep(settleMs);
        if (bed.sink.of(stranger.name).end !== undefined) return true;
        for (const segment of segments) stranger.send(segment);
        return false;
      });
      expect(bed.sink.of(stranger.name).end).toBe("ECONNRESET");
      expect(["GET", "SS\0", ""].map((said) => text(said).toHex())).toContain(bed.sink.of(stranger.name).data);
    }
  });

  // By the hash of ttgate before it had a factor of each load.
  test("by ends that hash as those of a connection that was judged", async () => {
    await using bed = await InlineBed.open();
    const pairs = [
      ["fd77:0:106f::3", 57_379, "fd77:0:10de::2", 44_256],
      ["fd77:0:1057::3", 50_457, "fd77:0:10d8::2", 52_590],
      ["fd77:0:10ce::2", 55_485, "fd77:0:10d7::3", 56_475],
    ] as const;
    const long = joined(friendly, friendly, friendly, friendly);
    for (const [friendSource, friendPort, source, sourcePort] of pairs) {
      const stranger = await bed.clients.connect(source, { sourcePort, isn: 100_000 });
      const friend = await bed.clients.connect(friendSource, { sourcePort: friendPort, isn: 1 });
      friend.send({ bytes: long });
      await bed.sink.got(friend.name, long);
      // The program looks at the socket once more, and remembers.
      friend.send({ at: long.length, bytes: text("x") });
      await bed.sink.got(friend.name, joined(long, text("x")));
      stranger.send({ bytes: hostile });
      await sleep(settleMs);
      expect(bed.sink.of(stranger.name).data).toBe("");
      await bed.gate.banned(`${source.slice(0, -1)}/64`);
    }
  });
});
