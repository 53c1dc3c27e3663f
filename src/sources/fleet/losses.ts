// SPDX-License-Identifier: Apache-2.0
// What is told of an engine that is lost. One that is there again at once is nobody's concern, one that comes and goes is;
// and however often it does, no line of the log comes again within a minute.
import { formatDuration } from "../../core/duration.ts";
import { codeOf, messageOf } from "../../failure.ts";
import type { FleetTroubles } from "./troubles.ts";

/** So many attempts in a row came to nothing: told, though nothing more is known, or it was told a moment ago. */
const toldFailures = 3;
/** Lost again within this, it comes and goes; not lost for so long, it is steady. */
const steadyMs = 60_000;
/** Different reasons within that time. */
const reasonsAtMost = 20;

export class Losses {
  readonly #engine: string;
  readonly #troubles: FleetTroubles;
  #lostMs: number | undefined;
  /** Since it was lost. */
  #failures = 0;
  /** What the log says of this loss. */
  #told: "vague" | "why" | undefined;
  readonly #toldMs = new Map<string, number>();

  constructor(address: string, troubles: FleetTroubles) {
    this.#engine = `The fleet's engine at ${address}`;
    this.#troubles = troubles;
  }

  /** When it was lost for the last time, after this gate had joined. */
  get lostMs(): number | undefined {
    return this.#lostMs;
  }

  /** An attempt came to nothing, or what it had come to is over. */
  failed(error: unknown, wasJoined: boolean, nowMs: number): void {
    if (wasJoined) this.#lost(nowMs);
    else if (this.#isSteady(nowMs)) this.#troubles.clear("unsteady");
    const isLasting = ++this.#failures >= toldFailures;
    // Whether it is there again, or else why it is not, one of the next attempts says.
    const isVague = isLostConnection(error);
    if (isVague && !isLasting) return;
    const reason = reasonOf(error);
    const isNews = this.#isNews(reason, nowMs) || isLasting;
    const isTold = isNews && (this.#told === undefined || (this.#told === "vague" && !isVague));
    this.#troubles.set("engine", `${this.#engine}: ${reason}`, isTold);
    if (isTold) this.#told = isVague ? "vague" : "why";
  }

  joined(): void {
    this.#failures = 0;
    const isThere = "The fleet's engine answers, and the shared table is read";
    this.#troubles.clear("engine", this.#told === undefined ? undefined : isThere);
    this.#told = undefined;
  }

  /** While it is there. */
  tick(nowMs: number): void {
    if (this.#isSteady(nowMs))
      this.#troubles.clear("unsteady", `${this.#engine} was not lost again for ${formatDuration(steadyMs)}`);
  }

  #lost(nowMs: number): void {
    if (this.#lostMs !== undefined && !this.#isSteady(nowMs))
      this.#troubles.set("unsteady", `${this.#engine} is lost again and again`);
    this.#lostMs = nowMs;
  }

  #isSteady(nowMs: number): boolean {
    return nowMs - (this.#lostMs ?? Number.NEGATIVE_INFINITY) > steadyMs;
  }

  /** One that stands is none, however long it does. */
  #isNews(reason: string, nowMs: number): boolean {
    for (const [told, atMs] of this.#toldMs) if (nowMs - atMs > steadyMs) this.#toldMs.delete(told);
    const isNews = !this.#toldMs.has(reason) && this.#toldMs.size < reasonsAtMost;
    if (isNews || this.#toldMs.has(reason)) this.#toldMs.set(reason, nowMs);
    return isNews;
  }
}

/** Nothing but that: not why. */
function isLostConnection(error: unknown): boolean {
  const isEnd = /^(Socket closed unexpectedly|The client is (closed|offline))/.test(messageOf(error));
  return isEnd || ["ECONNRESET", "EPIPE"].includes(codeOf(error) ?? "");
}

/** What the client library stumbles over is no answer. */
function reasonOf(error: unknown): string {
  const isNoAnswer = error instanceof TypeError || error instanceof RangeError;
  if (isNoAnswer) return `its answers are not those of a Redis or Valkey server (${messageOf(error)})`;
  const unknown = unknownCommandOf(error);
  if (unknown !== undefined)
    return `it does not know ${unknown}: use Redis or Valkey 6.2 or newer, without rename-command`;
  const isForbidden = /\bNOPERM\b|user executing the script can't/.test(messageOf(error));
  return isForbidden ? `${messageOf(error)}: docs/fleet.md has what its user has to be allowed` : messageOf(error);
}

/** Of a server that is too old, or whose commands have other names; its own message has the whole script in it. */
function unknownCommandOf(error: unknown): string | undefined {
  const [found, name] = /unknown (?:redis )?command (?:called from script|[`'"]?(\w+))/i.exec(messageOf(error)) ?? [];
  if (found === undefined) return undefined;
  return name === undefined ? "a command that a fleet needs" : `the command "${name}"`;
}
