// SPDX-License-Identifier: Apache-2.0
// The stand-in TapeTrack server and client as processes in a network namespace.
import { join } from "node:path";
import process from "node:process";
import { Child } from "./child.ts";
import type { ServerCounters } from "./tapetrack.ts";
import { waitFor } from "./wait.ts";

const script = join(import.meta.dirname, "tapetrack_main.ts");

export interface ClientReport {
  readonly packets: number;
  readonly connections: number;
  readonly failures: number;
  readonly lastFailure?: string;
  /** Since the last report. */
  readonly latenciesMs: readonly number[];
}

class StandIn<R> implements AsyncDisposable {
  readonly #child: Child;

  constructor(namespace: string, args: readonly string[]) {
    this.#child = new Child([process.execPath, script, ...args, "--report-ms", "100"], { namespace });
  }

  async ready(): Promise<this> {
    await this.#child.said(/"ready":true/);
    return this;
  }

  /** All reports so far, the ready line left out. */
  reports(): R[] {
    const lines = this.#child.stdout.split("\n").slice(1, -1);
    return lines.map((line) => JSON.parse(line) as R);
  }

  last(): R | undefined {
    return this.reports().at(-1);
  }

  /** Waits for a report that is as wanted. */
  until(what: string, wanted: (report: R) => boolean, timeoutMs?: number): Promise<R> {
    return waitFor(what, () => this.reports().findLast(wanted), timeoutMs);
  }

  /** Ends it. @returns the last report. */
  async stop(): Promise<R> {
    await this.#child.stop();
    const last = this.last();
    if (last === undefined) throw new Error(`A stand-in ended without a word: ${this.#child.stderr}`);
    return last;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#child[Symbol.asyncDispose]();
  }
}

export type StandInServer = StandIn<ServerCounters>;
export type StandInClient = StandIn<ClientReport>;

export function startServer(namespace: string, ...args: readonly string[]): Promise<StandInServer> {
  return new StandIn<ServerCounters>(namespace, ["server", ...args]).ready();
}

export function startClient(namespace: string, ...args: readonly string[]): Promise<StandInClient> {
  return new StandIn<ClientReport>(namespace, ["client", ...args]).ready();
}
