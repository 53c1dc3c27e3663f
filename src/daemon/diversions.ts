// SPDX-License-Identifier: Apache-2.0
// Rules of the packet filter that lead connections to a guarded port past its gate: strangers reach what is behind it,
// or nobody does. Looked for whenever the rules were changed.
import type { HostPort } from "../config/endpoints.ts";
import { isIpv4, isWildcard, type Prefix, parsePrefix } from "../core/address.ts";
import {
  type Diversion,
  diversionsFrom,
  type Family,
  type FilterRules,
  type Guarded,
  readFilterRules,
} from "../host/redirects.ts";
import { FilterGeneration } from "../kernel/filter_generation.ts";
import type { Libc } from "../kernel/libc.ts";
import { hasAddress } from "../kernel/own_address.ts";
import type { Log } from "../log.ts";

/** Of the time: where there are many rules, listing them takes seconds, and some tools change them all the time. */
const share = 1 / 50;

export interface DiversionsParts {
  readonly libc: Libc;
  readonly listens: () => readonly HostPort[];
  readonly log: Log;
}

export class Diversions implements Disposable {
  readonly #parts: DiversionsParts;
  #generations: FilterGeneration | undefined;
  #generation: number | undefined;
  #dueMs = Number.NEGATIVE_INFINITY;
  #rules: FilterRules = { nft: [], ip: [], ip6: [] };
  #reasons: readonly string[] = [];
  #isClosed = false;

  constructor(parts: DiversionsParts) {
    this.#parts = parts;
  }

  /** For /readyz. */
  get reasons(): readonly string[] {
    return this.#reasons;
  }

  /** Once a second. Where the rules cannot be read there are none. */
  async tick(nowMs: number): Promise<void> {
    if (this.#isClosed) return;
    const { libc } = this.#parts;
    this.#generations ??= new FilterGeneration(libc);
    const generation = this.#generations.read();
    if (generation !== undefined && generation !== this.#generation && nowMs >= this.#dueMs) {
      const startMs = performance.now();
      this.#rules = await readFilterRules();
      this.#generation = generation;
      this.#dueMs = nowMs + (performance.now() - startMs) / share;
    }
    this.#judge();
  }

  /** Again and again: the ports, and this host's addresses, change too. */
  #judge(): void {
    const { libc, listens, log } = this.#parts;
    const before = this.#reasons;
    const all = listens();
    this.#reasons = all.flatMap((listen) =>
      diversionsFrom(this.#rules, guarded(libc, listen, all)).flatMap((rule) =>
        rule.isWhole ? [`${divertedText(listen.port, rule)}: ${diversionRemedy}`] : [],
      ),
    );
    for (const reason of this.#reasons) if (!before.includes(reason)) log("error", reason);
    if (this.#reasons.length === 0 && before.length > 0)
      log("info", "No rule leads connections past the gate any more");
  }

  /** Idempotent. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#generations?.[Symbol.dispose]();
  }
}

export function guarded(libc: Libc, { host, port }: HostPort, all: readonly HostPort[]): Guarded {
  const isOwn = (address: string) => hasAddress(libc, address);
  const listened = parsePrefix(host);
  const isListenedTo = (address: string) =>
    isWildcard(host) ? isOwn(address) : parsePrefix(address)?.text === listened?.text;
  return { port, ports: all.map((listen) => listen.port), families: familiesOf(listened), isOwn, isListenedTo };
}

/** Whoever listens at :: has the connections of IPv4 too. */
function familiesOf(listened: Prefix | undefined): readonly Family[] {
  if (listened === undefined || listened.text === "::") return ["ip", "ip6"];
  return isIpv4(listened) ? ["ip"] : ["ip6"];
}

/** Also said by doctor. */
export const diversionRemedy = "remove the rule, or guard the port that it leads to";

export function divertedText(port: number, { text, isWhole }: Diversion): string {
  const whose = isWhole ? "Connections to port " : "Some connections to port ";
  return `${whose}${port} are led past the gate: ${text}`;
}
