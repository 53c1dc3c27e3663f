// SPDX-License-Identifier: Apache-2.0
// From the configuration to the kernel block, or to the reason why there is none.
import type { Config } from "../config/options.ts";
import { manual } from "../core/bans/reason.ts";
import { Failure, messageOf, Unsupported } from "../failure.ts";
import { Ladder, type NftGuarding } from "../fences/ladder.ts";
import type { NftFence } from "../fences/nftables/nft_fence.ts";
import type { Inherited } from "../fences/xdp/inherited.ts";
import type { InlineGate } from "../fences/xdp/inline/inline_judge.ts";
import type { XdpFence } from "../fences/xdp/xdp_fence.ts";
import { interfacesOf } from "../host/addresses.ts";
import { KernelError } from "../kernel/errno.ts";
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
  /** Told how long a ban took to get into a fence that says so by itself. */
  readonly onEnforced: (milliseconds: number) => void;
  readonly log: Log;
}

/**
 * @returns undefined when no block map was asked for. Kernel code is loaded only when it was.
 * @throws Failure
 */
export async function openFence(config: Config, context: FenceContext): Promise<Ladder | undefined> {
  const map = config["block-map"];
  if (map === undefined || !wantsFence(config)) return undefined;
  const { nowMs, log } = context;
  const guarding = { interfaces: guardedInterfaces(config), ports: guardedPorts(config), scope: config.scope };
  const openNft = (guarded: NftGuarding, adopts: boolean) => openNftables(map, guarded, adopts, config, context);
  const parts = { ...guarding, log };
  if (config.fence === "nftables") return new Ladder({ ...parts, nft: await openNft(guarding, true) });
  // Only XDP judges: where it is refused, nothing else can stand in.
  const isAlone = config.fence === "xdp" || context.judged !== undefined;
  const second = (guarded: NftGuarding) => openNft(guarded, false);
  try {
    const xdp = await openXdp(map, guarding, isAlone ? undefined : "nftables", config, context);
    const ladder = new Ladder({ ...parts, xdp, openNft: isAlone ? undefined : second });
    await ladder.descend(nowMs());
    return ladder;
  } catch (error) {
    if (isAlone || !(error instanceof Unsupported || error instanceof KernelError)) throw error;
    return new Ladder({ ...parts, nft: await instead(error, () => openNft(guarding, true), log) });
  }
}

/** @throws Failure with both reasons. */
async function instead(xdp: Failure, openNft: () => Promise<NftFence>, log: Log): Promise<NftFence> {
  try {
    const nft = await openNft();
    log("warn", `XDP and tc cannot be had, nftables blocks instead: ${xdp.message}`);
    return nft;
  } catch (error) {
    throw new Failure(`${xdp.message}; nor is there nftables in its place: ${messageOf(error)}`, {
      exitCode: xdp.exitCode,
      cause: error,
    });
  }
}

async function openXdp(
  map: string,
  { interfaces, ports, scope }: NftGuarding,
  below: string | undefined,
  config: Config,
  { judged, runtime, version, protocols, nowMs, onStep, inherited, log }: FenceContext,
): Promise<XdpFence> {
  const { openXdpFence } = await import("../fences/xdp/open.ts");
  return openXdpFence({
    native: runtime.native,
    ...{ map, interfaces, ports, scope, below, version, nowMs, onStep, inherited, log },
    ipv6PrefixBits: config["ipv6-prefix"],
    inline: judged === undefined ? undefined : { gates: judged },
    reasons: [manual, ...protocols],
  });
}

async function openNftables(
  map: string,
  guarding: NftGuarding,
  adopts: boolean,
  config: Config,
  { runtime, nowMs, onStep, inherited, onEnforced, log }: FenceContext,
): Promise<NftFence> {
  const { openNftFence } = await import("../fences/nftables/open.ts");
  const isInherited = inherited !== undefined;
  const ipv6PrefixBits = config["ipv6-prefix"];
  const fence = await openNftFence({
    native: runtime.native,
    ...{ map, ...guarding, ipv6PrefixBits, isInherited, adopts, onEnforced, nowMs, log },
  });
  onStep("nftables table written");
  return fence;
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
  config: Pick<Config, "user" | "block-map" | "fence" | "dry-run" | "gates">,
  paths: readonly string[],
  { runtime, log }: Pick<FenceContext, "runtime" | "log">,
): Promise<void> {
  const { user } = config;
  if (!wantsFence(config) && user === undefined) return;
  const { dropPrivileges } = await import("../kernel/privileges.ts");
  const given = dropPrivileges({
    ...{ native: runtime.native, paths },
    // The program nft changes its table in place of this process.
    children: wantsFence(config) && config.fence !== "xdp" ? ["CAP_NET_ADMIN"] : [],
    ...(user === undefined ? {} : { user }),
  });
  const capabilities = given.capabilities.join(", ") || "none";
  log("info", `Runs as user ${user ?? given.userId} with the capabilities ${capabilities}`, { capabilities });
}
