// SPDX-License-Identifier: Apache-2.0
// `ttgate bans`: who is banned, why, and for how long.
import type { Command } from "../cli/command.ts";
import { refusal } from "../cli/daemon_client.ts";
import { daemonCommand } from "../cli/daemon_command.ts";
import { refusalText } from "../core/bans/refusal.ts";
import { formatDuration } from "../core/duration.ts";
import type { BanView } from "../status/snapshot.ts";

export const bans: Command = daemonCommand({
  name: "bans",
  about: "who is banned, why, and for how long",
  description:
    "Lists the bans, the newest first: source, protocol, origin, time left, packets that the kernel dropped.",
  flags: { limit: { short: "n", value: "N", help: "show at most N, up to 10000 (default 1000)" } },
  async run({ daemon, flags: { limit }, json }, { stdout }) {
    const query = typeof limit === "string" ? `?limit=${encodeURIComponent(limit)}` : "";
    const reply = await daemon.ask("GET", `/bans${query}`);
    if (reply.status !== 200) throw refusal(reply);
    const { total, bans: shown } = reply.body as { total: number; bans: readonly BanView[] };
    stdout.line(json ? JSON.stringify({ total, bans: shown }) : rendered(shown, total));
    return 0;
  },
});

function rendered(bans: readonly BanView[], total: number): string {
  if (total === 0) return "Nobody is banned";
  const rows = bans.map(({ source, protocol, claims, remainingSeconds, packets }) => {
    const left = remainingSeconds === null ? "ever" : formatDuration(remainingSeconds * 1000);
    return [
      source,
      protocol,
      claims.map(({ origin }) => origin).join(","),
      left,
      packets === null ? "-" : String(packets),
    ];
  });
  const table = [["SOURCE", "PROTOCOL", "BY", "LEFT", "DROPPED"], ...rows];
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...table.map((row) => row[column]?.length ?? 0)));
  const lines = table.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  lines.push(...keptOutElsewise(bans));
  if (bans.length < total) lines.push(`The newest ${bans.length} of ${total} are shown: more with --limit`);
  return lines.join("\n");
}

/** Those that ttgate's own kernel program does not block, a line for each reason. */
function keptOutElsewise(bans: readonly BanView[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const { refused } of bans) {
    if (refused.why !== null) counts.set(refusalText(refused), (counts.get(refusalText(refused)) ?? 0) + 1);
  }
  return [...counts].map(([text, count]) => `${count} of them ${text}`);
}
