// SPDX-License-Identifier: Apache-2.0
// Inline mode on connections of more than 4 GiB, after which sequence numbers begin again.
import { expect, setDefaultTimeout, test } from "bun:test";
import { Child } from "../harness/child.ts";
import { BlockMap, RunningGate } from "../harness/gate.ts";
import { friendly } from "../harness/inline_bed.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";

setDefaultTimeout(240_000);

const round = 2 ** 32;
const KiB = 1024;
/** In the middle of the numbers that begin again: read by the client, and waiting at both ends. */
const unread = 256 * KiB;
const clientBuffer = 64 * KiB;
const serverBuffer = 1024 * KiB;

/** Says so many bytes first, then tells how many it was told, and what the first were. */
const server = `
import socket, sys, threading
total, buffer = int(sys.argv[1]), int(sys.argv[2])
listener = socket.create_server(("0.0.0.0", 5000))
print("ready", flush=True)
def serve(peer):
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
    def say():
        piece, left = bytes(1 << 20), total
        while left > 0:
            left -= peer.send(piece[:left])
    threading.Thread(target=say, daemon=True).start()
    rest = bytearray(1 << 20)
    first = peer.recv(${friendly.length})
    print("first", first.hex(), flush=True)
    told = len(first)
    while (count := peer.recv_into(rest, len(rest), socket.MSG_TRUNC)) > 0:
        told += count
    print("told", told, flush=True)
while True:
    peer, _ = listener.accept()
    threading.Thread(target=serve, args=(peer,), daemon=True).start()
`;

/** Listens to so many bytes, then says its own, and as many more as it is to say. */
const client = `
import socket, sys
host, source, heard, more, buffer = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
peer = socket.socket()
peer.bind((source, 0))
if buffer:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
peer.connect((host, 5000))
piece = bytearray(1 << 20)
while heard > 0:
    heard -= peer.recv_into(piece, min(heard, len(piece)), socket.MSG_TRUNC)
print("heard", flush=True)
peer.sendall(bytes.fromhex(sys.argv[6]))
while more > 0:
    more -= peer.send(piece[:more])
print("said", flush=True)
sys.stdin.read()
`;

describeWith("namespaces", "executable", { program: "python3" })("a connection of more than 4 GiB", () => {
  for (const [name, greeting, heard, more, buffer] of [
    [
      "to a client that then speaks for the first time is judged",
      round + serverBuffer,
      round - unread,
      0,
      clientBuffer,
    ],
    ["from a client that was judged goes on", 0, 0, round + serverBuffer, 0],
  ] as const) {
    test(name, async () => {
      await using stack = new AsyncDisposableStack();
      const network = stack.use(new Network());
      const map = stack.use(new BlockMap());
      const python = (namespace: string, script: string, ...args: readonly (string | number)[]) =>
        stack.use(new Child(["python3", "-c", script, ...args.map(String)], { namespace, holdInput: true }));
      const listening = python(network.gate, server, greeting, serverBuffer);
      await listening.said(/ready/);
      const gate = stack.use(await RunningGate.start(["-m", "inline", "-B", map.name], { namespace: network.gate }));
      const [host, source] = [network.gateIpv4, network.clientIpv4(2)];
      const speaking = python(network.client, client, host, source, heard, more, buffer, friendly.toHex());
      await speaking.said(/heard/, 120_000);
      await listening.said(new RegExp(`first ${friendly.toHex()}`));
      await speaking.said(/said/, 120_000);
      speaking.closeInput();
      if (more > 0) await listening.said(new RegExp(`told ${friendly.length + more}`), 120_000);
      const { kernel, bans } = await gate.until("a verdict", ({ kernel }) => kernel.judged?.passed === 1);
      expect([bans.total, kernel.unseen?.connections, kernel.judged]).toEqual([
        ...[0, 0],
        expect.objectContaining({ unproven: 0, held: 0, reset: 0, noSocket: 0 }),
      ]);
    });
  }
});
