// SPDX-License-Identifier: Apache-2.0
// What is done with connections' first bytes beyond the verdict: recorded (--record), counted against
// sources that stay undecided (a profile's strikes) or on which the server hangs up (--judge upstream).
import { type Evidence, evidenceBytes } from "../core/bans/bans.ts";
import { Judge } from "../core/bans/server_judge.ts";
import { refusedByServer, Strikes, undecidedTooOften } from "../core/bans/strikes.ts";
import type { Client } from "../core/client.ts";
import type { Recorder } from "../recording/recorder.ts";
import type { SessionObserver } from "./session_observer.ts";
import { type Listener, type Overheard, Overhearing } from "./tap.ts";

export interface ObserverOptions {
  readonly recorder: Recorder | undefined;
  /** How often the server may hang up on a source; undefined: it is not asked. */
  readonly refusedLimit: number | undefined;
  /** How often a source may stay undecided; undefined: as often as it likes. */
  readonly undecidedLimit: number | undefined;
  readonly gatePort: number;
  nowMs(): number;
  ban(client: Client, protocol: string, evidence: Evidence): void;
}

export class Observer implements SessionObserver {
  readonly #options: ObserverOptions;
  readonly #judge: Judge | undefined;
  readonly #undecided: Strikes | undefined;
  readonly #overhearing: Overhearing | undefined;
  #wasDown = false;

  constructor(options: ObserverOptions) {
    const { recorder, refusedLimit, undecidedLimit } = options;
    this.#options = options;
    this.#judge = refusedLimit === undefined ? undefined : new Judge(refusedLimit);
    this.#undecided = undecidedLimit === undefined ? undefined : new Strikes(undecidedLimit);
    const isListening = recorder !== undefined || refusedLimit !== undefined;
    this.#overhearing = isListening
      ? new Overhearing(
          () => options.nowMs(),
          (overheard) => this.#heard(overheard),
        )
      : undefined;
  }

  relays(client: Client, isExpected: boolean): Listener | undefined {
    if (isExpected) this.#undecided?.forgive(client.sourceText);
    return this.#overhearing?.listen(client, isExpected, Date.now());
  }

  turnedAway(client: Client, bytes: Uint8Array, totalBytes: number, isSilent: boolean): void {
    this.#options.recorder?.record({ atMs: Date.now(), bytes, totalBytes, server: "unknown" });
    if (!isSilent || this.#undecided?.add(client.sourceText, this.#options.nowMs()) !== true) return;
    this.#ban(client, undecidedTooOften, bytes);
  }

  /** An upstream came or went. That it is there at the first attempt is no sign of trouble. */
  upstreamChanged(reachable: boolean): void {
    if (!reachable || this.#wasDown) this.#judge?.sick(this.#options.nowMs());
    this.#wasDown ||= !reachable;
  }

  tick(): void {
    this.#overhearing?.tick();
  }

  #heard({ client, isExpected, recording, answeredMs }: Overheard): void {
    this.#options.recorder?.record(recording);
    if (this.#judge === undefined || !isExpected) return;
    const { server } = recording;
    if (server === "accepted" && answeredMs !== undefined) this.#judge.welcomed(client.sourceText, answeredMs);
    if (server !== "refused" || !this.#judge.refused(client.sourceText, this.#options.nowMs())) return;
    this.#ban(client, refusedByServer, recording.bytes);
  }

  #ban(client: Client, protocol: string, bytes: Uint8Array): void {
    this.#options.ban(client, protocol, {
      firstBytes: bytes.slice(0, evidenceBytes),
      clientAddress: client.single().text,
      clientPort: client.port,
      gatePort: this.#options.gatePort,
    });
  }
}
