// SPDX-License-Identifier: Apache-2.0
// `ttgate ban`: bans sources, or a list of them.
import { basename } from "node:path";
import { listFlag, sendList } from "../cli/ban_list.ts";
import { byFlag, byOf } from "../cli/by_flag.ts";
import type { Command } from "../cli/command.ts";
import { refusal } from "../cli/daemon_client.ts";
import { type DaemonCall, daemonCommand } from "../cli/daemon_command.ts";
import { eachOperand } from "../cli/each_operand.ts";
import type { Env } from "../cli/env.ts";
import { momentForms, parseMoment } from "../cli/moment.ts";
import { formatDuration, longestDurationMs, spellDuration } from "../core/duration.ts";
import { Failure } from "../failure.ts";
import type { BanView } from "../status/snapshot.ts";

export const ban: Command = daemonCommand({
  name: "ban",
  operand: "ADDR|CIDR",
  about: "ban sources, --for 1h",
  description: `Bans sources. An IPv6 address stands for its whole network of the ban prefix (--ipv6-prefix). Who is banned already stays
so for the longer of both times: it is no error to ban twice.`,
  flags: {
    for: { short: "f", value: "DURATION", help: "such as 1h, or ever (default: the gate's --timeout)" },
    until: { value: "TIME", help: `such as ${momentForms}; without a zone it is this host's time` },
    from: listFlag,
    force: { help: "also ban ranges wider than /16 (IPv6 /32, behind NAT64 /112)" },
    by: byFlag,
  },
  async run(call, env) {
    const { from } = call.flags;
    const by = byOf(call);
    const duration = durationOf(call, env);
    const force = call.flags["force"] === true;
    if (typeof from === "string") {
      const query = new URLSearchParams({
        force: String(force),
        name: listName(from),
        ...(duration === undefined ? {} : { for: duration }),
      });
      return sendList({ ...call, file: from, path: `/bans/list?${query}`, done: "Banned" }, env);
    }
    return eachOperand(call, env, async (address) => {
      const reply = await call.daemon.ask("POST", "/bans", { address, for: duration, force, by });
      if (reply.status !== 201) throw refusal(reply);
      const view = reply.body as BanView;
      return call.json ? JSON.stringify(view) : rendered(view, by ?? "operator");
    });
  },
});

/** @throws Failure when both are given, or the moment is none or past. */
function durationOf({ flags: { for: duration, until } }: DaemonCall, env: Env): string | undefined {
  if (typeof until !== "string") return typeof duration === "string" ? duration : undefined;
  const fail = (reason: string) => new Failure(`Invalid --until "${until}": ${reason}`, { exitCode: 2 });
  if (duration !== undefined) throw fail("it contradicts --for, give one of them");
  const nowMs = env.nowMs();
  const untilMs = parseMoment(until, nowMs);
  if (untilMs === undefined) throw fail(`expected such as ${momentForms}`);
  if (untilMs <= nowMs) throw fail(`it is past, now is ${new Date(nowMs).toISOString()}`);
  if (untilMs - nowMs > longestDurationMs) throw fail("it is more than ten years away, use --for ever");
  return spellDuration(untilMs - nowMs);
}

/** Where somebody else wants the source banned for longer, that is how long it is. */
function rendered({ source, remainingSeconds, by }: BanView, asked: string): string {
  const left = remainingSeconds === null ? "ever" : formatDuration(remainingSeconds * 1000);
  return `Banned ${source} for ${left}${by === asked ? "" : ` (by ${by})`}`;
}

/** The name that its bans go by: that of the file. */
function listName(file: string): string {
  return file === "-"
    ? "stdin"
    : basename(file)
        .replaceAll(/[^A-Za-z0-9._-]/g, "-")
        .slice(0, 64);
}
