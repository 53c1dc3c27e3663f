// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { createConnection } from "node:net";
import { serveTapeTrack, TapeTrackClient } from "./tapetrack.ts";
import { PacketReader, seal, type WireVariant } from "./tapetrack_wire.ts";
import { waitFor } from "./wait.ts";

const variants: WireVariant[] = ["bare", "length"];

describe.each(variants)("the stand-in, variant %s", (variant) => {
  test("answers each packet, however it is cut", async () => {
    await using server = await serveTapeTrack({ variant });
    for (const pieceBytes of [1, 7, 1000]) {
      using client = await TapeTrackClient.connect({ host: "127.0.0.1", port: server.port, variant, pieceBytes });
      expect(await client.exchange("one")).toBeGreaterThan(0);
      await Promise.all([client.exchange("two"), client.exchange("x".repeat(100_000))]);
    }
    expect(server.counters).toEqual({ connections: 3, packets: 9, strangers: 0, strangerBytes: undefined });
  });

  test("counts a stranger and hangs up", async () => {
    await using server = await serveTapeTrack({ variant });
    const socket = createConnection({ host: "127.0.0.1", port: server.port });
    socket.write("GET / HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\n\r\n");
    await waitFor("a stranger", () => server.counters.strangers === 1);
    expect(server.counters.strangerBytes).toStartWith(Buffer.from("GET / HTTP").toString("hex"));
    socket.destroy();
  });
});

test("a packet of every length comes back whole, several in one read", () => {
  const reader = new PacketReader("bare");
  for (let length = 0; length < 70; length++) {
    const payload = crypto.getRandomValues(new Uint8Array(length));
    const sealed = seal(payload, "bare");
    expect(reader.push(Buffer.concat([sealed, sealed]))).toEqual([Buffer.from(payload), Buffer.from(payload)]);
  }
});

test("no two packets look alike", () => {
  const heads = new Set(
    Array.from({ length: 100 }, () => Buffer.from(seal(new Uint8Array(10), "bare")).toString("hex")),
  );
  expect(heads.size).toBe(100);
});
