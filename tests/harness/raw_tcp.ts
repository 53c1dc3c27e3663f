// SPDX-License-Identifier: Apache-2.0
// Clients whose every segment a test chooses: addresses that no interface has, so that no kernel answers
// for them, on a network card of its own (wire.c), or behind a tunnel without Ethernet headers (tun.c).
import { execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";
import { Child } from "./child.ts";
import { ip, type Network } from "./netns.ts";
import {
  ack,
  type Ends,
  joined,
  optionOf,
  psh,
  type ReadSegment,
  readTcp,
  syn,
  type TcpFields,
  tcpFrame,
  type Wrapping,
} from "./tcp_frame.ts";
import { TempDir } from "./temp_dir.ts";
import { waitFor } from "./wait.ts";

/** Compiles a program of this directory. @throws Error with what the compiler said. */
export function compileC(name: string, directory: TempDir): string {
  const program = directory.file(name);
  const source = join(import.meta.dirname, `${name}.c`);
  const result = spawnSync("gcc", ["-O2", "-Wall", "-o", program, source], { encoding: "utf8" });
  if (result.status !== 0) throw new Error(`Cannot compile "${name}.c": ${result.stderr}`);
  return program;
}

/** How many clients of each family there can be. */
const strangerCount = 250;
const clientMac = Uint8Array.of(2, 0, 0, 0, 0, 2);
const ethernetBytes = 14;
const largestSyn = 1500;

export class RawClients implements AsyncDisposable {
  readonly received: ReadSegment[] = [];
  readonly #child: Child;
  readonly #directory: TempDir;
  readonly #network: Network;
  readonly #gateMac: Uint8Array;
  readonly #tunnel: string | undefined;
  /** What the addresses of all begin with: 10.N.0.0/16 and fdN::/32. */
  readonly #site: number;
  #read = 0;
  #nextPort = 20_000;

  private constructor(network: Network, tunnel: string | undefined) {
    this.#network = network;
    this.#tunnel = tunnel;
    this.#site = tunnel === undefined ? 77 : 79;
    this.#directory = new TempDir();
    const [link] = JSON.parse(ip("-n", network.gate, "-j", "link", "show", network.device)) as [{ address: string }];
    this.#gateMac = Uint8Array.fromHex(link.address.replaceAll(":", ""));
    introduce(network);
    const argv = tunnel === undefined ? ["wire", network.clientDevice] : ["tun", tunnel];
    const namespace = tunnel === undefined ? network.client : network.gate;
    const [program = "", device = ""] = argv;
    this.#child = new Child([compileC(program, this.#directory), device], { namespace, holdInput: true });
  }

  /** @param tunnel the name of a device to be made in the gate's namespace, for clients behind it. */
  static async open(network: Network, tunnel?: string): Promise<RawClients> {
    const clients = new RawClients(network, tunnel);
    await clients.#child.said(/^ready\n/);
    clients.#read = "ready\n".length;
    if (tunnel !== undefined) clients.#address(tunnel);
    return clients;
  }

  #address(tunnel: string): void {
    ip("-n", this.#network.gate, "address", "add", `${this.#gate(false)}/16`, "dev", tunnel);
    ip("-n", this.#network.gate, "address", "add", `${this.#gate(true)}/32`, "dev", tunnel, "nodad");
    ip("-n", this.#network.gate, "link", "set", tunnel, "up");
  }

  /** The gate's address. */
  #gate(isIpv6: boolean): string {
    return isIpv6 ? `fd${this.#site}::1` : `10.${this.#site}.0.1`;
  }

  /** `number` from 1 to 250. */
  ipv4(number: number): string {
    return `10.${this.#site}.2.${number}`;
  }

  /** Each in a /64 of its own, in which ::3 is a neighbour. */
  ipv6(number: number): string {
    return `fd${this.#site}:0:${(0x1000 + number).toString(16)}::2`;
  }

  ends(source: string, sourcePort = this.#nextPort++): Ends {
    const destination = this.#gate(source.includes(":"));
    return {
      sourceMac: clientMac,
      destinationMac: this.#gateMac,
      source,
      destination,
      sourcePort,
      destinationPort: 5000,
    };
  }

  sendFrames(...frames: readonly Uint8Array[]): void {
    const sent = this.#tunnel === undefined ? frames : frames.map((frame) => frame.subarray(ethernetBytes));
    this.#child.send(sent.map((bytes) => `${bytes.toHex()}\n`).join(""));
  }

  /** Waits for a segment of the server. */
  async expect(what: string, ends: Ends, wanted: (segment: ReadSegment) => boolean, from = 0): Promise<ReadSegment> {
    return waitFor(what, () => {
      this.read();
      return this.received.slice(from).find((segment) => belongs(segment, ends) && wanted(segment));
    });
  }

  /** What came for a client so far. */
  of(ends: Ends): ReadSegment[] {
    this.read();
    return this.received.filter((segment) => belongs(segment, ends));
  }

  read(): void {
    const text = this.#child.stdout;
    for (let end = text.indexOf("\n", this.#read); end >= 0; end = text.indexOf("\n", this.#read)) {
      const bytes = Uint8Array.fromHex(text.slice(this.#read, end));
      const segment = readTcp(this.#tunnel === undefined ? bytes : inEthernet(bytes));
      if (segment !== undefined) this.received.push(segment);
      this.#read = end + 1;
    }
  }

  /** The handshake, whole. */
  async connect(source: string, options: ConnectOptions = {}): Promise<RawConnection> {
    const connection = new RawConnection(this, this.ends(source, options.sourcePort), options);
    await connection.open();
    if (options.lastAck !== false) connection.send({});
    return connection;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.closeInput();
    await this.#child[Symbol.asyncDispose]();
    this.#directory[Symbol.dispose]();
  }
}

/** As readTcp() wants it. */
function inEthernet(packet: Uint8Array): Uint8Array {
  const etherType = packet[0] === undefined || packet[0] >> 4 === 4 ? [0x08, 0x00] : [0x86, 0xdd];
  return joined(new Uint8Array(ethernetBytes - 2), etherType, packet);
}

/** The gate's host knows where they are: nobody would answer when it asks. */
function introduce(network: Network): void {
  const mac = Array.from(clientMac, (byte) => byte.toString(16).padStart(2, "0")).join(":");
  const addresses = Array.from({ length: strangerCount }, (_, index) => {
    const prefix = `fd77:0:${(0x1001 + index).toString(16)}`;
    return [`10.77.2.${index + 1}`, `${prefix}::2`, `${prefix}::3`];
  });
  const lines = addresses.flat().map((address) => `neigh replace ${address} lladdr ${mac} dev ${network.device}\n`);
  execFileSync("ip", ["-n", network.gate, "-batch", "-"], { input: lines.join("") });
}

function belongs(segment: ReadSegment, ends: Ends): boolean {
  return segment.destination === ends.source && segment.destinationPort === ends.sourcePort;
}

export interface ConnectOptions {
  readonly isn?: number;
  readonly sourcePort?: number;
  /** Of the SYN. */
  readonly options?: Uint8Array;
  readonly window?: number;
  readonly synBytes?: Uint8Array;
  readonly wrapping?: Wrapping;
  /** False: the last ACK is left to the test. */
  readonly lastAck?: boolean;
}

/** What is not told is as the handshake left it. */
export interface SegmentOptions extends Wrapping {
  /** Where the bytes are in the stream, from 0. */
  readonly at?: number;
  readonly bytes?: Uint8Array;
  readonly flags?: number;
  readonly seq?: number;
  readonly ack?: number;
  readonly options?: Uint8Array;
  readonly window?: number;
  readonly urgent?: number;
  readonly wrongChecksum?: boolean;
}

export class RawConnection {
  readonly ends: Ends;
  readonly isn: number;
  /** The server's first byte. */
  serverFirst = 0;
  serverOptions: Uint8Array = new Uint8Array();
  readonly #clients: RawClients;
  readonly #options: ConnectOptions;

  constructor(clients: RawClients, ends: Ends, options: ConnectOptions = {}) {
    this.#clients = clients;
    this.ends = ends;
    this.#options = options;
    this.isn = options.isn ?? (Math.random() * 2 ** 32) >>> 0;
  }

  /** As the server's log names it. */
  get name(): string {
    return `${this.ends.source} ${this.ends.sourcePort}`;
  }

  sendSyn(synBytes = this.#options.synBytes): void {
    this.#clients.sendFrames(this.synFrame(synBytes));
  }

  synFrame(synBytes = this.#options.synBytes): Uint8Array {
    const { options, window, wrapping } = this.#options;
    const fields: TcpFields = {
      ...{ seq: this.isn, flags: syn },
      ...(options === undefined ? {} : { options }),
      ...(window === undefined ? {} : { window }),
      ...(synBytes === undefined ? {} : { bytes: synBytes }),
    };
    return tcpFrame(this.ends, fields, wrapping);
  }

  /** SYN, and the answer to it. */
  async open(synBytes = this.#options.synBytes): Promise<ReadSegment> {
    this.sendSyn(synBytes);
    return this.answered();
  }

  async answered(): Promise<ReadSegment> {
    const answer = await this.#clients.expect(
      `a SYN-ACK for ${this.name}`,
      this.ends,
      // It acknowledges what the SYN carried too, or not.
      (segment) => (segment.flags & 0x3f) === (syn | ack) && (segment.ack - this.isn - 1) >>> 0 <= largestSyn,
    );
    this.serverFirst = (answer.seq + 1) >>> 0;
    this.serverOptions = answer.options;
    return answer;
  }

  frame({ at = 0, bytes = new Uint8Array(), flags, ...rest }: SegmentOptions): Uint8Array {
    const { seq, ack: acknowledged, vlans, serviceTag, ipv4OptionBytes, ipv6Extensions, padding, ...others } = rest;
    const { ipv6First, otherCard, wrongIpChecksum, ...fields } = others;
    const inIpv6 = { ipv6Extensions, ipv6First };
    const given = Object.entries({
      ...{ vlans, serviceTag, ipv4OptionBytes, padding, otherCard, wrongIpChecksum, ...inIpv6 },
    });
    const wrapping = Object.fromEntries(given.filter(([, value]) => value !== undefined)) as Wrapping;
    const segment: TcpFields = {
      ...fields,
      bytes,
      seq: seq ?? this.isn + 1 + at,
      ack: acknowledged ?? this.serverFirst,
      flags: flags ?? (bytes.length > 0 ? ack | psh : ack),
    };
    return tcpFrame(this.ends, segment, { ...this.#options.wrapping, ...wrapping });
  }

  /** Each a segment, one right behind the other. */
  send(...segments: readonly SegmentOptions[]): void {
    this.#clients.sendFrames(...segments.map((segment) => this.frame(segment)));
  }

  /** Waits until the server's kernel has acknowledged so many bytes. */
  async acknowledged(count: number): Promise<void> {
    const wanted = (this.isn + 1 + count) >>> 0;
    await this.#clients.expect(
      `an acknowledgement of ${count} bytes of ${this.name}`,
      this.ends,
      (segment) => segment.ack === wanted,
    );
  }

  /** Everything that the server's kernel sent. */
  received(): ReadSegment[] {
    return this.#clients.of(this.ends);
  }

  /** RFC 7323 3.2, as the server's last timestamp wants it. */
  timestamps(value: number): Uint8Array {
    const echoed = optionOf(this.serverOptions, 8)?.slice(0, 4) ?? new Uint8Array(4);
    const option = Uint8Array.of(1, 1, 8, 10, 0, 0, 0, 0, ...echoed);
    new DataView(option.buffer).setUint32(4, value >>> 0);
    return option;
  }
}
