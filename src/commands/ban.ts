// SPDX-License-Identifier: Apache-2.0
// `ttgate ban` and `ttgate lift`: change the time-out table of the gate that runs.
import { refusal } from "../control.ts";
import { formatDuration } from "../core/duration.ts";
import { Failure } from "../failure.ts";
import type { BanView } from "../snapshot.ts";
import { asking } from "./reading.ts";

const banShape = {
  name: "ban",
  operands: "ADDR|CIDR",
  count: 1,
  about: "Bans a source. ADDR is the source it belongs to: an IPv6 address means its network of the ban prefix.",
  flags: { for: { short: "f", value: "DURATION", help: "such as 1h, or ever (default: the gate's --timeout)" } },
};

const liftShape = {
  name: "lift",
  operands: "ADDR|CIDR",
  count: 1,
  about: "Ends the ban of a source; with CIDR also every ban inside it.",
};

export async function ban(args: readonly string[]): Promise<number> {
  const call = asking(args, banShape);
  if (call === undefined) return 0;
  const body = { address: call.positionals[0], for: call.flags["for"] };
  const reply = await call.control.ask("POST", "/bans", body);
  if (reply.status !== 201) throw refused(refusal(reply), reply.status);
  const view = reply.body as BanView;
  const duration = view.remainingSeconds === null ? "ever" : formatDuration(view.remainingSeconds * 1000);
  console.log(call.json ? JSON.stringify(view) : `Banned ${view.source} for ${duration}`);
  return 0;
}

export async function lift(args: readonly string[]): Promise<number> {
  const call = asking(args, liftShape);
  if (call === undefined) return 0;
  const reply = await call.control.ask("DELETE", `/bans/${encodeURIComponent(call.positionals[0] ?? "")}`);
  if (reply.status !== 200) throw refused(refusal(reply), reply.status);
  const { lifted } = reply.body as { lifted: readonly string[] };
  console.log(call.json ? JSON.stringify({ lifted }) : `Lifted ${lifted.join(", ")}`);
  return 0;
}

/** 400: the value is wrong, a usage error. Anything else was understood and refused. */
function refused(message: string, status: number): Failure {
  return new Failure(message, { exitCode: status === 400 ? 2 : 3 });
}
