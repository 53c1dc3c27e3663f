// SPDX-License-Identifier: Apache-2.0
// `ttgate fleet`: the gates that share bans with this one: who is there, how far behind, what each contributed.
import type { Command } from "../cli/command.ts";
import { refusal } from "../cli/daemon_client.ts";
import { daemonCommand } from "../cli/daemon_command.ts";
import { formatDuration } from "../core/duration.ts";
import type { FleetAnswer, FleetMemberView } from "../sources/fleet/view.ts";

export const fleet: Command = daemonCommand({
  name: "fleet",
  about: "the gates that share bans with this one",
  description:
    "Shows the gates that share bans with this one (--fleet): who is there, how far behind each is, and what it contributed.",
  async run({ daemon, json }, { stdout }) {
    const reply = await daemon.ask("GET", "/fleet");
    if (reply.status !== 200) throw refusal(reply);
    const answer = reply.body as FleetAnswer;
    stdout.line(json ? JSON.stringify(answer) : rendered(answer).join("\n"));
    return 0;
  },
});

function rendered(answer: FleetAnswer): string[] {
  const { name, url, state, waiting, members, troubles, answeredSecondsAgo } = answer;
  const answered = answeredSecondsAgo === null ? "never answered" : `answered ${ago(answeredSecondsAgo)}`;
  const lines = [`fleet "${name}" at ${url}: ${state}, ${answered}, ${waiting} changes to announce`];
  for (const trouble of troubles) lines.push(`trouble: ${trouble}`);
  if (members === null) return [...lines, "The engine does not say who is there; every ban stays as it is"];
  const rows = [
    ["GATE", "SEEN", "BEHIND", "BANS", "ANNOUNCED", "HELD HERE", "REFUSED HERE"],
    ...members.map((member) => rowOf(member)),
  ];
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return [
    ...lines,
    ...rows.map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    ),
  ];
}

function rowOf({ gate, self, trusted, seenSecondsAgo, behindSeconds, bans, records, held, refused }: FleetMemberView) {
  const notTaken = Object.entries(refused).filter(([, count]) => count > 0);
  return [
    `${gate}${self ? " (this one)" : trusted ? "" : " (not trusted)"}`,
    seenSecondsAgo === null ? "never" : ago(seenSecondsAgo),
    behindSeconds === null ? "?" : behindSeconds === 0 ? "no" : formatDuration(behindSeconds * 1000),
    bans === null ? "?" : String(bans),
    String(records),
    self ? "-" : String(held),
    notTaken.map(([why, count]) => `${count} ${why}`).join(", ") || "-",
  ];
}

function ago(seconds: number): string {
  return seconds < 1 ? "now" : `${formatDuration(Math.round(seconds) * 1000)} ago`;
}
