// SPDX-License-Identifier: Apache-2.0
// `ttgate lift`: ends the bans of sources, or of a list of them.
import { listFlag, sendList } from "../cli/ban_list.ts";
import { byFlag, byOf } from "../cli/by_flag.ts";
import type { Command } from "../cli/command.ts";
import { refusal } from "../cli/daemon_client.ts";
import { daemonCommand } from "../cli/daemon_command.ts";
import { eachOperand } from "../cli/each_operand.ts";

import type { Lifted } from "../sources/answer.ts";

const statusAbsent = 404;

export const lift: Command = daemonCommand({
  name: "lift",
  operand: "ADDR|CIDR",
  about: "end bans",
  description: "Ends the bans of sources; with CIDR also every ban inside it.",
  flags: {
    from: listFlag,
    by: byFlag,
    idempotent: { help: "exit with 0 also when there is nothing to lift" },
  },
  exitCodes: { 1: "not banned, or covered by a wider ban that stays" },
  async run(call, env) {
    const { from, idempotent } = call.flags;
    const by = byOf(call);
    const query = by === undefined ? "" : `?by=${by}`;
    if (typeof from === "string") return sendList({ ...call, file: from, path: "/lifts/list", done: "Lifted" }, env);
    return eachOperand(call, env, async (address) => {
      const reply = await call.daemon.ask("DELETE", `/bans/${encodeURIComponent(address)}${query}`);
      if (reply.status === statusAbsent && idempotent === true) {
        return call.json ? JSON.stringify({ lifted: [] }) : refusal(reply).message;
      }
      if (reply.status !== 200) throw refusal(reply);
      const answer = reply.body as Pick<Lifted, "lifted"> & Partial<Lifted>;
      return call.json ? JSON.stringify(answer) : rendered(answer);
    });
  },
});

function rendered({ lifted, staying = [] }: Pick<Lifted, "lifted"> & Partial<Lifted>): string {
  const parts = [
    ...(lifted.length === 0 ? [] : [`Lifted ${lifted.join(", ")}`]),
    ...(staying.length === 0 ? [] : [`Ended the claim on ${staying.join(", ")}: still banned by somebody else`]),
  ];
  return parts.join("; ");
}
