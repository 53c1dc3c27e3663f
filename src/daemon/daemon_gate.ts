// SPDX-License-Identifier: Apache-2.0
// One of the daemon's gates with everything that exists once for each: listener and relay, desk, recorder, the
// kernel's judge of its port, the second observer, and what becomes of connections that stall in the kernel.
import { gatePrefix } from "../config/gates.ts";
import type { Config, GateOptions } from "../config/options.ts";
import { bounces, unjudged } from "../config/servers.ts";
import { termsOf } from "../config/terms.ts";
import type { Events } from "../core/bans/events.ts";
import type { FencePlace } from "../core/bans/fence.ts";
import type { Client } from "../core/client.ts";
import type { InlineGate, InlineJudge } from "../fences/xdp/inline/inline_judge.ts";
import { Gate } from "../gate/gate.ts";
import type { Names } from "../host/names.ts";
import type { Log } from "../log.ts";
import { Recorder } from "../recording/recorder.ts";
import type { Runtime } from "../runtime/types.ts";
import { KernelJudge } from "../sources/kernel_judge.ts";
import { Stalled } from "../sources/stalled.ts";
import type { DaemonBans } from "./bans.ts";
import type { GateProfile } from "./profiles.ts";
import { RefusedThoughFenced } from "./refused_though_fenced.ts";
import { SecondObserver } from "./second_observer.ts";
import type { UnseenConnections } from "./unseen.ts";
import type { Ways } from "./ways.ts";

/** What all gates share. */
export interface GateSurroundings {
  readonly config: () => Config;
  readonly runtime: Runtime;
  /** Where the names of upstreams lead. */
  readonly names: Names;
  readonly bans: DaemonBans;
  readonly events: Events;
  readonly ways: Ways;
  readonly unseen: UnseenConnections;
  readonly places: () => readonly FencePlace[];
  /** The kernel's judge that is in place now. */
  readonly judge: () => InlineJudge | undefined;
  /** Loopback is guarded too. */
  readonly guardsLoopback: () => boolean;
  /** How many gates relay. */
  readonly relays: () => number;
  readonly log: Log;
  readonly nowMs: () => number;
}

export class DaemonGate {
  readonly gate: Gate;
  readonly recorder: Recorder | undefined;
  /** Undefined where the kernel judges nothing for this gate. */
  readonly kernelJudge: KernelJudge | undefined;
  readonly observer: SecondObserver;
  readonly #surroundings: GateSurroundings;
  readonly #stalled: Stalled | undefined;
  readonly #unfollow: () => void;
  #config: GateOptions;
  #profile: GateProfile;
  #isSilent = false;

  /** @param descriptor a socket that listens where the gate is to, from elsewhere. */
  constructor(config: GateOptions, profile: GateProfile, surroundings: GateSurroundings, descriptor?: number) {
    const { runtime, bans, events, ways, unseen, places, judge, guardsLoopback, relays, names, log, nowMs } =
      surroundings;
    this.#surroundings = surroundings;
    this.#config = config;
    this.#profile = profile;
    const ownLog: Log = (level, message, fields) => log(level, `${gatePrefix(config.name)}${message}`, fields);
    const ipv6Bits = surroundings.config()["ipv6-prefix"];
    const port = () => this.#config.listen.port;
    const desk = bans.deskOf({
      gate: config.name,
      terms: () => termsOf({ ...surroundings.config(), ...this.#config }),
      spareFriends: () => this.#config["spare-friends"],
      isLocal: () => this.#config["ban-scope"] === "gate",
    });
    this.recorder =
      config.record === undefined
        ? undefined
        : new Recorder({ file: config.record, limitBytes: config["record-max"] * 1024 * 1024, log: ownLog });
    const { enforcement } = bans;
    const refused = new RefusedThoughFenced({ enforcement, ways, unseen, places, port, nowMs });
    this.gate = new Gate({
      ...{ name: config.name, config: this.#whole(), sniffer: profile.sniffer, recorder: this.recorder },
      ...{ runtime, desk, names, log: ownLog, nowMs, descriptor, gates: relays },
      refused: (client) => refused.refused(client),
      upstreamChanged: ({ address, reachable, error }) =>
        events.publish({
          ...{ type: "upstream", atMs: nowMs(), upstream: address, gate: config.name },
          ...{ reachable: reachable === true, error },
        }),
    });
    this.#unfollow = enforcement.follow(this.gate);
    const { counters } = this.gate;
    const sniffer = () => this.#profile.sniffer;
    this.kernelJudge =
      profile.table === undefined
        ? undefined
        : new KernelJudge({
            ...{ judge, port, counters, ipv6Bits, sniffer, alone: this.isInline },
            ban: (client, offence) => desk.ban(client, offence),
            strike: (client, bytes) => this.gate.strike(client, bytes),
          });
    this.observer = new SecondObserver({
      ...{ native: runtime.native, unseen, places, log: ownLog, nowMs, loopback: guardsLoopback },
      judge: () => (this.isInline ? judge() : undefined),
      listen: () => this.#config.listen,
    });
    this.#stalled = this.isInline
      ? new Stalled({
          ...{ connections: judge, port, sniffer, ipv6Bits, firstPacketMs: config["first-packet"] },
          ban: (client, offence) => {
            if (desk.ban(client, offence) === "spared") counters.spared++;
          },
          strike: (client: Client, bytes: Uint8Array) => this.gate.strike(client, bytes),
        })
      : undefined;
  }

  get name(): string {
    return this.#config.name;
  }

  get config(): GateOptions {
    return this.#config;
  }

  get isInline(): boolean {
    return this.#config.mode === "inline";
  }

  /** How the kernel is to judge its port; undefined where it does not. */
  get judged(): InlineGate | undefined {
    return judgedPort(this.#config, this.#profile);
  }

  /** Goes on with other options; where it listens is moved already. */
  reconfigure(config: GateOptions, profile: GateProfile): void {
    const { port } = this.#config.listen;
    this.#config = config;
    this.#profile = profile;
    this.gate.reconfigure(this.#whole(), profile.sniffer);
    if (this.judged !== undefined && port === config.listen.port) this.kernelJudge?.change(this.judged);
  }

  /** As it is configured now. */
  async beSilent(): Promise<void> {
    const isSilent = this.#config.reject === "silent" && !this.isInline && !this.#surroundings.config()["dry-run"];
    if (isSilent === this.#isSilent) return;
    this.#isSilent = isSilent;
    await this.gate.beSilent(isSilent);
  }

  /** Twice a second. */
  tick(nowMs: number): void {
    this.gate.tick(nowMs);
  }

  /** With every tick of the gate. @throws KernelError */
  tickStalled(nowMs: number): void {
    this.#stalled?.tick(nowMs);
  }

  /** Stops accepting; what is open goes on. */
  retire(): void {
    this.gate.close();
    this.observer[Symbol.dispose]();
  }

  /** When nothing is open any more. */
  async close(): Promise<void> {
    this.retire();
    this.#unfollow();
    await this.recorder?.close();
  }

  #whole() {
    const process = this.#surroundings.config();
    return { ...this.#config, "dry-run": process["dry-run"], "ipv6-prefix": process["ipv6-prefix"] };
  }
}

/** How the kernel is to judge a gate's port; undefined where it does not. */
export function judgedPort(config: GateOptions, { table }: GateProfile): InlineGate | undefined {
  if (table === undefined) return undefined;
  return {
    ...{ port: config.listen.port, table, banMs: config.timeout },
    ...{ bounce: bounces(config), passes: unjudged(config) },
  };
}
