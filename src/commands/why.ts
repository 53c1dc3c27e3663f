// SPDX-License-Identifier: Apache-2.0
// `ttgate why`: everything known about an address: its ban, the evidence, kernel counters, and what the
// live program does with it.

import { banTable } from "../cli/ban_table.ts";
import { green, red } from "../cli/colour.ts";
import type { Command } from "../cli/command.ts";
import { refusal } from "../cli/daemon_client.ts";
import { daemonCommand } from "../cli/daemon_command.ts";
import { eachOperand } from "../cli/each_operand.ts";
import type { Output } from "../cli/env.ts";
import { eventLine } from "../cli/event_line.ts";
import { defaultGateName } from "../config/gates.ts";
import { balancerAdvice, customerAdvice } from "../core/bans/advice.ts";
import { byConduct } from "../core/bans/offenders.ts";
import { manual } from "../core/bans/reason.ts";
import { refusalText } from "../core/bans/refusal.ts";
import { conducts } from "../core/bans/strikes.ts";
import { formatDuration } from "../core/duration.ts";
import { betWords } from "../core/profile/explain.ts";
import { oneLine } from "../log.ts";
import type { BanDetails, ClaimView, Why } from "../status/snapshot.ts";

export const why: Command = daemonCommand({
  name: "why",
  operand: "ADDR|CIDR",
  about: "everything known about an address or a range",
  description: `Shows everything known about an address: its ban, the evidence, kernel counters, and the live program's own answer. Of a
range: what covers it, and every ban inside it.`,
  run(call, env) {
    return eachOperand(call, env, async (address) => {
      const reply = await call.daemon.ask("GET", `/why/${encodeURIComponent(address)}`);
      if (reply.status !== 200) throw refusal(reply);
      const found = reply.body as Why;
      return call.json ? JSON.stringify(found) : rendered(found, env.stdout).join("\n");
    });
  },
});

/** A gate that was given no name is the only one. */
function whereText({ gate, scope }: Pick<ClaimView, "gate" | "scope">): string {
  if (gate === null || gate === defaultGateName) return "";
  return `, at gate "${gate}"${scope === "gate" ? " alone" : ""}`;
}

function rendered(
  {
    address,
    source,
    ban,
    neverBanned,
    offender,
    kernel,
    connections,
    undecided = 0,
    lately = [],
    balancer,
    within,
  }: Why,
  stdout: Output,
): string[] {
  const verdict = ban === null ? green(stdout, "is not banned") : red(stdout, "is banned");
  const lines = [`${address} ${verdict}${ban === null ? "" : banText(ban)}`];
  if (source !== address) lines.push(`source:   ${source}`);
  if (ban !== null) lines.push(...evidenceText(ban), ...claimsText(ban), `kept out: ${refusalText(ban.refused)}`);
  if (neverBanned !== null) lines.push(`never banned: ${neverBanned.prefix} (${neverBanned.why})`);
  if (offender !== null) lines.push(`banned:   ${offender.bans} times lately, the last one until ${offender.until}`);
  if (kernel.fold !== null)
    lines.push(`folded:   the map is full, so ${kernel.fold} blocks its neighbours too, most of which are banned`);
  lines.push(`kernel:   ${kernelText(ban, kernel)}`);
  if (connections > 0) lines.push(`open now: ${connections} connections`);
  if (undecided > 0)
    lines.push(`undecided: ${undecided} connections in ten minutes were closed: neither expected nor known as foreign`);
  // What began a ban that goes on is told above.
  if (ban === null) lines.push(...lately.map((event) => `lately:   ${oneLine(eventLine(event))}`));
  if (within !== null) lines.push(...withinText(within));
  if (ban !== null && byConduct.has(ban.by)) {
    // A gate of an earlier version does not say.
    lines.push(`advice:   ${balancer ? balancerAdvice(balancer) : customerAdvice(ban.source)}`);
  }
  return lines;
}

function withinText({ total, bans }: NonNullable<Why["within"]>): string[] {
  if (total === 0) return ["inside:   no other ban"];
  const more = bans.length < total ? [`  the newest ${bans.length} are shown: more with ttgate bans --in --limit`] : [];
  return [`inside:   ${total} bans`, ...banTable(bans).map((line) => `  ${line}`), ...more];
}

function banText({ remainingSeconds, source, protocol, by, gate, scope }: BanDetails): string {
  const left = remainingSeconds === null ? "without an end" : `for another ${formatDuration(remainingSeconds * 1000)}`;
  return ` (${source}) ${left}: ${reasonOf(by, protocol)}${whereText({ gate, scope })}`;
}

function reasonOf(origin: string, protocol: string): string {
  const conduct = origin === "strikes" || origin === "server" ? conducts.get(protocol) : undefined;
  if (conduct !== undefined) return conduct;
  const reasons: Readonly<Record<string, string>> = {
    sniffer: `it spoke ${protocol}`,
    kernel: `it spoke ${protocol}, seen by the kernel program`,
    operator: "by command",
    map: `another tool wrote it into the map (${protocol})`,
    foreign: "another tool's entry in the map",
    crowdsec: `CrowdSec decided so (${protocol})`,
  };
  if (origin.startsWith("gate:")) return `${spoken(protocol)}, seen by the gate ${origin.slice(5)} of the fleet`;
  return reasons[origin] ?? (origin.startsWith("list:") ? `on the list ${origin.slice(5)}` : `by ${origin}`);
}

/** What another gate says that it saw. */
function spoken(protocol: string): string {
  if (protocol === manual) return "by command";
  return conducts.get(protocol) ?? `it spoke ${protocol}`;
}

/** Where more than one wants it banned, each with its end. */
function claimsText({ claims }: BanDetails): string[] {
  if (claims.length < 2) return [];
  return claims.map(
    ({ origin, protocol, until, ...where }) =>
      `claim:    ${reasonOf(origin, protocol)}${whereText(where)}, until ${until ?? "it is lifted"}`,
  );
}

function evidenceText({ since, evidence }: BanDetails): string[] {
  if (evidence === null) return [`since:    ${since}`];
  const { client, port, firstBytesText, firstBytesHex, bet } = evidence;
  return [
    `since:    ${since}, ${client} to port ${port}`,
    `said:     ${firstBytesText}`,
    `in hex:   ${firstBytesHex}`,
    ...(bet === undefined ? [] : [`told by:  ${betWords(bet)}`]),
  ];
}

function kernelText(ban: BanDetails | null, { answer, fence }: Why["kernel"]): string {
  const silent = fence === "nftables" ? "nftables, which is not asked" : "no program to ask";
  const says = answer === null ? silent : `the live program says ${answer}`;
  if (ban === null || ban.packets === null) return says;
  const seen = ban.lastSeen === null ? "" : `, last at ${ban.lastSeen}`;
  return `${says}, ${ban.packets} packets and ${ban.bytes} bytes dropped${seen}`;
}
