// SPDX-License-Identifier: Apache-2.0
// From the configuration to the kernel block, or to the reason why there is none.
import { bounces } from "../config/load.ts";
import type { Config } from "../config/options.ts";
import type { SignatureTable } from "../core/signature/table.ts";
import { Failure } from "../failure.ts";
import type { KernelFence } from "../fences/xdp/xdp_fence.ts";
import { interfacesOf } from "../host/addresses.ts";
import { KernelError } from "../kernel/errno.ts";
import { FenceError } from "../kernel/fence_error.ts";
import type { Log } from "../log.ts";
import type { Runtime } from "../runtime/types.ts";

export interface FenceContext {
  readonly runtime: Runtime;
  readonly version: string;
  /** By what the kernel judges, where it does. */
  readonly table: SignatureTable | undefined;
  /** Protocol names that entries from before may stand for. */
  readonly protocols: readonly string[];
  readonly log: Log;
}

/** The protocol of a ban that a person asked for. */
export const manual = "manual";

/** @returns undefined when no block map was asked for. Kernel code is loaded only when it was. */
export async function openFence(config: Config, context: FenceContext): Promise<KernelFence | undefined> {
  const map = config["block-map"];
  if (map === undefined || (config["dry-run"] && config.mode === "proxy")) return undefined;
  const { table } = context;
  const { openXdpFence } = await import("../fences/xdp/open.ts");
  try {
    return await openXdpFence({
      native: context.runtime.native,
      map,
      interfaces: config.interface.length > 0 ? config.interface : interfacesOf(config.listen.host),
      ports: [config.listen.port],
      scope: config.scope,
      ipv6PrefixBits: config["ipv6-prefix"],
      version: context.version,
      inline:
        table === undefined
          ? undefined
          : { table, banMs: config.timeout, dryRun: config["dry-run"], bounce: bounces(config) },
      reasons: [manual, ...context.protocols],
      log: context.log,
    });
  } catch (error) {
    throw failureOf(error);
  }
}

/** When everything is attached: the user of --user, and no capability that the work goes on without. */
export async function giveUpPrivileges(
  config: Config,
  fence: KernelFence | undefined,
  { runtime, log }: Pick<FenceContext, "runtime" | "log">,
): Promise<void> {
  const { user } = config;
  if (fence === undefined && user === undefined) return;
  const { dropPrivileges } = await import("../kernel/privileges.ts");
  try {
    const pins = fence?.pins ?? [];
    const given = await dropPrivileges({ native: runtime.native, pins, ...(user === undefined ? {} : { user }) });
    const capabilities = given.capabilities.join(", ") || "none";
    log("info", `Runs as user ${user ?? given.userId} with the capabilities ${capabilities}`, { capabilities });
  } catch (error) {
    throw failureOf(error);
  }
}

/** What the kernel layer throws, as a failure with an exit code. */
export function failureOf(error: unknown): unknown {
  if (error instanceof FenceError) {
    return new Failure(error.message, { exitCode: error.kind === "configuration" ? 2 : 3, cause: error });
  }
  return error instanceof KernelError ? new Failure(error.message, { exitCode: 3, cause: error }) : error;
}
