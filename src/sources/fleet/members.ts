// SPDX-License-Identifier: Apache-2.0
// Who is in a fleet, asked of its engine: only when somebody wants to know, so that it costs nothing otherwise.
import { fleetNamePattern } from "../../core/fleet/record.ts";
import type { Engine } from "./engine.ts";
import { fieldsOf, hintsOf, msOf, texts, timeMs } from "./replies.ts";
import type { FleetKeys } from "./script.ts";
import type { FleetMemberView, FleetPeerView } from "./view.ts";

/** Those that were there last. */
const listed = 500;

/** @throws Error when the engine does not answer. */
export async function members(
  engine: Engine,
  keys: FleetKeys,
  self: string,
  peerView: (gate: string) => FleetPeerView,
): Promise<FleetMemberView[]> {
  const [time, last, gates] = await Promise.all([
    engine.send(["TIME"]),
    engine.send(["XREVRANGE", keys.log, "+", "-", "COUNT", "1"]),
    engine.send(["ZRANGE", keys.gates, "0", String(listed - 1), "REV"]),
  ]);
  const engineMs = timeMs(time);
  const lastId = hintsOf(last)[0]?.id ?? "0-0";
  const found: FleetMemberView[] = [];
  for (const gate of texts(gates).filter((name) => fleetNamePattern.test(name))) {
    const [about, records] = await Promise.all([
      engine.send(["HGETALL", keys.about(gate)]),
      engine.send(["HLEN", keys.records(gate)]),
    ]);
    const { seen, at, bans, version } = fieldsOf(about);
    found.push({
      ...peerView(gate),
      self: gate === self,
      seenSecondsAgo: seen === undefined ? null : Math.max(0, engineMs - Number(seen)) / 1000,
      behindSeconds: at === undefined ? null : Math.max(0, msOf(lastId) - msOf(at)) / 1000,
      records: Number(records),
      bans: bans === undefined ? null : Number(bans),
      version: version?.slice(0, 64) ?? null,
    });
  }
  return found.sort((a, b) => a.gate.localeCompare(b.gate));
}
