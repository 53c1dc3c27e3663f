// SPDX-License-Identifier: Apache-2.0
// What a configuration says that is legal and unwise, a sentence each with what to do.
import { contains, formatEndpoint, isLoopback, type Prefix, requirePrefix } from "../core/address.ts";
import { spellDuration } from "../core/duration.ts";
import { comesTo } from "../core/rings.ts";
import { gatePrefix } from "./gates.ts";
import type { Config, GateOptions } from "./options.ts";
import { reaches } from "./servers.ts";

/** Below it a scanner is back before it has ended its list; above it whoever has the address next pays for it. */
const shortestBanMs = 30_000;
const longestBanMs = 30 * 86_400_000;
/** A client that has said nothing for so long holds a connection for nothing. */
const longestFirstPacketMs = 60_000;
/** What the map that -B makes has room for. */
const mapEntries = 1_048_576;
/** A prefix that is wider than these lets a continent in. */
const widestAllowedIpv4Bits = 96 + 8;
const widestAllowedIpv6Bits = 16;
/** RFC 4193: a site's own, as 10.0.0.0/8 is. */
const uniqueLocal = requirePrefix("fc00::/7");

export function adviceOn(config: Config): string[] {
  return [...adviceOnProcess(config), ...config.gates.flatMap(adviceOnGate), ...adviceOnRings(config)];
}

/** As far as addresses tell it; what a rule of the packet filter turns back is only seen when it happens. */
function adviceOnRings({ gates }: Config): string[] {
  const leadsTo = (name: string) => {
    const upstreams = gates.find((gate) => gate.name === name)?.upstream ?? [];
    const isReached = ({ listen }: GateOptions) => upstreams.some((to) => "host" in to && reaches(listen, to));
    return gates.filter((gate) => gate.mode === "proxy" && isReached(gate)).map((gate) => gate.name);
  };
  return gates
    .filter(({ name }) => leadsTo(name).some((next) => comesTo(leadsTo, next, name)))
    .map(({ name }) => `${gatePrefix(name)}upstream leads back to this gate by others: name the server's own address`);
}

function adviceWithoutMap(config: Config): string[] {
  const idle = {
    fence: config.fence !== "auto",
    keep: config.keep,
    scope: config.scope !== "port",
    interface: config.interface.length > 0,
  };
  return Object.entries(idle)
    .filter(([, isGiven]) => isGiven)
    .map(([option]) => option)
    .map((option) => `${option} has no effect without block-map: leave it out, or name a map`);
}

function adviceOnProcess(config: Config): string[] {
  const { status, allow, gates } = config;
  const hasMap = config["block-map"] !== undefined;
  const advice: string[] = [];
  if (status.kind === "tcp" && !isLoopback(status.host) && status.host !== "localhost") {
    const address = formatEndpoint({ address: status.host, port: status.port });
    advice.push(`status "${address}" is reachable from other hosts, unencrypted: use loopback or unix:PATH`);
  }
  for (const { text } of allow.filter(isWide)) {
    advice.push(`allow "${text}" never bans anybody in it: name the networks that are meant`);
  }
  if (config["never-ban"] === "none") {
    advice.push('never-ban "none" lets a ban hit this host, its gateway and its upstreams: use "auto"');
  }
  if (config["dry-run"]) advice.push("dry-run bans nobody: leave it out when the trial is over");
  if (!hasMap) advice.push(...adviceWithoutMap(config));
  if (config.keep && hasMap && config.state === undefined) {
    advice.push("keep without state: a reboot forgets the bans, name a directory with state");
  }
  if (config.forget && config.state !== undefined)
    advice.push("forget removes what state keeps: leave one of them out");
  if (hasMap && config["max-bans"] > mapEntries) {
    advice.push(`max-bans ${config["max-bans"]} is more than the map's ${mapEntries}: user space alone holds the rest`);
  }
  if (config.scope === "host" && hasMap && gates.length > 0) {
    advice.push('scope "host" drops every packet of a banned source, SSH included: use "port" unless that is meant');
  }
  return advice;
}

function isWide(prefix: Prefix): boolean {
  const widestBits = prefix.ipv4 ? widestAllowedIpv4Bits : widestAllowedIpv6Bits;
  return prefix.bits < widestBits && !contains(uniqueLocal, prefix);
}

function adviceOnGate(gate: GateOptions): string[] {
  const { timeout, mode } = gate;
  const firstPacket = gate["first-packet"];
  const advice: string[] = [];
  if (timeout < shortestBanMs) {
    advice.push(`timeout "${spellDuration(timeout)}" lets scanners in again at once: use 10m or more`);
  }
  if (timeout > longestBanMs) {
    advice.push(`timeout "${spellDuration(timeout)}" outlasts most leases of an address: use 30d or less`);
  }
  if (mode === "proxy" && firstPacket > longestFirstPacketMs) {
    advice.push(`first-packet "${spellDuration(firstPacket)}" lets silent clients hold connections: use 10s`);
  }
  for (const { text } of gate["accept-proxy"].filter(isWide)) {
    advice.push(`accept-proxy "${text}" believes anybody in it, and never bans them: name the proxies' own addresses`);
  }
  if (gate.judge === "none" && gate.strikes !== 5) advice.push('strikes has no effect without judge "upstream"');
  return advice.map((sentence) => gatePrefix(gate.name) + sentence);
}
