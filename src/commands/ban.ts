// SPDX-License-Identifier: Apache-2.0
// `ttgate ban`: bans a source, or a list of them.
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
        ...(typeof duration === "string" ? { for: duration } : {}),
      });
      return sendList({ ...call, file: from, path: `/bans/list?${query}`, done: "Banned" }, env);
    }
    const reply = await call.daemon.ask("POST", "/bans", { address: call.positionals[0], for: duration, force });
    if (reply.status !== 201) throw refusal(reply);
    const view = reply.body as BanView;
    const left = view.remainingSeconds === null ? "ever" : formatDuration(view.remainingSeconds * 1000);
    env.stdout.line(call.json ? JSON.stringify(view) : `Banned ${view.source} for ${left}`);
    return 0;
  },
});
