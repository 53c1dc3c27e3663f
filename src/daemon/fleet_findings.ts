// SPDX-License-Identifier: Apache-2.0
// What `ttgate doctor` says of the engine of a fleet: is it there, who is this gate to it, can it lose bans.
import { isOnThisHost } from "../config/fleet_address.ts";
import type { Config } from "../config/options.ts";
import { messageOf } from "../failure.ts";
import type { Engine as EngineType } from "../sources/fleet/engine.ts";
import type { Finding } from "./finding.ts";
import { fleetGate, secretsOf } from "./fleet.ts";

const name = "fleet";

/** Empty without a fleet. Changes nothing there. */
export async function fleetFindings(config: Config): Promise<Finding[]> {
  const { fleet: address } = config;
  if (address === undefined) return [];
  const { Engine } = await import("../sources/fleet/engine.ts");
  const { FleetKeys, readCommand } = await import("../sources/fleet/script.ts");
  const keys = new FleetKeys(config["fleet-name"]);
  let engine: EngineType;
  let gate: string;
  try {
    gate = fleetGate(config);
    engine = await Engine.open({ address, ...secretsOf(config), key0: keys.log });
  } catch (error) {
    const remedy = "start it, or correct --fleet; without it every gate goes on by itself";
    return [{ name, state: "bad", found: `${address.text}: ${messageOf(error)}`, remedy }];
  }
  try {
    const ask = async (...command: readonly string[]) => {
      try {
        return String(await engine.send([...command]));
      } catch (error) {
        return messageOf(error);
      }
    };
    const found = `${address.text} answers; this gate is "${gate}" of fleet "${config["fleet-name"]}"`;
    const readable = await ask(...readCommand(keys, ["HLEN", keys.records(gate)]));
    return [
      /^\d+$/.test(readable)
        ? { name, state: "good", found, remedy: null }
        : { name, state: "bad", found: `${address.text}: ${readable}`, remedy: "allow it: docs/fleet.md has the ACL" },
      ...(address.tls || isOnThisHost(address) ? [] : [noTls]),
      ...userFinding(await ask("ACL", "WHOAMI")),
      ...policyFinding(await ask("INFO", "memory")),
    ];
  } finally {
    engine.close();
  }
}

const noTls: Finding = {
  name,
  state: "warning",
  found: "without TLS over the network: who is in between reads and writes bans",
  remedy: "write rediss://, and name its certificates with --fleet-ca",
};

function userFinding(user: string): Finding[] {
  if (user !== "default") return [];
  const found = 'the user is "default": a gate that is broken into writes what it likes in the name of all others';
  return [{ name, state: "warning", found, remedy: "give each gate a user of its own: docs/fleet.md has the ACL" }];
}

function policyFinding(memory: string): Finding[] {
  const policy = /^maxmemory_policy:(\S+)/m.exec(memory)?.[1];
  const limit = /^maxmemory:(\d+)/m.exec(memory)?.[1];
  if (policy?.startsWith("allkeys-") !== true || limit === "0") return [];
  const found = `maxmemory-policy ${policy}: when it is full the engine throws out all bans of a gate at once`;
  return [{ name, state: "bad", found, remedy: "redis-cli config set maxmemory-policy noeviction" }];
}
