// SPDX-License-Identifier: Apache-2.0
// A configuration as it would be written into the file: texts, numbers and lists by option name.
import { formatEndpoint } from "../core/address.ts";
import { spellDuration } from "../core/duration.ts";
import { formatServer, formatStatus } from "./endpoints.ts";
import type { Config, OptionName } from "./options.ts";

/** What is not set is undefined. */
export function writtenConfig(config: Config): Readonly<Record<OptionName, unknown>> {
  const rate = config["max-rate"];
  return {
    ...config,
    listen: formatEndpoint({ address: config.listen.host, port: config.listen.port }),
    upstream: config.upstream.map(formatServer),
    ...(typeof config.check === "number" ? { check: spellDuration(config.check) } : {}),
    "accept-proxy": config["accept-proxy"].map(({ text }) => text),
    allow: config.allow.map(({ text }) => text),
    status: formatStatus(config.status),
    timeout: spellDuration(config.timeout),
    "timeout-for": config["timeout-for"].map(({ protocol, timeoutMs }) => `${protocol}=${spellDuration(timeoutMs)}`),
    "escalate-max": spellDuration(config["escalate-max"]),
    "escalate-memory": spellDuration(config["escalate-memory"]),
    ...(rate === undefined ? {} : { "max-rate": `${rate.connections}/${spellDuration(rate.periodMs)}` }),
    "first-packet": spellDuration(config["first-packet"]),
    "greeting-pause": spellDuration(config["greeting-pause"]),
    drain: spellDuration(config.drain),
  } as Record<OptionName, unknown>;
}
