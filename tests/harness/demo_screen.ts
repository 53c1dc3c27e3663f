// SPDX-License-Identifier: Apache-2.0
// The demo's picture: a screen that is drawn over itself on a terminal, a line a second where the output
// is piped.
import type { BanView, Snapshot } from "../../src/status/snapshot.ts";
import type { Attacker } from "./demo_scene.ts";
import type { ClientReport } from "./standin.ts";

/** Everything that is shown, at one moment. */
export interface Picture {
  readonly atSeconds: number;
  readonly ofSeconds: number;
  readonly status: Snapshot;
  readonly bans: readonly BanView[];
  readonly friends: Friends;
  readonly attackers: readonly Attacker[];
}

export interface Friends {
  readonly clients: number;
  readonly packets: number;
  readonly failures: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** @param reports of each client, from its first to its last. */
export function friendsOf(reports: readonly (readonly ClientReport[])[]): Friends {
  const latencies = reports.flatMap((client) => client.flatMap(({ latenciesMs }) => latenciesMs)).sort((a, b) => a - b);
  const at = (share: number) => latencies[Math.floor((latencies.length - 1) * share)] ?? 0;
  const sum = (count: (report: ClientReport) => number) =>
    reports.reduce(
      (total, client) => total + (client.at(-1) === undefined ? 0 : count(client.at(-1) as ClientReport)),
      0,
    );
  return {
    clients: reports.length,
    packets: sum(({ packets }) => packets),
    failures: sum(({ failures }) => failures),
    p50Ms: at(0.5),
    p99Ms: at(0.99),
  };
}

/** The ban of an attacker, if there is one by now. */
export function banOf(attacker: Attacker, bans: readonly BanView[]): BanView | undefined {
  const network = `${attacker.address.replace(/::2$/, "")}::/64`;
  return bans.find(({ source }) => source === attacker.address || source === network);
}

function protocols({ status }: Picture): string {
  const counts = Object.entries(status.bans.byProtocol).map(([protocol, count]) => `${protocol} ${count}`);
  return counts.join(", ") || "nobody yet";
}

function latency({ p50Ms, p99Ms }: Friends): string {
  return `p50 ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(2)} ms`;
}

function drops({ kernel }: Snapshot): string {
  return `${kernel.droppedPackets} packets, ${kernel.droppedBytes} bytes`;
}

function attackerLine(attacker: Attacker, bans: readonly BanView[]): string {
  const name = attacker.name.padEnd(24);
  const address = attacker.address.padEnd(15);
  const visits = `${attacker.visits} ${attacker.visits === 1 ? "visit" : "visits"}`.padEnd(10);
  const ban = banOf(attacker, bans);
  const state = ban === undefined ? "" : `banned: ${ban.protocol.padEnd(6)} ${ban.packets ?? 0} packets dropped`;
  return `  ${address} ${name} ${visits} ${attacker.visits === 0 ? "" : state}`.trimEnd();
}

/** The whole screen. */
export function screen(picture: Picture): string {
  const { status, friends } = picture;
  const where = status.kernel.interfaces.map(({ name, attach }) => `${attach} XDP on ${name}`).join(", ");
  return [
    `ttgate ${status.version}: ${status.profile} on ${status.listen}, ${where}   ${picture.atSeconds} of ${picture.ofSeconds} s`,
    "",
    `  good clients   ${friends.clients} clients, ${friends.packets} packets answered, ${friends.failures} failures, ${latency(friends)}`,
    `  relays         ${status.connections.active} open, ${status.connections.relayed} in all`,
    `  bans           ${status.bans.active}: ${protocols(picture)}`,
    `  kernel drops   ${drops(status)}`,
    "",
    ...picture.attackers.map((attacker) => attackerLine(attacker, picture.bans)),
  ].join("\n");
}

/** The same in one line. */
export function line(picture: Picture): string {
  const { status, friends } = picture;
  return [
    `${String(picture.atSeconds).padStart(2)} s`,
    `good ${friends.packets} ok, ${friends.failures} failed, ${latency(friends)}`,
    `relays ${status.connections.relayed}`,
    `bans ${protocols(picture)}`,
    `kernel drops ${status.kernel.droppedPackets}`,
  ].join("  |  ");
}

export interface Verdict {
  readonly good: boolean;
  readonly text: string;
}

/** What came of it, in words; good only when nobody who should not be was hurt, and everybody else was out. */
export function verdict(picture: Picture, strangersAtServer: number): Verdict {
  const { friends, status, attackers, bans } = picture;
  const free = attackers.filter((attacker) => banOf(attacker, bans) === undefined).map(({ name }) => name);
  const problems = [
    ...(friends.packets === 0 ? ["the good clients got no answer"] : []),
    ...(friends.failures > 0 ? [`the good clients had ${friends.failures} failures`] : []),
    ...(free.length > 0 ? [`not banned: ${free.join(", ")}`] : []),
    ...(strangersAtServer > 0 ? [`${strangersAtServer} strangers reached the server`] : []),
    ...(status.kernel.droppedPackets === 0 ? ["the kernel dropped nothing"] : []),
  ];
  if (problems.length > 0) return { good: false, text: `FAILED: ${problems.join("; ")}` };
  const visits = attackers.reduce((sum, attacker) => sum + attacker.visits, 0);
  return {
    good: true,
    text: [
      `All ${attackers.length} attackers were banned on their first bytes (${protocols(picture)});`,
      `of their ${visits} visits ${status.connections.foreign} were heard, the kernel dropped the rest: ${drops(status)}.`,
      `The ${friends.clients} good clients exchanged ${friends.packets} packets without a failure, ${latency(friends)}.`,
      `The server met no stranger.`,
    ].join("\n"),
  };
}
