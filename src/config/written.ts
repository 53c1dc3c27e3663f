// SPDX-License-Identifier: Apache-2.0
// A configuration as it would be written into the file: texts, numbers and lists by option name.
import { formatEndpoint } from "../core/address.ts";
import { spellDuration } from "../core/duration.ts";
import { formatBlocklist } from "./blocklist.ts";
import { formatServer, formatStatus } from "./endpoints.ts";
import { defaultGateName } from "./gates.ts";
import type { Config, GateOptions } from "./options.ts";

/** Values by option name; what is not set is undefined. */
export type Written = Readonly<Record<string, unknown>>;

/** A gate that was given no name stands at the top. */
export function writtenConfig(config: Config): Written {
  const { gates, ...process } = config;
  const [first] = gates;
  const written = {
    ...process,
    timeout: spellDuration(process.timeout),
    allow: process.allow.map(({ text }) => text),
    ...(process.fleet === undefined ? {} : { fleet: process.fleet.text }),
    ...(process.crowdsec === undefined ? {} : { crowdsec: process.crowdsec.text }),
    "crowdsec-every": spellDuration(process["crowdsec-every"]),
    blocklist: process.blocklist.map(formatBlocklist),
    status: formatStatus(process.status),
    drain: spellDuration(process.drain),
    "escalate-max": spellDuration(process["escalate-max"]),
    "escalate-memory": spellDuration(process["escalate-memory"]),
  };
  if (gates.length !== 1 || first?.name !== defaultGateName) return { ...written, gate: gates.map(writtenGate) };
  const { name: _name, ...gate } = writtenGate(first);
  return { ...written, ...gate };
}

export function writtenGate(gate: GateOptions): Written & { readonly name: string } {
  const rate = gate["max-rate"];
  return {
    ...gate,
    listen: formatEndpoint({ address: gate.listen.host, port: gate.listen.port }),
    upstream: gate.upstream.map(formatServer),
    ...(typeof gate.check === "number" ? { check: spellDuration(gate.check) } : {}),
    "accept-proxy": gate["accept-proxy"].map(({ text }) => text),
    "timeout-for": gate["timeout-for"].map(({ protocol, timeoutMs }) => `${protocol}=${spellDuration(timeoutMs)}`),
    ...(gate.trial === undefined ? {} : { trial: spellDuration(gate.trial) }),
    ...(rate === undefined ? {} : { "max-rate": `${rate.connections}/${spellDuration(rate.periodMs)}` }),
    timeout: spellDuration(gate.timeout),
    "first-packet": spellDuration(gate["first-packet"]),
    ...(gate.idle === undefined ? {} : { idle: spellDuration(gate.idle) }),
    "greeting-pause": spellDuration(gate["greeting-pause"]),
  };
}
