// SPDX-License-Identifier: Apache-2.0
// Bans and lifts that a person asks for, one or a slice of a list. Says no to slips of the finger: what is
// not an address, too wide a range, a range that holds IPv4 and IPv6.

import { coversBoth, type Prefix, parsePrefix, requirePrefix } from "../core/address.ts";
import type { BanRequest } from "../core/bans/change.ts";
import type { Asking, Ban, Origin } from "../core/bans/claim.ts";
import type { Enforcement } from "../core/bans/enforcement.ts";
import type { NeverBanEntry } from "../core/bans/never_ban.ts";
import { manual } from "../core/bans/reason.ts";
import { sourceBits, sourceOf } from "../core/client.ts";
import { quoted } from "../core/quoted.ts";
import type { BanOptions, ChangeLine, ChangeResult, Lifted, LineFailure, Refusal } from "./answer.ts";

/** /16 and, in the 128-bit form of IPv4, 96 more. */
const widestIpv4Bits = 112;
const widestIpv6Bits = 32;
/** Neither holds the other. */
const everything = [requirePrefix("0.0.0.0/0"), requirePrefix("::/0")];
/** Between two turns of who asks how many there are. */
const lookedAtAtOnce = 1000;

export interface OperatorOptions {
  readonly enforcement: Enforcement;
  /** How long a ban lasts for which no time is given. */
  readonly timeoutMs: () => number;
  readonly ipv6Bits: number;
  readonly nowMs: () => number;
}

export class Operator {
  readonly #options: OperatorOptions;

  constructor(options: OperatorOptions) {
    this.#options = options;
  }

  /**
   * @param text ADDR (the source it belongs to) or CIDR.
   * @param by whose claim it is: a person's, or that of a tool that asks by command.
   */
  ban(text: string, { forMs, force, by }: BanOptions): ChangeResult<Ban> {
    const { enforcement, nowMs } = this.#options;
    const prefix = this.#wanted(text, force);
    if ("message" in prefix) return prefix;
    const result = enforcement.ban(this.#request(prefix, forMs, by), nowMs());
    return result.kind === "spared" ? this.#protectedBy(text, result.conflict) : { kind: "done", value: result.ban };
  }

  /**
   * A slice of a list, by batch calls. Lines that cannot be carried out are told; the others are.
   * @returns how many sources were banned.
   */
  banSlice(lines: readonly ChangeLine[], origin: Origin, force: boolean, failures: LineFailure[]): number {
    const accepted: ChangeLine[] = [];
    const requests: BanRequest[] = [];
    for (const line of lines) {
      const wanted = this.#wanted(line.text, force);
      if ("message" in wanted) {
        failures.push({ line: line.number, message: wanted.message });
        continue;
      }
      accepted.push(line);
      requests.push(this.#request(wanted, line.forMs, origin));
    }
    const { enforcement, nowMs } = this.#options;
    let banned = 0;
    for (const [index, result] of enforcement.banMany(requests, nowMs()).entries()) {
      const line = accepted[index];
      if (result.kind === "banned") banned++;
      else if (line !== undefined) {
        failures.push({ line: line.number, message: this.#protectedBy(line.text, result.conflict).message });
      }
    }
    return banned;
  }

  /** A range a slice between two turns of the caller. @param by whose claims alone; an operator ends all. */
  *lift(text: string, by: Asking): Generator<void, ChangeResult<Lifted>, void> {
    const { enforcement, nowMs } = this.#options;
    const prefix = this.prefixOf(text);
    if (prefix === undefined) return notAnAddress(text);
    const isAll = by === "operator";
    const { ended, staying } = yield* enforcement.lift([prefix], nowMs, isAll ? undefined : by);
    if (ended.length > 0 || (!isAll && staying.length > 0)) {
      return { kind: "done", value: { lifted: ended, staying: isAll ? [] : staying, foreign: 0 } };
    }
    if (!isAll) return { kind: "absent", message: `Not banned: "${text}" by ${by}` };
    const left = enforcement.bans.get(prefix);
    return left?.origin === "foreign" ? foreignEntry(text) : this.#notLifted(text, prefix);
  }

  /** Everything, of both families. @param by whose claims alone; an operator ends all. */
  *liftAll(by: Asking): Generator<void, Lifted, void> {
    const { enforcement, nowMs } = this.#options;
    const isAll = by === "operator";
    const { ended, staying } = yield* enforcement.lift(everything, nowMs, isAll ? undefined : by);
    if (!isAll) return { lifted: ended, staying, foreign: 0 };
    return { lifted: ended, staying: [], foreign: yield* this.#foreignEntries() };
  }

  *#foreignEntries(): Generator<void, number, void> {
    const { bans } = this.#options.enforcement;
    let looked = 0;
    let foreign = 0;
    for (const { origin } of bans.all()) {
      if (origin === "foreign") foreign++;
      if (++looked % lookedAtAtOnce === 0) yield;
    }
    return foreign;
  }

  /** A slice of a list of lifts; a range in it takes several turns. @returns how many bans ended. */
  *liftSlice(lines: readonly ChangeLine[], failures: LineFailure[]): Generator<void, number, void> {
    const prefixes = lines.flatMap(({ text, number }) => {
      const prefix = this.prefixOf(text);
      if (prefix === undefined) failures.push({ line: number, message: notAnAddress(text).message });
      return prefix ?? [];
    });
    const { ended } = yield* this.#options.enforcement.lift(prefixes, this.#options.nowMs);
    return ended.length;
  }

  /** ADDR is the source it belongs to, as the sniffer bans it; CIDR is taken as it stands. */
  prefixOf(text: string): Prefix | undefined {
    const prefix = parsePrefix(text);
    return prefix === undefined || text.includes("/") ? prefix : sourceOf(prefix, this.#options.ipv6Bits);
  }

  #request(prefix: Prefix, forMs: number | undefined, origin: Origin): BanRequest {
    const { nowMs, timeoutMs } = this.#options;
    return { prefix, reason: manual, origin, untilMs: nowMs() + (forMs ?? timeoutMs()) };
  }

  /** What a person may ban, or why not; the never-ban list has its say later. */
  #wanted(text: string, force: boolean): Prefix | Refusal {
    const prefix = this.prefixOf(text);
    if (prefix === undefined) return notAnAddress(text);
    // The kernel's trie holds IPv4 in 128 bits: such a ban would take it out too.
    if (coversBoth(prefix) && !this.#options.enforcement.bans.isSource(prefix)) return mixed(text);
    return !force && isWide(prefix) ? tooWide(text) : prefix;
  }

  #protectedBy(text: string, { prefix, why }: NeverBanEntry): Refusal {
    const single = text.includes("/") ? undefined : parsePrefix(text);
    // A neighbour in the same IPv6 network is protected, or the network of all link-local addresses.
    const isFree = single !== undefined && this.#options.enforcement.neverBan.conflict(single) === undefined;
    const remedy = isFree ? `; ${single.text}/128 bans this address alone` : "";
    return { kind: "refused", message: `Cannot ban "${text}": ${prefix.text} is never banned (${why})${remedy}` };
  }

  #notLifted(text: string, prefix: Prefix): Refusal {
    const { enforcement, nowMs } = this.#options;
    const covering = enforcement.bans.covering(prefix, nowMs());
    if (covering === undefined) return { kind: "absent", message: `Not banned: "${text}"` };
    const message = `Cannot lift "${text}": it is covered by the ban of ${covering.prefix.text}, lift that`;
    return { kind: "refused", message };
  }
}

/** A slip of the finger that takes a continent out. Where NAT64 puts IPv4 a range is as wide as that of IPv4. */
export function isWide(prefix: Prefix): boolean {
  return prefix.bits < (sourceBits(prefix, widestIpv6Bits) === 128 ? widestIpv4Bits : widestIpv6Bits);
}

function foreignEntry(text: string): Refusal {
  const remedy = "take it out with the tool that wrote it, such as bpftool map delete";
  return { kind: "refused", message: `Cannot lift "${text}": another tool's entry without an end; ${remedy}` };
}

function tooWide(text: string): Refusal {
  return {
    kind: "refused",
    message: `Cannot ban "${text}": wider than /16 (IPv6 /32, behind NAT64 /112), use --force if you mean it`,
  };
}

function mixed(text: string): Refusal {
  return { kind: "refused", message: `Cannot ban "${text}": IPv4 lies in it too; 2000::/3 is the IPv6 internet` };
}

export function notAnAddress(text: string): Refusal {
  return {
    kind: "invalid",
    message: `Invalid address ${quoted(text)}: expected such as 192.0.2.1, 192.0.2.0/24 or 2001:db8::1`,
  };
}
