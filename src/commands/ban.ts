// SPDX-License-Identifier: Apache-2.0
// `ttgate ban`: bans a source, or a list of them.
import { basename } from "node:path";
import { listFlag, sendList } from "../cli/ban_list.ts";
import type { Command } from "../cli/command.ts";
import { refusal } from "../cli/daemon_client.ts";
import { daemonCommand } from "../cli/daemon_command.ts";
import { formatDuration } from "../core/duration.ts";
import type { BanView } from "../status/snapshot.ts";

export const ban: Command = daemonCommand({
  name: "ban",
  operand: "ADDR|CIDR",
  about: "ban a source, --for 1h",
  description: "Bans a source. An IPv6 address stands for its whole network of the ban prefix (--ipv6-prefix).",
  flags: {
    for: { short: "f", value: "DURATION", help: "such as 1h, or ever (default: the gate's --timeout)" },
    from: listFlag,
    force: { help: "also ban ranges wider than /16 (IPv6 /32)" },
  },
  async run(call, env) {
    const { from, for: duration } = call.flags;
    const force = call.flags["force"] === true;
    if (typeof from === "string") {
      const query = new URLSearchParams({
        force: String(force),
        name: listName(from),
        ...(typeof duration === "string" ? { for: duration } : {}),
      });
      return sendList({ ...call, file: from, path: `/bans/list?${query}`, done: "Banned" }, env);
    }
    const reply = await call.daemon.ask("POST", "/bans", { address: call.positionals[0], for: duration, force });
    if (reply.status !== 201) throw refusal(reply);
    const view = reply.body as BanView;
    env.stdout.line(call.json ? JSON.stringify(view) : rendered(view));
    return 0;
  },
});

/** Where somebody else wants the source banned for longer, that is how long it is. */
function rendered({ source, remainingSeconds, by }: BanView): string {
  const left = remainingSeconds === null ? "ever" : formatDuration(remainingSeconds * 1000);
  return `Banned ${source} for ${left}${by === "operator" ? "" : ` (by ${by})`}`;
}

/** The name that its bans go by: that of the file. */
function listName(file: string): string {
  return file === "-"
    ? "stdin"
    : basename(file)
        .replaceAll(/[^A-Za-z0-9._-]/g, "-")
        .slice(0, 64);
}
