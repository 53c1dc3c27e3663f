// SPDX-License-Identifier: Apache-2.0
// Opens the kernel fence on whatever -B names: over the maps that are there or over new ones, with
// ttgate's own program or beside somebody else's that reads the same map already.

import { Failure } from "../../failure.ts";
import { openMap } from "../../kernel/bpf_map.ts";
import { closeFd, type MapPlace, parseMapPlace, prepareDirectory } from "../../kernel/bpffs.ts";
import { type Libraries, openLibraries } from "../../kernel/libraries.ts";
import type { Log } from "../../log.ts";
import { ForeignFilter } from "./attach/foreign_filter.ts";
import { embeddedObject, type GateObject } from "./gate_program.ts";
import { Guarded } from "./guarded.ts";
import type { InlineGate } from "./inline/inline_judge.ts";
import { ipv4Codec } from "./maps/ban_codec.ts";
import { BanStore } from "./maps/ban_store.ts";
import { BanStores } from "./maps/ban_stores.ts";
import { type NamedMap, openNamedMap, pinPaths } from "./maps/map_set.ts";
import { requireUnused, settingsAt } from "./occupant.ts";
import type { OpenedOptions, XdpFenceOptions } from "./options.ts";
import { openOwnFence } from "./own_fence.ts";
import { otherReaders, type ProgramInfo } from "./programs.ts";
import { XdpFence, type XdpFenceParts } from "./xdp_fence.ts";

/** @throws Failure when it cannot work as asked, KernelError when the kernel refuses what should work. */
export async function openXdpFence(options: XdpFenceOptions): Promise<XdpFence> {
  const place = parseMapPlace(options.map);
  const { ports, scope, inline, inherited, ...others } = options;
  const judges = inline !== undefined;
  const object = await embeddedObject(judges ? "inline" : "gate");
  const libraries = await openLibraries(options.native);
  const settingsPath = pinPaths(place.path, "own").ttgate_settings;
  await requireUnused(libraries, settingsPath, options);
  const before = inherited === undefined ? undefined : settingsAt(libraries, settingsPath);
  const guarded = new Guarded(ports, scope, before?.ports);
  const opened = { ...others, guarded, judges };
  // Opened once more, over new maps, there is nothing to go on from.
  const reopen = (interfaces: readonly string[], gates: readonly InlineGate[]) =>
    openAt(libraries, { ...opened, interfaces, gates }, place, object);
  const first = { ...opened, interfaces: options.interfaces, gates: inline?.gates ?? [], inherited };
  return new XdpFence({ ...openAt(libraries, first, place, object), reopen });
}

/** Over the maps that are there now; those that are not are made. */
function openAt(libraries: Libraries, options: OpenedOptions, place: MapPlace, object: GateObject): XdpFenceParts {
  prepareDirectory(libraries, place.path, (message) => options.log("info", message));
  const named = openNamedMap(libraries, place);
  const readers = named === undefined ? [] : foreignReaders(libraries, named, options.log);
  if (named !== undefined && readers.length > 0 && options.judges) {
    const reader = readers.map(({ name, id }) => `"${name}" (id ${id})`).join(", ");
    throw new Failure(
      `Block map "${options.map}": the program ${reader} reads it, and only ttgate's own can judge: name another map, or use --mode proxy without --prefilter`,
    );
  }
  if (named !== undefined && readers.length > 0) return openForeignFence(libraries, options, { named, readers });
  try {
    return openOwnFence(libraries, options, { base: place.path, named, object });
  } finally {
    // libbpf holds a descriptor of its own.
    if (named !== undefined) closeFd(libraries, named.fd);
  }
}

/** Programs of others that read the documented map; none where that cannot be seen. */
function foreignReaders(libraries: Libraries, named: NamedMap, log: Log): readonly ProgramInfo[] {
  if (named.flavour.kind !== "ipv4") return [];
  const readers = otherReaders(libraries, named.info.id);
  if (readers === undefined) {
    log("warn", "Whether another program reads the block map cannot be seen without CAP_SYS_ADMIN");
  }
  return readers ?? [];
}

function openForeignFence(
  libraries: Libraries,
  options: OpenedOptions,
  { named, readers }: { named: NamedMap; readers: readonly ProgramInfo[] },
): XdpFenceParts {
  const codec = ipv4Codec(named.info.valueBytes === 4 ? 4 : 8);
  const stores = new BanStores(new BanStore(named.name, openMap(libraries, named.fd), codec), undefined);
  stores.adopt(options.nowMs());
  const filter = new ForeignFilter(libraries, named, readers, options.interfaces, options.log);
  options.log("info", `Block map "${options.map}": ${filter.managedBy()} reads it, ttgate manages its entries only`);
  return { options, stores, filter, stoodBefore: true };
}
