// SPDX-License-Identifier: Apache-2.0
// `ttgate lift`: ends the bans of sources, of a list of them, or all.
import { listFlag, sendList } from "../cli/ban_list.ts";
import { byFlag, byOf } from "../cli/by_flag.ts";
import type { Command } from "../cli/command.ts";
import { refusal } from "../cli/daemon_client.ts";
import { type DaemonCall, daemonCommand } from "../cli/daemon_command.ts";
import { eachOperand } from "../cli/each_operand.ts";
import type { Env } from "../cli/env.ts";
import { Failure } from "../failure.ts";

const statusAbsent = 404;
/** More would fill the screen; with --json they are all there. */
const mostListed = 100;

interface Lifted {
  readonly lifted: readonly string[];
  /** Left out where there are none, as the next. */
  readonly staying?: readonly string[];
  /** Another tool's entries that stay in the map. */
  readonly foreign?: number;
}

export const lift: Command = daemonCommand({
  name: "lift",
  operand: "ADDR|CIDR",
  about: "end bans; --all ends every ban",
  description: "Ends the bans of sources; with CIDR also every ban inside it.",
  flags: {
    all: { help: "end every ban" },
    from: listFlag,
    by: byFlag,
    idempotent: { help: "exit with 0 also when there is nothing to lift" },
  },
  exitCodes: { 1: "not banned, or a ban stays: a wider one, or another tool's" },
  async run(call, env) {
    const { all, from } = call.flags;
    const by = byOf(call);
    if (all === true) {
      if (from !== undefined) throw new Failure(`Invalid --from "${from}": it contradicts --all, give one of them`);
      await liftAll(call, by, env);
      return 0;
    }
    if (typeof from === "string") return sendList({ ...call, file: from, path: "/lifts/list", done: "Lifted" }, env);
    return eachOperand(call, env, async (address) => shown(call, await liftedOf(call, address, by)));
  },
});

/** @returns a Failure when there was nothing to lift. @throws Failure */
async function liftedOf({ daemon }: DaemonCall, address: string, by: string | undefined): Promise<Lifted | Failure> {
  const reply = await daemon.ask("DELETE", `/bans/${encodeURIComponent(address)}${byQuery(by)}`);
  if (reply.status === statusAbsent) return refusal(reply);
  if (reply.status !== 200) throw refusal(reply);
  return reply.body as Lifted;
}

function byQuery(by: string | undefined): string {
  return by === undefined ? "" : `?by=${by}`;
}

/** @throws Failure where somebody is banned still. */
async function liftAll(call: DaemonCall, by: string | undefined, { stdout }: Env): Promise<void> {
  const reply = await call.daemon.ask("DELETE", `/bans${byQuery(by)}`);
  if (reply.status !== 200) throw refusal(reply);
  const answer = reply.body as Lifted;
  const { lifted, staying = [], foreign = 0 } = answer;
  const isNothing = lifted.length + staying.length === 0;
  if (!isNothing) stdout.line(shown(call, answer));
  if (foreign > 0) {
    const remedy = '"ttgate bans --by foreign" lists them, take them out with that tool';
    throw new Failure(`Another tool's entries in the map stay, ${foreign} of them: ${remedy}`, { exitCode: 1 });
  }
  const nobody = new Failure(`Nobody is banned${by === undefined ? "" : ` by ${by}`}`, { exitCode: 1 });
  if (isNothing) stdout.line(shown(call, nobody));
}

/** @throws Failure when there was nothing to lift, unless that is as good. */
function shown({ flags, json }: DaemonCall, answer: Lifted | Failure): string {
  if (answer instanceof Failure) {
    if (flags["idempotent"] !== true) throw answer;
    return json ? JSON.stringify({ lifted: [] }) : answer.message;
  }
  const { lifted, staying = [] } = answer;
  if (json) return JSON.stringify({ lifted, ...(staying.length === 0 ? {} : { staying }) });
  const parts = [
    ...(lifted.length === 0 ? [] : [`Lifted ${listed(lifted)}`]),
    ...(staying.length === 0 ? [] : [`Ended the claim on ${listed(staying)}: still banned by somebody else`]),
  ];
  return parts.join("; ");
}

/** A line that a person reads. */
function listed(sources: readonly string[]): string {
  const more = sources.length - mostListed;
  return sources.slice(0, mostListed).join(", ") + (more > 0 ? ` and ${more} more` : "");
}
