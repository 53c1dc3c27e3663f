// SPDX-License-Identifier: Apache-2.0
// Messages and descriptors over a unix socket, by the C library alone; and one datagram, to a path and to a name.
import { afterAll, expect, test } from "bun:test";
import { fstatSync, openSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { duplicate, listeningAddress } from "../../src/kernel/descriptor.ts";
import { openLibc } from "../../src/kernel/libc.ts";
import { sendDatagram } from "../../src/kernel/notify_socket.ts";
import { connectPackets, messageBytes, type PacketConnection, PacketListener } from "../../src/kernel/packet_socket.ts";
import { runtime } from "../../src/runtime/bun.ts";
import { silentEvents, type TcpSocket } from "../../src/runtime/types.ts";
import { TempDir } from "../harness/temp_dir.ts";

const { native } = runtime;
const libc = openLibc(native);
const directory = new TempDir();
afterAll(() => directory[Symbol.dispose]());

function pair(name: string): [PacketListener, PacketConnection, PacketConnection] {
  const listener = new PacketListener(native, libc, directory.file(name));
  expect(() => connectPackets(native, libc, directory.file(name))).toThrow("ECONNREFUSED");
  listener.listen();
  const client = connectPackets(native, libc, directory.file(name));
  const server = listener.accept();
  if (server === undefined) throw new Error("Nobody was there");
  return [listener, client, server];
}

test("messages keep their bounds, and descriptors come along", () => {
  const [listener, client, server] = pair("packets");
  using _listener = listener;
  using _client = client;
  using _server = server;
  expect(listener.accept()).toBeUndefined();
  expect(server.peer()).toEqual({ pid: process.pid, uid: process.getuid?.() ?? 0 });
  expect(server.receive()).toBe("none");
  const path = directory.file("handed");
  writeFileSync(path, "what is in it");
  const fd = openSync(path, "r");
  const [first, second] = [new Uint8Array(messageBytes).fill(7), Uint8Array.of(1, 2, 3)];
  expect(client.send(first, [fd, fd])).toBe(true);
  expect(client.send(second)).toBe(true);
  const received = server.receive();
  if (typeof received === "string") throw new Error(received);
  expect(received.bytes).toEqual(first);
  expect(received.descriptors).toHaveLength(2);
  for (const handed of received.descriptors) {
    expect(fstatSync(handed).ino).toBe(fstatSync(fd).ino);
    expect(readFileSync(`/proc/self/fd/${handed}`, "utf8")).toBe("what is in it");
    // Not for programs that this one starts.
    expect(readFileSync(`/proc/self/fdinfo/${handed}`, "utf8")).toMatch(/^flags:\s+02/m);
    libc.calls.close(handed);
  }
  libc.calls.close(fd);
  expect(server.receive()).toEqual({ bytes: second, descriptors: [] });
  expect(() => client.send(new Uint8Array(messageBytes + 1))).toThrow("EMSGSIZE");
});

test("a full queue says so, and an end is told once all was read", () => {
  const [listener, client, server] = pair("queue");
  using _listener = listener;
  using _server = server;
  let sent = 0;
  while (client.send(new Uint8Array(messageBytes))) sent++;
  expect(sent).toBeGreaterThan(0);
  client[Symbol.dispose]();
  for (let count = 0; count < sent; count++) expect(server.receive()).toBeObject();
  expect(server.receive()).toBe("closed");
  expect(() => server.send(Uint8Array.of(1))).toThrow("EPIPE");
});

test("nobody at a path is told by its name", () => {
  expect(() => connectPackets(native, libc, directory.file("nobody"))).toThrow(/^Connect to ".*nobody": ENOENT$/);
  expect(sendDatagram(libc, directory.file("nobody"), "READY=1")).toBe(-2);
  expect(sendDatagram(libc, "@ttgate-nobody", "READY=1")).toBe(-111);
  expect(sendDatagram(libc, "x".repeat(108), "READY=1")).toBe(-36);
});

test("a listening socket goes on with another descriptor, queue and all", async () => {
  const accept = (socket: TcpSocket) => {
    socket.close();
    return silentEvents;
  };
  const open = (fd?: number) => runtime.listen({ host: "127.0.0.1", port: 0, fd, accept });
  const first = await open();
  const { port } = first.local;
  const fd = duplicate(libc, first.fd ?? -1);
  expect(listeningAddress(libc, fd)).toEqual({ kind: "tcp", host: "127.0.0.1", port });
  first.close();
  const waiting = Promise.withResolvers<void>();
  await runtime.connect({ host: "127.0.0.1", port }, { ...silentEvents, end: () => waiting.resolve() });
  const second = await open(fd);
  await waiting.promise;
  second.close();
  expect(listeningAddress(libc, fd)).toBeUndefined();
});
