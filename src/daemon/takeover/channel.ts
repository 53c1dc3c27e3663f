// SPDX-License-Identifier: Apache-2.0
// What two processes say to one another when one takes over from the other. The form has a number: a process that
// does not know the other's refuses, and the one that runs goes on.
import { setTimeout } from "node:timers/promises";
import { z } from "zod";
import { codeOf, Failure } from "../../failure.ts";
import { messageBytes, mostDescriptors, type PacketConnection } from "../../kernel/packet_socket.ts";

export const takeoverForm = 2;

const endpoint = z.object({ host: z.string(), port: z.number() });
const index = z
  .number()
  .int()
  .min(0)
  .max(mostDescriptors - 1);

/** In the order in which they are said. Descriptors go with the message, and are named by their place in it. */
const message = z.discriminatedUnion("kind", [
  /** The new one: what it is going to be. */
  z.object({
    kind: z.literal("hello"),
    form: z.number(),
    version: z.string(),
    gates: z.array(z.object({ port: z.number(), mode: z.string() })),
    blockMap: z.string().nullable(),
    dryRun: z.boolean(),
    drainMs: z.number(),
  }),
  z.object({ kind: z.literal("refusal"), reason: z.string() }),
  /** The old one: all that it has. */
  z.object({
    kind: z.literal("offer"),
    form: z.number(),
    version: z.string(),
    table: index,
    listeners: z.array(z.object({ ...endpoint.shape, fd: index })),
    /** With the socket, where the service manager made it. */
    status: z.object({ address: z.string(), fd: index.nullable() }),
    hasFence: z.boolean(),
    dryRun: z.boolean(),
    maps: z.record(z.string(), index),
    serviceManager: z.object({ socket: z.string(), watchdogUsec: z.number() }).nullable(),
  }),
  /** The new one is about to touch kernel objects; the old one lets it. */
  z.object({ kind: z.literal("open") }),
  z.object({ kind: z.literal("go") }),
  /** The new one can serve; the old one has stopped, with a descriptor of what changed since the table was written. */
  z.object({ kind: z.literal("ready") }),
  z.object({ kind: z.literal("yours") }),
  /** The new one has accepted a connection: there is no way back from here. */
  z.object({ kind: z.literal("serving") }),
  /** Either one, while the old one drains: lines of the state file. */
  z.object({ kind: z.literal("bans"), lines: z.array(z.string()) }),
]);

export type TakeoverMessage = z.infer<typeof message>;
type Kind = TakeoverMessage["kind"];

export interface Delivered<K extends Kind = Kind> {
  readonly message: Extract<TakeoverMessage, { kind: K }>;
  /** The receiver's to close. */
  readonly descriptors: readonly number[];
}

/** For who waits for a word: a take-over has about ten of them. */
const lookMs = 2;
/** The other end reads what it is sent at once, or it hangs. */
const sendMs = 5000;

/** The other one did not say what it should, in time. */
export class Silent extends Failure {}

export class Channel implements Disposable {
  readonly #connection: PacketConnection;

  constructor(connection: PacketConnection) {
    this.#connection = connection;
  }

  /** @returns false when the other end has no room for it now. @throws Failure when it is gone. */
  offer(said: TakeoverMessage, descriptors: readonly number[] = []): boolean {
    try {
      return this.#connection.send(new TextEncoder().encode(JSON.stringify(said)), descriptors);
    } catch (error) {
      throw ["EPIPE", "ECONNRESET"].includes(codeOf(error) ?? "") ? ended() : error;
    }
  }

  /** @throws Failure when the other end is gone or takes nothing. */
  async send(said: TakeoverMessage, descriptors: readonly number[] = []): Promise<void> {
    for (const endMs = performance.now() + sendMs; !this.offer(said, descriptors); await setTimeout(lookMs)) {
      if (performance.now() > endMs) throw new Silent("it does not read what it is sent", { exitCode: 3 });
    }
  }

  /** @returns undefined when there is nothing now, "closed" when there will be nothing. @throws Failure */
  poll(): Delivered | undefined | "closed" {
    const received = this.#connection.receive();
    if (received === "none") return undefined;
    if (received === "closed") return "closed";
    const parsed = message.safeParse(parsedJson(received.bytes));
    if (!parsed.success) throw new Failure("it speaks another language: restart instead", { exitCode: 3 });
    return { message: parsed.data, descriptors: received.descriptors };
  }

  /** @throws Failure with the reason when it says something else, or nothing in time. */
  async expect<K extends Kind>(kind: K, withinMs: number): Promise<Delivered<K>> {
    for (const endMs = performance.now() + withinMs; ; await setTimeout(lookMs)) {
      const delivered = this.poll();
      if (delivered === "closed") throw ended();
      if (delivered?.message.kind === kind) return delivered as unknown as Delivered<K>;
      if (delivered?.message.kind === "refusal") throw new Failure(delivered.message.reason, { exitCode: 3 });
      if (delivered !== undefined) throw new Failure(`it said "${delivered.message.kind}"`, { exitCode: 3 });
      if (performance.now() > endMs) {
        throw new Silent(`it did not say "${kind}" within ${withinMs / 1000} s`, { exitCode: 3 });
      }
    }
  }

  /** Idempotent. */
  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }
}

/** Noticed by whoever speaks, or by whoever listens. */
function ended(): Failure {
  return new Failure("it ended", { exitCode: 3 });
}

function parsedJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}

/** As many lines as fit into a message, from the front. */
export function fitting(lines: readonly string[]): readonly string[] {
  let size = 64;
  const end = lines.findIndex((line) => {
    // A quotation mark in it becomes two characters.
    size += 2 * line.length + 4;
    return size > messageBytes;
  });
  return end < 0 ? lines : lines.slice(0, end);
}
