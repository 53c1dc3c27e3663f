// SPDX-License-Identifier: Apache-2.0
// `ttgate bans`: who is out, why, and for how long.
import { refusal } from "../control.ts";
import { formatDuration } from "../core/duration.ts";
import { Failure } from "../failure.ts";
import type { BanView } from "../status/snapshot.ts";
import { asking, flagsOf } from "./reading.ts";

const shape = {
  name: "bans",
  operands: "",
  count: 0,
  about: "Lists the time-out table: source, protocol, time left, packets dropped in the kernel.",
  flags: { limit: { short: "n", value: "N", help: "show at most N, up to 10000 (default 1000)" } },
};

export const bansFlags = flagsOf(shape);

export async function bans(args: readonly string[]): Promise<number> {
  const call = asking(args, shape);
  if (call === undefined) return 0;
  const limit = call.flags["limit"];
  const query = typeof limit === "string" ? `?limit=${encodeURIComponent(limit)}` : "";
  const reply = await call.control.ask("GET", `/bans${query}`);
  if (reply.status !== 200) throw new Failure(refusal(reply), { exitCode: reply.status === 400 ? 2 : 3 });
  const { total, bans: shown } = reply.body as { total: number; bans: readonly BanView[] };
  console.log(call.json ? JSON.stringify({ total, bans: shown }) : rendered(shown, total));
  return 0;
}

function rendered(bans: readonly BanView[], total: number): string {
  if (total === 0) return "Nobody is banned";
  const rows = bans.map(({ source, protocol, by, remainingSeconds, packets }) => {
    const left = remainingSeconds === null ? "ever" : formatDuration(remainingSeconds * 1000);
    return [source, protocol, by, left, packets === null ? "-" : String(packets)];
  });
  const table = [["SOURCE", "PROTOCOL", "BY", "LEFT", "DROPPED"], ...rows];
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...table.map((row) => row[column]?.length ?? 0)));
  const lines = table.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  if (bans.length < total) lines.push(`${bans.length} of ${total} shown: more with --limit`);
  return lines.join("\n");
}
