// SPDX-License-Identifier: Apache-2.0
// A real Prometheus scrapes real gates that are in all the trouble that there are alerts for: each alert fires, each
// query of the dashboard is answered, and promtool finds nothing wrong with the metrics and the rules.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Snapshot } from "../../src/status/snapshot.ts";
import { Child, run } from "../harness/child.ts";
import { BlockMap, bpftool, ttgate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { ip, Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { startClient, startServer } from "../harness/standin.ts";
import { seal } from "../harness/tapetrack_wire.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { sleep, waitFor } from "../harness/wait.ts";

setDefaultTimeout(60_000);

const contrib = resolve(import.meta.dirname, "../../contrib");
const rules = readFileSync(`${contrib}/prometheus/ttgate.rules.yml`, "utf8");
const alerts = [...rules.matchAll(/- alert: (\w+)/g)].map(([, name = ""]) => name);
const noConfig = ["-c", "/dev/null"];

/** Statuses of the gates; nobody listens at the last. */
const targets = ["127.0.0.1:9500", "127.0.0.1:9510", "127.0.0.1:9520", "127.0.0.1:9599"];

interface Alert {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly state: string;
}

describeWith(
  { program: "prometheus" },
  { program: "promtool" },
  "executable",
  "namespaces",
)("Prometheus", () => {
  let stack: AsyncDisposableStack;
  let network: Network;
  let map: BlockMap;
  let directory: TempDir;
  /** Nothing that it needs is there. */
  let lonely: Child;

  const inside = (...argv: readonly string[]) => run(argv, { namespace: network.gate });
  const curl = (...args: readonly string[]) => inside("curl", "-gsS", "-m", "5", ...args);

  async function api<T>(path: string): Promise<T> {
    const { stdout, stderr } = await curl(`http://127.0.0.1:9090/api/v1/${path}`);
    const answer = JSON.parse(stdout === "" ? "{}" : stdout) as { status?: string; error?: string; data: T };
    if (answer.status !== "success") throw new Error(`${path}: ${answer.error ?? stderr}`);
    return answer.data;
  }

  /** Its status is read over TCP, as Prometheus does. */
  async function gate(port: number, status: string, ...args: readonly string[]): Promise<Child> {
    const argv = ttgate(["-l", String(port), "-s", status, ...noConfig, ...args]);
    const child = new Child(argv, { namespace: network.gate });
    await child.said(/Never banned/);
    return child;
  }

  /** Of the gate with the full map. */
  function until(what: string, wanted: (status: Snapshot) => boolean): Promise<boolean> {
    return waitFor(what, async () => wanted(JSON.parse((await curl("http://127.0.0.1:9500/status")).stdout)));
  }

  function command(...args: readonly string[]) {
    return inside(...ttgate([...args, "-s", "127.0.0.1:9500"]));
  }

  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    network = stack.use(new Network());
    directory = stack.use(new TempDir());
    map = stack.use(new BlockMap());
    bpftool([
      "map",
      "create",
      map.path,
      "type",
      "hash",
      "key",
      "4",
      "value",
      "4",
      "entries",
      "8",
      "name",
      "ttg_alerts",
    ]);
    stack.use(await startServer(network.gate, "--port", "5001"));
    const trouble = [
      "-B",
      map.path,
      "-i",
      network.device,
      "-i",
      "nosuch0",
      "--max-connections",
      "2",
      "--record",
      "/dev/full",
    ];
    stack.use(await gate(5000, "127.0.0.1:9500", ...trouble));
    const apart = ["--blocklist", "gone=http://127.0.0.1:1/list", "--fleet", "redis://127.0.0.1:1"];
    const crowdsec = ["--crowdsec", "http://127.0.0.1:1", "--crowdsec-key", directory.write("key", "key\n")];
    lonely = stack.use(await gate(5010, "127.0.0.1:9510", "-u", "127.0.0.1:1", ...apart, ...crowdsec));
    directory.write("rules.yml", rules.replaceAll(/for: \d+m/g, "for: 1s"));
    directory.write(
      "prometheus.yml",
      `global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}
rule_files: [rules.yml]
scrape_configs:
  - job_name: ttgate
    static_configs: [{targets: ${JSON.stringify(targets)}}]
`,
    );
    const storage = `--storage.tsdb.path=${directory.file("data")}`;
    const config = `--config.file=${directory.file("prometheus.yml")}`;
    const argv = ["prometheus", config, storage, "--web.listen-address=127.0.0.1:9090", "--log.level=warn"];
    stack.use(new Child(argv, { namespace: network.gate }));
    // A counter must have been seen before it can be seen to grow.
    await waitFor("the first scrapes", async () => {
      const { result } = await api<{ result: unknown[] }>("query?query=count_over_time(ttgate_ready[1m])%3E3");
      return result.length === 2;
    });
  });

  afterAll(() => stack.disposeAsync());

  test("fires each alert, with every word of its annotations filled in", async () => {
    await Promise.all([restarts(), strangers(), fullMap()]);
    await noFiles();
    await fullHouse();
    const firing = await waitFor(
      "all alerts",
      async () => {
        const { alerts: found } = await api<{ alerts: readonly Alert[] }>("alerts");
        const names = new Set(found.filter(({ state }) => state === "firing").map(({ labels }) => labels["alertname"]));
        const missing = alerts.filter((name) => !names.has(name));
        if (missing.length > 0) throw new Error(`Not firing: ${missing.join(", ")}`);
        return found;
      },
      20_000,
    );
    for (const { annotations } of firing) expect(JSON.stringify(annotations)).not.toMatch(/\{\{|<no value>|" "/);
    expect(firing.find(({ labels }) => labels["alertname"] === "TtgateUpstreamUnreachable")?.annotations).toMatchObject(
      {
        summary: "ttgate on 127.0.0.1:9510 cannot reach 127.0.0.1:1",
      },
    );
  });

  /** Each lives for two scrapes and more: the last uptime is greater than the first of the next. */
  async function restarts(): Promise<void> {
    for (let time = 0; time < 6; time++) {
      await using _again = await gate(5020, "127.0.0.1:9520");
      await sleep(1300);
    }
  }

  /** Foreign clients and nobody else. */
  async function strangers(): Promise<void> {
    for (let count = 0; count < 14; count++) await curl("http://127.0.0.1:5010/");
  }

  async function noFiles(): Promise<void> {
    const limit = (files: number) => run(["prlimit", "--pid", String(lonely.pid), `--nofile=${files}:`]);
    expect((await limit(8)).code).toBe(0);
    await probeFrom(network.client, { host: network.gateIpv4, port: 5010, waitMs: 300 });
    await lonely.said(/Open files ran out/);
    expect((await limit(1024)).code).toBe(0);
  }

  /** A banned source by an interface that is not guarded; then more bans than the map holds, and one that is frozen. */
  async function fullMap(): Promise<void> {
    const [device, peer] = [`${network.device}x`, `${network.clientDevice}x`];
    ip("-n", network.gate, "link", "add", device, "type", "veth", "peer", "name", peer, "netns", network.client);
    ip("-n", network.gate, "address", "add", "10.88.0.1/24", "dev", device);
    ip("-n", network.gate, "link", "set", device, "up");
    ip("-n", network.client, "address", "add", "10.88.0.2/24", "dev", peer);
    ip("-n", network.client, "link", "set", peer, "up");
    const request = [new TextEncoder().encode("GET / HTTP/1.0\r\n\r\n")];
    const visitor = { host: "10.88.0.1", port: 5000, from: "10.88.0.2", send: request, waitMs: 1000 };
    await probeFrom(network.client, visitor);
    await until("the ban", ({ bans }) => bans.active > 0);
    // A ban that is younger may have met a connection under way.
    await sleep(2300);
    await probeFrom(network.client, visitor);
    await until("the unseen one", ({ kernel }) => (kernel.unseen?.connections ?? 0) > 0);
    const bans = Array.from({ length: 12 }, (_, number) => `203.${number}.113.${number}`);
    expect(await command("ban", ...bans, "--for", "1h")).toMatchObject({ code: 0 });
    bpftool(["map", "freeze", "pinned", map.path]);
    await command("ban", "198.51.100.1", "--for", "2h");
  }

  /** Two friends have all places, for as long as they like; others find none. */
  async function fullHouse(): Promise<void> {
    for (let count = 0; count < 2; count++) {
      stack.use(await startClient(network.gate, "--host", "127.0.0.1", "--port", "5000", "--rate", "2"));
    }
    await until("both friends", ({ connections }) => connections.active >= 2);
    const late = { host: "127.0.0.1", port: 5000, send: [seal(new Uint8Array(100), "bare")], waitMs: 300 };
    for (let count = 0; count < 4; count++) await probeFrom(network.gate, late);
  }

  test("answers every query of the dashboard", async () => {
    const { panels, templating } = JSON.parse(readFileSync(`${contrib}/grafana/ttgate.json`, "utf8")) as {
      panels: { id: number; title: string; gridPos: { x: number; w: number }; targets: { expr: string }[] }[];
      templating: { list: { query: string }[] };
    };
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    expect(panels.every(({ gridPos: { x, w } }) => x + w <= 24)).toBe(true);
    for (const { title, targets } of panels) {
      for (const { expr } of targets) {
        const query = expr.replaceAll("$__rate_interval", "1m").replaceAll(/\$(job|instance)/g, ".*");
        const { result } = await api<{ result: unknown[] }>(`query?query=${encodeURIComponent(query)}`);
        expect([title, query, result.length > 0]).toEqual([title, query, true]);
      }
    }
    for (const { query } of templating.list.filter(({ query }) => query.startsWith("label_values"))) {
      const [, series = "", label = ""] = /^label_values\((.+), (\w+)\)$/.exec(query) ?? [];
      const match = encodeURIComponent(series.replaceAll("$job", ".*"));
      expect((await api<string[]>(`label/${label}/values?match[]=${match}`)).length).toBeGreaterThan(0);
    }
  });

  test("has no complaint about the metrics, nor promtool about rules and metrics", async () => {
    const { activeTargets } = await api<{ activeTargets: { labels: { instance: string }; lastError: string }[] }>(
      "targets",
    );
    for (const { labels, lastError } of activeTargets) {
      if (["127.0.0.1:9500", "127.0.0.1:9510"].includes(labels.instance)) expect(lastError).toBe("");
    }
    const { stdout: metrics } = await curl("http://127.0.0.1:9500/metrics");
    expect(metrics).toContain("ttgate_info");
    expect(await run(["promtool", "check", "metrics"], { input: metrics })).toMatchObject({
      code: 0,
      stdout: "",
      stderr: "",
    });
    const cwd = `${contrib}/prometheus`;
    expect(await run(["promtool", "check", "rules", "ttgate.rules.yml"], { cwd })).toMatchObject({ code: 0 });
    const tests = readFileSync(`${cwd}/ttgate.rules.test.yml`, "utf8");
    for (const name of alerts) expect(tests.match(new RegExp(`alertname: ${name}\n`, "g"))).toHaveLength(2);
    expect(await run(["promtool", "test", "rules", "ttgate.rules.test.yml"], { cwd })).toMatchObject({ code: 0 });
  });
});
