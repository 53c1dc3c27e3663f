// SPDX-License-Identifier: Apache-2.0
// `ttgate lift`: ends the ban of a source, or of a list of them.
import { listFlag, sendList } from "../cli/ban_list.ts";
import type { Command } from "../cli/command.ts";
import { refusal } from "../cli/daemon_client.ts";
import { daemonCommand } from "../cli/daemon_command.ts";

export const lift: Command = daemonCommand({
  name: "lift",
  operand: "ADDR|CIDR",
  about: "end a ban",
  description: "Ends the ban of a source; with CIDR also every ban inside it.",
  flags: { from: listFlag },
  async run(call, env) {
    const { from } = call.flags;
    if (typeof from === "string") return sendList({ ...call, file: from, path: "/lifts/list", done: "Lifted" }, env);
    const reply = await call.daemon.ask("DELETE", `/bans/${encodeURIComponent(call.positionals[0] ?? "")}`);
    if (reply.status !== 200) throw refusal(reply);
    const { lifted } = reply.body as { lifted: readonly string[] };
    env.stdout.line(call.json ? JSON.stringify({ lifted }) : `Lifted ${lifted.join(", ")}`);
    return 0;
  },
});
