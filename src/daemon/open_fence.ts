// SPDX-License-Identifier: Apache-2.0
// From the configuration to the kernel block, or to the reason why there is none.
import type { Config } from "../config/options.ts";
import { manual } from "../core/bans/reason.ts";
import type { Inherited } from "../fences/xdp/inherited.ts";
import type { InlineGate } from "../fences/xdp/inline/inline_judge.ts";
import type { XdpFence } from "../fences/xdp/xdp_fence.ts";
import { interfacesOf } from "../host/addresses.ts";
import type { Log } from "../log.ts";
import type { Runtime } from "../runtime/types.ts";

export interface FenceContext {
  readonly runtime: Runtime;
  readonly version: string;
  /** What the kernel judges, and by what; undefined where it judges nothing. */
  readonly judged: readonly InlineGate[] | undefined;
  /** Protocol names that entries from before may stand for. */
  readonly protocols: readonly string[];
  readonly nowMs: () => number;
  /** Called with the name of each step when it is done. */
  readonly onStep: (name: string) => void;
  /** From the gate that hands over. */
  readonly inherited?: Inherited | undefined;
  readonly log: Log;
}

/** @returns undefined when no block map was asked for. Kernel code is loaded only when it was. */
export async function openFence(config: Config, context: FenceContext): Promise<XdpFence | undefined> {
  const map = config["block-map"];
  if (map === undefined || !wantsFence(config)) return undefined;
  const { judged, runtime, version, protocols, nowMs, onStep, inherited, log } = context;
  const { openXdpFence } = await import("../fences/xdp/open.ts");
  return openXdpFence({
    native: runtime.native,
    map,
    interfaces: guardedInterfaces(config),
    ports: guardedPorts(config),
    scope: config.scope,
    ipv6PrefixBits: config["ipv6-prefix"],
    inline: judged === undefined ? undefined : { gates: judged },
    reasons: [manual, ...protocols],
    version,
    nowMs,
    onStep,
    inherited,
    log,
  });
}

/** Each once: gates at several addresses may have the same. */
export function guardedPorts({ gates }: Pick<Config, "gates">): readonly number[] {
  return [...new Set(gates.map(({ listen }) => listen.port))];
}

/** A relay's dry run leaves the kernel alone; in inline mode nobody else would judge. */
function wantsFence(config: Pick<Config, "block-map" | "dry-run" | "gates">): boolean {
  const isRelay = config.gates.every(({ mode }) => mode === "proxy");
  return config["block-map"] !== undefined && !(config["dry-run"] && isRelay);
}

/** Where packets to the guarded ports come in, as the host is now. */
export function guardedInterfaces(config: Pick<Config, "interface" | "gates">): readonly string[] {
  if (config.interface.length > 0) return config.interface;
  return [...new Set(config.gates.flatMap(({ listen }) => interfacesOf(listen.host)))];
}

/**
 * When everything is attached: the user of --user, and no capability that the work goes on without.
 * @param paths pins and files that the user is to own.
 */
export async function giveUpPrivileges(
  config: Pick<Config, "user" | "block-map" | "dry-run" | "gates">,
  paths: readonly string[],
  { runtime, log }: Pick<FenceContext, "runtime" | "log">,
): Promise<void> {
  const { user } = config;
  if (!wantsFence(config) && user === undefined) return;
  const { dropPrivileges } = await import("../kernel/privileges.ts");
  const given = await dropPrivileges({ native: runtime.native, paths, ...(user === undefined ? {} : { user }) });
  const capabilities = given.capabilities.join(", ") || "none";
  log("info", `Runs as user ${user ?? given.userId} with the capabilities ${capabilities}`, { capabilities });
}
