// SPDX-License-Identifier: Apache-2.0
// --idle: ends relayed connections on which nobody has sent anything for so long. The kernel knows since when, so
// the relay keeps no time; a few of the connections are looked at each time, however many there are.
import type { Work } from "../core/work.ts";
import type { LiveSession, Sessions } from "./sessions.ts";

/** About a millisecond of system calls. */
const atOnce = 1000;

export class IdleSweep {
  #rest: Iterator<LiveSession> | undefined;

  /** @param idleMs undefined: no connection is ended for being idle. */
  *step(sessions: Sessions, idleMs: number | undefined): Work<void> {
    if (idleMs === undefined) {
      this.#rest = undefined;
      return;
    }
    this.#rest ??= sessions.all();
    // Between two turns another step may come to its end.
    const rest = this.#rest;
    for (let looked = 0; looked < atOnce; looked++) {
      const { done, value } = rest.next();
      if (done === true) {
        if (this.#rest === rest) this.#rest = undefined;
        return;
      }
      value.endIfIdle(idleMs);
      yield;
    }
  }
}
