// SPDX-License-Identifier: Apache-2.0
// Whether the daemon keeps its promise at the moment, and why not: `GET /readyz`.
import type { FenceStatus } from "../core/bans/fence.ts";
import type { Gate } from "../gate/gate.ts";
import type { KernelJudge } from "../sources/kernel_judge.ts";
import type { ReadinessAnswer } from "../status/routes.ts";
import type { Ticker } from "./ticker.ts";
import type { UnseenConnections } from "./unseen.ts";

/** What was seen of an upstream this long ago still counts; then it is tried. */
const upstreamFreshMs = 5000;

export interface ReadinessParts {
  readonly gate: Gate;
  readonly kernelJudge: KernelJudge | undefined;
  readonly ticker: Ticker;
  readonly unseen: UnseenConnections;
  readonly nowMs: () => number;
}

export class Readiness {
  /** `starting` until the port is open. */
  phase: "starting" | "serving" | "stopping" = "starting";
  readonly #parts: ReadinessParts;

  constructor(parts: ReadinessParts) {
    this.#parts = parts;
  }

  /** @param fence as it was when last asked. */
  async ask(fence: FenceStatus | undefined): Promise<ReadinessAnswer> {
    const { gate, nowMs } = this.#parts;
    await gate.upstreams.probe(nowMs(), upstreamFreshMs);
    return this.#answer(fence);
  }

  /** For the service manager: how it goes, in one line. */
  summary(fence: FenceStatus | undefined, bans: number): string {
    const { reasons } = this.#answer(fence);
    const state = `${this.#parts.gate.sessions.size} connections, ${bans} bans`;
    return reasons.length === 0 ? state : `Not ready: ${reasons.join("; ")} (${state})`;
  }

  #answer(fence: FenceStatus | undefined): ReadinessAnswer {
    const { gate, kernelJudge, ticker, unseen, nowMs } = this.#parts;
    const blindness = kernelJudge?.blindness();
    const crowding = gate.room.fault(nowMs());
    const shortage = gate.upstreams.shortage.fault(nowMs());
    const unseenReason = unseen.reason(nowMs());
    const reasons = [
      ...this.#phaseReasons(),
      ...(fence?.faults ?? []),
      ...(blindness === undefined ? [] : [blindness]),
      ...(unseenReason === undefined ? [] : [unseenReason]),
      ...ticker.failing().map(({ name, reason }) => `Periodic work "${name}" fails: ${reason}`),
      ...(crowding === undefined ? [] : [crowding]),
      ...(shortage === undefined ? [] : [shortage]),
      ...this.#upstreamReasons(),
    ];
    return { ready: reasons.length === 0, reasons };
  }

  #phaseReasons(): readonly string[] {
    if (this.phase === "stopping") return ["Stopping"];
    const { isWaiting, config } = this.#parts.gate;
    if (isWaiting) return [`Not listening: no interface has the address ${config.listen.host} yet`];
    return this.phase === "starting" ? ["Not listening yet"] : [];
  }

  #upstreamReasons(): readonly string[] {
    const { upstreams, config } = this.#parts.gate;
    if (upstreams.ready) return [];
    const told = upstreams.status().map(({ address, error }) => `${address} (${error ?? "not tried yet"})`);
    const what = config.mode === "inline" ? "The server does not answer" : "No upstream is reachable";
    return [`${what}: ${told.join(", ")}`];
  }
}
