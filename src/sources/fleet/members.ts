// SPDX-License-Identifier: Apache-2.0
// Who is in a fleet, asked of its engine: only when somebody wants to know, so that it costs nothing otherwise.
import { fleetNamePattern } from "../../core/fleet/record.ts";
import type { Engine } from "./engine.ts";
import { fieldsOf, hintsOf, msOf, texts, timeMs } from "./replies.ts";
import type { FleetKeys } from "./script.ts";
import type { FleetMemberView, FleetPeerView } from "./view.ts";

/** Those that were there last. */
const listed = 500;

/** The first change that a gate had not followed when it last gave a sign of life. */
function firstBehind(log: string, position: string): string[] {
  const from = /^\d{1,16}-\d{1,10}$/.test(position) ? position : "0-0";
  return ["XRANGE", log, `(${from}`, "+", "COUNT", "1"];
}

/** @throws Error when the engine does not answer. */
export async function members(
  engine: Engine,
  keys: FleetKeys,
  self: string,
  peerView: (gate: string) => FleetPeerView,
): Promise<FleetMemberView[]> {
  const [time, gates] = await Promise.all([
    engine.send(["TIME"]),
    engine.send(["ZRANGE", keys.gates, "0", String(listed - 1), "REV"]),
  ]);
  const engineMs = timeMs(time);
  const found: FleetMemberView[] = [];
  for (const gate of texts(gates).filter((name) => fleetNamePattern.test(name))) {
    const [about, records] = await Promise.all([
      engine.send(["HGETALL", keys.about(gate)]),
      engine.send(["HLEN", keys.records(gate)]),
    ]);
    const { seen, at, bans, version } = fieldsOf(about);
    const [missed] = at === undefined ? [] : hintsOf(await engine.send(firstBehind(keys.log, at)));
    found.push({
      ...peerView(gate),
      self: gate === self,
      seenSecondsAgo: seen === undefined ? null : Math.max(0, engineMs - Number(seen)) / 1000,
      behindSeconds:
        at === undefined ? null : missed === undefined ? 0 : Math.max(0, engineMs - msOf(missed.id)) / 1000,
      records: Number(records),
      bans: bans === undefined ? null : Number(bans),
      version: version?.slice(0, 64) ?? null,
    });
  }
  return found.sort((a, b) => a.gate.localeCompare(b.gate));
}
