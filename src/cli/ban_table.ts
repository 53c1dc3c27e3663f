// SPDX-License-Identifier: Apache-2.0
// Bans as a table for people: `ttgate bans`, and what `ttgate why` says of a range.
import { refusalText } from "../core/bans/refusal.ts";
import { formatDuration } from "../core/duration.ts";
import type { BanView } from "../status/snapshot.ts";

/** @returns its lines; the first is the head. */
export function banTable(bans: readonly BanView[]): string[] {
  const rows = bans.map(({ source, protocol, claims, remainingSeconds, packets }) => [
    source,
    protocol,
    claims.map(({ origin }) => origin).join(","),
    remainingSeconds === null ? "ever" : formatDuration(remainingSeconds * 1000),
    packets === null ? "-" : String(packets),
  ]);
  const table = [["SOURCE", "PROTOCOL", "BY", "LEFT", "DROPPED"], ...rows];
  const widths = [0, 1, 2, 3, 4].map((column) =>
    table.reduce((widest, row) => Math.max(widest, row[column]?.length ?? 0), 0),
  );
  const lines = table.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  return [...lines, ...keptOutElsewise(bans)];
}

/** Those that ttgate's own kernel program does not block, a line for each reason. */
function keptOutElsewise(bans: readonly BanView[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const { refused } of bans) {
    if (refused.why !== null) counts.set(refusalText(refused), (counts.get(refusalText(refused)) ?? 0) + 1);
  }
  return [...counts].map(([text, count]) => `${count} of them ${text}`);
}
