// SPDX-License-Identifier: Apache-2.0
// The real parts of a daemon behind the status endpoint, without a kernel, around a clock of the test's own.
import type { Config } from "../../src/config/options.ts";
import { requirePrefix } from "../../src/core/address.ts";
import { Events } from "../../src/core/bans/events.ts";
import { DaemonBans } from "../../src/daemon/bans.ts";
import { Readiness } from "../../src/daemon/readiness.ts";
import { DaemonStatus } from "../../src/daemon/status_source.ts";
import { Ticker } from "../../src/daemon/ticker.ts";
import { UnseenConnections } from "../../src/daemon/unseen.ts";
import { Gate } from "../../src/gate/gate.ts";
import { runtime } from "../../src/runtime/bun.ts";
import type { HttpHandler } from "../../src/runtime/types.ts";
import { EventStreams } from "../../src/status/event_stream.ts";
import { lasting, noFriends } from "../harness/terms.ts";

/** Asks as a client of this host would. */
export async function askAt(handler: HttpHandler, path: string, init: RequestInit = {}): Promise<Response> {
  return handler(new Request(`http://localhost${path}`, init), undefined);
}

export function partsOf(config: Config, maxBans = 1000) {
  const clock = { nowMs: 1_000_000 };
  const nowMs = () => clock.nowMs;
  const log = () => {};
  const events = new Events(1024, 0);
  const mayAcceptProxy = (gate: string | undefined) => gate !== "inline";
  const refusalOf = () => ({ by: "user space", why: null }) as const;
  const bans = new DaemonBans({
    ...{ maxBans, ipv6Bits: 64, dryRun: false, fence: undefined, refusalOf, mayAcceptProxy, events, log, nowMs },
    terms: () => lasting(config.timeout),
    ...noFriends,
    neverBan: [{ prefix: requirePrefix("198.51.100.0/24"), why: "--allow" }],
  });
  const sniffer = { profile: "test", protocols: [], prefixBytes: 0, sniff: () => ({ kind: "accept" }) as const };
  const [options] = config.gates;
  if (options === undefined) throw new Error("There is no gate");
  const desk = bans.deskOf({
    ...{ gate: options.name, isLocal: () => false, spareFriends: () => 0 },
    terms: () => lasting(options.timeout),
  });
  const whole = { ...config, ...options, "max-connections": 77 };
  const gate = new Gate({ name: options.name, config: whole, sniffer, runtime, desk, log, nowMs });
  const ticker = new Ticker(log, nowMs);
  const unseen = new UnseenConnections(events, log);
  const gates = () => [
    {
      ...{ name: options.name, config: options, gate, kernelJudge: undefined, recorder: undefined },
      observer: { absence: undefined, followed: 0, notes: [] },
    },
  ];
  const lists = { views: () => [], notes: () => [] };
  const openFiles = { shortages: 0, fault: () => undefined };
  const readiness = new Readiness({
    gates,
    ticker,
    unseen,
    openFiles,
    tasks: { note: undefined },
    diversions: { reasons: [], notes: [] },
    leftBehind: { notes: [] },
    lists,
    fleet: () => undefined,
    crowdsec: () => undefined,
    unsaved: () => undefined,
    growth: () => undefined,
    nowMs,
  });
  readiness.phase = "serving";
  const status = new DaemonStatus({
    ...{ gates, bans, readiness, nowMs, fence: undefined },
    judgedCounts: () => undefined,
    talkers: undefined,
    config: () => config,
    version: "1.2.3",
    runtime: "bun test",
    ...{ refusalOf, mayAcceptProxy, unseen, openFiles, lists, fleet: () => undefined, crowdsec: () => undefined },
    events: new EventStreams(events, nowMs),
    reload: async () => ({ applied: [], waiting: [] }),
    loggedIn: async () => {},
    saved: async () => {},
  });
  const { enforcement, counters, latency, operator } = bans;
  const ban = (text: string, forMs?: number) => operator.ban(text, { forMs, force: false, by: "operator" });
  return { status, clock, events, counters, latency, enforcement, desk, gate, readiness, ban };
}
