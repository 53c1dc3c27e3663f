// SPDX-License-Identifier: Apache-2.0
// Inline mode where the handshake is not the usual one: TCP Fast Open, SYN cookies, a server that waits for
// data, MPTCP.

import { expect, setDefaultTimeout, test } from "bun:test";
import { run } from "../harness/child.ts";
import { BlockMap, RunningGate } from "../harness/gate.ts";
import { friendly, hostile, InlineBed } from "../harness/inline_bed.ts";
import { describeWith } from "../harness/needs.ts";
import { ip, Network } from "../harness/netns.ts";
import { RawConnection, type SegmentOptions } from "../harness/raw_tcp.ts";
import { startClient, startServer } from "../harness/standin.ts";
import { ack, joined, optionOf, rst, syn } from "../harness/tcp_frame.ts";
import { sleep, waitFor } from "../harness/wait.ts";

setDefaultTimeout(30_000);

/** include/uapi/linux/bpf.h, enum xdp_action. */
const xdpDrop = 1;
const xdpPass = 2;

const halves = (bytes: Uint8Array): SegmentOptions[] => [
  { bytes: bytes.slice(0, 9) },
  { at: 9, bytes: bytes.slice(9) },
];

/** A stranger is banned, and the server does not get what told the kernel so. */
async function expectBanned(bed: InlineBed, connection: RawConnection): Promise<void> {
  await bed.gate.banned(connection.ends.source);
  const { opened, data } = bed.sink.of(connection.name);
  if (opened > 0) expect(await bed.sink.ended(connection.name)).toBe("ECONNRESET");
  expect(data.length).toBeLessThan(20);
  expect(await bed.socketsOf(connection.name)).toEqual([]);
}

/** A friend is served, a stranger is not, nor one whose packet comes in two. @returns the first stranger. */
async function meetEach(bed: InlineBed, next: () => Parameters<InlineBed["clients"]["connect"]>[0], lastAck: boolean) {
  const friend = await bed.clients.connect(next(), { lastAck });
  friend.send(...halves(friendly));
  await bed.sink.got(friend.name, friendly);
  const stranger = await bed.clients.connect(next(), { lastAck });
  stranger.send({ bytes: hostile });
  await expectBanned(bed, stranger);
  const slow = await bed.clients.connect(next(), { lastAck });
  slow.send(...halves(hostile));
  await expectBanned(bed, slow);
  return stranger;
}

describeWith("namespaces", "executable")("a server that is woken by data only", () => {
  test("gets its friends, and of strangers not even a connection", async () => {
    await using bed = await InlineBed.open({ sink: ["defer"] });
    for (const next of [() => bed.nextIpv4(), () => bed.nextIpv6()]) {
      for (const lastAck of [true, false]) {
        const stranger = await meetEach(bed, next, lastAck);
        expect(bed.sink.of(stranger.name).opened).toBe(0);
      }
    }
    expect(bed.counts()).toMatchObject({ held: 0, not_banned: 0 });
  });
});

describeWith("namespaces", "executable")("SYN cookies", () => {
  test("prove as much as a handshake that is remembered", async () => {
    await using bed = await InlineBed.open({ sysctl: ["net.ipv4.tcp_syncookies=2"] });
    for (const next of [() => bed.nextIpv4(), () => bed.nextIpv6()]) {
      for (const lastAck of [true, false]) {
        await meetEach(bed, next, lastAck);
        // A cookie that the server never gave out.
        const liar = await bed.clients.connect(next(), { lastAck: false });
        const before = bed.counts();
        liar.send({ bytes: hostile, ack: liar.serverFirst + 1000 }, { at: 1000, bytes: hostile });
        await bed.counted("held", before, 2);
        expect(bed.counts().banned).toBe(before.banned);
        liar.send({ bytes: friendly });
        await bed.sink.got(liar.name, friendly);
      }
    }
  });

  // Then what one of them sends next proves the connection's own cookie. Ends are on their way for a tenth of a second.
  test("do not hold up a client and a server that say as much as one another, nor the end of their connections", async () => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    const map = stack.use(new BlockMap());
    await run(["sysctl", "-qw", "net.ipv4.tcp_syncookies=2"], { namespace: network.gate });
    stack.use(await startServer(network.gate, "--port", "5000", "--host", "::"));
    const gate = stack.use(await RunningGate.start(["-B", map.name, "-m", "inline"], { namespace: network.gate }));
    for (const [host, from] of [
      [network.gateIpv4, network.clientIpv4(2)],
      [network.gateIpv6, network.clientIpv6(2)],
    ] as const) {
      const address = ["--host", host, "--port", "5000", "--from", from, "--reconnect", "20"];
      const client = stack.use(await startClient(network.client, ...address));
      await client.until("connections", ({ connections, packets }) => connections >= 4 && packets >= 65);
      expect((await client.stop()).failures).toBe(0);
      const ending = async () => (await run(["ss", "-Htn", "state", "last-ack"], { namespace: network.gate })).stdout;
      await waitFor("the end of every connection", async () => (await ending()) === "");
    }
    const { kernel, bans } = await gate.status();
    expect([bans.total, kernel.unseen?.connections]).toEqual([0, 0]);
  });
});

describeWith("namespaces", "executable")("SYN cookies, when packets come by the dozen", () => {
  test("let nothing pass before there is a socket to tell where it is", async () => {
    await using bed = await InlineBed.open({ sysctl: ["net.ipv4.tcp_syncookies=2"] });
    // The program sees a batch of packets before the kernel makes a socket of the first.
    const threaded = `/sys/class/net/${bed.network.device}/threaded`;
    ip("netns", "exec", bed.network.gate, "sh", "-c", `echo 1 > ${threaded}`);
    const before = bed.counts();
    // Until there was such a batch.
    for (let round = 0; bed.counts().held === before.held; round++) {
      expect(round).toBeLessThan(20);
      const strangers = await Promise.all(
        Array.from({ length: 60 }, () => bed.clients.connect(bed.nextIpv4(), { lastAck: false })),
      );
      for (const stranger of strangers) {
        stranger.send({ bytes: hostile.slice(0, 3) }, { at: 3, bytes: hostile.slice(3) });
      }
      await sleep(500);
      const readWhole = strangers.filter(({ name }) => bed.sink.of(name).data === hostile.toHex());
      expect(readWhole.map(({ name }) => name)).toEqual([]);
    }
  });
});

describeWith("namespaces", "executable")("data on the SYN", () => {
  test("of a server without TCP Fast Open counts for nothing", async () => {
    await using bed = await InlineBed.open();
    const friend = await bed.clients.connect(bed.nextIpv4(), { synBytes: friendly });
    friend.send({ bytes: friendly });
    await bed.sink.got(friend.name, friendly);
    // The kernel does not take it: sent again, behind the handshake, it is judged.
    const slow = await bed.clients.connect(bed.nextIpv6(), { synBytes: friendly.slice(0, 5) });
    slow.send({ bytes: friendly });
    await bed.sink.got(slow.name, friendly);
    const stranger = await bed.clients.connect(bed.nextIpv4(), { synBytes: hostile });
    expect(await bed.gate.bans()).toEqual([]);
    stranger.send({ bytes: hostile });
    await expectBanned(bed, stranger);
    expect(bed.sink.of(stranger.name).data).toBe("");
    expect(bed.counts().held).toBe(0);
  });

  test("by TCP Fast Open reaches the server only when it is a friend's", async () => {
    await using bed = await InlineBed.open({ sink: ["fastopen"], sysctl: ["net.ipv4.tcp_fastopen=3"] });
    for (const next of [() => bed.nextIpv4(), () => bed.nextIpv6()]) {
      const withCookie = async (source: string, synBytes: Uint8Array) => {
        const first = await bed.clients.connect(source, { options: Uint8Array.of(34, 2, 1, 1), lastAck: false });
        const cookie = optionOf(first.serverOptions, 34) ?? new Uint8Array();
        expect(cookie).not.toHaveLength(0);
        const padding = new Uint8Array((4 - ((cookie.length + 2) % 4)) % 4).fill(1);
        const options = joined([34, cookie.length + 2], cookie, padding);
        return new RawConnection(bed.clients, bed.clients.ends(source), { options, synBytes });
      };
      const friend = await withCookie(next(), friendly);
      const answer = await friend.open();
      expect(answer.ack).toBe((friend.isn + 1 + friendly.length) >>> 0);
      // Before the last ACK, which is what TCP Fast Open is for.
      await bed.sink.got(friend.name, friendly);
      friend.send({ at: friendly.length }, { at: friendly.length, bytes: hostile });
      await bed.sink.got(friend.name, joined(friendly, hostile));

      for (const first of [hostile, hostile.slice(0, 3)]) {
        const stranger = await withCookie(next(), first);
        const before = bed.counts();
        stranger.sendSyn();
        // As anybody may have sent it in anybody's name.
        await bed.counted("held", before);
        expect(await bed.gate.ban(stranger.ends.source)).toBeUndefined();
        // Sent again as kernels do, without the data.
        await stranger.open(new Uint8Array());
        stranger.send({}, { bytes: hostile });
        await expectBanned(bed, stranger);
        expect(bed.sink.of(stranger.name).data).toBe("");
      }

      // Too little to tell: behind the handshake there is more.
      const slow = await withCookie(next(), friendly.slice(0, 3));
      const before = bed.counts();
      slow.sendSyn();
      await bed.counted("held", before);
      await slow.open(new Uint8Array());
      slow.send({}, { bytes: friendly });
      await bed.sink.got(slow.name, friendly);
    }
  });

  test("is held while its port has a connection, which a RST in the same batch would end before it", async () => {
    // Without a cookie, as hosts can be told.
    await using bed = await InlineBed.open({ sink: ["fastopen"], sysctl: ["net.ipv4.tcp_fastopen=0x203"] });
    for (const source of [bed.nextIpv4(), bed.nextIpv6()]) {
      const early = (synBytes: Uint8Array, sourcePort: number) => {
        const connection = new RawConnection(bed.clients, bed.clients.ends(source, sourcePort), { isn: 9, synBytes });
        return connection.frame({ seq: connection.isn, flags: syn, bytes: synBytes });
      };
      const open = await bed.clients.connect(source);
      const half = await bed.clients.connect(source, { lastAck: false });
      await waitFor("the connection at the server", () => bed.sink.of(open.name).opened === 1);
      for (const { ends } of [open, half]) {
        expect((await bed.tryFrame(early(hostile, ends.sourcePort))).verdict).toBe(xdpDrop);
        expect((await bed.tryFrame(early(friendly, ends.sourcePort))).verdict).toBe(xdpPass);
      }
      bed.clients.sendFrames(open.frame({ flags: rst | ack }), early(hostile, open.ends.sourcePort));
      await bed.sink.ended(open.name);
      const next = await bed.clients.connect(source);
      next.send({ bytes: friendly });
      await bed.sink.got(next.name, friendly);
      expect(bed.sink.of(open.name)).toMatchObject({ opened: 1, data: "" });
    }
  });
});

describeWith("namespaces", "executable")("MPTCP", () => {
  /** RFC 8684 3.1, version 1, without checksums. */
  const key = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  const capable = Uint8Array.of(30, 4, 0x01, 0x01);

  test("at the server does not hide plain TCP, nor what comes with the handshake", async () => {
    await using bed = await InlineBed.open({ sink: ["mptcp"] });
    const friend = await bed.clients.connect(bed.nextIpv4());
    friend.send(...halves(friendly));
    await bed.sink.got(friend.name, friendly);
    const stranger = await bed.clients.connect(bed.nextIpv6());
    stranger.send({ bytes: hostile });
    await expectBanned(bed, stranger);

    const withKeys = (connection: RawConnection, bytes: Uint8Array): SegmentOptions => {
      const serverKey = optionOf(connection.serverOptions, 30)?.slice(2) ?? new Uint8Array();
      return { bytes, options: joined([30, 22, 0x01, 0x01], key, serverKey, [0, bytes.length, 1, 1]) };
    };
    const joiner = await bed.clients.connect(bed.nextIpv4(), { options: capable, lastAck: false });
    expect(optionOf(joiner.serverOptions, 30)).toBeUndefined();
    joiner.send(withKeys(joiner, friendly));
    await bed.sink.got(joiner.name, friendly);
    const hidden = await bed.clients.connect(bed.nextIpv4(), { options: capable, lastAck: false });
    hidden.send(withKeys(hidden, hostile));
    await expectBanned(bed, hidden);
  });
});
