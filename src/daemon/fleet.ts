// SPDX-License-Identifier: Apache-2.0
// From the configuration to this gate's place in a fleet, or to the reason why it has none. The code is loaded
// only where there is one.
import { hostname } from "node:os";
import type { Config } from "../config/options.ts";
import type { Fence } from "../core/bans/fence.ts";
import { fleetNamePattern } from "../core/fleet/record.ts";
import { Failure, messageOf } from "../failure.ts";
import { readSmallText } from "../host/small_file.ts";
import type { Log } from "../log.ts";
import type { EngineSecrets } from "../sources/fleet/engine.ts";
import type { Fleet } from "../sources/fleet/fleet.ts";
import { inTurns } from "../sources/turns.ts";
import type { DaemonBans } from "./bans.ts";
import { Reread } from "./reread.ts";
import type { EndingsFile } from "./state/endings_file.ts";
import type { Moment } from "./state/journal.ts";
import type { Ticker } from "./ticker.ts";

export interface DaemonFleetOptions {
  readonly config: () => Config;
  readonly bans: DaemonBans;
  readonly fence: Fence | undefined;
  /** Beside the state of the bans; undefined: lifts are forgotten when ttgate stops. */
  readonly endingsPath: string | undefined;
  readonly version: string;
  readonly moment: () => Moment;
  readonly log: Log;
}

export interface DaemonFleet {
  readonly fleet: Fleet;
  /** With --user that user goes on writing them. */
  readonly paths: readonly string[];
  start(ticker: Ticker): void;
  /** Another process is about to be this gate of the fleet. */
  suspend(): Promise<void>;
  /** It did not come to that. */
  resume(): void;
  /** From now on the file of the lifts is the other one's. */
  handOver(): void;
  /** What was lifted until now is in the file, as far as the disk can. */
  saved(): Promise<void>;
  /** Whom to trust is another now. */
  reconfigure(): Promise<void>;
  close(): Promise<void>;
}

/** Of the room for bans, what bans of other gates may fill. */
const shareOfOthers = 0.9;

/** @throws Failure when a file of its options cannot be read. */
export async function openFleet(options: DaemonFleetOptions): Promise<DaemonFleet | undefined> {
  const { config, bans, fence, version, moment, log } = options;
  const { fleet: address, "fleet-name": name, "dry-run": dryRun } = config();
  if (address === undefined) return undefined;
  if (dryRun) {
    log("info", "Dry run: takes no part in the fleet");
    return undefined;
  }
  const { Fleet } = await import("../sources/fleet/fleet.ts");
  const { FleetTable } = await import("../core/fleet/fleet_table.ts");
  const { enforcement } = bans;
  const gate = fleetGate(config());
  const capacity = Math.min(enforcement.bans.capacity, fence?.status().maps[0]?.capacity ?? Number.POSITIVE_INFINITY);
  const limits = {
    trusts: (peer: string) => config()["fleet-trust"].length === 0 || config()["fleet-trust"].includes(peer),
    named: () => config()["fleet-trust"],
    rate: () => config()["fleet-rate"],
    most: () => config()["fleet-most"],
    room: () => Math.floor(capacity * shareOfOthers) - enforcement.bans.size,
  };
  const secrets = new Reread(() => secretsOf(config()));
  const table = new FleetTable({ enforcement, gate, ...limits });
  enforcement.follow(table);
  const fleet = new Fleet({
    ...{ address, secrets: () => secrets.now(), name, gate, version, table, log, ...limits },
    bans: () => enforcement.bans.size,
    nowMs: () => moment().nowMs,
  });
  let isHandedOver = false;
  const endings = await endingsFile(options.endingsPath, table.own, options);
  log("info", `Fleet "${name}": this gate is "${gate}", by ${address.text}`);
  return {
    fleet,
    paths: endings === undefined ? [] : [endings.path],
    start(ticker) {
      // Not while another process takes over: what is still being written would replace what that one writes.
      if (endings !== undefined)
        ticker.add({ name: "saving lifts", everyMs: 1000, asOwner: true, run: () => endings.save() });
      fleet.start();
    },
    async reconfigure() {
      fleet.reconfigure();
      await inTurns(table.distrust(() => moment().nowMs));
    },
    async suspend() {
      await fleet.close();
      await endings?.saved();
    },
    resume: () => fleet.start(),
    handOver() {
      isHandedOver = true;
    },
    async saved() {
      await endings?.saved();
    },
    async close() {
      await fleet.close();
      if (!isHandedOver) await endings?.saved();
    },
  };
}

async function endingsFile(
  path: string | undefined,
  own: ConstructorParameters<typeof EndingsFile>[1],
  { moment, log }: Pick<DaemonFleetOptions, "moment" | "log">,
): Promise<EndingsFile | undefined> {
  if (path === undefined) return undefined;
  const { EndingsFile } = await import("./state/endings_file.ts");
  const file = new EndingsFile(path, own, moment, log);
  file.restore();
  return file;
}

/** @throws Failure when the host's name is none for a gate. */
export function fleetGate(config: Pick<Config, "fleet-gate">): string {
  const name = config["fleet-gate"] ?? hostname();
  if (fleetNamePattern.test(name)) return name;
  throw new Failure(`Invalid name of this host "${name}" for a gate of a fleet: name it with --fleet-gate`, {
    exitCode: 2,
  });
}

/** @throws Failure when a file cannot be read. */
export function secretsOf(config: Config): EngineSecrets {
  const read = (option: "fleet-password" | "fleet-ca" | "fleet-cert" | "fleet-key") => {
    const path = config[option];
    if (path === undefined) return undefined;
    try {
      return readSmallText(path);
    } catch (cause) {
      throw new Failure(`Cannot read --${option} "${path}": ${messageOf(cause)}`, { exitCode: 2, cause });
    }
  };
  return {
    password: read("fleet-password")?.replace(/\r?\n$/, ""),
    ca: read("fleet-ca"),
    cert: read("fleet-cert"),
    key: read("fleet-key"),
  };
}
