// SPDX-License-Identifier: Apache-2.0
// A gate that only looks on: it relays everybody, bans nobody, and hands out what each client sent first
// together with what the server made of it.

import type { Config } from "../config/options.ts";
import { formatEndpoint } from "../core/address.ts";
import { newCounters } from "../core/counters.ts";
import type { Sniffer } from "../core/sniff.ts";
import { acceptor } from "../gate/acceptor.ts";
import { cannotListen } from "../gate/listen_error.ts";
import { Sessions } from "../gate/sessions.ts";
import { type Overheard, Overhearing } from "../gate/tap.ts";
import { Upstreams } from "../gate/upstreams.ts";
import { connectionLimit, descriptorLimit } from "../host/limits.ts";
import { bootClock } from "../kernel/clock.ts";
import type { Log } from "../log.ts";
import type { Runtime } from "../runtime/types.ts";

export interface LearningOptions {
  readonly config: Config;
  readonly runtime: Runtime;
  readonly log: Log;
  /** Once for each connection that was relayed. */
  heard(overheard: Overheard): void;
}

export interface Learning {
  /** Stops accepting and ends what is open. What was not heard of yet says nothing. */
  close(): void;
}

/** Whoever says nothing for this long is connected all the same: perhaps the server speaks first. */
const silenceMs = 500;
const tickMs = 250;

/** Everybody is welcome, from the first byte on. */
const everybody: Sniffer = { profile: "everybody", protocols: [], prefixBytes: 0, sniff: () => ({ kind: "accept" }) };

/** @throws Failure when the port can not be had. */
export async function openLearning({ config, runtime, log, heard }: LearningOptions): Promise<Learning> {
  const nowMs = bootClock();
  const sessions = new Sessions(config["ipv6-prefix"]);
  const upstreams = new Upstreams(config.upstream, runtime.connect, ({ address, reachable, error }) => {
    if (reachable === true) log("info", `Upstream ${address} is reachable`);
    else log("warn", `Upstream ${address} is not reachable: ${error}; clients are reset until it is`);
  });
  const overhearing = new Overhearing(nowMs, heard);
  const accept = acceptor({
    ...{ sniffer: everybody, counters: newCounters(), sessions, upstreams, nowMs },
    dryRun: false,
    firstPacketMs: silenceMs,
    ipv6Bits: config["ipv6-prefix"],
    maxConnections: config["max-connections"] ?? connectionLimit(runtime.name, descriptorLimit()),
    maxConnectionsPerSource: config["max-per-source"],
    refuses: () => false,
    ban: () => {},
    reject: (socket) => socket.reset(),
    observer: { relays: (client) => overhearing.listen(client, true, Date.now()), turnedAway: () => {} },
  });
  const { host, port } = config.listen;
  const listener = await runtime.listen({ host, port, accept }).catch((error: unknown) => {
    throw cannotListen("--listen", formatEndpoint({ address: host, port }), error);
  });
  const timer = setInterval(() => {
    sessions.expire(nowMs());
    overhearing.tick();
  }, tickMs);
  void upstreams.probe(nowMs(), 0);
  return {
    close() {
      clearInterval(timer);
      listener.close();
      sessions.cutAll();
    },
  };
}
