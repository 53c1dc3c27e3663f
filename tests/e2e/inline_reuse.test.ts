// SPDX-License-Identifier: Apache-2.0
// Inline mode remembers which connections are past their first bytes (bpf/judged.h). The next connection
// between the same two ports is another one, and is judged like any.

import { expect, setDefaultTimeout, test } from "bun:test";
import process from "node:process";
import { Child } from "../harness/child.ts";
import { BlockMap, RunningGate } from "../harness/gate.ts";
import { friendly, hostile, InlineBed } from "../harness/inline_bed.ts";
import { describeWith, testWith } from "../harness/needs.ts";
import { ip, Network } from "../harness/netns.ts";
import { RawConnection } from "../harness/raw_tcp.ts";
import { ack, joined, rst } from "../harness/tcp_frame.ts";
import { waitFor } from "../harness/wait.ts";

setDefaultTimeout(60_000);

/** More than any rule looks at. */
const long = joined(friendly, friendly, friendly, friendly);
const more = Uint8Array.of(1, 2, 3);

/** Takes everything, and says how much. */
const sink = `
  require("node:net").createServer((socket) => {
    let received = 0;
    socket.on("error", () => {});
    socket.on("data", (bytes) => { received += bytes.length; console.log("received", received); });
  }).listen(5000, () => console.log("ready"));`;

/** Each line of its input is hexadecimal and goes out as a segment; "reset" ends the connection so that the port is free. */
function clientProgram(host: string, from: string): string {
  return `
    const { connect } = require("node:net");
    const open = () => {
      const socket = connect({ host: "${host}", port: 5000, localAddress: "${from}", localPort: 40000 });
      socket.on("error", (error) => console.log("failed", error.code));
      socket.on("connect", () => console.log("connected"));
      socket.setNoDelay(true);
      return socket;
    };
    let socket = open();
    for await (const line of require("node:readline").createInterface({ input: process.stdin })) {
      if (line === "reset") { socket.resetAndDestroy(); socket = open(); }
      else socket.write(Buffer.from(line, "hex"));
    }`;
}

testWith("namespaces", "executable")("a stranger from a friend's address and port is judged", async () => {
  using network = new Network();
  using map = new BlockMap();
  const source = network.clientIpv4(3);
  await using server = new Child([process.execPath, "-e", sink], { namespace: network.gate });
  await server.said(/^ready$/m);
  await using gate = await RunningGate.start(["-m", "inline", "-B", map.name, "-i", network.device], {
    namespace: network.gate,
  });
  await using client = new Child([process.execPath, "-e", clientProgram(network.gateIpv4, source)], {
    namespace: network.client,
    holdInput: true,
  });
  await client.said(/^connected$/m);
  const friend = crypto.getRandomValues(new Uint8Array(400));
  friend[0] = 0xe7;
  // The third segment finds the connection past its first bytes, the fourth finds it remembered.
  for (let count = 1; count <= 4; count++) {
    client.send(`${friend.toHex()}\n`);
    await server.said(new RegExp(`^received ${count * friend.length}$`, "m"));
  }
  expect(await gate.bans()).toEqual([]);
  client.send("reset\n");
  await client.said(/^connected\nconnected$/m);
  client.send(`${new TextEncoder().encode("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n").toHex()}\n`);
  expect((await gate.banned(source)).protocol).toBe("http");
});

/** As from a card: the program sees several packets before the kernel takes the first. */
function inBatches({ gate, device }: Network): void {
  ip("netns", "exec", gate, "sh", "-c", `echo 1 > /sys/class/net/${device}/threaded`);
}

const sourcesOfEach = 12;

function sources(bed: InlineBed): string[] {
  return Array.from({ length: sourcesOfEach }, () => [bed.nextIpv4(), bed.nextIpv6()]).flat();
}

/** Two connections of one port, one after the other; the second one's numbers are ahead. */
function begunAnew(bed: InlineBed, source: string): Readonly<Record<"friend" | "stranger", RawConnection>> {
  const ends = bed.clients.ends(source);
  const friend = new RawConnection(bed.clients, ends, { isn: 1000 });
  const stranger = new RawConnection(bed.clients, ends, { isn: 1000 + 2 ** 20 });
  return { friend, stranger };
}

/** And the server has read no more than what the friend said. */
async function expectBanned(bed: InlineBed, { name, ends }: RawConnection, said: Uint8Array): Promise<void> {
  const read = () => bed.sink.of(name).data;
  await waitFor(`a ban of ${name}`, async () => read() !== said.toHex() || (await bed.gate.ban(ends.source)));
  expect(read()).toBe(said.toHex());
}

describeWith("namespaces", "executable")("a stranger from a port whose connection was judged", () => {
  test("with a cookie from before it", async () => {
    await using bed = await InlineBed.open({ sysctl: ["net.ipv4.tcp_syncookies=2"] });
    for (const source of [bed.nextIpv4(), bed.nextIpv6()]) {
      const { friend, stranger } = begunAnew(bed, source);
      await stranger.open();
      await friend.open();
      friend.send({}, { bytes: long });
      await bed.sink.got(friend.name, long);
      friend.send({ at: long.length, bytes: more });
      await bed.sink.got(friend.name, joined(long, more));
      friend.send({ at: long.length + more.length, flags: rst | ack });
      await bed.sink.ended(friend.name);
      stranger.send({ bytes: hostile });
      await expectBanned(bed, stranger, joined(long, more));
    }
  });

  // The program sees all of a batch before the kernel has ended the friend's connection.
  test("whose end, the next SYN and one more segment come in one batch", async () => {
    await using bed = await InlineBed.open();
    inBatches(bed.network);
    for (const source of sources(bed)) {
      const { friend, stranger } = begunAnew(bed, source);
      await friend.open();
      friend.send({}, { bytes: long });
      await bed.sink.got(friend.name, long);
      const end = { at: long.length, flags: rst | ack };
      bed.clients.sendFrames(friend.frame(end), stranger.synFrame(), friend.frame({ at: long.length, bytes: more }));
      await stranger.answered();
      stranger.send({}, { bytes: hostile });
      await expectBanned(bed, stranger, long);
    }
  });

  // With the cookie of the connection itself, or with another one from before it.
  test.each(["its own", "another"])("by %s cookie, in one batch with the friend's end", async (whose) => {
    await using bed = await InlineBed.open({ sysctl: ["net.ipv4.tcp_syncookies=2"] });
    inBatches(bed.network);
    for (const source of sources(bed)) {
      const { friend, stranger } = begunAnew(bed, source);
      await stranger.open();
      await friend.open();
      friend.send({}, { bytes: friendly });
      await bed.sink.got(friend.name, friendly);
      const next = whose === "another" ? stranger : friend;
      const end = friend.frame({ at: friendly.length, flags: rst | ack });
      const before = bed.counts();
      bed.clients.sendFrames(end, next.frame({ bytes: hostile }));
      await bed.sink.ended(friend.name);
      await waitFor(`what became of ${source}`, async () => {
        const { held, banned } = bed.counts();
        return held + banned > before.held + before.banned || bed.sink.of(friend.name).data !== friendly.toHex();
      });
      expect(bed.sink.of(friend.name).data).toBe(friendly.toHex());
    }
  });

  // Kernels up to 6.6 take data with an acknowledgement from before the connection.
  test("behind what passed with another cookie, in one batch", async () => {
    await using bed = await InlineBed.open({ sysctl: ["net.ipv4.tcp_syncookies=2"] });
    inBatches(bed.network);
    const before = bed.counts();
    for (const source of sources(bed)) {
      const { friend, stranger } = begunAnew(bed, source);
      await stranger.open();
      await friend.open();
      const old = (stranger.serverFirst - 1000) >>> 0;
      bed.clients.sendFrames(
        friend.frame({ bytes: friendly }),
        friend.frame({ at: friendly.length, flags: rst | ack }),
        stranger.frame({}),
        stranger.frame({ bytes: hostile, ack: old }),
      );
      await bed.sink.got(friend.name, friendly);
    }
    await waitFor("all that was said", () => {
      const { held, unproven } = bed.counts();
      return held + unproven - before.held - before.unproven === sourcesOfEach * 2;
    });
    // There was such a batch.
    expect(bed.counts().held).toBeGreaterThan(before.held);
    expect(bed.sink.lines().filter((line) => line.includes(hostile.toHex()))).toEqual([]);
  });
});
