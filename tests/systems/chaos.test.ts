// SPDX-License-Identifier: Apache-2.0
// Two minutes of everything that can happen to a host and to the kernel's objects, in random order, while friends
// and strangers go on. After each step, within two seconds, the kernel keeps strangers out or /readyz says why
// not; friends never fail. CHAOS_SEED repeats a run, CHAOS_SECONDS makes it longer.
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, rmSync } from "node:fs";
import process from "node:process";
import { run } from "../harness/child.ts";
import { BlockMap, bpftool, RunningGate, xdpLink } from "../harness/gate.ts";
import { clearArray } from "../harness/kernel_hands.ts";
import { describeWith } from "../harness/needs.ts";
import { ip, Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { createFractions } from "../harness/random.ts";
import { startClient, startServer } from "../harness/standin.ts";
import { sleep, waitFor } from "../harness/wait.ts";

const seconds = Number(process.env["CHAOS_SECONDS"] ?? 60);
const seed = Number(process.env["CHAOS_SEED"] ?? Date.now() % 1_000_000);
/** Two seconds, and what a busy machine adds. */
const soonMs = 4000;

setDefaultTimeout((seconds + 120) * 1000);

const http = [new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n")];

interface Scene {
  readonly network: Network;
  readonly map: BlockMap;
  readonly gate: RunningGate;
  readonly mode: "proxy" | "inline";
  isPlugged: boolean;
}

type Step = (scene: Scene) => Promise<void> | void;

const steps: Readonly<Record<string, Step>> = {
  "an interface comes or goes": (scene) => {
    const { network } = scene;
    const [device, peer] = [`${network.device}x`, `${network.clientDevice}x`];
    if (scene.isPlugged) ip("-n", network.gate, "link", "del", device);
    else {
      ip("-n", network.gate, "link", "add", device, "type", "veth", "peer", "name", peer, "netns", network.client);
      ip("-n", network.gate, "address", "add", "10.88.0.1/24", "dev", device);
      ip("-n", network.gate, "link", "set", device, "up");
      ip("-n", network.client, "address", "add", "10.88.0.2/24", "dev", peer);
      ip("-n", network.client, "link", "set", peer, "up");
    }
    scene.isPlugged = !scene.isPlugged;
  },
  "an address comes and goes": async ({ network }) => {
    ip("-n", network.gate, "address", "add", "10.77.9.9/32", "dev", network.device);
    await sleep(700);
    ip("-n", network.gate, "address", "del", "10.77.9.9/32", "dev", network.device);
  },
  "the gateway moves": ({ network }) => {
    const number = 200 + Math.floor(performance.now() % 40);
    ip("-n", network.gate, "route", "replace", "default", "via", network.clientIpv4(number));
  },
  "all pins are removed": ({ map }) => {
    for (const pin of map.pins()) rmSync(pin, { force: true });
  },
  "the settings are overwritten": ({ map }) => {
    if (!existsSync(`${map.path}_settings`)) return;
    const zeros = Array.from({ length: 56 }, () => "0");
    bpftool(["map", "update", "pinned", `${map.path}_settings`, "key", "0", "0", "0", "0", "value", ...zeros]);
  },
  "what the kernel judges by is cleared": async ({ gate, mode }) => {
    if (mode === "inline") await clearArray(gate.child.pid, "ttgate_tables");
  },
  "an address with a label comes and goes": async ({ network }) => {
    ip("-n", network.gate, "address", "add", "10.77.9.8/32", "dev", network.device, "label", `${network.device}:1`);
    await sleep(700);
    ip("-n", network.gate, "address", "del", "10.77.9.8/32", "dev", network.device);
  },
  "the link is detached": async ({ network }) => {
    const link = xdpLink(network.gate, network.device);
    if (link === undefined) return;
    await run(["bpftool", "link", "detach", "id", String(link)], { namespace: network.gate });
  },
  "the map is frozen": async ({ map }) => {
    if (existsSync(map.path)) await run(["bpftool", "map", "freeze", "pinned", map.path]);
  },
  "the entries are taken out": async ({ map }) => {
    if (!existsSync(map.path)) return;
    const entries = (bpftool(["map", "dump", "pinned", map.path]) ?? []) as { key: readonly string[] }[];
    for (const { key } of entries.slice(0, 20)) {
      await run(["bpftool", "map", "delete", "pinned", map.path, "key", ...key]);
    }
  },
  "bpffs is unmounted for a while": async () => {
    const unmounted = await run(["umount", "/sys/fs/bpf"]);
    if (unmounted.code !== 0) return;
    await sleep(1500);
    await run(["mount", "-t", "bpf", "-o", "mode=0700", "bpf", "/sys/fs/bpf"]);
  },
};

async function reasonsOf(gate: RunningGate): Promise<readonly string[]> {
  const reply = await gate.fetch("/readyz");
  return ((await reply.json()) as { reasons: readonly string[] }).reasons;
}

describeWith(
  "namespaces",
  "executable",
  "apart",
)(`chaos, seed ${seed}`, () => {
  test.each(["proxy", "inline"] as const)(
    `strangers stay out, or /readyz says why not; friends never fail (%s)`,
    async (mode) => {
      await using stack = new AsyncDisposableStack();
      const network = stack.use(new Network({ clients: 240 }));
      const map = stack.use(new BlockMap());
      stack.use(await startServer(network.gate, "--port", mode === "inline" ? "5000" : "5001", "--host", "0.0.0.0"));
      const options = ["-B", map.name, "--mode", mode, "-t", "1h"];
      const gate = stack.use(await RunningGate.start(options, { namespace: network.gate }));
      const friends = await Promise.all(
        [1, 2, 3].map(async (number) => {
          const from = network.clientIpv4(number);
          return stack.use(
            await startClient(network.client, "--host", network.gateIpv4, "--port", "5000", "--from", from),
          );
        }),
      );
      const random = createFractions(seed);
      const names = Object.keys(steps);
      const scene: Scene = { network, map, gate, mode, isPlugged: false };
      const done: string[] = [];
      const outcomes = { keptOut: 0, said: 0 };
      let stranger = 3;
      for (const endMs = performance.now() + seconds * 1000; performance.now() < endMs; ) {
        const name = names[Math.floor(random() * names.length)] ?? "";
        done.push(name);
        await steps[name]?.(scene);
        stranger = stranger >= 199 ? 4 : stranger + 1;
        const from = network.clientIpv4(stranger);
        const visit = { host: network.gateIpv4, port: 5000, from };
        await waitFor(
          `strangers kept out, or a reason, after ${done.slice(-4).join(", ")}`,
          async () => {
            await probeFrom(network.client, { ...visit, send: http, waitMs: 200 });
            const { outcome } = await probeFrom(network.client, { ...visit, waitMs: 200 });
            if (outcome === "no answer") outcomes.keptOut++;
            else if ((await reasonsOf(gate)).length > 0) outcomes.said++;
            else return false;
            return true;
          },
          soonMs,
        );
        const reports = friends.map((friend) => friend.last());
        expect([done.at(-1), ...reports.map((report) => [report?.failures, report?.lastFailure])]).toEqual([
          ...[done.at(-1), [0, undefined], [0, undefined], [0, undefined]],
        ]);
      }
      // Of connections that got by meanwhile it is told for a minute.
      const becomesReady = async () => {
        expect(await reasonsOf(gate)).toEqual([]);
        return true;
      };
      await waitFor("readiness in the end", becomesReady, 90_000);
      for (const friend of friends) expect((await friend.stop()).failures).toBe(0);
      console.log(`${mode}, seed ${seed}: ${done.length} steps, ${JSON.stringify(outcomes)}`);
      expect(outcomes.keptOut).toBeGreaterThan(10);
      await gate.child.stop();
      expect(readdirSync("/sys/fs/bpf").filter((pin) => pin.startsWith(map.name))).toEqual([]);
    },
  );
});
