// SPDX-License-Identifier: Apache-2.0
// What comes in over an interface of a network namespace, segment by segment: for what must not be sent.
import { join } from "node:path";
import process from "node:process";
import { Child } from "./child.ts";

export interface Segment {
  readonly from: string;
  readonly to: string;
  readonly fromPort: number;
  readonly toPort: number;
  /** Of F, S, R, P and A. */
  readonly flags: string;
}

export class Capture implements AsyncDisposable {
  readonly #child: Child;

  private constructor(child: Child) {
    this.#child = child;
  }

  static async start(namespace: string, device: string): Promise<Capture> {
    // nsenter leaves the host's /sys in place, where the interface is not.
    const script = join(import.meta.dirname, "capture_main.ts");
    const enter = ["unshare", "--mount", "sh", "-c", 'mount -t sysfs none /sys && exec "$@"', "sh"];
    const capture = new Capture(new Child([...enter, process.execPath, script, device], { namespace }));
    await capture.#child.said(/"ready":true/);
    return capture;
  }

  /** To a port of an address, so far. */
  segments(to: string, toPort?: number): Segment[] {
    const lines = this.#child.stdout.split("\n").slice(1, -1);
    return lines
      .map((line) => JSON.parse(line) as Segment)
      .filter((segment) => segment.to === to && (toPort === undefined || segment.toPort === toPort));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#child[Symbol.asyncDispose]();
  }
}

const ipv4 = 0x0800;
const ipv6 = 0x86dd;
const tcp = 6;

/** @returns undefined for what is not TCP right behind the IP header. */
export function segmentOf(frame: Uint8Array): Segment | undefined {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (view.byteLength < 14 + 40) return undefined;
  const etherType = view.getUint16(12);
  if (etherType === ipv4 && view.getUint8(23) === tcp) {
    const text = (at: number) => frame.subarray(at, at + 4).join(".");
    return tcpOf(view, 14 + (view.getUint8(14) & 15) * 4, text(26), text(30));
  }
  if (etherType !== ipv6 || view.getUint8(20) !== tcp) return undefined;
  return tcpOf(view, 54, ipv6Text(frame.subarray(22, 38)), ipv6Text(frame.subarray(38, 54)));
}

function tcpOf(view: DataView, at: number, from: string, to: string): Segment | undefined {
  if (view.byteLength < at + 20) return undefined;
  const bits = view.getUint8(at + 13);
  const flags = [..."FSRPA"].filter((_, bit) => (bits & (1 << bit)) !== 0).join("");
  return { from, to, fromPort: view.getUint16(at), toPort: view.getUint16(at + 2), flags };
}

/** As URL prints it, the shortest form. */
function ipv6Text(bytes: Uint8Array): string {
  const hex = bytes.toHex().match(/.{4}/g) ?? [];
  return new URL(`http://[${hex.join(":")}]`).hostname.slice(1, -1);
}
