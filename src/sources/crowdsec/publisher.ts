// SPDX-License-Identifier: Apache-2.0
// Tells CrowdSec of this gate's own bans, as alerts with a decision each, and deletes the decision when the ban is
// lifted here. Nothing waits for it; while CrowdSec is away what is to be told waits, within limits.
import { type Decision, readDecision } from "../../core/crowdsec/decision.ts";
import type { Doing, Outbox } from "../../core/crowdsec/outbox.ts";
import { messageOf } from "../../failure.ts";
import { pause } from "../pause.ts";
import type { Troubles } from "../troubles.ts";
import { type AlertMoment, alertOf, scopeOf } from "./alert.ts";
import { type Lapi, LapiError, type LapiSecrets } from "./lapi.ts";
import type { CrowdsecPushView } from "./view.ts";

export interface PublisherOptions {
  readonly lapi: Lapi;
  readonly outbox: Outbox;
  /** The login of the machine, and the origin of its decisions. */
  readonly machine: string;
  readonly origin: string;
  readonly ipv6Bits: number;
  /** What CrowdSec still has on a source, now that the own decision is deleted. */
  readonly deleted: (gone: Decision, left: readonly Decision[]) => void;
  readonly moment: () => AlertMoment;
  readonly secrets: () => LapiSecrets;
  readonly whySecretsAreOld: () => string | undefined;
  readonly troubles: Troubles;
}

/** LAPI writes each into its database: fifty took it 30 ms. */
const atOnce = 50;
const retryLeastMs = 1000;
const retryMostMs = 10_000;

export class Publisher {
  readonly #options: PublisherOptions;
  #pushed = 0;
  #deleted = 0;
  #wake: () => void = () => {};
  #retry = new AbortController();

  constructor(options: PublisherOptions) {
    this.#options = options;
    options.outbox.onChange = () => this.#wake();
  }

  view(): CrowdsecPushView {
    const { machine, origin, outbox } = this.#options;
    return { machine, origin, pushed: this.#pushed, deleted: this.#deleted, waiting: outbox.waiting };
  }

  /** CrowdSec is back. */
  retry(): void {
    this.#retry.abort();
  }

  /** Until the signal. */
  async run(signal: AbortSignal): Promise<void> {
    const { lapi, outbox, secrets, troubles } = this.#options;
    let retryMs = retryLeastMs;
    signal.addEventListener("abort", () => this.#wake(), { once: true });
    while (!signal.aborted) {
      if (outbox.waiting === 0) await new Promise<void>((resolve) => (this.#wake = resolve));
      if (signal.aborted) return;
      const used = lapi.secrets;
      try {
        await this.flush(signal);
        retryMs = retryLeastMs;
        troubles.clear("push", "CrowdSec is told of bans again");
      } catch (error) {
        if (signal.aborted) return;
        lapi.renew();
        troubles.set("push", this.#trouble(error));
        this.#retry = new AbortController();
        const either = AbortSignal.any([signal, this.#retry.signal]);
        await pause(retryMs * (0.5 + Math.random()), either, used, secrets);
        lapi.renew();
        retryMs = Math.min(retryMostMs, retryMs * 2);
      }
      if (outbox.lost > 0) {
        troubles.set("lost", `CrowdSec was not told of ${outbox.lost} lifts: its bans of these end in their own time`);
      }
    }
  }

  /** Tells all that waits. @throws Error; what was not told waits again. */
  async flush(signal: AbortSignal): Promise<void> {
    const { outbox } = this.#options;
    while (outbox.waiting > 0) {
      const open = new Map(outbox.take(atOnce));
      try {
        await this.#push(
          [...open].filter(([, doing]) => doing === "push"),
          open,
          signal,
        );
        for (const [source, doing] of [...open]) {
          if (doing === "delete") await this.#delete(source, signal);
          open.delete(source);
          outbox.done(source, this.#options.moment().nowMs);
        }
      } catch (error) {
        outbox.giveBack(open);
        throw error;
      }
    }
  }

  async #push(
    entries: readonly (readonly [source: string, doing: Doing])[],
    open: Map<string, Doing>,
    signal: AbortSignal,
  ): Promise<void> {
    const { outbox, moment, origin, lapi } = this.#options;
    const now = moment();
    const alerts = entries.flatMap(([source]) => {
      const found = outbox.claim(source, now.nowMs);
      return found === undefined ? [] : [alertOf(found.ban, found.claim, origin, now)];
    });
    if (alerts.length > 0) await lapi.push(alerts, signal);
    this.#pushed += alerts.length;
    for (const [source] of entries) {
      open.delete(source);
      outbox.done(source, moment().nowMs);
    }
  }

  /** Its own decisions on exactly this source. */
  async #delete(source: string, signal: AbortSignal): Promise<void> {
    const { lapi, origin, ipv6Bits, deleted } = this.#options;
    const found = (await lapi.decisionsOn(scopeOf(source), source, signal)).flatMap((one) => {
      const reading = readDecision(one, ipv6Bits);
      return reading.kind === "ban" ? [reading.decision] : [];
    });
    const own = found.filter((decision) => decision.origin === origin);
    for (const { id } of own) await lapi.deleteDecision(id, signal);
    this.#deleted += own.length;
    const [gone] = own;
    if (gone !== undefined) deleted(gone, found);
  }

  #trouble(error: unknown): string {
    const { machine, whySecretsAreOld } = this.#options;
    const isRefused = error instanceof LapiError && [401, 403].includes(error.status);
    const writeNew = `"cscli machines add ${machine} --auto --force --file FILE" writes new credentials`;
    const remedy = isRefused ? `: ${whySecretsAreOld() ?? writeNew}` : "";
    return `CrowdSec is not told of bans, as the machine "${machine}": ${messageOf(error)}${remedy}`;
  }
}
