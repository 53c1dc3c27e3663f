// SPDX-License-Identifier: Apache-2.0
// Puts ttgate's own fence together: maps that are pinned already or new ones, the program over them,
// settings, pins, interfaces. What was made is taken back when a later step fails, so that a start that
// fails leaves the host as it was.
import process from "node:process";
import { isIpv4 } from "../../core/address.ts";
import { openMap } from "../../kernel/bpf_map.ts";
import { closeFd, pin, unpin } from "../../kernel/bpffs.ts";
import { FenceError } from "../../kernel/fence_error.ts";
import { access, readText } from "../../kernel/files.ts";
import type { Libraries } from "../../kernel/libraries.ts";
import type { Log } from "../../kernel/log.ts";
import { InterfaceGuard } from "./attach/interface_guard.ts";
import { OwnFilter } from "./attach/own_filter.ts";
import { type GateObject, type GatePrograms, loadGate } from "./gate_program.ts";
import { InlineJudge } from "./inline/inline_judge.ts";
import { cidrCodec, exactCodec, ipv4Codec } from "./maps/ban_codec.ts";
import { BanStore } from "./maps/ban_store.ts";
import { BanStores } from "./maps/ban_stores.ts";
import { linkSuffix, type NamedMap, openSiblings, ownMaps, pinPaths } from "./maps/map_set.ts";
import { Reasons } from "./maps/reasons.ts";
import { SettingsMap } from "./maps/settings_map.ts";
import type { XdpFenceOptions } from "./options.ts";
import { KernelFence } from "./xdp_fence.ts";

/** A daemon writes its heartbeat each second. */
const aliveMs = 5000;

export interface OwnFenceParts {
  /** What every pin's name begins with. */
  readonly base: string;
  readonly named: NamedMap | undefined;
  readonly object: GateObject;
  readonly nowMs: number;
}

export function openOwnFence(libraries: Libraries, options: XdpFenceOptions, parts: OwnFenceParts): KernelFence {
  const { base, named } = parts;
  const flavour = named?.flavour ?? { kind: "own" };
  using undo = new DisposableStack();
  const programs = loadOver(libraries, parts);
  undo.use(programs);
  const paths = pinPaths(base, flavour.kind);
  const fresh = pinNew(libraries, programs, parts, undo);

  const map = (name: (typeof ownMaps)[number]) => openMap(libraries, programs.mapFd(name));
  const settings = new SettingsMap(map("ttgate_settings"), {
    scope: options.scope,
    ipv6PrefixBits: options.ipv6PrefixBits,
    ports: options.ports,
    heartbeatMs: parts.nowMs,
  });
  const before = settings.read();
  const reasons = new Reasons(options.reasons ?? []);
  const exact = new BanStore(paths.ttgate_bans, map("ttgate_bans"), exactCodec(reasons, options.ipv6PrefixBits));
  const cidr = new BanStore(paths.ttgate_cidr, map("ttgate_cidr"), cidrCodec(reasons));
  const ipv4 =
    named !== undefined && flavour.kind === "ipv4"
      ? new BanStore(named.name, openMap(libraries, programs.mapFd("ipv4_bans")), ipv4Codec(flavour.valueBytes))
      : undefined;
  const stores = new BanStores(ipv4, {
    exact,
    cidr,
    ipv6PrefixBits: options.ipv6PrefixBits,
    rangesChanged: (entries) => settings.write({ cidrEntries: entries }),
  });
  if (before.kind === "settings" && !fresh) {
    const { daemonPid, heartbeatMs } = before.settings;
    if (parts.nowMs - heartbeatMs < aliveMs) refuseInUse(libraries, options.map, daemonPid);
  }
  settings.write({});
  stores.adopt(parts.nowMs);
  if (before.kind === "settings" && before.settings.ipv6PrefixBits !== options.ipv6PrefixBits) {
    const codec = exactCodec(reasons, before.settings.ipv6PrefixBits);
    regroup(new BanStore(paths.ttgate_bans, map("ttgate_bans"), codec), stores, options.log);
  }

  const judge =
    options.inline === undefined
      ? undefined
      : new InlineJudge(libraries, programs, { ...options.inline, ipv6PrefixBits: options.ipv6PrefixBits });
  const guarding = {
    libraries,
    programs,
    pinPrefix: base + linkSuffix,
    filterHandle: map("ttgate_settings").info.id,
    ladder: options.ladder,
    log: options.log,
  };
  const guards = options.interfaces.map((name) => {
    const guard = new InterfaceGuard(name, guarding);
    undo.defer(() => guard.release(!fresh));
    guard.attach();
    return guard;
  });
  const filter = new OwnFilter({
    libraries,
    options,
    programs,
    stores,
    guards,
    settings,
    counters: map("ttgate_counters"),
    pins: Object.values(paths),
  });
  filter.prove(parts.nowMs);
  undo.move();
  options.log(
    "info",
    `ttgate ${options.version}: bans are in "${options.map}" (${ipv4 === undefined ? "own layout" : "IPv4 map"})`,
  );
  return new KernelFence(stores, filter, !fresh, judge);
}

/** Two gates over one set would change each other's ports and take each other's program off. */
function refuseInUse({ libc }: Libraries, map: string, pid: number): void {
  if (pid === 0 || pid === process.pid || access(libc, `/proc/${pid}/stat`) !== 0) return;
  const state = /\) (\S)/.exec(readText(libc, `/proc/${pid}/stat`))?.[1];
  // Dead, and not fetched by its parent yet.
  if (state === "Z" || state === "X") return;
  throw new FenceError(`Block map "${map}": the gate with pid ${pid} is using it: stop it first, or name another map`);
}

/** The program over the maps that are there; those that are not are made. */
function loadOver(libraries: Libraries, { base, named, object }: OwnFenceParts): GatePrograms {
  const flavour = named?.flavour ?? { kind: "own" };
  const siblings = openSiblings(libraries, base, flavour.kind);
  try {
    const isOwn = named !== undefined && flavour.kind === "own";
    return loadGate(libraries, object, {
      flavour,
      ipv4Fd: isOwn ? undefined : named?.fd,
      own: isOwn ? { ...siblings, ttgate_bans: named.fd } : siblings,
    });
  } finally {
    // libbpf holds descriptors of its own.
    for (const fd of Object.values(siblings)) closeFd(libraries, fd);
  }
}

/** @returns true when every map is new: nothing of a process before is here. */
function pinNew(libraries: Libraries, programs: GatePrograms, parts: OwnFenceParts, undo: DisposableStack): boolean {
  const kind = parts.named?.flavour.kind ?? "own";
  let fresh = true;
  for (const map of ownMaps) {
    const path = pinPaths(parts.base, kind)[map];
    if (access(libraries.libc, path) === 0) {
      fresh = false;
      continue;
    }
    pin(libraries, programs.mapFd(map), path);
    undo.defer(() => unpin(libraries, path));
  }
  return fresh;
}

/** With another ban prefix an IPv6 network that is in the exact map would never be found: it is a range now. */
function regroup(before: BanStore, stores: BanStores, log: Log): void {
  for (const records of before.records()) {
    const networks = records.filter(({ prefix }) => !isIpv4(prefix));
    before.dropMany(networks.map(({ prefix }) => prefix));
    const lost = stores.putMany(networks).filter(({ kind }) => kind !== "enforced").length;
    if (lost > 0) log("error", `IPv6 bans of another prefix length: ${lost} found no room among the ranges`);
  }
}
