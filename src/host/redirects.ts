// SPDX-License-Identifier: Apache-2.0
// Rules of this host's packet filter that lead connections to a port after XDP has seen their packets: redirects,
// destination NAT, transparent proxying. Read by nft and iptables-save where they are installed and allowed; nothing
// is changed.
import { spawnSync } from "node:child_process";

/** A rule, as the tool that lists it writes it, with where it stands. */
export interface RedirectRule {
  readonly text: string;
}

/** @returns none where no tool is installed, or they do not answer. */
export function redirectsTo(port: number): readonly RedirectRule[] {
  const iptables = ["iptables-save", "ip6tables-save"].flatMap((tool) => iptablesRedirects(output(tool, []), port));
  return [...nftRedirects(output("nft", ["-j", "list", "ruleset"]), port), ...iptables];
}

function output(program: string, args: readonly string[]): string {
  try {
    const result = spawnSync(program, args, { encoding: "utf8", timeout: 5000, maxBuffer: 64 * 1024 * 1024 });
    return result.status === 0 ? result.stdout : "";
  } catch {
    return "";
  }
}

/** Statements of nft's JSON (libnftables-json(5)) that change the destination. */
const statements = ["redirect", "dnat", "tproxy"] as const;

type Json = Readonly<Record<string, unknown>>;

/** @param json of `nft -j list ruleset`. */
export function nftRedirects(json: string, port: number): readonly RedirectRule[] {
  return rulesOf(json).flatMap((rule) => {
    const expressions = Array.isArray(rule["expr"]) ? rule["expr"].filter(isObject) : [];
    const name = statements.find((statement) => expressions.some((expression) => statement in expression));
    if (name === undefined) return [];
    const target = expressions.find((expression) => name in expression)?.[name];
    const to = isObject(target) ? target["port"] : undefined;
    const matched = expressions.map(matchedPort).find((ports) => ports !== undefined);
    // Without a port of its own, a connection keeps the one that it came to.
    if (!holds(to ?? matched, port)) return [];
    const where = `nft table ${rule["family"]} ${rule["table"]}, chain ${rule["chain"]}`;
    const from = matched === undefined ? "" : `tcp dport ${portsText(matched)} `;
    return [{ text: `${where}: ${from}${name}${to === undefined ? "" : ` to :${portsText(to)}`}` }];
  });
}

function rulesOf(json: string): readonly Json[] {
  try {
    const { nftables } = JSON.parse(json) as { readonly nftables?: unknown };
    return (Array.isArray(nftables) ? nftables : []).flatMap((entry) =>
      isObject(entry) && isObject(entry["rule"]) ? [entry["rule"]] : [],
    );
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

/** @param text of `iptables-save`. */
export function iptablesRedirects(text: string, port: number): readonly RedirectRule[] {
  return text.split("\n").flatMap((line) => {
    if (!/^-A .* -j (REDIRECT|DNAT|TPROXY)\b/.test(line)) return [];
    const to =
      /--(?:to-ports|on-port) (\d+)(?:-(\d+))?/.exec(line) ?? /--to-destination \S*?[\d\]]:(\d+)(?:-(\d+))?/.exec(line);
    const ports = to ?? /--dport (\d+)(?::(\d+))?/.exec(line);
    if (ports === null) return [];
    const [, first, last = first] = ports;
    return Number(first) <= port && port <= Number(last) ? [{ text: `iptables ${line}` }] : [];
  });
}
