// SPDX-License-Identifier: Apache-2.0
// A snapshot that has something of everything, for what is made from all metrics at once.
import { LatencyHistogram } from "../../src/core/counters.ts";
import type { Snapshot } from "../../src/status/snapshot.ts";

const whole: Omit<Snapshot, "gates"> = {
  ...{
    version: "1.2.3",
    mode: "proxy",
    runtime: "bun 1",
    pid: 1,
    host: "gate1",
    since: "",
    uptimeSeconds: 2.5,
    dryRun: false,
  },
  ...{ listen: "[::]:5000", profile: "tapetrack", timeoutSeconds: 600 },
  ...{ balance: "failover", checkSeconds: 2, proxyProtocol: { send: "off", accept: [] } },
  upstreams: [
    {
      address: "127.0.0.1:5001",
      reachable: true,
      error: null,
      active: 1,
      total: 1,
      failed: 1,
      resolved: null,
      unresolved: null,
    },
  ],
  neverBan: [{ prefix: "127.0.0.0/8", why: "loopback" }],
  connections: {
    ...{
      accepted: 9,
      withoutHeader: 1,
      shortOfResources: 1,
      relayed: 1,
      refusedBanned: 1,
      refusedFull: 1,
      refusedRate: 1,
      refusedNoRoom: 1,
      madeRoom: 1,
      idleEnded: 1,
      foreign: 1,
      undecided: 1,
    },
    ...{ upstreamFailed: 1, spared: 1, silenced: 1, notSilenced: 1, cut: 1, active: 1, pending: 1, limit: 1000 },
  },
  openFilesShortages: 1,
  bans: { active: 1, total: 1, capacity: 1000, userSpaceOnly: 1, folds: 1, sparedFriends: 1, byProtocol: { http: 1 } },
  kernel: {
    ...{ fence: "xdp", attach: "native", reason: null, ports: [5000], map: "/sys/fs/bpf/map", managedBy: null },
    interfaces: [{ name: "eth0", attach: "native", reason: null }],
    ...{ droppedPackets: 1, droppedBytes: 60, entries: 1, capacity: 1000, full: 1, failed: 1 },
    maps: [{ name: "/sys/fs/bpf/map", entries: 1, capacity: 1000 }],
    proof: { passed: true, failure: null },
    judged: {
      ...{
        passed: 1,
        undecided: 1,
        banned: 1,
        spared: 1,
        wouldBan: 1,
        notBanned: 1,
        unproven: 1,
        noSocket: 1,
        older: 1,
      },
      ...{ held: 1, reset: 1, bounced: 1, fragment: 1, unread: 1, urgent: 1, mptcp: 1, eventsLost: 1 },
    },
    unseen: { connections: 1, observed: 1, unobserved: null, last: null },
  },
  fleet: {
    ...{ name: "web", gate: "a", url: "redis://192.0.2.9", state: "joined", troubles: [], waiting: 1, announced: 2 },
    answeredSecondsAgo: 0.5,
    peers: [
      {
        ...{ gate: "b", trusted: true, held: 3, taken: 4, lifted: 1 },
        refused: { rate: 1, most: 0, room: 0, wide: 0, malformed: 0, neverBan: 0 },
      },
    ],
  },
  crowdsec: {
    ...{ url: "http://127.0.0.1:8080", state: "following", troubles: [], everySeconds: 2, decisions: 9 },
    ...{
      taken: 8,
      lifted: 1,
      refused: { malformed: 0, wide: 1, remedy: 2, scope: 3, neverBan: 1, room: 0 },
      answeredSecondsAgo: 0.5,
    },
    push: { machine: "web-1", origin: "ttgate:web-1", pushed: 3, deleted: 1, waiting: 1 },
  },
  blocklists: [
    {
      ...{ name: "drop", source: "https://example.org/drop.txt", entries: 9, refused: 1, neverBanned: 1, noRoom: 1 },
      ...{ lifted: 1, readAt: "2026-11-29T00:00:00.000Z", ageSeconds: 60, error: null },
      ...{ changedAt: "2026-11-28T00:00:00.000Z", unchangedSeconds: 86_460 },
    },
  ],
  recording: { file: "/var/lib/ttgate/recording", connections: 1, dropped: 1, bytes: 1, limitBytes: 2, ended: null },
};

const { mode, listen, profile, timeoutSeconds, balance, checkSeconds, proxyProtocol, upstreams } = whole;
const { connections, kernel, recording } = whole;

const trial = {
  ...({ state: "observing", until: "2026-01-02T03:04:05.000Z", durationSeconds: 2, observedSeconds: 1 } as const),
  ...{ wouldTurnAway: 1, goodSources: 1, hurt: [{ source: "192.0.2.7", reason: "http" }], text: "observing" },
};

export const fullSnapshot: Snapshot = {
  ...whole,
  gates: [
    {
      ...{ name: "default", banScope: "all", mode, listen, profile, timeoutSeconds, balance, checkSeconds },
      ...{ proxyProtocol, upstreams, connections, recording, judged: kernel.judged, trial },
    },
  ],
};

export function someLatency(): LatencyHistogram {
  const latency = new LatencyHistogram();
  latency.observe(0.0002);
  return latency;
}
