// SPDX-License-Identifier: Apache-2.0
// What is made of connections beyond their first packet: the server's judgement, strikes, recordings.
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { parseRecording, type Recording } from "../../src/core/learn/recording.ts";
import { Recorder } from "../../src/recording/recorder.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { Bed, type BedOptions, friendly, host, type Peer, request, Server, until } from "./bed.ts";

setDefaultTimeout(20_000);

/** Hangs up on `hostile`, says nothing to `ignored`, answers everybody else. */
function judging(hostile?: Uint8Array, ignored?: Uint8Array, port = 0): Promise<Server> {
  return Server.open((peer) => {
    peer.socket.once("end", () => peer.socket.end());
    peer.socket.once("data", (bytes: Buffer) => {
      if (hostile !== undefined && bytes.equals(hostile)) peer.socket.destroy();
      else if (ignored === undefined || !bytes.equals(ignored)) peer.send("ok");
    });
  }, port);
}

async function welcome(bed: Bed, from: string): Promise<void> {
  const friend = await bed.accepted(from);
  friend.send(friendly());
  await friend.got(2);
  friend.socket.end();
  await bed.idle();
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

describe("--judge upstream", () => {
  const judge: NonNullable<BedOptions["observer"]> = { refused: 3 };

  /** A gate that has seen the server welcome somebody. */
  async function settled(server: Server): Promise<Bed> {
    const bed = await Bed.open({ upstreams: [{ host, port: server.port }], observer: judge });
    await welcome(bed, "127.3.0.1");
    return bed;
  }

  test("bans whom the server hangs up on again and again, and no friend", async () => {
    const bad = friendly("bad");
    await using server = await judging(bad);
    await using bed = await settled(server);
    for (let visit = 1; visit <= 3; visit++) {
      await welcome(bed, "127.3.0.1");
      expect(bed.bans.size).toBe(0);
      const stranger = await bed.accepted("127.3.0.2");
      stranger.send(bad);
      await until("the end", () => stranger.closed || stranger.ended || stranger.wasReset);
      stranger.socket.destroy();
      await bed.idle();
    }
    const [ban] = bed.bans.all();
    expect(ban).toMatchObject({ reason: "refused", origin: "server", prefix: { text: "127.3.0.2" } });
    expect(hex(ban?.evidence?.firstBytes ?? new Uint8Array(0))).toBe(hex(bad).slice(0, 128));
    expect(bed.log.at(-1)).toContain(`the server hung up on it again and again at port ${bed.port}`);
    expect([bed.bans.size, bed.counters.foreign]).toEqual([1, 0]);
  });

  test("a server that once could not be reached is in trouble, though --check takes it to be up still", async () => {
    const bad = friendly("bad");
    const server = await judging(bad);
    const { port } = server;
    await using bed = await Bed.open({
      upstreams: [{ host, port }],
      observer: judge,
      config: { check: 2000, rise: 2, fall: 3 },
    });
    const hangUp = async () => {
      await welcome(bed, "127.3.0.1");
      const stranger = await bed.accepted("127.3.0.2");
      stranger.send(bad);
      await until("the end", () => stranger.closed || stranger.ended || stranger.wasReset);
      stranger.socket.destroy();
      await bed.idle();
    };
    await hangUp();
    await hangUp();
    await server[Symbol.asyncDispose]();
    const client = await bed.accepted("127.3.0.1");
    client.send(friendly());
    await until("a reset", () => client.wasReset);
    expect(bed.upstreams.status()).toMatchObject([{ reachable: true, failed: 1 }]);
    await using _back = await judging(bad, undefined, port);
    await hangUp();
    expect(bed.bans.size).toBe(0);
  });

  test("a server that resets everybody bans nobody", async () => {
    let isWell = true;
    await using server = await Server.open((peer) => {
      peer.socket.once("end", () => peer.socket.end());
      if (isWell) peer.send("ok");
      else peer.socket.resetAndDestroy();
    });
    await using bed = await settled(server);
    isWell = false;
    for (let visit = 0; visit < 20; visit++) {
      const client = await bed.accepted("127.3.0.1");
      client.send(friendly());
      await until("the end", () => client.closed || client.wasReset);
    }
    expect(bed.bans.size).toBe(0);
  });

  test.each([
    ["by FIN", (client: Peer) => client.socket.end()],
    ["by RST", (client: Peer) => client.socket.resetAndDestroy()],
  ] as const)("a client that hangs up itself, %s, has no strike", async (_how, end) => {
    const slow = friendly("slow");
    await using server = await judging(undefined, slow);
    await using bed = await settled(server);
    for (let visit = 0; visit < 5; visit++) {
      await welcome(bed, "127.3.0.1");
      const client = await bed.accepted("127.3.0.2");
      client.send(slow);
      await (await server.peer(2 * visit + 2)).got(slow.length);
      end(client);
      await bed.idle();
    }
    expect(bed.bans.size).toBe(0);
  });
});

describe("a profile's strikes", () => {
  const strikes: NonNullable<BedOptions["observer"]> = { undecided: 3 };

  async function undecided(bed: Bed, from: string, bytes: Uint8Array): Promise<void> {
    const client = await bed.accepted(from);
    if (bytes.length > 0) client.send(bytes);
    client.socket.end();
    await until("the end", () => client.ended || client.wasReset);
    await bed.idle();
  }

  test("ban who stays undecided so often", async () => {
    await using bed = await Bed.open({ upstreams: [{ host, port: 1 }], observer: strikes });
    for (let visit = 0; visit < 3; visit++) {
      expect(bed.bans.size).toBe(0);
      await undecided(bed, "127.3.0.2", Uint8Array.of(0x93, visit));
    }
    const [ban] = bed.bans.all();
    expect(ban).toMatchObject({ reason: "undecided", origin: "strikes", prefix: { text: "127.3.0.2" } });
    expect([...(ban?.evidence?.firstBytes ?? [])]).toEqual([0x93, 2]);
    expect(bed.log.at(-1)).toContain(`it failed again and again to speak as expected at port ${bed.port}`);
  });

  test("do not count where the process stood still", async () => {
    await using bed = await Bed.open({ upstreams: [{ host, port: 1 }], observer: strikes });
    const halves = async (stranger: string) => {
      const clients = [1, 2, 3].map(() => bed.accepted("127.3.0.9"));
      for (const client of clients) (await client).send(Uint8Array.of(0x93, 1));
      // What was sent before is read by then.
      const last = await bed.accepted(stranger);
      last.send(new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"));
      await until("a reset", () => last.wasReset);
      return Promise.all(clients);
    };
    const clients = await halves("127.3.0.7");
    bed.pass(60_000, 50_000);
    expect([bed.bans.size, bed.counters.undecided]).toEqual([1, 3]);
    for (const client of clients) await until("the end", () => client.ended || client.wasReset);
    // In time again, it is as ever.
    await halves("127.3.0.8");
    bed.pass(60_000);
    expect([...bed.bans.all()].map(({ prefix }) => prefix.text).sort()).toEqual([
      "127.3.0.7",
      "127.3.0.8",
      "127.3.0.9",
    ]);
  });

  test("count at once who said all that could tell, and it is closed", async () => {
    await using bed = await Bed.open({
      ...{ upstreams: [{ host, port: 1 }], observer: strikes },
      sniffer: {
        ...{ profile: "short", prefixBytes: 64, protocols: [] },
        sniff: (bytes) => (bytes.length < 4 ? { kind: "more" } : { kind: "more", isLast: true }),
      },
    });
    for (let visit = 0; visit < 3; visit++) {
      const client = await bed.accepted("127.3.0.4");
      client.send(Uint8Array.of(1, 2, 3, visit));
      await until("the end", () => client.ended || client.wasReset);
      await bed.idle();
    }
    expect([bed.counters.undecided, ...bed.bans.all()]).toMatchObject([3, { reason: "undecided" }]);
  });

  test.each([
    ["nothing", new Uint8Array(0)],
    ["one byte", Uint8Array.of(0x93)],
  ])("are not for those who say %s", async (_, bytes) => {
    await using bed = await Bed.open({ upstreams: [{ host, port: 1 }], observer: strikes });
    for (let visit = 0; visit < 5; visit++) await undecided(bed, "127.3.0.2", bytes);
    expect([bed.bans.size, bed.counters.undecided]).toEqual([0, 5]);
  });

  test("are forgotten when one is relayed", async () => {
    await using server = await judging();
    await using bed = await Bed.open({ upstreams: [{ host, port: server.port }], observer: strikes });
    for (let visit = 0; visit < 5; visit++) {
      await undecided(bed, "127.3.0.3", Uint8Array.of(0x93, visit));
      await welcome(bed, "127.3.0.3");
    }
    expect(bed.bans.size).toBe(0);
  });

  test("are not for an office that has a friend's connection open, and are when it has ended", async () => {
    await using server = await judging();
    await using bed = await Bed.open({ upstreams: [{ host, port: server.port }], observer: strikes });
    const friend = await bed.accepted("127.3.0.3");
    friend.send(friendly());
    await friend.got(2);
    const cutOff = async (visit: number) => {
      const other = await bed.accepted("127.3.0.3");
      other.send(Uint8Array.of(0x93, visit));
      other.socket.end();
      await until("the end", () => other.ended || other.wasReset);
    };
    for (let visit = 0; visit < 5; visit++) await cutOff(visit);
    expect([bed.bans.size, bed.counters.undecided, friend.closed]).toEqual([0, 5, false]);
    friend.socket.end();
    await bed.idle();
    for (let visit = 0; visit < 3; visit++) await cutOff(visit);
    expect([...bed.bans.all()]).toMatchObject([{ reason: "undecided", prefix: { text: "127.3.0.3" } }]);
  });

  test("are not for those who have to make room", async () => {
    const observer = strikes;
    await using bed = await Bed.open({ upstreams: [{ host, port: 1 }], maxConnections: 1, observer });
    for (let visit = 0; visit < 6; visit++) {
      const client = await bed.accepted("127.3.0.2");
      client.send(Uint8Array.of(0x93, visit));
      await until("the bytes", () => bed.sessions.size === 1);
    }
    expect([bed.bans.size, bed.counters.undecided]).toEqual([0, 5]);
  });
});

test("who comes again at once after a standstill has no strikes, also before the clock ticks", async () => {
  await using server = await judging();
  await using bed = await Bed.open({
    ...{ upstreams: [{ host, port: server.port }], maxPerSource: 1, observer: { excess: 3 } },
  });
  const friend = await bed.accepted("127.3.0.5");
  friend.send(friendly());
  await friend.got(2);
  const comeAgain = async () => {
    for (let visit = 0; visit < 3; visit++) {
      const other = await bed.accepted("127.3.0.5");
      await until("a reset", () => other.wasReset);
    }
  };
  bed.pass(0);
  bed.standStill(5000);
  await comeAgain();
  bed.pass(500, 5000);
  await comeAgain();
  expect(bed.bans.size).toBe(0);
  bed.pass(60_000);
  await comeAgain();
  expect([...bed.bans.all()]).toMatchObject([{ reason: "excess", prefix: { text: "127.3.0.5" } }]);
});

test("on whom the server hung up while this process stood still has no strike", async () => {
  const bad = friendly("bad");
  await using server = await judging(bad);
  await using bed = await Bed.open({ upstreams: [{ host, port: server.port }], observer: { refused: 3 } });
  for (let visit = 0; visit < 3; visit++) {
    await welcome(bed, "127.3.0.1");
    bed.pass(0);
    bed.standStill(5000);
    const stranger = await bed.accepted("127.3.0.2");
    stranger.send(bad);
    await until("the end", () => stranger.closed || stranger.ended || stranger.wasReset);
    stranger.socket.destroy();
    await bed.idle();
  }
  expect(bed.bans.size).toBe(0);
});

test("a recording holds every connection that said something, and what the server made of it", async () => {
  using directory = new TempDir();
  const file = directory.file("recording");
  const bad = friendly("bad");
  await using server = await judging(bad);
  const recorder = new Recorder({ file, limitBytes: 1_000_000, log: () => {} });
  const observer = { recorder };
  await using bed = await Bed.open({ upstreams: [{ host, port: server.port }], observer });
  const good = friendly("good");
  for (const [index, bytes] of [good, bad, request, Uint8Array.of(0x93)].entries()) {
    const client = await bed.accepted(`127.3.1.${index}`);
    client.send(bytes.subarray(0, 9));
    client.send(bytes.subarray(9));
    if (bytes === good) await client.got(2);
    if (bytes !== bad) client.socket.end();
    await until("the end", () => client.closed || client.ended || client.wasReset);
    client.socket.destroy();
    await bed.idle();
  }
  const silent = await bed.accepted();
  silent.socket.end();
  await bed.idle();
  await recorder.close();
  const recordings = readFileSync(file, "utf8")
    .trim()
    .split("\n")
    .map((line): Recording => {
      const parsed = parseRecording(line);
      if (parsed.kind === "invalid") throw new Error(parsed.message);
      return parsed.recording;
    });
  expect(recordings.map(({ bytes, totalBytes, server }) => [hex(bytes), totalBytes, server])).toEqual([
    [hex(good), good.length, "accepted"],
    [hex(bad), bad.length, "refused"],
    [hex(request), request.length, "unknown"],
    ["93", 1, "unknown"],
  ]);
  for (const { atMs } of recordings) expect(Math.abs(Date.now() - atMs)).toBeLessThan(60_000);
});
