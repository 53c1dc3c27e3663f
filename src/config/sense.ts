// SPDX-License-Identifier: Apache-2.0
// Options of a gate that contradict each other, or mean nothing where they stand.
import { conducts } from "../core/bans/strikes.ts";
import { spellDuration } from "../core/duration.ts";
import type { Config, GateOption, GateOptions, OptionName } from "./options.ts";
import { loadSniffer } from "./profile.ts";

/** Which option is wrong, and what follows its name in the message. */
export type Contradiction = readonly [option: GateOption, message: string];

/** Why a proxy in front is not for the kernel's judge. */
const packetsOnly = "the kernel judges packets, and those of a proxy do not show the client inside";

/** What only a relay can do. */
export const proxyOnly = [
  "upstream",
  "balance",
  "check",
  "rise",
  "fall",
  "send-proxy",
  "first-packet",
  "idle",
  "greeting-pause",
  "max-connections",
  "max-per-source",
  "max-rate",
  "excess-strikes",
  "spare-friends",
  "prefilter",
  "judge",
  "strikes",
  "record",
  "record-max",
] as const;

/** Of clients that begin with a PROXY protocol header: true where the option would make sense, and is not there. */
export function lacksProxies(gate: Pick<GateOptions, "mode" | "prefilter" | "accept-proxy">): boolean {
  return gate.mode === "proxy" && !gate.prefilter && gate["accept-proxy"].length === 0;
}

/** @param own what was said of this gate alone. */
export function contradictionIn(
  gate: GateOptions,
  own: Partial<Record<OptionName, unknown>>,
  process: Pick<Config, "block-map" | "fence" | "dry-run">,
): Contradiction | undefined {
  const hasMap = process["block-map"] !== undefined;
  if (hasMap && process.fence === "nftables" && (gate.mode === "inline" || gate.prefilter)) {
    const needs = " with --fence nftables: only the XDP program judges in the kernel, use --fence auto or xdp";
    return gate.mode === "inline" ? ["mode", ` "inline"${needs}`] : ["prefilter", needs];
  }
  const inMode = gate.mode === "inline" ? inInline(gate, own, hasMap) : inProxy(gate, own, hasMap);
  return inMode ?? inTrial(gate, process["dry-run"]);
}

function inTrial({ trial, prefilter }: GateOptions, isDryRun: boolean): Contradiction | undefined {
  if (trial === undefined) return undefined;
  if (isDryRun) return ["trial", " with --dry-run: a dry run never enforces, leave one of them out"];
  if (!prefilter) return undefined;
  return ["trial", " with --prefilter: what the kernel drops cannot be watched, add --prefilter after the trial"];
}

function inInline(
  gate: GateOptions,
  own: Partial<Record<OptionName, unknown>>,
  hasMap: boolean,
): Contradiction | undefined {
  if (!hasMap) return ["mode", ` "inline": it needs the kernel's block map, name one with --block-map`];
  if (gate["accept-proxy"].length > 0) {
    return ["accept-proxy", ` with --mode "inline": ${packetsOnly}, use --mode proxy`];
  }
  const senseless = proxyOnly.find((name) => own[name] !== undefined && own[name] !== false);
  if (senseless !== undefined) {
    return [senseless, ` with --mode "inline": nothing is relayed, leave it out or use --mode proxy`];
  }
  return isLocal(gate, `--mode "inline"`) ?? unknownProtocol(gate);
}

function inProxy(
  gate: GateOptions,
  own: Partial<Record<OptionName, unknown>>,
  hasMap: boolean,
): Contradiction | undefined {
  if (gate.reject === "silent" && !hasMap) {
    return ["reject", ` "silent": only a kernel that blocks the source keeps silent, name its map with --block-map`];
  }
  if (own.fragments === "pass") {
    return ["fragments", ` "pass" with --mode "proxy": they always pass to a relay, leave it out`];
  }
  if (gate["excess-strikes"] > 0 && gate["max-per-source"] === 0 && gate["max-rate"] === undefined) {
    return ["excess-strikes", ": there is no limit to run into, set one with --max-rate or --max-per-source"];
  }
  // The default is too short to matter, and means nothing where clients speak first.
  if (own["greeting-pause"] !== undefined && gate["greeting-pause"] >= gate["first-packet"]) {
    const [pause, limit] = [spellDuration(gate["greeting-pause"]), spellDuration(gate["first-packet"])];
    return ["greeting-pause", ` "${pause}": no client would wait for it, make it shorter than --first-packet ${limit}`];
  }
  return (gate.prefilter ? behindPrefilter(gate, hasMap) : undefined) ?? unknownProtocol(gate);
}

function behindPrefilter(gate: GateOptions, hasMap: boolean): Contradiction | undefined {
  if (gate["accept-proxy"].length > 0) {
    return ["prefilter", ` with --accept-proxy: ${packetsOnly}, leave --prefilter out`];
  }
  if (gate["spare-friends"] > 0) {
    return ["spare-friends", " with --prefilter: the kernel bans at once, leave one of them out"];
  }
  if (!hasMap) return ["prefilter", ": it needs the kernel's block map, name one with --block-map"];
  return isLocal(gate, "--prefilter");
}

/** What says nothing without --fleet, or without TLS; what has a default says nothing then anyway. */
const fleetOnly = ["fleet-gate", "fleet-password"] as const;
const fleetTlsOnly = ["fleet-ca", "fleet-cert", "fleet-key"] as const;

/** Options of the fleet that mean nothing where they stand: which one, and what follows its name. */
export function fleetContradiction(
  { fleet, ...config }: Pick<Config, "fleet" | "fleet-cert" | "fleet-key">,
  given: Partial<Record<OptionName, unknown>>,
): readonly [option: OptionName, message: string] | undefined {
  const tls = fleetTlsOnly.find((name) => given[name] !== undefined);
  const idle = tls ?? fleetOnly.find((name) => given[name] !== undefined);
  if (fleet === undefined) {
    return idle === undefined ? undefined : [idle, ": there is no fleet, name its server with --fleet"];
  }
  if (!fleet.tls && tls !== undefined) return [tls, `: --fleet "${fleet.text}" is without TLS, write rediss://`];
  if (config["fleet-cert"] !== undefined && config["fleet-key"] === undefined) {
    return ["fleet-cert", ": it needs its key, name it with --fleet-key"];
  }
  if (config["fleet-cert"] === undefined && config["fleet-key"] !== undefined) {
    return ["fleet-key", ": it needs its certificate, name it with --fleet-cert"];
  }
  return undefined;
}

/** What says nothing without --crowdsec. */
const crowdsecOnly = ["crowdsec-key", "crowdsec-push", "crowdsec-ca"] as const;

/** The same of options of CrowdSec. */
export function crowdsecContradiction(
  { crowdsec }: Pick<Config, "crowdsec">,
  given: Partial<Record<OptionName, unknown>>,
): readonly [option: OptionName, message: string] | undefined {
  const idle = crowdsecOnly.find((name) => given[name] !== undefined);
  if (crowdsec === undefined) {
    return idle === undefined ? undefined : [idle, ": CrowdSec is not asked, name its local API with --crowdsec"];
  }
  if (crowdsec.tls || given["crowdsec-ca"] === undefined) return undefined;
  return ["crowdsec-ca", `: --crowdsec "${crowdsec.text}" is without TLS, write https://`];
}

function isLocal(gate: GateOptions, how: string): Contradiction | undefined {
  if (gate["ban-scope"] === "all") return undefined;
  return ["ban-scope", ` "gate" with ${how}: the kernel's ban holds for all gates, use "all"`];
}

/** A protocol that nobody can be banned for, and what there is. */
function unknownProtocol({ profile, "timeout-for": timeouts }: GateOptions): Contradiction | undefined {
  if (timeouts.length === 0) return undefined;
  const known = [...loadSniffer(profile).protocols, ...conducts.keys()];
  const unknown = timeouts.find(({ protocol }) => !known.includes(protocol));
  if (unknown === undefined) return undefined;
  const given = `${unknown.protocol}=${spellDuration(unknown.timeoutMs)}`;
  return ["timeout-for", ` "${given}": there is no protocol "${unknown.protocol}", use one of ${known.join(", ")}`];
}
