// SPDX-License-Identifier: Apache-2.0
// Rules of this host's packet filter that change connections after XDP has seen their packets. Redirects, destination
// NAT and transparent proxying lead to a port, or away from it; SYNPROXY makes the handshake itself, and changes sequence
// numbers from then on. Read by nft and iptables-save where they are installed and allowed; nothing is changed.
import { isLoopback } from "../core/address.ts";
import { isVirtual } from "./addresses.ts";
import { runProgram } from "./program.ts";

/** The rules that change TCP connections; none where a tool is not installed, or does not answer. */
export interface FilterRules {
  readonly nft: readonly NftRule[];
  /** Of iptables-save. */
  readonly ip: readonly IptablesRule[];
  /** Of ip6tables-save. */
  readonly ip6: readonly IptablesRule[];
}

/** A rule, as the tool that lists it writes it, with where it stands. */
export interface RedirectRule {
  readonly text: string;
}

/** Of a rule that leads connections elsewhere. */
export interface Diversion extends RedirectRule {
  /** It does so with every connection to the port that comes from outside, as far as can be told. */
  readonly isWhole: boolean;
}

export async function readFilterRules(): Promise<FilterRules> {
  const [nft, ip, ip6] = await Promise.all([
    output("nft", ["--json", "--terse", "list", "ruleset"]),
    savedRules("iptables"),
    savedRules("ip6tables"),
  ]);
  return { nft: parseNft(nft), ip: parseIptables(ip), ip6: parseIptables(ip6) };
}

/** Of both kinds of iptables: one does not list the other's. */
async function savedRules(tool: string): Promise<string> {
  const [saved, legacy] = await Promise.all([output(`${tool}-save`, []), output(`${tool}-legacy-save`, [])]);
  const rules = (text: string) => text.split("\n").filter((line) => line.startsWith("-A "));
  return [...new Set([...rules(saved), ...rules(legacy)])].join("\n");
}

async function output(program: string, args: readonly string[]): Promise<string> {
  let text = "";
  try {
    await runProgram(program, args, { onText: (piece) => (text += piece) });
    return text;
  } catch {
    return "";
  }
}

export function redirectsTo({ nft, ip, ip6 }: FilterRules, port: number): readonly RedirectRule[] {
  return [...nftRedirects(nft, port), ...iptablesRedirects([...ip, ...ip6], port)];
}

export type Family = "ip" | "ip6";

/** A guarded port, and what else is here. */
export interface Guarded {
  readonly port: number;
  /** All that are guarded here: what is led from one to another is no diversion. */
  readonly ports: readonly number[];
  /** Of the addresses that the gate listens at. */
  readonly families: readonly Family[];
  /** Whether an address is this host's. */
  isOwn(address: string): boolean;
  /** Whether connections to an address are for the gate of this port. */
  isListenedTo(address: string): boolean;
}

export function diversionsFrom(rules: FilterRules, guarded: Guarded): readonly Diversion[] {
  const ofIptables = guarded.families.flatMap((family) => iptablesDiversions(rules[family], guarded));
  return [...nftDiversions(rules.nft, guarded), ...ofIptables];
}

/** Rules by which the packet filter itself answers whoever connects to a guarded port. */
export function handshakeProxies(rules: FilterRules, guarded: Guarded): readonly RedirectRule[] {
  const ofNft = rules.nft.filter(
    ({ statement, isEntered, family, matched }) =>
      statement === "synproxy" && isEntered && isOfFamilies(family, guarded) && holds(matched, guarded.port),
  );
  const ofIptables = guarded.families.flatMap((family) =>
    rules[family].filter(
      ({ line, isEntered }) => isEntered && isHandshakeProxy(line) && within(portsFrom(line), guarded.port),
    ),
  );
  return [...ofNft, ...ofIptables.map(({ line }) => ({ text: `iptables ${line}` }))];
}

/** Statements of nft's JSON (libnftables-json(5)) that change the destination, or make the handshake. */
const statements = ["redirect", "dnat", "tproxy", "synproxy"] as const;

type Json = Readonly<Record<string, unknown>>;

/** Where a rule leads to, as far as it says. */
interface Target {
  /** "set": a field of the packet, as `tcp dport set 5001` does, without knowing of connections. */
  readonly statement: (typeof statements)[number] | "set";
  readonly port?: unknown;
  readonly address?: unknown;
}

export interface NftRule extends RedirectRule, Target {
  /** What comes from outside goes through its chain, or may. */
  readonly isEntered: boolean;
  readonly family: unknown;
  readonly expressions: readonly Json[];
  /** The ports that it is for. */
  readonly matched: unknown;
}

export function nftRedirects(rules: readonly NftRule[], port: number): readonly RedirectRule[] {
  // Without a port of its own, a connection keeps the one that it came to.
  return rules.filter((rule) => rule.statement !== "synproxy" && holds(rule.port ?? rule.matched, port));
}

export function nftDiversions(rules: readonly NftRule[], guarded: Guarded): readonly Diversion[] {
  return rules.flatMap((rule) => {
    const { text, isEntered, expressions, family, statement, matched, address, port: to } = rule;
    if (statement === "synproxy" || !isOfFamilies(family, guarded)) return [];
    const staysHere = address === undefined || (typeof address === "string" && guarded.isOwn(address));
    const isTo = (port: number) => holds(to ?? guarded.port, port);
    if (!holds(matched, guarded.port) || (staysHere && guarded.ports.some(isTo))) return [];
    const rest = expressions.filter(
      (expression) => targetOf(expression) === undefined && matchedPort(expression) === undefined,
    );
    const exempts = rest.map((expression) => exempted(expression, guarded));
    if (exempts.includes("all")) return [];
    return [{ text, isWhole: isEntered && !exempts.includes("some") }];
  });
}

/** A table for both families, such as one of inet, is of these too. */
function isOfFamilies(family: unknown, { families }: Guarded): boolean {
  return (family !== "ip" && family !== "ip6") || families.includes(family);
}

/** @param json of `nft -j list ruleset` (libnftables-json(5)). */
export function parseNft(json: string): readonly NftRule[] {
  const entries = entriesOf(json);
  const entered = enteredChains(entries);
  return entries.flatMap(({ rule }) => {
    if (!isObject(rule)) return [];
    const expressions = Array.isArray(rule["expr"]) ? rule["expr"].filter(isObject) : [];
    const targets = expressions.map(targetOf).filter((target) => target !== undefined);
    const [first] = targets;
    if (first === undefined || !expressions.every(mayBeTcp)) return [];
    const { statement } = first;
    const [port] = targets.flatMap(({ port }) => port ?? []);
    const [address] = targets.flatMap(({ address }) => address ?? []);
    const matched = expressions.map(matchedPort).find((ports) => ports !== undefined);
    const isEntered = entered.has(chainOf(rule, rule["chain"]));
    const from = matched === undefined ? "" : `tcp dport ${portsText(matched)} `;
    const host = typeof address === "string" ? address : "";
    const place = port === undefined ? host : `${host}:${portsText(port)}`;
    const to = place === "" ? "" : ` to ${place}`;
    const text = `nft table ${rule["family"]} ${rule["table"]}, chain ${rule["chain"]}: ${from}${statement}${to}`;
    return [{ text, isEntered, family: rule["family"], expressions, statement, port, address, matched }];
  });
}

function targetOf(expression: Json): Target | undefined {
  const statement = statements.find((name) => name in expression);
  if (statement !== undefined) {
    const { port, addr: address } = isObject(expression[statement]) ? expression[statement] : {};
    return { statement, port, address };
  }
  const { key, value } = isObject(expression["mangle"]) ? expression["mangle"] : {};
  const field = isObject(key) && isObject(key["payload"]) ? key["payload"]["field"] : undefined;
  if (field === "dport") return { statement: "set", port: value };
  return field === "daddr" ? { statement: "set", address: value } : undefined;
}

/** False for what matches another transport protocol alone: its ports are others. */
function mayBeTcp({ match }: Json): boolean {
  if (!isObject(match) || !isObject(match["left"])) return true;
  const { meta, payload } = match["left"];
  if (isObject(payload) && payload["field"] === "dport") return ["tcp", "th"].includes(String(payload["protocol"]));
  const isTransport =
    (isObject(meta) && meta["key"] === "l4proto") ||
    (isObject(payload) && ["protocol", "nexthdr"].includes(String(payload["field"])));
  return !isTransport || isTcp(match["right"]) === (match["op"] !== "!=");
}

function isTcp(protocols: unknown): boolean {
  if (!isObject(protocols)) return protocols === "tcp" || protocols === 6;
  return Array.isArray(protocols["set"]) && protocols["set"].some(isTcp);
}

function chainOf({ family, table }: Json, chain: unknown): string {
  return `${family} ${table} ${chain}`;
}

/** Hooks that what comes from outside passes on its way to a socket here. */
const entrances: readonly string[] = ["ingress", "prerouting", "input"];

/** Chains that what comes from outside goes through, or may: those at the hook, and those that others lead to. */
function enteredChains(entries: readonly Json[]): ReadonlySet<string> {
  return new Set(
    entries.flatMap(({ chain, rule }) => {
      if (isObject(chain)) return entrances.includes(String(chain["hook"])) ? [chainOf(chain, chain["name"])] : [];
      if (!isObject(rule) || !Array.isArray(rule["expr"])) return [];
      return rule["expr"].filter(isObject).flatMap(({ jump, goto }) => {
        const target = jump ?? goto;
        return isObject(target) ? [chainOf(rule, target["target"])] : [];
      });
    }),
  );
}

/** Whom an expression exempts, of those who come to the gate from outside. */
function exempted(expression: Json, guarded: Guarded): "nobody" | "some" | "all" {
  const { match } = expression;
  if (!isObject(match)) return harmless.some((name) => name in expression) ? "nobody" : "some";
  const { op, left, right } = match;
  const { meta, fib, payload } = isObject(left) ? left : {};
  if (isObject(fib)) return fib["result"] === "type" && right === "local" ? "nobody" : "some";
  if (isObject(payload) && payload["field"] === "daddr" && op === "==" && typeof right === "string")
    return isForGate(right, guarded) ? "nobody" : "all";
  if (!isObject(meta)) return "some";
  if (["l4proto", "nfproto", "protocol"].includes(String(meta["key"]))) return "nobody";
  // Of a bridge of containers what they send themselves is exempt.
  const isBridge = op === "!=" && meta["key"] === "iifname" && typeof right === "string" && isVirtual(right);
  return isBridge ? "nobody" : "some";
}

/** From outside: nobody there can connect to loopback. */
function isForGate(destination: string, { isListenedTo }: Guarded): boolean {
  return !isLoopback(destination) && isListenedTo(destination);
}

const harmless = ["counter", "log", "mangle", "accept"] as const;

function entriesOf(json: string): readonly Json[] {
  try {
    const { nftables } = JSON.parse(json) as { readonly nftables?: unknown };
    return (Array.isArray(nftables) ? nftables : []).filter(isObject);
  } catch {
    return [];
  }
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** {"match": {"left": {"payload": {"field": "dport"}}, "right": PORTS}} */
function matchedPort({ match }: Json): unknown {
  if (!isObject(match) || !isObject(match["left"]) || !isObject(match["left"]["payload"])) return undefined;
  if (match["op"] === "!=") return undefined;
  return match["left"]["payload"]["field"] === "dport" ? match["right"] : undefined;
}

/** PORTS is a number, {"set": [PORTS...]} or {"range": [first, last]}; of anything else nothing is known. */
function holds(ports: unknown, port: number): boolean {
  if (typeof ports === "number") return ports === port;
  if (!isObject(ports)) return false;
  const { set, range } = ports;
  if (Array.isArray(set)) return set.some((member) => holds(member, port));
  return Array.isArray(range) && Number(range[0]) <= port && port <= Number(range[1]);
}

function portsText(ports: unknown): string {
  if (!isObject(ports)) return String(ports);
  const { set, range } = ports;
  if (Array.isArray(set)) return `{ ${set.map(portsText).join(", ")} }`;
  return Array.isArray(range) ? `${range[0]}-${range[1]}` : "...";
}

export interface IptablesRule {
  readonly line: string;
  /** As in `NftRule`. */
  readonly isEntered: boolean;
}

export function iptablesRedirects(rules: readonly IptablesRule[], port: number): readonly RedirectRule[] {
  return rules.flatMap(({ line }) => {
    if (isHandshakeProxy(line)) return [];
    const ports = portsTo(line) ?? portsFrom(line);
    return within(ports, port) ? [{ text: `iptables ${line}` }] : [];
  });
}

export function iptablesDiversions(rules: readonly IptablesRule[], guarded: Guarded): readonly Diversion[] {
  return rules.flatMap(({ line, isEntered }) => {
    const to = portsTo(line);
    const [, address] = /--to-destination \[?([^\s\]]*?)\]?(?::\d[-\d]*)?(?:\s|$)/.exec(line) ?? [];
    const [, destination] = / -d (\S+?)(?:\/(?:32|128))? /.exec(line) ?? [];
    const staysHere = address === undefined || guarded.isOwn(address);
    const isTo = (port: number) => (to === undefined ? port === guarded.port : within(to, port));
    const isOthers = destination !== undefined && !destination.includes("/") && !isForGate(destination, guarded);
    if (isHandshakeProxy(line) || !within(portsFrom(line), guarded.port)) return [];
    if ((staysHere && guarded.ports.some(isTo)) || isOthers) return [];
    return [{ text: `iptables ${line}`, isWhole: isEntered && !exemptsSome(line) }];
  });
}

function exemptsSome(line: string): boolean {
  return (
    line
      .replace(/ -j .*/, "")
      .replace(/ ! -i (\S+)/, (whole, name: string) => (isVirtual(name) ? "" : whole))
      .replace(/ -d [^\s/]+(?:\/(?:32|128))?(?= )/, "")
      .replace(
        /^-A \S+|-p tcp|-m (?:tcp|multiport|comment|addrtype)|--dports? \S+|--dst-type LOCAL|--comment (?:"[^"]*"|\S+)/g,
        "",
      )
      .trim() !== ""
  );
}

/** @param text of `iptables-save`. Of what this host itself sends, none. */
export function parseIptables(text: string): readonly IptablesRule[] {
  const lines = text.split("\n");
  const redirects = lines.filter(
    (line) => /^-A (?!OUTPUT ).* -j (REDIRECT|DNAT|TPROXY|SYNPROXY)\b/.test(line) && !/ -p (?!tcp )/.test(line),
  );
  return redirects.map((line) => {
    const [, chain = ""] = /^-A (\S+)/.exec(line) ?? [];
    const isEntered =
      chain === "PREROUTING" || chain === "INPUT" || lines.some((other) => other.endsWith(` -j ${chain}`));
    return { line, isEntered };
  });
}

function isHandshakeProxy(line: string): boolean {
  return / -j SYNPROXY\b/.test(line);
}

/** Ports and ranges of ports as a rule has them: "80", "80:90" or "80-90", several with commas. */
type Ports = string | undefined;

function portsTo(line: string): Ports {
  const [, to = undefined] =
    /--(?:to-ports|on-port) ([\d-]+)/.exec(line) ?? /--to-destination \S*?[\d\]]:([\d-]+)/.exec(line) ?? [];
  return to;
}

function portsFrom(line: string): Ports {
  const [, from = undefined] = /(?<!! )--dports? (\d[\d:,]*)/.exec(line) ?? [];
  return from;
}

function within(ports: Ports, port: number): boolean {
  const ranges = ports?.split(",") ?? [];
  return ranges.some((range) => {
    const [first, last = first] = range.split(/[:-]/).map(Number);
    return first !== undefined && last !== undefined && first <= port && port <= last;
  });
}
