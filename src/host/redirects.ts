// SPDX-License-Identifier: Apache-2.0
// Rules of this host's packet filter that change connections after XDP has seen their packets. Redirects, destination
// NAT and transparent proxying lead to a port, or away from it; SYNPROXY makes the handshake itself, and changes sequence
// numbers from then on. Read by nft and iptables-save where they are installed and allowed; nothing is changed.
import { isLoopback } from "../core/address.ts";
import { messageOf } from "../failure.ts";
import { isVirtual } from "./addresses.ts";
import { linesOf } from "./connections.ts";
import { runProgram } from "./program.ts";

/** The rules that change TCP connections; none where a tool is not installed, or does not answer. */
export interface FilterRules {
  readonly nft: readonly NftRule[];
  /** Of iptables-save. */
  readonly ip: readonly IptablesRule[];
  /** Of ip6tables-save. */
  readonly ip6: readonly IptablesRule[];
  /** Why those of the legacy iptables could not be listed, where there are some. */
  readonly unread?: string | undefined;
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
  const [nft, ip, ip6, legacy] = await Promise.all([
    readNft(),
    output("iptables-save", []),
    output("ip6tables-save", []),
    legacyTables().length > 0 ? readLegacy() : { ip: "", ip6: "", unread: undefined },
  ]);
  const rulesIn = (...texts: readonly string[]) => {
    const all = texts.flatMap(parseIptables);
    // Where iptables is the legacy one, both list the same.
    return [...new Map(all.map((rule) => [rule.line, rule])).values()];
  };
  return {
    nft,
    ip: rulesIn(ip, legacy.ip),
    ip6: rulesIn(ip6, legacy.ip6),
    unread: hasLegacyRedirects() ? legacy.unread : undefined,
  };
}

/** Of named sets, which may be very long, only those that a redirect goes by. */
async function readNft(): Promise<readonly NftRule[]> {
  const json = await output("nft", ["--json", "--terse", "list", "ruleset"]);
  const rules = parseNft(json);
  const named = new Set(
    rules.flatMap(({ matched, table }) => (isSetName(matched) ? [`${table} ${matched.slice(1)}`] : [])),
  );
  if (named.size === 0) return rules;
  const sets = new Map<string, unknown>();
  for (const set of named) {
    const listed = entriesOf(await output("nft", ["--json", "list", "set", ...set.split(" ")]));
    sets.set(
      set,
      listed.flatMap(({ set }) => (isObject(set) && Array.isArray(set["elem"]) ? set["elem"] : [])),
    );
  }
  return parseNft(json, sets);
}

/** Takes CAP_NET_RAW, which a gate gives up. Its rules are listed by it alone. */
async function readLegacy(): Promise<{ ip: string; ip6: string; unread: string | undefined }> {
  try {
    const [ip, ip6] = await Promise.all([printed("iptables-legacy-save"), printed("ip6tables-legacy-save")]);
    return { ip, ip6, unread: undefined };
  } catch (error) {
    return { ip: "", ip6: "", unread: messageOf(error) };
  }
}

/** Tables in which rules may lead connections elsewhere; the kernel tells nobody that these were changed. */
export function hasLegacyRedirects(): boolean {
  return legacyTables().some((table) => table === "nat" || table === "mangle");
}

/** None also where they are not to be read. */
function legacyTables(): readonly string[] {
  return ["/proc/self/net/ip_tables_names", "/proc/self/net/ip6_tables_names"].flatMap(linesOf);
}

async function output(program: string, args: readonly string[]): Promise<string> {
  try {
    return await printed(program, args);
  } catch {
    return "";
  }
}

/** @throws Failure */
async function printed(program: string, args: readonly string[] = []): Promise<string> {
  let text = "";
  await runProgram(program, args, { onText: (piece) => (text += piece) });
  return text;
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
  /** Whether a rule for these interfaces is one for whoever comes from outside. */
  comesBy(isMatched: (interfaceName: string) => boolean): boolean;
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
      ({ line, isEntered }) => isEntered && isHandshakeProxy(line) && isAmong(portsFrom(line), guarded.port),
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
  /** FAMILY NAME */
  readonly table: string;
  readonly family: unknown;
  readonly expressions: readonly Json[];
  /** The ports that it is for; "@NAME" for a set that was not read. */
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

/**
 * @param json of `nft -j list ruleset` (libnftables-json(5)).
 * @param sets the elements of named sets, by "FAMILY TABLE NAME".
 */
export function parseNft(json: string, sets: ReadonlyMap<string, unknown> = new Map()): readonly NftRule[] {
  const entries = entriesOf(json);
  const atHook = chainsAtHook(entries);
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
    const table = `${rule["family"]} ${rule["table"]}`;
    const ports = expressions.map(matchedPort).find((found) => found !== undefined);
    const chain = chainOf(rule, rule["chain"]);
    const isEntered = entered.has(chain);
    const matched = portsOf(ports, table, sets) ?? (atHook.has(chain) ? portsLeft(expressions) : undefined);
    const from = ports === undefined ? "" : `tcp dport ${portsText(ports)} `;
    const text = `nft table ${table}, chain ${rule["chain"]}: ${from}${statement}${placeText(address, port)}`;
    return [{ text, isEntered, table, family: rule["family"], expressions, statement, port, address, matched }];
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

function placeText(address: unknown, port: unknown): string {
  const host = typeof address === "string" ? address : "";
  const place = port === undefined ? host : `${host}:${portsText(port)}`;
  return place === "" ? "" : ` to ${place}`;
}

function portsOf(ports: unknown, table: string, sets: ReadonlyMap<string, unknown>): unknown {
  const elements = isSetName(ports) ? sets.get(`${table} ${ports.slice(1)}`) : undefined;
  return elements === undefined ? ports : { set: elements };
}

/** All, of a rule that does not look at them in whatever way. */
function portsLeft(expressions: readonly Json[]): unknown {
  const looked = expressions.filter((expression) => targetOf(expression) === undefined);
  return JSON.stringify(looked).includes('"dport"') ? undefined : { range: [0, 65_535] };
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
const entrances: readonly unknown[] = ["ingress", "prerouting", "input"];

function chainsAtHook(entries: readonly Json[]): ReadonlySet<string> {
  const isAtHook = (chain: unknown): chain is Json => isObject(chain) && entrances.includes(chain["hook"]);
  return new Set(entries.flatMap(({ chain }) => (isAtHook(chain) ? [chainOf(chain, chain["name"])] : [])));
}

/** Chains that what comes from outside goes through, or may: those at the hook, and those that others lead to. */
function enteredChains(entries: readonly Json[]): ReadonlySet<string> {
  return new Set([
    ...chainsAtHook(entries),
    ...entries.flatMap(({ rule }) => {
      if (!isObject(rule) || !Array.isArray(rule["expr"])) return [];
      return rule["expr"].filter(isObject).flatMap(({ jump, goto }) => {
        const target = jump ?? goto;
        return isObject(target) ? [chainOf(rule, target["target"])] : [];
      });
    }),
  ]);
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
  // That it is not another protocol was looked at before.
  if (isObject(payload) && ["protocol", "nexthdr"].includes(String(payload["field"]))) return "nobody";
  if (!isObject(meta)) return "some";
  if (["l4proto", "nfproto", "protocol"].includes(String(meta["key"]))) return "nobody";
  const isInterface = meta["key"] === "iifname" || meta["key"] === "iif";
  return isInterface && isOfWay(op, right, guarded) ? "nobody" : "some";
}

/** Whether a match of interfaces leaves out none by which somebody comes from outside. */
function isOfWay(op: unknown, names: unknown, { comesBy }: Guarded): boolean {
  if (op === "==") return comesBy((name) => namesOf(names).some((pattern) => isOf(name, pattern, "*")));
  // Of a bridge of containers what they send themselves is exempt.
  return op === "!=" && typeof names === "string" && isVirtual(names);
}

function namesOf(names: unknown): readonly string[] {
  const all = isObject(names) && Array.isArray(names["set"]) ? names["set"] : [names];
  return all.filter((name) => typeof name === "string");
}

/** @param wildcard with which a pattern may end, for all that begin like it. */
function isOf(name: string, pattern: string, wildcard: string): boolean {
  return pattern.endsWith(wildcard) ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
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

function isSetName(ports: unknown): ports is string {
  return typeof ports === "string" && ports.startsWith("@");
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
    return isAmong(ports, port) ? [{ text: `iptables ${line}` }] : [];
  });
}

export function iptablesDiversions(rules: readonly IptablesRule[], guarded: Guarded): readonly Diversion[] {
  return rules.flatMap(({ line, isEntered }) => {
    const to = portsTo(line);
    const [, address] = /--to-destination \[?([^\s\]]*?)\]?(?::\d[-\d]*)?(?:\s|$)/.exec(line) ?? [];
    const [, destination] = / -d (\S+?)(?:\/(?:32|128))? /.exec(line) ?? [];
    const staysHere = address === undefined || guarded.isOwn(address);
    const isTo = (port: number) => (to === undefined ? port === guarded.port : isAmong(to, port));
    const isOthers = destination !== undefined && !destination.includes("/") && !isForGate(destination, guarded);
    if (isHandshakeProxy(line) || !isAmong(portsFrom(line), guarded.port)) return [];
    if ((staysHere && guarded.ports.some(isTo)) || isOthers) return [];
    return [{ text: `iptables ${line}`, isWhole: isEntered && !exemptsSome(line, guarded) }];
  });
}

function exemptsSome(line: string, { comesBy }: Guarded): boolean {
  return (
    line
      .replace(/ -j .*/, "")
      .replace(/ ! -i (\S+)/, (whole, name: string) => (isVirtual(name) ? "" : whole))
      .replace(/(?<!!) -i (\S+)/, (whole, pattern: string) =>
        comesBy((name) => isOf(name, pattern, "+")) ? "" : whole,
      )
      .replace(/(?<!!) -d [^\s/]+(?:\/(?:32|128))?(?= )/, "")
      .replace(
        /^-A \S+|-p tcp|-m (?:tcp|comment|addrtype|multiport)|(?<!! )--dports? \S+|--dst-type LOCAL|--comment (?:"[^"]*"|\S+)/g,
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

type Ports = readonly (readonly [first: number, last: number])[];

/** PORTS is a list of PORT and FIRST:LAST, or FIRST-LAST. */
function portsIn(ports: string | undefined): Ports | undefined {
  return ports?.split(",").map((part) => {
    const [first = Number.NaN, last = first] = part.split(/[:-]/).map(Number);
    return [first, last];
  });
}

function portsTo(line: string): Ports | undefined {
  const found = /--(?:to-ports|on-port) ([\d-]+)/.exec(line) ?? /--to-destination \S*?[\d\]]:(\d+(?:-\d+)?)/.exec(line);
  return portsIn(found?.[1]);
}

/** All, in a chain that everything goes through, of a rule that does not look at them. */
function portsFrom(line: string): Ports | undefined {
  const found = portsIn(/(?<!! )--dports? (\S+)/.exec(line)?.[1]);
  const isForAll = /^-A (PREROUTING|INPUT) /.test(line) && !/--dport|--port|--match-set/.test(line);
  return found ?? (isForAll ? [[0, 65_535]] : undefined);
}

function isAmong(ports: Ports | undefined, port: number): boolean {
  return ports?.some(([first, last]) => first <= port && port <= last) === true;
}
