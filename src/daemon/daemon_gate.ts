// SPDX-License-Identifier: Apache-2.0
// One of the daemon's gates with everything that exists once for each: listener and relay, desk, recorder, the
// kernel's judge of its port, the second observer, and what becomes of connections that stall in the kernel.
import { gatePrefix } from "../config/gates.ts";
import type { Config, GateOptions } from "../config/options.ts";
import { bounces, unjudged } from "../config/servers.ts";
import { termsOf } from "../config/terms.ts";
import { requirePrefix } from "../core/address.ts";
import type { Events } from "../core/bans/events.ts";
import type { FencePlace } from "../core/bans/fence.ts";
import type { Client } from "../core/client.ts";
import { comesTo } from "../core/rings.ts";
import type { InlineGate, InlineJudge } from "../fences/xdp/inline/inline_judge.ts";
import type { Judging } from "../fences/xdp/inline/inline_layout.ts";
import { Gate } from "../gate/gate.ts";
import { arrivedAt, type Ends, isSame, leadsToOf, type RingGate } from "../gate/rings.ts";
import type { Names } from "../host/names.ts";
import { isListening, originalDestination } from "../kernel/descriptor.ts";
import type { Libc } from "../kernel/libc.ts";
import { ownAddresses } from "../kernel/own_address.ts";
import type { Log } from "../log.ts";
import { Recorder } from "../recording/recorder.ts";
import type { Runtime } from "../runtime/types.ts";
import { KernelJudge } from "../sources/kernel_judge.ts";
import { Stalled } from "../sources/stalled.ts";
import type { DaemonBans, DeskParts } from "./bans.ts";
import { InlineTrial } from "./inline_trial.ts";
import type { GateProfile } from "./profiles.ts";
import { RefusedThoughFenced } from "./refused_though_fenced.ts";
import { SecondObserver } from "./second_observer.ts";
import { DaemonTrial } from "./trial.ts";
import type { UnseenConnections } from "./unseen.ts";
import type { Ways } from "./ways.ts";

/** What all gates share. */
export interface GateSurroundings {
  readonly config: () => Config;
  readonly runtime: Runtime;
  readonly libc: Libc;
  /** Where the names of upstreams lead. */
  readonly names: Names;
  readonly bans: DaemonBans;
  readonly events: Events;
  readonly ways: Ways;
  readonly unseen: UnseenConnections;
  readonly places: () => readonly FencePlace[];
  /** Told of an interface by which a connection came, and that is not guarded. @returns true when it is from now on. */
  readonly cameBy: (interfaceName: string) => boolean;
  /** The kernel's judge that is in place now. */
  readonly judge: () => InlineJudge | undefined;
  /** Loopback is guarded too. */
  readonly guardsLoopback: () => boolean;
  /** All that have connections. */
  readonly gates: () => readonly RingGate[];
  /** How many gates relay. */
  readonly relays: () => number;
  /** Where the trial of a gate outlives the process; undefined without a state directory. */
  readonly trialPath: (gate: string) => string | undefined;
  /** Another number when interfaces, addresses or routes may have changed. */
  readonly networkVersion: () => number;
  readonly log: Log;
  readonly nowMs: () => number;
}

export class DaemonGate implements RingGate {
  readonly gate: Gate;
  readonly recorder: Recorder | undefined;
  /** Undefined where the kernel judges nothing for this gate. */
  readonly kernelJudge: KernelJudge | undefined;
  readonly observer: SecondObserver;
  /** Of its profile; undefined without --trial. */
  readonly trial: DaemonTrial | undefined;
  readonly #surroundings: GateSurroundings;
  readonly #stalled: Stalled | undefined;
  readonly #unfollow: () => void;
  #config: GateOptions;
  #profile: GateProfile;
  #isSilent = false;

  /** @param descriptor a socket that listens where the gate is to, from elsewhere. */
  constructor(config: GateOptions, profile: GateProfile, surroundings: GateSurroundings, descriptor?: number) {
    const { runtime, libc, bans, events, ways, unseen, places, cameBy } = surroundings;
    const { judge, guardsLoopback, relays, names, log, nowMs } = surroundings;
    this.#surroundings = surroundings;
    this.#config = config;
    this.#profile = profile;
    const ownLog: Log = (level, message, fields) => log(level, `${gatePrefix(config.name)}${message}`, fields);
    const ipv6Bits = surroundings.config()["ipv6-prefix"];
    const port = () => this.#config.listen.port;
    const gateBans = {
      gate: config.name,
      terms: () => termsOf({ ...surroundings.config(), ...this.#config }),
      spareFriends: () => this.#config["spare-friends"],
      isLocal: () => this.#config["ban-scope"] === "gate",
    };
    const gateDesk = bans.deskOf(gateBans);
    this.trial = config.trial === undefined ? undefined : this.#openTrial(config.trial, gateBans, ownLog);
    const desk = this.trial?.deskBefore(gateDesk) ?? gateDesk;
    this.recorder =
      config.record === undefined
        ? undefined
        : new Recorder({ file: config.record, limitBytes: config["record-max"] * 1024 * 1024, log: ownLog });
    const { enforcement } = bans;
    const refused = new RefusedThoughFenced({ enforcement, ways, unseen, places, cameBy, port, nowMs });
    this.gate = new Gate({
      ...{ name: config.name, config: this.#whole(), sniffer: profile.sniffer, recorder: this.recorder },
      ...{ runtime, desk, names, log: ownLog, nowMs, descriptor, gates: relays },
      isListening: (fd) => isListening(libc, fd),
      hasAddress: ownAddresses(libc, surroundings.networkVersion),
      dryRun: this.bansNobody,
      trial: this.isOnTrial ? this.trial : undefined,
      rings: {
        name: config.name,
        arrivedAt: (ends) => arrivedAt(surroundings.gates(), ends),
        comesBackFrom: (gate) => comesTo(leadsToOf(surroundings.gates()), gate, config.name),
      },
      refused: (client) => refused.refused(client),
      upstreamChanged: ({ address, reachable, error }) =>
        events.publish({
          ...{ type: "upstream", atMs: nowMs(), upstream: address, gate: config.name },
          ...{ reachable: reachable === true, error },
        }),
    });
    this.#unfollow = enforcement.follow(this.#isDryRun ? this.gate.wouldBans : this.gate);
    const { counters } = this.gate;
    const sniffer = () => this.#profile.sniffer;
    this.kernelJudge =
      profile.table === undefined
        ? undefined
        : new KernelJudge({
            ...{ judge, port, counters, ipv6Bits, sniffer, alone: this.isInline },
            ban: (client, offence) => desk.ban(client, offence),
            strike: (client, bytes) => this.gate.strike(client, bytes),
            malformed: (client) => this.trial?.wouldReset(client),
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

  hasAccepted(ends: Ends): boolean {
    const { libc } = this.#surroundings;
    for (const socket of this.gate.sessions.from(ends.local)) {
      if (isSame(ends, socket, () => originalDestination(libc, socket))) return true;
    }
    return false;
  }

  leadsTo(): readonly string[] {
    return this.gate.upstreams.leadsTo();
  }

  get config(): GateOptions {
    return this.#config;
  }

  get isInline(): boolean {
    return this.#config.mode === "inline";
  }

  /** How the kernel is to judge its port; undefined where it does not. */
  get judged(): InlineGate | undefined {
    return this.judgedAs(this.#config, this.#profile);
  }

  /** The same with other options. */
  judgedAs(config: GateOptions, profile: GateProfile): InlineGate | undefined {
    return judgedPort(config, profile, judgingOf(this.#isDryRun, this.isOnTrial));
  }

  /** Its profile is watched, and bans nobody yet. */
  get isOnTrial(): boolean {
    return this.trial?.isObserving === true;
  }

  /** Goes on with other options; where it listens is moved already. */
  reconfigure(config: GateOptions, profile: GateProfile): void {
    const { port } = this.#config.listen;
    this.#config = config;
    this.#profile = profile;
    this.gate.reconfigure(this.#whole(), profile.sniffer);
    this.trial?.reloaded(profile.fingerprint);
    if (this.judged !== undefined && port === config.listen.port) this.kernelJudge?.change(this.judged);
  }

  /** As it is configured now. */
  async beSilent(): Promise<void> {
    const isSilent = this.#config.reject === "silent" && !this.isInline && !this.#isDryRun;
    if (isSilent === this.#isSilent) return;
    this.#isSilent = isSilent;
    await this.gate.beSilent(isSilent);
  }

  /** Twice a second. @param lateMs how much later than it was to be. */
  tick(nowMs: number, lateMs: number): void {
    this.gate.tick(nowMs, lateMs);
  }

  /** With every tick of the gate. @throws KernelError */
  tickStalled(nowMs: number): void {
    this.#stalled?.tick(nowMs);
  }

  /** Stops accepting; what is open goes on. */
  retire(): void {
    this.gate.close();
    this.trial?.close();
    this.observer[Symbol.dispose]();
  }

  /** When nothing is open any more. */
  async close(): Promise<void> {
    this.retire();
    this.#unfollow();
    await this.recorder?.close();
  }

  get #isDryRun(): boolean {
    return this.#surroundings.config()["dry-run"];
  }

  /** A dry run, or a trial. */
  get bansNobody(): boolean {
    return this.#isDryRun || this.isOnTrial;
  }

  #openTrial(durationMs: number, gateBans: DeskParts, log: Log): DaemonTrial {
    const { bans, judge, trialPath, nowMs } = this.#surroundings;
    const { name } = this.#config;
    return new DaemonTrial({
      ...{ durationMs, bans, gateBans, log, nowMs },
      profile: () => this.#config.profile,
      fingerprint: this.#profile.fingerprint,
      path: () => trialPath(name),
      inline: this.isInline
        ? new InlineTrial({
            port: () => this.#config.listen.port,
            isWelcome: (address) => judge()?.isWelcome(requirePrefix(address)) === true,
          })
        : undefined,
      wouldBan: (changes) => this.gate.wouldBans.bansChanged(changes),
      enforce: () => {
        if (this.judged !== undefined) this.kernelJudge?.change(this.judged);
        this.gate.enforce();
      },
    });
  }

  #whole() {
    return { ...this.#config, "ipv6-prefix": this.#surroundings.config()["ipv6-prefix"] };
  }
}

export function judgingOf(isDryRun: boolean, isOnTrial: boolean): Judging {
  if (isDryRun) return "dry run";
  return isOnTrial ? "trial" : "enforce";
}

/** How the kernel is to judge a gate's port; undefined where it does not. */
export function judgedPort(config: GateOptions, { table }: GateProfile, judging: Judging): InlineGate | undefined {
  if (table === undefined) return undefined;
  return {
    ...{ port: config.listen.port, table, banMs: config.timeout, judging },
    ...{ bounce: bounces(config), passes: unjudged(config) },
  };
}
