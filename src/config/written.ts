// SPDX-License-Identifier: Apache-2.0
// A configuration as it would be written into the file: texts, numbers and lists by option name.
import { formatEndpoint } from "../core/address.ts";
import { spellDuration } from "../core/duration.ts";
import { defaultGateName } from "./gates.ts";
import { type Config, formatStatus, type GateOptions } from "./options.ts";

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
    status: formatStatus(process.status),
  };
  if (gates.length !== 1 || first?.name !== defaultGateName) return { ...written, gate: gates.map(writtenGate) };
  const { name: _name, ...gate } = writtenGate(first);
  return { ...written, ...gate };
}

export function writtenGate(gate: GateOptions): Written & { readonly name: string } {
  return {
    ...gate,
    listen: formatEndpoint({ address: gate.listen.host, port: gate.listen.port }),
    upstream: gate.upstream.map(({ host, port }) => formatEndpoint({ address: host, port })),
    timeout: spellDuration(gate.timeout),
    "first-packet": spellDuration(gate["first-packet"]),
    "greeting-pause": spellDuration(gate["greeting-pause"]),
  };
}
