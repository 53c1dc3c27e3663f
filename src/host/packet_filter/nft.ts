// SPDX-License-Identifier: Apache-2.0
// Rules of nftables, as `nft -j list ruleset` writes them (libnftables-json(5)).
import { isVirtual } from "../addresses.ts";
import { type Diversion, type Guarded, isForGate, isOf, type Jump, type RedirectRule, Ways } from "./rule.ts";

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
  /** FAMILY TABLE CHAIN */
  readonly chain: string;
  readonly ways: Ways<NftJump>;
  /** FAMILY NAME */
  readonly table: string;
  readonly family: unknown;
  readonly expressions: readonly Json[];
  /** The ports that it is for; "@NAME" for a set that was not read. */
  readonly matched: unknown;
}

interface NftJump extends Jump {
  readonly expressions: readonly Json[];
}

export function nftRedirects(rules: readonly NftRule[], port: number): readonly RedirectRule[] {
  // Without a port of its own, a connection keeps the one that it came to.
  return rules.filter((rule) => rule.statement !== "synproxy" && holds(rule.port ?? rule.matched, port));
}

export function nftDiversions(rules: readonly NftRule[], guarded: Guarded): readonly Diversion[] {
  const isForEverybody = ({ expressions }: NftJump) =>
    expressions.every(mayBeTcp) &&
    expressions.map(matchedPort).every((ports) => ports === undefined || holds(ports, guarded.port)) &&
    exemptions(expressions, guarded).every((whom) => whom === "nobody");
  return rules.flatMap((rule) => {
    const { text, chain, ways, expressions, family, statement, matched, address, port: to } = rule;
    if (statement === "synproxy" || !isOfFamilies(family, guarded)) return [];
    const staysHere = address === undefined || (typeof address === "string" && guarded.isOwn(address));
    const isTo = (port: number) => holds(to ?? guarded.port, port);
    if (!holds(matched, guarded.port) || (staysHere && guarded.ports.some(isTo))) return [];
    const exempts = exemptions(expressions, guarded);
    if (exempts.includes("all")) return [];
    return [{ text, isWhole: !exempts.includes("some") && ways.leadEverybodyTo(chain, isForEverybody) }];
  });
}

/** Rules by which the packet filter itself answers whoever connects to a guarded port. */
export function nftHandshakeProxies(rules: readonly NftRule[], guarded: Guarded): readonly RedirectRule[] {
  return rules.filter(
    ({ statement, chain, ways, family, matched }) =>
      statement === "synproxy" && ways.leadTo(chain) && isOfFamilies(family, guarded) && holds(matched, guarded.port),
  );
}

/** A table for both families, such as one of inet, is of these too. */
function isOfFamilies(family: unknown, { families }: Guarded): boolean {
  return (family !== "ip" && family !== "ip6") || families.includes(family);
}

/** The sets that rules go by, as FAMILY TABLE NAME. */
export function namedSets(rules: readonly NftRule[]): readonly string[] {
  return rules.flatMap(({ matched, table }) => (isSetName(matched) ? [`${table} ${matched.slice(1)}`] : []));
}

/** @param json of `nft -j list set` */
export function parseSet(json: string): readonly unknown[] {
  return entriesOf(json).flatMap(({ set }) => (isObject(set) && Array.isArray(set["elem"]) ? set["elem"] : []));
}

/**
 * @param json of `nft -j list ruleset` (libnftables-json(5)).
 * @param sets the elements of named sets, by "FAMILY TABLE NAME".
 */
export function parseNft(json: string, sets: ReadonlyMap<string, unknown> = new Map()): readonly NftRule[] {
  const entries = entriesOf(json);
  const atHook = chainsAtHook(entries);
  const ways = new Ways(atHook, entries.flatMap(jumpsOf));
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
    const matched = portsOf(ports, table, sets) ?? (atHook.has(chain) ? portsLeft(expressions) : undefined);
    const from = ports === undefined ? "" : `tcp dport ${portsText(ports)} `;
    const text = `nft table ${table}, chain ${rule["chain"]}: ${from}${statement}${placeText(address, port)}`;
    return [{ text, chain, ways, table, family: rule["family"], expressions, statement, port, address, matched }];
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

/** With what a rule, or an element of its verdict map, looks at before it leads to another chain. */
function jumpsOf({ rule }: Json): readonly NftJump[] {
  if (!isObject(rule) || !Array.isArray(rule["expr"])) return [];
  const expressions = rule["expr"].filter(isObject);
  const from = chainOf(rule, rule["chain"]);
  return expressions.flatMap((expression) => {
    const rest = expressions.filter((other) => other !== expression);
    return [{ verdict: expression, looked: rest }, ...mapped(expression, rest)].flatMap(({ verdict, looked }) => {
      const target = verdict["jump"] ?? verdict["goto"];
      return isObject(target) ? [{ from, to: chainOf(rule, target["target"]), expressions: looked }] : [];
    });
  });
}

/** {"vmap": {"key": LEFT, "data": {"set": [[RIGHT, VERDICT]...]}}}: each is as a rule with a match of its own. */
function mapped({ vmap }: Json, rest: readonly Json[]): readonly { verdict: Json; looked: readonly Json[] }[] {
  const { key: left, data } = isObject(vmap) ? vmap : {};
  const elements = isObject(data) && Array.isArray(data["set"]) ? data["set"] : [];
  return elements.flatMap((element) => {
    const [key, verdict]: readonly unknown[] = Array.isArray(element) ? element : [];
    if (!isObject(verdict)) return [];
    // With a comment or a counter: {"elem": {"val": RIGHT}}.
    const value = isObject(key) && isObject(key["elem"]) ? key["elem"]["val"] : key;
    // What is left over by the others.
    const right = value === "*" ? undefined : value;
    return [{ verdict, looked: [...rest, { match: { op: "==", left, right } }] }];
  });
}

function exemptions(expressions: readonly Json[], guarded: Guarded): readonly ("nobody" | "some" | "all")[] {
  return expressions
    .filter((expression) => targetOf(expression) === undefined && matchedPort(expression) === undefined)
    .map((expression) => exempted(expression, guarded));
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
