// SPDX-License-Identifier: Apache-2.0
// Rules of iptables, as `iptables-save` writes them.
import { isVirtual } from "../addresses.ts";
import { chainsFrom, type Diversion, type Guarded, isForGate, isOf, type RedirectRule } from "./rule.ts";

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

/** As `nftHandshakeProxies`. */
export function iptablesHandshakeProxies(rules: readonly IptablesRule[], { port }: Guarded): readonly RedirectRule[] {
  return rules
    .filter(({ line, isEntered }) => isEntered && isHandshakeProxy(line) && isAmong(portsFrom(line), port))
    .map(({ line }) => ({ text: `iptables ${line}` }));
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
  // A host of containers may have tens of thousands.
  const jumps = lines.flatMap((line) => {
    const [, from, to] = /^-A (\S+).* -[jg] (\S+)/.exec(line) ?? [];
    return from === undefined || to === undefined ? [] : [[from, to] as const];
  });
  const entered = chainsFrom(["PREROUTING", "INPUT"], jumps);
  return redirects.map((line) => ({ line, isEntered: entered.has(/^-A (\S+)/.exec(line)?.[1] ?? "") }));
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
