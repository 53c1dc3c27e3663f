// SPDX-License-Identifier: Apache-2.0
// Inline mode over the life of connections: those from before the gate, those of a source that is banned in
// the meantime, several segments before the kernel has taken the first; and in a dry run, with never-banned
// neighbours and by tc.

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { attachForeign } from "../harness/foreign_xdp.ts";
import { friendly, hostile, InlineBed } from "../harness/inline_bed.ts";
import { describeWith } from "../harness/needs.ts";
import { probeFrom } from "../harness/probe.ts";
import { RawConnection } from "../harness/raw_tcp.ts";
import { ack, fin, joined, readTcp, rst, syn } from "../harness/tcp_frame.ts";

setDefaultTimeout(30_000);

const xdpPass = 2;

describeWith("namespaces", "executable")("connections from before the gate", () => {
  test("are left alone, also by the next gate; later ones are judged", async () => {
    const idle: RawConnection[] = [];
    const begun: RawConnection[] = [];
    const open = async ({ clients, sink }: Pick<InlineBed, "clients" | "sink">, from: number) => {
      for (const source of [clients.ipv4(from), clients.ipv6(from + 1)]) idle.push(await clients.connect(source));
      for (const source of [clients.ipv4(from + 2), clients.ipv6(from + 3)]) {
        const connection = await clients.connect(source);
        connection.send({ bytes: hostile.slice(0, 2) });
        await sink.got(connection.name, hostile.slice(0, 2));
        begun.push(connection);
      }
    };
    const speak = async ({ sink }: InlineBed) => {
      for (const connection of idle) connection.send({ bytes: hostile });
      for (const connection of begun) connection.send({ at: 2, bytes: hostile.slice(2) });
      for (const connection of [...idle, ...begun]) await sink.got(connection.name, hostile);
      idle.length = begun.length = 0;
    };
    await using bed = await InlineBed.open({ before: (parts) => open(parts, 200) });
    const stranger = await bed.clients.connect(bed.nextIpv4());
    stranger.send({ bytes: hostile });
    await bed.gate.banned(stranger.ends.source);
    await speak(bed);
    expect(bed.counts()).toMatchObject({ older: 2, banned: 1, held: 0 });
    await open(bed, 210);
    await bed.restartGate();
    await speak(bed);
    expect(await bed.gate.bans()).toEqual([]);
    const another = await bed.clients.connect(bed.nextIpv6());
    another.send({ bytes: hostile });
    await bed.gate.banned(another.ends.source);
  });
});

describeWith("namespaces", "executable")("a source that is banned", () => {
  let bed: InlineBed;

  beforeAll(async () => {
    bed = await InlineBed.open();
  });
  afterAll(() => bed?.[Symbol.asyncDispose]());

  test("loses its other connections with their next packet, in whatever state", async () => {
    for (const source of [bed.nextIpv4(), bed.nextIpv6()]) {
      const connect = () => bed.clients.connect(source);
      const [idle, busy, closing] = [await connect(), await connect(), await connect()];
      busy.send({ bytes: friendly });
      await bed.sink.got(busy.name, friendly);
      // The server answers with a FIN that nobody acknowledges: LAST-ACK.
      closing.send({ bytes: friendly, flags: fin | ack });
      expect(await bed.sink.ended(closing.name)).toBe("eof");
      const half = await bed.clients.connect(source, { lastAck: false });
      const stranger = await connect();
      const before = bed.counts();
      stranger.send({ bytes: hostile });
      await bed.gate.banned(source);
      // A guess does not end them.
      idle.send({ ack: idle.serverFirst + 5 }, { at: 100_000_000 });
      // A bare ACK, more data, a FIN and the last ACK do.
      idle.send({});
      busy.send({ at: friendly.length, bytes: friendly });
      closing.send({ at: friendly.length + 1 });
      half.send({});
      await bed.counted("reset", before, 4);
      expect(bed.counts().reset).toBe(before.reset + 4);
      expect(await bed.sink.ended(idle.name)).toBe("ECONNRESET");
      expect(await bed.sink.ended(busy.name)).toBe("ECONNRESET");
      expect(bed.sink.of(half.name).opened).toBe(0);
      for (const connection of [idle, busy, closing, half, stranger]) {
        expect(await bed.socketsOf(connection.name)).toEqual([]);
      }
    }
  });

  test("hears nothing any more", async () => {
    for (const source of [bed.nextIpv4(), bed.nextIpv6()]) {
      const stranger = await bed.clients.connect(source);
      stranger.send({ bytes: hostile });
      await bed.gate.banned(source);
      const before = stranger.received().length;
      stranger.send({ bytes: hostile }, { at: hostile.length, flags: fin | ack }, { flags: rst });
      stranger.send({ flags: syn }, { bytes: friendly, ack: 1 });
      new RawConnection(bed.clients, bed.clients.ends(source)).sendSyn();
      const friend = await bed.clients.connect(bed.nextIpv4());
      friend.send({ bytes: friendly });
      await friend.acknowledged(friendly.length);
      expect(stranger.received()).toHaveLength(before);
      expect(bed.clients.received.filter(({ destination }) => destination === source)).toHaveLength(before);
    }
  });

  test("is found by what it said before the kernel had taken any of it", async () => {
    for (const source of [bed.nextIpv4(), bed.nextIpv6()]) {
      const stranger = await bed.clients.connect(source);
      const before = bed.counts();
      const first = await bed.tryFrame(stranger.frame({ bytes: hostile.slice(0, 2) }));
      expect(first.verdict).toBe(xdpPass);
      const second = await bed.tryFrame(stranger.frame({ at: 2, bytes: hostile.slice(2) }));
      expect(second.verdict).toBe(xdpPass);
      expect(readTcp(second.frame)).toMatchObject({ flags: rst | ack, rightChecksums: true });
      expect(bed.counts()).toMatchObject({ banned: before.banned + 1, undecided: before.undecided + 1 });
    }
  });

  test("is no friend whose segments come in one go: none is held or changed", async () => {
    for (const source of [bed.nextIpv4(), bed.nextIpv6()]) {
      for (const size of [1, 3, 20]) {
        const friend = await bed.clients.connect(source);
        for (let at = 0; at < 5 * size; at += size) {
          const frame = friend.frame({ at, bytes: friendly.slice(at, at + size) });
          const result = await bed.tryFrame(frame);
          expect(result.verdict).toBe(xdpPass);
          expect(result.frame.toHex()).toBe(frame.toHex());
        }
      }
    }
    expect(bed.counts()).toMatchObject({ held: 0, unproven: 0 });
  });
});

describeWith("namespaces", "executable")("who may not be banned", () => {
  test("is reset, and told; so are neighbours in the IPv6 network that a ban would cover", async () => {
    const allowed = ["10.77.2.1", "fd77:0:1002::2"];
    await using bed = await InlineBed.open({ gate: allowed.flatMap((address) => ["--allow", address]) });
    for (const source of [bed.nextIpv4(), bed.nextIpv6()]) {
      for (const visit of [1, 2]) {
        const spared = await bed.clients.connect(source);
        spared.send({ bytes: hostile });
        expect(await bed.sink.ended(spared.name)).toBe("ECONNRESET");
        expect(bed.sink.of(spared.name).data).toBe("");
        expect(await bed.socketsOf(spared.name)).toEqual([]);
        expect(bed.counts().spared).toBe(visit + (source.includes(":") ? 2 : 0));
      }
      await bed.gate.child.said(new RegExp(`http.*${source} is never banned`));
    }
    const neighbour = await bed.clients.connect("fd77:0:1002::3");
    neighbour.send({ bytes: hostile });
    expect(await bed.sink.ended(neighbour.name)).toBe("ECONNRESET");
    expect(bed.counts()).toMatchObject({ not_banned: 1, banned: 0 });
    const friend = await bed.clients.connect("fd77:0:1002::2");
    friend.send({ bytes: friendly });
    await bed.sink.got(friend.name, friendly);
  });
});

describeWith("namespaces", "executable")("a dry run", () => {
  test("judges and counts; every byte arrives", async () => {
    await using bed = await InlineBed.open({
      ...{ gate: ["--dry-run"], sink: ["fastopen"], sysctl: ["net.ipv4.tcp_fastopen=0x203"] },
    });
    for (const source of [bed.nextIpv4(), bed.nextIpv6()]) {
      const stranger = await bed.clients.connect(source);
      stranger.send({ bytes: hostile });
      await bed.sink.got(stranger.name, hostile);
      const slow = await bed.clients.connect(source);
      // Two things in one place: the kernel takes the first.
      slow.send({ at: 8, bytes: hostile.slice(8) }, { at: 8, bytes: friendly.slice(8, hostile.length) });
      slow.send({ bytes: hostile.slice(0, 8) });
      await bed.sink.got(slow.name, hostile);
      // Without a cookie, as the server is set here.
      const early = new RawConnection(bed.clients, bed.clients.ends(source), {
        ...{ synBytes: hostile, options: Uint8Array.of(34, 2, 1, 1) },
      });
      await early.open();
      await bed.sink.got(early.name, hostile);
    }
    expect(bed.counts()).toMatchObject({ would_ban: 4, banned: 0, spared: 0, not_banned: 0, held: 0, reset: 0 });
  });
});

describeWith("namespaces", "executable")("where XDP cannot be", () => {
  test("tc judges as well", async () => {
    await using bed = await InlineBed.open({ before: ({ network, map }) => attachForeign(network, map) });
    expect((await bed.gate.status()).kernel.attach).toBe("tc");
    for (const next of [() => bed.nextIpv4(), () => bed.nextIpv6()]) {
      for (const lastAck of [true, false]) {
        const friend = await bed.clients.connect(next(), { lastAck });
        friend.send({ at: 9, bytes: friendly.slice(9) }, { bytes: friendly.slice(0, 9) });
        await bed.sink.got(friend.name, friendly);
        friend.send({ at: friendly.length, bytes: hostile });
        await bed.sink.got(friend.name, joined(friendly, hostile));
        for (const cut of [0, 3]) {
          const stranger = await bed.clients.connect(next(), { lastAck });
          const idle = await bed.clients.connect(stranger.ends.source);
          stranger.send({ at: cut, bytes: hostile.slice(cut) }, { bytes: hostile.slice(0, cut) });
          await bed.gate.banned(stranger.ends.source);
          idle.send({});
          expect(await bed.sink.ended(idle.name)).toBe("ECONNRESET");
          expect(bed.sink.of(stranger.name).data).toBe("");
          for (const { name } of [stranger, idle]) expect(await bed.socketsOf(name)).toEqual([]);
        }
        const victim = await bed.clients.connect(next());
        victim.send({ bytes: hostile, wrongChecksum: true }, { bytes: hostile, ack: 1 }, { bytes: friendly });
        await bed.sink.got(victim.name, friendly);
      }
    }
    const { kernel } = await bed.gate.until("all to be counted", ({ kernel }) => kernel.judged?.unproven === 8);
    expect(kernel.judged).toMatchObject({ banned: 8, notBanned: 0, held: 0 });
  });

  test("generic XDP judges as well", async () => {
    await using bed = await InlineBed.open({ gate: ["-i", "lo", "--never-ban", "none"] });
    const { interfaces } = (await bed.gate.status()).kernel;
    expect(interfaces.find(({ name }) => name === "lo")?.attach).toBe("generic");
    const visit = (from: string, send: readonly Uint8Array[]) =>
      probeFrom(bed.network.gate, { host: "127.0.0.1", port: 5000, from, send, waitMs: 400 });
    expect((await visit("127.0.0.7", [friendly])).outcome).toBe("open");
    await visit("127.0.0.8", [hostile]);
    await bed.gate.banned("127.0.0.8");
    await visit("127.0.0.9", [hostile.slice(0, 3), hostile.slice(3)]);
    await bed.gate.banned("127.0.0.9");
    expect((await visit("127.0.0.8", [friendly])).outcome).toBe("no answer");
    expect((await visit("127.0.0.7", [friendly])).outcome).toBe("open");
    const data = bed.sink.lines().filter((line) => line.startsWith("data 127.0.0."));
    expect(data.map((line) => line.split(" ")[3])).toEqual([
      ...[friendly, hostile.slice(0, 3), friendly].map((bytes) => bytes.toHex()),
    ]);
  });
});
