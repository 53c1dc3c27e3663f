// SPDX-License-Identifier: Apache-2.0
// Takes a new configuration over while connections come in. All that can go wrong goes wrong before anything is
// changed: profiles are read and ports are opened first. Between two steps connections have their turn.
import { setImmediate } from "node:timers/promises";
import { type Differences, differencesOf } from "../config/difference.ts";
import { conflictsOf, gatePrefix } from "../config/gates.ts";
import type { Config, GateOptions } from "../config/options.ts";
import { formatEndpoint } from "../core/address.ts";
import { Failure } from "../failure.ts";
import type { Ladder } from "../fences/ladder.ts";
import { maxPorts } from "../fences/xdp/maps/layout.ts";
import { requireFree } from "../gate/listener.ts";
import { inTurns } from "../sources/turns.ts";
import { DaemonGate, type GateSurroundings } from "./daemon_gate.ts";
import type { DaemonGates } from "./gates.ts";
import { guardedPorts } from "./open_fence.ts";
import { type GateProfile, judgesInKernel, type Profiles } from "./profiles.ts";

export interface ReloadParts {
  readonly gates: DaemonGates;
  readonly profiles: Profiles;
  readonly surroundings: GateSurroundings;
  readonly fence: Ladder | undefined;
}

/** One gate of the new configuration, ready to be taken over. */
interface Prepared {
  readonly config: GateOptions;
  readonly profile: GateProfile;
  /** As it runs, or a new one. */
  readonly gate: DaemonGate;
  readonly isNew: boolean;
  /** Where it listens from now on, if that is elsewhere. */
  readonly listener: ({ takePlace(): void } & Disposable) | undefined;
}

/** @returns what is to be done; nothing is changed yet. @throws Failure */
export function compare(before: Config, after: Config, { fence }: Pick<ReloadParts, "fence">): Differences {
  const dryRun = before["dry-run"];
  // The program that judges is another one than that which blocks only.
  const canOpen = (gate: GateOptions) => !judgesInKernel(gate, dryRun) || fence?.judge !== undefined;
  const differences = differencesOf(before, after, canOpen);
  const { gates } = differences.config;
  if (gates.length === 0) {
    throw new Failure(
      "No gate of the configuration can be opened without a restart, and none of those that run is left in it",
    );
  }
  const conflicts = [
    ...conflictsOf(gates).map(({ text }) => text),
    ...changingHands(before, gates),
    ...tooMany(differences.config),
  ];
  if (conflicts.length === 0) return differences;
  throw new Failure(`Not without a restart: ${conflicts.join("; ")}`);
}

/** A port cannot be had twice at a time: not by a gate with another name, nor by two that relay and change places. */
function changingHands(before: Config, gates: readonly GateOptions[]): string[] {
  return gates.flatMap((gate) => {
    const has = before.gates.find((other) => other.name !== gate.name && addressOf(other) === addressOf(gate));
    if (has === undefined) return [];
    const isGone = gates.every(({ name }) => name !== has.name);
    // In the kernel a port is given away and taken in one go.
    if (!isGone && has.mode === "inline" && gate.mode === "inline") return [];
    return [
      `gate "${gate.name}" would listen where gate "${has.name}" does: ${isGone ? "keep the name, or " : ""}restart`,
    ];
  });
}

function tooMany(config: Config): string[] {
  const count = guardedPorts(config).length;
  if (config["block-map"] === undefined || count <= maxPorts) return [];
  return [`the kernel guards ${maxPorts} ports at most, these are ${count}`];
}

/** @returns what carries it out, in one go. @throws Failure; then nothing has changed. */
export async function prepare(config: Config, parts: ReloadParts): Promise<() => Promise<void>> {
  await using undo = new AsyncDisposableStack();
  const prepared: Prepared[] = [];
  for (const gate of config.gates) {
    await setImmediate();
    const profile = await inTurns(parts.profiles.make(gate, config["dry-run"]));
    await setImmediate();
    prepared.push(await prepareGate(gate, profile, parts, undo));
  }
  undo.move();
  const before = parts.gates.relays.map((gate) => gate.config);
  return async () => {
    guard(config, prepared, parts);
    for (const { listener } of prepared) listener?.takePlace();
    parts.gates.replace(prepared.map(({ gate }) => gate));
    for (const { gate, config: next, profile } of prepared) gate.reconfigure(next, profile);
    for (const { gate, isNew } of prepared) if (isNew) gate.trial?.begun();
    for (const { gate } of prepared) await gate.beSilent();
    for (const { gate } of prepared) await gate.observer.renew();
    await sayLeft(before, config, parts.surroundings);
  };
}

/** A socket of the service manager stays where it was, and nobody accepts on it from now on. */
async function sayLeft(
  before: readonly GateOptions[],
  { gates }: Config,
  { runtime, log }: Pick<GateSurroundings, "runtime" | "log">,
): Promise<void> {
  for (const { name, listen } of before) {
    if (gates.some((gate) => gate.listen.port === listen.port)) continue;
    const address = formatEndpoint({ address: listen.host, port: listen.port });
    await requireFree(runtime, listen).catch(() => {
      const left = `${gatePrefix(name)}Somebody still listens on ${address}, where this gate does no more`;
      log("warn", `${left}: stop or change the socket unit, clients wait there in vain`);
    });
  }
}

async function prepareGate(
  config: GateOptions,
  profile: GateProfile,
  { gates, surroundings }: ReloadParts,
  undo: AsyncDisposableStack,
): Promise<Prepared> {
  const running = gates.open.find(({ name }) => name === config.name);
  if (running === undefined) {
    const gate = new DaemonGate(config, profile, surroundings);
    undo.defer(() => gate.close());
    if (!gate.isInline) await gate.gate.listenSocket.listen();
    return { config, profile, gate, isNew: true, listener: undefined };
  }
  running.trial?.requireSame(profile.fingerprint);
  const stays = running.isInline || addressOf(running.config) === addressOf(config);
  const listener = stays ? undefined : undo.use(await running.gate.listenSocket.listenAt(config.listen));
  return { config, profile, gate: running, isNew: false, listener };
}

function addressOf({ listen: { host, port } }: GateOptions): string {
  return `${host} ${port}`;
}

/** The ports in the kernel: those that go make room; new ones are judged before they are guarded. */
function guard(config: Config, prepared: readonly Prepared[], { gates, fence, surroundings }: ReloadParts): void {
  if (fence === undefined) return;
  const judge = surroundings.judge();
  const isStaying = ({ gate, config: next, isNew }: Prepared) => !isNew && gate.config.listen.port === next.listen.port;
  const staying = prepared.filter(isStaying);
  const coming = prepared.filter((one) => !isStaying(one));
  const counts = new Map(coming.map(({ gate }) => [gate, gate.kernelJudge?.counts]));
  for (const gate of gates.open) {
    if (staying.every((one) => one.gate !== gate)) judge?.close(gate.config.listen.port);
  }
  fence.guard(guardedPorts({ gates: staying.map((one) => one.config) }), config.scope);
  for (const { gate, config: next, profile } of coming) {
    const judged = gate.judgedAs(next, profile);
    if (judged !== undefined) judge?.open(judged, counts.get(gate));
  }
  gates.beginJudging();
  fence.guard(guardedPorts(config), config.scope);
}
