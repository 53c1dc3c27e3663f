// SPDX-License-Identifier: Apache-2.0
// Reads one table by nft, without its elements.
import { Failure } from "../../failure.ts";
import { type Listing, ListingReader } from "./listing.ts";
import { nft } from "./nft.ts";
import { family } from "./ruleset.ts";

/** @throws Failure as `nft`, another Error when what it prints is not whole. */
export async function look(table: string, signal?: AbortSignal): Promise<Listing> {
  try {
    // With --terse it does not ask the kernel for elements; "list table" of nft 1.0.6 does.
    return await read(table, ["ruleset", family], signal);
  } catch (error) {
    if (error instanceof Failure) throw error;
  }
  // nft 1.0.6 breaks off at any table that has flags, such as another tool's that is dormant.
  try {
    return await read(table, ["table", family, table], signal);
  } catch (error) {
    if (error instanceof Failure && /no such file/i.test(error.message)) return new ListingReader(table).end();
    throw error;
  }
}

async function read(table: string, what: readonly string[], signal: AbortSignal | undefined): Promise<Listing> {
  const reader = new ListingReader(table);
  await nft(["--json", "--terse", "list", ...what], {
    onText: (text) => reader.push(text),
    ...(signal === undefined ? {} : { signal }),
  });
  return reader.end();
}

/** Whether its chain is where it is to be: asked without rules, which takes long among many thousands of others'. */
export async function stands(table: string, signal: AbortSignal): Promise<boolean> {
  const reader = new ListingReader(table);
  await nft(["--json", "list", "chains", family], { onText: (text) => reader.push(text), signal });
  return reader.end().isHooked;
}
