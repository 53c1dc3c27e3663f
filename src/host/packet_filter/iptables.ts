// SPDX-License-Identifier: Apache-2.0
// Rules of iptables, as `iptables-save` writes them.
import { isVirtual } from "../addresses.ts";
import { type Diversion, type Guarded, isForGate, isOf, type Jump, type RedirectRule, Ways } from "./rule.ts";

export interface IptablesRule {
  readonly line: string;
  readonly ways: Ways<IptablesJump>;
}

interface IptablesJump extends Jump {
  readonly line: string;
}

export function iptablesRedirects(rules: readonly IptablesRule[], port: number): readonly RedirectRule[] {
  return rules.flatMap(({ line }) => {
    if (isHandshakeProxy(line)) return [];
    const ports = portsTo(line) ?? portsFrom(line);
    return isAmong(ports, port) ? [{ text: `iptables ${line}` }] : [];
  });
}

export function iptablesDiversions(rules: readonly IptablesRule[], guarded: Guarded): readonly Diversion[] {
  const isForEverybody = ({ line }: IptablesJump) =>
    isAmong(dportsOf(line) ?? allPorts, guarded.port) && !isForOthers(line, guarded) && !exemptsSome(line, guarded);
  return rules.flatMap(({ line, ways }) => {
    const to = portsTo(line);
    const [, address] = /--to-destination \[?([^\s\]]*?)\]?(?::\d[-\d]*)?(?:\s|$)/.exec(line) ?? [];
    const staysHere = address === undefined || guarded.isOwn(address);
    const isTo = (port: number) => (to === undefined ? port === guarded.port : isAmong(to, port));
    if (isHandshakeProxy(line) || !isAmong(portsFrom(line), guarded.port)) return [];
    if ((staysHere && guarded.ports.some(isTo)) || isForOthers(line, guarded)) return [];
    return [
      {
        text: `iptables ${line}`,
        isWhole: !exemptsSome(line, guarded) && ways.leadEverybodyTo(chainOf(line), isForEverybody),
      },
    ];
  });
}

/** As `nftHandshakeProxies`. */
export function iptablesHandshakeProxies(rules: readonly IptablesRule[], { port }: Guarded): readonly RedirectRule[] {
  return rules
    .filter(({ line, ways }) => ways.leadTo(chainOf(line)) && isHandshakeProxy(line) && isAmong(portsFrom(line), port))
    .map(({ line }) => ({ text: `iptables ${line}` }));
}

/** For an address that is not the gate's. */
function isForOthers(line: string, guarded: Guarded): boolean {
  const [, destination] = / -d (\S+?)(?:\/(?:32|128))? /.exec(line) ?? [];
  return destination !== undefined && !destination.includes("/") && !isForGate(destination, guarded);
}

function exemptsSome(line: string, { comesBy }: Guarded): boolean {
  return (
    line
      .replace(/ -[jg] .*/, "")
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
  // A host of containers may have tens of thousands.
  const jumps = lines.flatMap((line) => {
    const [, from, to] = /^-A (\S+).* -[jg] (\S+)/.exec(line) ?? [];
    return from === undefined || to === undefined ? [] : [{ from, to, line }];
  });
  const ways = new Ways(new Set(["PREROUTING", "INPUT"]), jumps);
  return redirects.map((line) => ({ line, ways }));
}

function chainOf(line: string): string {
  return /^-A (\S+)/.exec(line)?.[1] ?? "";
}

function isHandshakeProxy(line: string): boolean {
  return / -j SYNPROXY\b/.test(line);
}

type Ports = readonly (readonly [first: number, last: number])[];

const allPorts: Ports = [[0, 65_535]];

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
  const isForAll = /^-A (PREROUTING|INPUT) /.test(line) && !/--dport|--port|--match-set/.test(line);
  return dportsOf(line) ?? (isForAll ? allPorts : undefined);
}

function dportsOf(line: string): Ports | undefined {
  return portsIn(/(?<!! )--dports? (\S+)/.exec(line)?.[1]);
}

function isAmong(ports: Ports | undefined, port: number): boolean {
  return ports?.some(([first, last]) => first <= port && port <= last) === true;
}
