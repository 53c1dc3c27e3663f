// SPDX-License-Identifier: Apache-2.0
// Who has an SSH session on this host right now: a ban that reaches it would lock an administrator out. Whoever merely
// connects to SSH's port is not one yet: sshd throws out who has not logged in after two minutes, or as it is set up.
import { readdirSync } from "node:fs";
import { isLoopback, type Prefix, parsePrefix, prefixFromBytes } from "../core/address.ts";
import type { NeverBanEntry } from "../core/bans/never_ban.ts";
import { parseDuration } from "../core/duration.ts";
import { type Connection, connectionsTo, linesOf } from "./connections.ts";

/** LoginGraceTime of sshd_config(5), where it says nothing else. */
const usualGraceMs = 120_000;
/** By chance sshd waits some seconds longer. */
const graceSpreadMs = 10_000;
/** Of those that nobody has looked for yet: where a ban reaches no session, the kernel's list is not read. */
const vouchedLimit = 1024;

interface SshConnection {
  readonly peer: Prefix;
  readonly port: number;
  /** The same of two looks: peer and both ports. */
  readonly id: string;
}

export class SshSessions {
  readonly #ports: Set<number>;
  /** Infinity: sshd throws nobody out. */
  readonly #graceMs: number;
  /** Those that somebody has told of who sits behind them, with the port that they came to. */
  readonly #vouched = new Map<string, number>();
  /** Somebody came by a relay of this host, and nobody knows by which connection to it. */
  #anyIsVouched = false;
  /** When each was first seen. Undefined: this is the first look, and all of them may have been there for long. */
  #seenMs: ReadonlyMap<string, number> | undefined;

  /** @param lines of sshd's configuration. */
  constructor(lines: readonly string[] = configuration()) {
    this.#ports = new Set([22, ...portsIn(lines)]);
    this.#graceMs = graceIn(lines) + graceSpreadMs;
  }

  /** Known, or told of. */
  isPort(port: number): boolean {
    return this.#ports.has(port) || this.#vouched.values().some((told) => told === port);
  }

  /** What comes to a port goes on to another one of this host, perhaps sshd's. */
  relays(port: number, to: number): void {
    if (this.#ports.has(to)) this.#ports.add(port);
  }

  /**
   * @param connection SSH_CONNECTION of ssh(1), as a process of the session has it: `CLIENT PORT SERVER PORT`.
   * @returns true when it is news, and another look is worth its while.
   */
  vouch(connection: string): boolean {
    const [client = "", clientPort, , port] = connection.split(" ");
    const peer = parsePrefix(client);
    if (peer === undefined || !isPort(clientPort) || !isPort(port)) return false;
    const id = idOf(peer, Number(clientPort), Number(port));
    if (this.#vouched.has(id)) return false;
    const [oldest = ""] = this.#vouched.keys();
    if (this.#vouched.size >= vouchedLimit) this.#vouched.delete(oldest);
    this.#vouched.set(id, Number(port));
    this.#anyIsVouched ||= isLoopback(client);
    return true;
  }

  /** Reads the kernel's list of connections, which may be long. */
  peers(nowMs: number): NeverBanEntry[] {
    const ports = new Set([...this.#ports, ...this.#vouched.values()]);
    const connections = [...connectionsTo((port) => ports.has(port))].map(sshConnectionOf);
    const ids = new Set(connections.map(({ id }) => id));
    for (const [id, port] of this.#vouched) {
      if (ids.has(id)) this.#ports.add(port);
      else this.#vouched.delete(id);
    }
    const before = this.#seenMs;
    const sinceMs = (id: string) =>
      before === undefined || this.#anyIsVouched || this.#vouched.has(id)
        ? Number.NEGATIVE_INFINITY
        : (before.get(id) ?? nowMs);
    const seenMs = new Map(connections.map(({ id }) => [id, sinceMs(id)]));
    this.#seenMs = seenMs;
    this.#anyIsVouched = false;
    return connections
      .filter(({ id, port }) => this.#ports.has(port) && nowMs - (seenMs.get(id) ?? nowMs) >= this.#graceMs)
      .filter(({ peer }) => !isLoopback(peer.text))
      .map(({ peer }) => ({ prefix: peer, why: "has an SSH session here" }));
  }
}

function isPort(text: string | undefined): boolean {
  return text !== undefined && /^\d{1,5}$/.test(text);
}

function idOf(peer: Prefix, peerPort: number, port: number): string {
  return `${peer.text} ${peerPort} ${port}`;
}

function sshConnectionOf({ localPort: port, peer: bytes, peerPort }: Connection): SshConnection {
  const mapped = bytes.length === 4 ? [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...bytes] : bytes;
  const peer = prefixFromBytes(Uint8Array.from(mapped));
  return { peer, port, id: idOf(peer, peerPort, port) };
}

/** Of sshd_config(5) and the files that Debian and Red Hat include; nothing where they cannot be read. */
function configuration(): string[] {
  const directory = "/etc/ssh/sshd_config.d";
  const included = namesIn(directory).filter((name) => name.endsWith(".conf"));
  return ["/etc/ssh/sshd_config", ...included.map((name) => `${directory}/${name}`)].flatMap(linesOf);
}

function portsIn(lines: readonly string[]): number[] {
  return lines
    .flatMap((line) => /^\s*(?:Port[\s=]+|ListenAddress[\s=]+\S+:)(\d{1,5})\s*$/i.exec(line)?.[1] ?? [])
    .map(Number);
}

/** The longest of them: which one sshd goes by depends on how it was started. */
function graceIn(lines: readonly string[]): number {
  const graces = lines.flatMap((line) => /^\s*LoginGraceTime[\s=]+"?(\w+)"?\s*$/i.exec(line)?.[1] ?? []).map(graceMsOf);
  return Math.max(usualGraceMs, ...graces);
}

/** Of sshd_config(5): seconds, or with units; 0: for ever. */
function graceMsOf(text: string): number {
  if (!/[1-9]/.test(text)) return Number.POSITIVE_INFINITY;
  return parseDuration(/^\d+$/.test(text) ? `${text}s` : text.toLowerCase()) ?? usualGraceMs;
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
