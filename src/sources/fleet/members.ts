// SPDX-License-Identifier: Apache-2.0
// Who is in a fleet, asked of its engine: only when somebody wants to know, so that it costs nothing otherwise.
import { fleetNamePattern } from "../../core/fleet/record.ts";
import type { Engine } from "./engine.ts";
import { hintsOf, msOf, texts, timeMs } from "./replies.ts";
import { type FleetKeys, readCommand, StrangeKey, strangeKeyOr } from "./script.ts";
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
  const read = async (command: string[]) => {
    try {
      return await engine.send(readCommand(keys, command));
    } catch (error) {
      const strange = strangeKeyOr(error, command);
      // It says nothing of itself.
      if (strange instanceof StrangeKey) return null;
      throw error;
    }
  };
  const [time, gates] = await Promise.all([
    engine.send(["TIME"]),
    read(["ZRANGE", keys.gates, "0", String(listed - 1), "REV"]),
  ]);
  const engineMs = timeMs(time);
  const found: FleetMemberView[] = [];
  for (const gate of texts(gates).filter((name) => fleetNamePattern.test(name))) {
    const [about, records] = await Promise.all([
      read(["HMGET", keys.about(gate), "seen", "at", "bans", "version"]),
      read(["HLEN", keys.records(gate)]),
    ]);
    const [seen, at, bans, version] = texts(about).map((text) => (text === "" ? undefined : text));
    const [missed] = at === undefined ? [] : hintsOf(await read(firstBehind(keys.log, at)));
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
