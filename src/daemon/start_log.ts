// SPDX-License-Identifier: Apache-2.0
// What the gate says when it is up, what it guards, how, and whom it never bans; and what a reload changed.
import { changeText, type Difference, type Differences } from "../config/difference.ts";
import { gatePrefix, isJudgedInKernel } from "../config/gates.ts";
import type { Config } from "../config/options.ts";
import { bounces } from "../config/servers.ts";
import { isVirtual } from "../host/addresses.ts";
import type { Log } from "../log.ts";
import type { GateSnapshot } from "../status/gate_snapshot.ts";
import type { ReloadAnswer } from "../status/routes.ts";
import type { Snapshot } from "../status/snapshot.ts";

/** @param waiting names of the gates that do not listen, for want of their address. */
export function sayStart(config: Config, snapshot: Snapshot, waiting: readonly string[], log: Log): void {
  const { kernel } = snapshot;
  for (const gate of snapshot.gates) {
    log("info", gateText(gate, waiting.includes(gate.name)), { gate: gate.name, listen: gate.listen });
  }
  if (config.gates.some((gate) => isJudgedInKernel(gate) && bounces(gate)) && kernel.judged !== null)
    sayBounces(kernel.interfaces, log);
  for (const { name, prefilter } of config.gates) {
    if (prefilter)
      log("info", gatePrefix(name) + (config["dry-run"] ? "No prefilter in a dry run" : "The kernel judges first"));
  }
  const interfaces = kernel.interfaces.map(
    ({ name, attach, reason }) => `${name} ${attach}${reason === null ? "" : ` (${reason})`}`,
  );
  if (kernel.managedBy !== null)
    log("info", `Kernel: map ${kernel.map} is read by ${kernel.managedBy}; ttgate manages its entries`);
  else if (kernel.map !== null)
    log("info", `Kernel: ${holderText(kernel)} on ${interfaces.join(", ") || "no interface"}`);
  for (const { name, "accept-proxy": proxies } of config.gates) {
    if (proxies.length === 0) continue;
    const from = `${gatePrefix(name)}Clients come through ${proxies.map(({ text }) => text).join(", ")} (PROXY protocol)`;
    log("info", `${from}: bans of theirs hold in user space, not in the kernel`);
  }
  if (config["dry-run"]) log("info", "Dry run: nobody is banned, everybody gets to the server");
  for (const { name, recording } of snapshot.gates) {
    if (recording?.ended === null)
      log("info", `${gatePrefix(name)}Recording what clients send first to "${recording.file}": it holds their data`);
  }
  log(
    "info",
    `Never banned: ${snapshot.neverBan.map(({ prefix, why }) => `${prefix} (${why})`).join(", ") || "nobody"}`,
  );
}

/** What blocks. */
function holderText({ fence, map }: Snapshot["kernel"]): string {
  if (fence === "nftables") return `${map}, a table`;
  return `map ${map}, ${fence === "xdp" ? "XDP" : "XDP and nftables"}`;
}

function gateText({ name, mode, listen, profile, upstreams }: GateSnapshot, isWaiting: boolean): string {
  const upstream = upstreams.map(({ address }) => address).join(", ");
  const what =
    mode === "inline"
      ? `Judging connections to ${listen} for ${profile} in the kernel`
      : `${isWaiting ? "Not listening yet" : "Listening"} on ${listen} for ${profile}, upstream ${upstream}`;
  return gatePrefix(name) + what;
}

/** @returns what was told, for who asked. */
export function sayReload({ config, applied, waiting }: Differences, log: Log): ReloadAnswer {
  for (const { name, profile } of config.gates) log("info", `${gatePrefix(name)}Profile ${profile} was read again`);
  for (const difference of applied) log("info", appliedText(difference));
  for (const difference of waiting) {
    const { option, gate, before, after } = difference;
    const told =
      option === "gate"
        ? `gate "${gate}" is opened at the next start: the kernel program that runs cannot judge`
        : `${option}: ${JSON.stringify(before)} stays until a restart, the configuration says ${JSON.stringify(after)}`;
    log("warn", `${gate === undefined ? "" : gatePrefix(gate)}Not reloaded: ${told}`);
  }
  return { applied, waiting };
}

function appliedText({ option, gate, before, after }: Difference): string {
  if (option !== "gate") {
    const prefix = gate === undefined ? "" : gatePrefix(gate);
    return `${prefix}Reloaded ${option}: ${changeText(before, after)}`;
  }
  const name = gate === undefined ? "the gate" : `gate "${gate}"`;
  return after === null ? `Closed ${name}, which listened on ${before}` : `Opened ${name}, which listens on ${after}`;
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
