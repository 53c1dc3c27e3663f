// SPDX-License-Identifier: Apache-2.0
// A stand-in TapeTrack server, which answers each packet with one of its own and counts who sent it
// anything else, and a client that checks each answer and takes the time.
import { createConnection, createServer, type Socket } from "node:net";
import { PacketReader, seal, type WireVariant } from "./tapetrack_wire.ts";
import { patienceMs } from "./wait.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export interface ServerCounters {
  connections: number;
  packets: number;
  /** Connections that sent something else than the protocol: none may get past a gate. */
  strangers: number;
  /** What the first stranger sent, in hex. */
  strangerBytes: string | undefined;
}

export interface TapeTrackServer extends AsyncDisposable {
  readonly port: number;
  readonly counters: ServerCounters;
}

export async function serveTapeTrack(options: {
  readonly host?: string;
  readonly port?: number;
  readonly variant?: WireVariant;
}): Promise<TapeTrackServer> {
  const variant = options.variant ?? "bare";
  const counters: ServerCounters = { connections: 0, packets: 0, strangers: 0, strangerBytes: undefined };
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    counters.connections++;
    open.add(socket.setNoDelay());
    const reader = new PacketReader(variant);
    socket.on("error", () => {});
    socket.on("close", () => open.delete(socket));
    socket.on("data", (bytes) => {
      try {
        for (const payload of reader.push(bytes)) {
          counters.packets++;
          socket.write(seal(encoder.encode(`ok ${decoder.decode(payload)}`), variant));
        }
      } catch {
        counters.strangers++;
        counters.strangerBytes ??= bytes.toString("hex").slice(0, 128);
        socket.destroy();
      }
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(options.port ?? 0, options.host ?? "127.0.0.1", resolve);
  });
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    counters,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

export interface ClientOptions {
  readonly host: string;
  readonly port: number;
  /** The client's own address, where it has several. */
  readonly localAddress?: string;
  readonly variant?: WireVariant;
  /** Hands the first packet to TCP in pieces of this many bytes, each in a segment of its own. */
  readonly pieceBytes?: number;
}

export class TapeTrackClient implements Disposable {
  readonly #socket: Socket;
  readonly #reader: PacketReader;
  readonly #variant: WireVariant;
  readonly #pieceBytes: number | undefined;
  readonly #waiting: { resolve(answer: string): void; reject(error: Error): void }[] = [];
  #sent = 0;
  #failure: Error | undefined;

  private constructor(socket: Socket, options: ClientOptions) {
    this.#socket = socket;
    this.#variant = options.variant ?? "bare";
    this.#pieceBytes = options.pieceBytes;
    this.#reader = new PacketReader(this.#variant);
    socket.setNoDelay();
    socket.on("data", (bytes) => {
      try {
        for (const payload of this.#reader.push(bytes)) this.#waiting.shift()?.resolve(decoder.decode(payload));
      } catch (error) {
        socket.destroy(error instanceof Error ? error : new Error(String(error)));
      }
    });
    socket.on("error", (error) => {
      this.#failure = error;
    });
    socket.on("close", () => {
      this.#failure ??= new Error("Connection closed by the server");
      for (const waiter of this.#waiting.splice(0)) waiter.reject(this.#failure);
    });
  }

  static connect(options: ClientOptions): Promise<TapeTrackClient> {
    return new Promise((resolve, reject) => {
      const { host, port, localAddress } = options;
      const socket = createConnection({ host, port, ...(localAddress === undefined ? {} : { localAddress }) });
      const timer = setTimeout(() => socket.destroy(new Error(`No connection within ${patienceMs} ms`)), patienceMs);
      socket.once("error", (error) => {
        clearTimeout(timer);
        reject(error);
      });
      socket.once("connect", () => {
        clearTimeout(timer);
        resolve(new TapeTrackClient(socket, options));
      });
    });
  }

  /** Sends a text and checks the answer. @returns how long that took, in milliseconds. */
  async exchange(text: string, timeoutMs = patienceMs): Promise<number> {
    const started = performance.now();
    const answer = new Promise<string>((resolve, reject) => {
      if (this.#failure !== undefined) throw this.#failure;
      this.#waiting.push({ resolve, reject });
    });
    const timer = setTimeout(() => this.#socket.destroy(new Error(`No answer within ${timeoutMs} ms`)), timeoutMs);
    try {
      await this.#send(seal(encoder.encode(text), this.#variant));
      const said = await answer;
      if (said !== `ok ${text}`) throw new Error(`Wrong answer: "${said.slice(0, 80)}"`);
      return performance.now() - started;
    } finally {
      clearTimeout(timer);
    }
  }

  async #send(packet: Uint8Array): Promise<void> {
    const piece = this.#sent++ === 0 ? (this.#pieceBytes ?? packet.length) : packet.length;
    for (let at = 0; at < packet.length; at += piece) {
      this.#socket.write(packet.subarray(at, at + piece));
      // A turn of the event loop, so that each piece leaves before the next one is written.
      if (piece < packet.length) await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}
