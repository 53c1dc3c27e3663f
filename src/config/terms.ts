// SPDX-License-Identifier: Apache-2.0
// How long bans last, as the configuration has it.
import type { Terms } from "../core/bans/terms.ts";
import type { Config } from "./options.ts";

export function termsOf(
  config: Pick<Config, "timeout" | "timeout-for" | "escalate" | "escalate-max" | "escalate-memory">,
): Terms {
  return {
    timeoutMs: config.timeout,
    timeoutFor: new Map(config["timeout-for"].map(({ protocol, timeoutMs }) => [protocol, timeoutMs])),
    factor: config.escalate,
    ceilingMs: config["escalate-max"],
    memoryMs: config["escalate-memory"],
  };
}
