// SPDX-License-Identifier: Apache-2.0
// What a judging program that takes another's place goes on from: whom that one saw begin, and since when it judged.
// Without it connections that are open and not judged yet would pass as older than the program.
import type { Prefix } from "../../core/address.ts";
import { openMap } from "../../kernel/bpf_map.ts";
import type { Libraries } from "../../kernel/libraries.ts";
import { isInlineLayout, readPort, readSince } from "./inline/inline_layout.ts";
import type { InlineMap } from "./inline/inline_maps.ts";
import { indexKey } from "./maps/counters.ts";
import { maxPorts } from "./maps/layout.ts";

/** Maps that both programs go on with, and the settings, which are only read. */
export const handedMaps = [
  "ttgate_inline",
  "ttgate_undecided",
  "ttgate_welcome",
  "ttgate_cookies",
  "ttgate_ended",
  "ttgate_judged",
  "ttgate_seen",
] as const satisfies readonly InlineMap[];

export type HandedMap = (typeof handedMaps)[number];

export interface Inherited {
  /** Descriptors by name; none where nothing is judged in the kernel. The opener's to close. */
  readonly maps: Partial<Record<HandedMap, number>>;
  /** Who is protected from the first packet on. */
  readonly neverBan: readonly Prefix[];
}

/** What the inline program goes on from. */
export interface Continued {
  /** To be used by the program instead of new ones. */
  readonly maps: Partial<Record<InlineMap, number>>;
  /** By port: since when it was judged. */
  readonly since: ReadonlyMap<number, bigint>;
  readonly neverBan: readonly Prefix[];
}

/** @returns undefined where nothing was judged, or another version did it: then it begins anew. */
export function continued(libraries: Libraries, { maps, neverBan }: Inherited): Continued | undefined {
  const { ttgate_inline: settingsFd, ...shared } = maps;
  if (settingsFd === undefined) return undefined;
  const settings = openMap(libraries, settingsFd);
  const judged = Array.from({ length: maxPorts }).flatMap((_, slot) => {
    const place = settings.lookup(indexKey(slot));
    return place !== undefined && isInlineLayout(place) ? [[readPort(place), readSince(place)] as const] : [];
  });
  if (judged.length === 0) return undefined;
  return { maps: shared, since: new Map(judged), neverBan };
}
