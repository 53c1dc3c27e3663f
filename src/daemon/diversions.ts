// SPDX-License-Identifier: Apache-2.0
// Rules of the packet filter that a gate cannot stand beside. Those that lead connections to a guarded port past its
// gate: strangers reach what is behind it, or nobody does. Where the kernel judges, those that make the handshake
// (SYNPROXY), of whose connections it finds no first byte; and those that lead other ports' connections to the server,
// which nobody judges. Looked for whenever the rules were changed.
import type { HostPort } from "../config/endpoints.ts";
import { isIpv4, isWildcard, type Prefix, parsePrefix } from "../core/address.ts";
import { interfacesOf, isOfBridge, isVirtual } from "../host/addresses.ts";
import {
  diversionsFrom,
  FilterReader,
  type FilterRules,
  handshakeProxies,
  hasLegacyRedirects,
  redirectsTo,
} from "../host/packet_filter/filter_rules.ts";
import type { Diversion, Family, Guarded, RedirectRule } from "../host/packet_filter/rule.ts";
import { FilterGeneration } from "../kernel/filter_generation.ts";
import type { Libc } from "../kernel/libc.ts";
import { hasAddress } from "../kernel/own_address.ts";
import type { Log } from "../log.ts";
import { Told } from "./told.ts";

/** Of the time: where there are many rules, listing them takes seconds, and some tools change them all the time. */
const share = 1 / 50;
/** Of the legacy iptables nobody tells that they were changed. */
const legacyMs = 4000;

export interface JudgedListen extends HostPort {
  /** The kernel alone judges. */
  readonly alone: boolean;
  /** It lets everybody in: a dry run, or a trial. */
  readonly bansNobody: boolean;
}

export interface DiversionsParts {
  readonly libc: Libc;
  readonly listens: () => readonly HostPort[];
  /** Of the gates whose first bytes the kernel judges. */
  readonly judged: () => readonly JudgedListen[];
  readonly log: Log;
}

export class Diversions implements Disposable {
  readonly #parts: DiversionsParts;
  readonly #diverted: Told;
  readonly #answered: Told;
  readonly #foreseen: Told;
  readonly #unjudged: Told;
  readonly #reader = new FilterReader();
  #generations: FilterGeneration | undefined;
  #generation: number | undefined;
  #dueMs = Number.NEGATIVE_INFINITY;
  #rules: FilterRules = { nft: [], ip: [], ip6: [] };
  #isClosed = false;

  constructor(parts: DiversionsParts) {
    this.#parts = parts;
    this.#diverted = new Told("No rule leads connections past the gate any more", "error", parts.log);
    this.#answered = new Told("No rule makes the handshake for a judged port any more", "error", parts.log);
    this.#foreseen = new Told("No rule makes the handshake for a port on trial any more", "warn", parts.log);
    this.#unjudged = new Told("No rule leads other ports' connections to a judged port any more", "warn", parts.log);
  }

  /** For /readyz. */
  get reasons(): readonly string[] {
    return [...this.#diverted.texts, ...this.#answered.texts];
  }

  /** What lets some connections in unjudged, or may, or would shut all out, and is no reason for /readyz to be red. */
  get notes(): readonly string[] {
    const { unread } = this.#rules;
    const unknown = unread === undefined ? [] : [unreadText(unread)];
    return [...this.#foreseen.texts, ...this.#unjudged.texts, ...unknown];
  }

  /** Once a second. What a tool told before holds where it does not answer now. */
  async tick(nowMs: number): Promise<void> {
    if (this.#isClosed) return;
    const { libc } = this.#parts;
    this.#generations ??= new FilterGeneration(libc);
    const generation = this.#generations.read();
    const isChanged = generation !== undefined && generation !== this.#generation;
    if (nowMs >= this.#dueMs && (isChanged || hasLegacyRedirects())) {
      const startMs = performance.now();
      this.#rules = await this.#reader.read(isChanged || generation === undefined);
      if (!this.#reader.isStale) this.#generation = generation;
      this.#dueMs = nowMs + Math.max((performance.now() - startMs) / share, isChanged ? 0 : legacyMs);
    }
    this.#judge();
  }

  /** Again and again: the ports, and this host's addresses, change too. */
  #judge(): void {
    const { libc, listens, judged } = this.#parts;
    const all = listens();
    const rules = this.#rules;
    const diversions = all.flatMap((listen) =>
      diversionsFrom(rules, guarded(libc, listen, all)).map((rule) => ({ port: listen.port, rule })),
    );
    const whole = diversions.filter(({ rule }) => rule.isWhole);
    this.#diverted.hold(whole.map(({ port, rule }) => `${divertedText(port, rule)}: ${diversionRemedy}`));
    const answered = (bansNobody: boolean) =>
      judged()
        .filter((listen) => listen.bansNobody === bansNobody)
        .flatMap((listen) =>
          handshakeProxies(rules, guarded(libc, listen, all)).map(
            (rule) => `${answeredText(listen.port, rule, bansNobody)}: ${answeredRemedy}`,
          ),
        );
    this.#answered.hold(answered(false));
    this.#foreseen.hold(answered(true));
    const known = new Set(diversions.map(({ rule }) => rule.text));
    const others = judged().flatMap(({ port, alone }) =>
      (alone ? redirectsTo(rules, port) : []).map(({ text }) => ({ port, text })),
    );
    this.#unjudged.hold(
      others.flatMap(({ port, text }) =>
        known.has(text) ? [] : [`${unjudgedText(port, text)}: ${toPortRemedy(port)}`],
      ),
    );
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
  const comesBy = (isMatched: (name: string) => boolean) => {
    const ways = waysTo(host);
    return (ways.length > 0 && ways.every(isMatched)) || ways.some((name) => isMatched(name) && !isVirtual(name));
  };
  const ports = all.map((listen) => listen.port);
  return { port, ports, families: familiesOf(listened), isOwn, isListenedTo, comesBy };
}

/** Those by which clients come; bridges of containers, and what hangs on them, only where there are no others. */
function waysTo(host: string): readonly string[] {
  const all = interfacesOf(host);
  const outside = all.filter((name) => !isOfBridge(name));
  return outside.length > 0 ? outside : all;
}

/** Whoever listens at :: has the connections of IPv4 too. */
function familiesOf(listened: Prefix | undefined): readonly Family[] {
  if (listened === undefined || listened.text === "::") return ["ip", "ip6"];
  return isIpv4(listened) ? ["ip"] : ["ip6"];
}

/** Also said by doctor. */
export function unreadText(why: string): string {
  return `Rules of the legacy iptables cannot be listed, and may lead connections past the gate: ${why}`;
}

/** Likewise. */
export const diversionRemedy = "remove the rule, or guard the port that it leads to";

export function divertedText(port: number, { text, isWhole }: Diversion): string {
  const whose = isWhole ? "Connections to port " : "Some connections to port ";
  return `${whose}${port} are led past the gate: ${text}`;
}

/** Also said by doctor. */
export const answeredRemedy = "remove the rule: net.ipv4.tcp_syncookies protects as well";

export function answeredText(port: number, { text }: RedirectRule, bansNobody: boolean): string {
  const why = `a rule makes the handshake (SYNPROXY), and changes sequence numbers behind the kernel program: ${text}`;
  return bansNobody ? `Nobody would get in at port ${port}: ${why}` : `Nobody gets in at port ${port}: ${why}`;
}

function unjudgedText(port: number, text: string): string {
  return `Some connections to the server of port ${port} are not judged: a rule leads them there: ${text}`;
}

/** Also said by doctor. */
export function toPortRemedy(port: number): string {
  return `remove the rule, and have clients connect to port ${port} itself`;
}
