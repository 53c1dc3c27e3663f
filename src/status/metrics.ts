// SPDX-License-Identifier: Apache-2.0
// The snapshot as Prometheus reads it: base units, `_total` for counters. Names, types and labels are a contract.
import type { LatencyHistogram } from "../core/counters.ts";
import type { RecorderStatus } from "../recording/recorder.ts";
import type { BlocklistView } from "../sources/blocklist/view.ts";
import type { CrowdsecView } from "../sources/crowdsec/view.ts";
import type { GateSnapshot, UpstreamSnapshot } from "./gate_snapshot.ts";
import { type Family, familyText, histogramText, type Sample } from "./prometheus.ts";
import type { Snapshot } from "./snapshot.ts";

interface Metric extends Family {
  /** A number has no labels. Null where there is no such metric: it is left out then. */
  readonly read: (snapshot: Snapshot, ready: boolean) => number | readonly Sample[] | null;
}

const metrics: readonly Metric[] = [
  {
    type: "gauge",
    name: "ttgate_info",
    help: "Version and mode.",
    read: ({ version, gates }) =>
      gates.map(({ name, mode, profile }): Sample => [{ version, mode, profile, gate: name }, 1]),
  },
  {
    type: "gauge",
    name: "ttgate_uptime_seconds",
    help: "Time since the start.",
    read: (snapshot) => snapshot.uptimeSeconds,
  },
  {
    type: "gauge",
    name: "ttgate_ready",
    help: "1 when /readyz says 200.",
    read: (_snapshot, ready) => Number(ready),
  },
  {
    type: "counter",
    name: "ttgate_connections_accepted_total",
    help: "Connections accepted.",
    read: byGate(({ connections }) => connections.accepted),
  },
  {
    type: "counter",
    name: "ttgate_connections_total",
    help: "What became of the accepted connections.",
    read: ({ gates }) =>
      gates.flatMap(({ name, connections }) =>
        labelled(
          "outcome",
          {
            relayed: connections.relayed,
            refused_banned: connections.refusedBanned,
            refused_full: connections.refusedFull,
            refused_rate: connections.refusedRate,
            foreign: connections.foreign,
            undecided: connections.undecided,
            upstream_failed: connections.upstreamFailed,
            without_header: connections.withoutHeader,
          },
          { gate: name },
        ),
      ),
  },
  {
    type: "counter",
    name: "ttgate_connections_no_room_total",
    help: "Connections reset because all places of the gate were taken; among refused_full.",
    read: byGate(({ connections }) => connections.refusedNoRoom),
  },
  {
    type: "counter",
    name: "ttgate_connections_made_room_total",
    help: "Undecided connections closed early, so that another one had a place; among undecided.",
    read: byGate(({ connections }) => connections.madeRoom),
  },
  {
    type: "counter",
    name: "ttgate_connections_idle_ended_total",
    help: "Relayed connections reset because nobody had sent anything for so long (--idle).",
    read: byGate(({ connections }) => connections.idleEnded),
  },
  {
    type: "gauge",
    name: "ttgate_connections_pending",
    help: "Connections open now that are not judged yet.",
    read: byGate(({ connections }) => connections.pending),
  },
  {
    type: "gauge",
    name: "ttgate_connections_limit",
    help: "Connections that the gate holds at a time: --max-connections, or what the open files allow.",
    read: byGate(({ connections }) => connections.limit),
  },
  {
    type: "counter",
    name: "ttgate_connections_cut_total",
    help: "Live connections reset by a ban.",
    read: byGate(({ connections }) => connections.cut),
  },
  {
    type: "counter",
    name: "ttgate_connections_silenced_total",
    help: "Connections of banned sources that ended without a packet.",
    read: byGate(({ connections }) => connections.silenced),
  },
  {
    type: "counter",
    name: "ttgate_connections_not_silenced_total",
    help: "Connections reset although --reject silent was asked for.",
    read: byGate(({ connections }) => connections.notSilenced),
  },
  {
    type: "counter",
    name: "ttgate_spared_total",
    help: "Foreign connections of sources that are never banned, or were spared for their friendly ones.",
    read: byGate(({ connections }) => connections.spared),
  },
  {
    type: "counter",
    name: "ttgate_spared_friends_total",
    help: "Offences of sources that were spared for their friendly connections (--spare-friends).",
    read: ({ bans }) => bans.sparedFriends,
  },
  {
    type: "gauge",
    name: "ttgate_connections_active",
    help: "Connections open now.",
    read: byGate(({ connections }) => connections.active),
  },
  {
    type: "counter",
    name: "ttgate_open_files_shortages_total",
    help: "Times that no open files were left: the status endpoint lost its connections, or gates stopped accepting for a second.",
    read: (snapshot) => snapshot.openFilesShortages,
  },
  {
    type: "gauge",
    name: "ttgate_bans_active",
    help: "Sources that are banned.",
    read: ({ bans }) => bans.active,
  },
  {
    type: "gauge",
    name: "ttgate_bans_user_space_only",
    help: "Bans the kernel could not take.",
    read: ({ bans }) => bans.userSpaceOnly,
  },
  {
    type: "gauge",
    name: "ttgate_bans_folds",
    help: "Prefixes that stand for dense neighbours.",
    read: ({ bans }) => bans.folds,
  },
  {
    type: "counter",
    name: "ttgate_bans_total",
    help: "Bans by protocol.",
    read: ({ bans }) => labelled("protocol", bans.byProtocol),
  },
  {
    type: "gauge",
    name: "ttgate_blocklist_entries",
    help: "Entries of a list that hold.",
    read: byBlocklist(({ entries }) => entries),
  },
  {
    type: "gauge",
    name: "ttgate_blocklist_not_banned",
    help: "Lines and entries of a list that are not banned, and why.",
    read: ({ blocklists }) =>
      blocklists.length === 0
        ? null
        : blocklists.flatMap(({ name, refused, neverBanned, noRoom, lifted }) =>
            labelled("why", { refused, never_banned: neverBanned, no_room: noRoom, lifted }, { list: name }),
          ),
  },
  {
    type: "gauge",
    name: "ttgate_blocklist_failing",
    help: "1 when a list could not be taken the last time; what was taken before holds.",
    read: byBlocklist(({ error }) => Number(error !== null)),
  },
  {
    type: "gauge",
    name: "ttgate_blocklist_age_seconds",
    help: "Time since a list was read or found to be the same.",
    read: byBlocklist(({ ageSeconds }) => ageSeconds),
  },
  {
    type: "gauge",
    name: "ttgate_blocklist_unchanged_seconds",
    help: "Time since a list became another, as its server or file says or as it was seen here.",
    read: byBlocklist(({ unchangedSeconds }) => unchangedSeconds),
  },
  {
    type: "gauge",
    name: "ttgate_upstream_reachable",
    help: "1 when it is taken to be up: by its last attempts to connect, or the last one without --check.",
    read: byUpstream(({ reachable }) => Number(reachable === true)),
  },
  {
    type: "gauge",
    name: "ttgate_upstream_connections",
    help: "Connections open to an upstream.",
    read: byUpstream(({ active }) => active),
  },
  {
    type: "counter",
    name: "ttgate_upstream_connections_total",
    help: "Connections opened to an upstream for clients.",
    read: byUpstream(({ total }) => total),
  },
  {
    type: "counter",
    name: "ttgate_upstream_failures_total",
    help: "Attempts to connect that an upstream did not take, for clients and to see whether it is up.",
    read: byUpstream(({ failed }) => failed),
  },
  {
    type: "counter",
    name: "ttgate_connect_shortages_total",
    help: "Connects to an upstream that failed for want of files or ports on this host.",
    read: byGate(({ connections }) => connections.shortOfResources),
  },
  {
    type: "gauge",
    name: "ttgate_kernel_attach",
    help: "How each interface is guarded.",
    read: ({ kernel }) => kernel.interfaces.map(({ name, attach }) => [{ interface: name, attach }, 1]),
  },
  {
    type: "counter",
    name: "ttgate_kernel_dropped_packets_total",
    help: "Packets that XDP dropped.",
    read: ({ kernel }) => kernel.droppedPackets,
  },
  {
    type: "counter",
    name: "ttgate_kernel_dropped_bytes_total",
    help: "Bytes that XDP dropped.",
    read: ({ kernel }) => kernel.droppedBytes,
  },
  {
    type: "gauge",
    name: "ttgate_kernel_map_entries",
    help: "Entries in each map of bans: single sources, ranges.",
    read: ({ kernel }) => kernel.maps.map(({ name, entries }) => [{ map: name }, entries]),
  },
  {
    type: "gauge",
    name: "ttgate_kernel_map_capacity",
    help: "Room in each map of bans.",
    read: ({ kernel }) => kernel.maps.map(({ name, capacity }) => [{ map: name }, capacity]),
  },
  {
    type: "counter",
    name: "ttgate_kernel_map_full_total",
    help: "Bans that found the map full.",
    read: ({ kernel }) => kernel.full,
  },
  {
    type: "counter",
    name: "ttgate_kernel_judged_packets_total",
    help: "Packets that the program judged by their first bytes.",
    // Only where the kernel judges.
    read: ({ gates }) => {
      const judging = gates.flatMap(({ name, judged }) =>
        judged === null
          ? []
          : Object.entries(judged).map(
              ([outcome, count]): Sample => [{ gate: name, outcome: snakeCase(outcome) }, count],
            ),
      );
      return judging.length === 0 ? null : judging;
    },
  },
  {
    type: "counter",
    name: "ttgate_unseen_connections_total",
    help: "Connections that the kernel program should have judged or dropped, and did not see.",
    read: ({ kernel: { unseen } }) => (unseen === null || unseen.unobserved !== null ? null : unseen.connections),
  },
  {
    type: "counter",
    name: "ttgate_kernel_errors_total",
    help: "Bans that the kernel refused.",
    read: ({ kernel }) => kernel.failed,
  },
  {
    type: "counter",
    name: "ttgate_recorded_connections_total",
    help: "Connections recorded.",
    read: byRecording(({ connections }) => connections),
  },
  {
    type: "counter",
    name: "ttgate_unrecorded_connections_total",
    help: "Connections not recorded.",
    read: byRecording(({ dropped }) => dropped),
  },
  {
    type: "gauge",
    name: "ttgate_recording_ended",
    help: "1 when nothing more is recorded.",
    read: byRecording(({ ended }) => Number(ended !== null)),
  },
  {
    type: "gauge",
    name: "ttgate_fleet_joined",
    help: "1 when the table that the fleet shares is read and written.",
    read: ({ fleet }) => (fleet === null ? null : Number(fleet.state === "joined")),
  },
  {
    type: "gauge",
    name: "ttgate_fleet_waiting",
    help: "Sources whose ban or lift the fleet does not know yet.",
    read: ({ fleet }) => (fleet === null ? null : fleet.waiting),
  },
  {
    type: "counter",
    name: "ttgate_fleet_announced_total",
    help: "Bans and lifts announced to the fleet.",
    read: ({ fleet }) => (fleet === null ? null : fleet.announced),
  },
  {
    type: "gauge",
    name: "ttgate_fleet_bans",
    help: "Bans held on the word of another gate.",
    read: ({ fleet }) => (fleet === null ? null : fleet.peers.map(({ gate, held }) => [{ gate }, held])),
  },
  {
    type: "counter",
    name: "ttgate_fleet_taken_total",
    help: "Bans taken from another gate.",
    read: ({ fleet }) => (fleet === null ? null : fleet.peers.map(({ gate, taken }) => [{ gate }, taken])),
  },
  {
    type: "counter",
    name: "ttgate_fleet_refused_total",
    help: "What another gate announced and was not taken, by the limit that it met.",
    read: ({ fleet }) =>
      fleet === null
        ? null
        : fleet.peers.flatMap(({ gate, refused }) =>
            Object.entries(refused).map(([why, count]): Sample => [{ gate, why: snakeCase(why) }, count]),
          ),
  },
  {
    type: "gauge",
    name: "ttgate_crowdsec_following",
    help: "1 when CrowdSec answers and its decisions are carried out.",
    read: byCrowdsec(({ state }) => Number(state === "following")),
  },
  {
    type: "gauge",
    name: "ttgate_crowdsec_decisions",
    help: "Sources that CrowdSec has banned.",
    read: byCrowdsec(({ decisions }) => decisions),
  },
  {
    type: "counter",
    name: "ttgate_crowdsec_taken_total",
    help: "Bans taken from CrowdSec.",
    read: byCrowdsec(({ taken }) => taken),
  },
  {
    type: "counter",
    name: "ttgate_crowdsec_lifted_total",
    help: "Bans ended because CrowdSec had no decision for them any more.",
    read: byCrowdsec(({ lifted }) => lifted),
  },
  {
    type: "gauge",
    name: "ttgate_crowdsec_refused",
    help: "Decisions of CrowdSec that are not carried out, by why.",
    read: ({ crowdsec }) =>
      crowdsec === null
        ? null
        : Object.entries(crowdsec.refused).map(([why, count]): Sample => [{ why: snakeCase(why) }, count]),
  },
  {
    type: "counter",
    name: "ttgate_crowdsec_pushed_total",
    help: "Own bans that CrowdSec was told of.",
    read: byCrowdsec(({ push }) => push?.pushed ?? null),
  },
  {
    type: "gauge",
    name: "ttgate_crowdsec_waiting",
    help: "Own bans and lifts that CrowdSec does not know yet.",
    read: byCrowdsec(({ push }) => push?.waiting ?? null),
  },
];

export function renderMetrics(snapshot: Snapshot, latency: LatencyHistogram, ready: boolean): string {
  const families = metrics.map((metric) => {
    const value = metric.read(snapshot, ready);
    if (value === null) return "";
    return familyText(metric, typeof value === "number" ? [[{}, value]] : value);
  });
  return families.join("") + histogramText("ttgate_ban_latency_seconds", "From verdict to map entry.", latency);
}

function byGate(read: (gate: GateSnapshot) => number): Metric["read"] {
  return ({ gates }) => gates.map((gate): Sample => [{ gate: gate.name }, read(gate)]);
}

function byUpstream(read: (upstream: UpstreamSnapshot) => number): Metric["read"] {
  return ({ gates }) =>
    gates.flatMap(({ name, upstreams }) =>
      upstreams.map((upstream): Sample => [{ gate: name, upstream: upstream.address }, read(upstream)]),
    );
}

/** Only where CrowdSec is asked. */
function byCrowdsec(read: (crowdsec: CrowdsecView) => number | null): Metric["read"] {
  return ({ crowdsec }) => crowdsec && read(crowdsec);
}

/** Only where there are lists. */
function byBlocklist(read: (list: BlocklistView) => number | null): Metric["read"] {
  return ({ blocklists }) => {
    const samples = blocklists.flatMap((list): Sample[] => {
      const value = read(list);
      return value === null ? [] : [[{ list: list.name }, value]];
    });
    return samples.length === 0 ? null : samples;
  };
}

/** Only where something is recorded. */
function byRecording(read: (recording: RecorderStatus) => number): Metric["read"] {
  return ({ gates }) => {
    const samples = gates.flatMap(({ name, recording }): Sample[] =>
      recording === null ? [] : [[{ gate: name }, read(recording)]],
    );
    return samples.length === 0 ? null : samples;
  };
}

function labelled(
  label: string,
  values: Readonly<Record<string, number>>,
  others: Readonly<Record<string, string>> = {},
): readonly Sample[] {
  return Object.entries(values).map(([value, count]) => [{ ...others, [label]: value }, count]);
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
