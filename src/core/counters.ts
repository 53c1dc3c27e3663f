// SPDX-License-Identifier: Apache-2.0
// What was counted since the start. Written by one place each, read by the status snapshot. A dry run
// counts what would have become of a connection, and as relayed what was.

/** Of one gate. */
export interface ConnectionCounters {
  accepted: number;
  relayed: number;
  refusedBanned: number;
  /** Turned away because the gate or the source had its limit of connections. */
  refusedFull: number;
  /** Turned away because the source opened connections too fast. */
  refusedRate: number;
  /** Of those that were refused for want of room, because all places of the gate were taken. */
  refusedNoRoom: number;
  /** Of the undecided, closed so that another one had a place. */
  madeRoom: number;
  /** Relayed, and reset since nobody had sent anything for so long (--idle). */
  idleEnded: number;
  foreign: number;
  undecided: number;
  upstreamFailed: number;
  /** Closed, since a proxy that is to send a PROXY protocol header sent something else. */
  withoutHeader: number;
  /** Foreign, but the source is never banned, or spared for its friendly connections. */
  spared: number;
  /** Connections of banned sources ended without a packet, and those that were reset for want of it. */
  silenced: number;
  notSilenced: number;
  /** Live connections reset because their source was banned. */
  cut: number;
}

/** Of the table of bans. */
export interface BanCounters {
  bansTotal: number;
  readonly bansByProtocol: Map<string, number>;
  /** Bans the full kernel map could not take; user space enforces them. */
  kernelFull: number;
  kernelFailed: number;
  /** Offences of sources that were spared for their friendly connections. */
  sparedFriends: number;
}

export function newConnectionCounters(): ConnectionCounters {
  return {
    accepted: 0,
    relayed: 0,
    refusedBanned: 0,
    refusedFull: 0,
    refusedRate: 0,
    refusedNoRoom: 0,
    madeRoom: 0,
    idleEnded: 0,
    foreign: 0,
    undecided: 0,
    upstreamFailed: 0,
    withoutHeader: 0,
    spared: 0,
    silenced: 0,
    notSilenced: 0,
    cut: 0,
  };
}

export function newBanCounters(): BanCounters {
  return { bansTotal: 0, bansByProtocol: new Map(), kernelFull: 0, kernelFailed: 0, sparedFriends: 0 };
}

/** Upper bounds in seconds: the target is 1 ms, so that is where the resolution is. */
const latencyBounds = [0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.1, 1];

/** Cumulative histogram in the form that Prometheus reads. */
export class LatencyHistogram {
  readonly #counts = latencyBounds.map(() => 0);
  sumSeconds = 0;
  count = 0;

  observe(seconds: number): void {
    this.sumSeconds += seconds;
    this.count++;
    const index = latencyBounds.findIndex((bound) => seconds <= bound);
    if (index >= 0) this.#counts[index] = (this.#counts[index] ?? 0) + 1;
  }

  /** Observations at or below each bound. */
  buckets(): readonly { readonly boundSeconds: number; readonly count: number }[] {
    let running = 0;
    return latencyBounds.map((boundSeconds, index) => {
      running += this.#counts[index] ?? 0;
      return { boundSeconds, count: running };
    });
  }
}
