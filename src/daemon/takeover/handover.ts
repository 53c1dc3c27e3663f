// SPDX-License-Identifier: Apache-2.0
// The daemon's parts as whoever hands over sees them: what stops when, and what goes on when the other one fails.
import process from "node:process";
import { formatStatus } from "../../config/endpoints.ts";
import type { Config } from "../../config/options.ts";
import type { Enforcement } from "../../core/bans/enforcement.ts";
import { messageOf } from "../../failure.ts";
import type { Ladder } from "../../fences/ladder.ts";
import { openLibc } from "../../kernel/libc.ts";
import type { Log } from "../../log.ts";
import type { Runtime } from "../../runtime/types.ts";
import type { Crowdsec } from "../../sources/crowdsec/crowdsec.ts";
import type { MapWatch } from "../../sources/map_watch.ts";
import type { DaemonBans } from "../bans.ts";
import type { DaemonGate } from "../daemon_gate.ts";
import type { DaemonFleet } from "../fleet.ts";
import type { DaemonGates } from "../gates.ts";
import { takeoverPath } from "../instance.ts";
import type { ServiceManager } from "../service_manager.ts";
import { sinceBoot } from "../state/journal.ts";
import type { OpenedState } from "../state/state.ts";
import type { StatusServer } from "../status_server.ts";
import type { Ticker } from "../ticker.ts";
import { type HandedGate, Predecessor } from "./predecessor.ts";

export interface HandoverParts {
  readonly runtime: Runtime;
  readonly version: string;
  readonly config: () => Config;
  readonly gates: DaemonGates;
  readonly fence: Ladder | undefined;
  readonly watch: MapWatch | undefined;
  readonly enforcement: Enforcement;
  readonly bans: DaemonBans;
  readonly state: OpenedState | undefined;
  readonly member: DaemonFleet | undefined;
  readonly server: StatusServer;
  readonly crowdsec: Crowdsec | undefined;
  readonly manager: ServiceManager;
  readonly ticker: Ticker;
  readonly nowMs: () => number;
  readonly inTurn: <T>(work: () => Promise<T>) => Promise<T>;
  readonly log: Log;
}

/** A new process waits this long to be noticed; the old one serves meanwhile. */
const lookMs = 500;
/** Somebody may remove its socket. */
const renewMs = 1000;

export interface Handover extends Disposable {
  /** Another process serves in this one's place. */
  readonly isDone: boolean;
  readonly replaced: Promise<string>;
  /** From now on a process may take over: this one serves. */
  begin(): void;
}

/** While this process may still write to the run directory. Without one nobody can take over, which is said. */
export async function openHandover(parts: HandoverParts): Promise<Handover> {
  const { runtime, config, gates, fence, enforcement, state, member, crowdsec, server } = parts;
  const { manager, ticker, nowMs, log } = parts;
  const path = takeoverPath(process.pid);
  const libc = openLibc(runtime.native);
  let isDone = false;
  let told: Promise<void> | undefined;
  const hindrance = runtime.adoptsListeners ? undefined : `it runs under ${runtime.name}, which hands over no listener`;
  const { status } = config();
  try {
    const predecessor = await Predecessor.open({
      ...{ native: runtime.native, libc, path, version: parts.version, config, hindrance, fence },
      ...{ enforcement, moment: () => sinceBoot(nowMs()), log },
      serviceManager: manager.address,
      table: { bans: enforcement.bans, offenders: parts.bans.offenders },
      relays: () => gates.relays.map(handed),
      gates: () => gates.all.map(handed),
      inTurn: parts.inTurn,
      status: () => ({ address: formatStatus(status), fd: server.descriptor }),
      owning: {
        async suspend() {
          ticker.isOwner = false;
          parts.watch?.pause();
          await Promise.all([member?.suspend(), crowdsec?.pause()]);
        },
        resume() {
          member?.resume();
          crowdsec?.resume();
          parts.watch?.resume();
          ticker.isOwner = true;
        },
      },
      serving: {
        async suspend() {
          gates.fetchDecisions();
          await member?.saved();
          await state?.close();
          for (const { trial } of gates.open) trial?.suspend();
        },
        resume() {
          for (const { trial } of gates.open) trial?.resume();
          state?.reopen();
        },
      },
      handedOver(pid) {
        isDone = true;
        ticker.stop();
        fence?.handOver();
        member?.handOver();
        void server.close();
        void crowdsec?.close();
        told = manager.succeededBy(pid);
      },
      drained: (now) => parts.bans.log.flush(now),
    });
    return {
      begin() {
        predecessor.begin();
        ticker.add({ name: "take-over", everyMs: lookMs, run: () => predecessor.look() });
        ticker.add({ name: "socket of take-overs", everyMs: renewMs, run: () => predecessor.renew() });
      },
      get isDone() {
        return isDone;
      },
      // A main process that ends before the service manager knows of the next one ends the service.
      replaced: predecessor.replaced.then(async (why) => {
        await told;
        return why;
      }),
      [Symbol.dispose]: () => predecessor[Symbol.dispose](),
    };
  } catch (error) {
    log("warn", `Nobody can take over from this gate: ${messageOf(error)}`);
    return { isDone, replaced: new Promise(() => {}), begin() {}, [Symbol.dispose]() {} };
  }
}

function handed({ gate }: DaemonGate): HandedGate {
  return {
    get listen() {
      return gate.config.listen;
    },
    get descriptor() {
      return gate.listenSocket.descriptor;
    },
    pause: (again: (fd: number) => number) => gate.listenSocket.pause(again),
    leave: (close: (fd: number) => void) => gate.listenSocket.leave(close),
    resume: () => gate.listenSocket.resume(),
    tick: (nowMs: number) => {
      gate.tick(nowMs);
      return gate.settle();
    },
    sessions: gate.sessions,
  };
}
