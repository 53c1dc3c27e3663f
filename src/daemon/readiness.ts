// SPDX-License-Identifier: Apache-2.0
// Whether the daemon keeps its promise at the moment, and why not: `GET /readyz`.

import { gatePrefix } from "../config/gates.ts";
import type { FenceStatus } from "../core/bans/fence.ts";
import type { Blocklists } from "../sources/blocklist/blocklists.ts";
import type { Crowdsec } from "../sources/crowdsec/crowdsec.ts";
import type { Fleet } from "../sources/fleet/fleet.ts";
import type { ReadinessAnswer } from "../status/routes.ts";
import type { DaemonGate } from "./daemon_gate.ts";
import type { Diversions } from "./diversions.ts";
import type { LeftBehind } from "./left_behind.ts";
import type { OpenFiles } from "./open_files.ts";
import type { SecondObserver } from "./second_observer.ts";
import type { Tasks } from "./tasks.ts";
import type { Ticker } from "./ticker.ts";
import type { UnseenConnections } from "./unseen.ts";

/** What was seen of an upstream this long ago still counts; then it is tried. */
const upstreamFreshMs = 5000;

export interface ReadinessParts {
  readonly gates: () => readonly (Pick<DaemonGate, "name" | "gate" | "kernelJudge"> & {
    readonly observer: Pick<SecondObserver, "notes">;
  })[];
  readonly ticker: Ticker;
  readonly unseen: UnseenConnections;
  readonly openFiles: Pick<OpenFiles, "fault">;
  readonly tasks: Pick<Tasks, "note">;
  readonly diversions: Pick<Diversions, "reasons" | "notes">;
  readonly leftBehind: Pick<LeftBehind, "notes">;
  readonly lists: Pick<Blocklists, "notes">;
  /** What is wrong with it is told; every ban holds without it, so that the gate is ready all the same. */
  readonly fleet: () => Fleet | undefined;
  /** Likewise. */
  readonly crowdsec: () => Crowdsec | undefined;
  /** Why bans cannot be saved; they hold until a restart all the same. */
  readonly unsaved: () => string | undefined;
  /** Why the file that they are saved in can only grow. */
  readonly growth: () => string | undefined;
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
    const { gates, nowMs } = this.#parts;
    await Promise.all(gates().map(({ gate }) => gate.upstreams.probe(nowMs(), upstreamFreshMs)));
    return this.#answer(fence);
  }

  /** For the service manager: how it goes, in one line. */
  summary(fence: FenceStatus | undefined, bans: number): string {
    const { reasons } = this.#answer(fence);
    const connections = this.#parts.gates().reduce((sum, { gate }) => sum + gate.sessions.size, 0);
    const state = `${connections} connections, ${bans} bans`;
    return reasons.length === 0 ? state : `Not ready: ${reasons.join("; ")} (${state})`;
  }

  #answer(fence: FenceStatus | undefined): ReadinessAnswer {
    const { gates, ticker, unseen, openFiles, lists, nowMs } = this.#parts;
    const ownReasons = [unseen.reason(nowMs()), openFiles.fault(nowMs())].filter((reason) => reason !== undefined);
    const reasons = [
      ...this.#phaseReasons(),
      ...(fence?.faults ?? []),
      ...ownReasons,
      ...this.#parts.diversions.reasons,
      ...ticker.failing().map(({ name, reason }) => `Periodic work "${name}" fails: ${reason}`),
      ...gates().flatMap((gate) => reasonsOf(gate, nowMs()).map((reason) => gatePrefix(gate.name) + reason)),
    ];
    const [unsaved, growth] = [this.#parts.unsaved(), this.#parts.growth()];
    const notes = [
      ...this.#parts.diversions.notes,
      ...gates().flatMap(({ name, kernelJudge, observer }) =>
        [...observer.notes, kernelJudge?.doubt() ?? []].flat().map((note) => gatePrefix(name) + note),
      ),
      ...this.#parts.leftBehind.notes,
      ...(this.#parts.tasks.note === undefined ? [] : [this.#parts.tasks.note]),
      ...lists.notes(),
      ...(this.#parts.fleet()?.troubles ?? []),
      ...(this.#parts.crowdsec()?.troubles ?? []),
      ...(unsaved === undefined ? [] : [`Bans cannot be saved, and would be forgotten by a restart: ${unsaved}`]),
      ...(growth === undefined ? [] : [`The file of the bans grows, since it cannot be written anew: ${growth}`]),
    ];
    return { ready: reasons.length === 0, reasons, ...(notes.length === 0 ? {} : { notes }) };
  }

  #phaseReasons(): readonly string[] {
    if (this.phase === "stopping") return ["Stopping"];
    const isWaiting = this.#parts.gates().some(({ gate }) => gate.listenSocket.isWaiting);
    return this.phase === "starting" && !isWaiting ? ["Not listening yet"] : [];
  }
}

function reasonsOf({ gate, kernelJudge }: Pick<DaemonGate, "gate" | "kernelJudge">, nowMs: number): string[] {
  const { listenSocket, config, upstreams, room } = gate;
  const waiting = listenSocket.isWaiting
    ? `Not listening: no interface has the address ${config.listen.host}`
    : undefined;
  const told = upstreams.status().map(({ address, error }) => `${address} (${error ?? "not tried yet"})`);
  const what = config.mode === "inline" ? "The server does not answer" : "No upstream is reachable";
  const unreachable = upstreams.ready ? undefined : `${what}: ${told.join(", ")}`;
  const all = [waiting, kernelJudge?.blindness(), room.fault(nowMs), upstreams.shortage.fault(nowMs), unreachable];
  return all.filter((reason) => reason !== undefined);
}
