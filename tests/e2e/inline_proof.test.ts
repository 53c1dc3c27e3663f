// SPDX-License-Identifier: Apache-2.0
// Inline mode bans nobody but who is proven to have said it: what anybody on the internet can send in
// somebody else's name leaves that somebody alone.

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { friendly, hostile, InlineBed } from "../harness/inline_bed.ts";
import { describeWith } from "../harness/needs.ts";
import { RawConnection, type SegmentOptions } from "../harness/raw_tcp.ts";
import { ack, fin, psh, rst, syn } from "../harness/tcp_frame.ts";
import { waitFor } from "../harness/wait.ts";

setDefaultTimeout(30_000);

const bytes = hostile;

/** In the name of a friend with an open connection. */
const forgeries: Readonly<Record<string, (friend: RawConnection) => SegmentOptions>> = {
  "an acknowledgement below": ({ serverFirst }) => ({ bytes, ack: serverFirst - 1 }),
  "an acknowledgement far below": ({ serverFirst }) => ({ bytes, ack: serverFirst - 100_000 }),
  "an acknowledgement above": ({ serverFirst }) => ({ bytes, ack: serverFirst + 1 }),
  "an acknowledgement of half the numbers away": ({ serverFirst }) => ({ bytes, ack: serverFirst + 0x8000_0000 }),
  "no acknowledgement": () => ({ bytes, ack: 0 }),
  "no ACK": () => ({ bytes, flags: psh }),
  "no flags": () => ({ bytes, flags: 0 }),
  "a number below": () => ({ at: -hostile.length, bytes }),
  "a number far below": () => ({ at: -1_000_000, bytes }),
  "a number above the window": () => ({ at: 10_000_000, bytes }),
  "a number half of all away": () => ({ at: 0x8000_0000, bytes }),
  SYN: () => ({ at: -1, bytes, flags: syn }),
  "SYN and ACK": () => ({ at: -1, bytes, flags: syn | ack }),
  "SYN and FIN": () => ({ bytes, flags: syn | fin | ack }),
  "RST beyond the window": () => ({ at: 10_000_000, bytes, flags: rst }),
  "a wrong checksum": () => ({ bytes, wrongChecksum: true }),
};

describeWith("namespaces", "executable")("forged segments", () => {
  let bed: InlineBed;

  beforeAll(async () => {
    bed = await InlineBed.open();
  });
  afterAll(() => bed?.[Symbol.asyncDispose]());

  for (const [name, forge] of Object.entries(forgeries)) {
    test(`with ${name} ban nobody and reach nobody`, async () => {
      const before = bed.counts();
      for (const source of [bed.nextIpv4(), bed.nextIpv6()]) {
        const friend = await bed.clients.connect(source);
        friend.send(forge(friend), { bytes: friendly });
        await bed.sink.got(friend.name, friendly);
        expect(bed.sink.of(friend.name).end).toBeUndefined();
        const forged = await bed.clients.connect(source, { lastAck: false });
        // While the handshake waits for its last ACK.
        if (!name.startsWith("SYN")) forged.send(forge(forged));
        forged.send({ bytes: friendly });
        await bed.sink.got(forged.name, friendly);
      }
      const { banned, spared, not_banned, reset } = bed.counts();
      const { banned: bannedBefore } = before;
      expect({ banned, spared, not_banned, reset }).toEqual({
        ...{ banned: bannedBefore, spared: 0, not_banned: 0, reset: 0 },
      });
    });
  }

  test("without a connection ban nobody", async () => {
    const before = bed.counts();
    const nobody = new RawConnection(bed.clients, bed.clients.ends(bed.nextIpv4()));
    nobody.send({ bytes, ack: 1 }, { bytes, ack: 2, flags: fin | ack }, { bytes, ack: 3, flags: rst | ack });
    await bed.counted("no_socket", before, 2);
    expect(bed.counts()).toEqual({ ...before, no_socket: before.no_socket + 2 });
    expect(await bed.gate.bans()).toEqual([]);
  });

  test("that guess ban nobody, and the friend's connection goes on", async () => {
    const friend = await bed.clients.connect(bed.nextIpv4());
    const before = bed.counts();
    const number = () => (Math.random() * 2 ** 32) >>> 0;
    const guesses = Array.from({ length: 5000 }, () => ({ bytes, seq: number(), ack: number() }));
    friend.send(...guesses);
    // One of the two numbers is known, the other is not.
    friend.send(...guesses.slice(0, 1000).map((guess) => ({ ...guess, seq: friend.isn + 1 })));
    friend.send(...guesses.slice(0, 1000).map((guess) => ({ ...guess, ack: friend.serverFirst })));
    friend.send({ bytes: friendly });
    await bed.sink.got(friend.name, friendly);
    const after = bed.counts();
    expect(after.banned).toBe(before.banned);
    // Those with the right place in the stream; of random places hardly any is in the first bytes.
    expect(after.unproven - before.unproven).toBeGreaterThan(900);
    expect(await bed.gate.bans()).toEqual([]);
  });

  test("in a flood of SYN ban nobody", async () => {
    const before = bed.counts();
    const sources = Array.from({ length: 20 }, () => bed.nextIpv4());
    for (const source of sources) {
      for (let index = 0; index < 50; index++) {
        new RawConnection(bed.clients, bed.clients.ends(source)).send({ bytes, flags: syn, ack: 0 });
      }
    }
    const friend = await bed.clients.connect(sources[0] ?? "");
    friend.send({ bytes: friendly });
    await bed.sink.got(friend.name, friendly);
    expect(bed.counts()).toEqual({ ...before, passed: before.passed + 1 });
    expect(await bed.gate.bans()).toEqual([]);
  });

  test("with a damaged copy first: the right one is judged", async () => {
    for (const source of [bed.nextIpv4(), bed.nextIpv6()]) {
      const stranger = await bed.clients.connect(source);
      const before = bed.counts();
      stranger.send({ bytes, wrongChecksum: true });
      await bed.counted("unproven", before);
      expect(bed.counts().banned).toBe(before.banned);
      stranger.send({ bytes });
      expect(await bed.sink.ended(stranger.name)).toBe("ECONNRESET");
      expect(bed.sink.of(stranger.name).data).toBe("");
      await bed.gate.banned(source);
    }
  });

  test("a gap that is never filled is no evidence", async () => {
    const silent = await bed.clients.connect(bed.nextIpv4());
    const before = bed.counts();
    silent.send({ at: 4, bytes: bytes.slice(4) });
    await bed.counted("undecided", before);
    expect(bed.counts()).toEqual({ ...before, undecided: before.undecided + 1 });
    expect(bed.sink.of(silent.name).data).toBe("");
  });

  test("who says two things in one place is held to the first", async () => {
    const before = bed.counts();
    const late = friendly.slice(8);
    const friend = await bed.clients.connect(bed.nextIpv4());
    friend.send({ at: 8, bytes: late }, { at: 8, bytes: late }, { at: 12, bytes: late.slice(4, 20) });
    friend.send({ bytes: friendly });
    await bed.sink.got(friend.name, friendly);
    expect(bed.counts().held).toBe(before.held);

    // Hostile first: the rest of the disguise does not help.
    const stranger = await bed.clients.connect(bed.nextIpv4());
    stranger.send({ at: 8, bytes: bytes.slice(8) }, { at: 8, bytes: friendly.slice(8) }, { bytes: bytes.slice(0, 8) });
    await bed.gate.banned(stranger.ends.source);
    expect(bed.counts().held).toBe(before.held + 1);

    // The disguise first: what it hides is thrown away, and the server gets no byte of it.
    const disguised = await bed.clients.connect(bed.nextIpv4());
    disguised.send({ at: 8, bytes: friendly.slice(8) }, { at: 8, bytes: bytes.slice(8) });
    await bed.counted("held", before, 2);
    disguised.send({ bytes: friendly.slice(0, 8) });
    await bed.sink.got(disguised.name, friendly);
  });

  test("more undecided connections than there is room for: nobody innocent is banned", async () => {
    const before = bed.counts();
    const sources = [bed.nextIpv4(), bed.nextIpv4(), bed.nextIpv6(), bed.nextIpv6()];
    const connections = Array.from({ length: 9000 }, (_, index) => {
      const source = sources[index % sources.length] ?? "";
      return new RawConnection(bed.clients, bed.clients.ends(source, 20_000 + index));
    });
    for (let at = 0; at < connections.length; at += 500) {
      const from = bed.clients.received.length;
      const some = connections.slice(at, at + 500);
      for (const connection of some) connection.sendSyn();
      const answers = new Map<string, number>();
      await waitFor("the SYN-ACKs", () => {
        bed.clients.read();
        for (const { destination, destinationPort, flags, seq } of bed.clients.received.slice(from)) {
          if ((flags & 0x3f) === (syn | ack)) answers.set(`${destination} ${destinationPort}`, seq);
        }
        return some.every(({ name }) => answers.has(name));
      });
      for (const connection of some) {
        connection.serverFirst = ((answers.get(connection.name) ?? 0) + 1) >>> 0;
        connection.send({}, { bytes: friendly.slice(0, 2) });
      }
    }
    await bed.counted("undecided", before, connections.length);
    // The first were forgotten, the last are remembered; all are friends.
    const some = [...connections.slice(0, 20), ...connections.slice(-20)];
    for (const connection of some) connection.send({ at: 2, bytes: friendly.slice(2) });
    for (const connection of some) await bed.sink.got(connection.name, friendly);
    const { undecided, banned, held, not_banned } = bed.counts();
    expect({ banned, held, not_banned }).toEqual({ banned: before.banned, held: before.held, not_banned: 0 });
    expect(undecided).toBe(before.undecided + connections.length);
  });
});
