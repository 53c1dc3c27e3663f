// SPDX-License-Identifier: Apache-2.0
// Puts ttgate's own fence together: maps that are pinned already or new ones, the program over them,
// settings, pins, interfaces. What was made is taken back when a later step fails, so that a start that
// fails leaves the host as it was.
import { isIpv4 } from "../../core/address.ts";
import { openMap } from "../../kernel/bpf_map.ts";
import { closeFd, pin, unpin } from "../../kernel/bpffs.ts";
import { access } from "../../kernel/files.ts";
import type { Libraries } from "../../kernel/libraries.ts";
import { InterfaceGuard } from "./attach/interface_guard.ts";
import { OwnFilter } from "./attach/own_filter.ts";
import { type GateMaps, type GateObject, type GatePrograms, loadGate } from "./gate_program.ts";
import { continued } from "./inherited.ts";
import { InlineJudge } from "./inline/inline_judge.ts";
import { cidrCodec, exactCodec, ipv4Codec } from "./maps/ban_codec.ts";
import { BanStore } from "./maps/ban_store.ts";
import { BanStores } from "./maps/ban_stores.ts";
import { Integrity } from "./maps/integrity.ts";
import { linkSuffix, type NamedMap, openSiblings, ownMaps, pinPaths } from "./maps/map_set.ts";
import { Reasons } from "./maps/reasons.ts";
import { SettingsMap } from "./maps/settings_map.ts";
import type { OpenedOptions } from "./options.ts";
import type { XdpFenceParts } from "./xdp_fence.ts";

export interface OwnFenceParts {
  /** What every pin's name begins with. */
  readonly base: string;
  readonly named: NamedMap | undefined;
  readonly object: GateObject;
}

export function openOwnFence(libraries: Libraries, options: OpenedOptions, parts: OwnFenceParts): XdpFenceParts {
  const { base, named } = parts;
  const step = options.onStep ?? (() => {});
  const kind = named?.flavour.kind ?? "own";
  using undo = new DisposableStack();
  const before = options.inherited === undefined ? undefined : continued(libraries, options.inherited);
  if (options.inherited?.maps.ttgate_inline !== undefined && options.judges && before === undefined) {
    options.log("warn", "The gate before judged by another layout: connections that are open now are not judged");
  }
  const programs = undo.use(loadOver(libraries, parts, before?.maps));
  step("kernel program loaded");
  const fresh = pinNew(libraries, programs, parts, undo);
  step("maps pinned");
  const { settings, stores } = openStores(libraries, programs, options, parts);
  step("settings written");
  const inherited = before;
  const judge = options.judges
    ? new InlineJudge(libraries, programs, options.guarded, { ...options, inherited })
    : undefined;
  const settingsMap = openMap(libraries, programs.mapFd("ttgate_settings"));
  const guarding = {
    libraries,
    programs,
    pinPrefix: base + linkSuffix,
    filterHandle: settingsMap.info.id,
    ladder: options.ladder,
    judges: options.judges,
    below: options.below,
    log: options.log,
  };
  const guardOf = (name: string) => new InterfaceGuard(name, guarding);
  const guards = options.interfaces.map((name) => {
    const guard = guardOf(name);
    undo.defer(() => guard.release(!fresh));
    guard.attach();
    step(`interface ${name} attached`);
    return guard;
  });
  const paths = pinPaths(base, kind);
  const watched = ownMaps.map((name) => ({ fd: programs.mapFd(name), name: paths[name], isPinned: true }));
  const documented =
    kind === "ipv4" ? [{ fd: programs.mapFd("ipv4_bans"), name: stores.main.name, isPinned: false }] : [];
  const filter = new OwnFilter({
    libraries,
    options,
    programs,
    stores,
    guards,
    guard: guardOf,
    settings,
    integrity: new Integrity(libraries, [...watched, ...documented], options.log),
    counters: openMap(libraries, programs.mapFd("ttgate_counters")),
    pins: Object.values(paths),
  });
  filter.prove(options.nowMs());
  step("kernel program proven");
  undo.move();
  const layout = kind === "own" ? "own layout" : "IPv4 map";
  options.log("info", `ttgate ${options.version}: bans are in "${options.map}" (${layout})`);
  return { options, stores, filter, stoodBefore: !fresh, judge };
}

/** The maps as bans are written to them, with the settings of this start. */
function openStores(
  libraries: Libraries,
  programs: GatePrograms,
  options: OpenedOptions,
  { base, named }: OwnFenceParts,
): { readonly settings: SettingsMap; readonly stores: BanStores } {
  const { ipv6PrefixBits, guarded } = options;
  const { scope, slots } = guarded;
  const nowMs = options.nowMs();
  const flavour = named?.flavour ?? { kind: "own" };
  const paths = pinPaths(base, flavour.kind);
  const map = (name: (typeof ownMaps)[number]) => openMap(libraries, programs.mapFd(name));
  const settings = new SettingsMap(map("ttgate_settings"), {
    scope,
    ipv6PrefixBits,
    ports: [...slots],
    heartbeatMs: nowMs,
  });
  const found = settings.read();
  const before = found.kind === "settings" ? found.settings : undefined;
  const reasons = new Reasons(options.reasons ?? []);
  const ipv4 =
    named !== undefined && flavour.kind === "ipv4"
      ? new BanStore(named.name, openMap(libraries, programs.mapFd("ipv4_bans")), ipv4Codec(flavour.valueBytes))
      : undefined;
  const stores = new BanStores(ipv4, {
    exact: new BanStore(paths.ttgate_bans, map("ttgate_bans"), exactCodec(reasons, ipv6PrefixBits)),
    cidr: new BanStore(paths.ttgate_cidr, map("ttgate_cidr"), cidrCodec(reasons)),
    ipv6PrefixBits,
    rangesChanged: (entries) => settings.write({ cidrEntries: entries }),
  });
  settings.write({});
  stores.adopt(nowMs);
  if (before !== undefined && before.ipv6PrefixBits !== ipv6PrefixBits) {
    const codec = exactCodec(reasons, before.ipv6PrefixBits);
    regroup(new BanStore(paths.ttgate_bans, map("ttgate_bans"), codec), stores, options);
  }
  return { settings, stores };
}

/** The program over the maps that are there; those that are not are made. */
function loadOver(
  libraries: Libraries,
  { base, named, object }: OwnFenceParts,
  inline: GateMaps["inline"] = {},
): GatePrograms {
  const flavour = named?.flavour ?? { kind: "own" };
  const siblings = openSiblings(libraries, base, flavour.kind);
  try {
    const isOwn = named !== undefined && flavour.kind === "own";
    return loadGate(libraries, object, {
      flavour,
      ipv4Fd: isOwn ? undefined : named?.fd,
      own: isOwn ? { ...siblings, ttgate_bans: named.fd } : siblings,
      inline,
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
function regroup(before: BanStore, stores: BanStores, { nowMs, log }: Pick<OpenedOptions, "nowMs" | "log">): void {
  for (const records of before.records(nowMs)) {
    const networks = records.filter(({ prefix }) => !isIpv4(prefix));
    before.dropMany(networks.map(({ prefix }) => prefix));
    const lost = stores.putMany(networks).filter(({ kind }) => kind !== "enforced").length;
    if (lost > 0) log("error", `IPv6 bans of another prefix length: ${lost} found no room among the ranges`);
  }
}
