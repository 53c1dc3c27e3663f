// SPDX-License-Identifier: Apache-2.0
// Connections in proxy mode that user space refuses although the fence says that it blocks their source: that
// they got so far proves that the kernel program did not see them, or did not drop them.
import { isLoopback } from "../core/address.ts";
import { atOneGate } from "../core/bans/claim.ts";
import type { Enforcement } from "../core/bans/enforcement.ts";
import type { FencePlace } from "../core/bans/fence.ts";
import type { Client } from "../core/client.ts";
import { whyUnseen } from "./second_observer.ts";
import type { UnseenConnections } from "./unseen.ts";
import type { Ways } from "./ways.ts";

/** What was under way when the ban came into the kernel does not count. */
const settledMs = 2000;
/** Of more than these in a second only the number is told. */
const toldInSecond = 20;

export interface RefusedParts {
  readonly enforcement: Enforcement;
  readonly ways: Ways;
  readonly unseen: UnseenConnections;
  readonly places: () => readonly FencePlace[];
  /** As in `GateSurroundings`. */
  readonly cameBy: (interfaceName: string) => boolean;
  readonly port: () => number;
  readonly nowMs: () => number;
}

export class RefusedThoughFenced {
  readonly #parts: RefusedParts;
  #secondMs = Number.NEGATIVE_INFINITY;
  #told = 0;

  constructor(parts: RefusedParts) {
    this.#parts = parts;
  }

  /** A connection of a banned source was accepted, and is refused. */
  refused(client: Client): void {
    const { enforcement, ways, unseen, places, cameBy, port, nowMs } = this.#parts;
    const now = nowMs();
    const ban = enforcement.bans.find(client, now);
    // While the map is full, entries come and go.
    if (
      ban?.standsIn === undefined ||
      ban.standsIn === atOneGate ||
      enforcement.userSpaceOnly > 0 ||
      now - ban.sinceMs < settledMs
    )
      return;
    const source = client.single();
    if (isLoopback(source.text)) return;
    if (now - this.#secondMs >= 1000) {
      this.#secondMs = now;
      this.#told = 0;
    }
    if (++this.#told > toldInSecond) {
      unseen.addUntold(1);
      return;
    }
    const interfaceName = ways.interfaceOf(source);
    const isElsewhere = interfaceName !== undefined && places().every(({ name }) => name !== interfaceName);
    const why =
      isElsewhere && cameBy(interfaceName)
        ? "this interface carries no listen address: it is guarded from now on"
        : whyUnseen(places(), interfaceName, now);
    unseen.add(
      { missed: "dropped", source: source.text, sourcePort: client.port, port: port(), interfaceName, why },
      now,
    );
  }
}
