// SPDX-License-Identifier: Apache-2.0
// Takes away tables that a gate left behind. Needs no daemon. Only what has ttgate's chains is taken for ttgate's.
import { nft } from "./nft.ts";
import { isLiving, lookAt } from "./open.ts";
import { family, ownerOf, tablePrefix } from "./ruleset.ts";

export interface TableFound {
  /** As nft names it: family and name. */
  readonly name: string;
  /** The gate that uses it. */
  readonly pid: number | undefined;
}

/** @returns undefined where there is no such table, it is not ttgate's, or nft is not there. */
export async function findTable(table: string): Promise<TableFound | undefined> {
  try {
    const { isHooked, owners } = await lookAt(table);
    const living = owners.find(isLiving);
    return isHooked
      ? { name: `${family} ${table}`, pid: living === undefined ? undefined : ownerOf(living)?.pid }
      : undefined;
  } catch {
    return undefined;
  }
}

/** Every table of this network namespace whose name begins as ttgate's do; none where nft is not there. */
export async function tablesLeftBehind(): Promise<readonly string[]> {
  let listing = "";
  try {
    await nft(["--terse", "list", "ruleset", family], {
      onText: (text) => {
        listing += text;
      },
    });
  } catch {
    return [];
  }
  const names = [...listing.matchAll(/^table inet (\w+) \{/gm)].flatMap(([, name]) => name ?? []);
  return names.filter((name) => name.startsWith(tablePrefix));
}

/** @throws Failure with nft's own words. */
export async function removeTable(table: string): Promise<void> {
  await nft(["delete", "table", family, table]);
}
