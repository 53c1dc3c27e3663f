// SPDX-License-Identifier: Apache-2.0
// From the configuration to the kernel block, or to the reason why there is none.
import type { Fence } from "./core/fence.ts";
import { Failure, messageOf } from "./failure.ts";
import { interfacesOf } from "./host.ts";
import { FenceError } from "./kernel/fence_error.ts";
import type { Log } from "./log.ts";
import type { Config } from "./options.ts";
import type { Runtime } from "./runtime/types.ts";

/** @returns undefined when no block map was asked for. Kernel code is loaded only when it was. */
export async function openFence(
  config: Config,
  runtime: Runtime,
  version: string,
  log: Log,
): Promise<Fence | undefined> {
  const map = config["block-map"];
  if (map === undefined || config["dry-run"]) return undefined;
  const { openXdpFence } = await import("./kernel/xdp_fence.ts");
  const interfaces = config.interface.length > 0 ? config.interface : interfacesOf(config.listen.host);
  try {
    return await openXdpFence({
      native: runtime.native,
      map,
      interfaces,
      ports: [config.listen.port],
      scope: config.scope,
      ipv6PrefixBits: config["ipv6-prefix"],
      version,
      log,
    });
  } catch (error) {
    if (!(error instanceof FenceError)) throw error;
    throw new Failure(messageOf(error), { exitCode: error.kind === "configuration" ? 2 : 3, cause: error });
  }
}
