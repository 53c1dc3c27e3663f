// SPDX-License-Identifier: Apache-2.0
// TCP Fast Open without cookies, forced by the host: a SYN with data, which anybody can send in anybody's name,
// gets nobody banned by the relay.
import { expect, setDefaultTimeout, test } from "bun:test";
import { RunningGate } from "../harness/gate.ts";
import { hostile, requireVerdicts, sysctl } from "../harness/inline_bed.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { RawClients, RawConnection } from "../harness/raw_tcp.ts";
import { rst } from "../harness/tcp_frame.ts";
import { TempDir } from "../harness/temp_dir.ts";

setDefaultTimeout(30_000);

/** Servers' TCP Fast Open, no cookie asked for, without the server's own consent. */
const withoutCookie = 0x602;

/** Three connections that said something and stayed undecided lead to a ban. */
const striking = JSON.stringify({ strikes: 3, expect: { kind: "text", text: "GETX" } });

describeWith("namespaces", "executable")("TCP Fast Open without cookies, before the relay", () => {
  test("a forged SYN bans nobody, a stranger with a handshake is banned", async () => {
    requireVerdicts();
    using network = new Network();
    await sysctl(network.gate, `net.ipv4.tcp_fastopen=${withoutCookie}`);
    await using clients = await RawClients.open(network);
    await using gate = await RunningGate.start(["-l", "5000", "-u", "127.0.0.1:5001"], { namespace: network.gate });
    for (const source of [clients.ipv4(1), clients.ipv6(1)]) {
      const before = (await gate.status()).connections.foreign;
      const forged = new RawConnection(clients, clients.ends(source), { synBytes: hostile });
      const answer = await forged.open();
      // The kernel took the data with the SYN, and the gate has read it.
      expect(answer.ack).toBe((forged.isn + 1 + hostile.length) >>> 0);
      await gate.until("a foreign first packet", ({ connections: { foreign } }) => foreign > before);
      await clients.expect("a reset", forged.ends, ({ flags }) => (flags & rst) !== 0);
      expect(await gate.bans()).toEqual([]);
    }
    for (const source of [clients.ipv4(2), clients.ipv6(2)]) {
      const stranger = await clients.connect(source);
      stranger.send({ bytes: hostile });
      await gate.banned(source);
    }
  });

  test("a stranger that finishes the handshake before it is judged is banned", async () => {
    using network = new Network();
    await sysctl(network.gate, `net.ipv4.tcp_fastopen=${withoutCookie}`);
    await using clients = await RawClients.open(network);
    await using gate = await RunningGate.start(["-l", "5000", "-u", "127.0.0.1:5001"], { namespace: network.gate });
    const stranger = new RawConnection(clients, clients.ends(clients.ipv4(3)), { synBytes: hostile.slice(0, 2) });
    await stranger.open();
    stranger.send({ at: 2 }, { at: 2, bytes: hostile.slice(2) });
    await gate.banned(stranger.ends.source);
  });

  test("forged SYNs with too little to tell are no strikes", async () => {
    using network = new Network();
    await sysctl(network.gate, `net.ipv4.tcp_fastopen=${withoutCookie}`);
    await using clients = await RawClients.open(network);
    using directory = new TempDir();
    const profile = directory.write("profile.json", striking);
    const options = ["-l", "5000", "-u", "127.0.0.1:5001", "--first-packet", "300ms", "-p", profile];
    await using gate = await RunningGate.start(options, { namespace: network.gate });
    const source = clients.ipv4(4);
    for (let count = 1; count <= 4; count++) {
      const forged = new RawConnection(clients, clients.ends(source), { synBytes: hostile.slice(0, 2) });
      await forged.open();
      await gate.until("an undecided first packet", ({ connections: { undecided } }) => undecided >= count);
    }
    expect(await gate.bans()).toEqual([]);
  });
});
