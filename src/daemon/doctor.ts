// SPDX-License-Identifier: Apache-2.0
// Examines the host for a configuration: what is there, what is missing, what to type. Changes nothing.
import { setTimeout } from "node:timers/promises";
import { formatServer, type HostPort, type ServerAddress } from "../config/endpoints.ts";
import { gatePrefix, isJudgedInKernel } from "../config/gates.ts";
import type { Config, GateOptions } from "../config/options.ts";
import { loadSignatureTable, loadSniffer, requireProven } from "../config/profile.ts";
import { serversOf } from "../config/servers.ts";
import { formatEndpoint, isLoopback } from "../core/address.ts";
import { localHeader } from "../core/proxy_protocol/written.ts";
import { codeOf, messageOf } from "../failure.ts";
import { connectError } from "../gate/connect_error.ts";
import { connectTimeoutMs, noAnswer } from "../gate/connects.ts";
import { isOpenToOthers } from "../host/connections.ts";
import { connectionLimit, descriptorLimit } from "../host/limits.ts";
import {
  diversionsFrom,
  FilterReader,
  type FilterRules,
  handshakeProxies,
  redirectsTo,
} from "../host/packet_filter/filter_rules.ts";
import { openLibc } from "../kernel/libc.ts";
import { hasAddress } from "../kernel/own_address.ts";
import { type Native, type Runtime, silentEvents } from "../runtime/types.ts";
import type { BlocklistView } from "../sources/blocklist/view.ts";
import { crowdsecFindings } from "./crowdsec_findings.ts";
import {
  answeredRemedy,
  answeredText,
  diversionRemedy,
  divertedText,
  guarded,
  toPortRemedy,
  unreadText,
} from "./diversions.ts";
import type { Finding } from "./finding.ts";
import { fleetFindings } from "./fleet_findings.ts";
import type { Instance } from "./instance.ts";
import { listFindings } from "./list_findings.ts";
import { guardedInterfaces } from "./open_fence.ts";
import { type RunningGate, runningFindings } from "./running_findings.ts";
import { stateFinding } from "./state_finding.ts";
import { tasksFindings } from "./tasks.ts";

/**
 * @param instances gates that run here: what they hold is not in their own way.
 * @param running what they tell of themselves and of their lists.
 */
export async function examine(
  config: Config,
  runtime: Runtime,
  instances: readonly Instance[],
  running: { readonly gates: readonly RunningGate[]; readonly lists: readonly BlocklistView[] },
): Promise<Finding[]> {
  const rules = await new FilterReader().read();
  const ofGates = await Promise.all(
    config.gates.map((gate) => gateFindings(gate, config, { runtime, instances, rules })),
  );
  return [
    ...(await kernelFindings(config, runtime)),
    ...ofGates.flat(),
    ...(rules.unread === undefined ? [] : [unreadFinding(rules.unread)]),
    stateFinding(config),
    ...tasksFindings(),
    ...runningFindings(running.gates),
    ...(await listFindings(config, running.lists)),
    ...(await fleetFindings(config)),
    ...(await crowdsecFindings(config)),
  ];
}

interface Surroundings {
  readonly runtime: Runtime;
  readonly instances: readonly Instance[];
  readonly rules: FilterRules;
}

async function gateFindings(gate: GateOptions, config: Config, surroundings: Surroundings): Promise<Finding[]> {
  const { runtime, instances } = surroundings;
  const isInline = gate.mode === "inline";
  const findings = [
    // In inline mode the server has it.
    ...(isInline ? [] : [await portFinding(gate, runtime, instances)]),
    ...(await Promise.all(serversOf(gate).map((server) => serverFinding(server, gate, runtime)))),
    ...redirectFindings(gate, config, surroundings),
    profileFinding(gate, config["dry-run"]),
    ...(isInline ? [] : [connectionsFinding(gate, runtime)]),
  ];
  return findings.map((finding) => ({ ...finding, found: gatePrefix(gate.name) + finding.found }));
}

/** Without --block-map the kernel is looked at all the same; what is missing there is no obstacle then. */
async function kernelFindings(config: Config, { native }: Runtime): Promise<Finding[]> {
  const interfaces = guardedInterfaces(config);
  const map = config["block-map"];
  const findings = await fenceFindings(config, map ?? "ttgate", interfaces, native);
  if (interfaces.length === 0) findings.push(noInterface);
  if (map !== undefined) return findings;
  const mild = findings.map((finding) =>
    finding.state === "bad" ? { ...finding, state: "warning" as const } : finding,
  );
  return [noBlockMap, ...mild];
}

/** Of the fences that the configuration lets block. */
async function fenceFindings(
  config: Config,
  map: string,
  interfaces: readonly string[],
  native: Native,
): Promise<Finding[]> {
  const judges = config.gates.some(isJudgedInKernel);
  const findings: Finding[] = [];
  if (config.fence !== "nftables") {
    const { probeKernel } = await import("../fences/xdp/proof/probe.ts");
    findings.push(...(await probeKernel({ native, map, interfaces, judges })));
  }
  if (config.fence !== "xdp" && !judges) {
    const { probeNft } = await import("../fences/nftables/probe.ts");
    const nft = await probeNft(map, config.fence === "nftables");
    return [...(config.fence === "auto" && nft.isUsable ? findings.map(replaceable) : findings), nft.finding];
  }
  return findings;
}

/** What nftables makes up for. */
function replaceable(finding: Finding): Finding {
  const isReplaced = ["libbpf", "kernel", "privilege", "bpffs", "container", "program"].includes(finding.name);
  return isReplaced && finding.state === "bad" ? { ...finding, state: "warning" } : finding;
}

const noBlockMap: Finding = {
  name: "block map",
  state: "warning",
  found: "none is asked for: bans are enforced in user space only",
  remedy: "add -B map",
};

const noInterface: Finding = {
  name: "interface",
  state: "bad",
  found: "none carries the listen address",
  remedy: "ip address; or name one with --interface",
};

async function portFinding(config: GateOptions, runtime: Runtime, instances: readonly Instance[]): Promise<Finding> {
  const { host, port } = config.listen;
  const address = formatEndpoint({ address: host, port });
  const name = "port";
  const holder = instances.find(({ listen, listens }) => (listens ?? [listen]).includes(address));
  if (holder !== undefined && !hasAddress(openLibc(runtime.native), host)) {
    const found = `the gate with pid ${holder.pid} waits for the address ${host}: no interface has it`;
    return { name, state: "bad", found, remedy: "ip address" };
  }
  if (holder !== undefined) {
    return good(name, `the gate with pid ${holder.pid} listens on ${address}`);
  }
  try {
    const listener = await runtime.listen({ host, port, accept: () => silentEvents });
    listener.close();
    return good(name, `${address} is free`);
  } catch (error) {
    const remedies: Readonly<Record<string, string>> = {
      EADDRINUSE: `ss -ltnp 'sport = :${port}'`,
      EADDRNOTAVAIL: "ip address",
      EACCES: "run as root, or choose a port above 1023",
    };
    const code = codeOf(error) ?? "";
    const found = code === "EADDRINUSE" ? `${address} is in use` : `${address}: ${messageOf(error)}`;
    return { name, state: "bad", found, remedy: remedies[code] ?? "choose another address with --listen" };
  }
}

async function serverFinding(server: ServerAddress, config: GateOptions, runtime: Runtime): Promise<Finding> {
  const { mode, "send-proxy": sendProxy } = config;
  const address = formatServer(server);
  const name = mode === "inline" ? "server" : "upstream";
  try {
    // Where a firewall drops packets, the kernel waits two minutes for an answer.
    const socket = await Promise.race([runtime.connect(server, silentEvents), setTimeout(connectTimeoutMs)]);
    if (socket === undefined) throw new Error(noAnswer);
    if (mode === "proxy" && sendProxy !== "off") socket.write(localHeader(sendProxy));
    socket.close();
    return isRoundTheGate(server, config) ? roundTheGate(address, server.port) : good(name, `${address} answers`);
  } catch (error) {
    const option = mode === "inline" ? "--listen" : "--upstream";
    const look = "path" in server ? `ls -l ${server.path}` : `nc -vz ${server.host} ${server.port}`;
    const remedy = `start the server there, or name it with ${option}; ${look}`;
    return { name, state: "bad", found: `${address}: ${connectError(error, server)}`, remedy };
  }
}

/** The server of a relay on this host is to be connected to by nobody else. */
function isRoundTheGate(server: ServerAddress, { mode, listen }: GateOptions): server is HostPort {
  if (mode === "inline" || "path" in server || server.port === listen.port) return false;
  return isLoopback(server.host) && isOpenToOthers(server.port);
}

function roundTheGate(address: string, port: number): Finding {
  const found = `${address} answers, on other addresses too: strangers who find port ${port} get round the gate`;
  const remedy = `let the server listen on 127.0.0.1 alone, or close port ${port} in the firewall`;
  return { name: "upstream", state: "warning", found, remedy };
}

function good(name: string, found: string): Finding {
  return { name, state: "good", found, remedy: null };
}

/**
 * A rule that changes packets behind XDP leads them past it; user space in proxy mode sees them all the same. One that
 * leads them elsewhere leads them past the gate. One that makes the handshake leaves the kernel's judge no first byte.
 */
function redirectFindings(gate: GateOptions, config: Config, { runtime, rules }: Surroundings): Finding[] {
  const { listen, mode } = gate;
  const { port } = listen;
  const place = guarded(
    openLibc(runtime.native),
    listen,
    config.gates.map((other) => other.listen),
  );
  const away = diversionsFrom(rules, place);
  const past = away.map(
    (rule): Finding => ({
      name: "redirect",
      state: rule.isWhole ? "bad" : "warning",
      found: divertedText(port, rule),
      remedy: diversionRemedy,
    }),
  );
  if (mode === "proxy" && config["block-map"] === undefined) return past;
  const answered = isJudgedInKernel(gate) ? handshakeProxies(rules, place) : [];
  const shut = answered.map(
    (rule): Finding => ({
      ...({ name: "redirect", state: "bad" } as const),
      found: answeredText(port, rule, config["dry-run"]),
      remedy: answeredRemedy,
    }),
  );
  const known = new Set(away.map(({ text }) => text));
  const others = redirectsTo(rules, port).filter(({ text }) => !known.has(text));
  const unknown = others.map(
    ({ text }): Finding => ({
      name: "redirect",
      state: "warning",
      found: `${text}: the kernel program sees these packets before, and does not know that they go to port ${port}`,
      remedy: toPortRemedy(port),
    }),
  );
  return [...past, ...shut, ...unknown];
}

function unreadFinding(why: string): Finding {
  return {
    name: "redirect",
    state: "warning",
    found: unreadText(why),
    remedy: "run doctor as root, and install iptables",
  };
}

function profileFinding(gate: GateOptions, isDryRun: boolean): Finding {
  const name = "profile";
  try {
    requireProven(loadSniffer(gate.profile), gate, isDryRun);
    if (isJudgedInKernel(gate)) loadSignatureTable(gate.profile);
    return good(name, gate.profile);
  } catch (error) {
    return { name, state: "bad", found: messageOf(error), remedy: "ttgate run --profile tapetrack" };
  }
}

function connectionsFinding(config: GateOptions, runtime: Runtime): Finding {
  const descriptors = descriptorLimit();
  const possible = connectionLimit(runtime.name, descriptors);
  const wanted = config["max-connections"] ?? possible;
  const found = `${wanted} at a time, ${descriptors} open files are allowed`;
  const name = "connections";
  if (wanted > possible)
    return { name, state: "bad", found, remedy: `ulimit -n ${2 * wanted + 1024}, or LimitNOFILE= in the unit` };
  if (possible < 1000)
    return { name, state: "warning", found, remedy: "ulimit -n 65536, or LimitNOFILE=65536 in the unit" };
  return { name, state: "good", found, remedy: null };
}
