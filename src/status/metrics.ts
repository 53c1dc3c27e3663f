// SPDX-License-Identifier: Apache-2.0
// The snapshot as Prometheus reads it (text format 0.0.4): base units, `_total` for counters.
import type { LatencyHistogram } from "../core/counters.ts";
import type { Snapshot } from "./snapshot.ts";

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

export function renderMetrics(snapshot: Snapshot, latency: LatencyHistogram, ready: boolean): string {
  const { connections, bans, kernel } = snapshot;
  const one = (value: number): readonly Sample[] => [[{}, value]];
  const of = (key: string, values: Readonly<Record<string, number>>): readonly Sample[] =>
    Object.entries(values).map(([label, value]) => [{ [key]: label }, value]);
  return [
    metric("gauge", "ttgate_info", "Version and mode.", [
      [{ version: snapshot.version, mode: snapshot.mode, profile: snapshot.profile }, 1],
    ]),
    metric("gauge", "ttgate_uptime_seconds", "Time since the start.", one(snapshot.uptimeSeconds)),
    metric("gauge", "ttgate_ready", "1 when /readyz says 200.", one(Number(ready))),
    metric("counter", "ttgate_connections_accepted_total", "Connections accepted.", one(connections.accepted)),
    metric(
      "counter",
      "ttgate_connections_total",
      "What became of the accepted connections.",
      of("outcome", {
        relayed: connections.relayed,
        refused_banned: connections.refusedBanned,
        refused_full: connections.refusedFull,
        foreign: connections.foreign,
        undecided: connections.undecided,
        upstream_failed: connections.upstreamFailed,
      }),
    ),
    metric("counter", "ttgate_connections_cut_total", "Live connections reset by a ban.", one(connections.cut)),
    metric(
      "counter",
      "ttgate_connections_silenced_total",
      "Connections of banned sources that ended without a packet.",
      one(connections.silenced),
    ),
    metric(
      "counter",
      "ttgate_connections_not_silenced_total",
      "Connections reset although --reject silent was asked for.",
      one(connections.notSilenced),
    ),
    metric("counter", "ttgate_spared_total", "Foreign connections of never-ban sources.", one(connections.spared)),
    metric("gauge", "ttgate_connections_active", "Connections open now.", one(connections.active)),
    metric("gauge", "ttgate_bans_active", "Sources in the time-out table.", one(bans.active)),
    metric("gauge", "ttgate_bans_user_space_only", "Bans the kernel could not take.", one(bans.userSpaceOnly)),
    metric("gauge", "ttgate_bans_folds", "Prefixes that stand for dense neighbours.", one(bans.folds)),
    metric("counter", "ttgate_bans_total", "Bans by protocol.", of("protocol", bans.byProtocol)),
    metric(
      "gauge",
      "ttgate_upstream_reachable",
      "1 when the last attempt to connect succeeded.",
      snapshot.upstreams.map(({ address, reachable }) => [{ upstream: address }, Number(reachable === true)]),
    ),
    metric(
      "gauge",
      "ttgate_upstream_connections",
      "Connections open to an upstream.",
      snapshot.upstreams.map(({ address, active }) => [{ upstream: address }, active]),
    ),
    metric(
      "gauge",
      "ttgate_kernel_attach",
      "How each interface is guarded.",
      kernel.interfaces.map(({ name, attach }) => [{ interface: name, attach }, 1]),
    ),
    metric("counter", "ttgate_kernel_dropped_packets_total", "Packets that XDP dropped.", one(kernel.droppedPackets)),
    metric("counter", "ttgate_kernel_dropped_bytes_total", "Bytes that XDP dropped.", one(kernel.droppedBytes)),
    metric("gauge", "ttgate_kernel_map_entries", "Entries in the ban map.", one(kernel.entries)),
    metric("gauge", "ttgate_kernel_map_capacity", "Room in the ban map.", one(kernel.capacity)),
    metric("counter", "ttgate_kernel_map_full_total", "Bans that found the map full.", one(kernel.full)),
    ...judged(kernel),
    metric("counter", "ttgate_kernel_errors_total", "Bans that the kernel refused.", one(kernel.failed)),
    ...recordingMetrics(snapshot.recording),
    histogram("ttgate_ban_latency_seconds", "From verdict to map entry.", latency),
  ].join("");
}

/** Only where the kernel judges. */
function judged({ judged }: Snapshot["kernel"]): readonly string[] {
  if (judged === null) return [];
  const samples = Object.entries(judged).map(([outcome, count]): Sample => [{ outcome: snakeCase(outcome) }, count]);
  const help = "Packets that the program judged by their first bytes.";
  return [metric("counter", "ttgate_kernel_judged_packets_total", help, samples)];
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Only with --record. */
function recordingMetrics(recording: Snapshot["recording"]): readonly string[] {
  if (recording === null) return [];
  const one = (value: number): readonly Sample[] => [[{}, value]];
  return [
    metric("counter", "ttgate_recorded_connections_total", "Connections recorded.", one(recording.connections)),
    metric("counter", "ttgate_unrecorded_connections_total", "Connections not recorded.", one(recording.dropped)),
    metric(
      "gauge",
      "ttgate_recording_ended",
      "1 when nothing more is recorded.",
      one(Number(recording.ended !== null)),
    ),
  ];
}

function metric(type: "gauge" | "counter", name: string, help: string, samples: readonly Sample[]): string {
  const lines = samples.map(([labels, value]) => `${name}${labelText(labels)} ${value}\n`);
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("")}`;
}

function histogram(name: string, help: string, latency: LatencyHistogram): string {
  const lines = latency.buckets().map(({ boundSeconds, count }) => `${name}_bucket{le="${boundSeconds}"} ${count}\n`);
  const total = `${name}_bucket{le="+Inf"} ${latency.count}\n${name}_sum ${latency.sumSeconds}\n${name}_count ${latency.count}\n`;
  return `# HELP ${name} ${help}\n# TYPE ${name} histogram\n${lines.join("")}${total}`;
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(
    ([key, value]) => `${key}="${value.replace(/[\\"\n]/g, (c) => (c === "\n" ? "\\n" : `\\${c}`))}"`,
  );
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}
