// SPDX-License-Identifier: Apache-2.0
// The gate at another desk: it relays everybody, bans nobody, and hands out what each client sent first
// together with what the server made of it.
import type { Sniffer } from "../core/sniff.ts";
import { Gate, type GateConfig } from "../gate/gate.ts";
import { type Exchange, Taps } from "../gate/tap.ts";
import { bootClock } from "../kernel/clock.ts";
import type { Log } from "../log.ts";
import type { Runtime } from "../runtime/types.ts";
import { openDesk } from "../sources/desk.ts";

export interface LearningOptions {
  readonly config: GateConfig;
  readonly runtime: Runtime;
  readonly log: Log;
  /** Once for each connection that was relayed. */
  seen(exchange: Exchange): void;
}

export interface Learning {
  /** Stops accepting and ends what is open. What was not seen yet says nothing. */
  close(): void;
}

/** Whoever says nothing for this long is connected all the same: perhaps the server speaks first. */
const silenceMs = 500;
const tickMs = 250;

/** Everybody is welcome, from the first byte on. */
const everybody: Sniffer = { profile: "everybody", protocols: [], prefixBytes: 0, sniff: () => ({ kind: "accept" }) };

/** @throws Failure when the port cannot be had. */
export async function openLearning({ config, runtime, log, seen }: LearningOptions): Promise<Learning> {
  const nowMs = bootClock();
  const taps = new Taps(nowMs, seen);
  const gate = new Gate({
    config: { ...config, "first-packet": silenceMs },
    ...{ name: "learning", sniffer: everybody, runtime, log, nowMs, desk: openDesk },
    observer: { relays: (client) => taps.open(client, true, Date.now()), turnedAway() {} },
  });
  await gate.listenSocket.listen();
  const timer = setInterval(() => {
    gate.tick(nowMs());
    void gate.settle();
    taps.tick();
  }, tickMs);
  void gate.upstreams.probe(nowMs(), 0);
  return {
    close() {
      clearInterval(timer);
      gate.close();
      gate.sessions.cutAll();
    },
  };
}
