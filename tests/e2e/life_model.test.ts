// SPDX-License-Identifier: Apache-2.0
// A gate's life by chance, against a model of who is to be banned and until when: bans, lifts, lists, strangers and other
// tools' entries, and between them, or in the middle of them, kill -9, stops, take-overs and restarts with other options,
// while the wall clock jumps. After each step table and kernel say what the model says: no ban is lost, none ends early
// or late, none comes back, and another tool's map is as it was. LIFE_SEED repeats a run, LIFE_SECONDS makes it longer.
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, rmSync } from "node:fs";
import process from "node:process";
import { contains, requirePrefix } from "../../src/core/address.ts";
import type { BanView, Why } from "../../src/status/snapshot.ts";
import { Child, run } from "../harness/child.ts";
import { BlockMap, bpftool, RunningGate, ttgate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { createRandom, pick, type Random } from "../harness/random.ts";
import { startServer } from "../harness/standin.ts";
import { steppable } from "../harness/step_clock.ts";
import { handsOver } from "../harness/takeover.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { sleep, waitFor } from "../harness/wait.ts";

const seconds = Number(process.env["LIFE_SECONDS"] ?? 12);
const seed = Number(process.env["LIFE_SEED"] ?? Date.now() % 1_000_000);

setDefaultTimeout((seconds + 120) * 1000);

/** Whole seconds in the documented map, the kernel's clock, and how long an answer is under way. */
const toleranceMs = 2500;
/** What the gate saw itself, or found in its map, is in the file by then. */
const savedMs = 1500;
const http = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
const day = 86_400;

interface Claim {
  /** By `performance.now`; Infinity: without an end. */
  untilMs: number;
  /** A crash until then may cost it: nobody was told that it is banned. */
  readonly unsureUntilMs: number;
}

/** Options that change from one run to the next. */
interface Setting {
  readonly mode: "proxy" | "inline";
  readonly port: number;
  readonly map: BlockMap | undefined;
  readonly prefix: number;
  readonly scope: "port" | "host";
  readonly timeoutSeconds: number;
  readonly keep: boolean;
  readonly allowed: boolean;
}

/** Banned by hand or by list, and never seen here. */
const strangers = [
  "198.51.100.1",
  "198.51.100.2",
  "203.0.113.0/28",
  "2001:db8:0:100::1",
  "2001:db8:0:180::1",
  "2001:db8:1::/48",
];
/** Allowed in some runs. */
const friend = "192.0.2.1";
/** Another tool's entry without an end, in the documented map. */
const othersOwn = "192.0.2.9";
const othersKey = ["key", "192", "0", "2", "9"];
const isProof = /^(198\.1[89]\.255\.|3fff:)/;
const listed = Array.from({ length: 60 }, (_, index) => `100.64.0.${index}`);

class Life {
  readonly #random: Random;
  readonly #network: Network;
  readonly #maps: readonly BlockMap[];
  readonly #directory: TempDir;
  readonly #clock: Awaited<ReturnType<typeof steppable>>;
  readonly #model = new Map<string, Map<string, Claim>>();
  readonly #lifted = new Set<string>();
  #setting: Setting;
  #gate: RunningGate | undefined;
  #crashedMs = Number.POSITIVE_INFINITY;
  readonly done: string[] = [];

  constructor(
    random: Random,
    network: Network,
    maps: readonly BlockMap[],
    directory: TempDir,
    clock: Awaited<ReturnType<typeof steppable>>,
  ) {
    this.#random = random;
    this.#network = network;
    this.#maps = maps;
    this.#directory = directory;
    this.#clock = clock;
    this.#setting = this.#anySetting();
  }

  get gate(): RunningGate {
    if (this.#gate === undefined) throw new Error("No gate runs");
    return this.#gate;
  }

  #chance(percent: number): boolean {
    return this.#random(100) < percent;
  }

  #anySetting(): Setting {
    const mode = this.#chance(30) ? "inline" : "proxy";
    return {
      mode,
      port: mode === "inline" ? 5001 : pick(this.#random, [5000, 5002]),
      map: mode === "proxy" && this.#chance(20) ? undefined : pick(this.#random, this.#maps),
      prefix: pick(this.#random, [64, 56, 128]),
      scope: pick(this.#random, ["port", "host"]),
      timeoutSeconds: pick(this.#random, [600, 60, 3]),
      keep: this.#chance(50),
      allowed: this.#chance(25),
    };
  }

  #flags({ mode, port, map, prefix, scope, timeoutSeconds, keep, allowed }: Setting): string[] {
    const config = this.#directory.write(
      "ttgate.toml",
      `[[gate]]\nname = "only"\nlisten = "${port}"\nmode = "${mode}"\n`,
    );
    const block = map === undefined ? [] : ["-B", map.name, "-i", this.#network.device];
    return [
      ...["-c", config, "--state", this.#directory.file("state"), "-t", `${timeoutSeconds}s`, "--scope", scope],
      ...["--ipv6-prefix", String(prefix), ...block, ...(keep ? ["--keep"] : []), ...(allowed ? ["-a", friend] : [])],
    ];
  }

  async start(more: readonly string[] = []): Promise<void> {
    const flags = [...this.#flags(this.#setting), ...more];
    this.done.push(
      `[${Object.values({ ...this.#setting, map: this.#setting.map === undefined ? "no map" : this.#setting.map === this.#maps[1] ? "documented" : "own" }).join(" ")}]`,
    );
    this.#gate = await RunningGate.start(flags, {
      ...{ namespace: this.#network.gate, env: this.#clock.env },
      startMs: 60_000,
    });
    if (this.#setting.allowed) this.#model.delete(friend);
    await this.#settle();
  }

  async end(): Promise<void> {
    await this.#gate?.[Symbol.asyncDispose]();
  }

  #claim(source: string, origin: string, forSeconds: number, isUnsure = false): void {
    const now = performance.now();
    const claims = this.#model.get(source) ?? new Map<string, Claim>();
    const untilMs = now + forSeconds * 1000;
    const before = claims.get(origin);
    if (before === undefined || before.untilMs < untilMs || before.untilMs < now)
      claims.set(origin, { untilMs, unsureUntilMs: isUnsure ? now + savedMs : 0 });
    this.#model.set(source, claims);
    this.#lifted.delete(source);
  }

  #untilMs(source: string): number {
    return Math.max(
      0,
      ...(this.#model
        .get(source)
        ?.values()
        .map(({ untilMs }) => untilMs) ?? []),
    );
  }

  /** The gate goes without having been told to: what nobody was told may be lost with it. */
  async #crash(): Promise<void> {
    const gate = this.gate;
    gate.child.signal("SIGKILL");
    await gate.child.exited;
    await gate[Symbol.asyncDispose]();
    this.#gate = undefined;
    this.#crashedMs = performance.now();
  }

  /** What nobody was told of before a crash is banned now, or it is not. */
  async #settle(): Promise<void> {
    const bans = new Set((await this.#bans()).map(({ source }) => source));
    for (const [source, claims] of this.#model) {
      for (const [origin, { unsureUntilMs }] of claims)
        if (unsureUntilMs > this.#crashedMs && !bans.has(source)) claims.delete(origin);
    }
    this.#crashedMs = Number.POSITIVE_INFINITY;
  }

  // Steps

  async ban(): Promise<void> {
    const text = this.#chance(15) ? friend : pick(this.#random, strangers);
    const forSeconds = pick(this.#random, [3, 5, 600, day, Number.POSITIVE_INFINITY]);
    const body = { address: text, for: Number.isFinite(forSeconds) ? `${forSeconds}s` : "ever" };
    const reply = await this.gate.fetch("/bans", { method: "POST", body: JSON.stringify(body) });
    if (text === friend && this.#setting.allowed) expect(reply.status).toBe(409);
    else {
      expect(reply.status).toBe(201);
      this.#claim(((await reply.json()) as BanView).source, "operator", forSeconds);
    }
  }

  async lift(): Promise<void> {
    const banned = [...this.#model.keys()];
    if (banned.length === 0) return;
    const source = pick(this.#random, banned);
    const isOver = this.#untilMs(source) - performance.now() < toleranceMs;
    // An address alone would be the source that it belongs to by now.
    const exact = source.includes("/") || !source.includes(":") ? source : `${source}/128`;
    const reply = await this.gate.fetch(`/bans/${encodeURIComponent(exact)}`, { method: "DELETE" });
    if (!isOver) expect([source, reply.status]).toEqual([source, 200]);
    this.#forget(source);
  }

  #forget(lifted: string): void {
    const outer = requirePrefix(lifted);
    for (const source of [...this.#model.keys()]) {
      if (!contains(outer, requirePrefix(source))) continue;
      this.#model.delete(source);
      this.#lifted.add(source);
    }
  }

  #postList(): Promise<Response> {
    const body = listed.join("\n");
    return this.gate.fetch("/bans/list?for=900s&name=evil", { method: "POST", body });
  }

  async list(): Promise<void> {
    expect((await this.#postList()).status).toBe(200);
    for (const source of listed) this.#claim(source, "list:evil", 900);
  }

  async unlist(): Promise<void> {
    await this.gate.fetch("/lifts/list", { method: "POST", body: listed.join("\n") });
    for (const source of listed) this.#forget(source);
  }

  async stranger(): Promise<void> {
    const from = this.#network.clientIpv4(3 + this.#random(4));
    if (this.#untilMs(from) > performance.now() - toleranceMs) return;
    const { port } = this.#setting;
    await probeFrom(this.#network.client, { host: this.#network.gateIpv4, port, from, send: [http], waitMs: 300 });
    await this.gate.banned(from);
    this.#claim(from, "judge", this.#setting.timeoutSeconds, true);
  }

  /** Another tool's entry with an end. */
  async otherTool(): Promise<void> {
    const { map } = this.#setting;
    if (map === undefined || map === this.#maps[1]) return;
    const last = 10 + this.#random(5);
    const source = `198.18.0.${last}`;
    if (this.#untilMs(source) > 0) return;
    const uptimeNs = BigInt(Math.floor(bootSeconds() * 1e9));
    const end = new BigUint64Array([uptimeNs + 700n * 1_000_000_000n]);
    const bytes = (list: ArrayLike<number>) => Array.from(list, String);
    const key = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 198, 18, 0, last];
    const value = [...new Uint8Array(end.buffer), ...new Uint8Array(32)];
    bpftool(["map", "update", "pinned", map.path, "key", ...bytes(key), "value", ...bytes(value)]);
    await this.gate.banned(source);
    this.#claim(source, "map", 700, true);
  }

  async crash(): Promise<void> {
    await this.#crash();
    await this.#between();
    await this.start();
  }

  async stop(): Promise<void> {
    expect(await this.gate.child.stop()).toMatchObject({ code: 0 });
    await this.end();
    this.#gate = undefined;
    await this.#between();
    await this.start();
  }

  /** A start that does not come to its end, at any moment of it. */
  async killedStart(): Promise<void> {
    await this.#crash();
    const argv = ttgate(["-s", "off", ...this.#flags(this.#setting)]);
    const child = new Child(argv, { namespace: this.#network.gate, env: this.#clock.env });
    await sleep(this.#random(900));
    child.signal("SIGKILL");
    await child.exited;
    await this.start();
  }

  async killedList(): Promise<void> {
    const asked = this.#postList().catch(() => undefined);
    await sleep(this.#random(40));
    await this.#crash();
    const reply = await asked;
    await this.start();
    const bans = new Map((await this.#bans()).map((ban) => [ban.source, ban]));
    if (reply?.status === 200) expect(listed.filter((source) => !bans.has(source))).toEqual([]);
    for (const source of listed) {
      const ban = bans.get(source);
      if (ban !== undefined) this.#claim(source, "list:evil", ban.remainingSeconds ?? Number.POSITIVE_INFINITY);
    }
  }

  async killedLift(): Promise<void> {
    const asked = this.gate.fetch("/lifts/list", { method: "POST", body: listed.join("\n") }).catch(() => undefined);
    await sleep(this.#random(40));
    await this.#crash();
    const reply = await asked;
    await this.start();
    const left = new Set((await this.#bans()).map(({ source }) => source));
    for (const source of listed) if (reply?.status === 200 || !left.has(source)) this.#forget(source);
  }

  async takeOver(): Promise<void> {
    const before = this.gate;
    await handsOver(before);
    const old = this.#setting;
    this.#setting = { ...this.#anySetting(), mode: old.mode, port: old.port, map: old.map };
    await this.start(["--takeover"]);
    await before.child.exited;
    await before[Symbol.asyncDispose]();
  }

  /** The one that takes over is killed, at any moment of it; and perhaps then the other one too. */
  async killedTakeOver(): Promise<void> {
    await handsOver(this.gate);
    const argv = ttgate(["-s", "off", ...this.#flags(this.#setting), "--takeover"]);
    const child = new Child(argv, { namespace: this.#network.gate, env: this.#clock.env });
    await sleep(this.#random(900));
    child.signal("SIGKILL");
    await child.exited;
    if (this.#chance(50) || this.gate.child.exit !== undefined) await this.crash();
    else
      await waitFor(
        "an answer, or the end",
        async () => this.gate.child.exit !== undefined || (await this.gate.fetch("/healthz")).ok,
      );
    if (this.gate.child.exit !== undefined) await this.crash();
  }

  async #between(): Promise<void> {
    this.#clock.step(pick(this.#random, [0, day, -day, 3600]));
    const before = this.#setting.map;
    if (this.#chance(70)) this.#setting = this.#anySetting();
    if (before !== undefined && before !== this.#setting.map) await this.#cleanUp(before);
    await sleep(this.#random(300));
  }

  /** As docs/upgrade.md says, where another map follows; what is left in an operator's own map is theirs to take out. */
  async #cleanUp(map: BlockMap): Promise<void> {
    // Behind a stop without --keep there is nothing.
    await run(ttgate(["detach", "--force", map.name]), { namespace: this.#network.gate });
    if (map !== this.#maps[1]) return;
    rmSync(map.path, { force: true });
    makeDocumented(map);
  }

  async #bans(): Promise<readonly BanView[]> {
    const { bans } = (await (await this.gate.fetch("/bans?limit=10000")).json()) as { bans: readonly BanView[] };
    return bans;
  }

  /** Table and kernel say what the model says. */
  async check(): Promise<void> {
    const bans = new Map((await this.#bans()).map((ban) => [ban.source, ban]));
    const now = performance.now();
    const wrong: string[] = [];
    if (this.#setting.map === this.#maps[1]) expect(bans.get(othersOwn)).toMatchObject({ by: "foreign" });
    bans.delete(othersOwn);
    // A gate that is killed while it proves its program leaves entries of addresses that nobody has, for ten seconds.
    for (const source of bans.keys()) if (isProof.test(source)) bans.delete(source);
    for (const [source, ban] of bans) {
      const untilMs = ban.remainingSeconds === null ? Number.POSITIVE_INFINITY : now + ban.remainingSeconds * 1000;
      const wantedMs = this.#untilMs(source);
      if (untilMs === wantedMs || Math.abs(untilMs - wantedMs) < toleranceMs) continue;
      wrong.push(`${source} (${ban.by}) for ${ban.remainingSeconds} s, not ${(wantedMs - now) / 1000}`);
    }
    for (const source of this.#model.keys()) {
      const wantedMs = this.#untilMs(source);
      if (wantedMs > now + toleranceMs && !bans.has(source))
        wrong.push(`${source} is not banned, for ${(wantedMs - now) / 1000} s`);
    }
    expect({ after: this.done.slice(-12), wrong }).toEqual({ after: this.done.slice(-12), wrong: [] });
    if (this.#setting.map !== undefined) await this.#checkKernel();
  }

  async #checkKernel(): Promise<void> {
    const some = [...this.#model.keys(), ...this.#lifted].filter(() => this.#chance(20));
    for (const source of some) {
      const address = source.replace(/\/\d+$/, "");
      const { ban, kernel } = (await (await this.gate.fetch(`/why/${address}`)).json()) as Why;
      const isEnding = ban !== null && ban.remainingSeconds !== null && ban.remainingSeconds < 1.5;
      if (isEnding) continue;
      expect([source, kernel.answer, this.done.slice(-12)]).toEqual([
        source,
        ban === null ? "pass" : "drop",
        this.done.slice(-12),
      ]);
    }
  }
}

function makeDocumented({ path }: BlockMap): void {
  bpftool(["map", "create", path, ..."type hash key 4 value 4 entries 1024 name documented".split(" ")]);
  bpftool(["map", "update", "pinned", path, ...othersKey, "value", "0", "0", "0", "0"]);
}

function bootSeconds(): number {
  return Number.parseFloat(readFileSync("/proc/uptime", "utf8"));
}

const steps: readonly (readonly [name: keyof Life, weight: number])[] = [
  ["ban", 6],
  ["lift", 5],
  ["list", 2],
  ["unlist", 1],
  ["stranger", 2],
  ["otherTool", 2],
  ["crash", 3],
  ["stop", 2],
  ["killedStart", 1],
  ["killedList", 1],
  ["killedLift", 1],
  ["takeOver", 1],
  ["killedTakeOver", 1],
];

describeWith("namespaces", "executable", { program: "gcc" })(`a life by chance (LIFE_SEED=${seed})`, () => {
  test("bans hold until their end, lifts hold for good, and nobody else's map is touched", async () => {
    await using stack = new AsyncDisposableStack();
    const random = createRandom(seed);
    const network = stack.use(new Network());
    const directory = stack.use(new TempDir());
    const [own, documented] = [stack.use(new BlockMap()), stack.use(new BlockMap())];
    stack.use(await startServer(network.gate, "--port", "5001", "--host", "0.0.0.0"));
    makeDocumented(documented);
    const life = new Life(random, network, [own, documented], directory, await steppable(directory));
    stack.defer(() => life.end());
    await life.start();
    const bag = steps.flatMap(([name, weight]) => Array.from({ length: weight }, () => name));
    for (const endMs = performance.now() + seconds * 1000; performance.now() < endMs; ) {
      const name = pick(random, bag);
      life.done.push(name);
      try {
        await (life[name] as () => Promise<void>).call(life);
        await life.check();
      } catch (cause) {
        throw new Error(`LIFE_SEED=${seed}, after ${life.done.slice(-12).join(", ")}`, { cause });
      }
    }
    const entry = bpftool(["map", "lookup", "pinned", documented.path, ...othersKey]);
    expect(entry).toMatchObject({ value: ["0x00", "0x00", "0x00", "0x00"] });
    console.log(`LIFE_SEED=${seed}: ${life.done.length} steps`);
  });
});
