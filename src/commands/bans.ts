// SPDX-License-Identifier: Apache-2.0
// `ttgate bans`: who is banned, why, and for how long.
import { banTable } from "../cli/ban_table.ts";
import { bold } from "../cli/colour.ts";
import type { Command } from "../cli/command.ts";
import type { CommandLine } from "../cli/command_line.ts";
import { refusal } from "../cli/daemon_client.ts";
import { daemonCommand } from "../cli/daemon_command.ts";
import type { Output } from "../cli/env.ts";
import { Failure } from "../failure.ts";
import type { BanView } from "../status/snapshot.ts";

const filters = ["limit", "sort", "by", "protocol", "in"] as const;

export const bans: Command = daemonCommand({
  name: "bans",
  about: "who is banned, why, and for how long",
  description: "Lists the bans: source, protocol, origin, time left, packets that the kernel dropped.",
  flags: {
    limit: { short: "n", value: "N", help: "show at most N, up to 10000 (default 1000)" },
    by: { value: "ORIGIN", help: "only those that this origin wants: sniffer, operator, map, list, list:NAME ..." },
    in: { value: "CIDR", help: "only those in this range" },
    protocol: { value: "NAME", help: "only those for this protocol" },
    sort: {
      value: "newest|oldest|left|packets|source",
      help: "left: who is free soonest; packets: most dropped (default newest)",
    },
    quiet: { short: "q", help: 'print sources only, for "ttgate lift --from -"' },
  },
  async run({ daemon, flags, json }, { stdout, stderr }) {
    const query = queryOf(flags);
    const reply = await daemon.ask("GET", query === "" ? "/bans" : `/bans?${query}`);
    if (reply.status !== 200) throw asFlag(refusal(reply));
    const found = reply.body as Found;
    if (json) stdout.line(JSON.stringify({ total: found.total, bans: found.bans }));
    else if (flags["quiet"] === true) {
      for (const { source } of found.bans) stdout.line(source);
      // Whoever lifts these has not lifted all.
      const more = leftOut(found, flags);
      if (more !== undefined) stderr.line(more);
    } else stdout.line(rendered(found, flags, stdout));
    return 0;
  },
});

function queryOf(flags: CommandLine["flags"]): string {
  const given = filters.flatMap((name) => {
    const value = flags[name];
    return typeof value === "string" ? [[name, value] as [string, string]] : [];
  });
  return new URLSearchParams(given).toString();
}

/** What the gate says of a parameter, for those who typed a flag. */
function asFlag({ message, exitCode }: Failure): Failure {
  return new Failure(message.replace(/^Invalid (?=(limit|sort|in) ")/, "Invalid --"), { exitCode });
}

interface Found {
  readonly total: number;
  readonly bans: readonly BanView[];
}

function rendered(found: Found, flags: CommandLine["flags"], stdout: Output): string {
  const isFiltered = ["by", "protocol", "in"].some((name) => flags[name] !== undefined);
  if (found.total === 0) return isFiltered ? "Nobody is banned that was asked for" : "Nobody is banned";
  const [head = "", ...lines] = banTable(found.bans);
  return [bold(stdout, head), ...lines, leftOut(found, flags) ?? []].flat().join("\n");
}

/** @returns undefined where all are shown. */
function leftOut({ total, bans }: Found, flags: CommandLine["flags"]): string | undefined {
  if (bans.length >= total) return undefined;
  const order = flags["sort"] ?? "newest";
  const first = order === "newest" || order === "oldest" ? `The ${order}` : "The first";
  return `${first} ${bans.length} of ${total} are shown: more with --limit`;
}
