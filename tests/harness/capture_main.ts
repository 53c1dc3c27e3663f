// SPDX-License-Identifier: Apache-2.0
// Every TCP segment that an interface receives, by a packet socket, to be started inside a network
// namespace. Prints each as a line of JSON as it comes, the first line when it is ready.
//   capture_main.ts INTERFACE
import { readFileSync } from "node:fs";
import process from "node:process";
import { runtime } from "../../src/runtime/bun.ts";
import { segmentOf } from "./capture.ts";
import { sleep } from "./wait.ts";

/** linux/if_packet.h, linux/if_ether.h */
const packetFamily = 17;
const rawType = 3;
const allProtocolsBigEndian = 0x0300;
const outgoing = 4;
const dontWait = 0x40;

const { calls } = runtime.native.open("libc.so.6", {
  // int socket(int domain, int type, int protocol)
  socket: [["i32", "i32", "i32"], "i32"],
  // int bind(int fd, const struct sockaddr *address, socklen_t length)
  bind: [["i32", "buf", "u32"], "i32"],
  // ssize_t recvfrom(int fd, void *buf, size_t length, int flags, struct sockaddr *from, socklen_t *fromLength)
  recvfrom: [["i32", "buf", "u64", "i32", "buf", "buf"], "i64"],
});

/** struct sockaddr_ll {u16 family; be16 protocol; i32 ifindex; u16 hatype; u8 pkttype; u8 halen; u8 addr[8]} */
const address = new DataView(new ArrayBuffer(20));
address.setUint16(0, packetFamily, true);
address.setUint16(2, allProtocolsBigEndian, true);
address.setInt32(4, Number(readFileSync(`/sys/class/net/${process.argv[2]}/ifindex`, "latin1")), true);

const fd = calls.socket(packetFamily, rawType, allProtocolsBigEndian);
if (fd < 0 || calls.bind(fd, new Uint8Array(address.buffer), address.byteLength) < 0) {
  throw new Error(`Cannot capture on "${process.argv[2]}": run as root`);
}
console.log(JSON.stringify({ ready: true }));

const frame = new Uint8Array(new ArrayBuffer(65536));
const from = new DataView(new ArrayBuffer(20));
const fromLength = new Uint32Array(new ArrayBuffer(4));
for (;;) {
  fromLength[0] = from.byteLength;
  const lengthView = new Uint8Array(fromLength.buffer);
  const length = Number(calls.recvfrom(fd, frame, 65536n, dontWait, new Uint8Array(from.buffer), lengthView));
  if (length < 0) await sleep(1);
  else if (from.getUint8(10) !== outgoing) {
    const segment = segmentOf(frame.subarray(0, length));
    if (segment !== undefined) console.log(JSON.stringify(segment));
  }
}
