// SPDX-License-Identifier: Apache-2.0
// What the gate says when it is up, what it guards, how, and whom it never bans; and what a reload changed.
import type { Differences } from "../config/difference.ts";
import type { Config } from "../config/options.ts";
import { bounces } from "../config/servers.ts";
import { isVirtual } from "../host/addresses.ts";
import type { Log } from "../log.ts";
import type { ReloadAnswer } from "../status/routes.ts";
import type { Snapshot } from "../status/snapshot.ts";

export function sayStart(config: Config, snapshot: Snapshot, log: Log): void {
  const { kernel } = snapshot;
  const upstream = snapshot.upstreams.map(({ address }) => address).join(", ");
  const start =
    config.mode === "inline"
      ? `Judging connections to ${snapshot.listen} for ${snapshot.profile} in the kernel`
      : `Listening on ${snapshot.listen} for ${snapshot.profile}, upstream ${upstream}`;
  log("info", start, { listen: snapshot.listen });
  if (kernel.judged !== null && bounces(config)) sayBounces(kernel.interfaces, log);
  if (config.prefilter) log("info", config["dry-run"] ? "No prefilter in a dry run" : "The kernel judges first");
  const interfaces = kernel.interfaces.map(
    ({ name, attach, reason }) => `${name} ${attach}${reason === null ? "" : ` (${reason})`}`,
  );
  if (kernel.managedBy !== null)
    log("info", `Kernel: map ${kernel.map} is read by ${kernel.managedBy}; ttgate manages its entries`);
  else if (kernel.map !== null)
    log("info", `Kernel: map ${kernel.map}, XDP on ${interfaces.join(", ") || "no interface"}`);
  if (config["accept-proxy"].length > 0) {
    const from = config["accept-proxy"].map(({ text }) => text).join(", ");
    log("info", `Clients come through ${from} (PROXY protocol): bans of theirs hold in user space, not in the kernel`);
  }
  if (config["dry-run"]) log("info", "Dry run: nobody is banned, everybody gets to the server");
  if (config.record !== undefined)
    log("info", `Recording what clients send first to "${config.record}": it holds their data`);
  log(
    "info",
    `Never banned: ${snapshot.neverBan.map(({ prefix, why }) => `${prefix} (${why})`).join(", ") || "nobody"}`,
  );
}

/** @returns what was told, for who asked. */
export function sayReload({ config, applied, waiting }: Differences, log: Log): ReloadAnswer {
  log("info", `Profile ${config.profile} was read again`);
  for (const { option, before, after } of applied) {
    log("info", `Reloaded ${option}: ${JSON.stringify(before)} is now ${JSON.stringify(after)}`);
  }
  for (const { option, before, after } of waiting) {
    const told = `${JSON.stringify(before)} stays until a restart, the configuration says ${JSON.stringify(after)}`;
    log("warn", `Not reloaded: ${option}: ${told}`);
  }
  return { applied, waiting };
}

/** Where a program that answers cannot, or perhaps not. */
function sayBounces(interfaces: Snapshot["kernel"]["interfaces"], log: Log): void {
  for (const { name, attach } of interfaces) {
    const obstacle =
      attach === "tc"
        ? "tc has no way to answer a packet"
        : attach === "native" && isVirtual(name)
          ? "it is virtual, and a veth pair takes an answer only if its other end has an XDP program too"
          : undefined;
    if (obstacle !== undefined)
      log("warn", `Interface "${name}": strangers may get silence instead of a reset: ${obstacle}`);
  }
}
