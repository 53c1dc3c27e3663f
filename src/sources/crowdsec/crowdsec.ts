// SPDX-License-Identifier: Apache-2.0
// CrowdSec's decisions, followed by asking its local API again and again, and this gate's own bans told there when
// that is asked for. Whatever goes wrong changes no ban; afterwards everything is asked for anew, because what LAPI
// has answered once it does not say again.
import { setImmediate, setTimeout as sleep } from "node:timers/promises";
import { type Decision, parseDecision, readDecision } from "../../core/crowdsec/decision.ts";
import { DecisionReader } from "../../core/crowdsec/decision_reader.ts";
import type { Outbox } from "../../core/crowdsec/outbox.ts";
import { Answer, type Remedy } from "../../core/crowdsec/remedy.ts";
import type { Work } from "../../core/work.ts";
import { codeOf, messageOf } from "../../failure.ts";
import type { Log } from "../../log.ts";
import { pause } from "../pause.ts";
import { Troubles } from "../troubles.ts";
import { inTurns } from "../turns.ts";
import type { AlertMoment } from "./alert.ts";
import { Lapi, LapiError, type LapiOptions, type LapiSecrets } from "./lapi.ts";
import { Publisher } from "./publisher.ts";
import type { CrowdsecView } from "./view.ts";

export interface CrowdsecOptions extends LapiOptions {
  readonly everyMs: () => number;
  readonly remedy: Remedy;
  /** Undefined: nothing is pushed. */
  readonly push: { readonly outbox: Outbox; readonly origin: string; readonly machine: string } | undefined;
  /** Why secrets that were read again are those of before; undefined: they are not. */
  readonly whySecretsAreOld: () => string | undefined;
  readonly ipv6Bits: number;
  readonly moment: () => AlertMoment;
  readonly log: Log;
}

/**
 * Everything is asked for with each turn, unless that would take more than this share of the time. LAPI 1.4.6 does not
 * say everything that is new: of 496 decisions, asked for as fast as it would go, 11 never came.
 */
const fullShare = 0.05;
const fullEveryMs = 600_000;
/** Own bans are compared with what it has so often. */
const comparedEveryMs = 600_000;
/** More changes at a time are told in one line. */
const toldSingly = 20;
/** When more has to be asked about again, everything is asked for instead. */
const askedSingly = 50;
/** Items between two looks at the clock, and between two turns of everything else. */
const itemsAtOnce = 50;
const sliceMs = 2;
const retryMostMs = 10_000;
/** A stop waits no longer for what CrowdSec is to be told. */
const closeMs = 1000;

export class Crowdsec {
  readonly #options: CrowdsecOptions;
  readonly #lapi: Lapi;
  readonly #troubles: Troubles;
  readonly #publisher: Publisher | undefined;
  readonly #ending = new AbortController();
  /** Ends the request that is under way. */
  #turn = new AbortController();
  #state: CrowdsecView["state"] = "joining";
  #running: Promise<unknown> | undefined;
  #isPaused = false;
  /** When everything was asked for, and how long that took. */
  #fullMs = Number.NEGATIVE_INFINITY;
  #fullTookMs = 0;
  /** What of a CPU the last answer took. */
  #readingMs = 0;
  #comparedMs = Number.NEGATIVE_INFINITY;
  #answeredMs: number | undefined;
  /** Why decisions are left to other components, as it was told. */
  readonly #said = new Set<string>();
  /** One after another: what an answer says, and what is asked for singly. */
  #applying: Promise<unknown> = Promise.resolve();

  constructor(options: CrowdsecOptions) {
    this.#options = options;
    this.#lapi = new Lapi(options);
    this.#troubles = new Troubles(options.log);
    const { push, moment, ipv6Bits, secrets, whySecretsAreOld } = options;
    if (push === undefined) return;
    this.#publisher = new Publisher({
      ...{ ...push, lapi: this.#lapi, ipv6Bits, moment, troubles: this.#troubles, secrets, whySecretsAreOld },
      deleted: (gone, left) => void this.#carryOut(() => options.remedy.replace(gone, left, this.#nowMs)),
    });
  }

  /** Goes on until `close`. */
  start(): void {
    const { signal } = this.#ending;
    this.#running ??= Promise.all([this.#follow(signal), this.#publisher?.run(signal)]);
  }

  /** Another process asks with the same key from now on: LAPI says everything once. */
  async pause(): Promise<void> {
    this.#isPaused = true;
    this.#turn.abort(new Error("paused"));
    await this.#tellLast();
  }

  resume(): void {
    this.#isPaused = false;
    this.#beginAnew();
  }

  /** Everything is asked for with the next turn. */
  reconfigure(): void {
    this.#beginAnew();
    this.#wake();
  }

  async close(): Promise<void> {
    if (!this.#isPaused) await this.#tellLast();
    this.#ending.abort(new Error("stopped"));
    await Promise.race([this.#running, sleep(closeMs)]);
  }

  get troubles(): readonly string[] {
    return this.#troubles.told();
  }

  view(): CrowdsecView {
    const { address, everyMs, remedy } = this.#options;
    const answeredMs = this.#answeredMs;
    return {
      ...{ url: address.text, state: this.#state, troubles: this.troubles, everySeconds: everyMs() / 1000 },
      ...{ decisions: remedy.size, ...remedy.counts, refused: { ...remedy.refused } },
      answeredSecondsAgo: answeredMs === undefined ? null : (this.#nowMs() - answeredMs) / 1000,
      push: this.#publisher?.view() ?? null,
    };
  }

  #wake: () => void = () => {};

  /** What was lifted a moment ago is to be known before this process is gone. */
  async #tellLast(): Promise<void> {
    await this.#publisher?.flush(AbortSignal.timeout(closeMs)).catch(() => {});
  }

  readonly #nowMs = () => this.#options.moment().nowMs;

  async #follow(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      const begunMs = this.#nowMs();
      const used = this.#lapi.secrets;
      const error = await this.#attempt(signal);
      const isApart = error !== undefined;
      if (!isApart) failures = 0;
      else if (!isNobodyThere(error)) failures++;
      // To read what comes to nothing takes no more of a CPU than to read what does.
      const readMs = isApart ? Math.min(fullEveryMs, this.#readingMs / fullShare) : 0;
      const restMs = Math.max(readMs, this.#pauseMs(failures, isApart) - (this.#nowMs() - begunMs));
      await this.#rest(restMs, signal, isApart ? used : undefined);
      if (isApart) this.#lapi.renew();
    }
  }

  /** @returns why it failed; undefined: it did not, or nobody waits for it any more. */
  async #attempt(signal: AbortSignal): Promise<unknown> {
    try {
      if (!this.#isPaused) await this.#poll(signal);
    } catch (error) {
      if (signal.aborted || this.#isPaused) return undefined;
      this.#failed(error);
      return error;
    }
    return undefined;
  }

  #pauseMs(failures: number, isApart: boolean): number {
    const everyMs = this.#options.everyMs();
    if (!isApart) return !this.#isPaused && this.#fullMs === Number.NEGATIVE_INFINITY ? 0 : everyMs;
    // Twice as long after each failure, and not all gates at the same moment.
    const pauseMs = failures === 0 ? everyMs : Math.min(Math.max(retryMostMs, everyMs), everyMs * 2 ** failures);
    return pauseMs * (0.5 + Math.random() / 2);
  }

  /**
   * Until it is time, or something is to be done at once.
   * @param used with what the last attempt failed.
   */
  async #rest(durationMs: number, signal: AbortSignal, used: LapiSecrets | undefined): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    const either = AbortSignal.any([signal, woken.signal]);
    if (used !== undefined) await pause(durationMs, either, used, this.#options.secrets);
    else await sleep(Math.max(0, durationMs), undefined, { signal: either }).catch(() => {});
  }

  async #poll(signal: AbortSignal): Promise<void> {
    this.#turn = new AbortController();
    const turn = AbortSignal.any([signal, this.#turn.signal]);
    const begunMs = this.#nowMs();
    const isFull = begunMs - this.#fullMs > Math.min(fullEveryMs, this.#fullTookMs / fullShare);
    if (isFull) this.#fullMs = begunMs;
    const answer = await this.#read(isFull, turn);
    const { added, removed, unsure } = await this.#carryOut(() => this.#options.remedy.apply(answer, this.#nowMs));
    this.#follows({ added, removed });
    if (unsure.length > askedSingly) this.#fullMs = Number.NEGATIVE_INFINITY;
    else for (const decision of unsure) await this.#askAbout(decision, turn);
    if (!isFull) return;
    await this.#compare(answer);
    this.#fullTookMs = this.#nowMs() - begunMs;
  }

  /** What CrowdSec lost of own bans, or was never told. */
  async #compare({ own, atMs }: Answer): Promise<void> {
    const { push, remedy } = this.#options;
    if (push === undefined || atMs - this.#comparedMs < comparedEveryMs) return;
    const endOf = (source: string) => Math.max(remedy.endOf(source), own.get(source) ?? 0);
    const isComplete = await this.#carryOut(() => push.outbox.compare(endOf, atMs, this.#nowMs));
    if (isComplete) this.#comparedMs = atMs;
  }

  /** @throws Error when it is no answer, or not whole. */
  async #read(isFull: boolean, signal: AbortSignal): Promise<Answer> {
    const { ipv6Bits, push } = this.#options;
    let answer: Answer | undefined;
    const reader = new DecisionReader();
    let items = 0;
    let startMs = performance.now();
    this.#readingMs = 0;
    for await (const chunk of this.#lapi.stream(isFull, signal)) {
      let sinceMs = performance.now();
      // LAPI has worked all of it out before it sends the first byte.
      answer ??= new Answer(isFull, push?.origin, this.#nowMs());
      for (const { list, text } of reader.read(chunk)) {
        answer.add(list, parseDecision(text, ipv6Bits));
        if (++items % itemsAtOnce !== 0 || performance.now() - startMs < sliceMs) continue;
        this.#readingMs += performance.now() - sinceMs;
        await setImmediate();
        startMs = performance.now();
        sinceMs = startMs;
      }
      this.#readingMs += performance.now() - sinceMs;
    }
    reader.end();
    return answer ?? new Answer(isFull, push?.origin, this.#nowMs());
  }

  async #askAbout(decision: Decision, signal: AbortSignal): Promise<void> {
    const { remedy, ipv6Bits } = this.#options;
    const found = await this.#lapi.decisionsOn(decision.scope, decision.value, signal);
    const left = found.flatMap((one) => {
      const reading = readDecision(one, ipv6Bits);
      return reading.kind === "ban" ? [reading.decision] : [];
    });
    await this.#carryOut(() => remedy.replace(decision, left, this.#nowMs));
  }

  /** With a turn for everything else after each slice. */
  #carryOut<T>(work: () => Work<T>): Promise<T> {
    const next = this.#applying.then(() => inTurns(work()));
    this.#applying = next.catch(() => {});
    return next;
  }

  #follows({ added, removed }: { readonly added: number; readonly removed: number }): void {
    const { log, remedy, address } = this.#options;
    this.#answeredMs = this.#nowMs();
    const good = `CrowdSec at ${address.text} answers, and its decisions are carried out`;
    for (const kind of ["poll", "key"]) this.#troubles.clear(kind, good);
    const isFirst = this.#state === "joining";
    if (this.#state === "apart") this.#publisher?.retry();
    this.#state = "following";
    const { room, wide, malformed, remedy: otherwise, scope } = remedy.refused;
    this.#say("room", room, "for want of room in the table or the map");
    this.#say("wide", wide, "wider than /8 (IPv6 /19)");
    this.#say("malformed", malformed, "not well formed");
    this.#sayOnce("warn", scope, "they are on countries or AS numbers");
    this.#sayOnce("info", otherwise, "they want something else than a ban, such as a captcha");
    if (!isFirst && added + removed <= toldSingly) return;
    const fields = { decisions: remedy.size, added, removed };
    log("info", `CrowdSec: ${remedy.size} sources are banned there, ${added} added here, ${removed} removed`, fields);
  }

  #say(kind: string, count: number, why: string): void {
    if (count === 0) this.#troubles.clear(kind);
    else this.#troubles.set(kind, `CrowdSec: ${count} decisions are not carried out, ${why}`);
  }

  /** Nothing is wrong with either side: another component may carry them out. */
  #sayOnce(level: "info" | "warn", count: number, why: string): void {
    if (count === 0) this.#said.delete(why);
    else if (!this.#said.has(why)) {
      this.#said.add(why);
      this.#options.log(level, `CrowdSec: ${count} decisions are not carried out here, because ${why}`);
    }
  }

  #beginAnew(): void {
    this.#lapi.renew();
    this.#fullMs = Number.NEGATIVE_INFINITY;
    this.#comparedMs = Number.NEGATIVE_INFINITY;
  }

  #failed(error: unknown): void {
    this.#state = "apart";
    // What LAPI has answered to a request that failed it does not say again.
    this.#beginAnew();
    const [kind, other] = isKeyUnknown(error) ? (["key", "poll"] as const) : (["poll", "key"] as const);
    this.#troubles.clear(other);
    this.#troubles.set(kind, `CrowdSec at ${this.#options.address.text}: ${this.#reasonOf(error)}`);
  }

  #reasonOf(error: unknown): string {
    if (isKeyUnknown(error)) {
      const remedy = '"cscli bouncers add NAME -o raw" prints one, write it into the file of --crowdsec-key';
      return `it does not know the key: ${this.#options.whySecretsAreOld() ?? remedy}`;
    }
    if (error instanceof Error && error.name === "TimeoutError") return "no answer in time";
    return messageOf(error);
  }
}

function isKeyUnknown(error: unknown): boolean {
  return error instanceof LapiError && [401, 403].includes(error.status);
}

/** It costs nobody anything to ask as often as before, until it is started again. */
function isNobodyThere(error: unknown): boolean {
  return error instanceof Error && ["ECONNREFUSED", "ENOENT"].includes(codeOf(error) ?? "");
}
